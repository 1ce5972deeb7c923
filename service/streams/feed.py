"""The feed wakes the streams of a trader that may have new events, and those of all traders when the ledger grows.

A wake-up is only a hint to read; a stream reads its events under its caller's own login. A commit of this process gives
a hint at once; the commits of other processes are found by polling the counters of the watched traders. An idle stream
holds no connection and reads about once a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

from service.domain.identity import Caller, CallerKind
from service.observability.failures import summary
from service.observability.metrics import Metrics
from service.repositories.events import Events

TAIL = Caller(CallerKind.EXECUTION, None, actor="feed", request_id="feed")

LEAST_PAUSE = 0.02
READS_A_SECOND = 500
LOOK_SECONDS = 2.0
"""The deadline of one poll; the next one uses another connection."""

log = logging.getLogger("blotter.feed")


class Subscription:
    """The wake-up handle of one stream. `seen`: the cursor up to which the stream has read."""

    def __init__(self) -> None:
        self.seen = 0
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Let the stream read again."""
        self._woken.set()

    def forget_hints(self) -> None:
        """Discard earlier hints; the caller reads next what they announced."""
        self._woken.clear()

    async def wait(self, seconds: float) -> None:
        """Wait for a hint, at most for `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()


class Feed:
    """Wakes the streams of one process."""

    def __init__(self, events: Events, poll_seconds: float, metrics: Metrics) -> None:
        self._events = events
        self._metrics = metrics
        self._polled_at = time.monotonic()
        metrics.before_reading(self._observe)
        self._poll_seconds = poll_seconds
        self._subscriptions: defaultdict[UUID | None, set[Subscription]] = defaultdict(set)
        self._cursors: dict[UUID | None, int] = {}

    @contextmanager
    def subscribe(self, trader_id: UUID | None) -> Iterator[Subscription]:
        """Subscribe to one trader's events, or with None to all traders', until the context ends."""
        subscription = Subscription()
        self._subscriptions[trader_id].add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions[trader_id].discard(subscription)
            if not self._subscriptions[trader_id]:
                del self._subscriptions[trader_id]

    def pause(self, trader_id: UUID | None) -> float:
        """Return the minimum interval, in seconds, between two reads of a stream.

        The more streams a trader has, the less often each reads, and a random factor spreads the reads. Streams of all
        traders have no fixed minimum, because the ledger grows in portions.
        """
        least = LEAST_PAUSE if trader_id else 0.0
        even = max(least, len(self._subscriptions.get(trader_id, ())) / READS_A_SECOND)
        return even * random.uniform(0.5, 1.5)  # noqa: S311  # not a secret

    def hint(self, trader_id: UUID | None) -> None:
        """Wake the streams of a trader whose events this process has committed; with None, those of all traders."""
        for subscription in self._subscriptions.get(trader_id, ()):
            subscription.wake()

    async def run(self) -> None:
        """Poll for commits of other processes until cancelled. An unavailable database delays events and loses none."""
        succeeding = True
        while True:
            await asyncio.sleep(self._poll_seconds)
            if not self._subscriptions:
                self._polled_at = time.monotonic()
                continue
            try:
                await self._poll()
            except Exception as error:  # noqa: BLE001  # after any error the streams must still be woken
                if succeeding:
                    log.warning("The feed cannot poll for new events: %s", summary(error))
                succeeding = False
            else:
                self._polled_at = time.monotonic()
                if not succeeding:
                    log.info("The feed polls for new events again.")
                succeeding = True

    def _observe(self) -> None:
        self._metrics.feed_lag.set(time.monotonic() - self._polled_at if self._subscriptions else 0)

    async def _poll(self) -> None:
        """Wake the streams that have not read up to the cursor of their trader, or of the ledger.

        A cursor lower than at the last poll means that the history has become shorter, which all streams report.
        """
        watched = [trader_id for trader_id in self._subscriptions if trader_id is not None]
        caller = replace(TAIL, deadline=time.monotonic() + LOOK_SECONDS)
        before, self._cursors = self._cursors, dict(await self._events.cursors(caller, watched))
        for trader_id, cursor in self._cursors.items():
            shorter = cursor < before.get(trader_id, cursor)
            for subscription in self._subscriptions.get(trader_id, ()):
                if shorter or cursor > subscription.seen:
                    subscription.wake()
