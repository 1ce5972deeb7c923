"""What an order is entered with: stop limits, time in force, and what a desk files it under; filters by it."""

import asyncio
from typing import Any

import pytest

from blotter.audit.v1 import audit_service_pb2 as audit_pb
from blotter.orders.v1 import order_pb2, terms_pb2, watch_pb2
from blotter.orders.v1 import order_service_pb2 as pb
from service.domain.securities import is_valid_security_id
from tests.conftest import ALICE, BOB, Database
from tests.rpc.errors import fields_of, refused
from tests.rpc.requests import A, get, logs
from tests.rpc.rules import at
from tests.rpc.test_input import violations
from tests.serving import COMPLIANCE, EXECUTION, Blotter, as_trader, order_request, serving

SELL, STOP_LIMIT = order_pb2.SIDE_SELL, order_pb2.ORDER_TYPE_STOP_LIMIT
ISIN, FIGI, CUSIP = 1, 2, 3
FILED: dict[str, Any] = {
    "account": "Fund 7",
    "labels": {"desk": "equities", "strategy": "naïve momentum"},
    "parent_order_id": "parent-1",
    "currency": "USD",
    "security_id": "US0378331005",
    "security_id_source": ISIN,
    "side": SELL,
    "short_sale": order_pb2.SHORT_SALE_SELL_SHORT_EXEMPT,
    "exempt_from_cancel_timer": True,
    "time_in_force": terms_pb2.TIME_IN_FORCE_GTC,
    "order_type": STOP_LIMIT,
    "stop_price": "590",
}


async def test_what_an_order_is_filed_under_is_in_the_order_its_events_and_the_trail(blotter: Blotter) -> None:
    request = order_request(**FILED)
    order = (await blotter.orders.SubmitOrder(request, metadata=A)).order
    for name, value in FILED.items():
        assert getattr(order, name) == value, name
    repeated = await blotter.orders.SubmitOrder(request, metadata=A)
    assert (repeated.replayed, repeated.order) == (True, order)
    assert (await get(blotter, order_id=order.order_id)).order == order
    after = await blotter.fill(order, 40)
    for log in await logs(blotter):
        for name, value in FILED.items():
            assert getattr(log.order, name) == value, name
    assert (await logs(blotter))[-1].order == after
    valid = order_request(**FILED, validate_only=True)
    checked = (await blotter.orders.SubmitOrder(valid, metadata=A)).order
    for name, value in FILED.items():
        assert getattr(checked, name) == value, name
    assert checked.leaves_quantity == 100


async def test_a_repeat_with_labels_in_another_order_is_a_repeat(blotter: Blotter) -> None:
    first = order_request(client_order_id="o", labels={"a": "1", "b": "2"})
    second = order_request(client_order_id="o", labels={"b": "2", "a": "1"})
    await blotter.orders.SubmitOrder(first, metadata=A)
    assert (await blotter.orders.SubmitOrder(second, metadata=A)).replayed


