"""Sends SQL under a caller's identity. Nothing else does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from uuid import UUID

from psycopg import AsyncClientCursor, OperationalError
from psycopg import errors as pg

from service.domain.errors import BlotterError, DatabaseBusy, DatabaseUnavailable, UnknownDesk, UnknownTrader
from service.domain.identity import Caller, CallerKind
from service.observability.context import TRACE
from service.observability.logins import LoginMetrics
from service.observability.metrics import Metrics
from service.repositories.combining import COMBINED, SLOW_SECONDS, Combiner, lanes_of
from service.repositories.deadlines import Deadlines
from service.repositories.errors import translate
from service.repositories.messages import ROWS_A_STATEMENT, Call, Joinable, Rows, Statement, rendered, sent
from service.repositories.pools import CLOSE_SECONDS, Connection, Pool, answered_by
from service.repositories.queueing import Limits
from service.repositories.sessions import FOR_PAGES, SESSION, in_each_transaction, login_to
from service.repositories.signatures import Signatures
from service.repositories.turns import Turns

MAY_BE_DONE = "The database did not answer, and the work may have been done; repeat the call with the same key."

READ_PAGES = {CallerKind.TRADER, CallerKind.DESK}


class Database:
    """Runs the statements of a call as one transaction in one round trip, shared with other calls that wait.

    Short calls of a login that wait at one time are sent together (`combining.py`), other calls alone. Cancelling the
    caller cancels a call that waits, or reads alone; a write that was sent runs to its end, because Postgres commits a
    cancelled COMMIT without its standby. This object owns the tasks that send.
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
        combine: bool = True,
    ) -> None:
        """`conninfo` names server and database, `sizes` gives the maximum of connections of each login.

        `measured_as` is the label of the metrics in place of the login's name.
        `pooler` states that the conninfo leads to a pooler in transaction mode, such as PgBouncer. `signatures` sign
        each identity; None: the database does not ask for it. `combine` False: each call is sent alone.
        """
        self._signatures = signatures
        self._turns = Turns(self._send_waiting)
        self._session = [statement.encode() for statement in in_each_transaction()] if pooler else []
        self._alone: dict[asyncio.Task[list[Rows]], Call] = {}
        self._pools: dict[CallerKind, Pool] = {}
        self._combiners: dict[CallerKind, Combiner] = {}
        for kind, size in sizes.items():
            login = f"blotter_{kind}"
            session = SESSION | FOR_PAGES if kind in READ_PAGES else SESSION
            named = login_to(conninfo, login, (passwords or {}).get(kind), session, pooler=pooler)
            measured = LoginMetrics(metrics, measured_as or login, size)
            combined = combine and kind in COMBINED
            lanes = lanes_of(size) if combined else 0
            pool = Pool(named, login, size, limits or Limits(), measured, lanes=lanes, pooler=pooler)
            self._pools[kind] = pool
            metrics.before_reading(pool.observe)
            if combined:
                last = partial(self._choose_last, kind)
                self._combiners[kind] = Combiner(pool, self._turns, self._session, self._send_alone, last)

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
        end = time.monotonic() + grace_seconds
        while (tasks := self._tasks()) and (left := end - time.monotonic()) > 0:
            await asyncio.wait(tasks, timeout=left)
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))
        for task, call in self._alone.items():
            if not (call.writes_of and call.sent):
                task.cancel()  # a second time: the driver may be waiting for the answer to its first cancellation
        end = time.monotonic() + CLOSE_SECONDS
        # Again, because a message that is cut sends its calls again, each in a task of its own.
        while (tasks := self._tasks()) and (left := end - time.monotonic()) > 0:
            await asyncio.wait(tasks, timeout=left)

    def _tasks(self) -> list[asyncio.Task[object]]:
        return [*self._alone, *(task for combiner in self._combiners.values() for task in combiner.messages)]

    async def run(
        self,
        caller: Caller,
        *statements: Statement,
        writes_of: Iterable[UUID] = (),
        repeatable: bool = True,
        timeout_seconds: float | None = None,
        committed: Callable[[UUID], None] | None = None,
        most_rows: int = 1,
        joinable: Joinable | None = None,
    ) -> list[Rows]:
        """Run the statements in one transaction under the caller's login and identity.

        `writes_of` names the traders whose counters they lock; `committed` is called for each of them after the
        commit, or when it is unknown whether there was one, also when the caller has gone. When the connection is
        found closed, a `repeatable` call is sent again on another. `timeout_seconds` bounds the call as the caller's
        deadline does. `most_rows` is the number of rows that a statement returns at most. `joinable` takes the place
        of the statements, and returns one row.

        The statements of other calls may precede and follow in the transaction: a statement must not change settings,
        and must not rely on one that the call has not made itself.

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
        call = Call(
            caller,
            statements,
            frozenset(writes_of),
            repeatable,
            committed,
            Deadlines(deadline),
            self._signatures,
            TRACE.get(),
            asyncio.get_running_loop().create_future(),
            weight=max(1, len(statements)) + most_rows // ROWS_A_STATEMENT,
            joinable=joinable,
        )
        pool = self._pools[caller.kind]
        try:
            with pool.queue.admitted(call.key):
                results = await self._answer(call)
        except DatabaseBusy:
            pool.metrics.busy.inc()
            raise
        if reading and recording:
            reading.recorded = True
            return results[1:]
        return results

    async def _answer(self, call: Call) -> list[Rows]:
        combiner = self._combiners.get(call.caller.kind)
        if combiner and combiner.takes(call):
            combiner.add(call)
        else:
            combiner = None
            self._send_alone(call)
        loop, deadlines = asyncio.get_running_loop(), call.deadlines
        timers = [loop.call_later(deadlines.waits_until - time.monotonic(), _end_waiting, call)]
        if deadlines.answers_at is not None:
            timers.append(loop.call_later(deadlines.answers_at - time.monotonic(), _end, call))
        try:
            return await call.answer
        finally:
            for timer in timers:
                timer.cancel()
            if combiner and not call.sent:
                combiner.discard(call)
            if call.alone and not (call.writes_of and call.sent):
                call.alone.cancel()

    def _choose_last(self, kind: CallerKind) -> None:
        """Let the other logins choose first among the traders whose turns become free."""
        self._combiners[kind] = self._combiners.pop(kind)

    def _send_waiting(self) -> None:
        """Let all logins send what waits, since turns of traders have become free."""
        for combiner in list(self._combiners.values()):
            combiner.send()

    def _send_alone(self, call: Call) -> None:
        """Send the call in a message of its own, in a task."""
        task = call.alone = asyncio.create_task(self._run(call))
        self._alone[task] = call
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[list[Rows]]) -> None:
        call = self._alone.pop(task)
        if task.cancelled():
            call.failed(DatabaseUnavailable())
        elif error := task.exception():
            call.failed(error)
        else:
            call.answered(task.result())

    async def _run(self, call: Call) -> list[Rows]:
        kind, until = call.caller.kind, call.deadlines.waits_until
        try:
            async with self._turns.taken(kind, call.writes_of, until, first=call.was_combined):
                [[[known, *_]], *results] = await self._send(self._pools[kind], call)
        except BlotterError as error:
            unknown = isinstance(error, DatabaseUnavailable) and call.sent
            # An earlier attempt may have committed; the error of a later one does not show that.
            if call.may_be_done and (call.writes_of or isinstance(error, DatabaseBusy)):
                call.hint()
                raise DatabaseUnavailable(MAY_BE_DONE if call.writes_of else None) from error
            if unknown:
                call.hint()
            raise
        if not known:
            raise UnknownDesk if call.caller.desk_id else UnknownTrader
        call.hint()
        return results

    async def _send(self, pool: Pool, call: Call) -> list[Rows]:
        for attempt in range(1 + pool.size):
            try:
                async with pool.connection(pool.queue.turn(call.key), call.deadlines.waits_until) as connection:
                    if not call.sent:
                        pool.metrics.wait_seconds.observe(time.monotonic() - call.deadlines.begun)
                    try:
                        return await self._exchange(connection, call, pool.metrics)
                    except OperationalError as error:
                        if not call.repeatable or not connection.closed or attempt == pool.size:
                            raise translate(error) from error
                        call.may_be_done = True
            except Exception as error:
                translated = translate(error)
                if translated is error:
                    raise
                raise translated from error
        raise AssertionError("unreachable")

    async def _exchange(self, connection: Connection, call: Call, metrics: LoginMetrics) -> list[Rows]:
        texts = await rendered(connection, call)
        # Last, because it contains the time that is left.
        identity = AsyncClientCursor(connection).mogrify(*call.identity(call.deadlines.send()))
        span = call.trace and call.trace.message(metrics.login)
        message = (span.comment if span else "").encode() + b";".join([*self._session, identity.encode(), *texts])
        if call.answer.done():  # as too late: it must not be done
            raise DatabaseUnavailable if call.may_be_done else DatabaseBusy
        with answered_by(connection, call.deadlines.closes_at(writes=bool(call.writes_of))):
            call.sent = True
            begun = time.monotonic()
            failed = True
            try:
                results = await sent(connection, message)
                failed = False
            except pg.QueryCanceled as error:
                raise call.deadlines.error_for_cancelled_statement() from error
            finally:
                seconds = time.monotonic() - begun
                metrics.calls_per_message.observe(1)
                metrics.message_seconds.observe(seconds)
                if span:
                    span.end(failed=failed)
                if call.was_combined and (failed or seconds > SLOW_SECONDS):
                    self._combiners[call.caller.kind].keep_alone(call.key)
        return results[len(self._session) :]


def _end_waiting(call: Call) -> None:
    if not call.sent:
        call.failed(DatabaseBusy())


def _end(call: Call) -> None:
    call.failed(DatabaseUnavailable() if call.sent else DatabaseBusy())


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
