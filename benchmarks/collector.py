"""A collector of OpenTelemetry that discards what it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc import aio


class _Discard(grpc.GenericRpcHandler):
    """Answers each call with an empty message, which every response of OTLP may be."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:  # noqa: ARG002  # shaped by grpc
        return grpc.unary_unary_rpc_method_handler(_nothing)


async def _nothing(_request: bytes, _context: Any) -> bytes:
    return b""


@asynccontextmanager
async def collector() -> AsyncIterator[str]:
    """Run the collector until the block ends; yield its URL."""
    server = aio.server()
    server.add_generic_rpc_handlers((_Discard(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop(None)
