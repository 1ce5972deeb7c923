"""A slow, busy, restarted or unavailable database: the client's status, and that no statement is left running."""

import asyncio
import functools
import logging
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import psycopg
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from blotter.orders.v1 import order_service_pb2
from service import logs, migrations
from service.domain.errors import DatabaseUnavailable
from service.domain.identity import CallerKind
from service.embedded import Cluster
from service.observability.metrics import Metrics
from service.repositories.database import Database as Pools
from tests.conftest import ALICE, BOB, UNSAFE_BUT_FAST, Database, created
from tests.paths import ROOT
from tests.rpc.errors import details_of, reason_of, refused
from tests.rpc.methods import ask, valid_requests
from tests.rpc.written import written
from tests.serving import Blotter, as_trader, order_request, serving, settings

PATIENCE = 20
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND wait_event_type = 'Lock'"
# A transaction holds the lock of its virtual xid. The activity of traders is not shown: their login does not track it.
BUSY = """
    SELECT count(*) FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE usename LIKE 'blotter_%' AND usename <> 'blotter_owner' AND datname = current_database()
      AND locktype = 'virtualxid' AND query !~ 'orders.expires_at'
"""


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the condition holds; fail after PATIENCE seconds."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110  # the database sets no event of this process
            await asyncio.sleep(0.01)


@asynccontextmanager
async def locked(database: Database, trader_id: UUID = ALICE) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Another transaction has locked the trader's counter. Yields a second connection for queries."""
    conninfo = database.conninfo("postgres")
    async with (
        await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as looking,
        await psycopg.AsyncConnection.connect(conninfo) as locking,
    ):
        await locking.execute("SELECT FROM trader_sequences WHERE trader_id = %s FOR UPDATE", (trader_id,))
        yield looking
        await locking.rollback()


async def number(connection: psycopg.AsyncConnection[Any], query: str, *values: Any) -> int:
    """The number that a query returns."""
    row = await (await connection.execute(query, values or None)).fetchone()
    assert row is not None
    return int(row[0])


WRITES = {"SubmitOrder": "trader", "BatchSubmitOrders": "trader", "CancelOrder": "trader", "CancelAllOrders": "trader"}
WRITES |= {"ReportExecution": "execution", "BatchReportExecutions": "execution"}


@pytest.mark.parametrize("name", WRITES)
async def test_a_deadline_ends_the_statement_in_the_database(blotter: Blotter, name: str) -> None:
    request = valid_requests(await blotter.submit())[name]
    before = written(blotter)
    async with locked(blotter.database) as looking:
        error = await refused(ask(blotter, name, request, within=0.3))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: nobody_works(looking))
        assert await number(looking, WAITING, f"blotter_{WRITES[name]}") == 0
    assert written(blotter) == before
    await ask(blotter, name, request)
    assert written(blotter) != before


async def nobody_works(looking: psycopg.AsyncConnection[Any]) -> bool:
    """Whether no connection of the service runs a statement or keeps a transaction open."""
    return await number(looking, BUSY) == 0


@pytest.mark.parametrize("name", ["SubmitOrder", "CancelAllOrders", "ReportExecution"])
async def test_a_write_that_was_sent_is_done_although_its_client_disconnects(blotter: Blotter, name: str) -> None:
    request = valid_requests(await blotter.submit())[name]
    before = written(blotter)
    async with locked(blotter.database) as looking:
        call = asyncio.create_task(ask(blotter, name, request))
        await until(lambda: someone_waits(looking, WRITES[name]))
        call.cancel()
        await asyncio.wait([call])
        assert await someone_waits(looking, WRITES[name])
        assert written(blotter) == before
    async with asyncio.timeout(PATIENCE):
        while written(blotter) == before:  # noqa: ASYNC110  # the database sets no event of this process
            await asyncio.sleep(0.01)
    done = written(blotter)
    await ask(blotter, name, request)
    assert written(blotter) == done


async def someone_waits(looking: psycopg.AsyncConnection[Any], kind: str, count: int = 1) -> bool:
    """Whether `count` connections of the kind of caller wait for a lock."""
    return await number(looking, WAITING, f"blotter_{kind}") == count


async def test_a_locked_trader_delays_no_other(blotter: Blotter) -> None:
    await blotter.submit()
    async with locked(blotter.database) as looking:
        waiting = [asyncio.create_task(blotter.submit()) for _ in range(3)]
        await until(lambda: someone_waits(looking, "trader"))
        assert (await blotter.submit(BOB)).last_sequence == 1
    assert sorted(order.last_sequence for order in await asyncio.gather(*waiting)) == [2, 3, 4]


@pytest.mark.parametrize("deadline", [None, 600])
async def test_an_exhausted_pool_is_reported(
    database: Database, monkeypatch: pytest.MonkeyPatch, deadline: float | None
) -> None:
    monkeypatch.setattr("service.repositories.deadlines.LONGEST_WAIT", 0.2)
    monkeypatch.setattr("service.repositories.together.LOCK_MS", 60_000)
    monkeypatch.setattr("service.repositories.together.STATEMENT_MS", 60_000)
    async with serving(database, trader_pool_size=1) as blotter:
        await blotter.submit()
        async with locked(database) as looking:
            waiting = asyncio.create_task(blotter.submit())
            await until(lambda: someone_waits(looking, "trader"))
            submit = blotter.orders.SubmitOrder(order_request(), metadata=as_trader(BOB), timeout=deadline)
            error = await asyncio.wait_for(refused(submit), 60)
            assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_BUSY")
            assert details_of(error, error_details_pb2.RetryInfo)
        assert (await waiting).last_sequence == 2
        assert (await blotter.submit(BOB)).last_sequence == 1


