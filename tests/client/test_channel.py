"""The channel that the client opens to a target and closes."""

from __future__ import annotations

import threading
from typing import cast

import grpc
import pytest

from blotter.orders.v1 import order_pb2, order_service_pb2
from blotter_client import BlotterError, channel
from tests.client.faces import Face
from tests.client.scripted import Script, answers, playing
from tests.conftest import ALICE

FIVE_MEBIBYTES = order_service_pb2.GetOrderResponse(order=order_pb2.Order(symbol="x" * (5 * 1024 * 1024)))


def test_responses_above_grpcs_default_limit_of_4_mib_are_received(face: Face, script: Script) -> None:
    script.plays = [answers(FIVE_MEBIBYTES)]
    with playing(script) as target, face.client(target, trader_id=ALICE) as client:
        assert client.get_order(client_order_id="x") == FIVE_MEBIBYTES.order


def test_the_client_closes_the_channel_that_it_opened(face: Face, script: Script) -> None:
    with playing(script) as target:
        with face.client(target, trader_id=ALICE) as client:
            pass
        with pytest.raises(BlotterError) as raised:
            client.get_order(client_order_id="x")
    assert raised.value.code is grpc.StatusCode.CANCELLED


def test_the_client_leaves_a_channel_open_that_it_was_given(face: Face, script: Script) -> None:
    script.plays = [answers(FIVE_MEBIBYTES)] * 2
    with playing(script) as target, face.channel(target) as channel:
        for _ in range(2):
            with face.client(channel, trader_id=ALICE) as client:
                assert client.get_order(client_order_id="x").symbol


def test_with_credentials_nothing_is_sent_without_tls(face: Face, script: Script) -> None:
    credentials = grpc.ssl_channel_credentials()
    with (
        playing(script) as target,
        face.client(target, trader_id=ALICE, credentials=credentials, timeout=5) as client,
        pytest.raises(BlotterError) as raised,
    ):
        client.get_order(client_order_id="x")
    assert raised.value.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    assert script.requests == []


def test_a_close_that_grpc_does_not_finish_is_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Stuck:
        def __init__(self) -> None:
            self.released = threading.Event()

        def close(self) -> None:
            self.released.wait()

    monkeypatch.setattr(channel, "CLOSE_SECONDS", 0.05)
    stuck = Stuck()
    try:
        channel.close_channel(cast("grpc.Channel", stuck))
    finally:
        stuck.released.set()
    assert "closing continues in the background" in caplog.text
