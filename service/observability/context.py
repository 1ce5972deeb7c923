"""The trace that a call belongs to, by the W3C Trace Context Recommendation, and what passes it on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextvars import ContextVar

# A later version may add fields at the end (section 4.3 of the recommendation); ff is not a version.
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Trace:
    """A trace and the span in it that is the parent of what follows. Records nothing by itself."""

    __slots__ = ("sampled", "span_id", "trace_id")

    def __init__(self, trace_id: str, span_id: str, *, sampled: bool) -> None:
        """`trace_id` and `span_id` are in lower-case hexadecimal; `sampled`: the spans of the trace are recorded."""
        self.trace_id = trace_id
        self.span_id = span_id
        self.sampled = sampled

    @property
    def traceparent(self) -> str:
        """The header `traceparent` of what follows."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    @property
    def comment(self) -> str:
        """The SQL comment that `pg_stat_activity` shows, in the form of sqlcommenter."""
        return f"/*traceparent='{self.traceparent}'*/"

    def message(self, login: str) -> Trace:  # noqa: ARG002  # a recorded trace names it
        """Return the trace of a message to the database that is sent now by the login; `end` it."""
        return self

    def end(self, code: str | None = None, *, failed: bool = False) -> None:
        """End the span, if one is recorded: of a call with the name of a status of gRPC, of a message with `failed`."""


TRACE: ContextVar[Trace | None] = ContextVar("trace", default=None)
"""The trace of the current call; None if it has none."""


def trace_of(traceparents: Sequence[str | bytes]) -> Trace | None:
    """Return the trace that the values of the metadata key `traceparent` name; None if there is not one valid value."""
    if len(traceparents) != 1 or not isinstance(traceparents[0], str):
        return None
    found = _TRACEPARENT.fullmatch(traceparents[0])
    if found is None or (found[1] == "00" and found[5]):
        return None
    return Trace(found[2], found[3], sampled=bool(int(found[4], 16) & 1))


class Traces:
    """Begins the trace of each call: here, that of its client and no other."""

    def begin(self, method: str, client: Trace | None) -> Trace | None:  # noqa: ARG002  # recorded traces name it
        """Return the trace of a call of the method, whose client may have named one; `end` it. None: no trace."""
        return client
