"""One trader, or one login, must not delay the others."""

import asyncio
from typing import Any

import grpc
import psycopg
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from blotter.orders.v1 import cancel_timer_pb2, order_pb2, order_service_pb2
from tests.conftest import ALICE, BOB, Database
from tests.rpc.errors import details_of, fields_of, reason_of, refused
from tests.serving import EXECUTION, Blotter, as_trader, order_request, report_request, serving
from tests.streams.watching import watching


def hold(holder: psycopg.Connection[Any]) -> None:
    """Lock Alice's counter until the end of the transaction, as a call of hers does: a cancel of no order."""
    holder.execute("SELECT act_as(%s)", (ALICE,))
    holder.execute("SELECT cancel_open_orders(NULL, NULL, 'raw', 'raw', 0)")


async def test_a_trader_whose_calls_wait_does_not_block_the_connections_for_others(blotter: Blotter) -> None:
    mine, other = await blotter.submit(ALICE), await blotter.submit(BOB)
    with psycopg.connect(blotter.database.conninfo("blotter_trader")) as holder:
        hold(holder)
        waiting = [asyncio.create_task(blotter.submit(ALICE)) for _ in range(30)]
        waiting += [asyncio.create_task(blotter.report(mine, executed={})) for _ in range(30)]
        await asyncio.to_thread(until_waiting, blotter.database, 1)

        get = order_service_pb2.GetOrderRequest(order_id=other.order_id)
        await blotter.orders.GetOrder(get, metadata=as_trader(BOB), timeout=5)
        request = report_request(other, executed={})
        await blotter.orders.ReportExecution(request, metadata=EXECUTION, timeout=5)
        async with watching(blotter, BOB) as bob:
            await asyncio.wait_for(bob.until_snapshot(), 5)
        health: Any = health_pb2_grpc.HealthStub(blotter.channel)
        status = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert status.status == health_pb2.HealthCheckResponse.SERVING
    assert len(await asyncio.gather(*waiting)) == 60


def until_waiting(database: Database, count: int) -> None:
    """Wait until `count` statements wait for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with psycopg.connect(database.conninfo("postgres"), autocommit=True) as looking:
        for _ in range(1000):
            if looking.execute(waiting).fetchone() == (count,):
                return
            looking.execute("SELECT pg_sleep(0.01)")
    raise AssertionError(f"{count} statements should wait for a lock")


async def test_a_statement_that_a_dba_cancels_is_not_reported_as_the_clients_deadline(blotter: Blotter) -> None:
    await blotter.submit(ALICE)
    with psycopg.connect(blotter.database.conninfo("blotter_trader")) as holder:
        hold(holder)
        waiting = asyncio.create_task(refused(blotter.submit(ALICE)))
        await asyncio.to_thread(until_waiting, blotter.database, 1)
        cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        await asyncio.to_thread(blotter.database.cluster.psql, cancel)
        error = await waiting
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.ABORTED, "ABORTED")
    assert details_of(error, error_details_pb2.RetryInfo)


async def test_cancel_all_cancels_more_orders_than_one_transaction_does(
    blotter: Blotter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.repositories.orders.CANCELLED_AT_ONCE", 7)
    batch = order_service_pb2.BatchSubmitOrdersRequest(orders=[order_request() for _ in range(28)])
    entered = (await blotter.orders.BatchSubmitOrders(batch, metadata=as_trader(ALICE))).results
    answer = await blotter.orders.CancelAllOrders(order_service_pb2.CancelAllOrdersRequest(), metadata=as_trader(ALICE))
    assert answer.cancelled_count == 28
    assert list(answer.order_ids) == [result.response.order.order_id for result in entered]


async def test_a_login_cannot_weaken_the_sessions_of_the_service(database: Database) -> None:
    """A login may change its own defaults: an injected ALTER ROLE must neither make commits lossy nor fail calls."""
    weak = {
        "synchronous_commit": "off",
        "default_transaction_read_only": "on",
        "search_path": "nowhere",
        "row_security": "off",
        "statement_timeout": "'1ms'",
        "lock_timeout": "'1ms'",
        "idle_session_timeout": "'1ms'",
        "standard_conforming_strings": "off",
        "client_encoding": "'LATIN1'",
        "DateStyle": "'German'",
        "IntervalStyle": "'iso_8601'",
    }
    try:
        with psycopg.connect(database.conninfo("blotter_trader"), autocommit=True) as trader:
            for name, value in weak.items():
                trader.execute(f"ALTER ROLE blotter_trader SET {name} = {value}")
        async with serving(database) as blotter:
            order = await blotter.submit()
            cancel = order_service_pb2.CancelOrderRequest(order_id=order.order_id, reason="\u6f22 it's a \\\\ test")
            response = await blotter.orders.CancelOrder(cancel, metadata=as_trader(ALICE))
            assert response.order.last_sequence == 2
            timer = cancel_timer_pb2.CancelAllAfterRequest(timeout=Duration(seconds=60))
            answer = await blotter.orders.CancelAllAfter(timer, metadata=as_trader(ALICE))
            assert answer.cancel_timer.timeout == timer.timeout
    finally:
        for name in weak:
            database.cluster.psql(f"ALTER ROLE blotter_trader RESET {name}")


async def test_a_timer_is_read_behind_a_pooler_whatever_style_of_intervals_its_server_connection_has(
    database: Database,
) -> None:
    """A pooler refuses start-up options, and the driver reads an interval by the style that the server reports."""
    alter = f'ALTER ROLE blotter_trader IN DATABASE "{database.name}"'
    database.cluster.psql(f"{alter} SET IntervalStyle = 'sql_standard'")
    async with serving(database, database_pooler=True) as blotter:
        timer = cancel_timer_pb2.CancelAllAfterRequest(timeout=Duration(seconds=60, nanos=250_000_000))
        answer = await blotter.orders.CancelAllAfter(timer, metadata=as_trader(ALICE))
        assert answer.cancel_timer.timeout == timer.timeout
        read = await blotter.orders.GetCancelTimer(cancel_timer_pb2.GetCancelTimerRequest(), metadata=as_trader(ALICE))
        assert read.cancel_timer.timeout == timer.timeout


async def test_millions_of_entries_are_counted_and_not_checked(blotter: Blotter) -> None:
    request = order_service_pb2.ListOrdersRequest(statuses=[order_pb2.ORDER_STATUS_FILLED] * 3_000_000)
    error = await refused(blotter.orders.ListOrders(request, metadata=as_trader(ALICE)))
    assert fields_of(error) == {"statuses": "must have at most 100 entries"}
