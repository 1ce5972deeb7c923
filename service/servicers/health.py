"""grpc.health.v1.Health. Setting a status takes no lock and waits for no client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

from service.observability.metrics import Metrics

Context = aio.ServicerContext[Any, Any]

SERVING, NOT_SERVING = pb.HealthCheckResponse.SERVING, pb.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = pb.HealthCheckResponse.SERVICE_UNKNOWN

STARTUP, LIVENESS, READINESS = "startup", "liveness", "readiness"
"""Names for the probes of an orchestrator. Startup and liveness concern the process alone: it lives while it drains."""

LEDGER = "blotter.ledger"
"""The name of the ledger."""

_OF_PROCESS = {STARTUP, LIVENESS}


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Keeps the status of each service name. A watch sends the newest status when its client reads, and no older one.

    `set` and `drain` store the status and wake the watches; they never wait for a watch.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._statuses: dict[str, int] = {}
        self._watches: set[asyncio.Event] = set()
        self._unwatched = asyncio.Event()
        self._unwatched.set()
        self._draining = False
        self._changed: Callable[[], None] = lambda: None

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call `changed` after each change of a status."""
        self._changed = changed

    def statuses(self) -> dict[str, bool]:
        """Return whether each service name is SERVING."""
        return {name: status == SERVING for name, status in self._statuses.items()}

    def set(self, service: str, serving: bool) -> None:
        """Set the status of a service name. While the server drains, it stays NOT_SERVING, unless of the process."""
        status = SERVING if serving and not (self._draining and service not in _OF_PROCESS) else NOT_SERVING
        if self._statuses.get(service) != status:
            self._statuses[service] = status
            self._metrics.health_serving.labels(service).set(status == SERVING)
            self._wake()

    def drain(self) -> None:
        """Set every name but those of the process to NOT_SERVING permanently; end each watch with its last status."""
        self._draining = True
        for service in self._statuses.keys() - _OF_PROCESS:
            self.set(service, serving=False)
        self._wake()

    def is_serving(self, service: str) -> bool | None:
        """Return whether a service name is SERVING; None for one that is not known."""
        status = self._statuses.get(service)
        return None if status is None else status == SERVING

    async def Check(self, request: pb.HealthCheckRequest, context: Context) -> pb.HealthCheckResponse:
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(
                StatusCode.NOT_FOUND, "The health of this service is not known; List returns the known services."
            )
        return pb.HealthCheckResponse(status=status)

    async def List(self, request: Any, context: Context) -> Any:
        statuses = {name: pb.HealthCheckResponse(status=status) for name, status in self._statuses.items()}
        return pb.HealthListResponse(statuses=statuses)  # type: ignore[attr-defined]  # the stubs lack List

    async def Watch(self, request: pb.HealthCheckRequest, context: Context) -> AsyncIterator[pb.HealthCheckResponse]:
        woken, sent = asyncio.Event(), None
        self._watches.add(woken)
        self._unwatched.clear()
        try:
            while True:
                woken.clear()
                draining = self._draining
                status = self._statuses.get(request.service, SERVICE_UNKNOWN)
                if status != sent:
                    yield pb.HealthCheckResponse(status=status)
                    sent = status
                if draining:
                    return
                await woken.wait()
        finally:
            self._watches.discard(woken)
            if not self._watches:
                self._unwatched.set()

    async def watches_ended(self, seconds: float) -> None:
        """Wait until no watch is open, at most for `seconds`: a client may not read its watch."""
        try:
            async with asyncio.timeout(seconds):
                await self._unwatched.wait()
        except TimeoutError:
            return

    def _wake(self) -> None:
        self._changed()
        for woken in self._watches:
            woken.set()
