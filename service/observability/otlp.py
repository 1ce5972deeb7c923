"""The metrics in the form of OpenTelemetry, with the names and units of its semantic conventions.

They are read from the registry of prometheus_client when they are sent: recording a value by the SDK of OpenTelemetry
costs 14 to 20 µs, observing it by prometheus_client 1.5 µs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client import Metric as Family

_LABELS = {
    "rpc_method": "rpc.method",
    "rpc_response_status_code": "rpc.response.status_code",
    "login": "db.client.connection.pool.name",
    "state": "db.client.connection.state",
}
_CONVENTIONS = {
    "rpc_server_call_duration_seconds": "rpc.server.call.duration",
    "db_client_operation_duration_seconds": "db.client.operation.duration",
    "db_client_connection_count": "db.client.connection.count",
    "db_client_connection_max": "db.client.connection.max",
    "db_client_connection_pending_requests": "db.client.connection.pending_requests",
    "process_cpu_seconds": "process.cpu.time",
    "process_resident_memory_bytes": "process.memory.usage",
    "process_virtual_memory_bytes": "process.memory.virtual",
    "process_open_fds": "process.unix.file_descriptor.count",
}
"""Names that the semantic conventions define."""

_UNITS = {"_seconds": "s", "_bytes": "By"}
_CUMULATIVE = AggregationTemporality.CUMULATIVE

Labels = tuple[tuple[str, str], ...]


class Times(NamedTuple):
    """The period that cumulative values cover, in nanoseconds since 1970."""

    start: int
    end: int


def metrics_data(registry: CollectorRegistry, resource: Resource, times: Times) -> MetricsData:
    """Return all metrics of the registry that have a value."""
    metrics = [metric for family in registry.collect() if (metric := _metric(family, times)) is not None]
    scope = ScopeMetrics(InstrumentationScope("blotter"), metrics, "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _metric(family: Family, times: Times) -> Metric | None:
    if not family.samples:
        return None
    name, unit = _CONVENTIONS.get(family.name, ""), "1"
    for suffix, of_suffix in _UNITS.items():
        if family.name.endswith(suffix):
            unit = of_suffix
    if not name:
        stem = family.name
        for suffix in _UNITS:
            stem = stem.removesuffix(suffix)
        name = stem.replace("_", ".", 1)
    if family.type == "histogram":
        return Metric(name, family.documentation, unit, Histogram(list(_histogram_points(family, times)), _CUMULATIVE))
    points = [
        NumberDataPoint(_attributes(tuple(sample.labels.items())), times.start, times.end, sample.value)
        for sample in family.samples
    ]
    if family.type == "counter":
        return Metric(name, family.documentation, unit, Sum(points, _CUMULATIVE, is_monotonic=True))
    if family.name in _CONVENTIONS:  # which define their gauges as sums that also decrease
        return Metric(name, family.documentation, unit, Sum(points, _CUMULATIVE, is_monotonic=False))
    return Metric(name, family.documentation, unit, Gauge(points))


def _histogram_points(family: Family, times: Times) -> Iterable[HistogramDataPoint]:
    buckets: defaultdict[Labels, list[tuple[float, float]]] = defaultdict(list)
    sums: dict[Labels, float] = {}
    for sample in family.samples:
        labels = tuple((name, value) for name, value in sample.labels.items() if name != "le")
        if sample.name.endswith("_bucket"):
            buckets[labels].append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    for labels, cumulative in buckets.items():
        totals = [int(total) for _, total in cumulative]
        yield HistogramDataPoint(
            attributes=_attributes(labels),
            start_time_unix_nano=times.start,
            time_unix_nano=times.end,
            count=totals[-1],
            sum=sums[labels],
            bucket_counts=[total - before for before, total in zip([0, *totals], totals, strict=False)],
            explicit_bounds=[bound for bound, _ in cumulative[:-1]],  # the last one is infinite
            min=None,  # type: ignore[arg-type]  # not known; the exporter leaves it out
            max=None,  # type: ignore[arg-type]
        )


def _attributes(labels: Labels) -> dict[str, str]:
    return {_LABELS.get(name, name): value for name, value in labels}
