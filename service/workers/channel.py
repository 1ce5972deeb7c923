"""What a parent and its child say to each other: one JSON array a line, kind and content, over a pair of sockets.

The end of the channel is the end of the process at the other side, however that ended.
"""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

HEALTH = "health"
"""From the child, each second and at each change: the health of each name. The first one follows the start."""
FAILED = "failed"
"""From the child, before it ends: the reason, and whether it is that the database cannot be reached."""
READ = "read"
"""From the parent: a request for the metrics."""
METRICS = "metrics"
"""From the child: the families of its metrics."""
COMMITTED = "committed"
"""From a child and passed on to the others: the traders who have new events, as text; null: the ledger has grown."""
LEDGER = "ledger"
"""From the parent: whether the ledger is healthy, as the sequencer reports it."""

LONGEST_LINE = 64 * 2**20
MOST_WAITING = 2**20
"""The most bytes that wait for the other side to read; further messages are dropped."""


class Channel:
    """One end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Channel:
        """Return the channel over a connected socket, which it takes over."""
        return cls(*await asyncio.open_unix_connection(sock=end, limit=LONGEST_LINE))

    def send(self, kind: str, content: object = None) -> None:
        """Send a message, without waiting. It is dropped if the other side has ended, or does not read."""
        self.send_line(line(kind, content))

    def send_line(self, text: bytes) -> None:
        """Send a message that `line` has made."""
        if not self._writer.is_closing() and self._writer.transport.get_write_buffer_size() < MOST_WAITING:
            self._writer.write(text)

    async def receive(self) -> tuple[str, Any] | None:
        """Return the next message; None when the other side has ended, or no longer sends messages."""
        try:
            text = await self._reader.readline()
            kind, content = json.loads(text)
        except (ConnectionError, ValueError):  # a line of the end may be cut off, or follow one that is
            return None
        return kind, content

    def close(self) -> None:
        """Close this end."""
        self._writer.close()


def line(kind: str, content: object) -> bytes:
    """Return a message as it is sent."""
    return json.dumps([kind, content]).encode() + b"\n"
