"""Following the events of one trader or of all traders: the common part of WatchOrders and StreamExecutionLogs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from blotter.orders.v1 import watch_pb2
from blotter_client.values import timestamp
from service.domain.identity import Caller
from service.domain.portions import in_portions
from service.repositories.events import Batch, Events
from service.streams.feed import Feed
from service.streams.messages import Encoded, first_message
from service.streams.requests import StreamRequest

EVENTS_A_PAGE = 1_000


@dataclass(slots=True)
class Position:
    """The position of a stream: every matching event up to the cursor was delivered."""

    cursor: int
    due: float
    """When the next heartbeat is due, by the clock of the event loop."""
    last: int | None = None
    """The sequence, over all traders the position, of the last event that was delivered; None: there was none."""


async def follow(events: Events, feed: Feed, stream: StreamRequest, cursor: int) -> AsyncGenerator[Encoded, None]:
    """Yield the events after the cursor, in order, each once, and a heartbeat after each interval without events.

    A live stream continues until cancelled; any other ends with a heartbeat after the last event. Heartbeats are sent
    also while the database does not answer. Raises DatabaseUnavailable or DatabaseBusy.
    """
    position = Position(cursor, _next_heartbeat(stream))
    if not stream.live:
        async with aclosing(_catch_up(events, stream, position)) as messages:
            async for message in messages:
                yield message
        yield _heartbeat(stream, position)
        return
    async with feed.joined(stream) as member:
        while True:
            async with aclosing(_catch_up(events, stream, position)) as messages:
                async for message in messages:
                    yield message
            member.caught_up(position.cursor)
            while taken := member.take(position.cursor):
                news = taken.cursor > position.cursor
                position.cursor = taken.cursor
                if taken.message:
                    position.last = taken.last
                    yield taken.message
                    position.due = _next_heartbeat(stream)
                elif not news:
                    if _clock() >= position.due:
                        yield _heartbeat(stream, position)
                        position.due = _next_heartbeat(stream)
                    else:
                        await member.wait(position.due)


async def _catch_up(events: Events, stream: StreamRequest, position: Position) -> AsyncGenerator[Encoded, None]:
    """Yield the events after the position until none is left, and heartbeats while a read lasts.

    The next page is read while one is sent.
    """
    page = _page_after(events, stream, position.cursor)
    try:
        while True:
            await asyncio.wait([page], timeout=max(0.0, position.due - _clock()))
            if _clock() >= position.due:
                yield _heartbeat(stream, position)
                position.due = _next_heartbeat(stream)
            if not page.done():
                continue
            batch = page.result()
            if batch.cursor < position.cursor:
                raise await stream.out_of_range(events)
            if batch.more:
                page = _page_after(events, stream, batch.cursor)
            entries = await in_portions(stream.method.entry, batch.events)
            while entries:
                chosen = first_message(entries)
                del entries[: len(chosen)]
                position.cursor = chosen[-1].cursor if entries else batch.cursor
                position.last = chosen[-1].number
                yield stream.method.events(stream.token(position.cursor), chosen)
                position.due = _next_heartbeat(stream)
            position.cursor = batch.cursor
            if not batch.more:
                return
    finally:
        await _discard(page)


def _page_after(events: Events, stream: StreamRequest, cursor: int) -> asyncio.Task[Batch]:
    """Begin to read the page after a cursor."""

    async def read(caller: Caller) -> Batch:
        return await events.after(caller, stream.trader_id, stream.filter, cursor, EVENTS_A_PAGE)

    return asyncio.create_task(stream.read(read))


async def _discard(page: asyncio.Task[Batch]) -> None:
    page.cancel()
    await asyncio.wait([page])
    if not page.cancelled():
        page.exception()  # asyncio would log an exception that is never retrieved


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _next_heartbeat(stream: StreamRequest) -> float:
    return _clock() + stream.heartbeat_seconds


def _heartbeat(stream: StreamRequest, position: Position) -> Encoded:
    beat = watch_pb2.Heartbeat(server_time=timestamp(datetime.now(UTC)))
    if stream.trader_id is None:
        beat.last_position = position.cursor - 1
        beat.last_event_position = -1 if position.last is None else position.last
    else:
        beat.last_sequence = position.cursor
        beat.last_event_sequence = position.last or 0
    return stream.method.heartbeat(stream.token(position.cursor), beat)
