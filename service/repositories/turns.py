"""The turns of writers: two messages of a process should not wait for the lock on the counter of one trader."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from uuid import UUID

from service.domain.errors import DatabaseBusy
from service.domain.identity import CallerKind

WAIT_WITH_TURNS = 0.2
"""Seconds for which a call that holds the turns of some traders waits for that of another trader."""

LONGEST_TURN = 12.0
"""Seconds after which others may write for the traders too. A wait for a lock has ended by then (see `lock_timeout` in
sessions.py): the database has not answered, and may never do."""

_Turn = tuple[UUID, CallerKind | None]
"""A trader, and the kind of callers that take turns among themselves; None: those of all kinds."""


class Turns:
    """Each trader has one turn. A message takes those of the traders that it writes for before it takes a connection.

    Otherwise messages would wait for the trader's lock in the database, and hold connections that others need.
    """

    def __init__(self, released: Callable[[], None]) -> None:
        """`released` is called when turns have become free."""
        self._released = released
        self._taken: set[_Turn] = set()
        self._handed_over: set[_Turn] = set()
        self._waiting: dict[_Turn, deque[asyncio.Future[None]]] = {}

    def is_free(self, trader_id: UUID) -> bool:
        """Return whether the turn can be taken at once."""
        return (trader_id, None) not in self._taken

    def take(self, trader_ids: Iterable[UUID]) -> None:
        """Take turns that are free."""
        self._taken.update((trader_id, None) for trader_id in trader_ids)

    def release(self, trader_ids: Iterable[UUID]) -> None:
        """Release turns that `take` has taken."""
        self._release([(trader_id, None) for trader_id in trader_ids])

    @asynccontextmanager
    async def taken(
        self, kind: CallerKind, trader_ids: Collection[UUID], until: float, *, first: bool = False
    ) -> AsyncIterator[None]:
        """Wait for the turn of each trader, at most until that `time.monotonic()`; hold it for LONGEST_TURN at most.

        Raises DatabaseBusy. A trader's own calls wait among themselves first: a gateway's report waits behind at most
        two of them. `first`: a call that has had the turn, and needs it again, waits before the others.
        """
        held: list[_Turn] = []
        try:
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    if kind is CallerKind.TRADER:
                        for trader_id in sorted(trader_ids):
                            await self._wait((trader_id, kind), held)
                    await self._all(sorted(trader_ids), held, first=first)
            except TimeoutError as error:
                raise DatabaseBusy from error
            end = asyncio.get_running_loop().call_later(LONGEST_TURN, self._release_all, held)
            try:
                yield
            finally:
                end.cancel()
        finally:
            self._release_all(held)

    def _release_all(self, held: list[_Turn]) -> None:
        turns = list(held)
        held.clear()
        self._release(turns)

    async def _all(self, order: list[UUID], held: list[_Turn], *, first: bool) -> None:
        """Take the traders' turns.

        A call that holds turns of other traders blocks these while it waits: it should release them, and wait for the
        missing one before it takes the others.
        """
        own = len(held)
        while (awaited := await self._in_order(order, held, first=first)) is not None:
            self._release(held[own:])
            del held[own:]
            order = [awaited, *(trader_id for trader_id in order if trader_id != awaited)]

    async def _in_order(self, trader_ids: list[UUID], held: list[_Turn], *, first: bool) -> UUID | None:
        """Take the turns in this order. Return the first trader whose turn does not become free soon."""
        for index, trader_id in enumerate(trader_ids):
            try:
                async with asyncio.timeout(WAIT_WITH_TURNS if index else None):
                    await self._wait((trader_id, None), held, first=first)
            except TimeoutError:
                return trader_id
        return None

    async def _wait(self, turn: _Turn, held: list[_Turn], *, first: bool = False) -> None:
        if turn in self._taken:
            granted = asyncio.get_running_loop().create_future()
            waiting = self._waiting.setdefault(turn, deque())
            waiting.appendleft(granted) if first else waiting.append(granted)
            try:
                await granted
            except asyncio.CancelledError:
                if granted.cancelled():
                    self._leave(turn, granted)
                else:  # the turn came at the moment of the cancellation
                    self._release([turn])
                raise
        self._taken.add(turn)
        held.append(turn)

    def _leave(self, turn: _Turn, granted: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(turn)
        if waiting and granted in waiting:
            waiting.remove(granted)
            if not waiting:
                del self._waiting[turn]

    def _release(self, turns: Iterable[_Turn]) -> None:
        """Hand each turn to the call that has waited for it longest, if any; every second time let messages take it.

        Otherwise calls that are sent alone, one after another, would keep those that are combined waiting.
        """
        freed = False
        for turn in turns:
            if turn in self._handed_over:
                self._handed_over.discard(turn)
                self._taken.discard(turn)
                self._released()
                if turn in self._taken:
                    continue
            if self._hand_over(turn):
                self._taken.add(turn)
                self._handed_over.add(turn)
            else:
                self._taken.discard(turn)
                freed = True
        if freed:
            self._released()

    def _hand_over(self, turn: _Turn) -> bool:
        while waiting := self._waiting.get(turn):
            granted = waiting.popleft()
            if not waiting:
                del self._waiting[turn]
            if not granted.cancelled():
                granted.set_result(None)
                return True
        return False
