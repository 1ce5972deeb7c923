"""The time limits of one call: until when it waits, runs, and is answered."""

from __future__ import annotations

import math
import time

from service.domain.errors import Aborted, BlotterError, DeadlineExceeded, StatementTimeout

LONGEST_WAIT = 10.0
"""Seconds for which a call waits for its turn and a connection, or until its deadline where that is earlier."""

LONGEST_STATEMENT = 60.0
"""Seconds for which a statement runs at most, with any deadline: SESSION's statement_timeout."""

_GRACE = 10.0  # seconds for a commit that waits for a standby, after the last statement
_CLOCKS_APART = 0.05  # seconds by which Postgres may end a statement early by our clock

# An answer has to reach the client before its deadline.
_MARGIN_SHARE, _MOST_MARGIN = 0.2, 0.25


class Deadlines:
    """Computed from the caller's deadline, None if it set none. All times are of `time.monotonic()`."""

    def __init__(self, deadline: float | None) -> None:
        now = time.monotonic()
        self.begun = now
        """When the call began to wait."""
        self.waits_until = now + LONGEST_WAIT
        """When the call stops waiting for a turn or a connection."""
        self._runs_until = math.inf
        self.answers_at: float | None = None
        """When the caller is answered, also if the database has not answered."""
        if deadline is not None:
            margin = min(_MOST_MARGIN, _MARGIN_SHARE * max(0.0, deadline - now))
            self._runs_until = deadline - margin
            self.waits_until = min(self.waits_until, self._runs_until)
            self.answers_at = deadline - margin / 2
        self._limit = LONGEST_STATEMENT
        self._sent = now

    def send(self, longest: int = round(LONGEST_STATEMENT * 1000)) -> int | None:
        """Return the timeout in milliseconds of each statement of a message that is sent now, at most `longest`.

        None: the timeout of the session applies.
        """
        self._sent = time.monotonic()
        if self.answers_at is None and longest / 1000 >= LONGEST_STATEMENT:
            self._limit = LONGEST_STATEMENT
            return None
        left = min(self._runs_until - self._sent, LONGEST_STATEMENT)
        milliseconds = max(1, min(round(left * 1000), longest))
        self._limit = milliseconds / 1000
        return milliseconds

    def are_over(self, within: float = 0.0) -> bool:
        """Return whether no statement should be sent any more, `within` seconds from now."""
        return time.monotonic() + within >= self._runs_until

    def longest(self) -> float:
        """Return for how many seconds a message that is sent now may run."""
        return max(0.0, min(self._runs_until - time.monotonic(), LONGEST_STATEMENT)) + _GRACE

    def closes_at(self, *, writes: bool) -> float:
        """Return when the connection is closed if the database has not answered the message that was sent."""
        last = self._sent + self._limit + _GRACE
        return last if writes or self.answers_at is None else min(last, self.answers_at)

    def error_for_cancelled_statement(self) -> BlotterError:
        """Return the error for a statement that Postgres cancels now."""
        if time.monotonic() - self._sent < self._limit - _CLOCKS_APART:
            return Aborted("Another session cancelled the statement; nothing was written.")
        return StatementTimeout() if self._limit >= LONGEST_STATEMENT else DeadlineExceeded()
