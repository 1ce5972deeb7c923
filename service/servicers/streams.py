"""Following events, one trader's or all traders': what WatchOrders and StreamExecutionLogs have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from blotter.orders.v1 import watch_pb2
from service.domain.errors import InvalidResumeToken, ResumeTokenOutOfRange
from service.domain.filters import EventFilter
from service.domain.identity import Caller
from service.feed import Feed
from service.repositories.events import Event, Events
from service.servicers import tokens
from service.servicers.conversion import timestamp

EVENTS_A_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What a caller wants to follow. `method` is the RPC's, of which a token is good for no other."""

    method: str
    caller: Caller
    filter: EventFilter
    heartbeat_seconds: float
    live: bool = True

    @property
    def trader_id(self) -> UUID | None:
        """Whose events: the trader's own; None for callers that see all."""
        return self.caller.trader_id

    def token(self, cursor: int) -> str:
        """Return the token that goes on beyond a cursor."""
        return tokens.encode(self._binding, cursor)

    async def resume_after(self, events: Events, token: str) -> int:
        """Return the cursor beyond which a token goes on. Raises InvalidResumeToken, ResumeTokenOutOfRange."""
        try:
            cursor = tokens.decode(self._binding, token, tokens.sequence)
        except tokens.BadToken as error:
            raise InvalidResumeToken from error
        least, most = await events.bounds(self.caller, self.trader_id)
        if not least <= cursor <= most:
            if self.trader_id is None:
                raise ResumeTokenOutOfRange(first_position=str(least), last_position=str(most - 1))
            raise ResumeTokenOutOfRange(first_sequence=str(least + 1), last_sequence=str(most))
        return cursor

    @property
    def _binding(self) -> tuple[object, ...]:
        return self.method, self.trader_id or self.caller.kind, self.filter


@dataclass(frozen=True, slots=True)
class Step:
    """What one message of a stream says: some events, or the heartbeat."""

    token: str
    events: list[Event]
    heartbeat: watch_pb2.Heartbeat | None


async def follow(events: Events, feed: Feed, wanted: StreamRequest, cursor: int) -> AsyncGenerator[Step, None]:
    """Yield the events beyond the cursor, in order, each once.

    A live stream goes on until cancelled; another ends at the present with a heartbeat. Raises Draining.
    """
    clock = asyncio.get_running_loop().time
    spoke = clock()
    last_event: Event | None = None

    with feed.subscribe(wanted.trader_id) as subscription:
        while True:
            subscription.forget_hints()
            looked = clock()
            batch = await events.after(wanted.caller, wanted.trader_id, wanted.filter, cursor, EVENTS_A_MESSAGE)
            cursor = subscription.seen = batch.cursor
            if batch.events:
                last_event = batch.events[-1]
                yield Step(wanted.token(cursor), batch.events, None)
                spoke = clock()
            if batch.more:
                if clock() - spoke >= wanted.heartbeat_seconds:  # much was read, and nothing matched
                    yield _heartbeat(wanted, cursor, last_event)
                    spoke = clock()
                continue
            if not wanted.live:
                yield _heartbeat(wanted, cursor, last_event)
                return
            if not await subscription.wait(spoke + wanted.heartbeat_seconds - clock()):
                yield _heartbeat(wanted, cursor, last_event)
                spoke = clock()
            # A trader who writes without a pause must not make each of his watchers read for each event.
            await asyncio.sleep(max(0, looked + feed.pause(wanted.trader_id) - clock()))


def _heartbeat(wanted: StreamRequest, cursor: int, last_event: Event | None) -> Step:
    beat = watch_pb2.Heartbeat(server_time=timestamp(datetime.now(UTC)))
    if wanted.trader_id is None:
        beat.last_position = cursor - 1
        beat.last_event_position = -1 if last_event is None or last_event.position is None else last_event.position
    else:
        beat.last_sequence = cursor
        beat.last_event_sequence = last_event.log.sequence if last_event else 0
    return Step(wanted.token(cursor), [], beat)
