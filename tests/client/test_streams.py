"""Streams that resume: no message is lost, none is delivered twice, and retries are bounded."""

from __future__ import annotations

import gc
import threading
from itertools import islice
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from blotter_client import BlotterError, Client, OrderStatus, Timing
from tests.client.fake_time import Time
from tests.client.scripted import (
    Play,
    Script,
    complete,
    events,
    heartbeat,
    log_heartbeat,
    logs,
    refuses,
    retry_after,
    sends,
    snapshot,
)

synchronous_only = pytest.mark.parametrize("face", ["synchronous"], indirect=True)
UNAVAILABLE = refuses("DRAINING", grpc.StatusCode.UNAVAILABLE)


def sequences(messages: Any) -> list[int]:
    """The sequences of all events of the messages."""
    return [event.sequence for message in messages for event in message.events.events]


def test_it_resumes_after_the_last_message(client: Client, script: Script, time: Time) -> None:
    script.plays = [
        sends(complete(0), events(1, 2), then=UNAVAILABLE),
        sends(events(3), heartbeat(3, 3), then=UNAVAILABLE),
        sends(events(4), then=script.silence),
    ]
    with client.watch_orders() as watch:
        assert sequences(islice(watch, 5)) == [1, 2, 3, 4]
        assert watch.resume_token == "after-4"
    assert script.tokens == ["", "after-2", "after-3"]
    assert len({metadata["x-request-id"] for metadata in script.metadata}) == 3


