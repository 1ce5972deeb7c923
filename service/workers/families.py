"""The metrics of a process as values for JSON, and those of several processes as one registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Families: TypeAlias = list[tuple[str, str, str, list[tuple[str, dict[str, str], float]]]]
"""Name, meaning and type of each metric, and its samples: name, labels and value."""


def families(registry: CollectorRegistry) -> Families:
    """Return what a registry holds."""
    return [
        (one.name, one.documentation, one.type, [(each.name, dict(each.labels), each.value) for each in one.samples])
        for one in registry.collect()
    ]


class _Joined(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def joined(whole: CollectorRegistry, parts: Mapping[str, Any]) -> CollectorRegistry:
    """Return a registry of the metrics of `whole` and of the parts, the families by the name of their process.

    The samples of a part have the label `worker`. They are not added up: a sum of counters would fall when one process
    starts again, which Prometheus would count twice.
    """
    found: dict[str, Metric] = {}
    for worker, content in {"": families(whole), **parts}.items():
        for name, meaning, kind, samples in content:
            metric = found.setdefault(name, Metric(name, meaning, kind))
            for sample, labels, value in samples:
                metric.add_sample(sample, labels | {"worker": worker} if worker else labels, value)
    registry = CollectorRegistry()
    registry.register(_Joined(found.values()))
    return registry
