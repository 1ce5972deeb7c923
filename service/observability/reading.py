"""A gauge that is absent while its value is not known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Reading(Collector):
    """A gauge with one value for each combination of labels, or none.

    A `Gauge` of prometheus_client without labels is 0 until it is set, and cannot be unset.
    """

    def __init__(self, name: str, meaning: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name = name
        self._meaning = meaning
        self._labels = labels
        self._values: dict[tuple[str, ...], float] = {}
        registry.register(self)

    def set(self, value: float | None, *labels: str) -> None:
        """Set the value for the labels; None: it is not known."""
        if value is None:
            self._values.pop(labels, None)
        else:
            self._values[labels] = float(value)  # a bool is no number to every exporter

    def clear(self) -> None:
        """Forget the values for all labels."""
        self._values.clear()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the family; with no sample while no value is known."""
        family = GaugeMetricFamily(self._name, self._meaning, labels=self._labels)
        for labels, value in list(self._values.items()):
            family.add_metric(labels, value)
        return [family]
