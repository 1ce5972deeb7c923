"""The condition of the ledger: what hinders it, repeated in the log with growing pauses, and reported as health."""

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
"""The works that can be hindered, each with the sentence that is logged when it no longer is."""

log = logging.getLogger("blotter.sequencer")


@dataclass(slots=True)
class _Repetition:
    due: float
    pause: float


class Condition:
    """What hinders appending, signing and keeping up; healthy when nothing does."""

    def __init__(self, report: Callable[[bool], None], clock: Callable[[], float] = time.monotonic) -> None:
        """`report` is called with whether the ledger is healthy, each time that this changes."""
        self._report = report
        self._reported: bool | None = None
        self._clock = clock
        self._hindered: dict[str, dict[str, _Repetition]] = {}

    def hinder(self, work: str, sentence: str, *, traceback: bool = False) -> None:
        """Record what hinders a work. The sentence is logged at once, and again after 1 s, 2 s, 4 s and so on.

        Sentences that alternate are each repeated at their own pauses. `traceback` logs the exception that is being
        handled with the first of them.
        """
        sentences = self._hindered.setdefault(work, {})
        now = self._clock()
        known = sentences.setdefault(sentence, _Repetition(now, FIRST_PAUSE_SECONDS))
        if now >= known.due:
            log.error("%s", sentence, exc_info=traceback and known.pause == FIRST_PAUSE_SECONDS)
            known.due, known.pause = now + known.pause, min(2 * known.pause, LONGEST_PAUSE_SECONDS)
        self._tell()

    def recover(self, work: str) -> None:
        """Record that nothing hinders a work; logged where something did."""
        if self._hindered.pop(work, None):
            log.info("%s", RECOVERED[work])
        self._tell()

    def unknown(self) -> None:
        """Forget what hindered the ledger, and report it as unhealthy until a work recovers."""
        self._hindered.clear()
        self._tell(healthy=False)

    def _tell(self, *, healthy: bool | None = None) -> None:
        value = not self._hindered if healthy is None else healthy
        if value != self._reported:
            self._reported = value
            self._report(value)
