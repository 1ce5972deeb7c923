"""A collector of OpenTelemetry, which keeps what it is sent."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from grpc import aio
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Sink(metrics_service_pb2_grpc.MetricsServiceServicer, trace_service_pb2_grpc.TraceServiceServicer):
    """The services of a collector that metrics and traces are sent to."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Any] = []

    async def Export(self, request: Any, context: Any) -> Any:
        """Keep what is sent; both services name their method so."""
        self.requests.append(request)
        if isinstance(request, metrics_service_pb2.ExportMetricsServiceRequest):
            return metrics_service_pb2.ExportMetricsServiceResponse()
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self) -> list[Any]:
        """All spans, in the order in which they ended."""
        return [
            span
            for request in self.requests
            for resource in getattr(request, "resource_spans", ())
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def metrics(self) -> dict[str, Any]:
        """The newest value of each metric by its name."""
        return {metric.name: metric for metric in self._metrics()}

    def _metrics(self) -> Iterator[Any]:
        for request in self.requests:
            for resource in getattr(request, "resource_metrics", ()):
                for scope in resource.scope_metrics:
                    yield from scope.metrics


@asynccontextmanager
async def sink(port: int = 0) -> AsyncIterator[Sink]:
    """Run a collector while the context lasts."""
    made, server = Sink(), aio.server()
    add_metrics: Any = metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server
    add_traces: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    add_metrics(made, server)
    add_traces(made, server)
    made.url = f"http://127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
    await server.start()
    try:
        yield made
    finally:
        await server.stop(None)
