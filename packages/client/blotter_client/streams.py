"""Streams that resume by themselves after a lost connection, a lost message, a silence or a drain."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

import grpc

from blotter_client.errors import BlotterError, error_of_call
from blotter_client.sequences import MessageLost

DEFAULT_HEARTBEAT = 15.0
"""Seconds between heartbeats when the request does not say."""

SILENT_HEARTBEATS = 3
"""After so many heartbeat intervals without a message the stream is taken for dead."""

MOST_LOSSES = 5
"""After so many losses of a message at one and the same place it is missing on the server."""

FIRST_BACKOFF = 0.2
LONGEST_BACKOFF = 5.0
"""A blotter that is back is found again within seconds; jitter keeps its clients from coming all at once."""

LONGEST_ASKED = 60.0
"""Seconds of a RetryInfo that are honoured: a wrong one must not keep a watcher away for hours."""

log = logging.getLogger("blotter.client")


class Resumable(Protocol):
    """A message that says where to go on."""

    resume_token: str


MessageT = TypeVar("MessageT", bound=Resumable)
AnyMessageT = TypeVar("AnyMessageT")
MessageT_co = TypeVar("MessageT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Timing:
    """The clock, the pauses and the dice; tests bring their own.

    `pause`, before another connection, and `doze`, of the watchdog, return as soon as the event is set, or after
    so many seconds. `dice` gives 0 <= x < 1.
    """

    clock: Callable[[], float] = time.monotonic
    pause: Callable[[threading.Event, float], object] = threading.Event.wait
    doze: Callable[[threading.Event, float], object] = threading.Event.wait
    dice: Callable[[], float] = random.random

    def backoff(self, failures: int, retry_after: timedelta | None) -> float:
        """Return the seconds to wait after the n-th failure in a row: what the server asks, and full jitter.

        What the server asks is honoured up to a minute. It gives all clients the same RetryInfo when it drains;
        the jitter keeps them from coming back all at once.
        """
        longest = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 16))
        asked = retry_after.total_seconds() if retry_after else 0.0
        return min(asked, LONGEST_ASKED) + self.dice() * longest


class Call(Iterator[MessageT_co], Protocol[MessageT_co]):
    """A streaming call, as gRPC makes it."""

    def cancel(self) -> object:
        """End the call."""


@dataclass(frozen=True, slots=True)
class Connection(Generic[AnyMessageT]):
    """One call of a stream: its messages, and the id of its request."""

    call: Call[AnyMessageT]
    request_id: str


class Reader(Protocol[MessageT]):
    """Checks the messages of one kind of stream."""

    ends: bool

    def connected(self) -> None:
        """Begin a connection."""

    def take(self, message: MessageT) -> list[MessageT]:
        """Return the messages that may be handed on now. Raises MessageLost."""

    def ended(self) -> None:
        """Take the end of the stream. Raises MessageLost when something is missing before it."""


class Watchdog:
    """Cancels a call that is waited for too long, from a thread of its own."""

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
        """Say that nothing is awaited. A reader who takes his time is not the stream's silence."""
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
            self._timing.doze(self._stop, self._limit / SILENT_HEARTBEATS / 2)
            self.look()


class Stream(Iterator[MessageT]):
    """The messages of a stream, each once, over as many connections as it takes. Raises BlotterError.

    It goes on by itself after UNAVAILABLE, SLOW_CONSUMER and any other error that carries a RetryInfo,
    after a gap in the sequences, after a heartbeat that tells of more than came, and after a silence of
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
        self.resume_token = resume_token
        """The token of the last message that was handed on, to go on after it in another process."""
        self._connect = connect
        self._reader = reader
        self._timing = timing
        self._over = threading.Event()
        self._watchdog = Watchdog(SILENT_HEARTBEATS * (heartbeat or DEFAULT_HEARTBEAT), timing, self._over)
        self._call: Call[object] | None = None
        self._failures = 0
        self._losses = 0
        self._messages = self._run()

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
                retry_after = None
                try:
                    yield from self._connection()
                except MessageLost as lost:
                    self._lost(lost)
                except BlotterError as error:
                    if not _goes_on(error):
                        raise
                    log.warning("The stream is cut off and goes on: %s", error)
                    retry_after = error.retry_after
                else:
                    if self._reader.ends:
                        return
                self._failures += 1
                self._timing.pause(self._over, self._timing.backoff(self._failures, retry_after))
        finally:
            self.cancel()

    def _connection(self) -> Generator[MessageT]:
        connection = self._connect(self.resume_token)
        self._call = connection.call
        if self._over.is_set():
            connection.call.cancel()
        self._reader.connected()
        try:
            for message in self._received(connection):
                for ready in self._reader.take(message):
                    if ready.resume_token:
                        self._losses = 0 if ready.resume_token != self.resume_token else self._losses
                        self.resume_token = ready.resume_token
                    self._failures = 0
                    yield ready
            if not self._over.is_set():
                self._reader.ended()
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
                    raise _silent(connection.request_id) from error
                raise error_of_call(error, connection.request_id) from error
            finally:
                self._watchdog.arrived()
            yield message

    def _lost(self, lost: MessageLost) -> None:
        self._losses += 1
        if self._losses >= MOST_LOSSES:
            raise BlotterError(str(lost), code=grpc.StatusCode.DATA_LOSS, reason="SEQUENCE_GAP") from lost
        log.warning("A message of the stream was lost, it is fetched again: %s", lost)


def _goes_on(error: BlotterError) -> bool:
    return error.code is grpc.StatusCode.UNAVAILABLE or error.reason == "SLOW_CONSUMER" or error.retry_after is not None


def _silent(request_id: str) -> BlotterError:
    return BlotterError(
        "no message came for three heartbeat intervals",
        code=grpc.StatusCode.UNAVAILABLE,
        reason="SILENT",
        request_id=request_id,
    )
