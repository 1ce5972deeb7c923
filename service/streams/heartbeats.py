"""The heartbeats of the streams that wait: one timer for all of them."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict

TICKS = 16
"""Heartbeats are late by a part of their interval, one of so many, so that those of many streams are sent together."""

PORTION = 20
"""How many streams are woken before the event loop runs other tasks: a thousand at once would delay the writers."""

EARLY_SECONDS = 0.001
"""How early a timer may fire: uvloop's clock counts milliseconds."""

Woken = asyncio.Future[None]


def wake(woken: Woken) -> None:
    """End a wait, unless it has ended."""
    if not woken.done():
        woken.set_result(None)


class Heartbeats:
    """Wakes waiting streams when their heartbeats are due."""

    def __init__(self) -> None:
        self._waits: defaultdict[float, set[Woken]] = defaultdict(set)
        self._timer: asyncio.Handle | None = None
        self._next = math.inf
        """When the timer fires: uvloop's handle does not know it of a timer that is due at once."""

    def add(self, woken: Woken, due: float, interval: float) -> float:
        """Wake at the time `due` of the event loop's clock, or a little later. Return the time."""
        tick = interval / TICKS
        moment = math.ceil(due / tick) * tick
        self._waits[moment].add(woken)
        if moment < self._next:
            self._schedule()
        return moment

    def discard(self, woken: Woken, moment: float) -> None:
        """Forget a wait that has ended; `moment` is what `add` has returned."""
        if waits := self._waits.get(moment):
            waits.discard(woken)
            if not waits:
                del self._waits[moment]

    def _schedule(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._next = min(self._waits, default=math.inf)
        if self._waits:
            self._timer = asyncio.get_running_loop().call_at(self._next, self._fire)

    def _fire(self) -> None:
        moment = min(self._waits, default=math.inf)
        if moment <= asyncio.get_running_loop().time() + EARLY_SECONDS:
            waits = self._waits[moment]
            for _ in range(min(PORTION, len(waits))):
                wake(waits.pop())
            if not waits:
                del self._waits[moment]
        self._schedule()
