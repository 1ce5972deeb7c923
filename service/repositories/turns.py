"""The turns of writers: few calls at a time wait for the lock on one trader's counter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID
from weakref import WeakValueDictionary

from service.domain.errors import DatabaseBusy
from service.domain.identity import CallerKind

WRITERS_A_TRADER = 2
"""One active and one queued writer per trader; more would hold connections that other callers need."""
WAIT_WITH_TURNS = 0.2
"""Seconds for which a call that holds the turns of some traders waits for that of another trader."""


class Turns:
    """The turns of each trader's writers, taken before a connection is, so that at most one waits for its lock."""

    def __init__(self) -> None:
        self._writers: WeakValueDictionary[tuple[UUID, CallerKind | None], asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def taken(self, kind: CallerKind, trader_ids: Collection[UUID], until: float | None) -> AsyncIterator[None]:
        """Wait for a turn of each trader, at most until that time of the loop. Raises DatabaseBusy.

        A trader's own calls wait among themselves first: a gateway's report waits behind at most two of them.
        """
        async with AsyncExitStack() as turns, AsyncExitStack() as own:
            try:
                async with asyncio.timeout_at(until):
                    if kind is CallerKind.TRADER:
                        for trader_id in trader_ids:
                            await own.enter_async_context(self._turn(trader_id, CallerKind.TRADER))
                    order = sorted(trader_ids)
                    while (awaited := await self._enter(turns, order)) is not None:
                        await turns.aclose()
                        order = [awaited, *(trader_id for trader_id in order if trader_id != awaited)]
            except TimeoutError as error:
                raise DatabaseBusy from error
            yield

    async def _enter(self, turns: AsyncExitStack, trader_ids: list[UUID]) -> UUID | None:
        """Take the traders' turns in this order. Returns the first one that does not become free soon.

        A call that holds turns of other traders blocks these while it waits: it should release them, and wait for the
        missing one before it takes the others.
        """
        for index, trader_id in enumerate(trader_ids):
            try:
                async with asyncio.timeout(WAIT_WITH_TURNS if index else None):
                    await turns.enter_async_context(self._turn(trader_id))
            except TimeoutError:
                return trader_id
        return None

    def _turn(self, trader_id: UUID, kind: CallerKind | None = None) -> asyncio.Semaphore:
        """Return the turns of a trader's writers: of one kind of caller, or (None) of all."""
        return self._writers.setdefault((trader_id, kind), asyncio.Semaphore(WRITERS_A_TRADER))
