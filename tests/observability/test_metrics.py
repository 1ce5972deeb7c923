"""The metrics that a running server exposes."""

from typing import Any

import pytest
from grpc import aio
from prometheus_client import generate_latest

from blotter.orders.v1 import order_service_pb2
from service.server import running
from tests.conftest import ALICE, BOB, Database
from tests.serving import as_trader, connected, order_request, settings


async def test_calls_are_counted_by_method_and_status_and_name_no_caller(database: Database) -> None:
    async with (
        running(settings(), database.conninfo("blotter_trader")) as server,
        connected(server, database) as blotter,
    ):
        order = await blotter.submit(ALICE)
        with pytest.raises(aio.AioRpcError):
            await blotter.orders.GetOrder(
                order_service_pb2.GetOrderRequest(order_id=order.order_id), metadata=as_trader(BOB)
            )
        with pytest.raises(aio.AioRpcError):
            await blotter.orders.SubmitOrder(order_request(), metadata=())
        invented: Any = blotter.channel.unary_unary("/blotter.orders.v1.OrderService/Invented")
        with pytest.raises(aio.AioRpcError):
            await invented(b"")

        counted = {
            (sample.labels["rpc_method"], sample.labels["rpc_response_status_code"]): sample.value
            for family in server.metrics.registry.collect()
            for sample in family.samples
            if sample.name == "rpc_server_call_duration_seconds_count"
        }
        assert counted == {
            ("blotter.orders.v1.OrderService/SubmitOrder", "OK"): 1,
            ("blotter.orders.v1.OrderService/SubmitOrder", "UNAUTHENTICATED"): 1,
            ("blotter.orders.v1.OrderService/GetOrder", "NOT_FOUND"): 1,
        }
        text = generate_latest(server.metrics.registry).decode()
        for secret in (str(ALICE), order.order_id, order.client_order_id, "AAPL", "585.33"):
            assert secret not in text
