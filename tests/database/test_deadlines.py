"""Deadlines, timeouts and packet loss: each call ends in time, with the correct result."""

import asyncio
import gc
import statistics
import time
from typing import Any

import grpc
import psycopg
import pytest
from google.rpc import error_details_pb2
from psycopg.conninfo import conninfo_to_dict

from blotter.audit.v1 import audit_service_pb2
from blotter.orders.v1 import order_service_pb2 as pb
from blotter.orders.v1 import watch_pb2
from service.domain.errors import BlotterError, DatabaseBusy, DatabaseUnavailable
from service.domain.identity import Caller, CallerKind
from service.observability.metrics import Metrics
from service.repositories.database import Database as Pools
from service.repositories.messages import Statement
from service.repositories.sessions import SESSION, login_to
from tests.conftest import ALICE, BOB, Database
from tests.proxy import proxied
from tests.rpc.errors import details_of, reason_of, refused
from tests.rpc.test_outages import locked, someone_waits, until
from tests.rpc.written import written
from tests.serving import COMPLIANCE, EXECUTION, Blotter, as_trader, order_request, report_request, serving


def with_deadline(blotter: Blotter, seconds: float | None, request: Any = None) -> Any:
    """A submit of ALICE with a deadline."""
    return blotter.orders.SubmitOrder(request or order_request(), metadata=as_trader(ALICE), timeout=seconds)


async def test_a_deadline_that_passes_in_the_database_is_answered_before_the_client_gives_up(blotter: Blotter) -> None:
    await blotter.submit()
    before = written(blotter)
    async with locked(blotter.database):
        error = await refused(with_deadline(blotter, 2))
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
        assert not details_of(error, error_details_pb2.RetryInfo)
    assert written(blotter) == before


async def test_a_deadline_that_passes_in_the_queue_is_answered_as_busy(database: Database) -> None:
    async with serving(database) as blotter:
        await blotter.submit()
        before = written(blotter)
        async with locked(database) as looking:
            writer = asyncio.create_task(refused(blotter.submit()))
            await until(lambda: someone_waits(looking, "trader"))
            error = await refused(with_deadline(blotter, 1))
            assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_BUSY")
            await database_cancels(database)
        assert reason_of(await writer) == "ABORTED"
    assert written(blotter) == before


async def database_cancels(database: Database) -> None:
    """Cancel the statements that wait for a lock, as a DBA would."""
    cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    await asyncio.to_thread(database.cluster.psql, cancel)


async def test_a_lock_that_is_held_for_too_long_is_reported_as_such(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SESSION, "lock_timeout", "100ms")
    async with serving(database) as blotter:
        await blotter.submit()
        async with locked(database):
            error = await refused(blotter.submit())
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.ABORTED, "ABORTED")
        assert "lock" in str(error.details())


@pytest.mark.parametrize("deadline", [None, 600])
async def test_a_statement_that_takes_longer_than_the_service_allows_has_a_reason_of_its_own(
    database: Database, monkeypatch: pytest.MonkeyPatch, deadline: float | None
) -> None:
    monkeypatch.setitem(SESSION, "statement_timeout", "200ms")
    monkeypatch.setattr("service.repositories.deadlines.LONGEST_STATEMENT", 0.2)
    async with serving(database) as blotter:
        await blotter.submit()
        async with locked(database):
            error = await asyncio.wait_for(refused(with_deadline(blotter, deadline)), 60)
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.DEADLINE_EXCEEDED, "STATEMENT_TIMEOUT")
        assert not details_of(error, error_details_pb2.RetryInfo)


