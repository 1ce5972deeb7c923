"""One message to the database: the statements of one or several calls, each under its caller's identity.

A message is one simple-protocol query: an implicit transaction, which the server commits at its end and rolls back by
itself on any error. The settings that carry an identity end with it, so a pooled connection keeps nothing of a caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncClientCursor

from service.domain.identity import Caller
from service.domain.portions import Portions, give_way, in_portions
from service.observability.context import Trace
from service.repositories.deadlines import Deadlines
from service.repositories.pools import Connection, Row
from service.repositories.queueing import Key
from service.repositories.sessions import at_least_on
from service.repositories.signatures import Signatures

Rows = list[Row]


class Statement(NamedTuple):
    """One SQL statement with `%(name)s` placeholders, and its values."""

    sql: str
    values: Mapping[str, Any] = {}


FETCHED = 30
"""The number of rows that are converted before the event loop runs other tasks."""

ROWS_A_STATEMENT = 10
"""The number of rows that cost as much to read and convert as a short statement."""


class Joinable(NamedTuple):
    """What a call does with one statement, which can do it for several calls of a trader."""

    join: Callable[[Sequence[Any]], Statement]
    """Returns the statement for the values of one or several calls. It returns one row of each, in their order."""
    value: Any


_ACT_AS = "act_as(%(trader_id)s, %(desk_id)s, %(identity)s)"


class ActAs(Statement):
    """A statement that names the trader of what follows. It is signed when it is sent."""

    __slots__ = ()


def act_as(trader_id: UUID | None) -> ActAs:
    """Return the statement that sets the trader for the rest of the transaction."""
    return ActAs(f"SELECT {_ACT_AS}", {"trader_id": trader_id, "desk_id": None, "identity": None})


@dataclass(slots=True, eq=False)
class Call:
    """One call on its way to the database."""

    caller: Caller
    statements: tuple[Statement, ...]
    writes_of: frozenset[UUID]
    repeatable: bool
    committed: Callable[[UUID], None] | None
    deadlines: Deadlines
    signatures: Signatures | None
    trace: Trace | None
    answer: asyncio.Future[list[Rows]]
    weight: int
    """What the call costs, in short statements."""
    joinable: Joinable | None = None
    sent: bool = False
    was_combined: bool = False
    """Whether the call was given to a combiner."""
    alone: asyncio.Task[list[Rows]] | None = None
    """The task that sends the call in a message of its own."""
    may_be_done: bool = False
    """Whether the connection was lost after the call was sent: it may have been committed."""
    key: Key = field(init=False)
    """The caller's key in queues."""

    def __post_init__(self) -> None:
        self.key = self.caller.key

    def answered(self, results: list[Rows]) -> None:
        """Give the caller the rows of each statement, unless the caller has gone."""
        if not self.answer.done():
            self.answer.set_result(results)

    def failed(self, error: BaseException) -> None:
        """Give the caller the error, unless the caller has gone."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def hint(self) -> None:
        """Report that there may be new events: after a commit, or when it is unknown whether there was one."""
        if self.committed:
            for trader_id in self.writes_of:
                self.committed(trader_id)

    def identity(self, milliseconds: int | None, settings: Sequence[str] = ()) -> Statement:
        """Return the first statement of the call in a message that is sent now.

        `milliseconds` is the timeout of each statement; None leaves it as it is.
        """
        selected = [_ACT_AS, "clock_timestamp()", *settings]
        values = self._signed({"trader_id": self.caller.trader_id, "desk_id": self.caller.desk_id})
        if milliseconds is not None:
            selected.append("set_config('statement_timeout', %(timeout)s, true)")
            values["timeout"] = f"{milliseconds}ms"
        if self.writes_of or self.caller.reading:
            selected.append(at_least_on(local=True))
        return Statement(f"SELECT {', '.join(selected)}", values)

    def signed(self, statement: Statement) -> Statement:
        """Return the statement, with the signature of the identity if it names a trader."""
        return Statement(statement.sql, self._signed(statement.values)) if isinstance(statement, ActAs) else statement

    def _signed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        if self.signatures is None:
            return {**values, "identity": None}
        caller = self.caller
        identity = self.signatures.key.sign(
            f"blotter_{caller.kind}",
            values["trader_id"],
            values["desk_id"],
            caller.subject or caller.actor,
            self.deadlines.longest(),
        )
        return {**values, "identity": identity}


async def rendered(connection: Connection, call: Call) -> list[bytes]:
    """Return the statements of a call but its identity, with their values. Takes turns with the event loop."""
    cursor = AsyncClientCursor(connection)
    joinable = call.joinable
    statements = (joinable.join([joinable.value]),) if joinable else call.statements
    texts = await in_portions(lambda statement: cursor.mogrify(*call.signed(statement)), statements)
    return [text.encode() for text in texts]


async def sent(connection: Connection, text: bytes) -> list[Rows]:
    """Send one message and return the rows of each of its statements. Raises the driver's errors."""
    cursor = AsyncClientCursor(connection)
    await cursor.execute(text)
    results: list[Rows] = []
    portions = Portions()
    while True:
        # Not `cursor.description`: it makes an object of each column.
        has_rows = cursor.pgresult is not None and cursor.pgresult.nfields > 0
        results.append(await _rows_of(cursor) if has_rows else [])
        if not cursor.nextset():
            return results
        if portions.over:
            await portions.next()


async def _rows_of(cursor: AsyncClientCursor[Row]) -> Rows:
    """Return the rows of the current result. Takes turns with the event loop."""
    rows = await cursor.fetchmany(FETCHED)
    count = len(rows)
    while count == FETCHED:
        await give_way()
        more = await cursor.fetchmany(FETCHED)
        rows += more
        count = len(more)
    return rows
