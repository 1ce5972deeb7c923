"""Watching how far the ledger is behind: in every process that may sequence, whichever of them does."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from service.repositories.append import LedgerWriter
from service.repositories.standing import Standing
from service.sequencing.condition import Condition

LOOK_SECONDS = 1.0
LAG_SECONDS = 10.0
"""How long an event may wait for its position, and an entry for its checkpoint, before the ledger is unhealthy."""

COPIED = (
    "This database is a copy of the one that the ledger grew in: no entries are added. If it has taken the place of "
    "the other for good: blotter ledger rebaseline"
)

SILENT = "The ledger may be behind: the database does not answer the sequencer."


def behind(standing: Standing, checkpoint_seconds: float | None) -> str | None:
    """Return why the ledger is behind; None when it is not. `checkpoint_seconds` is None where nothing signs."""
    if standing.copied:
        return COPIED
    bound = timedelta(seconds=LAG_SECONDS)
    if standing.lag > bound:
        return f"The ledger is behind: events have had no position since {standing.waiting_since:%Y-%m-%dT%H:%M:%SZ}."
    if checkpoint_seconds is not None and standing.unsigned > bound + 2 * timedelta(seconds=checkpoint_seconds):
        return f"The checkpoints are behind: the newest is of {standing.signed_size or 0} entries."
    return None


class Watch:
    """Looks once a second where the ledger stands, and records it when it is behind."""

    def __init__(self, condition: Condition, checkpoint_seconds: float | None) -> None:
        self._condition = condition
        self._checkpoint_seconds = checkpoint_seconds

    async def run(self, writer: LedgerWriter) -> None:
        """Look until cancelled. Raises DatabaseUnavailable."""
        before: str | None = None
        while True:
            now = behind(await writer.standing(), self._checkpoint_seconds)
            if now is None:
                self._condition.recover("keeping up")
            elif before:  # twice: a transaction that was open for long is behind when it commits, for a moment
                self._condition.hinder("keeping up", now)
            before = now
            await asyncio.sleep(LOOK_SECONDS)

    async def report_silence(self, writer: LedgerWriter) -> None:
        """Record, until cancelled, when the database does not answer what it was asked, by the clock.

        The look itself may be what is not answered, or wait behind it for the connection. The next look that is
        answered records that this is over.
        """
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if writer.asked_at is not None and time.monotonic() - writer.asked_at > LAG_SECONDS:
                self._condition.hinder("keeping up", SILENT)
