"""The pools, one per database login, and the one way to send SQL under a caller's identity."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncClientCursor, AsyncConnection, OperationalError
from psycopg import errors as pg
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from service.domain.errors import BlotterError, UnknownTrader
from service.domain.identity import Caller, CallerKind
from service.repositories.errors import translate

Row = tuple[Any, ...]
Rows = list[Row]


# Postgres takes no more for statement_timeout, almost 25 days; a client may set its deadline beyond.
_LONGEST_TIMEOUT = 2**31 - 1


class Statement(NamedTuple):
    """One SQL statement with `%(name)s` placeholders, and its values."""

    sql: str
    values: Mapping[str, Any] = {}


def act_as(trader_id: UUID | None) -> Statement:
    """Return the statement that says whose rows the rest of the transaction is about."""
    return Statement("SELECT act_as(%(trader_id)s)", {"trader_id": trader_id})


@dataclass(frozen=True, slots=True)
class PoolSizes:
    """The most connections per login."""

    trader: int = 8
    execution: int = 4
    compliance: int = 2


def login_to(conninfo: str, login: str, password: str | None = None) -> str:
    """Return the libpq connection string for a login of the database, in UTC."""
    secret = {} if password is None else {"password": password}
    return make_conninfo(conninfo, user=login, application_name="blotter", options="-c TimeZone=UTC", **secret)


class Database:
    """Runs statements as one transaction in one round trip.

    Identity, timeout and statements travel as one simple-protocol message: an implicit transaction, which the server
    commits at its end and rolls back by itself on any error. The setting that carries the identity ends with it, so a
    pooled connection never remembers a caller.
    """

    def __init__(self, conninfo: str, sizes: PoolSizes, passwords: Mapping[CallerKind, str] | None = None) -> None:
        """`conninfo` names server and database; user and password are each login's own."""
        self._pools = {
            kind: AsyncConnectionPool(
                login_to(conninfo, f"blotter_{kind}", (passwords or {}).get(kind)),
                min_size=1,
                max_size=getattr(sizes, kind),
                open=False,
                name=f"blotter_{kind}",
                kwargs={"autocommit": True, "prepare_threshold": None, "cursor_factory": AsyncClientCursor},
                timeout=10,
                # A connection keeps the plans that it made when the tables were smaller.
                max_lifetime=600,
            )
            for kind in CallerKind
        }

    async def open(self) -> None:
        """Connect each login once. Raises DatabaseUnavailable when the database cannot be reached."""
        try:
            for pool in self._pools.values():
                await pool.open(wait=True, timeout=10)
        except Exception as error:
            await self.close()
            raise translate(error) from error

    async def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.close()

    async def run(self, caller: Caller, *statements: Statement) -> list[Rows]:
        """Run the statements in one transaction under the caller's login and identity.

        Returns the rows of each. Raises a BlotterError for whatever the database refuses; then nothing was written.
        """
        settings = ["act_as(%(trader_id)s)"]
        values: dict[str, Any] = {"trader_id": caller.trader_id}
        if caller.deadline is not None:
            settings.append("set_config('statement_timeout', %(timeout)s, true)")
            milliseconds = round((caller.deadline - time.monotonic()) * 1000)
            values["timeout"] = f"{min(max(1, milliseconds), _LONGEST_TIMEOUT)}ms"
        identity = Statement(f"SELECT {', '.join(settings)}", values)
        try:
            [[[known, *_]], *results] = await self._send(caller, [identity, *statements])
        except BlotterError:
            raise
        except Exception as error:
            raise translate(error) from error
        if not known:
            raise UnknownTrader
        return results

    async def _send(self, caller: Caller, statements: Sequence[Statement]) -> list[Rows]:
        """Send one message; once more on a fresh connection when the pooled one turns out to be dead.

        Sending twice is safe: what the service writes is idempotent by its keys.
        """
        pool = self._pools[caller.kind]
        for attempt in range(1 + pool.max_size):
            timeout = max(0.001, caller.deadline - time.monotonic()) if caller.deadline is not None else None
            async with pool.connection(timeout) as connection:
                try:
                    return await _exchange(connection, statements)
                except (OperationalError, pg.AdminShutdown):
                    if not connection.closed or attempt == pool.max_size:
                        raise
        raise AssertionError("unreachable")


async def _exchange(connection: AsyncConnection[Row], statements: Sequence[Statement]) -> list[Rows]:
    cursor = AsyncClientCursor(connection)
    await cursor.execute(";".join(cursor.mogrify(sql, values) for sql, values in statements).encode())
    results: list[Rows] = []
    while True:
        results.append(await cursor.fetchall() if cursor.description else [])
        if not cursor.nextset():
            return results
