"""The condition of the ledger: failures are logged repeatedly at growing intervals, and reported as health."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 240.0

RECOVERED = {
    "appending": "The ledger is growing again",
    "signing": "The ledger is signed again",
    "keeping up": "The ledger keeps up again",
}
"""The tasks that can fail, each with the message that is logged when it succeeds again."""

log = logging.getLogger("blotter.sequencer")


@dataclass(slots=True)
class _Repetition:
    due: float
    pause: float


class Condition:
    """The failures of appending, signing and keeping up. The ledger is healthy when there are none."""

    def __init__(self, report: Callable[[bool], None], clock: Callable[[], float] = time.monotonic) -> None:
        """`report` is called with whether the ledger is healthy, at each change."""
        self._report = report
        self._reported: bool | None = None
        self._clock = clock
        self._failures: dict[str, dict[str, _Repetition]] = {}

    def report_failure(self, task: str, message: str, *, traceback: bool = False) -> None:
        """Record a failure of a task. The message is logged at once, and again after 1 s, 2 s, 4 s and so on.

        Messages that alternate are each repeated at their own intervals. With `traceback`, the first of them is logged
        with the exception that is being handled.
        """
        messages = self._failures.setdefault(task, {})
        now = self._clock()
        known = messages.setdefault(message, _Repetition(now, FIRST_PAUSE_SECONDS))
        if now >= known.due:
            log.error("%s", message, exc_info=traceback and known.pause == FIRST_PAUSE_SECONDS)
            known.due, known.pause = now + known.pause, min(2 * known.pause, LONGEST_PAUSE_SECONDS)
        self._report_change()

    def report_success(self, task: str) -> None:
        """Record that a task succeeds; logged if it failed before."""
        if self._failures.pop(task, None):
            log.info("%s", RECOVERED[task])
        self._report_change()

    def reset(self) -> None:
        """Forget all failures, and report the ledger as unhealthy until a task succeeds."""
        self._failures.clear()
        self._report_change(healthy=False)

    def _report_change(self, *, healthy: bool | None = None) -> None:
        value = not self._failures if healthy is None else healthy
        if value != self._reported:
            self._reported = value
            self._report(value)
