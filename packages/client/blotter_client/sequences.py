"""Detection of messages that a stream lost."""

from __future__ import annotations

from collections.abc import Sequence

from blotter.audit.v1.execution_log_pb2 import ExecutionLog
from blotter.orders.v1 import watch_pb2
from blotter.orders.v1.order_pb2 import OrderEvent


class MessageLost(Exception):
    """The numbers of a stream's messages are not consecutive: a message is missing before the last one."""


class Sequences:
    """Checks the numbering of one stream across its connections: a trader's sequences, or positions of the ledger.

    A stream of one trader without a filter is `dense`: each event's sequence is the previous one plus 1. In other
    streams the numbers ascend.
    """

    def __init__(self, *, dense: bool, start: int | None = None) -> None:
        self._dense = dense
        self._last = start
        self._last_event: int | None = None

    def reconnected(self) -> None:
        """Start another connection. Heartbeats refer to the events that were sent on the same connection."""
        self._last_event = None

    def snapshot(self, complete: watch_pb2.SnapshotComplete) -> None:
        """Continue after a snapshot, which states the last event that it includes."""
        self._last = complete.last_position if complete.HasField("last_position") else complete.last_sequence

    def events(self, events: Sequence[OrderEvent | ExecutionLog]) -> None:
        """Check a message of events. Raises MessageLost, and then leaves the state unchanged."""
        last = self._last
        numbers = [event.position if event.HasField("position") else event.sequence for event in events]
        for sequence in numbers:
            if last is not None and (sequence <= last or (self._dense and sequence != last + 1)):
                raise MessageLost(f"event {sequence} came after event {last}")
            last = sequence
        if numbers:
            self._last = self._last_event = numbers[-1]

    def heartbeat(self, heartbeat: watch_pb2.Heartbeat) -> None:
        """Check a heartbeat. Raises MessageLost if the server has sent events that were not received."""
        if heartbeat.HasField("last_position"):
            sent, reached, none = heartbeat.last_event_position, heartbeat.last_position, -1
        else:
            sent, reached, none = heartbeat.last_event_sequence, heartbeat.last_sequence, 0
        received = none if self._last_event is None else self._last_event
        if sent != received:
            raise MessageLost(f"the server last sent event {sent}, the last received is event {received}")
        if self._last is not None and reached < self._last:
            raise MessageLost(f"the server is at {reached} after event {self._last}")
        if self._dense and self._last is not None and reached != self._last:
            raise MessageLost(f"the server is at {reached}, the last received is event {self._last}")
        self._last = reached
