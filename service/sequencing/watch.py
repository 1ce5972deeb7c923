"""Monitors how far the ledger is behind, in every process that may sequence, elected or not."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from service.observability.metrics import Metrics
from service.repositories.append import LedgerWriter
from service.repositories.standing import Standing
from service.sequencing.condition import Condition

LOOK_SECONDS = 1.0
LAG_SECONDS = 10.0
"""How long an event may wait for its position, and an entry for its checkpoint, until the ledger is unhealthy."""

COPIED = (
    "This database is a copy of the one that the ledger grew in: no entries are added. If it has replaced the "
    "original permanently, run blotter ledger rebaseline."
)

SILENT = "The ledger may be behind: the database does not answer the sequencer."


def behind(standing: Standing, checkpoint_seconds: float | None) -> str | None:
    """Return why the ledger is behind; None when it is not. `checkpoint_seconds` is None where nothing is signed."""
    if standing.copied:
        return COPIED
    bound = timedelta(seconds=LAG_SECONDS)
    if standing.lag > bound:
        return f"The ledger is behind: events have had no position since {standing.waiting_since:%Y-%m-%dT%H:%M:%SZ}."
    if checkpoint_seconds is not None and standing.unsigned > bound + 2 * timedelta(seconds=checkpoint_seconds):
        return f"The checkpoints are behind: the newest has {standing.signed_size or 0} entries."
    return None


class Watch:
    """Reads the state of the ledger once a second, and reports a failure when it is behind."""

    def __init__(self, condition: Condition, checkpoint_seconds: float | None, metrics: Metrics) -> None:
        self._condition = condition
        self._metrics = metrics
        self._checkpoint_seconds = checkpoint_seconds

    async def run(self, writer: LedgerWriter) -> None:
        """Check until cancelled. Raises DatabaseUnavailable."""
        before: str | None = None
        while True:
            standing = await writer.standing()
            self._observe(standing)
            now = behind(standing, self._checkpoint_seconds)
            if now is None:
                self._condition.report_success("keeping up")
            elif before:  # twice in a row: after the commit of a long transaction the ledger is behind for a moment
                self._condition.report_failure("keeping up", now)
            before = now
            await asyncio.sleep(LOOK_SECONDS)

    async def report_silence(self, writer: LedgerWriter) -> None:
        """Report, until cancelled, a database that has not answered a statement for LAG_SECONDS.

        `run` may itself wait for that answer or for the connection. Its next successful check ends the failure.
        """
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if writer.asked_at is not None and time.monotonic() - writer.asked_at > LAG_SECONDS:
                self._condition.report_failure("keeping up", SILENT)
                self.forget()

    def forget(self) -> None:
        """Make the metrics of the ledger absent, while the database does not answer."""
        self._set(None, None, None, None)

    def _observe(self, standing: Standing) -> None:
        signed = (standing.now - standing.signed_at).total_seconds() if standing.signed_at else None
        self._set(standing.size, standing.lag.total_seconds(), standing.unsigned.total_seconds(), signed)

    def _set(self, size: int | None, lag: float | None, unsigned: float | None, signed: float | None) -> None:
        self._metrics.ledger_size.set(size)
        self._metrics.ledger_lag.set(lag)
        self._metrics.ledger_unsigned.set(unsigned)
        self._metrics.checkpoint_age.set(signed)
