"""Whether the database takes orders: what health reports."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from service.repositories.probe import Probe

LOOK_EVERY = 1 / 8
LOOK_WITHIN = 3 / 8
"""Pause and longest duration of a look, as parts of the longest silence: two looks in a row may fail."""

log = logging.getLogger("blotter.liveness")


class Liveness:
    """Looks at the database all the time, on its own, and reports by the clock when the last success is too old.

    The report does not wait for a look to return: a look at a database whose packets vanish may return late or never.
    """

    def __init__(self, probe: Probe, most_seconds: float, report: Callable[[bool], None]) -> None:
        self._probe = probe
        self._most_seconds = most_seconds
        self._report = report
        self._last_success = -float("inf")
        self._reported: bool | None = None

    async def run(self) -> None:
        """Look and report, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_repeatedly(), name="liveness look")
            while True:
                self._report_change()
                await asyncio.sleep(self._most_seconds / 20)

    async def look(self) -> None:
        """Look once and report. Returns in less than the longest silence."""
        started = time.monotonic()
        try:
            await self._probe.write_nothing(within=self._most_seconds * LOOK_WITHIN)
        except Exception as error:  # noqa: BLE001  # whatever it is, the database may take orders later
            log.debug("The database did not answer: %s", error)
        else:
            # The database could take orders when it was asked; the answer may have come much later.
            self._last_success = started
        self._report_change()

    async def _look_repeatedly(self) -> None:
        while True:
            await asyncio.sleep(self._most_seconds * LOOK_EVERY)
            await self.look()

    def _report_change(self) -> None:
        answers = time.monotonic() - self._last_success < self._most_seconds
        if answers != self._reported:
            if not answers and self._reported:
                log.warning("The database has not answered for %s seconds: health is NOT_SERVING.", self._most_seconds)
            elif answers and self._reported is not None:
                log.info("The database answers: health is SERVING.")
            self._reported = answers
            self._report(answers)
