"""Watching one trader's stream in a thread, folding it, and remembering what it said."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container

from blotter_client import BlotterError, Client, Order, OrderEvent, Stream, WatchOrdersResponse

HEARTBEAT = 1.0
"""Seconds between heartbeats: they say how far a stream has come when nothing happens."""


class Watcher:
    """Folds a snapshot and the events after it into orders, by client_order_id.

    `orders` names the orders to remember. Those of others are not kept, but their events must be dense all the same.
    `said` is called with each event of such an order, in the watcher's thread.
    """

    def __init__(self, client: Client, orders: Container[str], said: Callable[[OrderEvent], None]) -> None:
        self._orders = orders
        self._said = said
        self._stream: Stream[WatchOrdersResponse] = client.watch_orders(heartbeat_interval=HEARTBEAT)
        self._came = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="blotter-watcher", daemon=True)
        self.folded: dict[str, Order] = {}
        self.events: list[OrderEvent] = []
        """The events of the remembered orders since the snapshot."""
        self.last_sequence: int | None = None
        """How far the stream has come; None until the snapshot is complete."""
        self.gaps: list[str] = []
        """What was wrong with the numbering."""
        self.error: BlotterError | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def reached(self, sequence: int, timeout: float) -> bool:
        """Wait until the stream has come so far, at most so many seconds; return whether it has."""
        with self._came:
            self._came.wait_for(lambda: self._at_least(sequence) or self.error is not None, timeout)
            return self._at_least(sequence)

    def stop(self) -> None:
        """End the stream and wait for the thread."""
        self._stream.cancel()
        if self._thread.is_alive():
            self._thread.join()

    def _at_least(self, sequence: int) -> bool:
        return self.last_sequence is not None and self.last_sequence >= sequence

    def _run(self) -> None:
        try:
            for message in self._stream:
                with self._came:
                    self._take(message)
                    self._came.notify_all()
        except BlotterError as error:
            with self._came:
                self.error = error
                self._came.notify_all()

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
            self._said(event)
