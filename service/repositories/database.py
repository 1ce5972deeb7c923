"""Sends SQL under a caller's identity. Nothing else does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncClientCursor, OperationalError
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from service.domain.errors import BlotterError, DatabaseBusy, DatabaseUnavailable, UnknownDesk, UnknownTrader
from service.domain.identity import Caller, CallerKind
from service.domain.portions import PORTION, in_portions
from service.observability.context import TRACE
from service.observability.logins import LoginMetrics
from service.observability.metrics import Metrics
from service.repositories.deadlines import Deadlines
from service.repositories.errors import translate
from service.repositories.pools import CLOSE_SECONDS, Connection, Pool, Row, answered_by
from service.repositories.queueing import Key, Limits
from service.repositories.signatures import Signatures
from service.repositories.turns import Turns

Rows = list[Row]


class Statement(NamedTuple):
    """One SQL statement with `%(name)s` placeholders, and its values."""

    sql: str
    values: Mapping[str, Any] = {}


_ACT_AS = "act_as(%(trader_id)s, %(desk_id)s, %(identity)s)"


class ActAs(Statement):
    """A statement that names the trader of what follows. It is signed when it is sent."""

    __slots__ = ()


def act_as(trader_id: UUID | None) -> ActAs:
    """Return the statement that sets the trader for the rest of the transaction."""
    return ActAs(f"SELECT {_ACT_AS}", {"trader_id": trader_id, "desk_id": None, "identity": None})


MAY_BE_DONE = "The database did not answer, and the work may have been done; repeat the call with the same key."

# A login may change its own defaults (ALTER ROLE ... SET); start-up options take precedence over them. Settings that
# cannot be start-up options are checked at the start of the service: see privileges.py.
SESSION = {
    "search_path": "pg_catalog,public,pg_temp",
    "row_security": "on",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read\\ committed",
    "standard_conforming_strings": "on",
    "bytea_output": "hex",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "statement_timeout": "60s",
    "lock_timeout": "10s",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "60s",
    "exit_on_error": "off",
    "transform_null_equals": "off",
    "plpgsql.extra_errors": "none",
    "tcp_user_timeout": "0",
    "client_min_messages": "notice",
    "debug_print_parse": "off",
    "debug_print_rewritten": "off",
    "debug_print_plan": "off",
    "jit": "off",
    "enable_bitmapscan": "on",
    "enable_hashjoin": "on",
    "enable_indexonlyscan": "on",
    "enable_indexscan": "on",
    "enable_material": "on",
    "enable_nestloop": "on",
    "enable_seqscan": "on",
    "enable_sort": "on",
}


def at_least_on(*, local: bool) -> str:
    """Return the SQL that makes commits durable for the transaction (`local`) or the session.

    A login may have lowered its own default. A setting stronger than `on` is left as the DBA has set it.
    """
    stronger = "CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END"
    return f"set_config('synchronous_commit', {stronger}, {str(local).lower()})"


# A peer that has gone silently is detected in about ten seconds, not hours. Parameters of the URL take precedence.
_PATIENCE_WITH_PEERS = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def login_to(
    conninfo: str,
    login: str,
    password: str | None = None,
    session: Mapping[str, str] | None = None,
    *,
    pooler: bool = False,
) -> str:
    """Return the libpq connection string for a login of the database, in UTF-8.

    The session settings, and UTC, are start-up options; a `pooler` refuses these, so that each message carries them.
    """
    parts: dict[str, Any] = _PATIENCE_WITH_PEERS | conninfo_to_dict(conninfo)
    if password is not None:
        parts["password"] = password
    parts |= {"user": login, "application_name": "blotter", "client_encoding": "UTF8"}
    if not pooler:
        settings = {"TimeZone": "UTC"} | dict(session or {})
        parts["options"] = " ".join(f"-c {name}={value}" for name, value in settings.items())
    return make_conninfo(**parts)


# Settings of a connection, or that only slow statements down: the DBA sets these on a pooler's server connections.
_OF_CONNECTIONS = {"idle_session_timeout", "local_preload_libraries", "session_preload_libraries"}
_OF_CONNECTIONS |= {name for name in SESSION if name.startswith(("enable_", "debug_", "client_", "jit"))}


def _in_transaction(session: Mapping[str, str]) -> list[Statement]:
    """Return the statements that give the settings of a session to one transaction, for use behind a pooler."""
    local = {name: value.replace("\\ ", " ") for name, value in session.items() if name not in _OF_CONNECTIONS}
    # A default applies from the next transaction on; this statement sets the current one.
    isolation = local.pop("default_transaction_isolation").upper()
    access = "READ ONLY" if local.pop("default_transaction_read_only") == "on" else "READ WRITE"
    return [
        Statement(f"SET TRANSACTION ISOLATION LEVEL {isolation}, {access}"),
        Statement(
            "SELECT " + ", ".join(f"set_config('{name}', %(value_{n})s, true)" for n, name in enumerate(local)),
            {f"value_{n}": value for n, value in enumerate(local.values())},
        ),
    ]


@dataclass(slots=True)
class _Call:
    """One call on its way to the database."""

    caller: Caller
    statements: tuple[Statement, ...]
    writes_of: frozenset[UUID]
    repeatable: bool
    committed: Callable[[UUID], None] | None
    deadlines: Deadlines
    signatures: Signatures | None
    sent: bool = False

    @property
    def key(self) -> Key:
        """The caller's key in the queue."""
        return self.caller.key

    def hint(self) -> None:
        """Report that there may be new events: after a commit, or when it is unknown whether there was one."""
        if self.committed:
            for trader_id in self.writes_of:
                self.committed(trader_id)

    def identity(self) -> Statement:
        """Return the first statement of the message, which is sent now."""
        settings = [_ACT_AS]
        values = self._signed({"trader_id": self.caller.trader_id, "desk_id": self.caller.desk_id})
        milliseconds = self.deadlines.send()
        if milliseconds is not None:
            settings.append("set_config('statement_timeout', %(timeout)s, true)")
            values["timeout"] = f"{milliseconds}ms"
        if self.writes_of or self.caller.reading:
            settings.append(at_least_on(local=True))
        return Statement(f"SELECT {', '.join(settings)}", values)

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


