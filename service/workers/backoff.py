"""How long a child that has ended waits before it is started again."""

from __future__ import annotations

HEALTHY_SECONDS = 60.0
"""A child that ran this long is started again at once."""

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0

LOOPING = 5
"""From this number of early ends in a row on, a child is in a restart loop."""


class Backoff:
    """Counts the early ends of one child."""

    def __init__(self) -> None:
        self._ends = 0
        self._faults = 0

    @property
    def looping(self) -> bool:
        """Whether the child has ended early several times in a row, by its own fault."""
        return self._faults >= LOOPING

    def pause(self, ran_seconds: float, *, fault: bool = True) -> float:
        """Return how long to wait after a life of that many seconds: 0, then 0.5 s, then twice as long each time.

        `fault`: whether the child is the cause; it is not where the database cannot be reached.
        """
        if ran_seconds >= HEALTHY_SECONDS:
            self._ends = self._faults = 0
        self._ends += 1
        self._faults += fault
        return 0.0 if self._ends == 1 else min(FIRST_PAUSE_SECONDS * 2 ** (self._ends - 2), LONGEST_PAUSE_SECONDS)
