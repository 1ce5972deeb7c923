"""A minimal gRPC client over a socket, for what no client library does: no flow-control window, half a request."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1
NO_WINDOW = b"\x00\x04\x00\x00\x00\x00"
"""SETTINGS_INITIAL_WINDOW_SIZE = 0: the server may send no message at all (RFC 9113, section 6.5.2)."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One HTTP/2 frame (RFC 9113, section 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name: str, value: str) -> bytes:
    """One header field, never indexed and without Huffman coding (RFC 7541, section 6.2.2)."""
    assert max(len(name), len(value)) < 127, "longer ones need the integers of section 5.1"
    return b"\x00" + b"".join(bytes([len(text)]) + text.encode() for text in (name, value))


def message(body: bytes) -> bytes:
    """One length-prefixed gRPC message."""
    return b"\x00" + len(body).to_bytes(4, "big") + body


class Raw:
    """A connection that reads frames only when a test asks for them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    def call(
        self, stream: int, path: str, *bodies: bytes, metadata: Iterable[tuple[str, str]] = (), end: bool = True
    ) -> None:
        """Start a call: send the headers, the messages, and the half-close unless `end` is false."""
        headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "test"}
        headers |= {"content-type": "application/grpc", "te": "trailers"}
        headers |= dict(metadata)
        block = b"".join(literal(*header) for header in headers.items())
        flags = END_HEADERS | (END_STREAM if end and not bodies else 0)
        self.writer.write(frame(HEADERS, flags, stream, block))
        data = b"".join(map(message, bodies))
        if data:
            self.writer.write(frame(DATA, END_STREAM if end else 0, stream, data))

    async def frames(self) -> AsyncIterator[tuple[int, int, int, bytes]]:
        """Read frames, acknowledging settings and pings, until the server closes the connection."""
        while header := await self._reader.read(9):
            header += await self._reader.readexactly(9 - len(header))
            payload = await self._reader.readexactly(int.from_bytes(header[:3], "big"))
            kind, flags, stream = header[3], header[4], int.from_bytes(header[5:9], "big")
            if kind in {SETTINGS, PING} and not flags & ACK:
                self.writer.write(frame(kind, ACK, 0, payload if kind == PING else b""))
            yield kind, flags, stream, payload

    async def begun(self, count: int) -> None:
        """Read until the server has sent headers on `count` streams: their calls have reached their handlers."""
        streams: set[int] = set()
        async for kind, _, number, _ in self.frames():
            streams |= {number} if kind == HEADERS else set()
            if len(streams) == count:
                return
        raise AssertionError("the connection was closed")

    async def answered(self, stream: int) -> bool:
        """Read until the server has ended the stream; return whether it sent trailers, and not a reset."""
        async for kind, flags, number, _ in self.frames():
            if number == stream and (kind == RST_STREAM or flags & END_STREAM):
                return kind != RST_STREAM
        return False


@asynccontextmanager
async def raw_connection(port: int, settings: bytes = b"") -> AsyncIterator[Raw]:
    """A connection to a server on this machine, reset at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, settings))
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()
