"""The endpoint that Prometheus and probes read over HTTP: /metrics, as text or as OpenMetrics, and /health/NAME."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

MOST_CONNECTIONS = 16
"""Beyond it the oldest connection whose request is not being answered is closed: idle ones hold off no probe."""

MOST_SCRAPES = 4
"""How many requests for the metrics are answered at one time. Further ones are refused."""

CONNECTION_SECONDS = 10.0
"""How long a connection lasts at most, from its start to the last byte of the answer. It serves one request."""


class Source(Protocol):
    """What has metrics to read."""

    async def read(self) -> CollectorRegistry:
        """Return the registry, brought up to date."""


@asynccontextmanager
async def metrics_endpoint(source: Source, listen: str, is_serving: Callable[[str], bool | None]) -> AsyncIterator[int]:
    """Serve the metrics while the context lasts; yield the port. Raises OSError if the address cannot be used.

    `is_serving` returns the health of a name, None for one that it does not know: the probes of Kubernetes by gRPC use
    no TLS, those by HTTP read it here.

    The text is made in a thread, one at a time. The health never waits for it. The bound of the connections keeps the
    file descriptors that the service needs.
    """
    making = asyncio.Lock()
    scrapes = 0

    async def metrics_text(accept: str) -> web.Response:
        nonlocal scrapes
        if scrapes >= MOST_SCRAPES:
            return web.Response(status=503, text="The metrics are being read by too many clients; try again.\n")
        scrapes += 1
        try:
            encode, content_type = choose_encoder(accept)
            async with making:
                text = await asyncio.to_thread(encode, await source.read())
        finally:
            scrapes -= 1
        return web.Response(body=text, headers={"Content-Type": content_type})

    async def answer(request: web.BaseRequest) -> web.Response:
        name = request.path.removeprefix("/health/")
        serving = is_serving(name) if name != request.path else None
        if request.method == "GET" and serving is not None:
            response = web.Response(status=200 if serving else 503, text="SERVING\n" if serving else "NOT_SERVING\n")
        elif request.method != "GET" or request.path != "/metrics":
            response = web.Response(status=404, text="The metrics are at /metrics, the health at /health/NAME.\n")
        else:
            response = await metrics_text(request.headers.get("Accept", ""))
        response.force_close()
        return response

    server = _Server(answer)
    host, _, port = listen.rpartition(":")
    listener = await asyncio.get_running_loop().create_server(server, host.strip("[]") or None, int(port))
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await server.shutdown(timeout=0)


class _Server(web.Server):
    """Bounds the number of its connections, and how long each lasts."""

    def __init__(self, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        super().__init__(self._answered, access_log=None)
        self._answer = answer
        self._open: dict[web.RequestHandler, asyncio.TimerHandle] = {}
        self._answering: set[web.RequestHandler] = set()

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Note a connection; close the oldest silent one if it is one too many."""
        super().connection_made(handler, transport)
        self._open[handler] = asyncio.get_running_loop().call_later(CONNECTION_SECONDS, self._abort, handler)
        if len(self._open) > MOST_CONNECTIONS:
            self._abort(next(other for other in self._open if other not in self._answering))

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        if timer := self._open.pop(handler, None):
            timer.cancel()

    async def _answered(self, request: web.BaseRequest) -> web.StreamResponse:
        self._answering.add(request.protocol)
        try:
            return await self._answer(request)
        finally:
            self._answering.discard(request.protocol)

    def _abort(self, handler: web.RequestHandler) -> None:
        self._open.pop(handler).cancel()
        if handler.transport:
            handler.transport.abort()
