"""Which streams the feed wakes, and that the feed continues after a poll that fails."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

import pytest

from service.domain.errors import DatabaseUnavailable
from service.domain.identity import Caller
from service.observability.metrics import Metrics
from service.repositories.events import Events
from service.streams import Feed, Subscription
from tests.conftest import ALICE, BOB
from tests.streams.watching import until

Poll = Callable[[list[UUID]], list[tuple[UUID | None, int]]]


class Cursors:
    """Events that return only cursors."""

    def __init__(self, *polls: Poll) -> None:
        self.polls = list(polls)
        self.asked: list[list[UUID]] = []

    async def cursors(self, caller: Caller, trader_ids: list[UUID]) -> list[tuple[UUID | None, int]]:
        assert caller.deadline is not None, "a poll that hangs must end"
        self.asked.append(trader_ids)
        return (self.polls.pop(0) if len(self.polls) > 1 else self.polls[0])(trader_ids)


def feed_of(cursors: Cursors) -> Feed:
    """A feed that polls without a pause."""
    return Feed(cast("Events", cursors), poll_seconds=0, metrics=Metrics())


def woken(*subscriptions: Subscription) -> list[bool]:
    """Whether each has been woken."""
    return [subscription._woken.is_set() for subscription in subscriptions]


def fail(trader_ids: list[UUID]) -> Any:
    raise DatabaseUnavailable


async def test_a_hint_wakes_all_streams_of_its_trader_and_no_other() -> None:
    feed = feed_of(Cursors(lambda ids: []))
    with (
        feed.subscribe(ALICE) as one,
        feed.subscribe(ALICE) as two,
        feed.subscribe(BOB) as bob,
        feed.subscribe(None) as everyone,
    ):
        feed.hint(ALICE)
        assert woken(one, two, bob, everyone) == [True, True, False, False]
        one.forget_hints()
        assert woken(one, two) == [False, True]
        feed.hint(None)
        assert woken(one, two, bob, everyone) == [False, True, False, True]
    feed.hint(ALICE)
    assert not feed._subscriptions


async def test_the_poll_wakes_all_streams_when_the_history_has_become_shorter() -> None:
    """As after a failover to a standby that lacked the newest events."""
    polled = iter((5, 5, 3))
    feed = feed_of(Cursors(lambda ids: [(ALICE, next(polled, 3))]))
    with feed.subscribe(ALICE) as stream:
        stream.seen = 5
        running = asyncio.create_task(feed.run())
        await until(stream._woken.is_set)
        running.cancel()
    assert next(polled, None) is None


async def test_the_poll_wakes_all_streams_that_have_not_seen_the_cursor_yet() -> None:
    cursors = Cursors(lambda ids: [(ALICE, 5), (BOB, 5), (UUID(int=9), 5), (None, 5)])
    feed = feed_of(cursors)
    with (
        feed.subscribe(ALICE) as one,
        feed.subscribe(ALICE) as two,
        feed.subscribe(ALICE) as abreast,
        feed.subscribe(BOB) as bob,
        feed.subscribe(None) as everyone,
    ):
        one.seen, two.seen, abreast.seen, bob.seen, everyone.seen = 4, 0, 5, 6, 4
        running = asyncio.create_task(feed.run())
        await until(one._woken.is_set)
        assert woken(one, two, abreast, bob, everyone) == [True, True, False, False, True]
        assert set(cursors.asked[0]) == {ALICE, BOB}
        running.cancel()
    await asyncio.wait([running])


async def test_a_feed_continues_after_its_first_polls_fail(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "blotter.feed")
    cursors = Cursors(fail, fail, lambda ids: [], fail, lambda ids: [(ALICE, 1)])
    feed = feed_of(cursors)
    with feed.subscribe(ALICE) as alice:
        running = asyncio.create_task(feed.run())
        await until(alice._woken.is_set)
        assert not running.done()
        running.cancel()
    await asyncio.wait([running])
    levels = [record.levelno for record in caplog.records if record.name == "blotter.feed"]
    assert levels == [logging.WARNING, logging.INFO] * 2, "the first failure and the end of the failures"


async def test_a_feed_without_streams_does_not_poll() -> None:
    cursors = Cursors(fail)
    running = asyncio.create_task(feed_of(cursors).run())
    for _ in range(10):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert cursors.asked == []


async def test_a_wait_ends_with_the_hint_or_after_its_seconds() -> None:
    subscription = Subscription()
    async with asyncio.timeout(20):
        await subscription.wait(0.01)
        waiting = asyncio.create_task(subscription.wait(3600))
        await asyncio.sleep(0)
        subscription.wake()
        await waiting


def test_many_streams_of_one_trader_read_less_often_each() -> None:
    feed = feed_of(Cursors(fail))
    assert 0.01 <= feed.pause(ALICE) <= 0.03
    assert feed.pause(None) == 0
    subscriptions = [feed.subscribe(ALICE) for _ in range(5000)]
    for subscription in subscriptions:
        subscription.__enter__()
    pauses = {feed.pause(ALICE) for _ in range(20)}
    assert min(pauses) >= 5
    assert max(pauses) <= 15
    assert len(pauses) > 1, "streams must not all read at the same moment"
    assert feed.pause(BOB) <= 0.03
