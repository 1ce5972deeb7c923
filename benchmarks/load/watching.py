"""Streams: opens them, says when all are ready, and counts what they receive until it is asked.

`python -m benchmarks.load.watching` reads a `Watch` from the first line of standard input and prints a line when each
stream has ended its snapshot. Then it waits for another line, a number of a sequence: it prints what it counted as soon
as each stream has received it. With `submits` it makes these calls at their rate by itself, as one process must see
both the answers and the events, and prints how long after each answer its event came.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from benchmarks.load.http2 import Wire, header_block
from benchmarks.load.paced import Paced
from benchmarks.load.plan import Caller, Plan
from blotter.orders.v1 import watch_pb2

_PATIENCE_SECONDS = 60
PATH = "/blotter.orders.v1.OrderService/WatchOrders"

Taken = Callable[[int, bytes], None]
"""Called with the number of a stream, in the order of the callers, and one message of it."""


class Streams(Wire):
    """A connection with some streams open, whose messages it hands on."""

    def __init__(self, target: str, path: str, callers: Sequence[Caller], first: int, taken: Taken) -> None:
        super().__init__()
        self._opening = [(header_block(target, path, caller.headers), caller.body) for caller in callers]
        self._first = first
        self._taken = taken
        self._partial: dict[int, bytes] = {}
        self.finished = asyncio.Event()
        self.open = len(callers)

    def first(self) -> bytes:
        """Return the calls that open the streams."""
        return b"".join(self.call(*opening)[1] for opening in self._opening)

    def received(self, stream: int, data: bytes) -> None:
        """Hand on the messages that are complete."""
        buffer = self._partial.get(stream, b"") + data
        at = 0
        while len(buffer) - at >= 5:
            end = at + 5 + int.from_bytes(buffer[at + 1 : at + 5], "big")
            if end > len(buffer):
                break
            self._taken(self._first + (stream - 1) // 2, buffer[at + 5 : end])
            at = end
        self._partial[stream] = buffer[at:]

    def ended(self, stream: int) -> bytes:  # noqa: ARG002  # shaped by Wire
        """Count a stream that has ended."""
        self.open -= 1
        if not self.open:
            self.finished.set()
        return b""

    def lost(self) -> None:
        """Count all streams as ended."""
        self.open = 0
        self.finished.set()


async def connected(connection: Wire, target: str) -> None:
    """Connect."""
    host, _, port = target.rpartition(":")
    await asyncio.get_running_loop().create_connection(partial(_same, connection), host, int(port))


def _same(connection: Wire) -> Wire:
    return connection


@dataclass(frozen=True, slots=True)
class Watch:
    """Streams of WatchOrders, spread over some connections, and the submits beside them."""

    callers: Sequence[Caller]
    plan: Plan
    """Names the target; with a rate, its calls are made, and its callers are those of the streams."""
    connections: int = 10

    def dump(self) -> str:
        """Return the watch as one line."""
        watching = Plan(self.plan.target, PATH, self.callers)
        return json.dumps([watching.dump(), self.plan.dump(), self.connections])

    @staticmethod
    def load(text: str) -> Watch:
        """Return the watch that `dump` wrote."""
        watching, plan, connections = json.loads(text)
        return Watch(Plan.load(watching).callers, Plan.load(plan), connections)


@dataclass(slots=True)
class Seen:
    """What the streams received. Times in seconds."""

    messages: int = 0
    events: int = 0
    answered: int = 0
    failed: int = 0
    p50: float = 0.0
    p99: float = 0.0


class Watchers:
    """All streams, and what they have received."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._newest: dict[int, bytes] = {}
        self._ready = 0
        self._delays: list[float] = []
        self._events: dict[int, deque[float]] = defaultdict(deque)
        self._answers: dict[int, deque[float]] = defaultdict(deque)
        self._take: Taken = self._opened
        self.seen = Seen()
        self.connections: list[Streams] = []

    async def open(self) -> None:
        """Open the streams; return when all have ended their snapshot."""
        size = -(-len(self._watch.callers) // self._watch.connections)
        for first in range(0, len(self._watch.callers), size):
            callers = self._watch.callers[first : first + size]
            connection = Streams(self._watch.plan.target, PATH, callers, first, self._hand_on)
            self.connections.append(connection)
            await connected(connection, self._watch.plan.target)
        await self._until(lambda: self._ready == len(self._watch.callers))

    async def _until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not done():
                if any(connection.finished.is_set() for connection in self.connections):
                    raise RuntimeError("A stream has ended.")
                await asyncio.sleep(0.005)

    def _hand_on(self, number: int, message: bytes) -> None:
        self._take(number, message)

    def _opened(self, number: int, message: bytes) -> None:
        response = watch_pb2.WatchOrdersResponse.FromString(message)
        if response.HasField("snapshot_complete"):
            self._ready += 1
        if self._ready == len(self._watch.callers):
            self._take = self._timed if self._watch.plan.rate else self._count
        self._newest[number] = message

    def _count(self, number: int, message: bytes) -> None:
        self.seen.messages += 1
        self._newest[number] = message

    async def reached(self, sequence: int) -> None:
        """Return when each stream has received the event of the sequence."""
        await self._until(lambda: all(self._sequence(message) >= sequence for message in self._newest.values()))

    @staticmethod
    def _sequence(message: bytes) -> int:
        response: Any = watch_pb2.WatchOrdersResponse.FromString(message)
        if response.HasField("events"):
            return int(response.events.events[-1].sequence)
        return int(max(response.snapshot_complete.last_sequence, response.heartbeat.last_sequence))

    def _timed(self, number: int, message: bytes) -> None:
        now = time.perf_counter()
        self.seen.messages += 1
        events = watch_pb2.WatchOrdersResponse.FromString(message).events.events
        self.seen.events += len(events)
        for _ in events:
            self._pair(number, self._events, self._answers, now)

    def _pair(self, number: int, mine: dict[int, deque[float]], others: dict[int, deque[float]], now: float) -> None:
        """Note a trader's answer or event, and the delay once the other of the two has come."""
        if not others[number]:
            mine[number].append(now)
            return
        before = others[number].popleft()
        # An event that came before the answer was not late.
        self._delays.append(now - before if mine is self._events else 0.0)

    async def submit(self) -> None:
        """Make the calls of the plan; return when each event has come."""
        plan = self._watch.plan

        def answered(_begun: float, ended: float, size: int) -> None:
            number = connection.caller
            if size:
                self.seen.answered += 1
                self._pair(number, self._answers, self._events, ended)
            else:
                self.seen.failed += 1

        connection = Paced(plan.target, plan.path, plan.callers, answered)
        await connected(connection, plan.target)
        await connection.run(plan.rate or 0, plan.seconds)
        connection.stop()
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await connection.idle.wait()
        await self._until(lambda: self.seen.events >= self.seen.answered)
        connection.close()
        spent = sorted(self._delays)
        self.seen.p50, self.seen.p99 = spent[len(spent) // 2], spent[len(spent) * 99 // 100]


async def main() -> None:
    """Watch as standard input says."""
    loop = asyncio.get_running_loop()
    watch = Watch.load(await loop.run_in_executor(None, sys.stdin.readline))
    watchers = Watchers(watch)
    await watchers.open()
    print("ready", flush=True)
    if watch.plan.rate:
        await watchers.submit()
    elif line := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        await watchers.reached(int(line))
    print(json.dumps(asdict(watchers.seen)), flush=True)


if __name__ == "__main__":
    gc.disable()
    asyncio.run(main())
