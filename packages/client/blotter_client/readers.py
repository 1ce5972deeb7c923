"""The checks of each kind of stream's messages before they are delivered to the caller."""

from __future__ import annotations

from blotter.audit.v1.audit_service_pb2 import StreamExecutionLogsResponse
from blotter.orders.v1 import watch_pb2
from blotter_client.sequences import MessageLost, Sequences


class WatchReader:
    """Checks the messages of WatchOrders, and delivers a snapshot when it is complete."""

    ends = False

    def __init__(self, *, dense: bool) -> None:
        self._sequences = Sequences(dense=dense)
        self._snapshot: list[watch_pb2.WatchOrdersResponse] = []

    def connected(self) -> None:
        """Start a connection."""
        self._sequences.reconnected()
        self._snapshot = []

    def receive(self, message: watch_pb2.WatchOrdersResponse) -> list[watch_pb2.WatchOrdersResponse]:
        """Return the messages that can be delivered now. Raises MessageLost."""
        match message.WhichOneof("message"):
            case "snapshot":
                self._snapshot.append(message)
                return []
            case "snapshot_complete":
                held = self._snapshot
                count = sum(len(part.snapshot.orders) for part in held)
                if count != message.snapshot_complete.order_count:
                    expected = message.snapshot_complete.order_count
                    raise MessageLost(f"the server sent a snapshot of {expected} orders, {count} were received")
                self._sequences.snapshot(message.snapshot_complete)
                self._snapshot = []
                return [*held, message]
            case "events":
                self._sequences.events(message.events.events)
            case "heartbeat":
                self._sequences.heartbeat(message.heartbeat)
        return [message]

    def ended(self) -> None:
        """Do nothing: a watch never ends by itself, so that its end is always resumed."""


class LogReader:
    """Checks the messages of StreamExecutionLogs. A stream that ends is complete if its last message is a heartbeat."""

    def __init__(self, sequences: Sequences, *, follow: bool) -> None:
        self.ends = not follow
        self._sequences = sequences
        self._complete = False

    def connected(self) -> None:
        """Start a connection."""
        self._sequences.reconnected()
        self._complete = False

    def receive(self, message: StreamExecutionLogsResponse) -> list[StreamExecutionLogsResponse]:
        """Return the messages that can be delivered now. Raises MessageLost."""
        match message.WhichOneof("message"):
            case "logs":
                self._sequences.events(message.logs.execution_logs)
            case "heartbeat":
                self._sequences.heartbeat(message.heartbeat)
                self._complete = True
        return [message]

    def ended(self) -> None:
        """Handle the end of the stream. Raises MessageLost if the final heartbeat is missing."""
        if self.ends and not self._complete:
            raise MessageLost("the stream ended without its final heartbeat")
