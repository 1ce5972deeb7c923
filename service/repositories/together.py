"""The text of a message of several calls, and the way back from its results to the calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from psycopg import AsyncClientCursor

from service.repositories.messages import Call, Rows
from service.repositories.pools import Connection
from service.repositories.queueing import Key

LOCK_MS = 200
"""How long a statement of a message waits for a lock."""

STATEMENT_MS = 500
"""How long a statement of a message runs."""


class Message:
    """One transaction. Consecutive calls of one trader share the identity at the head of the first."""

    def __init__(self, connection: Connection, session: list[bytes], parts: Sequence[tuple[Call, list[bytes]]]) -> None:
        """`session` comes first, then each call with its statements in the order given."""
        self._before = len(session)
        self._calls = [call for call, _ in parts]
        self._heads: set[Call] = set()
        cursor = AsyncClientCursor(connection)
        texts = list(session)
        settings: tuple[str, ...] = (f"set_config('lock_timeout', '{LOCK_MS}ms', true)",)
        head: Call | None = None
        timeout: int | None = None
        for call, statements in parts:
            own = call.deadlines.send(STATEMENT_MS)
            if head is None or own != timeout or not _share_identity(head, call):
                texts.append(cursor.mogrify(*call.identity(None if own == timeout else own, settings)).encode())
                self._heads.add(call)
                head, timeout, settings = call, own, ()
            texts += statements
        if len(parts) > 1:
            texts.append(b"SELECT clock_timestamp()")
        self.text = b";".join(texts)

    def answers(self, results: list[Rows]) -> Iterator[tuple[Call, bool, list[Rows]]]:
        """Return each call, whether there is such a trader or desk, and the rows of each of its statements."""
        position, known = self._before, False
        for call in self._calls:
            if call in self._heads:
                known = results[position][0][0]
                position += 1
            end = position + len(call.statements)
            yield call, known, results[position:end]
            position = end

    def seconds(self, results: list[Rows]) -> Iterator[tuple[Key, float]]:
        """Return how long the database worked for each caller, as far as it is known."""
        begun: list[tuple[Key, datetime]] = []
        position = self._before
        for call in self._calls:
            if call in self._heads:
                begun.append((call.key, results[position][0][1]))
                position += 1
            position += len(call.statements)
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
