"""The pools, one per database login, and the one way to send SQL under a caller's identity."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple
from uuid import UUID
from weakref import WeakValueDictionary

from psycopg import AsyncClientCursor, AsyncConnection, OperationalError
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from service.domain.errors import (
    Aborted,
    BlotterError,
    DatabaseBusy,
    DatabaseUnavailable,
    DeadlineExceeded,
    UnknownTrader,
)
from service.domain.identity import Caller, CallerKind
from service.repositories.errors import translate

Row = tuple[Any, ...]
Rows = list[Row]
_Pool = AsyncConnectionPool[AsyncConnection[Row]]

_PATIENCE_AT_START = 10.0
_CLOCKS_APART = 0.05  # seconds by which Postgres may end a statement before its deadline by our clock

# Postgres takes no more for statement_timeout, almost 25 days; a client may set its deadline beyond.
_LONGEST_TIMEOUT = 2**31 - 1


class Statement(NamedTuple):
    """One SQL statement with `%(name)s` placeholders, and its values."""

    sql: str
    values: Mapping[str, Any] = {}


def act_as(trader_id: UUID | None) -> Statement:
    """Return the statement that says whose rows the rest of the transaction is about."""
    return Statement("SELECT act_as(%(trader_id)s)", {"trader_id": trader_id})


WRITERS_A_TRADER = 2
"""One writes, one waits for his turn; more would only hold connections that others need."""

# A login may change its own defaults (ALTER ROLE ... SET); what a connection asks for at its start goes before them.
SESSION = {
    "search_path": "public",
    "row_security": "on",
    "synchronous_commit": "on",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read\\ committed",
    "standard_conforming_strings": "on",
    "bytea_output": "hex",
    "DateStyle": "ISO",
    "statement_timeout": "60s",
    "lock_timeout": "10s",
    "idle_session_timeout": "0",
}


def login_to(conninfo: str, login: str, password: str | None = None, session: Mapping[str, str] | None = None) -> str:
    """Return the libpq connection string for a login of the database, in UTC and UTF-8."""
    options = " ".join(f"-c {name}={value}" for name, value in ({"TimeZone": "UTC"} | dict(session or {})).items())
    parts: dict[str, Any] = {"connect_timeout": 5} | conninfo_to_dict(conninfo)
    if password is not None:
        parts["password"] = password
    named = {"user": login, "application_name": "blotter", "client_encoding": "UTF8", "options": options}
    return make_conninfo(**parts | named)


class Database:
    """Runs statements as one transaction in one round trip.

    Identity, timeout and statements travel as one simple-protocol message: an implicit transaction, which the server
    commits at its end and rolls back by itself on any error. The setting that carries the identity ends with it, so a
    pooled connection never remembers a caller.
    """

    def __init__(
        self, conninfo: str, sizes: Mapping[CallerKind, int], passwords: Mapping[CallerKind, str] | None = None
    ) -> None:
        """`conninfo` names server and database, `sizes` the most connections of each login that may call."""
        self._writers: WeakValueDictionary[UUID, asyncio.Semaphore] = WeakValueDictionary()
        self._pools = {
            kind: AsyncConnectionPool(
                login_to(conninfo, f"blotter_{kind}", (passwords or {}).get(kind), SESSION),
                min_size=1,
                max_size=size,
                open=False,
                name=f"blotter_{kind}",
                kwargs={"autocommit": True, "prepare_threshold": None, "cursor_factory": AsyncClientCursor},
                timeout=10,
                reconnect_timeout=_PATIENCE_AT_START,
                reconnect_failed=self._give_up,
                # A connection keeps the plans that it made when the tables were smaller.
                max_lifetime=600,
            )
            for kind, size in sizes.items()
        }
        self._waiting: dict[str, set[asyncio.Timeout]] = {pool.name: set() for pool in self._pools.values()}

    async def open(self) -> None:
        """Connect each login once. Raises DatabaseUnavailable when the database cannot be reached."""
        try:
            for pool in self._pools.values():
                await pool.open(wait=True, timeout=_PATIENCE_AT_START)
                # From now on callers wait for a connection: tell them at once, and try anew when the next one comes.
                pool.reconnect_timeout = 0
        except Exception as error:
            await self.close()
            raise DatabaseUnavailable if isinstance(error, PoolTimeout) else translate(error) from error

    async def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.close()

    async def run(
        self, caller: Caller, *statements: Statement, writes_of: Iterable[UUID] = (), repeatable: bool = True
    ) -> list[Rows]:
        """Run the statements in one transaction under the caller's login and identity.

        `writes_of` names the traders whose counters they lock. Returns the rows of each statement. Raises a
        BlotterError for whatever the database refuses; then nothing was written, except that DatabaseUnavailable
        cannot know. When the connection turns out to be dead, what is `repeatable` is sent again on another.
        """
        settings = ["act_as(%(trader_id)s)"]
        values: dict[str, Any] = {"trader_id": caller.trader_id}
        if caller.deadline is not None:
            settings.append("set_config('statement_timeout', %(timeout)s, true)")
            milliseconds = round((caller.deadline - time.monotonic()) * 1000)
            values["timeout"] = f"{min(max(1, milliseconds), _LONGEST_TIMEOUT)}ms"
        identity = Statement(f"SELECT {', '.join(settings)}", values)
        reading = caller.reading
        if caller.kind is CallerKind.COMPLIANCE and not (reading and reading.recorded):
            statements = (_access(caller), *statements)
        try:
            async with self._turns(writes_of):
                [[[known, *_]], *results] = await self._send(caller, [identity, *statements], repeatable=repeatable)
        except BlotterError:
            raise
        except pg.QueryCanceled as error:
            late = caller.deadline is not None and time.monotonic() > caller.deadline - _CLOCKS_APART
            raise (DeadlineExceeded if late else Aborted) from error
        except Exception as error:
            raise translate(error) from error
        if not known:
            raise UnknownTrader
        if reading and not reading.recorded:
            reading.recorded = True
            return results[1:]
        return results

    @asynccontextmanager
    async def _turns(self, trader_ids: Iterable[UUID]) -> AsyncIterator[None]:
        """Wait for a turn of each trader before a connection is taken: who waits for a lock holds up nobody else."""
        async with AsyncExitStack() as turns:
            for trader_id in sorted(set(trader_ids)):
                turn = self._writers.setdefault(trader_id, asyncio.Semaphore(WRITERS_A_TRADER))
                await turns.enter_async_context(turn)
            yield

    async def _send(self, caller: Caller, statements: Sequence[Statement], *, repeatable: bool) -> list[Rows]:
        pool = self._pools[caller.kind]
        for attempt in range(1 + pool.max_size):
            try:
                async with self._connection(pool, caller.deadline) as connection:
                    try:
                        return await _exchange(connection, statements)
                    except OperationalError:
                        if not repeatable or not connection.closed or attempt == pool.max_size:
                            raise
            except PoolTimeout as error:
                # What was sent before may have been done.
                raise (DatabaseUnavailable if attempt else DatabaseBusy) from error
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def _connection(self, pool: _Pool, deadline: float | None) -> AsyncIterator[AsyncConnection[Row]]:
        """Lend a connection. Raises PoolTimeout, and DatabaseUnavailable as soon as none can be made."""
        timeout = None if deadline is None else max(0.001, deadline - time.monotonic())
        try:
            async with asyncio.timeout(None) as patience:
                self._waiting[pool.name].add(patience)
                try:
                    connection = await pool.getconn(timeout)
                finally:
                    self._waiting[pool.name].discard(patience)
        except TimeoutError as error:
            raise DatabaseUnavailable from error
        try:
            yield connection
        finally:
            await pool.putconn(connection)

    async def _give_up(self, pool: _Pool) -> None:
        """Send away who waits for a connection, when the pool has none and could not make one."""
        if not pool.get_stats().get("pool_size"):
            for patience in self._waiting[pool.name]:
                patience.reschedule(0)


def _access(caller: Caller) -> Statement:
    if caller.reading is None:
        raise RuntimeError("A read by compliance says what it reads.")
    values = {
        "actor": caller.actor,
        "request_id": caller.request_id,
        "method": caller.reading.method,
        "request": caller.reading.request(),
    }
    return Statement(
        "INSERT INTO audit_accesses (actor, request_id, method, request) "
        "VALUES (%(actor)s, %(request_id)s, %(method)s, %(request)s::jsonb)",
        values,
    )


async def _exchange(connection: AsyncConnection[Row], statements: Sequence[Statement]) -> list[Rows]:
    cursor = AsyncClientCursor(connection)
    await cursor.execute(";".join(cursor.mogrify(sql, values) for sql, values in statements).encode())
    results: list[Rows] = []
    while True:
        results.append(await cursor.fetchall() if cursor.description else [])
        if not cursor.nextset():
            return results
