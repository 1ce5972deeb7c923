"""One login's connections to the database: lent in turn, and closed when the database does not answer."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any

from psycopg import AsyncClientCursor, AsyncConnection, OperationalError
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from service.domain.errors import DatabaseBusy, DatabaseUnavailable
from service.observability.logins import LoginMetrics
from service.repositories.errors import translate
from service.repositories.queueing import FairQueue, Limits

Row = tuple[Any, ...]
Connection = AsyncConnection[Row]
_Pool = AsyncConnectionPool[Connection]

_PATIENCE_AT_START = 10.0

CLOSE_SECONDS = 0.5
"""Seconds for which closing waits for tasks that were cancelled, after any grace period."""

# A pooler in transaction mode refuses most start-up parameters, but sets these on each server connection that it lends.
_TRACKED_BY_POOLERS = "SET TimeZone TO 'UTC'; SET DateStyle TO 'ISO'; SET standard_conforming_strings TO on"


class Pool:
    """The connections of one login, behind a queue in which callers take turns."""

    def __init__(
        self, conninfo: str, login: str, size: int, limits: Limits, metrics: LoginMetrics, *, lanes: int, pooler: bool
    ) -> None:
        """`size` is the maximum of connections, of which the queue leaves `lanes` to messages of several calls.

        `pooler` states that they lead to a pooler in transaction mode.
        """
        self.size = size
        self.metrics = metrics
        self.queue = FairQueue(max(1, size - lanes), limits)
        self._waiting: set[asyncio.Timeout] = set()
        self._lent: set[Connection] = set()
        self._pool = AsyncConnectionPool(
            conninfo,
            min_size=1,
            max_size=size,
            open=False,
            name=login,
            configure=_configure if pooler else None,
            kwargs={"autocommit": True, "prepare_threshold": None, "cursor_factory": AsyncClientCursor},
            reconnect_timeout=_PATIENCE_AT_START,
            reconnect_failed=self._fail_waiters,
            # A connection keeps plans that were made when the tables were smaller.
            max_lifetime=600,
        )

    async def open(self) -> None:
        """Connect once. Raises DatabaseUnavailable if the database cannot be reached."""
        try:
            await self._pool.open(wait=True, timeout=_PATIENCE_AT_START)
        except Exception as error:
            raise DatabaseUnavailable if isinstance(error, PoolTimeout) else translate(error) from error
        # Callers that wait for a connection fail at once; the next call tries again.
        self._pool.reconnect_timeout = 0

    def observe(self) -> None:
        """Set the gauges of the pool."""
        used = len(self._lent)
        size = self._pool.get_stats().get("pool_size", 0)
        self.metrics.set_connections(used, max(0, size - used), max(0, self.queue.calls - used))

    async def close(self) -> None:
        """Close all connections, also those that are lent: statements under way on these get no result."""
        # This waits only for connections that are being made; the pool's tasks then end with the event loop.
        await self._pool.close(timeout=CLOSE_SECONDS)
        for connection in self._lent:
            shut(connection)

    @asynccontextmanager
    async def connection(self, turn: AbstractAsyncContextManager[None], until: float) -> AsyncIterator[Connection]:
        """Lend a connection after `turn` has been entered.

        Raises DatabaseBusy at `until` (of `time.monotonic()`), and DatabaseUnavailable as soon as the pool is empty
        and no connection can be made.
        """
        patience = asyncio.timeout(until - time.monotonic())
        self._waiting.add(patience)
        async with AsyncExitStack() as held:
            try:
                async with patience:
                    await held.enter_async_context(turn)
                    connection = await self._pool.getconn(max(0, until - time.monotonic()) + 1)
                    held.push_async_callback(self._pool.putconn, connection)
            except (TimeoutError, PoolTimeout) as error:
                raise (DatabaseUnavailable if patience.when() == 0 else DatabaseBusy) from error
            finally:
                self._waiting.discard(patience)
            self._lent.add(connection)
            try:
                yield connection
            finally:
                self._lent.discard(connection)

    async def _fail_waiters(self, pool: _Pool) -> None:
        if not pool.get_stats().get("pool_size"):
            for patience in self._waiting:
                if not patience.expired():
                    patience.reschedule(0)


async def _configure(connection: Connection) -> None:
    await connection.execute(_TRACKED_BY_POOLERS)


def shut(connection: Connection) -> None:
    """Shut down the socket to the database. The driver notices that, and closes the connection itself."""
    with suppress(OSError, OperationalError), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)


@contextmanager
def answered_by(connection: Connection, moment: float) -> Iterator[None]:
    """Close the connection at `moment` (of `time.monotonic()`) if the context has not ended by then.

    Raises DatabaseUnavailable then. Nothing is cancelled in the database: a cancelled COMMIT no longer waits for a
    synchronous standby.
    """
    closed = False

    def close() -> None:
        nonlocal closed
        closed = True
        shut(connection)

    timer = asyncio.get_running_loop().call_later(moment - time.monotonic(), close)
    try:
        yield
    except Exception as error:
        if closed:
            raise DatabaseUnavailable from error
        raise
    finally:
        timer.cancel()
