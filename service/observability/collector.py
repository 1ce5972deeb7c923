"""Sends metrics and traces to an OpenTelemetry collector by OTLP over gRPC, from threads of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from uuid import uuid4

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from service.observability.metrics import Metrics
from service.observability.otlp import Times, metrics_data
from service.observability.traces import RecordingTraces

SEND_SECONDS = 5.0
"""How long one attempt to send may take, with its retries."""

LAST_SECONDS = 1.0
"""How long the stop waits for the last metrics and spans to be sent."""

MOST_SPANS = 2048
"""The most spans that wait to be sent; further spans are dropped."""

log = logging.getLogger("blotter.telemetry")


class _Outcomes:
    """Logs when the collector begins to refuse a kind of data, and when it takes them again."""

    def __init__(self, endpoint: str, kind: str) -> None:
        self._endpoint = endpoint
        self._kind = kind
        self._succeeding = True

    def note(self, *, success: bool, traceback: bool = False) -> None:
        """Log a change of the outcome, with the exception that is being handled if `traceback`."""
        if success and not self._succeeding:
            log.info("The collector at %s takes %s again.", self._endpoint, self._kind)
        elif not success and self._succeeding:
            log.warning(
                "The collector at %s (BLOTTER_OTLP_ENDPOINT) takes no %s; they are dropped.",
                self._endpoint,
                self._kind,
                exc_info=traceback,
            )
        self._succeeding = success


class _Spans(SpanExporter):
    """Sends spans, and notes the outcome."""

    def __init__(self, exporter: OTLPSpanExporter, outcomes: _Outcomes) -> None:
        self._exporter = exporter
        self._outcomes = outcomes

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        self._outcomes.note(success=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class Collector:
    """A collector, and the thread that sends the metrics to it. The spans have a thread of the SDK."""

    def __init__(self, metrics: Metrics, endpoint: str, seconds: float, ratio: float) -> None:
        self._metrics = metrics
        self._seconds = seconds
        self._started = time.time_ns()
        names = {"service.name": "blotter", "service.version": version("blotter"), "service.instance.id": str(uuid4())}
        self._resource = Resource.create(names)
        self._outcomes = _Outcomes(endpoint, "metrics")
        self._exporter = OTLPMetricExporter(endpoint, timeout=SEND_SECONDS)
        self._span_exporter = OTLPSpanExporter(endpoint, timeout=SEND_SECONDS)
        self._provider = TracerProvider(ALWAYS_ON, self._resource, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(_Spans(self._span_exporter, _Outcomes(endpoint, "traces")), max_queue_size=MOST_SPANS)
        )
        self.traces = RecordingTraces(self._provider.get_tracer("blotter"), ratio)
        self._due = threading.Event()
        self._ending = False
        # A daemon, because the process must not wait for a collector that does not answer.
        self._thread = threading.Thread(target=self._send_repeatedly, name="telemetry", daemon=True)

    async def run(self) -> None:
        """Send the metrics at intervals until cancelled. An interval is left out while the last one is being sent."""
        self._thread.start()
        while True:
            await asyncio.sleep(self._seconds)
            try:
                self._metrics.update()
            except Exception:  # after any error the next interval may succeed
                log.exception("The metrics cannot be read; they are not sent in this interval.")
                continue
            self._due.set()

    async def close(self) -> None:
        """Send the last metrics and spans, for at most LAST_SECONDS; then give up."""
        self._metrics.update()
        self._ending = True
        self._due.set()
        end = time.monotonic() + LAST_SECONDS
        while self._thread.is_alive() and time.monotonic() < end:  # noqa: ASYNC110  # a thread
            await asyncio.sleep(0.01)
        self._exporter.shutdown()
        self._span_exporter.shutdown()

    def _send_repeatedly(self) -> None:
        while not self._ending:
            self._due.wait()
            self._due.clear()
            try:
                data = metrics_data(self._metrics.registry, self._resource, Times(self._started, time.time_ns()))
                result = self._exporter.export(data)
            except Exception:  # noqa: BLE001  # the next attempt may succeed
                self._outcomes.note(success=False, traceback=True)
            else:
                self._outcomes.note(success=result is MetricExportResult.SUCCESS)
        self._provider.shutdown()


@asynccontextmanager
async def collector(metrics: Metrics, endpoint: str, seconds: float, ratio: float) -> AsyncIterator[Collector]:
    """Send metrics and traces while the context lasts."""
    made = Collector(metrics, endpoint, seconds, ratio)
    running = asyncio.create_task(made.run(), name="telemetry")
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await made.close()
