"""Reads at intervals what the metrics show and no call reports: the database's transactions, and the clock."""

from __future__ import annotations

import asyncio
import logging
import time

from service.observability.clock import clock
from service.observability.metrics import Metrics
from service.repositories.database_state import DatabaseState, State

SAMPLE_SECONDS = 10.0
READ_SECONDS = 2.0

log = logging.getLogger("blotter.sampling")


class Sampling:
    """Sets the gauges of the database and of the clock. What cannot be read is absent."""

    def __init__(self, state: DatabaseState, metrics: Metrics) -> None:
        self._state = state
        self._metrics = metrics
        self._oldest = 0
        self._oldest_since = 0.0

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            await self.sample()
            await asyncio.sleep(SAMPLE_SECONDS)

    async def sample(self) -> None:
        """Sample once."""
        found = clock()
        self._metrics.clock_synchronised.set(None if found is None else found.synchronised)
        self._metrics.clock_offset.set(found.offset_seconds if found and found.synchronised else None)
        try:
            state = await self._state.read(READ_SECONDS)
        except Exception as error:  # noqa: BLE001  # after any error the next sample may succeed
            log.debug("The state of the database cannot be read: %s", error)
            self._oldest = 0
            self._set(None, None, None, None)
        else:
            seen = self._age(state)
            age = max(seen, state.oldest_transaction_seconds or 0, state.prepared_seconds)
            distance = max(state.next_id - state.oldest_open, state.xmin_age or 0, state.slots_age)
            self._set(age, distance, state.counter_bytes, state.counter_dead_rows)

    def _age(self, state: State) -> float:
        """Return for how long the oldest open transaction has been seen.

        That is its age but for the time before the first sample in which it was the oldest. Without sql/harden.sql no
        more is visible, and nothing of transactions that have not written.
        """
        now = time.monotonic()
        if state.oldest_open == state.next_id:
            return 0.0
        if state.oldest_open != self._oldest:
            self._oldest, self._oldest_since = state.oldest_open, now
        return now - self._oldest_since

    def _set(self, age: float | None, distance: int | None, size: int | None, dead_rows: int | None) -> None:
        self._metrics.oldest_transaction.set(age)
        self._metrics.xmin_age.set(distance)
        self._metrics.counter_bytes.set(size)
        self._metrics.counter_dead_rows.set(dead_rows)
