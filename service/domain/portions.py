"""Processing of long lists in portions, between which the event loop runs other tasks.

Of all long lists that are processed at one time, one portion is processed in each turn of the event loop: a short call,
which takes several turns, waits for as many portions, however many long lists there are.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar
from weakref import WeakKeyDictionary

Item = TypeVar("Item")
Result = TypeVar("Result")

PORTION_SECONDS = 0.0002
"""How long a portion is processed. To give way costs the event loop some microseconds."""


class _Turns:
    """Wakes one waiting task in each turn of an event loop, in the order in which they began to wait."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        self._waiting.append(woken)
        if len(self._waiting) == 1:
            loop.call_soon(self._wake)
        await woken

    def _wake(self) -> None:
        woken = self._waiting.popleft()
        if not woken.done():  # as of a task that was cancelled
            woken.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._wake)


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()


async def give_way() -> None:
    """Let the event loop run other tasks, and other tasks that give way before this one."""
    loop = asyncio.get_running_loop()
    turns = _turns.get(loop)
    if turns is None:
        turns = _turns[loop] = _Turns()
    await turns.wait()


class Portions:
    """Gives way whenever a portion has taken its time."""

    def __init__(self) -> None:
        self._end = time.perf_counter() + PORTION_SECONDS

    @property
    def over(self) -> bool:
        """Whether to await `next` before further work."""
        return time.perf_counter() >= self._end

    async def next(self) -> None:
        """Give way, and begin a portion."""
        await give_way()
        self._end = time.perf_counter() + PORTION_SECONDS


async def in_portions(convert: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return `convert(item)` of each item, in their order."""
    results: list[Result] = []
    portions = Portions()
    for item in items:
        if portions.over:
            await portions.next()
        results.append(convert(item))
    return results
