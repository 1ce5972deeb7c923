"""The synchronous stream, which resumes after a lost connection, a lost message, a timeout or a drain."""

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

    `pause` waits before another connection, `watchdog_wait` between two checks of the watchdog, until the event is set
    or the seconds have passed. `random` returns 0 <= x < 1.
    """

    clock: Callable[[], float] = time.monotonic
    pause: Callable[[threading.Event, float], object] = threading.Event.wait
    watchdog_wait: Callable[[threading.Event, float], object] = threading.Event.wait
    random: Callable[[], float] = random.random


class Call(Iterator[MessageT_co], Protocol[MessageT_co]):
    """A streaming call of gRPC."""

    def cancel(self) -> object:
        """End the call."""


@dataclass(frozen=True, slots=True)
class Connection(Generic[AnyMessageT]):
    """One streaming call and its request id."""

    call: Call[AnyMessageT]
    request_id: str


class Watchdog:
    """Cancels a call that was silent for too long, from a thread of its own, because gRPC's iterator has no timeout."""

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
        """Start the timeout of the call's next message."""
        self._waiting = (call, self._timing.clock() + self._limit)

    def arrived(self) -> None:
        """Stop the timeout: the time until the caller asks for the next message does not count."""
        self._waiting = None

    def cancelled(self, call: Call[object]) -> bool:
        """Return whether this watchdog cancelled the call."""
        return self._cancelled is call

    def check(self) -> None:
        """Cancel the call if its timeout has expired."""
        waiting = self._waiting
        if waiting is not None and self._timing.clock() >= waiting[1]:
            self._cancelled = waiting[0]
            waiting[0].cancel()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._timing.watchdog_wait(self._stop, self._limit / SILENT_HEARTBEATS / 2)
            self.check()


class Stream(Iterator[MessageT]):
    """The messages of a stream, each delivered once, across reconnections. Raises BlotterError.

    The stream resumes by itself after UNAVAILABLE, SLOW_CONSUMER and any other error with a RetryInfo, after a gap
    in the sequences, after a heartbeat that reports events that were not received, and after three heartbeat intervals
    without a message; after TOKEN_EXPIRED with the token that is then provided. It raises other errors, TOKEN_EXPIRED
    after the fifth without a message between, and DATA_LOSS (reason SEQUENCE_GAP) if the same message is missing
    repeatedly. A snapshot is delivered once, when it is complete.

    End the stream with `cancel()`, from any thread, or by leaving its `with` block.
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
        """The token of the last message that was delivered, to resume after it in another process."""
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
        """End the stream; a thread that waits for its next message receives StopIteration. May be called twice."""
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
