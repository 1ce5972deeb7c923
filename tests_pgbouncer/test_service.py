"""Calls and streams through PgBouncer in transaction mode, with one server connection per login."""

import asyncio
from pathlib import Path
from uuid import UUID

import grpc
import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from blotter.orders.v1 import order_service_pb2 as pb
from service.repositories.signatures import IdentityKey
from tests.conftest import ALICE, BOB, Database
from tests.isolation.desk import EQUITIES, assign
from tests.isolation.test_signed_identity import register
from tests.serving import as_desk, as_trader, order_request, serving
from tests.streams.watching import watching
from tests_pgbouncer.conftest import pgbouncer


async def test_calls_and_streams_work(database: Database) -> None:
    database.cluster.psql(f'ALTER DATABASE "{database.name}" SET "TimeZone" = \'Asia/Kolkata\'')
    async with pgbouncer(database, 1) as pooled, serving(pooled, database_pooler=True) as blotter:
        async with watching(blotter, ALICE) as alice:
            await alice.until_snapshot()
            order = await blotter.submit(expire_time=Timestamp(seconds=4_000_000_000))
            assert order.expire_time == Timestamp(seconds=4_000_000_000)
            await blotter.fill(order, 10)
            batch = pb.BatchSubmitOrdersRequest(orders=[order_request() for _ in range(100)])
            results = (await blotter.orders.BatchSubmitOrders(batch, metadata=as_trader(ALICE))).results
            assert [result.response.order.last_sequence for result in results] == list(range(3, 103))
            await alice.until(102)
        page = await blotter.orders.ListOrders(pb.ListOrdersRequest(page_size=500), metadata=as_trader(ALICE))
        assert len(page.orders) == 101


@pytest.mark.parametrize("rounds", [20])
async def test_two_traders_on_one_server_connection_see_their_own_rows(database: Database, rounds: int) -> None:
    async with pgbouncer(database, 1) as pooled, serving(pooled, database_pooler=True) as blotter:

        async def trade(trader_id: UUID) -> None:
            for number in range(1, rounds + 1):
                order = await blotter.submit(trader_id)
                assert (order.trader_id, order.last_sequence) == (str(trader_id), number)
                page = await blotter.orders.ListOrders(pb.ListOrdersRequest(), metadata=as_trader(trader_id))
                assert {listed.trader_id for listed in page.orders} == {str(trader_id)}
                assert len(page.orders) == number

        await asyncio.gather(trade(ALICE), trade(BOB))


async def test_signed_identities_of_traders_and_desks_pass(database: Database, tmp_path: Path) -> None:
    """The signature is set for the transaction: the next one on the same server connection does not have it."""
    key = IdentityKey.generate(1)
    key.write(tmp_path / "key")
    register(database, key)
    assign(database)
    signing = {"database_pooler": True, "identity_key": tmp_path / "key"}
    async with pgbouncer(database, 1) as pooled, serving(pooled, **signing) as blotter:
        order = await blotter.submit()
        asked = pb.GetOrderRequest(order_id=order.order_id)
        assert (await blotter.orders.GetOrder(asked, metadata=as_desk(EQUITIES))).order.order_id == order.order_id
        page = await blotter.orders.ListOrders(pb.ListOrdersRequest(), metadata=as_desk(EQUITIES))
        assert [listed.order_id for listed in page.orders] == [order.order_id]
        with pytest.raises(grpc.aio.AioRpcError) as missing:
            await blotter.orders.GetOrder(asked, metadata=as_trader(BOB))
        assert missing.value.code() is grpc.StatusCode.NOT_FOUND
        async with await psycopg.AsyncConnection.connect(pooled.conninfo("blotter_trader")) as same_connection:
            await same_connection.execute("SELECT set_config('app.trader_id', %s, true)", [str(ALICE)])
            assert await (await same_connection.execute("SELECT FROM orders")).fetchall() == []
