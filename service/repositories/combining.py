"""Sends the short calls of one login that wait at one time as one message: one round trip, one transaction, one commit.

No call waits for others to come while no message is under way: it is sent at once, alone. While one is under way,
fewer than WORTH_A_MESSAGE calls wait for its end, for HELD_SECONDS at most: a message costs much more than a call.

A message of several calls has limits so short that none of its calls can hold up the others for long. When a call
exceeds them or fails, the transaction is gone, and each call of the message is sent alone, with its own limits: a call
costs its neighbours time, never their result. The calls of its caller are then sent alone for some seconds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import nullcontext
from uuid import UUID

from psycopg import OperationalError
from psycopg import errors as pg

from service.domain.errors import (
    BlotterError,
    DatabaseUnavailable,
    DeadlineExceeded,
    StatementTimeout,
    UnknownDesk,
    UnknownTrader,
)
from service.domain.identity import CallerKind
from service.repositories.errors import translate
from service.repositories.messages import Call, Rows, sent
from service.repositories.pools import Connection, Pool, answered_by
from service.repositories.queueing import Key
from service.repositories.together import STATEMENT_MS, Message, Part, joined, part_of
from service.repositories.turns import Turns
from service.repositories.waiting import WaitingCalls

COMBINED = {CallerKind.TRADER, CallerKind.EXECUTION}
"""The logins whose calls are combined. Those of desks and compliance are few, and read much."""

LANES = 2
"""Messages under way at one time. While the answers of one are read, the database works on the other."""

WORTH_A_MESSAGE = 8
"""Calls that are sent while another message is under way."""

HELD_SECONDS = 0.003
"""For how long fewer calls wait for a message that is under way."""

MOST_WEIGHT = 64
"""The weight of the calls of one message: see `Call.weight`."""

MOST_BYTES = 1024 * 1024
"""Bytes of one message, but for one call that is larger by itself."""

HEAVIEST = 16
"""The weight of a call that is combined; a heavier one has a message of its own."""

SHORTEST_DEADLINE = 0.05
"""A call with fewer seconds left is sent alone: its timeout would end the message of the others."""

ANSWER_SECONDS = 2.0
"""How long a message without an answer keeps its lane, and the turns of its traders."""

SLOW_SECONDS = 0.1
"""A call that takes longer in the database is slow: its caller's next ones are sent alone."""

ALONE_SECONDS = 5.0
"""For how long the calls of a caller are sent alone."""

MOST_ALONE = 10_000
"""The number of callers whose calls are sent alone. Beyond it the first one is combined again."""


_NOBODY = UUID(int=0)

log = logging.getLogger("blotter.database")