async def test_no_call_reports_a_timeout_as_a_conflict(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads, writes, batches and streams, of each kind of caller."""
    monkeypatch.setitem(SESSION, "statement_timeout", "200ms")
    monkeypatch.setattr("service.repositories.deadlines.LONGEST_STATEMENT", 0.2)
    trader, conninfo = as_trader(ALICE), database.conninfo("postgres")
    async with serving(database) as blotter, await psycopg.AsyncConnection.connect(conninfo) as holder:
        order = await blotter.submit()
        await holder.execute("LOCK TABLE orders, execution_logs IN ACCESS EXCLUSIVE MODE")
        orders, audit = blotter.orders, blotter.audit
        batch = pb.BatchSubmitOrdersRequest(orders=[order_request()])
        logs = audit_service_pb2.StreamExecutionLogsRequest()
        calls = [
            orders.SubmitOrder(order_request(), metadata=trader),
            orders.BatchSubmitOrders(batch, metadata=trader),
            orders.CancelOrder(pb.CancelOrderRequest(order_id=order.order_id, request_key="key"), metadata=trader),
            orders.GetOrder(pb.GetOrderRequest(order_id=order.order_id), metadata=trader),
            orders.ListOrders(pb.ListOrdersRequest(), metadata=trader),
            orders.ReportExecution(report_request(order, approved={}), metadata=EXECUTION),
            orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=trader).read(),
            audit.StreamExecutionLogs(logs, metadata=COMPLIANCE).read(),
        ]
        errors = await asyncio.wait_for(asyncio.gather(*map(refused, calls)), 60)
        await holder.rollback()
    expected = (grpc.StatusCode.DEADLINE_EXCEEDED, "STATEMENT_TIMEOUT")
    assert [(error.code(), reason_of(error)) for error in errors] == [expected] * len(calls)


async def test_the_time_limit_of_the_database_itself_is_reported_as_a_timeout(database: Database) -> None:
    if int(database.cluster.psql("SHOW server_version_num")) < 170000:
        return  # transaction_timeout is new in PostgreSQL 17
    database.cluster.psql(f"ALTER ROLE blotter_trader IN DATABASE {database.name} SET transaction_timeout = '300ms'")
    async with serving(database) as blotter:
        await blotter.submit()
        async with locked(database):
            error = await asyncio.wait_for(refused(blotter.submit()), 60)
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.DEADLINE_EXCEEDED, "STATEMENT_TIMEOUT")
        assert "transaction_timeout" in str(error.details())
        assert (await blotter.submit()).last_sequence == 2


FEED = Caller(CallerKind.EXECUTION, None, actor="blotter", request_id="test")


async def test_a_connection_that_loses_packets_is_closed_and_the_next_read_is_answered(database: Database) -> None:
    async with proxied(database) as behind:
        pools = Pools(behind.conninfo("blotter_trader"), {CallerKind.EXECUTION: 1}, metrics=Metrics())
        await pools.open()
        try:
            read = Statement("SELECT 1")
            assert await pools.run(FEED, read, timeout_seconds=5) == [[(1,)]]
            behind.proxy.deafen(new=False)
            with pytest.raises(DatabaseUnavailable):
                await asyncio.wait_for(pools.run(FEED, read, timeout_seconds=0.3), 10)
            async with asyncio.timeout(20):
                assert await answered(pools, read) == [[(1,)]]
        finally:
            await pools.close()


async def answered(pools: Pools, read: Statement) -> Any:
    """The result of a read, when it returns."""
    while True:
        try:
            return await pools.run(FEED, read, timeout_seconds=0.5)
        except (DatabaseUnavailable, DatabaseBusy):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("lost", ["the message", "the answer"])
async def test_a_write_on_a_connection_that_loses_packets_is_answered_by_its_deadline_and_done_once(
    database: Database, lost: str
) -> None:
    async with proxied(database) as behind, serving(behind) as blotter:
        request = order_request()
        await blotter.submit(BOB)
        if lost == "the message":
            behind.proxy.deafen()
        else:
            behind.proxy.mute()
        error = await refused(with_deadline(blotter, 1, request))
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        assert written(blotter)[0] == (1 if lost == "the message" else 2)
        behind.proxy.heal()
        async with asyncio.timeout(30):
            while True:
                try:
                    answer = await with_deadline(blotter, 5, request)
                except grpc.aio.AioRpcError:
                    continue
                break
        assert answer.order.last_sequence == 1
        assert answer.replayed or lost == "the message"
        assert written(blotter)[0] == 2


async def test_each_wait_has_an_end_though_no_connection_comes(database: Database) -> None:
    pools = Pools(database.conninfo("blotter_trader"), {CallerKind.EXECUTION: 1}, metrics=Metrics())
    await pools.open()
    try:
        long_one = asyncio.create_task(pools.run(FEED, Statement("SELECT pg_sleep(60)")))
        await asyncio.sleep(0)
        started = time.monotonic()
        with pytest.raises(BlotterError):
            await pools.run(FEED, Statement("SELECT 1"), timeout_seconds=0.2)
        assert time.monotonic() - started < 30
        long_one.cancel()
        await asyncio.wait([long_one])
        assert await answered(pools, Statement("SELECT 1")) == [[(1,)]]
    finally:
        await pools.close()


def test_connections_detect_a_lost_peer_unless_the_url_overrides_it() -> None:
    named = conninfo_to_dict(login_to("postgresql://db.example/blotter", "blotter_trader"))
    assert (named["keepalives_idle"], named["keepalives_interval"], named["keepalives_count"]) == ("5", "2", "3")
    assert named["tcp_user_timeout"] == "10000"
    named = conninfo_to_dict(login_to("postgresql://db.example/blotter?keepalives_idle=60", "blotter_trader"))
    assert named["keepalives_idle"] == "60"


async def test_a_batch_lets_others_run_while_it_is_worked_on(blotter: Blotter) -> None:
    gaps: list[float] = []

    async def heartbeat() -> None:
        while True:
            # CPU time of this thread, which other processes of the machine do not affect.
            before = time.thread_time()
            await asyncio.sleep(0)
            gaps.append(time.thread_time() - before)

    request = pb.BatchSubmitOrdersRequest(orders=[order_request() for _ in range(1000)])
    gc.disable()
    try:
        beating = asyncio.create_task(heartbeat())
        await blotter.orders.BatchSubmitOrders(request, metadata=as_trader(ALICE))
        beating.cancel()
    finally:
        gc.enable()
    idle = statistics.median(gaps)
    # No step takes more than a small part of the work of the batch. The longest is the client's, reading its answer.
    assert max(gaps) < sum(gap - idle for gap in gaps) / 8
