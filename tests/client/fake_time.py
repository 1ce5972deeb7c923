"""Time that tests can see pass."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import grpc_testing  # type: ignore[import-untyped]  # it ships no types

from blotter_client import Timing


@dataclass
class Time:
    """Time that passes only in pauses. Each pause is noted, and how long the watchdog waits, in seconds."""

    fake: grpc_testing.Time = field(default_factory=lambda: grpc_testing.strict_fake_time(0))
    pauses: list[float] = field(default_factory=list)
    watchdog_waits: set[float] = field(default_factory=set)
    random: float = 0.5
    mute: threading.Event = field(default_factory=threading.Event)

    def pause(self, over: threading.Event, seconds: float) -> None:
        """Let the time pass. The new connection is not mute."""
        self.mute.clear()
        if not over.is_set():
            self.pauses.append(seconds)
            self.fake.sleep_for(seconds)

    def watchdog_wait(self, over: threading.Event, seconds: float) -> None:
        """Wait, in the watchdog's thread, until a test says that the server is mute; then let the time pass."""
        self.watchdog_waits.add(seconds)
        while not (over.is_set() or self.mute.wait(0.01)):
            pass
        if not over.is_set():
            self.fake.sleep_for(seconds)

    @property
    def timing(self) -> Timing:
        """For the client."""
        return Timing(
            clock=self.fake.time,
            pause=self.pause,
            watchdog_wait=self.watchdog_wait,
            random=lambda: self.random,
        )
