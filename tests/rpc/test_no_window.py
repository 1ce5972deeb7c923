"""A client that opens streams and lets the server send nothing blocks neither other callers nor the stop."""

import asyncio
import time
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc

from blotter.orders.v1 import order_pb2, order_service_pb2
from tests.conftest import ALICE, Database
from tests.rpc.raw_http2 import NO_WINDOW, Raw, raw_connection
from tests.serving import COMPLIANCE, Blotter, as_trader, serving

ORDERS, AUDIT = "/blotter.orders.v1.OrderService/", "/blotter.audit.v1.AuditService/"
LIST_SERVICES = b"\x3a\x01*"
STREAMS: dict[str, tuple[bytes, tuple[tuple[str, str], ...]]] = {
    "/grpc.health.v1.Health/Watch": (b"", ()),
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": (LIST_SERVICES, ()),
    ORDERS + "WatchOrders": (b"", as_trader(ALICE)),
    AUDIT + "StreamExecutionLogs": (b"", as_trader(ALICE)),
    AUDIT + "ReconcileOrders": (b"", COMPLIANCE),
    AUDIT + "ExportExecutionLogs": (b"", COMPLIANCE),
}


async def test_streams_without_a_flow_control_window_block_nothing_else(database: Database) -> None:
    server = serving(database, grace_seconds=5, slow_consumer_seconds=60)
    blotter = await server.__aenter__()
    try:
        raw = raw_connection(blotter.port, NO_WINDOW)
        connection = await raw.__aenter__()
        await hold_all(connection)
        soon = Timestamp()
        soon.FromNanoseconds(time.time_ns() + 500_000_000)
        order = await blotter.submit(expire_time=soon)
        async with asyncio.timeout(30):
            while order.status != order_pb2.ORDER_STATUS_CANCELLED:
                await asyncio.sleep(0.05)
                request = order_service_pb2.GetOrderRequest(order_id=order.order_id)
                order = (await blotter.orders.GetOrder(request, metadata=as_trader(ALICE))).order
        assert (await health(blotter)) == health_pb2.HealthCheckResponse.SERVING
    finally:
        async with asyncio.timeout(30):
            await server.__aexit__(None, None, None)
    await raw.__aexit__(None, None, None)


async def health(blotter: Blotter) -> int:
    """The health of the server as a whole."""
    stub: Any = health_pb2_grpc.HealthStub(blotter.channel)
    status: int = (await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)).status
    return status


async def hold_all(raw: Raw) -> None:
    """Open every stream, and read until each has sent its headers and waits to send its first message."""
    for number, (path, (body, metadata)) in enumerate(STREAMS.items()):
        raw.call(2 * number + 1, path, body, metadata=metadata)
    await raw.begun(len(STREAMS))
