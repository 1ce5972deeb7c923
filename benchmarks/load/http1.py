"""An HTTP/1.1 client that posts JSON, one request after another on a connection that stays open."""

from __future__ import annotations

import asyncio
import time

from benchmarks.load.http2 import Answered, bodies
from benchmarks.load.plan import Caller


class Connection(asyncio.Protocol):
    """One connection, on which one request is open until `stop` is called.

    A request has succeeded when its status is 200 and its body has no member `errors`, as GraphQL has for a failure.
    """

    def __init__(self, target: str, path: str, caller: Caller, answered: Answered) -> None:
        headers = {"Host": target, "Content-Type": "application/json", "Accept": "application/json"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers | dict(caller.headers)).items())
        self._head = f"POST {path} HTTP/1.1\r\n{lines}Content-Length: ".encode("ascii")
        self._body = bodies(caller.body)
        self._answered = answered
        self._begun: float | None = None
        self._left = b""
        self._transport: asyncio.Transport | None = None
        self.stopping = False
        self.idle = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # a TCP connection
        self._transport = transport
        self._call()

    def _call(self) -> None:
        body = self._body()
        self._begun = time.perf_counter()
        if self._transport:
            self._transport.write(b"%s%d\r\n\r\n%s" % (self._head, len(body), body))

    def data_received(self, data: bytes) -> None:
        """Count the response once it is complete, and send the next request."""
        self._left += data
        head, separator, body = self._left.partition(b"\r\n\r\n")
        if not separator:
            return
        lower = head.lower()
        at = lower.find(b"content-length:")
        if at < 0:
            raise ValueError("The server answers without Content-Length, which this client needs.")
        length = int(lower[at + 15 :].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._left = b""
        succeeded = head.startswith(b"HTTP/1.1 200 ") and b'"errors"' not in body
        if self._begun is not None:
            begun, self._begun = self._begun, None
            self._answered(begun, time.perf_counter(), length if succeeded else 0)
        if self.stopping:
            self.idle.set()
        else:
            self._call()

    def stop(self) -> None:
        """Send no further request; `idle` is set once the last has been answered."""
        self.stopping = True
        if self._begun is None:
            self.idle.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # shaped by asyncio
        """Count the request that is open as failed."""
        if self._begun is not None:
            self._answered(self._begun, time.perf_counter(), 0)
            self._begun = None
        self.stop()

    def close(self) -> None:
        """Close the connection."""
        if self._transport:
            self._transport.close()