class Database:
    """Runs statements as one transaction in one round trip.

    Identity, timeout and statements travel as one simple-protocol message: an implicit transaction, which the server
    commits at its end and rolls back by itself on any error. The setting that carries the identity ends with it, so a
    pooled connection keeps nothing of a caller.

    Each call runs in a task that this object owns. Cancelling the caller cancels the call while it waits or reads; a
    write that was sent runs to its end, because Postgres commits a cancelled COMMIT without its standby.
    """

    def __init__(
        self,
        conninfo: str,
        sizes: Mapping[CallerKind, int],
        passwords: Mapping[CallerKind, str] | None = None,
        *,
        metrics: Metrics,
        measured_as: str | None = None,
        limits: Limits | None = None,
        pooler: bool = False,
        signatures: Signatures | None = None,
    ) -> None:
        """`conninfo` names server and database, `sizes` gives the maximum of connections of each login.

        `measured_as` is the label of the metrics in place of the login's name.
        `pooler` states that the conninfo leads to a pooler in transaction mode, such as PgBouncer. `signatures` sign
        each identity; None: the database does not ask for it.
        """
        self._signatures = signatures
        self._turns = Turns()
        self._session = _in_transaction(SESSION) if pooler else []
        self._calls: dict[asyncio.Task[list[Rows]], _Call] = {}
        self._pools = {}
        for kind, size in sizes.items():
            login = f"blotter_{kind}"
            named = login_to(conninfo, login, (passwords or {}).get(kind), SESSION, pooler=pooler)
            measured = LoginMetrics(metrics, measured_as or login, size)
            pool = self._pools[kind] = Pool(named, login, size, limits or Limits(), measured, pooler=pooler)
            metrics.before_reading(pool.observe)

    async def open(self) -> None:
        """Connect each login once. Raises DatabaseUnavailable if the database cannot be reached."""
        try:
            for pool in self._pools.values():
                await pool.open()
        except BaseException:
            await self.close()
            raise

    async def close(self, grace_seconds: float = 0) -> None:
        """Close all connections after calls under way have ended, or after the grace period.

        Writes continue in it also without their callers. Takes little longer, also when the database does not answer.
        """
        if self._calls:
            await asyncio.wait(self._calls, timeout=grace_seconds)
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))
        for task, call in self._calls.items():
            if not (call.writes_of and call.sent):
                task.cancel()  # a second time: the driver may be waiting for the answer to its first cancellation
        if self._calls:
            await asyncio.wait(self._calls, timeout=CLOSE_SECONDS)

    async def run(
        self,
        caller: Caller,
        *statements: Statement,
        writes_of: Iterable[UUID] = (),
        repeatable: bool = True,
        timeout_seconds: float | None = None,
        committed: Callable[[UUID], None] | None = None,
    ) -> list[Rows]:
        """Run the statements in one transaction under the caller's login and identity.

        `writes_of` names the traders whose counters they lock; `committed` is called for each of them after the
        commit, or when it is unknown whether there was one, also when the caller has gone. When the connection is
        found closed, a `repeatable` call is sent again on another. `timeout_seconds` bounds the call as the caller's
        deadline does.

        Returns the rows of each statement. Raises a BlotterError for any error of the database. Nothing was written
        then, except that with DatabaseUnavailable it is unknown: it also replaces the error of a later attempt of a
        write, because an earlier attempt may have committed.
        """
        deadline = caller.deadline
        if timeout_seconds is not None:
            own = time.monotonic() + timeout_seconds
            deadline = own if deadline is None else min(own, deadline)
        reading = caller.reading
        recording = caller.kind is CallerKind.COMPLIANCE and not (reading and reading.recorded)
        if recording:
            statements = (_access(caller), *statements)
        call = _Call(
            caller, statements, frozenset(writes_of), repeatable, committed, Deadlines(deadline), self._signatures
        )
        try:
            results = await self._in_a_task(call)
        except DatabaseBusy:
            self._pools[caller.kind].metrics.busy.inc()
            raise
        if reading and recording:
            reading.recorded = True
            return results[1:]
        return results

    async def _in_a_task(self, call: _Call) -> list[Rows]:
        task = asyncio.create_task(self._run(call))
        self._calls[task] = call
        task.add_done_callback(self._forget)
        try:
            answers_at = call.deadlines.answers_at
            await asyncio.wait({task}, timeout=answers_at and max(0.0, answers_at - time.monotonic()))
        finally:
            if not (call.writes_of and call.sent):
                task.cancel()
        if task.done():
            return task.result()
        raise DatabaseUnavailable if call.sent else DatabaseBusy

    def _forget(self, task: asyncio.Task[list[Rows]]) -> None:
        del self._calls[task]
        if not task.cancelled():
            task.exception()  # the caller may have gone; asyncio would log an exception that is never retrieved

    async def _run(self, call: _Call) -> list[Rows]:
        pool = self._pools[call.caller.kind]
        with pool.queue.admitted(call.key):
            async with self._turns.taken(call.caller.kind, call.writes_of, call.deadlines.waits_until):
                try:
                    [[[known, *_]], *results] = await self._send(pool, call)
                except DatabaseUnavailable:
                    if call.sent:
                        call.hint()
                    raise
        if not known:
            raise UnknownDesk if call.caller.desk_id else UnknownTrader
        call.hint()
        return results

    async def _send(self, pool: Pool, call: _Call) -> list[Rows]:
        for attempt in range(1 + pool.size):
            try:
                async with pool.connection(call.key, call.deadlines.waits_until) as connection:
                    if not attempt:
                        pool.metrics.wait_seconds.observe(time.monotonic() - call.deadlines.begun)
                    try:
                        return await self._exchange(connection, call, pool.metrics)
                    except OperationalError as error:
                        if not call.repeatable or not connection.closed or attempt == pool.size:
                            raise translate(error) from error
            except Exception as error:
                translated = translate(error)
                # An earlier attempt may have committed; the error of a later one does not show that.
                if attempt and isinstance(translated, BlotterError if call.writes_of else DatabaseBusy):
                    translated = DatabaseUnavailable(MAY_BE_DONE if call.writes_of else None)
                if translated is error:
                    raise
                raise translated from error
        raise AssertionError("unreachable")

    async def _exchange(self, connection: Connection, call: _Call, metrics: LoginMetrics) -> list[Rows]:
        cursor = AsyncClientCursor(connection)
        parts = await in_portions(
            lambda statement: cursor.mogrify(*call.signed(statement)), [*self._session, *call.statements]
        )
        # Last, because it contains the time that is left.
        parts.insert(len(self._session), cursor.mogrify(*call.identity()))
        trace = TRACE.get()
        span = trace and trace.message(metrics.login)
        message = ((span.comment if span else "") + ";".join(parts)).encode()
        with answered_by(connection, call.deadlines.closes_at(writes=bool(call.writes_of))):
            call.sent = True
            sent = time.monotonic()
            failed = True
            try:
                await cursor.execute(message)
                failed = False
            except pg.QueryCanceled as error:
                raise call.deadlines.error_for_cancelled_statement() from error
            finally:
                metrics.calls_per_message.observe(1)
                metrics.message_seconds.observe(time.monotonic() - sent)
                if span:
                    span.end(failed=failed)
            results: list[Rows] = []
            while True:
                results.append(await cursor.fetchall() if cursor.description else [])
                if not cursor.nextset():
                    return results[len(self._session) :]
                if len(results) % PORTION == 0:
                    await asyncio.sleep(0)


def _access(caller: Caller) -> Statement:
    if caller.reading is None:
        raise RuntimeError("A read by compliance has no description of what is read.")
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
