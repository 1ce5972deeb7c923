"""The metrics of the messages of one login of the database."""

from __future__ import annotations

from prometheus_client import Gauge

from service.observability.metrics import Metrics


class LoginMetrics:
    """The metrics with the label `login` set: looking them up for each call would cost more than observing."""

    def __init__(self, metrics: Metrics, login: str, most_connections: int) -> None:
        self.login = login
        self.message_seconds = metrics.message_seconds.labels(login)
        self.wait_seconds = metrics.wait_seconds.labels(login)
        self.calls_per_message = metrics.calls_per_message.labels(login)
        self.busy = metrics.busy.labels(login)
        self._used: Gauge = metrics.connections.labels(login, "used")
        self._idle: Gauge = metrics.connections.labels(login, "idle")
        self._waiting: Gauge = metrics.calls_waiting.labels(login)
        metrics.most_connections.labels(login).set(most_connections)

    def set_connections(self, used: int, idle: int, calls_waiting: int) -> None:
        """Set the gauges of the pool."""
        self._used.set(used)
        self._idle.set(idle)
        self._waiting.set(calls_waiting)
