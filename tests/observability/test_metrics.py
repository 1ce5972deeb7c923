"""The metrics that a running server exposes."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from grpc import aio
from prometheus_client import generate_latest

from blotter.orders.v1 import order_service_pb2
from service.observability.metrics import Metrics
from service.sequencing import KeyFolder
from tests.conftest import ALICE, BOB, Database
from tests.proxy import proxied
from tests.serving import as_trader, order_request, serving
from tests.streams.watching import watching


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """The value of a sample; None if it is absent."""
    metrics.update()
    return metrics.registry.get_sample_value(name, labels)


async def until(metrics: Metrics, expected: Mapping[str, float | None], **labels: str) -> None:
    """Wait until the samples have these values."""
    async with asyncio.timeout(30):
        while {name: value(metrics, name, **labels) for name in expected} != expected:  # noqa: ASYNC110  # gauges
            await asyncio.sleep(0.02)


async def test_calls_are_counted_by_method_and_status_and_name_no_caller(database: Database) -> None:
    async with serving(database) as blotter:
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
            for family in blotter.metrics.registry.collect()
            for sample in family.samples
            if sample.name == "rpc_server_call_duration_seconds_count"
        }
        assert counted == {
            ("blotter.orders.v1.OrderService/SubmitOrder", "OK"): 1,
            ("blotter.orders.v1.OrderService/SubmitOrder", "UNAUTHENTICATED"): 1,
            ("blotter.orders.v1.OrderService/GetOrder", "NOT_FOUND"): 1,
        }
        text = generate_latest(blotter.metrics.registry).decode()
        for secret in (str(ALICE), order.order_id, order.client_order_id, "AAPL", "585.33"):
            assert secret not in text


async def test_messages_waits_and_connections_are_counted_by_login(database: Database) -> None:
    async with serving(database, trader_pool_size=3, max_calls=2) as blotter:
        await asyncio.gather(*(blotter.submit() for _ in range(20)), return_exceptions=True)
        trader = {"login": "blotter_trader"}
        sent = value(blotter.metrics, "db_client_operation_duration_seconds_count", **trader)
        busy = value(blotter.metrics, "blotter_db_busy_total", **trader)
        assert sent
        assert busy
        assert sent + busy == 20
        assert value(blotter.metrics, "blotter_db_wait_seconds_count", **trader) == sent
        assert value(blotter.metrics, "blotter_db_calls_per_message_sum", **trader) == sent
        assert value(blotter.metrics, "db_client_connection_max", **trader) == 3
        assert value(blotter.metrics, "db_client_connection_count", **trader, state="used") == 0
        assert value(blotter.metrics, "db_client_connection_count", **trader, state="idle")
        # The probe, the feed and the expiry do not count as messages of gateways.
        assert value(blotter.metrics, "db_client_operation_duration_seconds_count", login="service")
        assert value(blotter.metrics, "db_client_operation_duration_seconds_count", login="blotter_execution") == 0


async def test_a_stream_is_open_until_its_client_ends_it(database: Database) -> None:
    method = {"rpc_method": "blotter.orders.v1.OrderService/WatchOrders"}
    async with serving(database) as blotter:
        async with watching(blotter) as watch:
            await watch.until_snapshot()
            assert value(blotter.metrics, "blotter_stream_open", **method) == 1
            lag = value(blotter.metrics, "blotter_feed_lag_seconds")
            assert lag is not None
            assert lag >= 0
        await until(blotter.metrics, {"blotter_stream_open": 0}, **method)
        assert value(blotter.metrics, "blotter_feed_lag_seconds") == 0


async def test_the_ledger_is_measured_while_the_database_answers(database: Database, tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path / "keys")
    keys.generate("log.example")
    ledger = {"sequencer": True, "ledger_keys": keys.folder, "ledger_origin": "log.example", "health_seconds": 0.8}
    async with proxied(database) as silent, serving(silent, **ledger) as blotter:
        await blotter.submit()
        # The order's event, and the leaf that names the keys.
        known = {"blotter_ledger_size": 2, "blotter_ledger_lag_seconds": 0, "blotter_ledger_unsigned_seconds": 0}
        await until(blotter.metrics, known | {"blotter_sequencer_active": 1, "blotter_db_up": 1})
        age = value(blotter.metrics, "blotter_checkpoint_age_seconds")
        assert age is not None
        assert 0 <= age < 30
        silent.proxy.deafen()
        silent.proxy.cut()
        gone = dict.fromkeys([*known, "blotter_checkpoint_age_seconds"])
        await until(blotter.metrics, gone | {"blotter_sequencer_active": 0, "blotter_db_up": 0})
        silent.proxy.heal()
        silent.proxy.cut()
        await until(blotter.metrics, known | {"blotter_sequencer_active": 1, "blotter_db_up": 1})
