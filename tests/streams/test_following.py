"""The heartbeats of a stream and its retries of failed reads, with scripted reads and no database."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, cast

import pytest

from blotter.orders.v1 import order_pb2, watch_pb2
from service.domain.errors import (
    BlotterError,
    DatabaseBusy,
    DatabaseUnavailable,
    DeadlineExceeded,
    InvalidResumeToken,
    ResumeTokenOutOfRange,
)
from service.domain.filters import EventFilter
from service.domain.identity import Caller, CallerKind
from service.observability.metrics import Metrics
from service.repositories.events import Batch, Event, Events
from service.servicers.audit import STREAM
from service.servicers.orders import WATCH
from service.streams import Feed, reading
from service.streams.follow import follow
from service.streams.messages import Encoded, StreamMethod
from service.streams.requests import StreamRequest
from tests.conftest import ALICE, BOB
from tests.streams.watching import until

CALLER = Caller(CallerKind.TRADER, ALICE, "trader", "request")
INTERVAL = 0.05


def encoded(event: Event) -> bytes:
    """An event of which only the sequence is known."""
    return watch_pb2.OrderEvents(events=[order_pb2.OrderEvent(sequence=event.log.sequence)]).SerializeToString()


METHOD = StreamMethod(WATCH.name, WATCH.message, WATCH.events_field, encoded)


class Reads:
    """Events that answer each read from a list: a batch, an error, or None for no answer. The last one repeats."""

    def __init__(self, *answers: Callable[[int], Batch] | BlotterError | None) -> None:
        self.answers = list(answers)
        self.cursors: list[int] = []
        self.hanging = 0

    async def after(self, caller: Caller, trader_id: Any, filter_: Any, cursor: int, limit: int) -> Batch:
        assert caller.deadline is not None, "a read that hangs must end"
        self.cursors.append(cursor)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await asyncio.sleep(0)
        if answer is None:
            self.hanging += 1
            try:
                await asyncio.Event().wait()
            finally:
                self.hanging -= 1
        if isinstance(answer, BlotterError):
            raise answer
        assert answer is not None
        return answer(cursor)

    async def bounds(self, caller: Caller, trader_id: Any) -> tuple[int, int]:
        raise DatabaseBusy


def nothing(cursor: int) -> Batch:
    return Batch([], cursor, more=False)


def no_match(cursor: int) -> Batch:
    return Batch([], cursor + 1, more=True)


def event(cursor: int) -> Batch:
    log: Any = type("Log", (), {"sequence": cursor + 1})
    return Batch([Event(log, None)], cursor + 1, more=False)


def positioned(cursor: int) -> Batch:
    """An event of the ledger."""
    [[log, _]] = event(cursor).events
    return Batch([Event(log, cursor)], cursor + 1, more=False)


def feed_of(reads: Reads) -> Feed:
    """A feed that does not poll."""
    events = cast("Events", reads)
    return Feed(events, events, poll_seconds=60, metrics=Metrics())


def following(reads: Reads, live: bool = True) -> tuple[Feed, Any]:
    """A stream of ALICE from the beginning."""
    feed = feed_of(reads)
    stream = StreamRequest(METHOD, CALLER, EventFilter(), INTERVAL, live)
    return feed, follow(cast("Events", reads), feed, stream, 0)


def read(message: Encoded) -> watch_pb2.WatchOrdersResponse:
    """What the client reads."""
    response = watch_pb2.WatchOrdersResponse.FromString(message.data)
    assert response.resume_token == message.resume_token
    return response


async def take(steps: Any, count: int) -> list[watch_pb2.WatchOrdersResponse]:
    """The next `count` messages."""
    async with asyncio.timeout(30):
        return [read(await anext(steps)) for _ in range(count)]


def beats(steps: list[watch_pb2.WatchOrdersResponse]) -> list[tuple[int, int]]:
    """The heartbeats among the messages."""
    found = [step.heartbeat for step in steps if step.HasField("heartbeat")]
    return [(beat.last_sequence, beat.last_event_sequence) for beat in found]


async def test_a_stream_that_reads_much_and_matches_nothing_sends_heartbeats() -> None:
    reads = Reads(no_match)
    _, steps = following(reads)
    async with aclosing(steps):
        first, second = beats(await take(steps, 2))
    assert 0 < first[0] < second[0], "the heartbeat has the position up to which the stream has read"
    assert first[1] == second[1] == 0


async def test_a_read_that_hangs_delays_no_heartbeat_and_ends_with_the_stream() -> None:
    reads = Reads(event, None)
    feed, steps = following(reads)
    async with aclosing(steps):
        taken = await take(steps, 1)
        feed.hint(ALICE)
        taken += await take(steps, 3)
        assert (len(taken[0].events.events), beats(taken)) == (1, [(1, 1)] * 3)
        assert len({step.resume_token for step in taken}) == 1
    assert (reads.hanging, dict(feed._tails)) == (0, {})


async def test_an_idle_stream_does_not_read_for_its_heartbeats() -> None:
    reads = Reads(nothing)
    _, steps = following(reads)
    async with aclosing(steps):
        await take(steps, 5)
    assert reads.cursors == [0]


async def test_a_pause_for_many_streams_delays_no_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    feed, steps = following(Reads(nothing))
    monkeypatch.setattr(feed, "pause", lambda trader_id: 3600.0)
    async with aclosing(steps):
        assert beats(await take(steps, 3)) == [(0, 0)] * 3


async def test_a_busy_trader_does_not_make_a_stream_read_for_each_event(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Reads(event, event, None)
    feed, steps = following(reads)
    monkeypatch.setattr(feed, "pause", lambda trader_id: 3600.0)
    async with aclosing(steps):
        await take(steps, 1)
        feed.hint(ALICE)
        assert [len(step.events.events) for step in await take(steps, 1)] == [1]
        feed.hint(ALICE)
        assert beats(await take(steps, 2)) == [(2, 2)] * 2
        assert reads.cursors == [0, 1]


async def test_a_caller_with_too_many_calls_does_not_end_the_streams_of_others_that_share_its_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Gateways share the reads of the ledger, each with a limit of its own."""
    monkeypatch.setattr(reading, "STALE_SECONDS", 0.3)

    class Limited(Reads):
        async def after(self, caller: Caller, trader_id: Any, filter_: Any, cursor: int, limit: int) -> Batch:
            if caller.actor == "first" and self.cursors:
                raise DatabaseBusy
            return await super().after(caller, trader_id, filter_, cursor, limit)

    reads = Limited(nothing, nothing, positioned, nothing)
    feed = feed_of(reads)

    def stream(actor: str) -> Any:
        caller = Caller(CallerKind.EXECUTION, None, actor, "request")
        return follow(cast("Events", reads), feed, StreamRequest(METHOD, caller, EventFilter(), 60), 0)

    async with aclosing(stream("first")) as first, aclosing(stream("second")) as second:
        waiting = [asyncio.create_task(anext(each)) for each in (first, second)]
        await until(lambda: [len(tail.waiting) for tail in feed._tails.get(None, {}).values()] == [2])
        feed.hint(None)
        async with asyncio.timeout(30):
            messages = [read(message) for message in await asyncio.gather(*waiting)]
    assert [len(message.events.events) for message in messages] == [1, 1]


