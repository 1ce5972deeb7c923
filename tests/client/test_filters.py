"""Which streams are dense: one trader's without a filter. In the others numbers may leap, and no gap is a loss."""

from __future__ import annotations

from itertools import islice
from typing import Any

import grpc
import pytest

from blotter_client import Action, Client, OrderStatus
from tests.client.faces import Face
from tests.client.scripted import Script, complete, events, logs, says
from tests.conftest import ALICE

ID = "01234567-0000-4000-8000-000000000000"


def numbers(messages: Any) -> list[int]:
    """The sequences of events and of logs."""
    return [event.sequence for message in messages for event in (*parts(message),)]


def parts(message: Any) -> Any:
    """The events or the logs of a message."""
    return message.events.events if hasattr(message, "events") else message.logs.execution_logs


@pytest.mark.parametrize(
    ("filters", "leaps"),
    [
        ({}, False),
        ({"heartbeat_interval": 2}, False),
        ({"order_ids": [ID]}, True),
        ({"symbols": ["AAPL"]}, True),
        ({"statuses": [OrderStatus.FILLED]}, True),
    ],
)
def test_a_traders_watch_leaps_with_a_filter_alone(
    filters: dict[str, Any], leaps: bool, client: Client, script: Script
) -> None:
    script.plays = [says(complete(0), events(1), events(3), then=script.silence), says(events(2, 3))]
    with client.watch_orders(**filters) as watch:
        assert numbers(islice(watch, 3)) == ([1, 3] if leaps else [1, 2, 3])
    assert script.tokens == ([""] if leaps else ["", "after-1"])


@pytest.mark.parametrize(
    ("filters", "leaps"), [({}, False), ({"order_ids": [ID]}, True), ({"actions": [Action.FILLED]}, True)]
)
def test_a_traders_logs_leap_with_a_filter_alone(
    filters: dict[str, Any], leaps: bool, client: Client, script: Script
) -> None:
    script.plays = [says(logs(1), logs(3), then=script.silence), says(logs(2, 3))]
    with client.stream_execution_logs(**filters) as stream:
        assert numbers(islice(stream, 2)) == ([1, 3] if leaps else [1, 2, 3])
    assert script.tokens == ([""] if leaps else ["", "after-1"])


def test_the_streams_of_a_role_leap(face: Face, channel: grpc.Channel, script: Script) -> None:
    gateway = face.client(channel, role="execution")
    script.plays = [says(complete(0), events(1), events(3), then=script.silence)]
    with gateway.watch_orders() as watch:
        assert numbers(islice(watch, 3)) == [1, 3]
    script.plays = [says(logs(5), logs(9), then=script.silence)]
    with gateway.stream_execution_logs(trader_ids=[ALICE]) as stream:
        assert numbers(islice(stream, 2)) == [5, 9]
    assert script.tokens == ["", ""]


def test_logs_after_a_token_start_where_it_says(client: Client, script: Script) -> None:
    script.plays = [says(logs(41), then=script.silence)]
    with client.stream_execution_logs(resume_token="after-40") as stream:
        assert numbers(islice(stream, 1)) == [41]
    assert script.tokens == ["after-40"]
