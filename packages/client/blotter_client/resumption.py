"""The resumption of a stream: after which failures, when, and from where. Both streams use it; it does no I/O."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

import grpc

from blotter_client.errors import BlotterError
from blotter_client.sequences import MessageLost

DEFAULT_HEARTBEAT = 15.0
"""Seconds between heartbeats if the request does not set an interval."""

SILENT_HEARTBEATS = 3
"""The number of heartbeat intervals without a message after which a connection is considered dead."""

MOST_LOSSES = 5
"""The number of consecutive losses of the same message after which the stream fails with DATA_LOSS."""

MOST_EXPIRIES = 5
"""The number of consecutive TOKEN_EXPIRED without a message after which the stream fails."""

FIRST_BACKOFF = 0.2
LONGEST_BACKOFF = 5.0
"""Short, so that the stream resumes within seconds after the service is available again."""

LONGEST_RETRY_DELAY = 60.0
"""The limit in seconds of a RetryInfo's delay, so that a wrong value does not block a client for hours."""

log = logging.getLogger("blotter.client")


class Resumable(Protocol):
    """A message with a token to resume after it."""

    resume_token: str


MessageT = TypeVar("MessageT", bound=Resumable)


class Reader(Protocol[MessageT]):
    """Checks the messages of one kind of stream."""

    ends: bool

    def connected(self) -> None:
        """Start a connection."""

    def receive(self, message: MessageT) -> list[MessageT]:
        """Return the messages that can be delivered now. Raises MessageLost."""

    def ended(self) -> None:
        """Handle the end of the stream. Raises MessageLost if a message before it is missing."""


class Resumption(Generic[MessageT]):
    """The state of one stream across its connections.

    Attributes:
        resume_token: The token of the last message that was delivered.
        silence: Seconds without a message after which a connection is considered dead.
    """

    def __init__(
        self, reader: Reader[MessageT], *, resume_token: str, heartbeat: float | None, random: Callable[[], float]
    ) -> None:
        self.resume_token = resume_token
        self.silence = SILENT_HEARTBEATS * (heartbeat or DEFAULT_HEARTBEAT)
        self._reader = reader
        self._random = random
        self._ready: deque[MessageT] = deque()
        self._failures = 0
        self._losses = 0
        self._expiries = 0

    def connected(self) -> None:
        """Start a connection."""
        self._reader.connected()

    def received(self, message: MessageT) -> None:
        """Accept a message from the connection. Raises MessageLost."""
        self._ready.extend(self._reader.receive(message))

    def next_message(self) -> MessageT | None:
        """Return the next message to deliver; None if another must be received first."""
        if not self._ready:
            return None
        message = self._ready.popleft()
        if message.resume_token:
            self._losses = 0 if message.resume_token != self.resume_token else self._losses
            self.resume_token = message.resume_token
        self._failures = 0
        self._expiries = 0
        return message

    def ended(self) -> bool:
        """Handle the end of the connection; return whether the stream is complete. Raises MessageLost."""
        self._reader.ended()
        return self._reader.ends

    def failed(self, error: BlotterError | MessageLost | None) -> float:
        """Handle the error that ended the connection; return the seconds to wait before the next connection.

        None stands for an end without an error. Raises the error if the stream does not resume after it, and DATA_LOSS
        (reason SEQUENCE_GAP) if the same message was missing too often.
        """
        retry_after = None
        match error:
            case MessageLost():
                self._lost(error)
            case BlotterError():
                if not self._resumable(error):
                    raise error
                log.warning("The stream was interrupted and resumes: %s", error)
                retry_after = error.retry_after
        self._failures += 1
        return backoff(self._failures, retry_after, self._random)

    def _resumable(self, error: BlotterError) -> bool:
        if error.reason == "TOKEN_EXPIRED":
            self._expiries += 1
            return self._expiries < MOST_EXPIRIES
        unavailable = error.code is grpc.StatusCode.UNAVAILABLE
        return unavailable or error.reason == "SLOW_CONSUMER" or error.retry_after is not None

    def _lost(self, lost: MessageLost) -> None:
        self._losses += 1
        if self._losses >= MOST_LOSSES:
            raise BlotterError(str(lost), code=grpc.StatusCode.DATA_LOSS, reason="SEQUENCE_GAP") from lost
        log.warning("The stream lost a message and resumes before it: %s", lost)


def backoff(failures: int, retry_after: timedelta | None, random: Callable[[], float]) -> float:
    """Return the seconds to wait after the n-th consecutive failure: the server's retry delay plus full jitter.

    The retry delay is limited to a minute. A server that drains sends the same RetryInfo to all clients; the jitter
    prevents them from reconnecting at the same time. `random` returns 0 <= x < 1.
    """
    longest = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 16))
    delay = retry_after.total_seconds() if retry_after else 0.0
    return min(max(delay, 0.0), LONGEST_RETRY_DELAY) + random() * longest


def silent_error(request_id: str) -> BlotterError:
    """Return the error of a connection that was silent for too long."""
    return BlotterError(
        "no message was received for three heartbeat intervals",
        code=grpc.StatusCode.UNAVAILABLE,
        reason="SILENT",
        request_id=request_id,
    )
