"""The metrics of the parent of several workers. Those of the workers are in `metrics.py`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector


class ParentMetrics:
    """What the parent itself knows. `registry` has the first three, `process` those of its process."""

    def __init__(self) -> None:
        self.registry, self.process = CollectorRegistry(), CollectorRegistry()
        self.worker_up = Gauge(
            "blotter_worker_up",
            "1 while a worker, or the sequencer, serves, else 0.",
            ["worker"],
            registry=self.registry,
        )
        self.worker_restarts = Counter(
            "blotter_worker_restarts_total",
            "Times that a worker, or the sequencer, ended and was started again.",
            ["worker"],
            registry=self.registry,
        )
        self.health_serving = Gauge(
            "blotter_health_serving",
            "1 for a service name whose health is SERVING, else 0.",
            ["service"],
            registry=self.registry,
        )
        ProcessCollector(registry=self.process)