class Combiner:
    """The lanes of one login."""

    def __init__(
        self,
        pool: Pool,
        turns: Turns,
        session: list[bytes],
        alone: Callable[[Call], None],
        choose_last: Callable[[], None],
    ) -> None:
        """`session` precedes the statements of each message. `alone` sends a call in a message of its own.

        `choose_last` is called before turns are released: the other logins should choose first.
        """
        self._pool = pool
        self._turns = turns
        self._session = session
        self._alone = alone
        self._choose_last = choose_last
        self._free_lanes = lanes_of(pool.size)
        self._waiting = WaitingCalls()
        self._held: asyncio.TimerHandle | None = None
        self._alone_until: OrderedDict[Key, float] = OrderedDict()
        self.messages: set[asyncio.Task[None]] = set()
        """The messages under way."""

    def takes(self, call: Call) -> bool:
        """Return whether to combine the call: it is short, repeatable, and locks one counter at most."""
        if not call.repeatable or call.weight > HEAVIEST or len(call.writes_of) > 1:
            return False
        if call.deadlines.are_over(within=SHORTEST_DEADLINE):
            return False
        until = self._alone_until.get(call.key)
        return until is None or until < time.monotonic()

    def add(self, call: Call) -> None:
        """Send the call as soon as a lane is free."""
        call.was_combined = True
        self._waiting.add(call)
        self.send()

    def discard(self, call: Call) -> None:
        """Remove a call that still waits."""
        self._waiting.discard(call)

    def send(self) -> None:
        """Send what waits, as far as lanes and turns are free."""
        while self._free_lanes and len(self.messages) < self._pool.size and not self._is_held():
            calls = self._waiting.take(MOST_WEIGHT, self._turns.is_free)
            if not calls:
                return
            # The counters are locked in the order of the traders, as by all messages: two of them do not deadlock.
            calls.sort(key=_order)
            traders = {trader_id for call in calls for trader_id in call.writes_of}
            self._turns.take(traders)
            self._free_lanes -= 1
            task = asyncio.create_task(self._deliver(calls, [traders]))
            self.messages.add(task)
            task.add_done_callback(self._forget)
            self._hold()

    def _is_held(self) -> bool:
        return self._held is not None and len(self._waiting) < WORTH_A_MESSAGE

    def _hold(self) -> None:
        if self._held:
            self._held.cancel()
        self._held = asyncio.get_running_loop().call_later(HELD_SECONDS, self._end_hold)

    def _end_hold(self) -> None:
        if self._held:
            self._held.cancel()
            self._held = None
        self.send()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self.messages.discard(task)
        if self.messages:
            self.send()
        else:
            self._end_hold()

    def keep_alone(self, key: Key) -> None:
        """Send the calls of a caller alone for a while: one of them has failed, or was slow."""
        self._alone_until[key] = time.monotonic() + ALONE_SECONDS
        self._alone_until.move_to_end(key)
        while len(self._alone_until) > MOST_ALONE or next(iter(self._alone_until.values())) < time.monotonic():
            self._alone_until.popitem(last=False)

    async def _deliver(self, calls: list[Call], held: list[set[UUID]]) -> None:
        try:
            await self._send_on_connection(calls, held)
            await asyncio.sleep(0)  # calls that are sent alone now wait for their turns, which are released then
        except Exception as error:  # each call gets it
            for call in calls:
                if call.alone or call.answer.done():
                    continue
                if call.sent:
                    call.hint()
                    call.failed(DatabaseUnavailable())
                    log.exception("The answer to a message could not be read")
                else:
                    call.failed(_copy_of(translate(error)))
        finally:
            self._free(held)

    def _free(self, held: list[set[UUID]]) -> None:
        """Free the lane of a message and release the turns of its traders, once."""
        if held:
            self._free_lanes += 1
            self._choose_last()
            self._turns.release(held.pop())
            self.send()

    async def _send_on_connection(self, calls: list[Call], held: list[set[UUID]]) -> None:
        until = max(call.deadlines.waits_until for call in calls)
        async with self._pool.connection(nullcontext(), until) as connection:
            waiting = [part async for part in self._parts(connection, calls)]
            while waiting:
                if connection.closed:
                    self._each_alone(call for part in waiting for call in part.calls)
                    return
                await self._exchange(connection, self._still_wanted(_fitting(waiting)), held)

    async def _parts(self, connection: Connection, calls: list[Call]) -> AsyncIterator[Part]:
        """Render the calls. One that cannot be written as SQL gets its error, after it has been tried alone."""
        for served in joined(calls):
            try:
                yield await part_of(connection, served)
            except Exception as error:  # noqa: BLE001  # the call gets it
                if len(served) > 1:
                    self._each_alone(served)
                else:
                    served[0].failed(translate(error))

    def _still_wanted(self, parts: list[Part]) -> list[Part]:
        """Return the parts without calls that were answered while they waited, as too late: these must not be done."""
        wanted = []
        for part in parts:
            left = [call for call in part.calls if not call.answer.done()]
            if len(left) == len(part.calls):
                wanted.append(part)
            else:
                self._each_alone(left)
        return wanted

    async def _exchange(self, connection: Connection, parts: list[Part], held: list[set[UUID]]) -> None:
        if not parts:
            return
        calls = [call for part in parts for call in part.calls]
        message = Message(connection, self._session, parts)
        metrics = self._pool.metrics
        spans = [call.trace.message(metrics.login) for call in calls if call.trace]
        text = (spans[0].comment.encode() if spans else b"") + message.text
        begun = time.monotonic()
        for call in calls:
            metrics.wait_seconds.observe(begun - call.deadlines.begun)
            call.sent = True
        failed = True
        # Behind a connection that has gone silently others would wait for as long as it takes to notice that.
        end = asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._free, held)
        last = max(call.deadlines.closes_at(writes=bool(call.writes_of)) for call in calls)
        last += STATEMENT_MS / 1000 * sum(len(part.texts) for part in parts)
        try:
            with answered_by(connection, last):
                results = await sent(connection, text)
            failed = False
        except Exception as error:  # noqa: BLE001  # each call gets it
            self._failed(connection, calls, error)
        else:
            self._answer(message, results)
            # The results of one part do not contain its end.
            if len(parts) == 1 and time.monotonic() - begun > SLOW_SECONDS:
                self.keep_alone(parts[0].first.key)
        finally:
            end.cancel()
            metrics.calls_per_message.observe(len(calls))
            metrics.message_seconds.observe(time.monotonic() - begun)
            for span in spans:
                span.end(failed=failed)

    def _answer(self, message: Message, results: list[Rows]) -> None:
        """Give each call its rows, and hint at each trader's events once."""
        hints = {}
        for call, known, rows in message.answers(results):
            if not known:
                call.failed(UnknownDesk() if call.caller.desk_id else UnknownTrader())
                continue
            if call.writes_of:
                hints[call.writes_of, call.committed] = call
            call.answered(rows)
        for call in hints.values():
            call.hint()
        for key, seconds in message.seconds(results):
            if seconds > SLOW_SECONDS:
                self.keep_alone(key)

    def _failed(self, connection: Connection, calls: list[Call], error: Exception) -> None:
        """Send each call alone after an error of their message."""
        if isinstance(error, DatabaseUnavailable):  # it has not answered for long
            for call in calls:
                call.hint()
                call.failed(DatabaseUnavailable())
            return
        if isinstance(error, OperationalError) and connection.closed:
            for call in calls:
                call.may_be_done = True
        elif len(calls) == 1 and (found := _final(calls[0], error)):
            self.keep_alone(calls[0].key)
            calls[0].failed(found)
            return
        self._each_alone(calls)

    def _each_alone(self, calls: Iterable[Call]) -> None:
        for call in calls:
            if call.answer.done():  # the caller has gone
                if call.may_be_done:
                    call.hint()
                else:
                    self.keep_alone(call.key)
            elif call.sent and not call.may_be_done and call.deadlines.are_over():
                self.keep_alone(call.key)  # a short deadline may be what has failed
                call.failed(DeadlineExceeded())
            else:
                call.sent = call.may_be_done  # what is rolled back can be cancelled again while it waits
                self._alone(call)


