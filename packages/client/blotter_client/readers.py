"""What is checked in the messages of each kind of stream before they are handed on."""

from __future__ import annotations

from blotter.audit.v1.audit_service_pb2 import StreamExecutionLogsResponse
from blotter.orders.v1 import watch_pb2
from blotter_client.sequences import MessageLost, Sequences


class WatchReader:
    """Holds a snapshot back until it is complete."""

    ends = False

    def __init__(self, *, dense: bool) -> None:
        self._sequences = Sequences(dense=dense)
        self._snapshot: list[watch_pb2.WatchOrdersResponse] = []

    def connected(self) -> None:
        """Begin a connection."""
        self._sequences.reconnected()
        self._snapshot = []

    def take(self, message: watch_pb2.WatchOrdersResponse) -> list[watch_pb2.WatchOrdersResponse]:
        """Return the messages that may be handed on now. Raises MessageLost."""
        match message.WhichOneof("message"):
            case "snapshot":
                self._snapshot.append(message)
                return []
            case "snapshot_complete":
                held = self._snapshot
                count = sum(len(part.snapshot.orders) for part in held)
                if count != message.snapshot_complete.order_count:
                    raise MessageLost(f"{message.snapshot_complete.order_count} orders were sent, {count} came")
                self._sequences.snapshot(message.snapshot_complete)
                self._snapshot = []
                return [*held, message]
            case "events":
                self._sequences.events(message.events.events)
            case "heartbeat":
                self._sequences.heartbeat(message.heartbeat)
        return [message]

    def ended(self) -> None:
        """An endless stream that ends is resumed, whatever its status."""


class LogReader:
    """Checks that a stream of logs that ends is complete: its last message is a heartbeat."""

    def __init__(self, sequences: Sequences, *, follow: bool) -> None:
        self.ends = not follow
        self._sequences = sequences
        self._complete = False

    def connected(self) -> None:
        """Begin a connection."""
        self._sequences.reconnected()
        self._complete = False

    def take(self, message: StreamExecutionLogsResponse) -> list[StreamExecutionLogsResponse]:
        """Return the messages that may be handed on now. Raises MessageLost."""
        match message.WhichOneof("message"):
            case "logs":
                self._sequences.events(message.logs.execution_logs)
            case "heartbeat":
                self._sequences.heartbeat(message.heartbeat)
                self._complete = True
        return [message]

    def ended(self) -> None:
        """Take the end of the stream. Raises MessageLost when it came too soon."""
        if self.ends and not self._complete:
            raise MessageLost("the stream ended without its last heartbeat")
