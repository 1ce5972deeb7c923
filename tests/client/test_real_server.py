"""The client and the real service."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice

import grpc
import pytest

from blotter_client import (
    Action,
    BlotterError,
    Client,
    OrderStatus,
    OrderType,
    Side,
    SortOrder,
    approved,
    decimal_of,
    filled,
    new_order,
)
from tests.client.faces import Face
from tests.conftest import ALICE, BOB
from tests.serving import Server

NOON = datetime(2012, 6, 21, 16, tzinfo=UTC)


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
    cancelled = alice.cancel_order(entered.order_id, reason="enough").order
    assert OrderStatus(cancelled.status) is OrderStatus.CANCELLED
    logs = list(alice.list_execution_logs(order_id=entered.order_id, sort_order=SortOrder.NEWEST_FIRST))
    assert [Action(log.action) for log in logs] == [Action.CANCELLED, Action.FILLED, Action.SUBMITTED]
    assert logs[0].actor == "alice's algo"


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
