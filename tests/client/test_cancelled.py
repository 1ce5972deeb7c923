"""CANCELLED: the client retries or resumes if the server sent it, and ends if the caller cancelled."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any

import grpc
import pytest

from blotter.orders.v1 import order_pb2, order_service_pb2
from blotter_client import BlotterError, Client, OrderType, Side
from tests.client.faces import Face
from tests.client.scripted import Script, answers, cancels, complete, events, log_heartbeat, logs, sends

PATIENCE = 20


@contextmanager
def afterwards(condition: threading.Event, act: Callable[[], Any]) -> Iterator[None]:
    """Call `act` in another thread when the condition is set; the block must end by itself."""

    def run() -> None:
        assert condition.wait(PATIENCE), "the server was not called"
        act()

    with ThreadPoolExecutor(1) as threads:
        acting = threads.submit(run)
        yield
        acting.result(PATIENCE)


def test_a_write_that_the_server_cancels_is_retried_with_the_same_key(client: Client, script: Script) -> None:
    script.plays = [cancels, cancels, answers(order_service_pb2.SubmitOrderResponse(replayed=True))]
    assert client.submit_order("AAPL", Side.BUY, OrderType.MARKET, 1).replayed
    assert len(script.requests) == 3
    assert script.requests[0].client_order_id
    assert script.requests[0] == script.requests[1] == script.requests[2]


def test_a_read_that_the_server_cancels_is_retried(client: Client, script: Script) -> None:
    script.plays = [cancels, answers(order_service_pb2.GetOrderResponse(order=order_pb2.Order(quantity=7)))]
    assert client.get_order(client_order_id="x").quantity == 7


def test_a_cancelled_by_the_server_is_reported_as_unavailable(client: Client, script: Script) -> None:
    script.plays = [cancels] * 9
    with pytest.raises(BlotterError) as raised:
        client.get_order(client_order_id="x")
    assert (raised.value.code, raised.value.reason) == (grpc.StatusCode.UNAVAILABLE, "CANCELLED")
    assert raised.value.request_id == script.metadata[0]["x-request-id"]
    assert len(script.requests) == 4


def test_cancel_all_orders_that_the_server_cancels_is_not_retried(client: Client, script: Script) -> None:
    script.plays = [cancels, answers(order_service_pb2.CancelAllOrdersResponse())]
    with pytest.raises(BlotterError) as raised:
        client.cancel_all_orders()
    assert raised.value.code is grpc.StatusCode.UNAVAILABLE
    assert len(script.requests) == 1


def test_a_watch_that_the_server_cancels_resumes_after_its_last_message(client: Client, script: Script) -> None:
    script.plays = [sends(complete(0), events(1), then=cancels), cancels, sends(events(2), then=script.silence)]
    with client.watch_orders() as watch:
        assert [event.sequence for message in islice(watch, 3) for event in message.events.events] == [1, 2]
    assert script.tokens == ["", "after-1", "after-1"]


def test_a_stream_of_logs_that_the_server_cancels_resumes_after_its_last_message(
    client: Client, script: Script
) -> None:
    script.plays = [sends(logs(1), then=cancels), sends(logs(2), log_heartbeat(2, 2))]
    messages = list(client.stream_execution_logs(follow=False))
    assert [log.sequence for message in messages for log in message.logs.execution_logs] == [1, 2]
    assert script.tokens == ["", "after-1"]


def test_a_stream_that_is_not_resumed_reports_the_servers_cancelled_as_unavailable(
    face: Face, channel: grpc.Channel, script: Script
) -> None:
    script.plays = [cancels]
    with pytest.raises(BlotterError) as raised:
        list(face.client(channel, role="compliance").reconcile_orders())
    assert raised.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_call_under_way_when_its_channel_is_closed_ends_with_cancelled(
    client: Client, channel: grpc.Channel, script: Script
) -> None:
    script.plays = [script.hold] * 9
    with afterwards(script.mute, channel.close), pytest.raises(BlotterError) as raised:
        client.get_order(client_order_id="x")
    assert raised.value.code is grpc.StatusCode.CANCELLED
    assert len(script.requests) == 1


def test_a_watch_under_way_when_its_channel_is_closed_ends_with_cancelled(
    client: Client, channel: grpc.Channel, script: Script
) -> None:
    script.plays = [sends(complete(0), then=script.silence)] * 9
    watch = client.watch_orders()
    next(watch)
    with afterwards(script.mute, channel.close), pytest.raises(BlotterError) as raised:
        next(watch)
    assert raised.value.code is grpc.StatusCode.CANCELLED
    assert next(watch, "over") == "over"
    assert len(script.requests) == 1


def test_after_the_channel_is_closed_calls_and_streams_end_with_cancelled(
    client: Client, channel: grpc.Channel
) -> None:
    channel.close()
    calls: dict[str, Callable[[], Any]] = {
        "unary": lambda: client.get_order(client_order_id="x"),
        "watch": lambda: next(client.watch_orders()),
        "stream that is not resumed": lambda: next(client.reconcile_orders()),
    }
    for name, call in calls.items():
        with pytest.raises(BlotterError) as raised:
            call()
        assert raised.value.code is grpc.StatusCode.CANCELLED, name


def test_ctrl_c_ends_a_call_and_it_is_not_retried(client: Client, script: Script) -> None:
    script.plays = [script.hold] * 9
    with afterwards(script.mute, interrupt), pytest.raises(KeyboardInterrupt):
        client.get_order(client_order_id="x", timeout=PATIENCE)
    assert len(script.requests) == 1


def test_ctrl_c_ends_a_watch_and_it_is_not_resumed(client: Client, script: Script) -> None:
    script.plays = [script.silence] * 9
    watch = client.watch_orders()
    with afterwards(script.mute, interrupt), pytest.raises(KeyboardInterrupt):
        next(watch)
    assert next(watch, "over") == "over"
    assert len(script.requests) == 1


def interrupt() -> None:
    """Interrupt the main thread as Ctrl-C does."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
