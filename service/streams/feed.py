"""The feed wakes a trader's streams when the trader may have new events, and those over all when the ledger has grown.

A wake-up is only a hint to look; what a stream delivers, it reads under its caller's own login. The hint comes from
this process's own commits at once, and from a poll of the watched traders' counters for the commits of others.
While nothing happens a stream holds no connection, and reads about once a minute.
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
from service.repositories.events import Events

TAIL = Caller(CallerKind.EXECUTION, None, actor="blotter", request_id="feed")

LEAST_PAUSE = 0.02
LOOKS_A_SECOND = 500
LOOK_SECONDS = 2.0
"""After which a look is given up, and the next one takes another connection."""

log = logging.getLogger("blotter.feed")


class Subscription:
    """The wake-up handle of one stream. `seen`: the cursor up to which the stream has looked."""

    def __init__(self) -> None:
        self.seen = 0
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Let the stream look again."""
        self._woken.set()

    def forget_hints(self) -> None:
        """Forget earlier hints: what they announced will be read now."""
        self._woken.clear()

    async def wait(self, seconds: float) -> None:
        """Wait for a hint, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()


class Feed:
    """The tail of one process."""

    def __init__(self, events: Events, poll_seconds: float) -> None:
        self._events = events
        self._poll_seconds = poll_seconds
        self._subscriptions: defaultdict[UUID | None, set[Subscription]] = defaultdict(set)

    @contextmanager
    def subscribe(self, trader_id: UUID | None) -> Iterator[Subscription]:
        """Listen to one trader's events, or (None) to all traders', for as long as the context lasts."""
        subscription = Subscription()
        self._subscriptions[trader_id].add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions[trader_id].discard(subscription)
            if not self._subscriptions[trader_id]:
                del self._subscriptions[trader_id]

    def pause(self, trader_id: UUID | None) -> float:
        """Return the least seconds between two looks of a stream.

        Many streams of one trader look less often each, and not all at once. The ledger grows by portions, and needs
        no pause between them.
        """
        least = LEAST_PAUSE if trader_id else 0.0
        even = max(least, len(self._subscriptions.get(trader_id, ())) / LOOKS_A_SECOND)
        return even * random.uniform(0.5, 1.5)  # noqa: S311  # nothing secret about it

    def hint(self, trader_id: UUID | None) -> None:
        """Say that this process has committed events of the trader, or (None) added to the ledger."""
        for subscription in self._subscriptions.get(trader_id, ()):
            subscription.wake()

    async def run(self) -> None:
        """Poll for the commits of other processes, until cancelled. An unavailable database delays, never loses."""
        looks = True
        while True:
            await asyncio.sleep(self._poll_seconds)
            if not self._subscriptions:
                continue
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001  # whatever it is, streams must not fall silent for ever
                if looks:
                    log.warning("The feed cannot look for new events: %s", error)
                looks = False
            else:
                if not looks:
                    log.info("The feed looks for new events again.")
                looks = True

    async def _look(self) -> None:
        """Wake the streams whose trader, or the ledger, has gone beyond what they have seen."""
        watched = [trader_id for trader_id in self._subscriptions if trader_id is not None]
        caller = replace(TAIL, deadline=time.monotonic() + LOOK_SECONDS)
        for trader_id, cursor in await self._events.cursors(caller, watched):
            for subscription in self._subscriptions.get(trader_id, ()):
                if cursor > subscription.seen:
                    subscription.wake()
