"""Desks: a supervisor reads the orders of the traders of the desk, and nothing else's."""

from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest

from blotter.orders.v1 import order_pb2, request_pb2, watch_pb2
from blotter.orders.v1 import order_service_pb2 as pb
from service.domain.filters import FillFilter
from service.streams import tokens
from tests.conftest import ALICE, BOB, Database
from tests.isolation.desk import EQUITIES, RATES, assign, connected
from tests.rpc.errors import fields_of, info_of, reason_of, refused
from tests.rpc.methods import METHODS, ask, valid_requests
from tests.serving import Blotter, as_desk, as_trader, serving
from tests.streams.watching import Watch

NOBODY = UUID("00000000-0000-4000-8000-00000000dead")
SEQUENCED = {"sequencer": True, "sequencer_poll_ms": 2}
OF_DESKS = [name for name, method in METHODS.items() if "desk" in method.callers]
E, R = as_desk(EQUITIES), as_desk(RATES)


def move(database: Database, trader_id: UUID, desk_id: UUID | None) -> None:
    """Move a trader to a desk, or to none."""
    with connected(database, "blotter_owner") as owner:
        owner.execute("UPDATE traders SET desk_id = %s WHERE id = %s", [desk_id, trader_id])


@pytest.fixture
def desks(database: Database) -> Database:
    """ALICE is of the desk EQUITIES, BOB of RATES."""
    assign(database)
    return database


async def seen(watch: Watch, order: order_pb2.Order) -> None:
    """Read until the watch has the order."""
    while order.order_id not in watch.orders:
        await watch.next()


async def pages(call: Any, request: Any, items: str, metadata: Any = E) -> list[Any]:
    """All items of a list, read in pages of two."""
    request.page_size = 2
    found: list[Any] = []
    while True:
        page = await call(request, metadata=metadata)
        found += getattr(page, items)
        if not page.next_page_token:
            return found
        assert len(getattr(page, items)) == 2
        request.page_token = page.next_page_token


async def test_a_desk_reads_the_orders_of_its_traders_and_no_other(desks: Database) -> None:
    async with serving(desks) as blotter:
        orders = {trader_id: await blotter.submit(trader_id) for trader_id in (ALICE, BOB)}
        for trader_id, order in orders.items():
            await blotter.fill(order, 10)
            cancel = pb.CancelOrderRequest(order_id=order.order_id, request_key="key")
            await blotter.orders.CancelOrder(cancel, metadata=as_trader(trader_id))
        own, other = orders[ALICE].order_id, orders[BOB].order_id
        got = await blotter.orders.GetOrder(pb.GetOrderRequest(order_id=own), metadata=E)
        assert got == await blotter.orders.GetOrder(pb.GetOrderRequest(order_id=own), metadata=as_trader(ALICE))
        assert (got.order.filled_quantity, got.requests[0].request_key) == (10, "key")
        listed = await blotter.orders.ListOrders(pb.ListOrdersRequest(), metadata=E)
        assert [order.order_id for order in listed.orders] == [own]
        for request in (pb.ListFillsRequest(), pb.ListFillsRequest(order_id=own)):
            assert [fill.order_id for fill in (await blotter.orders.ListFills(request, metadata=E)).fills] == [own]
        requests = await blotter.orders.ListRequests(request_pb2.ListRequestsRequest(order_id=own), metadata=E)
        assert [request.request_key for request in requests.requests] == ["key"]
        for call, message in (
            (blotter.orders.GetOrder, pb.GetOrderRequest),
            (blotter.orders.ListFills, pb.ListFillsRequest),
            (blotter.orders.ListRequests, request_pb2.ListRequestsRequest),
        ):
            # An order of another desk looks like one that does not exist.
            missing = [await refused(call(message(order_id=key), metadata=E)) for key in (other, str(uuid4()))]
            assert {(error.code(), error.details()) for error in missing} == {
                (grpc.StatusCode.NOT_FOUND, "There is no such order.")
            }
            assert {tuple(info_of(error).metadata) for error in missing} == {("request_id",)}


async def test_pages_of_a_desk_show_each_row_of_its_traders_once(desks: Database) -> None:
    move(desks, BOB, EQUITIES)
    async with serving(desks) as blotter:
        entered = [await blotter.submit((ALICE, BOB)[number % 2]) for number in range(7)]
        for order in entered:
            await blotter.fill(order, 10)
        with connected(desks, "blotter_owner") as owner:
            owner.execute("UPDATE traders SET disabled_at = now() WHERE id = %s", [BOB])
        orders = await pages(blotter.orders.ListOrders, pb.ListOrdersRequest(), "orders")
        assert [order.order_id for order in orders] == [order.order_id for order in reversed(entered)]
        fills = await pages(blotter.orders.ListFills, pb.ListFillsRequest(), "fills")
        # By trader, those of one newest first.
        by_trader = [
            order for trader in sorted((ALICE, BOB)) for order in reversed(entered) if order.trader_id == str(trader)
        ]
        assert [fill.order_id for fill in fills] == [order.order_id for order in by_trader]
        for call, request in (
            (blotter.orders.ListOrders, pb.ListOrdersRequest(page_size=2)),
            (blotter.orders.ListFills, pb.ListFillsRequest(page_size=2)),
        ):
            request.page_token = (await call(request, metadata=E)).next_page_token
            for metadata in (R, as_trader(ALICE)):
                assert reason_of(await refused(call(request, metadata=metadata))) == "INVALID_PAGE_TOKEN"


