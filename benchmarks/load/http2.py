"""A gRPC client that is as small as possible: HTTP/2 with headers that are encoded once.

A unary call has succeeded when its response has a message: gRPC servers send none with another status than OK. Header
blocks of responses are not decoded; the client allows no dynamic table, so that they can be left out.
"""

from __future__ import annotations

import asyncio
import itertools
import struct
import time
from collections.abc import Callable, Mapping

from benchmarks.load.plan import MARK, Caller

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _ACK = 1, 1
_WINDOW = 2**31 - 1
_REFILL = 2**30
_LARGEST_BODY = 16_000
"""Larger bodies need several frames and the server's windows."""

Answered = Callable[[float, float, int], None]
"""Called with the times of the beginning and the end, and the bytes of the response; 0: the call failed."""


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


PREFACE = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    # No dynamic table for headers, no push, and windows that are never full.
    + _frame(_SETTINGS, 0, 0, struct.pack("!HIHIHI", 1, 0, 2, 0, 4, _WINDOW))
    + _frame(8, 0, 0, struct.pack("!I", _WINDOW - 65_535))
)


def _text(text: str) -> bytes:
    value = text.encode("ascii")
    if len(value) < 127:
        return bytes((len(value),)) + value
    rest, length = len(value) - 127, b"\x7f"
    while rest >= 128:
        length += bytes((rest % 128 + 128,))
        rest //= 128
    return length + bytes((rest,)) + value


def header_block(target: str, path: str, headers: Mapping[str, str]) -> bytes:
    """Return the request's headers, each a literal that is not added to a table."""
    request = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": target,
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": "blotter-benchmark",
    }
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in (request | dict(headers)).items())


_STARTED = time.time_ns() // 1000
_NUMBERS = itertools.count()


def bodies(body: bytes) -> Callable[[], bytes]:
    """Return what makes the body of the next request."""
    if MARK not in body:
        return lambda: body
    return lambda: body.replace(MARK, b"%013x%011x" % (_STARTED, next(_NUMBERS)))


class Wire(asyncio.Protocol):
    """A connection. Subclasses state what is sent first, and take data and ends of streams."""

    def __init__(self) -> None:
        self._next = 1
        self._left = b""
        self._since_refill = 0
        self._transport: asyncio.Transport | None = None

    def first(self) -> bytes:
        """Return what is sent after the preface."""
        return b""

    def received(self, stream: int, data: bytes) -> None:
        """Take data of a stream."""

    def ended(self, stream: int) -> bytes:
        """Take the end of a stream; return what is sent then."""
        raise NotImplementedError

    def lost(self) -> None:
        """Take the end of the connection."""

    def call(self, block: bytes, body: bytes) -> tuple[int, bytes]:
        """Return the number of a new stream, and the frames of a call with one message."""
        length = len(body)
        if length > _LARGEST_BODY:
            raise ValueError(f"The body of a request must have at most {_LARGEST_BODY} bytes.")
        number = self._next
        self._next += 2
        stream = number.to_bytes(4, "big")
        return number, b"".join((
            len(block).to_bytes(3, "big"), b"\1\4", stream, block,
            (length + 5).to_bytes(3, "big"), b"\0\1", stream, b"\0", length.to_bytes(4, "big"), body,
        ))  # fmt: skip

    def send(self, frames: bytes) -> None:
        """Send frames."""
        if self._transport:
            self._transport.write(frames)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the preface and what is sent first."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # a TCP connection
        self._transport = transport
        transport.write(PREFACE + self.first())

    def data_received(self, data: bytes) -> None:
        """Take the frames that are complete."""
        buffer = self._left + data if self._left else data
        at, end, out = 0, len(buffer), []
        while end - at >= 9:
            length = int.from_bytes(buffer[at : at + 3], "big")
            if end - at < 9 + length:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            stream = int.from_bytes(buffer[at + 5 : at + 9], "big")
            payload = buffer[at + 9 : at + 9 + length]
            at += 9 + length
            if kind == _DATA:
                self._since_refill += length
                self.received(stream, payload)
            if (kind <= _HEADERS and flags & _END_STREAM) or kind == _RST_STREAM:
                out.append(self.ended(stream))
            elif kind > _HEADERS:
                out.append(self._controlled(kind, flags, payload))
        self._left = buffer[at:]
        if self._since_refill > _REFILL:
            out.append(_frame(8, 0, 0, struct.pack("!I", self._since_refill)))
            self._since_refill = 0
        if out:
            self.send(b"".join(out))

    def _controlled(self, kind: int, flags: int, payload: bytes) -> bytes:
        """Return the answer to a frame that is of no call."""
        if kind in (_SETTINGS, _PING) and not flags & _ACK:
            return _frame(kind, _ACK, 0, payload if kind == _PING else b"")
        if kind == _GOAWAY:
            self.lost()
        return b""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # shaped by asyncio
        """Take the end of the connection."""
        self.lost()

    def close(self) -> None:
        """Close the connection."""
        if self._transport:
            self._transport.close()


class Calls(Wire):
    """A connection for unary calls, whose times it reports."""

    def __init__(self, answered: Answered) -> None:
        super().__init__()
        self._answered = answered
        self._begun: dict[int, float] = {}
        self._received: dict[int, int] = {}
        self.stopping = False
        self.idle = asyncio.Event()

    def begin(self, block: bytes, body: bytes) -> bytes:
        """Return the frames of a call, whose time begins now."""
        number, frames = self.call(block, body)
        self._begun[number] = time.perf_counter()
        return frames

    def again(self) -> bytes:
        """Return the frames of the call that follows one that was answered."""
        return b""

    def received(self, stream: int, data: bytes) -> None:
        """Count the bytes of a response."""
        self._received[stream] = self._received.get(stream, 0) + len(data)

    def ended(self, stream: int) -> bytes:
        """Report a call; return the next one."""
        self._answered(self._begun.pop(stream), time.perf_counter(), self._received.pop(stream, 0))
        if not self.stopping:
            return self.again()
        if not self._begun:
            self.idle.set()
        return b""

    def stop(self) -> None:
        """Send no further call; `idle` is set once all have been answered."""
        self.stopping = True
        if not self._begun:
            self.idle.set()

    def lost(self) -> None:
        """Report the calls that are open as failed."""
        for begun in self._begun.values():
            self._answered(begun, time.perf_counter(), 0)
        self._begun.clear()
        self.stop()


class Connection(Calls):
    """A connection on which `streams` calls are open until `stop` is called."""

    def __init__(self, target: str, path: str, caller: Caller, streams: int, answered: Answered) -> None:
        super().__init__(answered)
        self._block = header_block(target, path, caller.headers)
        self._body = bodies(caller.body)
        self._streams = streams

    def first(self) -> bytes:
        """Return the first calls."""
        return b"".join(self.again() for _ in range(self._streams))

    def again(self) -> bytes:
        """Return the next call."""
        return self.begin(self._block, self._body())
