"""Which tails the feed wakes, and that the feed continues after a poll that fails."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast
from uuid import UUID

import pytest

from service.domain.errors import DatabaseUnavailable
from service.domain.filters import EventFilter
from service.domain.identity import Caller, CallerKind
from service.observability.metrics import Metrics
from service.repositories.events import Batch, Events
from service.servicers.orders import WATCH
from service.streams import Feed
from service.streams import feed as feeds
from service.streams.requests import StreamRequest
from service.streams.tail import Member
from tests.conftest import ALICE, BOB
from tests.streams.watching import until

Poll = Callable[[list[UUID]], list[tuple[UUID | None, int]]]


class Cursors:
    """Events that return only cursors, and count the reads of each trader's tail."""

    def __init__(self, *polls: Poll) -> None:
        self.polls = list(polls)
        self.asked: list[list[UUID]] = []
        self.states = 0
        self.changing = True
        self.read: list[UUID | None] = []

    async def state(self, caller: Caller) -> str:
        assert caller.deadline is not None, "a poll that hangs must end"
        self.states += 1
        return str(self.states) if self.changing else "the same"

    async def cursors(self, caller: Caller, trader_ids: list[UUID]) -> list[tuple[UUID | None, int]]:
        assert caller.deadline is not None, "a poll that hangs must end"
        self.asked.append(trader_ids)
        return (self.polls.pop(0) if len(self.polls) > 1 else self.polls[0])(trader_ids)

    async def after(self, caller: Caller, trader_id: UUID | None, filter_: Any, cursor: int, limit: int) -> Batch:
        self.read.append(trader_id)
        return Batch([], cursor, more=False)


def feed_of(cursors: Cursors) -> Feed:
    """A feed that polls without a pause."""
    events = cast("Events", cursors)
    return Feed(events, events, poll_seconds=0, metrics=Metrics())


@asynccontextmanager
async def waiting(feed: Feed, trader_id: UUID | None, cursor: int = 0) -> AsyncIterator[Member]:
    """A stream that has read up to the cursor, and waits again after each news."""
    kind = CallerKind.TRADER if trader_id else CallerKind.EXECUTION
    stream = StreamRequest(WATCH, Caller(kind, trader_id, "a", "request"), EventFilter(), 60)

    async def wait(member: Member) -> None:
        member.caught_up(cursor)
        while True:
            await member.wait(asyncio.get_running_loop().time() + 3600)

    async with feed.joined(stream) as member:
        task = asyncio.create_task(wait(member))
        await asyncio.sleep(0)
        yield member
        task.cancel()
        await asyncio.wait([task])


def fail(trader_ids: list[UUID]) -> Any:
    raise DatabaseUnavailable


async def test_a_hint_wakes_the_tail_of_its_trader_and_no_other() -> None:
    cursors = Cursors(lambda ids: [])
    feed = feed_of(cursors)
    async with (
        waiting(feed, ALICE),
        waiting(feed, ALICE),
        waiting(feed, BOB),
        waiting(feed, None),
    ):
        feed.hint(ALICE)
        await until(lambda: cursors.read == [ALICE])
        feed.hint(None)
        await until(lambda: cursors.read == [ALICE, None])
        feed.hint(BOB)
        await until(lambda: cursors.read == [ALICE, None, BOB])
    feed.hint(ALICE)
    assert not feed._tails


async def test_the_poll_wakes_all_streams_when_the_history_has_become_shorter() -> None:
    """As after a failover to a standby that lacked the newest events."""
    polled = iter((5, 5, 3))
    cursors = Cursors(lambda ids: [(ALICE, next(polled, 3))])
    feed = feed_of(cursors)
    async with waiting(feed, ALICE, 5):
        running = asyncio.create_task(feed.run())
        await until(lambda: bool(cursors.read))
        running.cancel()
    assert next(polled, None) is None


