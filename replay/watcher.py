"""Watches one trader's stream in a thread, and stores its events and the resulting orders."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container

from blotter_client import BlotterError, Client, Order, OrderEvent, Stream, WatchOrdersResponse

HEARTBEAT = 1.0
"""Seconds between heartbeats, which state the stream's last sequence while there are no events."""


class Watcher:
    """Folds a snapshot and the events after it into orders, by client_order_id.

    Only the orders in `orders` are stored; the sequences are checked for all events. `on_event` is called with each
    event of a stored order, in the watcher's thread.
    """

    def __init__(self, client: Client, orders: Container[str], on_event: Callable[[OrderEvent], None]) -> None:
        self._orders = orders
        self._on_event = on_event
        self._stream: Stream[WatchOrdersResponse] = client.watch_orders(heartbeat_interval=HEARTBEAT)
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="blotter-watcher", daemon=True)
        self.folded: dict[str, Order] = {}
        self.events: list[OrderEvent] = []
        """The events of the stored orders since the snapshot."""
        self.last_sequence: int | None = None
        """The last sequence that the stream has reached; None until the snapshot is complete."""
        self.gaps: list[str] = []
        """The gaps in the sequences."""
        self.error: BlotterError | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def reached(self, sequence: int, timeout: float) -> bool:
        """Wait at most `timeout` seconds until the stream has reached the sequence; return whether it has."""
        with self._changed:
            self._changed.wait_for(lambda: self._at_least(sequence) or self.error is not None, timeout)
            return self._at_least(sequence)

    def stop(self) -> None:
        """Cancel the stream and wait for the thread."""
        self._stream.cancel()
        if self._thread.is_alive():
            self._thread.join()

    def _at_least(self, sequence: int) -> bool:
        return self.last_sequence is not None and self.last_sequence >= sequence

    def _run(self) -> None:
        try:
            for message in self._stream:
                with self._changed:
                    self._take(message)
                    self._changed.notify_all()
        except BlotterError as error:
            with self._changed:
                self.error = error
                self._changed.notify_all()

    def _take(self, message: WatchOrdersResponse) -> None:
        match message.WhichOneof("message"):
            case "snapshot":
                for order in message.snapshot.orders:
                    if order.client_order_id in self._orders:
                        self.folded[order.client_order_id] = order
            case "snapshot_complete":
                self.last_sequence = message.snapshot_complete.last_sequence
            case "events":
                for event in message.events.events:
                    self._event(event)
            case "heartbeat":
                if message.heartbeat.last_sequence != self.last_sequence:
                    self.gaps.append(f"heartbeat at {message.heartbeat.last_sequence} after event {self.last_sequence}")

    def _event(self, event: OrderEvent) -> None:
        if self.last_sequence is None or event.sequence != self.last_sequence + 1:
            self.gaps.append(f"event {event.sequence} after event {self.last_sequence}")
        self.last_sequence = event.sequence
        if event.order.client_order_id in self._orders:
            self.folded[event.order.client_order_id] = event.order
            self.events.append(event)
            self._on_event(event)
