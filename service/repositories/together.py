"""The text of a message of several calls, and the way back from its results to the calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from psycopg import AsyncClientCursor

from service.repositories.messages import Call, Rows, rendered
from service.repositories.pools import Connection
from service.repositories.queueing import Key

LOCK_MS = 200
"""How long a statement of a message waits for a lock."""

STATEMENT_MS = 500
"""How long a statement of a message runs."""


class Part(NamedTuple):
    """A call with its statements, or several calls with one statement for all."""

    calls: list[Call]
    texts: list[bytes]

    @property
    def first(self) -> Call:
        """The first call."""
        return self.calls[0]

    @property
    def size(self) -> int:
        """The bytes of the statements."""
        return sum(map(len, self.texts))


def joined(calls: Sequence[Call]) -> Iterator[list[Call]]:
    """Return the calls, with those together that one statement can serve: consecutive ones of one trader."""
    for (join, _), found in groupby(calls, lambda call: (call.joinable and call.joinable.join, call.caller.trader_id)):
        if join:
            yield list(found)
        else:
            yield from ([call] for call in found)


async def part_of(connection: Connection, calls: list[Call]) -> Part:
    """Return the part for calls that are served together, or for one call. Raises the errors of rendering."""
    if len(calls) == 1:
        return Part(calls, await rendered(connection, calls[0]))
    found = [call.joinable for call in calls if call.joinable]
    statement = found[0].join([joinable.value for joinable in found])
    return Part(calls, [AsyncClientCursor(connection).mogrify(*statement).encode()])


class Message:
    """One transaction. Consecutive parts of one trader share the identity at the head of the first."""

    def __init__(self, connection: Connection, session: list[bytes], parts: Sequence[Part]) -> None:
        """`session` comes first, then the parts in the order given."""
        self._before = len(session)
        self._parts = parts
        self._heads: set[Call] = set()
        cursor = AsyncClientCursor(connection)
        texts = list(session)
        settings: tuple[str, ...] = (f"set_config('lock_timeout', '{LOCK_MS}ms', true)",)
        head: Call | None = None
        timeout: int | None = None
        for part in parts:
            call = part.first
            own = min(each.deadlines.send(STATEMENT_MS) or STATEMENT_MS for each in part.calls)
            if head is None or own != timeout or not _share_identity(head, call):
                texts.append(cursor.mogrify(*call.identity(None if own == timeout else own, settings)).encode())
                self._heads.add(call)
                head, timeout, settings = call, own, ()
            texts += part.texts
        if len(parts) > 1:
            texts.append(b"SELECT clock_timestamp()")
        self.text = b";".join(texts)

    def answers(self, results: list[Rows]) -> Iterator[tuple[Call, bool, list[Rows]]]:
        """Return each call, whether there is such a trader or desk, and the rows of each of its statements."""
        position, known = self._before, False
        for part in self._parts:
            if part.first in self._heads:
                known = results[position][0][0]
                position += 1
            found = results[position : position + len(part.texts)]
            position += len(part.texts)
            if len(part.calls) == 1:
                yield part.first, known, found
            else:
                for call, row in zip(part.calls, found[0], strict=True):
                    yield call, known, [[row]]

    def seconds(self, results: list[Rows]) -> Iterator[tuple[Key, float]]:
        """Return how long the database worked for each caller, as far as it is known."""
        begun: list[tuple[Key, datetime]] = []
        position = self._before
        for part in self._parts:
            if part.first in self._heads:
                begun.append((part.first.key, results[position][0][1]))
                position += 1
            position += len(part.texts)
        ends = [moment for _, moment in begun[1:]]
        if position < len(results):
            ends.append(results[position][0][0])
        for (key, moment), end in zip(begun, ends, strict=False):
            yield key, (end - moment).total_seconds()


def _share_identity(head: Call, call: Call) -> bool:
    """Return whether the identity of the first call holds for the second, of the same trader.

    That of a call that only reads says nothing of how a commit is made durable.
    """
    one, other = head.caller, call.caller
    same = one.trader_id is not None and (one.kind, one.trader_id) == (other.kind, other.trader_id)
    return same and (bool(head.writes_of) or not call.writes_of)
