"""One trader, or one login, must not hold up the others."""

import psycopg
from google.protobuf.timestamp_pb2 import Timestamp

from blotter.orders.v1 import order_pb2, order_service_pb2
from tests.conftest import ALICE, BOB, Database
from tests.rpc.errors import fields_of, refused
from tests.serving import Blotter, as_trader, serving
from tests.streams.watching import watching


def soon() -> Timestamp:
    """Half a second from now."""
    moment = Timestamp()
    moment.GetCurrentTime()
    moment.FromMilliseconds(moment.ToMilliseconds() + 500)
    return moment


async def test_a_trader_whose_counter_is_locked_does_not_hold_up_the_expiry_of_others(
    database: Database, blotter: Blotter
) -> None:
    # The expiry takes traders by id: Alice, who is locked, before Bob.
    assert ALICE < BOB
    await blotter.submit(ALICE, expire_time=soon())
    await blotter.submit(BOB, expire_time=soon())
    with psycopg.connect(database.conninfo("blotter_trader")) as holder:
        holder.execute("SELECT act_as(%s), lock_trader_sequence(%s)", (ALICE, ALICE))
        async with watching(blotter, BOB) as bob:
            await bob.until(2)
            assert bob.events[-1].order.status == order_pb2.ORDER_STATUS_CANCELLED
    async with watching(blotter, ALICE) as alice:
        await alice.until_snapshot()
        if not any(order.last_sequence == 2 for order in alice.orders.values()):
            await alice.until(2)


async def test_a_login_cannot_weaken_the_sessions_of_the_service(database: Database) -> None:
    """Any login may change its own defaults: an injected ALTER ROLE must not make commits lossy, or fail."""
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
    finally:
        for name in weak:
            database.cluster.psql(f"ALTER ROLE blotter_trader RESET {name}")


async def test_millions_of_entries_are_counted_and_not_looked_at(blotter: Blotter) -> None:
    request = order_service_pb2.ListOrdersRequest(statuses=[order_pb2.ORDER_STATUS_FILLED] * 3_000_000)
    error = await refused(blotter.orders.ListOrders(request, metadata=as_trader(ALICE)))
    assert fields_of(error) == {"statuses": "must have at most 100 entries"}