def _final(call: Call, error: Exception) -> Exception | None:
    """Return the error of a call that was the only one of its message; None: it has exceeded the limits of messages."""
    if isinstance(error, pg.QueryCanceled):
        error = call.deadlines.error_for_cancelled_statement()
    return None if isinstance(error, pg.LockNotAvailable | DeadlineExceeded | StatementTimeout) else translate(error)


def _fitting(waiting: list[Part]) -> list[Part]:
    """Remove and return the first parts, as many as fit in one message, and one at least."""
    size = count = 0
    for part in waiting:
        size += part.size
        if count and size > MOST_BYTES:
            break
        count += 1
    fitting, waiting[:] = waiting[:count], waiting[count:]
    return fitting


def _copy_of(error: Exception) -> Exception:
    """Return an error for one call of several: an error takes further fields on its way to the client."""
    copied = type(error).__new__(type(error), *error.args)
    copied.__dict__.update(error.__dict__)
    if isinstance(copied, BlotterError):
        copied.logged = {}
        copied.metadata = dict(copied.metadata)
    copied.__cause__ = error
    return copied


def lanes_of(size: int) -> int:
    """Return the number of lanes of a pool with `size` connections; at least one is left for calls that are alone."""
    return max(1, min(LANES, size - 1))


def _order(call: Call) -> tuple[int, bool]:
    """The calls of a trader together, the writes first: they share an identity."""
    trader_id = call.caller.trader_id or next(iter(call.writes_of), _NOBODY)
    return trader_id.int, not call.writes_of