# Changes of a limit order to buy: the fields that are refused.
COMBINATIONS: list[tuple[dict[str, Any], list[str]]] = [
    ({"order_type": STOP_LIMIT}, ["stop_price"]),
    ({"order_type": STOP_LIMIT, "price": "", "stop_price": "1"}, ["price"]),
    ({"order_type": STOP_LIMIT, "stop_price": "0"}, ["stop_price"]),
    ({"order_type": STOP_LIMIT, "stop_price": "0.00000001"}, []),
    ({"order_type": order_pb2.ORDER_TYPE_STOP, "stop_price": "1"}, ["stop_price"]),
    ({"order_type": order_pb2.ORDER_TYPE_MARKET, "price": "", "stop_price": "1"}, ["stop_price"]),
    ({"time_in_force": terms_pb2.TIME_IN_FORCE_GTD}, ["expire_time"]),
    ({"time_in_force": terms_pb2.TIME_IN_FORCE_GTD, "expire_time": at(3600)}, []),
    ({"time_in_force": terms_pb2.TIME_IN_FORCE_DAY, "expire_time": at(3600)}, ["expire_time"]),
    ({"time_in_force": terms_pb2.TIME_IN_FORCE_IOC, "expire_time": at(3600)}, ["expire_time"]),
    ({"expire_time": at(3600)}, []),
    ({"short_sale": order_pb2.SHORT_SALE_SELL_SHORT, "side": SELL}, []),
    ({"security_id": "US0378331005"}, ["security_id_source"]),
    ({"security_id_source": ISIN}, ["security_id"]),
    ({"security_id": "US0378331005", "security_id_source": ISIN}, []),
    ({"security_id": "US0378331006", "security_id_source": ISIN}, ["security_id"]),
    ({"security_id": "US0378331005", "security_id_source": CUSIP}, ["security_id"]),
    ({"security_id": "037833100", "security_id_source": CUSIP}, []),
    ({"security_id": "BBG000B9XRY4", "security_id_source": FIGI}, []),
    ({"security_id": "bbg000b9xry4", "security_id_source": FIGI}, ["security_id"]),
    ({"security_id": "US0378331005", "security_id_source": 9}, ["security_id_source"]),
    ({"labels": {"desk": ""}}, ["labels[desk]"]),
    ({"labels": {"desk": " a"}}, ["labels[desk]"]),
    ({"labels": {"desk": "a" * 65}}, ["labels[desk]"]),
    ({"labels": {"desk": "a\u200b"}}, ["labels[desk]"]),
    ({"labels": {"desk": "a", "b": "\n"}}, ["labels[b]"]),
    ({"labels": {"B": "", "A": "a", "b": ""}}, ["labels[A]", "labels[B]", "labels[b]"]),
    ({"labels": {"a" * 65: "a", "b" * 65: "a", "\u200b": "a"}}, ["labels"]),
]


async def test_fields_that_depend_on_each_other(blotter: Blotter) -> None:
    for changes, invalid in COMBINATIONS:
        found = await violations(blotter, "SubmitOrder", order_request(**changes))
        assert found == invalid, changes


@pytest.mark.parametrize(
    ("source", "valid"),
    [
        ("ISIN", ["US0378331005", "GB0002634946", "AU0000XVGZA3", "DE000BAY0017"]),
        ("FIGI", ["BBG000B9XRY4", "BBG000BLNNH6"]),
        ("CUSIP", ["037833100", "17275R102", "38259P508", "594918104", "68389X105"]),
    ],
)
def test_each_check_digit_but_the_right_one_is_refused(source: str, valid: list[str]) -> None:
    for security_id in valid:
        digits = [digit for digit in "0123456789" if is_valid_security_id(security_id[:-1] + digit, source)]
        assert digits == [security_id[-1]]
        for wrong in ("", security_id[:-1], security_id + "0", security_id.lower() + " ", security_id[:-1] + "A"):
            assert not is_valid_security_id(wrong, source)


FILTERS: list[dict[str, Any]] = [
    {"accounts": ["A"]},
    {"accounts": ["A", "B"]},
    {"labels": {"desk": "one"}},
    {"labels": {"desk": "one", "team": "x"}},
    {"parent_order_ids": ["p"]},
    {"accounts": ["B"], "labels": {"desk": "two"}, "parent_order_ids": ["p", "q"]},
    {"accounts": ["nobody's"]},
    {"security_ids": ["US0378331005"]},
    {"currencies": ["EUR", "USD"]},
    {"short_sales": [order_pb2.SHORT_SALE_SELL_SHORT]},
    {"short_sales": [order_pb2.SHORT_SALE_SELL_SHORT, order_pb2.SHORT_SALE_SELL_SHORT_EXEMPT], "currencies": ["USD"]},
]
ENTERED: list[dict[str, Any]] = [
    {},
    {"account": "A"},
    {"account": "B", "labels": {"desk": "two"}, "parent_order_id": "q"},
    {"account": "A", "labels": {"desk": "one"}},
    {"labels": {"desk": "one", "team": "x"}, "parent_order_id": "p"},
    {"account": "C", "labels": {"desk": "one", "team": "y"}, "parent_order_id": "r"},
    {"security_id": "US0378331005", "security_id_source": order_pb2.SECURITY_ID_SOURCE_ISIN, "currency": "USD"},
    {"currency": "EUR", "side": order_pb2.SIDE_SELL, "short_sale": order_pb2.SHORT_SALE_SELL_SHORT},
    {"currency": "USD", "side": order_pb2.SIDE_SELL, "short_sale": order_pb2.SHORT_SALE_SELL_SHORT_EXEMPT},
]
OF = {
    "accounts": "account",
    "parent_order_ids": "parent_order_id",
    "security_ids": "security_id",
    "currencies": "currency",
    "short_sales": "short_sale",
}


