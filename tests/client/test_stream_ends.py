"""Streams that are cancelled at various moments: no call and no thread may remain."""

from __future__ import annotations

import gc
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import grpc
import pytest

from blotter.orders.v1 import watch_pb2
from blotter_client import BlotterError, Client
from tests.client.faces import Face
from tests.client.fake_time import Time
from tests.client.scripted import Script, complete, events, log_heartbeat, logs, refuses, sends, snapshot
from tests.conftest import ALICE

PATIENCE = 20
synchronous_only = pytest.mark.parametrize("face", ["synchronous"], indirect=True)
DENIED = refuses("WRONG_ROLE", grpc.StatusCode.PERMISSION_DENIED)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Check that the watchdog's thread has ended."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.name == "blotter-watchdog":
            thread.join(PATIENCE)
            assert not thread.is_alive()


def ends(wait: Callable[[], Any], cancel: Callable[[], Any]) -> Any:
    """Read in another thread, cancel, and return the result of the read."""
    threads = ThreadPoolExecutor(1)
    result = threads.submit(wait)
    cancel()
    threads.shutdown(wait=False)
    return result.result(PATIENCE)


def test_cancel_while_connecting_ends_the_stream_at_once(face: Face) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with face.client(f"127.0.0.1:{port}", trader_id=ALICE) as client:
            watch = client.watch_orders()

            def cancel() -> None:
                connection, _ = mute.accept()
                with connection:
                    watch.cancel()

            assert ends(lambda: list(watch), cancel) == []


@synchronous_only
def test_cancel_between_the_call_and_its_first_message_ends_it(client: Client, script: Script) -> None:
    """At this moment `cancel` has no reference to the new call."""
    script.plays = [script.silence]
    watch = client.watch_orders()
    connect = watch._connect

    def cancelled_meanwhile(token: str) -> Any:
        connection = connect(token)
        watch.cancel()
        return connection

    watch._connect = cancelled_meanwhile
    assert ends(lambda: list(watch), lambda: None) == []


def test_an_error_ends_the_watchdog(client: Client, script: Script) -> None:
    script.plays = [sends(complete(0), then=DENIED)]
    watch = client.watch_orders()
    with pytest.raises(BlotterError, match="WRONG_ROLE"):
        list(watch)


def test_an_error_of_the_caller_ends_the_stream(client: Client, script: Script) -> None:
    script.plays = [sends(complete(0), then=script.silence)]
    watch = client.watch_orders()

    def use() -> None:
        with watch:
            raise ZeroDivisionError(next(watch))

    with pytest.raises(ZeroDivisionError):
        use()
    assert next(watch, "over") == "over"


def test_a_cancelled_stream_of_logs_is_not_reported_as_incomplete(
    client: Client, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    script.plays = [sends(logs(1), then=script.silence)]
    with caplog.at_level(logging.WARNING):
        stream = client.stream_execution_logs(follow=False)
        next(stream)
        stream.cancel()
        assert list(stream) == []
    assert caplog.messages == []
    assert len(script.requests) == 1


def test_an_interruption_and_a_loss_are_logged_with_their_reason(
    client: Client, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    cut = refuses("DRAINING", grpc.StatusCode.UNAVAILABLE)
    script.plays = [sends(complete(0), then=cut), sends(events(2)), sends(events(1), then=script.silence)]
    with client.watch_orders() as watch:
        list(islice(watch, 2))
    assert [message for message in caplog.messages if "DRAINING" in message]
    assert [message for message in caplog.messages if "event 2 came after event 0" in message]


@synchronous_only
def test_the_time_that_the_caller_spends_on_a_message_does_not_count(
    client: Client, script: Script, time: Time
) -> None:
    script.plays = [sends(complete(0), events(1), then=script.silence)]
    with client.watch_orders(heartbeat_interval=1) as watch:
        next(watch)
        started = time.fake.time()
        time.mute.set()
        while time.fake.time() < started + 10:
            gc.collect(0)  # the watchdog's thread advances the clock meanwhile
        time.mute.clear()
        assert next(watch).HasField("events")
    assert script.tokens == [""]


def test_a_connection_without_a_set_interval_is_dead_after_three_times_15_seconds(
    client: Client, script: Script, time: Time
) -> None:
    script.plays = [sends(complete(0), then=script.silence), sends(events(1), then=script.silence)]
    with client.watch_orders() as watch:
        next(watch)
        time.mute.set()
        next(watch)
        assert time.fake.time() >= 45
    assert (time.watchdog_waits, time.timeouts) in (({7.5}, set()), (set(), {45}))


def test_a_message_without_a_token_does_not_clear_the_last_token(client: Client, script: Script) -> None:
    bare = watch_pb2.WatchOrdersResponse(events=events(1).events)
    cut = refuses("DRAINING", grpc.StatusCode.UNAVAILABLE)
    script.plays = [sends(complete(0), bare, then=cut), sends(events(2), then=script.silence)]
    with client.watch_orders() as watch:
        list(islice(watch, 3))
    assert script.tokens == ["", "after-0"]


def test_the_count_of_a_snapshot_starts_again_after_a_loss(client: Client, script: Script) -> None:
    script.plays = [
        sends(snapshot("a"), complete(7, 2)),
        sends(snapshot("a"), snapshot("b"), complete(7, 2), then=script.silence),
    ]
    with client.watch_orders() as watch:
        messages = list(islice(watch, 3))
    assert [order.client_order_id for part in messages for order in part.snapshot.orders] == ["a", "b"]


def test_a_heartbeat_of_an_earlier_connection_does_not_complete_the_logs(client: Client, script: Script) -> None:
    script.plays = [
        sends(logs(1), log_heartbeat(1, 1), then=refuses("DRAINING", grpc.StatusCode.UNAVAILABLE)),
        sends(logs(2)),
        sends(logs(3), log_heartbeat(3, 3)),
    ]
    messages = list(client.stream_execution_logs(follow=False))
    assert [log.sequence for message in messages for log in message.logs.execution_logs] == [1, 2, 3]
