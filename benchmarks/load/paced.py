"""Calls at a fixed rate: each is sent when it is due, whether or not the one before has been answered."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence

from benchmarks.load.http2 import Answered, Calls, bodies, header_block
from benchmarks.load.plan import Caller

_TICK_SECONDS = 0.001


class Paced(Calls):
    """A connection for calls of all callers in turn."""

    def __init__(self, target: str, path: str, callers: Sequence[Caller], answered: Answered) -> None:
        super().__init__(answered)
        opened = [(header_block(target, path, caller.headers), bodies(caller.body)) for caller in callers]
        self._calls = itertools.cycle(enumerate(opened))
        self._callers: dict[int, int] = {}
        self.caller = 0
        """Whose call is being reported: its place among the callers."""

    def next(self) -> None:
        """Send the call of the next caller."""
        caller, (block, body) = next(self._calls)
        self._callers[self._next] = caller
        self.send(self.begin(block, body()))

    def ended(self, stream: int) -> bytes:
        """Report a call."""
        self.caller = self._callers.pop(stream)
        return super().ended(stream)

    async def run(self, rate: float, seconds: float) -> None:
        """Send calls for so many seconds."""
        begin, sent = time.perf_counter(), 0
        while not self.stopping and sent < rate * seconds:
            due = min(rate * seconds, (time.perf_counter() - begin) * rate)
            while sent < due:
                self.next()
                sent += 1
            await asyncio.sleep(_TICK_SECONDS)
