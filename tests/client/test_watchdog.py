"""The watchdog: when it cancels a call."""

from __future__ import annotations

import threading

import pytest

from blotter_client import Timing
from blotter_client.streams import Watchdog
from tests.client.fake_time import Time


class Silent:
    """A call that never returns a message."""

    def __init__(self) -> None:
        self.cancels = 0

    def __iter__(self) -> Silent:
        return self

    def __next__(self) -> object:
        raise AssertionError

    def cancel(self) -> None:
        self.cancels += 1


@pytest.fixture
def watchdog(time: Time) -> Watchdog:
    return Watchdog(45, Timing(clock=time.fake.time), threading.Event())


def test_it_cancels_a_call_that_is_silent_for_too_long(watchdog: Watchdog, time: Time) -> None:
    call = Silent()
    watchdog.waiting(call)
    time.fake.sleep_for(44.9)
    watchdog.check()
    assert (call.cancels, watchdog.cancelled(call)) == (0, False)
    time.fake.sleep_for(0.1)
    watchdog.check()
    assert (call.cancels, watchdog.cancelled(call)) == (1, True)


def test_each_message_restarts_the_timeout(watchdog: Watchdog, time: Time) -> None:
    call = Silent()
    for _ in range(3):
        watchdog.waiting(call)
        time.fake.sleep_for(40)
        watchdog.check()
        watchdog.arrived()
    assert call.cancels == 0


def test_a_slow_reader_does_not_cause_a_timeout(watchdog: Watchdog, time: Time) -> None:
    call = Silent()
    watchdog.waiting(call)
    watchdog.arrived()
    time.fake.sleep_for(1000)
    watchdog.check()
    assert call.cancels == 0


def test_it_detects_a_timeout_within_half_a_heartbeat(time: Time) -> None:
    stop = threading.Event()
    call = Silent()
    cancelled_at: list[float] = []

    def wait(_stop: threading.Event, seconds: float) -> None:
        if time.fake.time() == 0:
            time.fake.sleep_for(1)
            checking.waiting(call)
            time.fake.sleep_for(seconds - 1)
            return
        if call.cancels:
            cancelled_at.append(time.fake.time())
            stop.set()
        time.fake.sleep_for(seconds)

    checking = Watchdog(45, Timing(clock=time.fake.time, watchdog_wait=wait), stop)
    checking.start()
    assert stop.wait(10)
    assert 46 <= cancelled_at[0] <= 53.5


def test_another_call_counts_as_not_cancelled(watchdog: Watchdog, time: Time) -> None:
    first, second = Silent(), Silent()
    watchdog.waiting(first)
    time.fake.sleep_for(45)
    watchdog.check()
    watchdog.waiting(second)
    watchdog.check()
    assert (watchdog.cancelled(second), second.cancels) == (False, 0)
