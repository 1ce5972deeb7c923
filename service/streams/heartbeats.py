"""The heartbeats of the streams that wait: one timer for all of them."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict

TICK = 0.25
"""The streams whose heartbeats are due within so many seconds are woken together, at most that late."""

PORTION = 20
"""How many streams are woken before the event loop runs other tasks: a thousand at once would delay the writers."""

Woken = asyncio.Future[None]


def wake(woken: Woken) -> None:
    """End a wait, unless it has ended."""
    if not woken.done():
        woken.set_result(None)


class Heartbeats:
    """Wakes waiting streams when their heartbeats are due."""

    def __init__(self) -> None:
        self._waits: defaultdict[int, set[Woken]] = defaultdict(set)
        self._timer: asyncio.TimerHandle | None = None

    def add(self, woken: Woken, due: float) -> None:
        """Wake at the time `due` of the event loop's clock."""
        tick = math.ceil(due / TICK)
        self._waits[tick].add(woken)
        if self._timer is None or tick * TICK < self._timer.when():
            self._schedule()

    def discard(self, woken: Woken, due: float) -> None:
        """Forget a wait that has ended."""
        tick = math.ceil(due / TICK)
        if waits := self._waits.get(tick):
            waits.discard(woken)
            if not waits:
                del self._waits[tick]

    def _schedule(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._waits:
            self._timer = asyncio.get_running_loop().call_at(min(self._waits) * TICK, self._fire)

    def _fire(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        tick = min(self._waits, default=None)
        if tick is not None and tick * TICK <= loop.time():
            waits = self._waits[tick]
            for _ in range(min(PORTION, len(waits))):
                wake(waits.pop())
            if not waits:
                del self._waits[tick]
        self._schedule()
