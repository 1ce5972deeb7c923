"""Following one trader's events: what WatchOrders and StreamExecutionLogs have in common."""

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
from service.domain.orders import ExecutionLog
from service.feed import Feed
from service.repositories.events import Events
from service.servicers import tokens
from service.servicers.conversion import timestamp

EVENTS_A_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What a caller wants to follow. `method` is the RPC's, of which a token is good for no other."""

    method: str
    caller: Caller
    trader_id: UUID
    filter: EventFilter
    heartbeat_seconds: float
    live: bool = True

    def token(self, last_sequence: int) -> str:
        """Return the token that goes on after an event."""
        return tokens.encode(self._binding, last_sequence)

    async def resume_after(self, events: Events, token: str) -> int:
        """Return the sequence after which a token goes on. Raises InvalidResumeToken, ResumeTokenOutOfRange."""
        try:
            after = tokens.decode(self._binding, token, tokens.sequence)
        except tokens.BadToken as error:
            raise InvalidResumeToken from error
        first, last = await events.bounds(self.caller, self.trader_id)
        if not first - 1 <= after <= last:
            raise ResumeTokenOutOfRange(first_sequence=str(first), last_sequence=str(last))
        return after

    @property
    def _binding(self) -> tuple[object, ...]:
        return self.method, self.trader_id, self.filter


@dataclass(frozen=True, slots=True)
class Step:
    """What one message of a stream says: some events, or the heartbeat."""

    token: str
    logs: list[ExecutionLog]
    heartbeat: watch_pb2.Heartbeat | None


async def follow(events: Events, feed: Feed, wanted: StreamRequest, after: int) -> AsyncGenerator[Step, None]:
    """Yield the trader's events after a sequence, in order, each once.

    A live stream goes on until cancelled; another ends at the present with a heartbeat. Raises Draining.
    """
    clock = asyncio.get_running_loop().time
    spoke, last_event = clock(), 0

    def heartbeat() -> Step:
        now = timestamp(datetime.now(UTC))
        beat = watch_pb2.Heartbeat(last_sequence=after, last_event_sequence=last_event, server_time=now)
        return Step(wanted.token(after), [], beat)

    with feed.subscribe(wanted.trader_id) as subscription:
        while True:
            subscription.forget_hints()
            looked = clock()
            batch = await events.after(wanted.caller, wanted.trader_id, wanted.filter, after, EVENTS_A_MESSAGE)
            after = subscription.seen = batch.last_sequence
            if batch.logs:
                last_event = batch.logs[-1].sequence
                yield Step(wanted.token(after), batch.logs, None)
                spoke = clock()
                if len(batch.logs) == EVENTS_A_MESSAGE:
                    continue
            if not wanted.live:
                yield heartbeat()
                return
            if not await subscription.wait(spoke + wanted.heartbeat_seconds - clock()):
                yield heartbeat()
                spoke = clock()
            # A trader who writes without a pause must not make each of his watchers read for each event.
            await asyncio.sleep(max(0, looked + feed.pause(wanted.trader_id) - clock()))
