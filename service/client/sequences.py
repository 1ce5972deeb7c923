"""Whether a stream's messages follow each other, or one was lost on the way."""

from __future__ import annotations

from collections.abc import Sequence

from blotter.orders.v1 import watch_pb2


class MessageLost(Exception):
    """The numbers of a stream do not follow each other: what came last must not be taken for the truth."""


class Sequences:
    """Follows the numbering of one stream, over all its connections.

    `dense` streams have no filter: each event's sequence is the one before plus 1. Others only ascend.
    """

    def __init__(self, *, dense: bool, start: int | None = None) -> None:
        self._dense = dense
        self._last = start
        self._last_event = 0

    def reconnected(self) -> None:
        """Begin another connection: the server counts what it sent on this one."""
        self._last_event = 0

    def snapshot(self, last_sequence: int) -> None:
        """Begin after a snapshot that includes all events up to this sequence."""
        self._last = last_sequence

    def events(self, sequences: Sequence[int]) -> None:
        """Take a message of events. Raises MessageLost, and then it is not taken."""
        last = self._last
        for sequence in sequences:
            if last is not None and (sequence <= last or (self._dense and sequence != last + 1)):
                raise MessageLost(f"event {sequence} came after event {last}")
            last = sequence
        if sequences:
            self._last = self._last_event = sequences[-1]

    def heartbeat(self, heartbeat: watch_pb2.Heartbeat) -> None:
        """Take a heartbeat. Raises MessageLost when the server has sent more than came."""
        if heartbeat.last_event_sequence != self._last_event:
            raise MessageLost(f"event {heartbeat.last_event_sequence} was sent, event {self._last_event} came last")
        if self._last is not None and heartbeat.last_sequence < self._last:
            raise MessageLost(f"the server is at {heartbeat.last_sequence} after event {self._last}")
        if self._dense and self._last is not None and heartbeat.last_sequence != self._last:
            raise MessageLost(f"the server is at {heartbeat.last_sequence}, event {self._last} came last")
        self._last = heartbeat.last_sequence