@pytest.mark.parametrize("polled", [[(None, 3), (ALICE, 3)], [(None, 3)]])
async def test_the_first_poll_after_a_stream_was_opened_finds_that_the_history_is_shorter(polled: list[Any]) -> None:
    """Also where the trader's counter is gone, as after a return to a backup from before the trader's first order."""
    cursors = Cursors(lambda ids: polled)
    feed = feed_of(cursors)
    async with waiting(feed, ALICE, 5), waiting(feed, BOB, 0), waiting(feed, None, 5):
        running = asyncio.create_task(feed.run())
        await until(lambda: {ALICE, None} <= set(cursors.read))
        assert BOB not in cursors.read
        running.cancel()
    await asyncio.wait([running])


async def test_the_poll_wakes_the_tails_that_have_not_read_up_to_the_cursor() -> None:
    cursors = Cursors(lambda ids: [(ALICE, 5), (BOB, 5), (UUID(int=9), 5), (None, 5)])
    feed = feed_of(cursors)
    async with waiting(feed, ALICE, 4), waiting(feed, BOB, 5), waiting(feed, None, 4):
        running = asyncio.create_task(feed.run())
        await until(lambda: {ALICE, None} <= set(cursors.read))
        assert BOB not in cursors.read
        assert set(cursors.asked[0]) == {ALICE, BOB}
        running.cancel()
    await asyncio.wait([running])


async def test_a_poll_looks_at_no_counter_while_nothing_is_written_but_for_each_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cursors = Cursors(lambda ids: [])
    cursors.changing = False
    feed = feed_of(cursors)
    monkeypatch.setattr(feeds, "COMPLETE_SECONDS", 3600)
    async with waiting(feed, ALICE):
        running = asyncio.create_task(feed.run())
        await until(lambda: cursors.states > 50)
        assert len(cursors.asked) == 1
        monkeypatch.setattr(feeds, "COMPLETE_SECONDS", 0.0)
        cursors.changing = True
        await until(lambda: len(cursors.asked) > 1)
        cursors.changing = False
        asked = len(cursors.asked)
        await until(lambda: len(cursors.asked) > asked + 5)
        running.cancel()
    await asyncio.wait([running])


async def test_a_feed_continues_after_its_first_polls_fail(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "blotter.feed")
    cursors = Cursors(fail, fail, lambda ids: [], fail, lambda ids: [(ALICE, 1)])
    feed = feed_of(cursors)
    async with waiting(feed, ALICE):
        running = asyncio.create_task(feed.run())
        await until(lambda: bool(cursors.read))
        assert not running.done()
        running.cancel()
    await asyncio.wait([running])
    levels = [record.levelno for record in caplog.records if record.name == "blotter.feed"]
    assert levels == [logging.WARNING, logging.INFO] * 2, "the first failure and the end of the failures"


async def test_tails_read_for_themselves_when_the_polls_fail_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's own connections may fail while those of the callers work."""
    monkeypatch.setattr(feeds, "BLIND_SECONDS", 0.05)
    cursors = Cursors(fail)
    feed = feed_of(cursors)
    async with waiting(feed, ALICE), waiting(feed, None):
        running = asyncio.create_task(feed.run())
        await until(lambda: cursors.read.count(ALICE) > 1 and cursors.read.count(None) > 1)
        running.cancel()
    await asyncio.wait([running])


async def test_a_feed_without_streams_does_not_poll() -> None:
    cursors = Cursors(fail)
    running = asyncio.create_task(feed_of(cursors).run())
    for _ in range(10):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert (cursors.asked, cursors.states) == ([], 0)


async def test_the_tail_of_a_trader_with_many_streams_reads_less_often() -> None:
    feed = feed_of(Cursors(fail))
    assert feed.pause(ALICE) == feeds.LEAST_PAUSE
    assert feed.pause(None) == 0
    stream = StreamRequest(WATCH, Caller(CallerKind.TRADER, ALICE, "a", "request"), EventFilter(), 60)
    async with AsyncExitStack() as streams:
        for _ in range(500):
            await streams.enter_async_context(feed.joined(stream))
        assert feed.pause(ALICE) == 500 / feeds.MESSAGES_A_SECOND
        assert feed.pause(BOB) == feeds.LEAST_PAUSE
