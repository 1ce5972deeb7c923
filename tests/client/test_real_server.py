"""The client and the real service."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import Any
from uuid import uuid4

import grpc
import pytest

from blotter_client import (
    Action,
    BlotterError,
    Client,
    OrderStatus,
    OrderType,
    RefusalReason,
    RequestKind,
    RequestOutcome,
    ShortSale,
    Side,
    SortOrder,
    approved,
    cancelled,
    decimal_of,
    executed,
    fill_busted,
    fill_corrected,
    filled,
    new_cancel,
    new_order,
    new_replace,
    replace_refused,
    replaced,
)
from tests.client.faces import Face
from tests.conftest import ALICE, BOB
from tests.serving import Server

NOON = datetime(2012, 6, 21, 16, tzinfo=UTC)


@pytest.fixture
def bob(face: Face, server: Server) -> Iterator[Client]:
    with face.client(server.target, trader_id=BOB) as client:
        yield client


@pytest.fixture
def alice(face: Face, server: Server) -> Iterator[Client]:
    with face.client(server.target, trader_id=ALICE, actor="alice's algo") as client:
        yield client


@pytest.fixture
def gateway(face: Face, server: Server) -> Iterator[Client]:
    with face.client(server.target, role="execution") as client:
        yield client


def test_an_order_from_entry_to_cancel(alice: Client, gateway: Client) -> None:
    entered = alice.submit_order(
        "AAPL", Side.BUY, OrderType.LIMIT, 100, Decimal("585.33"), client_order_id="mine"
    ).order
    assert OrderStatus(entered.status) is OrderStatus.PENDING
    again = alice.submit_order("AAPL", Side.BUY, OrderType.LIMIT, 100, Decimal("585.330"), client_order_id="mine")
    assert (again.order, again.replayed) == (entered, True)
    fill = filled(ALICE, entered.order_id, 40, Decimal("585.3"), execution_id="E1", venue="NASDAQ", event_time=NOON)
    assert not gateway.report_execution(fill).replayed
    assert gateway.report_execution(fill).replayed
    order = alice.get_order(client_order_id="mine")
    assert decimal_of(order.filled_notional) == Decimal(23412)
    assert [fill.execution_id for fill in alice.list_fills(entered.order_id)] == ["E1"]
    requested = alice.cancel_order(entered.order_id, reason="enough").order
    assert OrderStatus(requested.status) is OrderStatus.PARTIAL
    assert RequestKind(requested.pending_request.kind) is RequestKind.CANCEL
    key = requested.pending_request.request_key
    gateway.report_execution(cancelled(ALICE, entered.order_id, request_key=key))
    order = alice.get_order(client_order_id=key)
    assert (OrderStatus(order.status), order.status_reason) == (OrderStatus.CANCELLED, "enough")
    [request] = alice.list_requests(entered.order_id)
    assert (request.request_key, RequestOutcome(request.outcome)) == (key, RequestOutcome.ACCEPTED)
    logs = list(alice.list_execution_logs(order_id=entered.order_id, sort_order=SortOrder.NEWEST_FIRST))
    actions = [Action.CANCELLED, Action.CANCEL_REQUESTED, Action.FILLED, Action.SUBMITTED]
    assert [Action(log.action) for log in logs] == actions
    assert logs[1].actor == "alice's algo"


def test_a_replace_changes_the_terms_that_are_given(alice: Client, gateway: Client) -> None:
    order = alice.submit_order("AAPL", Side.BUY, OrderType.LIMIT, 100, Decimal(585), stop_loss=Decimal(580)).order
    at_once = alice.replace_order(order.order_id, quantity=120, stop_loss=None).order
    assert (at_once.quantity, at_once.price, at_once.stop_loss) == (120, "585", "")
    with pytest.raises(BlotterError, match="ORDER_CHANGED"):
        alice.replace_order(order.order_id, quantity=130, expected_last_sequence=order.last_sequence)
    gateway.report_execution(executed(ALICE, order.order_id))
    pending = alice.replace_order(order.order_id, price=Decimal("585.5"), request_key="mine").order
    assert (pending.price, pending.pending_request.terms.price) == ("585", "585.5")
    assert alice.replace_order(order.order_id, price=Decimal("585.5"), request_key="mine").replayed
    with pytest.raises(BlotterError, match="REQUEST_PENDING"):
        alice.cancel_order(order.order_id)
    accepted = gateway.report_execution(replaced(ALICE, order.order_id, request_key="mine")).order
    assert (accepted.price, accepted.HasField("pending_request")) == ("585.5", False)
    refusal = replace_refused(ALICE, order.order_id, RefusalReason.BROKER_OPTION, reason="late")
    alice.replace_order(order.order_id, quantity=150)
    assert gateway.report_execution(refusal).order.quantity == 120
    latest = next(iter(alice.list_requests(client_order_id="mine", page_size=1)))
    assert RequestOutcome(latest.outcome) is RequestOutcome.REFUSED
    assert (latest.outcome_code, latest.outcome_reason) == ("BROKER_OPTION", "late")


def test_a_fill_is_corrected_and_busted(alice: Client, gateway: Client) -> None:
    order = alice.submit_order("AAPL", Side.BUY, OrderType.MARKET, 100).order
    at: dict[str, Any] = {"venue": "NASDAQ", "event_time": NOON}
    gateway.report_execution(filled(ALICE, order.order_id, 100, Decimal(585), execution_id="E1", **at))
    correction = fill_corrected(ALICE, order.order_id, "E1", 40, Decimal(586), execution_id="E2", **at)
    corrected = gateway.report_execution(correction).order
    assert (corrected.filled_quantity, corrected.average_fill_price) == (40, "586")
    assert gateway.report_execution(correction).replayed
    busted = gateway.report_execution(fill_busted(ALICE, order.order_id, "E2", execution_id="E3", **at)).order
    assert (OrderStatus(busted.status), busted.filled_notional) == (OrderStatus.PENDING, "0")
    [fill] = alice.list_fills(order.order_id)
    assert (fill.quantity, fill.net_quantity, fill.busted) == (100, 0, True)
    assert [correction.ref_execution_id for correction in fill.corrections] == ["E1", "E2"]


def test_orders_are_found_by_what_they_are_filed_under(alice: Client) -> None:
    filed: dict[str, Any] = {"account": "A-1", "labels": {"desk": "cash", "strategy": "vwap"}, "parent_order_id": "P"}
    order = alice.submit_order("AAPL", Side.SELL, OrderType.MARKET, 7, short_sale=ShortSale.SELL_SHORT, **filed).order
    alice.submit_order("AAPL", Side.BUY, OrderType.MARKET, 8, account="A-2", labels={"desk": "cash"})
    assert dict(order.labels) == filed["labels"]
    filters: list[dict[str, Any]] = [
        {"accounts": ["A-1", "A-3"]},
        {"labels": {"strategy": "vwap", "desk": "cash"}},
        {"parent_order_ids": ["P"]},
    ]
    for selected in filters:
        assert [found.quantity for found in alice.list_orders(**selected)] == [7]
        with alice.watch_orders(**selected) as watch:
            assert [found.quantity for found in next(watch).snapshot.orders] == [7]
        with alice.stream_execution_logs(follow=False, **selected) as logs:
            assert [log.order.quantity for message in logs for log in message.logs.execution_logs] == [7]


def test_the_cancel_timer(alice: Client) -> None:
    assert alice.get_cancel_timer() is None
    timer = alice.cancel_all_after(60)
    assert timer is not None
    assert timer.timeout.seconds == 60
    assert alice.get_cancel_timer() == timer
    assert alice.cancel_all_after(0) is None
    assert alice.get_cancel_timer() is None


def test_batches_of_requests(alice: Client) -> None:
    orders = [alice.submit_order("AAPL", Side.BUY, OrderType.MARKET, quantity).order.order_id for quantity in (1, 2)]
    replaces = [new_replace(order_id, quantity=9) for order_id in orders]
    changed = alice.batch_replace_orders([*replaces, new_replace(orders[0])])
    refused = changed.pop()
    assert isinstance(refused, BlotterError)
    assert refused.reason == "INVALID_REQUEST"
    assert [result.order.quantity for result in changed if not isinstance(result, BlotterError)] == [9, 9]
    done = alice.batch_cancel_orders([new_cancel(order_id) for order_id in orders])
    statuses = [OrderStatus(result.order.status) for result in done if not isinstance(result, BlotterError)]
    assert statuses == [OrderStatus.CANCELLED] * 2


def test_batches_and_pages(alice: Client, gateway: Client) -> None:
    orders = [new_order("AAPL", Side.SELL, OrderType.MARKET, quantity) for quantity in (1, 0, 3, 4)]
    entered = alice.batch_submit_orders(orders)
    refused = entered.pop(1)
    assert isinstance(refused, BlotterError)
    assert refused.fields == {"orders[1].quantity": "must be 1 to 2147483647"}
    assert [order.quantity for order in alice.list_orders(page_size=2)] == [4, 3, 1]
    ids = [result.order.order_id for result in entered if not isinstance(result, BlotterError)]
    reported = gateway.batch_report_executions([approved(ALICE, ids[0]), approved(BOB, ids[1])])
    assert isinstance(reported[1], BlotterError)
    assert reported[1].reason == "ORDER_NOT_FOUND"
    assert alice.cancel_all_orders().cancelled_count == 3
    assert [log.sequence for log in alice.list_execution_logs(page_size=3)] == [1, 2, 3, 4, 5, 6, 7]


def test_an_error_names_the_invalid_fields_and_the_request(alice: Client) -> None:
    with pytest.raises(BlotterError) as raised:
        alice.submit_order("", Side.BUY, OrderType.LIMIT, 0)
    assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(raised.value.fields) == {"symbol", "quantity", "price"}
    assert raised.value.request_id == raised.value.metadata["request_id"]


def test_streams(alice: Client) -> None:
    alice.submit_order("AAPL", Side.BUY, OrderType.MARKET, 1)
    with alice.watch_orders(heartbeat_interval=1) as watch:
        snapshot, complete = islice(watch, 2)
        assert [order.quantity for order in snapshot.snapshot.orders] == [1]
        alice.submit_order("AAPL", Side.BUY, OrderType.MARKET, 2)
        message = next(watch)
        while not message.events.events:
            message = next(watch)
        assert [event.order.quantity for event in message.events.events] == [2]
    with alice.watch_orders(resume_token=complete.resume_token) as resumed:
        assert [event.order.quantity for event in next(resumed).events.events] == [2]
    with alice.stream_execution_logs(follow=False) as stream:
        assert [log.order.quantity for message in stream for log in message.logs.execution_logs] == [1, 2]


def test_a_token_of_another_trader_is_refused(face: Face, alice: Client, server: Server) -> None:
    with alice.watch_orders() as watch:
        token = next(watch).resume_token
    with face.client(server.target, trader_id=BOB) as bob, bob.watch_orders(resume_token=token) as watch:
        with pytest.raises(BlotterError) as raised:
            next(watch)
        assert raised.value.reason == "INVALID_RESUME_TOKEN"


def test_a_supervisor_reads_and_watches_the_orders_of_their_desk_alone(
    face: Face, alice: Client, bob: Client, server: Server
) -> None:
    desk_id = uuid4()
    server.database.cluster.psql(
        f"INSERT INTO desks (id, name) VALUES ('{desk_id}', 'Equities');"
        f"UPDATE traders SET desk_id = '{desk_id}' WHERE id = '{ALICE}'",
        user="blotter_owner",
        dbname=server.database.name,
    )
    orders = [alice.submit_order("AAPL", Side.BUY, OrderType.MARKET, 1).order for _ in range(2)]
    hidden = bob.submit_order("AAPL", Side.BUY, OrderType.MARKET, 1).order
    with face.client(server.target, role="desk", desk_id=desk_id) as desk:
        assert [order.order_id for order in desk.list_orders(page_size=1)] == [order.order_id for order in orders][::-1]
        assert desk.get_order(orders[0].order_id) == orders[0]
        with pytest.raises(BlotterError, match="ORDER_NOT_FOUND"):
            desk.get_order(hidden.order_id)
        with pytest.raises(BlotterError, match="WRONG_ROLE"):
            desk.submit_order("AAPL", Side.BUY, OrderType.MARKET, 1)
        with desk.watch_orders() as watch:
            # The snapshot has what had a position in the ledger when the watch began; the rest follows as events.
            seen: list[str] = []
            for message in watch:
                seen += [order.order_id for order in message.snapshot.orders]
                if message.HasField("snapshot_complete"):
                    break
            late = [trader.submit_order("AAPL", Side.BUY, OrderType.MARKET, 1).order for trader in (bob, alice)]
            while len(seen) < len(orders) + 1:
                seen += [event.order.order_id for event in next(watch).events.events]
            assert sorted(seen[:-1]) == sorted(order.order_id for order in orders)
            assert seen[-1] == late[1].order_id
