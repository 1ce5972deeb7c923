"""Checks whether this process can accept orders: the database accepts writes, at a revision that this code serves.

Also that callers can be identified: a token issuer's keys have been read once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from service.observability.failures import summary
from service.observability.metrics import Metrics
from service.repositories.probe import Probe

PROBE_EVERY = 1 / 8
PROBE_WITHIN = 3 / 8
"""Pause between probes and deadline of a probe, as fractions of `most_seconds`: two probes in a row may fail."""

log = logging.getLogger("blotter.readiness")


class Readiness:
    """Probes the database continuously; reports not ready when the last success is `most_seconds` old.

    Also when the schema has changed to one that this code does not serve. The report does not wait for a probe to
    return: when packets are lost, a probe may return late or never.
    """

    def __init__(
        self,
        probe: Probe,
        refusal: Callable[[], Awaitable[str | None]],
        most_seconds: float,
        report: Callable[[bool], None],
        metrics: Metrics,
        has_keys: Callable[[], bool],
    ) -> None:
        """`refusal` returns why this code does not serve the schema, None if it does; it may raise a BlotterError.

        `has_keys` returns whether the keys that verify callers were read once. Until then not ready: a process that
        refuses every token must not replace one that does not.
        """
        self._probe = probe
        self._refusal = refusal
        self._most_seconds = most_seconds
        self._report = report
        self._metrics = metrics
        self._has_keys = has_keys
        self._last_success = -float("inf")
        self._failure = "no answer"
        self._revision: str | None = None
        self._refused: str | None = None
        self._reported: tuple[bool, str | None, bool] | None = None

    async def run(self) -> None:
        """Probe and report until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._probe_repeatedly(), name="readiness probe")
            while True:
                self._report_change()
                await asyncio.sleep(self._most_seconds / 20)

    async def probe(self) -> None:
        """Probe once and report. Returns in less than `most_seconds`, except when the revision has changed."""
        started = time.monotonic()
        try:
            revision = await self._probe.write_nothing(within=self._most_seconds * PROBE_WITHIN)
        except Exception as error:  # noqa: BLE001  # after any error the next probe may succeed
            self._failure = summary(error)
            log.debug("The database did not answer: %s", self._failure)
        else:
            # The database accepted writes when the probe started; its response may have come much later.
            self._last_success = started
            await self._check(revision)
        self._report_change()

    async def _probe_repeatedly(self) -> None:
        while True:
            await asyncio.sleep(self._most_seconds * PROBE_EVERY)
            await self.probe()

    async def _check(self, revision: str) -> None:
        """Check a revision that is not that of the last check; the first was checked before the start."""
        if revision == self._revision:
            return
        if self._revision is not None:
            try:
                self._refused = await self._refusal()
            except Exception as error:  # noqa: BLE001  # the next probe checks again
                log.warning("The revision of the database cannot be checked: %s", summary(error))
                return
        self._revision = revision

    def _report_change(self) -> None:
        answers = time.monotonic() - self._last_success < self._most_seconds
        self._metrics.database_up.set(answers)
        identifies = self._has_keys()
        now = (answers, self._refused, identifies)
        if now == self._reported:
            return
        before, self._reported = self._reported, now
        if not answers and before and before[0]:
            log.warning(
                "The database has not answered for %s seconds: health is NOT_SERVING. %s",
                self._most_seconds,
                self._failure,
            )
        elif answers and self._refused:
            log.error("%s Health is NOT_SERVING.", self._refused)
        elif answers and not identifies:
            log.warning("The key set of the token issuer has not been read yet: health is NOT_SERVING.")
        elif answers and before is not None:
            what = "The database answers" if before[2] else "The key set of the token issuer has been read"
            log.info("%s: health is SERVING.", what)
        self._report(answers and not self._refused and identifies)