@pytest.mark.parametrize("error", [DatabaseUnavailable(), DatabaseBusy(), DeadlineExceeded()])
async def test_a_read_that_fails_is_repeated_and_nothing_is_lost(
    error: BlotterError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "RETRY_SECONDS", 0)
    reads = Reads(event, error, error, event, nothing)
    feed, steps = following(reads)
    seen: list[int] = []
    async with aclosing(steps), asyncio.timeout(30):
        while len(seen) < 2:
            feed.hint(ALICE)
            seen += [event.sequence for event in read(await anext(steps)).events.events]
    assert seen == [1, 2]
    assert reads.cursors[:4] == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (DatabaseUnavailable(), DatabaseUnavailable),
        (DatabaseBusy(), DatabaseBusy),
        (DeadlineExceeded(), DatabaseUnavailable),
        (InvalidResumeToken(), InvalidResumeToken),
    ],
)
async def test_a_stream_ends_when_reads_fail_for_too_long(
    error: BlotterError, raised: type[BlotterError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client set no deadline, so the status does not name one."""
    monkeypatch.setattr(reading, "RETRY_SECONDS", 0)
    monkeypatch.setattr(reading, "STALE_SECONDS", 0)
    feed, steps = following(Reads(error))
    async with asyncio.timeout(30), aclosing(steps):
        with pytest.raises(raised):
            await anext(steps)
    assert not feed._tails


async def test_a_stream_that_cannot_begin_is_refused_at_once() -> None:
    stream = StreamRequest(METHOD, CALLER, EventFilter(), INTERVAL)
    async with asyncio.timeout(reading.STALE_SECONDS / 2):
        with pytest.raises(DatabaseBusy):
            await stream.bounds(cast("Events", Reads(None)))


async def test_a_stream_that_is_not_live_ends_with_a_heartbeat() -> None:
    _, steps = following(Reads(no_match, event), live=False)
    taken = [read(step) async for step in steps]
    assert [len(step.events.events) for step in taken] == [1, 0]
    assert beats(taken) == [(2, 2)]


async def test_a_heartbeat_over_all_traders_has_positions() -> None:
    caller = Caller(CallerKind.COMPLIANCE, None, "auditor", "request")
    reads = Reads(nothing)
    stream = StreamRequest(METHOD, caller, EventFilter(), INTERVAL, live=False)
    steps = follow(cast("Events", reads), feed_of(reads), stream, 5)
    async with aclosing(steps):
        [step] = await take(steps, 1)
    assert step.HasField("heartbeat")
    assert (step.heartbeat.last_position, step.heartbeat.last_event_position) == (4, -1)


class Bounds(Reads):
    """Only the events 4 to 8 of a trader exist."""

    async def bounds(self, caller: Caller, trader_id: Any) -> tuple[int, int]:
        return 3, 8


async def test_a_token_resumes_within_the_existing_events() -> None:
    request, events = StreamRequest(METHOD, CALLER, EventFilter(), INTERVAL), cast("Events", Bounds(nothing))
    for cursor in (3, 8):
        assert await request.resume_after(events, request.token(cursor)) == cursor
    for cursor in (2, 9):
        with pytest.raises(ResumeTokenOutOfRange) as refused:
            await request.resume_after(events, request.token(cursor))
        assert refused.value.metadata == {"first_sequence": "4", "last_sequence": "8"}


async def test_a_token_is_valid_only_for_its_own_request() -> None:
    others = [
        StreamRequest(STREAM, CALLER, EventFilter(), INTERVAL),
        StreamRequest(METHOD, Caller(CallerKind.TRADER, BOB, "trader", "request"), EventFilter(), INTERVAL),
        StreamRequest(METHOD, Caller(CallerKind.COMPLIANCE, None, "a", "request"), EventFilter(), INTERVAL),
        StreamRequest(METHOD, Caller(CallerKind.EXECUTION, None, "a", "request"), EventFilter(), INTERVAL),
        StreamRequest(METHOD, CALLER, EventFilter(symbols=["AAPL"]), INTERVAL),
    ]
    events = cast("Events", Bounds(nothing))
    request = StreamRequest(METHOD, CALLER, EventFilter(), INTERVAL)
    for other in others:
        assert await other.resume_after(events, other.token(5)) == 5
        with pytest.raises(InvalidResumeToken):
            await request.resume_after(events, other.token(5))
    with pytest.raises(InvalidResumeToken):
        await others[2].resume_after(events, others[3].token(5))
