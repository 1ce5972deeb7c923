"""A clock that tests control."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc_testing  # type: ignore[import-untyped]  # it ships no types

from blotter_client import AsyncTiming, Timing


@dataclass
class Time:
    """A clock that advances only in pauses and timeouts, and records each in seconds."""

    fake: grpc_testing.Time = field(default_factory=lambda: grpc_testing.strict_fake_time(0))
    pauses: list[float] = field(default_factory=list)
    watchdog_waits: set[float] = field(default_factory=set)
    timeouts: set[float] = field(default_factory=set)
    random: float = 0.5
    mute: threading.Event = field(default_factory=threading.Event)

    def pause(self, over: threading.Event | asyncio.Event, seconds: float) -> None:
        """Advance the clock. The next connection is not mute."""
        self.mute.clear()
        if not over.is_set():
            self.pauses.append(seconds)
            self.fake.sleep_for(seconds)

    def watchdog_wait(self, over: threading.Event, seconds: float) -> None:
        """Wait in the watchdog's thread until a test sets `mute`, then advance the clock."""
        self.watchdog_waits.add(seconds)
        while not (over.is_set() or self.mute.wait(0.01)):
            pass
        if not over.is_set():
            self.fake.sleep_for(seconds)

    async def async_pause(self, over: asyncio.Event, seconds: float) -> None:
        """Advance the clock."""
        self.pause(over, seconds)

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[None]:
        """Expire when a test sets `mute`."""
        self.timeouts.add(seconds)
        async with asyncio.timeout(None) as limit:
            expiring = asyncio.create_task(self._expire(limit, seconds))
            try:
                yield
            finally:
                expiring.cancel()

    async def _expire(self, limit: asyncio.Timeout, seconds: float) -> None:
        while not self.mute.is_set():  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(0.01)
        self.fake.sleep_for(seconds)
        limit.reschedule(asyncio.get_running_loop().time())

    def timing(self, face: str) -> Timing | AsyncTiming:
        """Return the timing for a variant of the client."""
        if face == "asyncio":
            return AsyncTiming(pause=self.async_pause, timeout=self.timeout, random=lambda: self.random)
        return Timing(
            clock=self.fake.time, pause=self.pause, watchdog_wait=self.watchdog_wait, random=lambda: self.random
        )
