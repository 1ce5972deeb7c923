"""The metrics of one server, in a registry of its own: a process may run several servers.

No label holds a trader, an actor, an order or a symbol. Names of Prometheus; `otlp.py` has the names of OpenTelemetry.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.gc_collector import GCCollector

from service.observability.reading import Reading

# The time of creation of each series doubles the counters, and no query of ours uses it.
disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_CALLS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """All metrics. What is not known, such as the ledger's lag while the database is away, is absent."""

    def __init__(self, *, of_calls: bool = True) -> None:
        """`of_calls`: with the metrics of what serves calls, which a sequencer without a port has not."""
        self.registry = CollectorRegistry()
        self._before_reading: list[Callable[[], None]] = []
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        Gauge(
            "blotter_build_info", "1, with the version of the server.", ["version", "python"], registry=self.registry
        ).labels(version("blotter"), platform.python_version()).set(1)
        self._into = self.registry if of_calls else CollectorRegistry()
        self._calls()
        self._identity()
        self._database()
        self._into = self.registry
        self._health()
        self._ledger()
        self._host()

    def before_reading(self, update: Callable[[], None]) -> None:
        """Call `update` in the event loop before each reading of the metrics; it sets gauges at no cost to calls."""
        self._before_reading.append(update)

    def update(self) -> None:
        """Bring the gauges up to date. Called in the event loop before the registry is read in a thread."""
        for update in self._before_reading:
            update()

    async def read(self) -> CollectorRegistry:
        """Return the registry, brought up to date."""
        self.update()
        return self.registry

    def call_ended(self, method: str, code: str, seconds: float) -> None:
        """Count a call of the full method (`/package.Service/Method`) by the name of its status."""
        key = (method, code)
        if (child := self._call_children.get(key)) is None:
            child = self._call_children[key] = self.call_seconds.labels(method.removeprefix("/"), code)
        child.observe(seconds)

    def _calls(self) -> None:
        self.call_seconds = self._histogram(
            "rpc_server_call_duration_seconds",
            "Duration of calls and streams, by method and status.",
            ["rpc_method", "rpc_response_status_code"],
        )
        # Looking up a child by its labels costs more than twice as much as observing.
        self._call_children: dict[tuple[str, str], Histogram] = {}
        self.streams_open = self._gauge("blotter_stream_open", "Streams that are open, by method.", ["rpc_method"])
        self.slow_consumers = self._counter(
            "blotter_stream_slow_consumers_total", "Streams that ended because their client did not read."
        )
        self.rate_limited = self._counter(
            "blotter_rate_limited_total", "Calls refused because the caller exceeded its rate.", ["caller_kind"]
        )
        self.calls_waited = self._counter(
            "blotter_calls_waited_total",
            "Calls that waited because other calls of their caller took its share of the server.",
            ["caller_kind"],
        )
        self.feed_lag = self._gauge(
            "blotter_feed_lag_seconds", "Time since the last successful poll for streams; 0 while there is no stream."
        )
        self.orders_expired = self._counter(
            "blotter_orders_expired_total", "Orders that this process cancelled, or asked to cancel, at their expiry."
        )
        self.cancel_timers_fired = self._counter(
            "blotter_cancel_timers_fired_total", "Cancel timers that ran out and cancelled orders in this process."
        )

    def _identity(self) -> None:
        self.authentication_failures = self._counter(
            "blotter_authentication_failures_total", "Calls refused because of their identity, by reason.", ["reason"]
        )
        self.certificate_expiry = self._gauge(
            "blotter_tls_certificate_expiry_timestamp_seconds",
            "When the first certificate or list of a file ends, in seconds since 1970: server, client_ca, client_crl.",
            ["file"],
        )
        self.tls_reload_failures = self._counter(
            "blotter_tls_reload_failures_total", "Changed TLS files that could not be used; the earlier ones are."
        )
        self.jwks_age = self._reading(
            "blotter_jwks_age_seconds", "Time since the keys of the issuer were last fetched; absent without JWTs."
        )

    def _database(self) -> None:
        login = ["login"]
        self.message_seconds = self._histogram(
            "db_client_operation_duration_seconds", "Duration of messages to the database.", login
        )
        self.wait_seconds = self._histogram(
            "blotter_db_wait_seconds", "Time that calls waited for their turn and a connection.", login
        )
        self.calls_per_message = self._histogram(
            "blotter_db_calls_per_message", "Calls that one message to the database carried.", login, _CALLS
        )
        self.connections = self._gauge(
            "db_client_connection_count", "Connections of a login, used or idle.", ["login", "state"]
        )
        self.most_connections = self._gauge("db_client_connection_max", "Most connections of a login.", login)
        self.calls_waiting = self._gauge(
            "db_client_connection_pending_requests", "Calls that wait for a connection.", login
        )
        self.busy = self._counter("blotter_db_busy_total", "Calls that ended with DATABASE_BUSY.", login)
        self.database_up = self._gauge("blotter_db_up", "1 while the database accepts writes, else 0.")
        self.oldest_transaction = self._reading(
            "blotter_db_oldest_transaction_seconds",
            "Age of the oldest open transaction, prepared ones included.",
        )
        self.xmin_age = self._reading(
            "blotter_db_xmin_age",
            "Transactions since the oldest snapshot that an open transaction or a replication slot keeps.",
        )
        self.counter_bytes = self._reading(
            "blotter_db_counter_table_bytes", "Size of the table trader_sequences with its indexes."
        )
        self.counter_dead_rows = self._reading(
            "blotter_db_counter_dead_rows", "Dead rows of trader_sequences, as PostgreSQL estimates them."
        )

    def _health(self) -> None:
        self.health_serving = self._gauge(
            "blotter_health_serving", "1 for a service name whose health is SERVING, else 0.", ["service"]
        )

    def _ledger(self) -> None:
        self.sequencer_active = self._gauge(
            "blotter_sequencer_active", "1 in the process that appends to the ledger, else 0."
        )
        self.ledger_lag = self._reading(
            "blotter_ledger_lag_seconds", "How long the first event without a position in the ledger has waited."
        )
        self.ledger_size = self._reading("blotter_ledger_size", "Entries of the ledger.")
        self.ledger_unsigned = self._reading(
            "blotter_ledger_unsigned_seconds", "How long ago the first entry that no checkpoint covers was recorded."
        )
        self.ledger_refusals = self._counter(
            "blotter_ledger_refusals_total", "Times that this process refused or failed to sign a checkpoint."
        )
        self.checkpoint_age = self._reading(
            "blotter_checkpoint_age_seconds", "Age of the newest checkpoint; it grows while the ledger does not."
        )
        self.cosignature_age = self._reading(
            "blotter_cosignature_age_seconds",
            "Time since a witness last cosigned, or since this process became the sequencer; absent in the others.",
            ["witness"],
        )

    def _host(self) -> None:
        self.clock_offset = self._reading(
            "blotter_clock_offset_seconds", "Offset of the clock from its reference; absent if not synchronised."
        )
        self.clock_synchronised = self._reading(
            "blotter_clock_synchronised", "1 if the kernel states that its clock is synchronised, else 0."
        )

    def _counter(self, name: str, meaning: str, labels: list[str] | None = None) -> Counter:
        return Counter(name, meaning, labels or [], registry=self._into)

    def _gauge(self, name: str, meaning: str, labels: list[str] | None = None) -> Gauge:
        return Gauge(name, meaning, labels or [], registry=self._into)

    def _histogram(
        self, name: str, meaning: str, labels: list[str], buckets: tuple[float, ...] = _SECONDS
    ) -> Histogram:
        return Histogram(name, meaning, labels, buckets=buckets, registry=self._into)

    def _reading(self, name: str, meaning: str, labels: list[str] | None = None) -> Reading:
        return Reading(name, meaning, labels or [], self._into)
