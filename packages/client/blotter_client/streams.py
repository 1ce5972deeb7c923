"""The synchronous stream, which resumes after a lost connection, a lost message, a silence or a drain."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

import grpc

from blotter_client.errors import BlotterError, error_of_call
from blotter_client.resumption import SILENT_HEARTBEATS, MessageT, Reader, Resumption, silent_error
from blotter_client.sequences import MessageLost

AnyMessageT = TypeVar("AnyMessageT")
MessageT_co = TypeVar("MessageT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Timing:
    """The clock, the waits and the random numbers of streams; tests replace them.

    `pause`, before another connection, and `watchdog_wait`, between two looks of the watchdog, return as soon as
    the event is set, or after so many seconds. `random` gives 0 <= x < 1.
    """

    clock: Callable[[], float] = time.monotonic
    pause: Callable[[threading.Event, float], object] = threading.Event.wait
    watchdog_wait: Callable[[threading.Event, float], object] = threading.Event.wait
    random: Callable[[], float] = random.random


class Call(Iterator[MessageT_co], Protocol[MessageT_co]):
    """A streaming call, as gRPC makes it."""

    def cancel(self) -> object:
        """End the call."""


@dataclass(frozen=True, slots=True)
class Connection(Generic[AnyMessageT]):
    """One call of a stream: its messages, and the id of its request."""

    call: Call[AnyMessageT]
    request_id: str


class Watchdog:
    """Cancels a call that is waited for too long, from a thread of its own: gRPC's iterator takes no timeout."""

    def __init__(self, limit: float, timing: Timing, stop: threading.Event) -> None:
        self._limit = limit
        self._timing = timing
        self._stop = stop
        self._waiting: tuple[Call[object], float] | None = None
        self._cancelled: Call[object] | None = None

    def start(self) -> None:
        """Watch until `stop` is set."""
        threading.Thread(target=self._run, name="blotter-watchdog", daemon=True).start()

    def waiting(self, call: Call[object]) -> None:
        """Say that the call's next message is awaited from now on."""
        self._waiting = (call, self._timing.clock() + self._limit)

    def arrived(self) -> None:
        """Say that nothing is awaited. A caller that is slow to ask for the next message is no silence."""
        self._waiting = None

    def cancelled(self, call: Call[object]) -> bool:
        """Return whether it was this watchdog that cancelled the call."""
        return self._cancelled is call

    def look(self) -> None:
        """Cancel the call if it has been silent for too long."""
        waiting = self._waiting
        if waiting is not None and self._timing.clock() >= waiting[1]:
            self._cancelled = waiting[0]
            waiting[0].cancel()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._timing.watchdog_wait(self._stop, self._limit / SILENT_HEARTBEATS / 2)
            self.look()


class Stream(Iterator[MessageT]):
    """The messages of a stream, each once, over as many connections as it takes. Raises BlotterError.

    It goes on by itself after UNAVAILABLE, SLOW_CONSUMER and any other error that carries a RetryInfo,
    after a gap in the sequences, after a heartbeat that reports more than came, and after a silence of
    three heartbeat intervals. It ends on other errors, and with DATA_LOSS (reason SEQUENCE_GAP) when the
    same message is missing again and again. A snapshot is handed on once it is complete, so that nobody
    sees half of one, or one twice.

    End it with `cancel()`, from any thread, or by leaving its `with` block.
    """

    def __init__(
        self,
        connect: Callable[[str], Connection[MessageT]],
        reader: Reader[MessageT],
        *,
        resume_token: str = "",
        heartbeat: float | None = None,
        timing: Timing,
    ) -> None:
        self._resumption = Resumption(reader, resume_token=resume_token, heartbeat=heartbeat, random=timing.random)
        self._connect = connect
        self._timing = timing
        self._over = threading.Event()
        self._watchdog = Watchdog(self._resumption.silence, timing, self._over)
        self._call: Call[object] | None = None
        self._messages = self._run()

    @property
    def resume_token(self) -> str:
        """The token of the last message that was handed on, to go on after it in another process."""
        return self._resumption.resume_token

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> MessageT:
        return next(self._messages)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cancel()

    def cancel(self) -> None:
        """End the stream: who waits for its next message finds it ended. Safe from any thread, and twice."""
        self._over.set()
        if self._call is not None:
            self._call.cancel()

    def _run(self) -> Generator[MessageT]:
        self._watchdog.start()
        try:
            while not self._over.is_set():
                failure: BlotterError | MessageLost | None = None
                try:
                    yield from self._connection()
                    if self._over.is_set() or self._resumption.ended():
                        return
                except (BlotterError, MessageLost) as error:
                    failure = error
                self._timing.pause(self._over, self._resumption.failed(failure))
        finally:
            self.cancel()

    def _connection(self) -> Generator[MessageT]:
        connection = self._connect(self.resume_token)
        self._call = connection.call
        if self._over.is_set():
            connection.call.cancel()
        self._resumption.connected()
        try:
            for message in self._received(connection):
                self._resumption.received(message)
                while (ready := self._resumption.next_message()) is not None:
                    yield ready
        finally:
            connection.call.cancel()

    def _received(self, connection: Connection[MessageT]) -> Iterator[MessageT]:
        call = connection.call
        while True:
            self._watchdog.waiting(call)
            try:
                message = next(call)
            except StopIteration:
                return
            except grpc.RpcError as error:
                if self._over.is_set():
                    return
                if self._watchdog.cancelled(call):
                    raise silent_error(connection.request_id) from error
                raise error_of_call(error, connection.request_id) from error
            finally:
                self._watchdog.arrived()
            yield message
