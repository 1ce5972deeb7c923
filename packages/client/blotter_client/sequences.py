"""Whether a stream's messages follow each other, or one was lost on the way."""

from __future__ import annotations

from collections.abc import Sequence

from blotter.audit.v1.execution_log_pb2 import ExecutionLog
from blotter.orders.v1 import watch_pb2
from blotter.orders.v1.order_pb2 import OrderEvent


class MessageLost(Exception):
    """The numbers of a stream do not follow each other: what came last must not be taken for the truth."""


class Sequences:
    """Follows the numbering of one stream, over all its connections: sequences, or positions over all traders.

    `dense` streams are one trader's without a filter: each event's sequence is the one before plus 1. Others only
    ascend.
    """

    def __init__(self, *, dense: bool, start: int | None = None) -> None:
        self._dense = dense
        self._last = start
        self._last_event: int | None = None

    def reconnected(self) -> None:
        """Begin another connection: the server counts what it sent on this one."""
        self._last_event = None

    def snapshot(self, complete: watch_pb2.SnapshotComplete) -> None:
        """Begin after a snapshot, which says which events it includes."""
        self._last = complete.last_position if complete.HasField("last_position") else complete.last_sequence

    def events(self, events: Sequence[OrderEvent | ExecutionLog]) -> None:
        """Take a message of events. Raises MessageLost, and then it is not taken."""
        last = self._last
        numbers = [event.position if event.HasField("position") else event.sequence for event in events]
        for sequence in numbers:
            if last is not None and (sequence <= last or (self._dense and sequence != last + 1)):
                raise MessageLost(f"event {sequence} came after event {last}")
            last = sequence
        if numbers:
            self._last = self._last_event = numbers[-1]

    def heartbeat(self, heartbeat: watch_pb2.Heartbeat) -> None:
        """Take a heartbeat. Raises MessageLost when the server has sent more than came."""
        if heartbeat.HasField("last_position"):
            sent, reached, none = heartbeat.last_event_position, heartbeat.last_position, -1
        else:
            sent, reached, none = heartbeat.last_event_sequence, heartbeat.last_sequence, 0
        came = none if self._last_event is None else self._last_event
        if sent != came:
            raise MessageLost(f"event {sent} was sent, event {came} came last")
        if self._last is not None and reached < self._last:
            raise MessageLost(f"the server is at {reached} after event {self._last}")
        if self._dense and self._last is not None and reached != self._last:
            raise MessageLost(f"the server is at {reached}, event {self._last} came last")
        self._last = reached