TERMINATE = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE usename LIKE 'blotter_%' AND usename <> 'blotter_owner' AND datname = current_database()
"""


async def test_connections_that_the_database_drops_are_replaced_without_an_error(blotter: Blotter) -> None:
    order = await blotter.submit()
    # Several connections a login, so that the next call may find more than one dead.
    submits = [blotter.submit() for _ in range(30)]
    await asyncio.gather(*submits, *(blotter.report(order, executed={}) for _ in range(30)))
    conninfo = blotter.database.conninfo("postgres")
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as killing:
        for sequence in (62, 64, 66):
            assert await number(killing, TERMINATE) >= 3
            assert (await blotter.submit()).last_sequence == sequence
            assert (await blotter.report(order, approved={})).last_sequence == sequence + 1


async def test_a_statement_whose_connection_is_killed_is_done_once(blotter: Blotter) -> None:
    await blotter.submit()
    async with locked(blotter.database) as looking:
        waiting = asyncio.create_task(blotter.submit())
        await until(lambda: someone_waits(looking, "trader"))
        await number(looking, TERMINATE)
    assert (await waiting).last_sequence == 2
    assert written(blotter) == (2, 0, 2, 2)


@dataclass(frozen=True, slots=True)
class Fragile(Database):
    """A database on a server that a test stops and starts again under the same address."""

    sockets: Path

    def conninfo(self, login: str) -> str:
        return make_conninfo(self.cluster.conninfo(user=login, dbname=self.name), host=str(self.sockets))

    def start(self) -> None:
        """Start the server. Its socket is in another folder each time, to which the link points."""
        self.cluster.start()
        self.sockets.unlink(missing_ok=True)
        self.sockets.symlink_to(str(conninfo_to_dict(Database.conninfo(self, "postgres"))["host"]))


@pytest.fixture
def fragile(bin_dir: Path | None) -> Iterator[Fragile]:
    """A database on a server of its own, which the test may stop."""
    with tempfile.TemporaryDirectory(prefix="blotter-tests-") as folder:
        cluster = Cluster(Path(folder), bin_dir=bin_dir, options=UNSAFE_BUT_FAST)
        database = Fragile("blotter", cluster, Path(folder) / "sockets")
        database.start()
        try:
            cluster.psql(ROOT / "sql" / "roles.sql")
            with created(cluster, database.name):
                migrations.upgrade(database.conninfo("blotter_owner"), quiet=True)
                trader = f"INSERT INTO traders (id, name) VALUES ('{ALICE}', 'Alice')"
                cluster.psql(trader, user="blotter_owner", dbname=database.name)
                yield database
        finally:
            cluster.stop()


async def test_a_stopped_database_is_unavailable_and_a_started_one_serves_again(fragile: Fragile) -> None:
    # A call fails at once when the database is unavailable: long before this timeout, and the pool's ten seconds.
    quick = functools.partial(asyncio.wait_for, timeout=5)
    async with serving(fragile) as blotter:
        health: Any = health_pb2_grpc.HealthStub(blotter.channel)

        async def is_health(status: int) -> bool:
            answer = await health.Check(health_pb2.HealthCheckRequest(service="blotter.orders.v1.OrderService"))
            return bool(answer.status == status)

        order = await blotter.submit()
        await until(lambda: is_health(health_pb2.HealthCheckResponse.SERVING))
        await asyncio.to_thread(fragile.cluster.stop)
        try:
            get = order_service_pb2.GetOrderRequest(order_id=order.order_id)
            for call, request in ((blotter.orders.SubmitOrder, order_request()), (blotter.orders.GetOrder, get)):
                error = await quick(refused(call(request, metadata=as_trader(ALICE))))
                assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
                assert details_of(error, error_details_pb2.RetryInfo)
            await until(lambda: is_health(health_pb2.HealthCheckResponse.NOT_SERVING))
        finally:
            await asyncio.to_thread(fragile.start)
        await until(lambda: is_health(health_pb2.HealthCheckResponse.SERVING))
        response = await blotter.orders.GetOrder(get, metadata=as_trader(ALICE))
        assert response.order == order
        assert (await blotter.submit()).last_sequence == 2


async def test_an_outage_has_one_line_for_each_refused_call_and_few_others(
    fragile: Fragile, caplog: pytest.LogCaptureFixture
) -> None:
    """Although the pools try to reconnect for each call, and the service's own tasks continuously."""
    levels = {name: logging.getLogger(name).level for name in ("blotter", "psycopg.pool")}
    logs.set_up(settings())
    try:
        async with serving(fragile) as blotter:
            await blotter.submit()
            await asyncio.to_thread(fragile.cluster.stop)
            caplog.clear()
            calls = 0
            async with asyncio.timeout(PATIENCE):  # until health reports it, after many polls of the other tasks
                while not any(record.name == "blotter.readiness" for record in caplog.records):
                    await refused(blotter.orders.SubmitOrder(order_request(), metadata=as_trader(ALICE)))
                    calls += 1
            records = list(caplog.records)
            await asyncio.to_thread(fragile.start)
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    lines = Counter(record.name for record in records)
    assert calls - 1 <= lines.pop("blotter.rpc") <= calls  # the last one's may not be written yet
    # The service's own tasks log only changes; the end of a connection and its absence are two.
    assert lines.pop("blotter.expiry", 0) <= 2
    assert lines == {"blotter.readiness": 1}


async def test_a_database_that_is_not_there_at_the_start_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.repositories.pools._PATIENCE_AT_START", 0.1)
    with pytest.raises(DatabaseUnavailable):
        await Pools(f"host={tmp_path} dbname=blotter", {CallerKind.TRADER: 1}, metrics=Metrics()).open()
