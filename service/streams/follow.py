"""Following the events of one trader or of all traders: the common part of WatchOrders and StreamExecutionLogs."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from blotter.orders.v1 import watch_pb2
from blotter_client.values import timestamp
from service.domain.errors import (
    DatabaseBusy,
    DatabaseUnavailable,
    DeadlineExceeded,
    InvalidResumeToken,
    ResumeTokenOutOfRange,
)
from service.domain.filters import EventFilter
from service.domain.identity import Caller
from service.repositories.events import Batch, Event, Events
from service.streams import Feed, tokens

T = TypeVar("T")

EVENTS_A_MESSAGE = 500
READ_SECONDS = 5.0
STALE_SECONDS = 20.0
RETRY_SECONDS = 0.2
UNHINTED_SECONDS = 30.0
"""A stream reads without a hint after this time to twice this time, because the feed's polls may fail."""


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """The events that a caller follows. A token is bound to `method`, the name of the RPC."""

    method: str
    caller: Caller
    filter: EventFilter
    heartbeat_seconds: float
    live: bool = True

    @property
    def trader_id(self) -> UUID | None:
        """The trader whose events are followed; None for callers that see several traders."""
        return self.caller.trader_id

    def token(self, cursor: int) -> str:
        """Return the token that resumes after a cursor."""
        return tokens.encode(self._binding, cursor)

    async def resume_after(self, events: Events, token: str) -> int:
        """Return the cursor after which a token resumes. Raises InvalidResumeToken or ResumeTokenOutOfRange."""
        try:
            cursor = tokens.decode(self._binding, token, tokens.sequence)
        except tokens.BadToken as error:
            raise InvalidResumeToken from error
        least, most = await self.bounds(events)
        if not least <= cursor <= most:
            raise self._out_of_range(least, most)
        return cursor

    async def out_of_range(self, events: Events) -> ResumeTokenOutOfRange:
        """Return the error for a cursor that is no longer in the history."""
        return self._out_of_range(*await self.bounds(events))

    def _out_of_range(self, least: int, most: int) -> ResumeTokenOutOfRange:
        if self.trader_id is None:
            return ResumeTokenOutOfRange(first_position=str(least), last_position=str(most - 1))
        return ResumeTokenOutOfRange(first_sequence=str(least + 1), last_sequence=str(most))

    async def bounds(self, events: Events) -> tuple[int, int]:
        """Return the least cursor that a token may have, and the current one.

        Does not retry, because nothing has been sent yet. Raises DatabaseUnavailable or DatabaseBusy.
        """
        return await self.read(lambda caller: events.bounds(caller, self.trader_id), stale_seconds=0)

    async def read(self, read: Callable[[Caller], Awaitable[T]], stale_seconds: float | None = None) -> T:
        """Return what `read` returns for the caller. Each attempt has a deadline of READ_SECONDS.

        A failed read is retried on another connection. Raises DatabaseUnavailable or DatabaseBusy when reads have
        failed for `stale_seconds` (None: STALE_SECONDS): another server may be able to read, and the client must not
        mistake a stale view for one without news.
        """
        clock = time.monotonic
        stale = clock() + (STALE_SECONDS if stale_seconds is None else stale_seconds)
        while True:
            deadline = min(clock() + READ_SECONDS, self.caller.deadline or math.inf)
            try:
                return await read(replace(self.caller, deadline=deadline))
            except (DatabaseUnavailable, DatabaseBusy, DeadlineExceeded) as error:
                if clock() >= stale:
                    raise (DatabaseBusy if isinstance(error, DatabaseBusy) else DatabaseUnavailable) from error
            await asyncio.sleep(RETRY_SECONDS)

    @property
    def _binding(self) -> tuple[object, ...]:
        return self.method, self.trader_id or self.caller.desk_id or self.caller.kind, self.filter


@dataclass(frozen=True, slots=True)
class Step:
    """The content of one message of a stream: events or a heartbeat."""

    token: str
    events: list[Event]
    heartbeat: watch_pb2.Heartbeat | None


@dataclass(slots=True)
class Position:
    """The position of a stream: every matching event up to the cursor was delivered, the last one is `last_event`."""

    cursor: int
    last_event: Event | None = None


async def follow(events: Events, feed: Feed, stream: StreamRequest, cursor: int) -> AsyncGenerator[Step, None]:
    """Yield the events after the cursor, in order, each once, and a heartbeat after each interval without events.

    A live stream continues until cancelled; any other ends with a heartbeat after the last event. Heartbeats are sent
    also while the database does not answer. Raises DatabaseUnavailable or DatabaseBusy.
    """
    position = Position(cursor)
    steps = _follow(events, feed, stream, position)
    step: asyncio.Task[Step | None] | None = None
    try:
        while True:
            step = step or asyncio.create_task(_next(steps))
            await asyncio.wait([step], timeout=stream.heartbeat_seconds)
            if not step.done():
                yield _heartbeat(stream, position)
                continue
            result, step = step.result(), None
            yield result or _heartbeat(stream, position)
            if result is None:
                return
    finally:
        if step:
            step.cancel()
            await asyncio.wait([step])
        await steps.aclose()


async def _next(steps: AsyncGenerator[Step, None]) -> Step | None:
    return await anext(steps, None)


async def _follow(events: Events, feed: Feed, stream: StreamRequest, position: Position) -> AsyncGenerator[Step, None]:
    """Yield the events and update the position, which between two steps is that of the last delivered event."""
    clock = asyncio.get_running_loop().time

    async def after(caller: Caller) -> Batch:
        return await events.after(caller, stream.trader_id, stream.filter, position.cursor, EVENTS_A_MESSAGE)

    with feed.subscribe(stream.trader_id) as subscription:
        while True:
            subscription.forget_hints()
            read_at = clock()
            batch = await stream.read(after)
            if batch.cursor < position.cursor:
                raise await stream.out_of_range(events)
            position.cursor = subscription.seen = batch.cursor
            if batch.events:
                position.last_event = batch.events[-1]
                yield Step(stream.token(batch.cursor), batch.events, None)
            if batch.more:
                continue
            if not stream.live:
                return
            await subscription.wait(UNHINTED_SECONDS * random.uniform(1, 2))  # noqa: S311  # not a secret
            # A trader that writes continuously must not make each of their streams read for each event.
            await asyncio.sleep(read_at + feed.pause(stream.trader_id) - clock())


def _heartbeat(stream: StreamRequest, position: Position) -> Step:
    beat = watch_pb2.Heartbeat(server_time=timestamp(datetime.now(UTC)))
    last = position.last_event
    if stream.trader_id is None:
        beat.last_position = position.cursor - 1
        beat.last_event_position = -1 if last is None or last.position is None else last.position
    else:
        beat.last_sequence = position.cursor
        beat.last_event_sequence = last.log.sequence if last else 0
    return Step(stream.token(position.cursor), [], beat)
