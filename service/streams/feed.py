"""The feed wakes the tails of a trader that may have new events, and those of all traders when the ledger grows.

A wake-up is only a hint to read. A commit of this process gives a hint at once; the commits of other processes are
found by polling. A stream without news holds no connection and sends no statement of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

from service.domain.filters import EventFilter
from service.domain.identity import Caller, CallerKind
from service.observability.failures import summary
from service.observability.metrics import Metrics
from service.repositories.events import Events
from service.streams.heartbeats import Heartbeats
from service.streams.requests import StreamRequest
from service.streams.tail import Member, Tail

POLLER = Caller(CallerKind.EXECUTION, None, actor="feed", request_id="feed")

LEAST_PAUSE = 0.02
MESSAGES_A_SECOND = 2_000
"""How many messages a second the streams of one trader send at most, unless the pause is the least one."""

LOOK_SECONDS = 2.0
"""The deadline of one poll; the next one uses another connection."""

COMPLETE_SECONDS = 1.0
"""A poll looks at the counters after this time also where the database seems not to have changed."""

BLIND_SECONDS = 10.0
"""When polls have failed for this time, and after it again, each tail reads under a caller of its own."""

EVERYTHING = EventFilter()

Key = tuple[str, CallerKind, UUID | None, bytes | None]

log = logging.getLogger("blotter.feed")


class Feed:
    """Wakes the streams of one process."""

    def __init__(self, events: Events, own: Events, poll_seconds: float, metrics: Metrics) -> None:
        """`events` are those of the callers, `own` those of the service's own tasks."""
        self._events = events
        self._own = own
        self._metrics = metrics
        self._heartbeats = Heartbeats()
        self._polled_at = self._seen_at = time.monotonic()
        metrics.before_reading(self._observe)
        self._poll_seconds = poll_seconds
        self._tails: defaultdict[UUID | None, dict[Key, Tail]] = defaultdict(dict)
        self._state = ""
        self._complete_at = 0.0

    @asynccontextmanager
    async def joined(self, stream: StreamRequest) -> AsyncIterator[Member]:
        """Let a stream take part in the tail of its identity until the context ends."""
        caller, trader_id = stream.caller, stream.trader_id
        # The streams over all traders with one filter do not read what only those with another one need.
        filter_ = EVERYTHING if trader_id else stream.filter
        shared = None if trader_id else stream.binding.digest
        key = (stream.method.name, caller.kind, caller.desk_id, shared)
        tails = self._tails[trader_id]
        if (tail := tails.get(key)) is None:
            tail = tails[key] = Tail(self._events, stream.method, filter_, lambda: self.pause(trader_id))
        member = Member(tail, stream, self._heartbeats)
        tail.members.add(member)
        try:
            yield member
        finally:
            tail.members.discard(member)
            if not tail.members:
                del tails[key]
                if not tails:
                    del self._tails[trader_id]
                await tail.close()

    def pause(self, trader_id: UUID | None) -> float:
        """Return the minimum interval, in seconds, between two reads of a tail.

        The more streams a trader has, the more events wait for one message. Streams of all traders have no fixed
        minimum, because the ledger grows in portions.
        """
        streams = sum(len(tail.members) for tail in self._tails.get(trader_id, {}).values())
        return max(LEAST_PAUSE if trader_id else 0.0, streams / MESSAGES_A_SECOND)

    def hint(self, trader_id: UUID | None) -> None:
        """Wake the tails of a trader whose events this process has committed; with None, those of all traders."""
        for tail in self._tails.get(trader_id, {}).values():
            tail.hint()

    async def run(self) -> None:
        """Poll for commits of other processes until cancelled. An unavailable database delays events and loses none."""
        succeeding = True
        while True:
            await asyncio.sleep(self._poll_seconds)
            now = time.monotonic()
            if not self._tails:
                self._polled_at = self._seen_at = now
                continue
            try:
                await self._poll(now)
            except Exception as error:  # noqa: BLE001  # after any error the streams must still be woken
                if succeeding:
                    log.warning("The feed cannot poll for new events: %s", summary(error))
                succeeding = False
                self._state = ""
                if now - self._seen_at >= BLIND_SECONDS:
                    self._seen_at = now
                    self._hint_all()
            else:
                self._polled_at = self._seen_at = now
                if not succeeding:
                    log.info("The feed polls for new events again.")
                succeeding = True

    def _observe(self) -> None:
        self._metrics.feed_lag.set(time.monotonic() - self._polled_at if self._tails else 0)

    def _hint_all(self) -> None:
        for trader_id in list(self._tails):
            self.hint(trader_id)

    async def _poll(self, now: float) -> None:
        """Wake the tails whose trader, or the ledger, has not the cursor up to which they have read.

        A lower one means that the history has become shorter, which the tail's streams find out when it reads. A trader
        whose counter is gone has the cursor 0.
        """
        caller = replace(POLLER, deadline=time.monotonic() + LOOK_SECONDS)
        state = await self._own.state(caller)
        if state == self._state and now < self._complete_at:
            return
        self._complete_at = now + COMPLETE_SECONDS
        watched = [trader_id for trader_id in self._tails if trader_id is not None]
        # Of before the poll: a tail that reads meanwhile may be further than the poll.
        heads = {tail: tail.head for tails in self._tails.values() for tail in tails.values()}
        cursors: dict[UUID | None, int] = dict(await self._own.cursors(caller, watched))
        self._state = state
        for trader_id in (*watched, None):
            cursor = cursors.get(trader_id, 0)
            for tail in self._tails.get(trader_id, {}).values():
                shorter = cursor < heads.get(tail, cursor)
                if shorter or cursor > tail.head:
                    tail.hint()
