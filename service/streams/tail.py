"""The newest events of one identity: read and serialized once, and taken from memory by each of its streams.

An identity is a login with its trader or desk: the streams of a tail would each read the same rows. A tail over all
traders has also one filter; the streams of one trader may have different ones, which select in memory.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import replace
from operator import attrgetter
from typing import NamedTuple

from service.domain.errors import DatabaseBusy, DatabaseUnavailable
from service.domain.filters import EventFilter
from service.domain.identity import Caller, CallerKey
from service.domain.portions import in_portions
from service.repositories.events import Batch, Events
from service.streams.heartbeats import PORTION, Heartbeats, wake
from service.streams.matching import matching
from service.streams.messages import Encoded, Entry, StreamMethod, first_message
from service.streams.reading import patiently
from service.streams.requests import StreamRequest

EVENTS_A_READ = 500
BUFFER_EVENTS = 1_000
BUFFER_BYTES = 1024 * 1024
"""How much a tail keeps for streams that have not taken it yet. One that needs older events reads for itself."""

MESSAGES = 8
"""The number of messages that a tail keeps for streams that are where another one is and have the same filter."""

_cursor = attrgetter("cursor")


class Taken(NamedTuple):
    """What a stream gets next: the events up to the cursor. `last` is the number of the last event in the message."""

    cursor: int
    message: Encoded | None = None
    last: int = 0


class Member:
    """A stream of a tail. Created, it reads for itself until it has caught up."""

    __slots__ = ("_alone", "_heartbeats", "_key", "_matches", "_tail", "context", "stream", "woken")

    def __init__(self, tail: Tail, stream: StreamRequest, heartbeats: Heartbeats) -> None:
        self.stream = stream
        self.context: Context = copy_context()
        self.woken: asyncio.Future[None] | None = None
        self._tail = tail
        self._heartbeats = heartbeats
        self._alone = False
        self._key = stream.binding.digest
        self._matches = None if stream.filter == tail.filter else matching(stream.filter)

    def caught_up(self, cursor: int) -> None:
        """Report that the stream has itself read, and sent, everything up to the cursor."""
        self._alone = False
        self._tail.begin(cursor)

    def take(self, cursor: int) -> Taken | None:
        """Return what follows the cursor; None where the stream must read for itself until it has caught up."""
        tail = self._tail
        if self._alone or cursor < tail.start:
            return None
        if cursor >= tail.head:
            return Taken(cursor)
        taken = tail.messages.get((self._key, cursor))
        if taken is None:
            taken = self._made(cursor)
            tail.keep((self._key, cursor), taken)
        return taken

    async def wait(self, due: float) -> None:
        """Wait for news, at most until `due` of the event loop's clock. Raises DatabaseUnavailable or DatabaseBusy."""
        self.woken = woken = asyncio.get_running_loop().create_future()
        moment = self._heartbeats.add(woken, due, self.stream.heartbeat_seconds)
        self._tail.add_waiting(self)
        try:
            await woken
        finally:
            self._tail.waiting.pop(self, None)
            self._heartbeats.discard(woken, moment)

    def leave_tail(self) -> None:
        """Let the stream read for itself."""
        self._alone = True
        self._tail.waiting.pop(self, None)
        if self.woken:
            wake(self.woken)

    def _made(self, cursor: int) -> Taken:
        tail, matches = self._tail, self._matches
        entries = tail.entries[bisect_right(tail.entries, cursor, key=_cursor) :]
        if matches:
            entries = [entry for entry in entries if matches(entry.event.log)]
        chosen = first_message(entries)
        if not chosen:
            return Taken(tail.head)
        last = chosen[-1]
        reached = tail.head if len(chosen) == len(entries) else last.cursor
        return Taken(reached, self.stream.method.events(self.stream.token(reached), chosen), last.number)


