"""Orders are cancelled when they expire: each once, no other order, and no trader waits for another."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from blotter.audit.v1 import audit_service_pb2
from blotter.orders.v1 import order_pb2, order_service_pb2
from service.domain.errors import Aborted, DatabaseUnavailable
from service.domain.identity import Caller, CallerKind
from service.expiry import Expiry
from service.observability.metrics import Metrics
from service.repositories.database import Database as Pools
from service.repositories.due import DueCancels, DueTraders
from service.repositories.orders import Cancelled
from tests.conftest import ALICE, BOB, Database
from tests.rpc.methods import ask
from tests.rpc.test_idempotency import outcome
from tests.rpc.test_outages import locked, someone_waits, until
from tests.serving import Blotter, as_trader, order_request, serving
from tests.streams.watching import watching

EXPIRY = Caller(CallerKind.EXECUTION, None, "blotter", "expiry")


def tomorrow() -> Timestamp:
    """A time at which an order may expire."""
    moment = Timestamp()
    moment.FromDatetime(datetime.now(UTC) + timedelta(days=1))
    return moment


def make_due(database: Database, condition: str) -> None:
    """Let the orders expire a microsecond after their entry, so that no test depends on time."""
    expire = "UPDATE orders SET expires_at = created_at + interval '1 microsecond'"
    database.cluster.psql(f"SET session_replication_role = replica; {expire} WHERE {condition}", dbname=database.name)


async def until_cancelled(blotter: Blotter, trader_id: UUID, order: order_pb2.Order) -> None:
    """Wait until the order is cancelled."""
    async with watching(blotter, trader_id) as watch, asyncio.timeout(60):
        # An order that changes while the snapshot is read comes only as an event.
        while watch.orders.get(order.order_id, order).status != order_pb2.ORDER_STATUS_CANCELLED:
            await watch.next()


async def test_a_due_order_is_cancelled_and_another_of_its_trader_stays(blotter: Blotter) -> None:
    later, due, never = [await blotter.submit(expire_time=moment) for moment in (tomorrow(), tomorrow(), None)]
    make_due(blotter.database, f"id = '{due.order_id}'")
    await until_cancelled(blotter, ALICE, due)
    trail = blotter.audit.StreamExecutionLogs(audit_service_pb2.StreamExecutionLogsRequest(), metadata=as_trader(ALICE))
    logs = [log for message in [m async for m in trail] for log in message.logs.execution_logs]
    [cancelled] = [log for log in logs if log.action == order_pb2.ACTION_CANCELLED]
    assert (cancelled.order_id, cancelled.reason, cancelled.actor) == (due.order_id, "EXPIRED", "blotter")
    assert blotter.metrics.registry.get_sample_value("blotter_orders_expired_total") == 1
    for order in (later, never):
        get = order_service_pb2.GetOrderRequest(order_id=order.order_id)
        found = (await blotter.orders.GetOrder(get, metadata=as_trader(ALICE))).order
        assert (found.status, found.last_sequence) == (order_pb2.ORDER_STATUS_PENDING, order.last_sequence)


async def test_twenty_locked_traders_do_not_delay_the_expiry_of_another(
    database: Database, blotter: Blotter, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Waiting this long for even a few of them would fail the test.
    monkeypatch.setattr("service.repositories.due.LOCK_TIMEOUT", "10s")
    locked = [UUID(int=number) for number in range(1, 21)]
    values = ", ".join(f"('{trader}', 'trader {trader.int}')" for trader in locked)
    database.cluster.psql(f"INSERT INTO traders (id, name) VALUES {values}", user="blotter_owner", dbname=database.name)
    orders = [await blotter.submit(trader, expire_time=tomorrow()) for trader in (*locked, BOB)]
    async with await psycopg.AsyncConnection.connect(database.conninfo("postgres")) as holder:
        await holder.execute("SELECT FROM trader_sequences WHERE trader_id <> %s FOR UPDATE", (BOB,))
        make_due(database, "true")
        await until_cancelled(blotter, BOB, orders[-1])
        await holder.rollback()
    for trader, order in zip(locked, orders, strict=False):
        await until_cancelled(blotter, trader, order)


async def test_an_order_that_is_locked_does_not_delay_the_expiry_for_long(database: Database) -> None:
    async with serving(database) as blotter:
        await blotter.submit(expire_time=tomorrow())
    make_due(database, "true")
    pools = Pools(database.conninfo("blotter_execution"), {CallerKind.EXECUTION: 1}, metrics=Metrics())
    await pools.open()
    try:
        async with await psycopg.AsyncConnection.connect(database.conninfo("postgres")) as holder:
            await holder.execute("SELECT FROM orders FOR UPDATE")
            # Without its own lock timeout the statement would wait for that of the login, ten seconds.
            async with asyncio.timeout(5):
                with pytest.raises(Aborted):
                    await DueCancels(pools, lambda trader_id: None).expire(EXPIRY, ALICE)
            await holder.rollback()
        assert len(await DueCancels(pools, lambda trader_id: None).expire(EXPIRY, ALICE)) == 1
    finally:
        await pools.close()


async def test_more_orders_expire_than_one_transaction_cancels(
    blotter: Blotter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.repositories.due.DUE_AT_ONCE", 7)
    orders = [order_request(expire_time=tomorrow()) for _ in range(30)]
    batch = order_service_pb2.BatchSubmitOrdersRequest(orders=orders)
    await blotter.orders.BatchSubmitOrders(batch, metadata=as_trader(ALICE))
    make_due(blotter.database, "true")
    history = audit_service_pb2.StreamExecutionLogsRequest(follow=True, actions=[order_pb2.ACTION_CANCELLED])
    stream = blotter.audit.StreamExecutionLogs(history, metadata=as_trader(ALICE))
    seen: list[int] = []
    while len(seen) < 30:
        seen += [log.sequence for log in (await stream.read()).logs.execution_logs]
    assert seen == list(range(31, 61))
    stream.cancel()


async def test_expiry_continues_after_a_poll_that_fails() -> None:
    polls: list[None] = []
    third = asyncio.Event()

    class Failing:
        async def traders(self, caller: Caller) -> DueTraders:
            polls.append(None)
            if len(polls) == 3:
                third.set()
            raise (DatabaseUnavailable if len(polls) == 1 else RuntimeError)

    expiry: Any = Expiry(cast("DueCancels", Failing()), poll_seconds=0, metrics=Metrics())
    running = asyncio.create_task(expiry.run())
    await asyncio.wait_for(third.wait(), 10)
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])


async def test_an_unavailable_database_ends_the_poll_and_a_locked_trader_does_not() -> None:
    asked: list[UUID] = []

    class Failing:
        async def traders(self, caller: Caller) -> DueTraders:
            assert caller.deadline is not None
            return DueTraders([ALICE, BOB, UUID(int=7)], [])

        async def expire(self, caller: Caller, trader_id: UUID) -> list[Cancelled]:
            assert caller.deadline is not None
            asked.append(trader_id)
            raise (Aborted if trader_id == ALICE else DatabaseUnavailable)

    expiry: Any = Expiry(cast("DueCancels", Failing()), poll_seconds=0, metrics=Metrics())
    with pytest.raises(DatabaseUnavailable):
        await expiry.cancel_due()
    assert asked == [ALICE, BOB]


async def test_orders_that_expire_while_their_batch_waits_fail_each_by_itself(database: Database) -> None:
    """They had not expired when the service checked them; the database stamps them when it has locked the counter."""
    async with serving(database) as blotter:
        await blotter.submit()
        async with locked(database) as looking:
            soon = Timestamp()
            soon.FromDatetime(datetime.now(UTC) + timedelta(seconds=5))
            orders = [order_request(expire_time=soon if number in {0, 3, 8} else None) for number in range(9)]
            batch = order_service_pb2.BatchSubmitOrdersRequest(orders=orders)
            call = asyncio.create_task(ask(blotter, "BatchSubmitOrders", batch))
            await until(lambda: someone_waits(looking, "trader"))
            await looking.execute("SELECT pg_sleep_until(%s)", [soon.ToDatetime(UTC) + timedelta(milliseconds=1)])
        results = (await call).results
    assert [outcome(result) for result in results] == [
        "INVALID_REQUEST" if number in {0, 3, 8} else "done" for number in range(9)
    ]
    entered = [result.response.order for result in results if result.HasField("response")]
    assert [order.client_order_id for order in entered] == [
        order.client_order_id for number, order in enumerate(orders) if number not in {0, 3, 8}
    ]
    assert [order.last_sequence for order in entered] == list(range(2, 8))
