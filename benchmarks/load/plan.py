"""What the load does, and what it counts: the two messages between the benchmark and its process."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

MARK = b"KEYKEYKEYKEYKEYKEYKEYKEY"
"""Stands in a body for a key of the same length, 24 characters, that no other call has."""


@dataclass(frozen=True, slots=True)
class Caller:
    """What the calls of one connection send: headers, and a body in which each `MARK` is replaced."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """One connection for each caller, `streams` calls open on each; HTTP/1.1 has that many connections instead.

    `rate`: calls a second of all callers in turn, each sent when it is due, on one connection; None: a call follows the
    answer to another. `may_fail`: failed calls are counted and do not fail the measurement.
    """

    target: str
    path: str
    callers: Sequence[Caller]
    streams: int = 8
    seconds: float = 2.0
    warm_seconds: float = 0.3
    http1: bool = False
    may_fail: bool = False
    rate: float | None = None

    def during(self, seconds: float) -> Plan:
        """Return the same plan for so many seconds."""
        return replace(self, seconds=seconds)

    def failing(self) -> Plan:
        """Return the same plan, whose calls may fail."""
        return replace(self, may_fail=True)

    def dump(self) -> str:
        """Return the plan as text."""
        callers = [
            {"body": b64encode(caller.body).decode(), "headers": dict(caller.headers)} for caller in self.callers
        ]
        return json.dumps(
            {name: getattr(self, name) for name in self.__slots__ if name != "callers"} | {"callers": callers}
        )

    @staticmethod
    def load(text: str) -> Plan:
        """Return the plan that `dump` wrote."""
        values = json.loads(text)
        values["callers"] = [Caller(b64decode(each["body"]), each["headers"]) for each in values["callers"]]
        return Plan(**values)


@dataclass(slots=True)
class Counted:
    """What the load counted. Times are in seconds; `calls` includes the warm-up, the other figures do not."""

    calls: int
    """Answered calls, since the start."""
    failed: int
    """Calls without a response message, or with an error in it, since the start."""
    rate: float
    """Answered calls a second."""
    p50: float
    p99: float
    response_bytes: float
    """Bytes of a response, on average."""
    cpu_seconds: float
    """CPU time of the process of the load, since the start."""
    wall_seconds: float

    def dump(self) -> str:
        """Return the figures as text."""
        return json.dumps(asdict(self))

    @staticmethod
    def load(text: str) -> Counted:
        """Return the figures that `dump` wrote."""
        return Counted(**json.loads(text))