class Tail:
    """The events after `start` up to `head`, and the streams that take them.

    It reads when it was hinted at and a stream waits, in a task that ends with the read; otherwise it costs nothing.
    """

    def __init__(self, events: Events, method: StreamMethod, filter_: EventFilter, pause: Callable[[], float]) -> None:
        """`pause` returns the least number of seconds between two reads."""
        self.filter = filter_
        self._method = method
        self.start = self.head = -1
        self.entries: list[Entry] = []
        self.messages: dict[tuple[bytes, int], Taken] = {}
        self.members: set[Member] = set()
        self.waiting: dict[Member, None] = {}
        self._events = events
        self._pause = pause
        self._bytes = 0
        self._known = 0
        self._hinted = False
        self._next_read = 0.0
        self._reading: asyncio.Task[None] | None = None
        self._refused: set[CallerKey] = set()

    def begin(self, cursor: int) -> None:
        """Continue after a cursor up to which a stream has read, if it is the first one; otherwise read up to it."""
        self._known = max(self._known, cursor)
        if self.head < 0:
            self.start = self.head = cursor
        elif cursor > self.head:
            self._hinted = True

    def hint(self) -> None:
        """Read: there may be news."""
        self._hinted = True
        self._read_if_awaited()

    def add_waiting(self, member: Member) -> None:
        """Add a stream that has taken everything. Events that all have taken are forgotten.

        A stream that was woken waits no longer; while a read adds events, those that are not yet woken have not taken
        them.
        """
        self.waiting[member] = None
        if len(self.waiting) == len(self.members) and self._reading is None:
            self._forget_up_to(len(self.entries), self.head)
            self.messages.clear()
        self._read_if_awaited()

    def keep(self, key: tuple[bytes, int], taken: Taken) -> None:
        """Keep a message for the next streams in the same place."""
        if len(self.messages) >= MESSAGES:
            del self.messages[next(iter(self.messages))]
        self.messages[key] = taken

    async def close(self) -> None:
        """End a read under way: no stream is left."""
        if self._reading:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    def _read_if_awaited(self) -> None:
        if self._hinted and self.waiting and self._reading is None:
            # The read belongs to the call, and to the trace, of the stream whose caller it is done for.
            leader = next(iter(self.waiting))
            self._reading = asyncio.create_task(self._read(), context=leader.context)

    async def _read(self) -> None:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self._next_read - clock()))
        self._hinted, known = False, self._known
        self._next_read = clock() + self._pause()
        self._refused.clear()
        try:
            await self._add(await patiently(self._caller, self._after), known)
        except (DatabaseUnavailable, DatabaseBusy) as error:
            self._fail(type(error))
        except Exception:  # noqa: BLE001  # may be of this caller alone: each stream finds out when it reads
            self._release()
        self._reading = None
        self._read_if_awaited()

    def _caller(self) -> Caller:
        """Return the caller of a stream that is open now. The deadline of its client does not bound the others.

        One that was refused in this read, because it has too many calls, must not end the streams of other callers.
        """
        open_now = self.waiting or self.members
        accepted = (member for member in open_now if member.stream.caller.key not in self._refused)
        member = next(accepted, None) or next(iter(open_now))
        return replace(member.stream.caller, deadline=None)

    async def _after(self, caller: Caller) -> Batch:
        try:
            return await self._events.after(caller, caller.trader_id, self.filter, self.head, EVENTS_A_READ)
        except DatabaseBusy:
            self._refused.add(caller.key)
            raise

    async def _add(self, batch: Batch, known: int) -> None:
        if batch.more:
            self._hinted, self._next_read = True, 0.0
        elif batch.cursor < known:
            # The history has become shorter, as after a failover. Each stream finds that out when it reads.
            self.start = self.head = -1
            self._known = 0
            self.entries, self._bytes = [], 0
            self.messages.clear()
            self._release()
            return
        entries = await in_portions(self._method.entry, batch.events)
        self.messages.clear()
        self.entries += entries
        self._bytes += sum(len(entry.data) for entry in entries)
        self.head = batch.cursor
        self._known = max(self._known, batch.cursor)
        self._keep_within_bounds()
        await self._wake_waiting()

    def _keep_within_bounds(self) -> None:
        count, size = max(0, len(self.entries) - BUFFER_EVENTS), self._bytes
        size -= sum(len(entry.data) for entry in self.entries[:count])
        while size > BUFFER_BYTES:
            size -= len(self.entries[count].data)
            count += 1
        if count:
            self._forget_up_to(count, self.entries[count - 1].cursor)

    def _forget_up_to(self, count: int, start: int) -> None:
        self._bytes -= sum(len(entry.data) for entry in self.entries[:count])
        del self.entries[:count]
        self.start = start

    async def _wake_waiting(self) -> None:
        for number, member in enumerate(list(self.waiting)):
            if number and number % PORTION == 0:
                await asyncio.sleep(0)
            if member.woken:
                wake(member.woken)
            self.waiting.pop(member, None)

    def _fail(self, error: type[DatabaseUnavailable | DatabaseBusy]) -> None:
        for member in self.waiting:
            if member.woken and not member.woken.done():
                member.woken.set_exception(error())
        self.waiting.clear()

    def _release(self) -> None:
        for member in self.members:
            member.leave_tail()
