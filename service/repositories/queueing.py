"""The queue in front of a pool: callers take turns, and the length of the queue is bounded."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple

from service.domain.errors import DatabaseBusy

Key = object
"""What identifies a caller: the trader's id, or the actor."""


class Limits(NamedTuple):
    """The limits of the callers of one pool."""

    calls: int = 5000
    """Calls of all callers that wait for the database or use it."""
    calls_per_caller: int = 1000
    connections_per_caller: int | None = None
    """Connections that one caller uses at once; None: half of the pool's, rounded up."""


class FairQueue:
    """Lends the pool's connections to callers in turn (round robin), to each caller's calls in order of arrival.

    A caller that enters the queue is served before any other caller is served twice, provided that it uses fewer
    connections than its share.
    """

    def __init__(self, size: int, limits: Limits) -> None:
        """`size` is the number of connections of the pool."""
        self._limits = limits
        self._share = limits.connections_per_caller or (size + 1) // 2
        self._free = size
        self._used: Counter[Key] = Counter()
        self._calls: Counter[Key] = Counter()
        self._all_calls = 0
        self._waiting: OrderedDict[Key, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """The number of calls that wait for a turn."""
        return sum(map(len, self._waiting.values()))

    @property
    def calls(self) -> int:
        """The number of calls that are admitted: those that use a connection, and those that wait."""
        return self._all_calls

    @contextmanager
    def admitted(self, key: Key) -> Iterator[None]:
        """Count a call while the context lasts. Raises DatabaseBusy at once when there are too many."""
        if self._calls[key] >= self._limits.calls_per_caller or self._all_calls >= self._limits.calls:
            raise DatabaseBusy
        self._calls[key] += 1
        self._all_calls += 1
        try:
            yield
        finally:
            self._all_calls -= 1
            _decrement(self._calls, key)

    @asynccontextmanager
    async def turn(self, key: Key) -> AsyncIterator[None]:
        """Wait for a turn, and hold a slot for one connection while the context lasts."""
        granted = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(granted)
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.cancelled():
                self._leave(key, granted)
            else:  # the turn came at the moment of the cancellation
                self._release(key)
            raise
        try:
            yield
        finally:
            self._release(key)

    def _leave(self, key: Key, granted: asyncio.Future[None]) -> None:
        calls = self._waiting.get(key)
        if calls and granted in calls:
            calls.remove(granted)
            if not calls:
                del self._waiting[key]

    def _grant(self) -> None:
        while self._free:
            key = next((key for key in self._waiting if self._used[key] < self._share), None)
            if key is None:
                return
            calls = self._waiting[key]
            granted = calls.popleft()
            if not calls:
                del self._waiting[key]
            elif not granted.cancelled():  # a call that is not served takes no turn from its caller's others
                self._waiting.move_to_end(key)
            if granted.cancelled():
                continue
            self._free -= 1
            self._used[key] += 1
            granted.set_result(None)

    def _release(self, key: Key) -> None:
        self._free += 1
        _decrement(self._used, key)
        self._grant()


def _decrement(counter: Counter[Key], key: Key) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
