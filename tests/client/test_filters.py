"""Streams of one trader without a filter are dense. In other streams, a gap in the numbers is no loss."""

from __future__ import annotations

from itertools import islice
from typing import Any

import grpc
import pytest

from blotter_client import Action, Client, OrderStatus, ShortSale
from tests.client.faces import Face
from tests.client.scripted import Script, complete, events, logs, sends
from tests.conftest import ALICE

ID = "01234567-0000-4000-8000-000000000000"


def numbers(messages: Any) -> list[int]:
    """The sequences of events and of logs."""
    return [event.sequence for message in messages for event in (*parts(message),)]


def parts(message: Any) -> Any:
    """The events or the logs of a message."""
    return message.events.events if hasattr(message, "events") else message.logs.execution_logs


@pytest.mark.parametrize(
    ("filters", "gaps"),
    [
        ({}, False),
        ({"heartbeat_interval": 2}, False),
        ({"order_ids": [ID]}, True),
        ({"symbols": ["AAPL"]}, True),
        ({"statuses": [OrderStatus.FILLED]}, True),
        ({"accounts": ["A-1"]}, True),
        ({"labels": {"desk": "cash"}}, True),
        ({"parent_order_ids": ["parent"]}, True),
        ({"security_ids": ["US0378331005"]}, True),
        ({"currencies": ["USD"]}, True),
        ({"short_sales": [ShortSale.SELL_SHORT]}, True),
    ],
)
def test_a_traders_watch_has_gaps_only_with_a_filter(
    filters: dict[str, Any], gaps: bool, client: Client, script: Script
) -> None:
    script.plays = [sends(complete(0), events(1), events(3), then=script.silence), sends(events(2, 3))]
    with client.watch_orders(**filters) as watch:
        assert numbers(islice(watch, 3)) == ([1, 3] if gaps else [1, 2, 3])
    assert script.tokens == ([""] if gaps else ["", "after-1"])


@pytest.mark.parametrize(
    ("filters", "gaps"),
    [
        ({}, False),
        ({"order_ids": [ID]}, True),
        ({"actions": [Action.FILLED]}, True),
        ({"accounts": ["A-1"]}, True),
        ({"labels": {"desk": "cash"}}, True),
        ({"parent_order_ids": ["parent"]}, True),
        ({"security_ids": ["US0378331005"]}, True),
        ({"currencies": ["USD"]}, True),
        ({"short_sales": [ShortSale.SELL_SHORT]}, True),
    ],
)
def test_a_traders_logs_have_gaps_only_with_a_filter(
    filters: dict[str, Any], gaps: bool, client: Client, script: Script
) -> None:
    script.plays = [sends(logs(1), logs(3), then=script.silence), sends(logs(2, 3))]
    with client.stream_execution_logs(**filters) as stream:
        assert numbers(islice(stream, 2)) == ([1, 3] if gaps else [1, 2, 3])
    assert script.tokens == ([""] if gaps else ["", "after-1"])


def test_the_streams_of_a_role_have_gaps(face: Face, channel: grpc.Channel, script: Script) -> None:
    gateway = face.client(channel, role="execution")
    script.plays = [sends(complete(0), events(1), events(3), then=script.silence)]
    with gateway.watch_orders() as watch:
        assert numbers(islice(watch, 3)) == [1, 3]
    script.plays = [sends(logs(5), logs(9), then=script.silence)]
    with gateway.stream_execution_logs(trader_ids=[ALICE]) as stream:
        assert numbers(islice(stream, 2)) == [5, 9]
    assert script.tokens == ["", ""]


def test_logs_start_after_the_resume_token(client: Client, script: Script) -> None:
    script.plays = [sends(logs(41), then=script.silence)]
    with client.stream_execution_logs(resume_token="after-40") as stream:
        assert numbers(islice(stream, 1)) == [41]
    assert script.tokens == ["after-40"]