async def test_a_forged_token_of_a_desk_shows_no_more_and_causes_no_internal_error(desks: Database) -> None:
    async with serving(desks) as blotter:
        for trader_id in (ALICE, BOB):
            await blotter.fill(await blotter.submit(trader_id), 10)
        for values in ((2,), (2, BOB), (2**62, UUID(int=0))):
            token = tokens.encode(("ListFills", EQUITIES, FillFilter()), *values)
            page = await blotter.orders.ListFills(pb.ListFillsRequest(page_token=token), metadata=E)
            assert {fill.trader_id for fill in page.fills} <= {str(ALICE)}
        token = tokens.encode(("ListFills", EQUITIES, FillFilter()), 2, "nobody")
        error = await refused(blotter.orders.ListFills(pb.ListFillsRequest(page_token=token), metadata=E))
        assert reason_of(error) == "INVALID_PAGE_TOKEN"


async def test_a_desk_names_an_order_by_its_order_id(desks: Database) -> None:
    async with serving(desks) as blotter:
        order = await blotter.submit()
        for call, message in (
            (blotter.orders.GetOrder, pb.GetOrderRequest),
            (blotter.orders.ListFills, pb.ListFillsRequest),
            (blotter.orders.ListRequests, request_pb2.ListRequestsRequest),
        ):
            error = await refused(call(message(client_order_id=order.client_order_id), metadata=E))
            assert list(fields_of(error)) == ["client_order_id"]


@pytest.mark.parametrize("name", OF_DESKS)
async def test_a_desk_that_is_not_registered_is_refused(blotter: Blotter, name: str) -> None:
    request = valid_requests(await blotter.submit())[name]
    error = await refused(ask(blotter, name, request, as_desk(NOBODY)))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.PERMISSION_DENIED, "UNKNOWN_DESK")


async def test_a_desk_without_traders_sees_nothing(desks: Database) -> None:
    move(desks, ALICE, None)
    async with serving(desks) as blotter:
        order = await blotter.fill(await blotter.submit(), 10)
        assert not (await blotter.orders.ListOrders(pb.ListOrdersRequest(), metadata=E)).orders
        assert not (await blotter.orders.ListFills(pb.ListFillsRequest(), metadata=E)).fills
        error = await refused(blotter.orders.GetOrder(pb.GetOrderRequest(order_id=order.order_id), metadata=E))
        assert reason_of(error) == "ORDER_NOT_FOUND"
        watch = blotter.orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=E)
        assert (await watch.read()).snapshot_complete.order_count == 0


async def test_a_watch_of_a_desk_follows_the_traders_that_it_has_at_the_moment(desks: Database) -> None:
    """Both traders change their desk while a watch of each desk is open, and one watch resumes."""
    async with serving(desks, **SEQUENCED) as blotter:

        def watch(metadata: Any, **request: Any) -> Any:
            return blotter.orders.WatchOrders(watch_pb2.WatchOrdersRequest(**request), metadata=metadata)

        before = await blotter.submit(ALICE)
        equities = Watch(watch(E))
        await equities.until_snapshot()
        await seen(equities, before)  # in the snapshot, or after it if it was not in the ledger yet
        rates = Watch(watch(R))  # it begins after that event, which is then not one of the desk's for this watch
        await rates.until_snapshot()
        assert set(equities.orders) == {before.order_id}
        assert not rates.orders

        move(desks, ALICE, RATES)
        move(desks, BOB, EQUITIES)
        moved = await blotter.submit(ALICE)
        await seen(rates, moved)
        assert set(rates.orders) == {moved.order_id}
        arrived = await blotter.submit(BOB)
        await seen(equities, arrived)
        # The ledger has Alice's event before this one, but the desk no longer has Alice.
        assert set(equities.orders) == {before.order_id, arrived.order_id}
        assert equities.orders[before.order_id].last_sequence == before.last_sequence

        again = await blotter.submit(BOB)
        equities.call.cancel()
        resumed = Watch(watch(E, resume_token=equities.token))
        await seen(resumed, again)
        assert set(resumed.orders) == {again.order_id}
        for metadata in (R, as_trader(BOB)):
            error = await refused(watch(metadata, resume_token=resumed.token).read())
            assert reason_of(error) == "INVALID_RESUME_TOKEN"
        filtered = Watch(watch(E, trader_ids=[str(ALICE)]))
        assert (await filtered.until_snapshot()).order_count == 0