def matches(filter_: dict[str, Any], entered: dict[str, Any]) -> bool:
    """Whether an order that was entered so matches the filter."""
    labels = entered.get("labels", {})
    return all(entered.get(OF[name]) in values for name, values in filter_.items() if name != "labels") and all(
        labels.get(key) == value for key, value in filter_.get("labels", {}).items()
    )


async def test_lists_and_streams_are_filtered_by_what_orders_are_filed_under(blotter: Blotter) -> None:
    orders = [await blotter.submit(client_order_id=str(number), **changes) for number, changes in enumerate(ENTERED)]
    await blotter.submit(BOB, account="A", labels={"desk": "one"})
    for order in orders:
        await blotter.fill(order, 1)
    own = {order.order_id: order.client_order_id for order in orders}
    for filter_ in FILTERS:
        wanted = {str(number) for number, entered in enumerate(ENTERED) if matches(filter_, entered)}
        listed = (await blotter.orders.ListOrders(pb.ListOrdersRequest(**filter_), metadata=A)).orders
        assert {order.client_order_id for order in listed} == wanted, filter_
        watch = blotter.orders.WatchOrders(watch_pb2.WatchOrdersRequest(**filter_), metadata=A)
        seen: set[str] = set()
        async for message in watch:
            seen |= {order.client_order_id for order in message.snapshot.orders}
            if message.HasField("snapshot_complete"):
                break
        watch.cancel()
        assert seen == wanted, filter_
        request = audit_pb.StreamExecutionLogsRequest(**filter_)
        stream = blotter.audit.StreamExecutionLogs(request, metadata=A)
        streamed = {log.order.client_order_id async for message in stream for log in message.logs.execution_logs}
        assert streamed == wanted, filter_
        fills = (await blotter.orders.ListFills(pb.ListFillsRequest(**filter_), metadata=A)).fills
        assert sorted(own[fill.order_id] for fill in fills) == sorted(wanted), filter_
        logs = await blotter.audit.ListExecutionLogs(audit_pb.ListExecutionLogsRequest(**filter_), metadata=A)
        assert sorted(own[log.order.order_id] for log in logs.execution_logs) == sorted(2 * list(wanted)), filter_
    elsewhere = pb.ListFillsRequest(order_id=orders[1].order_id, accounts=["B"])
    assert not (await blotter.orders.ListFills(elsewhere, metadata=A)).fills
    by_security = await blotter.submit(security_id="037833100", security_id_source=CUSIP)
    found = await blotter.orders.ListOrders(pb.ListOrdersRequest(security_ids=["037833100", "x"]), metadata=A)
    assert [order.order_id for order in found.orders] == [by_security.order_id]
    assert len(orders) == len(ENTERED)


@pytest.mark.parametrize("metadata", [EXECUTION, COMPLIANCE])
async def test_streams_over_all_traders_are_filtered_too(database: Database, metadata: Any) -> None:
    async with serving(database, sequencer=True) as blotter:
        wanted: set[str] = set()
        filter_ = watch_pb2.WatchOrdersRequest(labels={"desk": "one"}, accounts=["A", "C"])
        for time in ("before", "after"):
            for trader_id in (ALICE, BOB):
                for number, changes in enumerate(ENTERED):
                    key = f"{time}-{trader_id}-{number}"[:64]
                    await blotter.submit(trader_id, client_order_id=key, **changes)
                    if number in {3, 5}:
                        wanted.add(key)
            # Of the first round some orders come in the snapshot and some as events, as the ledger follows the commits.
            watch = blotter.orders.WatchOrders(filter_, metadata=metadata)
            seen: set[str] = set()
            async with asyncio.timeout(60):
                while seen != wanted:
                    message = await watch.read()
                    seen |= {order.client_order_id for order in message.snapshot.orders}
                    seen |= {event.order.client_order_id for event in message.events.events}
                    assert seen <= wanted
            watch.cancel()


async def test_a_filter_that_no_order_can_match_is_refused(blotter: Blotter) -> None:
    for changes, field in (({"accounts": [""]}, "accounts[0]"), ({"labels": {"A": "a"}}, "labels[A]")):
        error = await refused(blotter.orders.ListOrders(pb.ListOrdersRequest(**changes), metadata=as_trader(ALICE)))
        assert list(fields_of(error)) == [field]