@pytest.mark.parametrize(
    "cut",
    [
        UNAVAILABLE,
        # The error may carry the token of a message that did not arrive: the stream resumes after the last that did.
        refuses("SLOW_CONSUMER", grpc.StatusCode.RESOURCE_EXHAUSTED, resume_token="after-7"),
        refuses("ABORTED", grpc.StatusCode.ABORTED, details=(retry_after(0),)),
        lambda _request, _context: iter(()),
    ],
    ids=["unavailable", "slow consumer", "error with a retry delay", "ended with OK"],
)
def test_it_resumes_after(cut: Play, client: Client, script: Script) -> None:
    script.plays = [sends(complete(0), events(1), then=cut), sends(events(2), then=script.silence)]
    with client.watch_orders() as watch:
        assert sequences(islice(watch, 3)) == [1, 2]
    assert script.tokens == ["", "after-1"]


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("RESUME_TOKEN_OUT_OF_RANGE", grpc.StatusCode.OUT_OF_RANGE),
        ("WRONG_ROLE", grpc.StatusCode.PERMISSION_DENIED),
        ("INTERNAL", grpc.StatusCode.INTERNAL),
        ("QUOTA", grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_it_ends_on_other_errors(
    reason: str, code: grpc.StatusCode, client: Client, script: Script, time: Time
) -> None:
    script.plays = [sends(complete(0), then=refuses(reason, code))]
    watch = client.watch_orders()
    next(watch)
    with pytest.raises(BlotterError) as raised:
        next(watch)
    assert (raised.value.reason, raised.value.code) == (reason, code)
    assert next(watch, "over") == "over"
    assert time.pauses == []


def test_a_missing_message_is_fetched(client: Client, script: Script) -> None:
    script.plays = [sends(complete(4), events(5), events(7)), sends(events(6, 7), then=script.silence)]
    with client.watch_orders() as watch:
        assert sequences(islice(watch, 3)) == [5, 6, 7]
    assert script.tokens == ["", "after-5"]


def test_an_event_that_is_missing_inside_a_message_is_fetched(client: Client, script: Script) -> None:
    script.plays = [sends(complete(0), events(1, 3)), sends(events(1, 2, 3), then=script.silence)]
    with client.watch_orders() as watch:
        assert sequences(islice(watch, 2)) == [1, 2, 3]


def test_a_repeated_event_makes_the_stream_resume(client: Client, script: Script) -> None:
    script.plays = [sends(complete(0), events(1), events(1)), sends(events(2), then=script.silence)]
    with client.watch_orders() as watch:
        assert sequences(islice(watch, 3)) == [1, 2]


def test_a_heartbeat_reveals_a_lost_message(client: Client, script: Script) -> None:
    script.plays = [sends(complete(0), events(1), heartbeat(2, 2)), sends(events(2), then=script.silence)]
    with client.watch_orders() as watch:
        assert sequences(islice(watch, 3)) == [1, 2]
    assert script.tokens == ["", "after-1"]


def test_a_heartbeat_reveals_the_loss_of_the_first_message(client: Client, script: Script) -> None:
    script.plays = [sends(complete(0), heartbeat(0, 1)), sends(events(1), then=script.silence)]
    with client.watch_orders() as watch:
        assert sequences(islice(watch, 2)) == [1]


def test_a_heartbeat_of_a_new_connection_counts_only_what_it_sent(client: Client, script: Script) -> None:
    script.plays = [
        sends(complete(0), events(1), then=UNAVAILABLE),
        sends(heartbeat(1, 0), events(2), heartbeat(2, 2), then=script.silence),
    ]
    with client.watch_orders() as watch:
        assert sequences(islice(watch, 5)) == [1, 2]


def test_with_filters_sequences_have_gaps_and_heartbeats_still_reveal_a_loss(client: Client, script: Script) -> None:
    script.plays = [
        sends(complete(0), events(3), events(9), heartbeat(12, 9), heartbeat(20, 15)),
        sends(events(15), then=script.silence),
    ]
    with client.watch_orders(statuses=[OrderStatus.FILLED]) as watch:
        assert sequences(islice(watch, 5)) == [3, 9, 15]
    assert script.tokens == ["", "after-12"]


def test_an_incomplete_snapshot_is_not_delivered(client: Client, script: Script) -> None:
    script.plays = [
        sends(snapshot("gone"), then=UNAVAILABLE),
        sends(snapshot("kept"), snapshot("too"), complete(7, 2), then=script.silence),
    ]
    with client.watch_orders() as watch:
        messages = list(islice(watch, 3))
    assert [order.client_order_id for part in messages for order in part.snapshot.orders] == ["kept", "too"]
    assert messages[-1].snapshot_complete.order_count == 2
    assert script.tokens == ["", ""]


def test_a_snapshot_with_a_lost_part_is_fetched_again(client: Client, script: Script) -> None:
    script.plays = [
        sends(snapshot("a"), complete(7, 2)),
        sends(snapshot("a", "b"), complete(7, 2), then=script.silence),
    ]
    with client.watch_orders() as watch:
        assert len(next(watch).snapshot.orders) == 2


def test_a_message_that_is_missing_repeatedly_is_an_error(client: Client, script: Script, time: Time) -> None:
    script.plays = [sends(complete(0), events(1), events(3)), *[sends(events(3))] * 10]
    watch = client.watch_orders()
    with pytest.raises(BlotterError, match="event 3 came after event 1") as raised:
        list(watch)
    assert (raised.value.code, raised.value.reason) == (grpc.StatusCode.DATA_LOSS, "SEQUENCE_GAP")
    assert script.tokens == ["", *["after-1"] * 4]


def test_heartbeats_before_a_missing_message_do_not_reset_the_count_of_losses(client: Client, script: Script) -> None:
    script.plays = [sends(complete(0), events(1), events(3)), *[sends(heartbeat(1, 0), events(3))] * 10]
    with pytest.raises(BlotterError) as raised:
        list(client.watch_orders())
    assert raised.value.reason == "SEQUENCE_GAP"
    assert len(script.requests) == 5


def test_losses_of_different_messages_are_not_added_up(client: Client, script: Script) -> None:
    script.plays = [
        sends(complete(0), events(2)),
        *[sends(events(2))] * 3,
        sends(events(1), events(3)),
        *[sends(events(3))] * 3,
        sends(events(2), then=script.silence),
    ]
    with client.watch_orders() as watch:
        assert sequences(islice(watch, 3)) == [1, 2]


def test_the_backoff_grows_with_full_jitter_until_a_message(client: Client, script: Script, time: Time) -> None:
    script.plays = [
        *[UNAVAILABLE] * 10,
        sends(complete(0), then=UNAVAILABLE),
        sends(heartbeat(0, 0), then=script.silence),
    ]
    with client.watch_orders() as watch:
        list(islice(watch, 2))
    assert time.pauses == [0.1, 0.2, 0.4, 0.8, 1.6, *[2.5] * 5, 0.1]


def test_it_waits_for_the_servers_retry_delay_plus_jitter(client: Client, script: Script, time: Time) -> None:
    draining = refuses("DRAINING", grpc.StatusCode.UNAVAILABLE, details=(retry_after(3),))
    script.plays = [sends(complete(0), then=draining), sends(events(1), then=script.silence)]
    with client.watch_orders() as watch:
        list(islice(watch, 2))
    assert time.pauses == [3.1]


def test_the_servers_retry_delay_is_limited_to_a_minute(client: Client, script: Script, time: Time) -> None:
    draining = refuses("DRAINING", grpc.StatusCode.UNAVAILABLE, details=(retry_after(86_400),))
    script.plays = [sends(complete(0), then=draining), sends(events(1), then=script.silence)]
    with client.watch_orders() as watch:
        list(islice(watch, 2))
    assert time.pauses == [60.1]


@pytest.mark.parametrize("seconds", [-3600, -(1 << 62), 1 << 62])
def test_a_senseless_retry_delay_neither_ends_the_wait_nor_the_stream(
    client: Client, script: Script, time: Time, seconds: int
) -> None:
    delay = error_details_pb2.RetryInfo()
    delay.retry_delay.seconds = seconds
    draining = refuses("DRAINING", grpc.StatusCode.UNAVAILABLE, details=(delay,))
    script.plays = [sends(complete(0), then=draining), sends(events(1), then=script.silence)]
    with client.watch_orders() as watch:
        list(islice(watch, 2))
    assert time.pauses == [60.1 if seconds > 0 else 0.1]


def test_a_stream_without_messages_is_considered_dead(client: Client, script: Script, time: Time) -> None:
    script.plays = [
        sends(complete(0), events(1), then=script.silence),
        sends(events(2), then=script.silence),
    ]
    with client.watch_orders(heartbeat_interval=2) as watch:
        assert sequences(islice(watch, 2)) == [1]
        time.mute.set()
        assert sequences(islice(watch, 1)) == [2]
        assert time.fake.time() >= 6, "three heartbeat intervals"
    assert (time.watchdog_waits, time.timeouts) in (({1}, set()), (set(), {6})), "it checks twice in each interval"
    assert script.tokens == ["", "after-1"]
    assert script.requests[0].heartbeat_interval.seconds == 2


def test_cancel_from_another_thread_ends_the_wait(client: Client, script: Script) -> None:
    script.plays = [sends(complete(0), then=script.silence)]
    watch = client.watch_orders()
    next(watch)

    def cancel() -> None:
        assert script.mute.wait(10)
        watch.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    assert list(watch) == []
    canceller.join()


@synchronous_only
def test_cancel_ends_the_pause(channel: grpc.Channel, script: Script) -> None:
    script.plays = [refuses("DRAINING", grpc.StatusCode.UNAVAILABLE, details=(retry_after(3600),))]
    pausing = threading.Event()

    def pause(over: threading.Event, seconds: float) -> None:
        pausing.set()
        assert over.wait(seconds), "the pause was not ended"

    watch = Client(channel, role="compliance", timing=Timing(pause=pause)).watch_orders()

    def cancel() -> None:
        assert pausing.wait(10)
        watch.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    assert list(watch) == []
    canceller.join()
    assert len(script.requests) == 1


def test_a_cancelled_stream_never_connects(client: Client, script: Script) -> None:
    watch = client.watch_orders()
    watch.cancel()
    assert list(watch) == []
    assert script.requests == []


@synchronous_only
def test_a_stream_that_is_garbage_collected_ends(client: Client, script: Script) -> None:
    script.plays = [sends(complete(0), then=script.silence)]
    watch = client.watch_orders()
    next(watch)
    before = {thread for thread in threading.enumerate() if thread.name == "blotter-watchdog"}
    assert before
    del watch
    gc.collect()
    for thread in before:
        thread.join(10)
        assert not thread.is_alive()


def test_a_stream_starts_after_the_callers_token(client: Client, script: Script) -> None:
    script.plays = [sends(events(41), then=script.silence)]
    with client.watch_orders(resume_token="after-40") as watch:
        assert sequences(islice(watch, 1)) == [41]
    assert script.tokens == ["after-40"]


def test_logs_are_streamed_from_the_first_to_the_latest(client: Client, script: Script) -> None:
    script.plays = [sends(logs(1, 2), logs(3), log_heartbeat(3, 3))]
    messages = list(client.stream_execution_logs(follow=False))
    assert [log.sequence for message in messages for log in message.logs.execution_logs] == [1, 2, 3]
    assert script.requests[0].follow is False


def test_a_missing_first_log_is_fetched(client: Client, script: Script) -> None:
    script.plays = [sends(logs(2), log_heartbeat(2, 2)), sends(logs(1, 2), log_heartbeat(2, 2))]
    messages = list(client.stream_execution_logs(follow=False))
    assert [log.sequence for message in messages for log in message.logs.execution_logs] == [1, 2]


def test_logs_that_end_without_the_final_heartbeat_resume(client: Client, script: Script) -> None:
    script.plays = [sends(logs(1, 2)), sends(logs(3), log_heartbeat(3, 3))]
    messages = list(client.stream_execution_logs(follow=False))
    assert [log.sequence for message in messages for log in message.logs.execution_logs] == [1, 2, 3]
    assert script.tokens == ["", "after-2"]


def test_logs_that_follow_do_not_end(client: Client, script: Script) -> None:
    script.plays = [sends(logs(1), log_heartbeat(1, 1)), sends(logs(2), then=script.silence)]
    with client.stream_execution_logs() as stream:
        assert len(list(islice(stream, 3))) == 3
    assert script.tokens == ["", "after-1"]
