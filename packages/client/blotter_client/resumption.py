"""Which failures a stream resumes after, when, and from where. No I/O: both kinds of stream use it."""

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
"""Seconds between heartbeats when the request does not say."""

SILENT_HEARTBEATS = 3
"""After so many heartbeat intervals without a message the connection is considered dead."""

MOST_LOSSES = 5
"""After so many losses of a message at one and the same place it is missing on the server."""

FIRST_BACKOFF = 0.2
LONGEST_BACKOFF = 5.0
"""Short, so that a service that is back is found again within seconds."""

LONGEST_ASKED = 60.0
"""Seconds of a RetryInfo that are honoured: a wrong one must not keep a client away for hours."""

log = logging.getLogger("blotter.client")


class Resumable(Protocol):
    """A message that says where to go on."""

    resume_token: str


MessageT = TypeVar("MessageT", bound=Resumable)


class Reader(Protocol[MessageT]):
    """Checks the messages of one kind of stream."""

    ends: bool

    def connected(self) -> None:
        """Begin a connection."""

    def take(self, message: MessageT) -> list[MessageT]:
        """Return the messages that may be handed on now. Raises MessageLost."""

    def ended(self) -> None:
        """Take the end of the stream. Raises MessageLost when something is missing before it."""


class Resumption(Generic[MessageT]):
    """The state of one stream over all its connections.

    Attributes:
        resume_token: The token of the last message that was handed on.
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

    def connected(self) -> None:
        """Begin a connection."""
        self._reader.connected()

    def received(self, message: MessageT) -> None:
        """Take a message from the connection. Raises MessageLost."""
        self._ready.extend(self._reader.take(message))

    def next_message(self) -> MessageT | None:
        """Hand on the next message; None when another must be received first."""
        if not self._ready:
            return None
        message = self._ready.popleft()
        if message.resume_token:
            self._losses = 0 if message.resume_token != self.resume_token else self._losses
            self.resume_token = message.resume_token
        self._failures = 0
        return message

    def ended(self) -> bool:
        """Take the end of the connection; return whether the stream is complete. Raises MessageLost."""
        self._reader.ended()
        return self._reader.ends

    def failed(self, error: BlotterError | MessageLost | None) -> float:
        """Take the error that ended the connection; return the seconds to wait before the next.

        None is an end without an error. Raises the error when the stream does not resume after it, and DATA_LOSS
        (reason SEQUENCE_GAP) when the same message was missing too often.
        """
        retry_after = None
        match error:
            case MessageLost():
                self._lost(error)
            case BlotterError():
                if not _goes_on(error):
                    raise error
                log.warning("The stream is cut off and goes on: %s", error)
                retry_after = error.retry_after
        self._failures += 1
        return backoff(self._failures, retry_after, self._random)

    def _lost(self, lost: MessageLost) -> None:
        self._losses += 1
        if self._losses >= MOST_LOSSES:
            raise BlotterError(str(lost), code=grpc.StatusCode.DATA_LOSS, reason="SEQUENCE_GAP") from lost
        log.warning("A message of the stream was lost, it is fetched again: %s", lost)


def backoff(failures: int, retry_after: timedelta | None, random: Callable[[], float]) -> float:
    """Return the seconds to wait after the n-th failure in a row: what the server asks for, and full jitter.

    What the server asks for is honoured up to a minute. It gives all clients the same RetryInfo when it drains;
    the jitter keeps them from coming back all at once. `random` gives 0 <= x < 1.
    """
    longest = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 16))
    asked = retry_after.total_seconds() if retry_after else 0.0
    return min(asked, LONGEST_ASKED) + random() * longest


def silent_error(request_id: str) -> BlotterError:
    """Return the error of a connection on which no message came for too long."""
    return BlotterError(
        "no message came for three heartbeat intervals",
        code=grpc.StatusCode.UNAVAILABLE,
        reason="SILENT",
        request_id=request_id,
    )


def _goes_on(error: BlotterError) -> bool:
    return error.code is grpc.StatusCode.UNAVAILABLE or error.reason == "SLOW_CONSUMER" or error.retry_after is not None
