"""The endpoint that Prometheus and probes read over HTTP: /metrics, as text or as OpenMetrics, and /health/NAME."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from service.observability.metrics import Metrics

MOST_CONNECTIONS = 16
CONNECTION_SECONDS = 10.0
"""How long a connection lasts at most, from its start to the last byte of the answer. It serves one request."""


@asynccontextmanager
async def metrics_endpoint(
    metrics: Metrics, listen: str, is_serving: Callable[[str], bool | None]
) -> AsyncIterator[int]:
    """Serve the metrics while the context lasts; yield the port. Raises OSError if the address cannot be used.

    `is_serving` returns the health of a name, None for one that it does not know: the probes of Kubernetes by gRPC use
    no TLS, those by HTTP read it here.

    The text is made in a thread, one at a time. Connections beyond MOST_CONNECTIONS are closed at once, so that no
    client of this port takes file descriptors that the service needs.
    """
    loop = asyncio.get_running_loop()
    making = asyncio.Lock()

    async def answer(request: web.BaseRequest) -> web.Response:
        name = request.path.removeprefix("/health/")
        serving = is_serving(name) if name != request.path else None
        if request.method == "GET" and serving is not None:
            response = web.Response(status=200 if serving else 503, text="SERVING\n" if serving else "NOT_SERVING\n")
        elif request.method != "GET" or request.path != "/metrics":
            response = web.Response(status=404, text="The metrics are at /metrics, the health at /health/NAME.\n")
        else:
            encode, content_type = choose_encoder(request.headers.get("Accept", ""))
            async with making:
                metrics.update()
                text = await asyncio.to_thread(encode, metrics.registry)
            response = web.Response(body=text, headers={"Content-Type": content_type})
        response.force_close()
        return response

    server = web.Server(answer, access_log=None)

    def connected() -> asyncio.BaseProtocol:
        if len(server.connections) >= MOST_CONNECTIONS:
            return _Refused()
        protocol = server()
        loop.call_later(CONNECTION_SECONDS, _abort, protocol)
        return protocol

    host, _, port = listen.rpartition(":")
    listener = await loop.create_server(connected, host.strip("[]") or None, int(port))
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await server.shutdown(timeout=0)


class _Refused(asyncio.Protocol):
    """Closes its connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        transport.close()


def _abort(protocol: web.RequestHandler) -> None:
    if protocol.transport is not None:
        protocol.transport.abort()
