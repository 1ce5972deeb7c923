"""Checks whether the database accepts writes, which health reports."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from service.repositories.probe import Probe

PROBE_EVERY = 1 / 8
PROBE_WITHIN = 3 / 8
"""Pause between probes and deadline of a probe, as fractions of `most_seconds`: two probes in a row may fail."""

log = logging.getLogger("blotter.liveness")


class Liveness:
    """Probes the database continuously, and reports it as unhealthy when the last success is `most_seconds` old.

    The report does not wait for a probe to return: when packets are lost, a probe may return late or never.
    """

    def __init__(self, probe: Probe, most_seconds: float, report: Callable[[bool], None]) -> None:
        self._probe = probe
        self._most_seconds = most_seconds
        self._report = report
        self._last_success = -float("inf")
        self._reported: bool | None = None

    async def run(self) -> None:
        """Probe and report until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._probe_repeatedly(), name="liveness probe")
            while True:
                self._report_change()
                await asyncio.sleep(self._most_seconds / 20)

    async def probe(self) -> None:
        """Probe once and report. Returns in less than `most_seconds`."""
        started = time.monotonic()
        try:
            await self._probe.write_nothing(within=self._most_seconds * PROBE_WITHIN)
        except Exception as error:  # noqa: BLE001  # after any error the next probe may succeed
            log.debug("The database did not answer: %s", error)
        else:
            # The database accepted writes when the probe started; its response may have come much later.
            self._last_success = started
        self._report_change()

    async def _probe_repeatedly(self) -> None:
        while True:
            await asyncio.sleep(self._most_seconds * PROBE_EVERY)
            await self.probe()

    def _report_change(self) -> None:
        answers = time.monotonic() - self._last_success < self._most_seconds
        if answers != self._reported:
            if not answers and self._reported:
                log.warning("The database has not answered for %s seconds: health is NOT_SERVING.", self._most_seconds)
            elif answers and self._reported is not None:
                log.info("The database answers: health is SERVING.")
            self._reported = answers
            self._report(answers)
