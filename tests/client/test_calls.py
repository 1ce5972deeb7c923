"""The request and metadata that each call sends, seen on a test channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import grpc
import grpc_testing  # type: ignore[import-untyped]  # it ships no types
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from blotter.audit.v1 import audit_service_pb2
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2, order_service_pb2, request_pb2
from blotter_client import (
    BlotterError,
    Client,
    OrderStatus,
    OrderType,
    RefusalReason,
    Side,
    approved,
    cancel_refused,
    cancelled,
    done_for_day,
    executed,
    fill_busted,
    fill_corrected,
    filled,
    new_cancel,
    new_order,
    new_replace,
    recovered,
    rejected,
    replace_refused,
    replaced,
    restated,
)
from tests.client.scripted import status
from tests.conftest import ALICE

SERVICES = {
    name: service
    for module in (order_service_pb2, audit_service_pb2)
    for name, service in module.DESCRIPTOR.services_by_name.items()
}
ORDER_ID = UUID("01234567-0000-4000-8000-000000000000")
NOON = datetime(2012, 6, 21, 12, 0, 0, 123456, tzinfo=UTC)
NOON_MESSAGE = Timestamp(seconds=1340280000, nanos=123456000)


class Wire:
    """The server side of the channel: receives the client's requests and responds."""

    def __init__(self, channel: grpc_testing.Channel, threads: ThreadPoolExecutor) -> None:
        self._channel = channel
        self._threads = threads
        self.metadata: dict[str, str] = {}

    def start(self, call: Callable[[], Any]) -> Future[Any]:
        """Call in another thread."""
        return self._threads.submit(call)

    def answer(self, method: str, response: Message) -> Any:
        """Receive the call of a method, respond to it, and return its request."""
        [service] = [service for service in SERVICES.values() if method in service.methods_by_name]
        metadata, request, rpc = self._channel.take_unary_unary(service.methods_by_name[method])
        self.metadata = dict(metadata)
        sent = type(request).FromString(request.SerializeToString())  # the client may use the message again
        rpc.terminate(response, (), grpc.StatusCode.OK, "")
        return sent

    def request_of(self, method: str, call: Callable[[], Any], response: Message) -> tuple[Any, Any]:
        """Return the request that a call sends and the result that it then returns."""
        result = self.start(call)
        return self.answer(method, response), result.result(10)


@pytest.fixture
def channel() -> grpc_testing.Channel:
    return grpc_testing.channel(SERVICES.values(), grpc_testing.strict_fake_time(0))


@pytest.fixture
def wire(channel: grpc_testing.Channel) -> Iterator[Wire]:
    with ThreadPoolExecutor(2) as threads:
        yield Wire(channel, threads)


@pytest.fixture
def client(channel: grpc_testing.Channel) -> Client:
    return Client(channel, trader_id=ALICE, actor="alice's algo")


def test_identity_and_a_new_request_id_go_with_each_call(client: Client, wire: Wire) -> None:
    wire.request_of("GetOrder", lambda: client.get_order(ORDER_ID), order_service_pb2.GetOrderResponse())
    first = wire.metadata
    assert (first["x-trader-id"], first["x-actor"]) == (str(ALICE), "alice's algo")
    assert "x-caller-role" not in first
    wire.request_of("GetOrder", lambda: client.get_order(ORDER_ID), order_service_pb2.GetOrderResponse())
    assert UUID(first["x-request-id"]) != UUID(wire.metadata["x-request-id"])


def test_a_role_goes_with_each_call(channel: grpc_testing.Channel, wire: Wire) -> None:
    client = Client(channel, role="compliance")
    call = lambda: list(client.list_execution_logs(trader_id=ALICE))  # noqa: E731
    wire.request_of("ListExecutionLogs", call, audit_service_pb2.ListExecutionLogsResponse())
    assert wire.metadata["x-caller-role"] == "compliance"
    assert not {"x-trader-id", "x-actor"} & set(wire.metadata)


@pytest.mark.parametrize("identity", [{}, {"trader_id": ALICE, "role": "execution"}])
def test_an_identity_is_either_a_trader_or_a_role(channel: grpc_testing.Channel, identity: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="exactly one of them"):
        Client(channel, **identity)


def test_submit_order_sends_every_field(client: Client, wire: Wire) -> None:
    request, response = wire.request_of(
        "SubmitOrder",
        lambda: client.submit_order(
            "BRK.A",
            Side.SELL,
            OrderType.STOP,
            7,
            Decimal("585.3300"),
            stop_loss=Decimal(600),
            take_profit=Decimal("1E-4"),
            expire_time=NOON,
            client_order_id="mine",
            validate_only=True,
        ),
        order_service_pb2.SubmitOrderResponse(order=order_pb2.Order(quantity=7), replayed=True),
    )
    assert request == order_service_pb2.SubmitOrderRequest(
        client_order_id="mine",
        symbol="BRK.A",
        side=order_pb2.SIDE_SELL,
        order_type=order_pb2.ORDER_TYPE_STOP,
        quantity=7,
        price="585.33",
        stop_loss="600",
        take_profit="0.0001",
        expire_time=NOON_MESSAGE,
        validate_only=True,
    )
    assert (response.order.quantity, response.replayed) == (7, True)


def test_an_order_without_a_client_order_id_gets_one(client: Client, wire: Wire) -> None:
    ids = set()
    for _ in range(2):
        call = lambda: client.submit_order("AAPL", Side.BUY, OrderType.MARKET, 1)  # noqa: E731
        request, _ = wire.request_of("SubmitOrder", call, order_service_pb2.SubmitOrderResponse())
        assert request.price == ""
        ids.add(UUID(request.client_order_id))
    assert len(ids) == 2


def test_requests_without_a_key_get_one(client: Client, wire: Wire) -> None:
    keys = {new_cancel(ORDER_ID).request_key, new_replace(ORDER_ID, quantity=1).request_key}
    for _ in range(2):
        cancel, _ = wire.request_of(
            "CancelOrder", lambda: client.cancel_order(ORDER_ID), order_service_pb2.CancelOrderResponse()
        )
        replace, _ = wire.request_of(
            "ReplaceOrder", lambda: client.replace_order(ORDER_ID, quantity=1), request_pb2.ReplaceOrderResponse()
        )
        keys |= {cancel.request_key, replace.request_key}
    assert len({UUID(key) for key in keys}) == 6


def test_a_replace_without_terms_is_for_the_service_to_refuse() -> None:
    request = new_replace(ORDER_ID)
    assert list(request.update_mask.paths) == []
    assert not request.HasField("expected_last_sequence")


def test_a_batch_of_requests_returns_orders_and_errors_in_their_order(client: Client, wire: Wire) -> None:
    error = status("REQUEST_PENDING", grpc.StatusCode.FAILED_PRECONDITION)
    cancels = order_service_pb2.BatchCancelOrdersResponse()
    cancels.results.add().error.CopyFrom(error)
    cancels.results.add().response.order.quantity = 2
    _, (refused, cancelled) = wire.request_of(
        "BatchCancelOrders", lambda: client.batch_cancel_orders([new_cancel(ORDER_ID)] * 2), cancels
    )
    assert (refused.reason, cancelled.order.quantity) == ("REQUEST_PENDING", 2)
    replaces = request_pb2.BatchReplaceOrdersResponse()
    replaces.results.add().response.order.quantity = 3
    replaces.results.add().error.CopyFrom(error)
    _, (requested, refused) = wire.request_of(
        "BatchReplaceOrders",
        lambda: client.batch_replace_orders([new_replace(ORDER_ID, quantity=3)] * 2),
        replaces,
    )
    assert (requested.order.quantity, refused.reason) == (3, "REQUEST_PENDING")


def test_a_batch_returns_orders_and_errors_in_their_order(client: Client, wire: Wire) -> None:
    response = order_service_pb2.BatchSubmitOrdersResponse()
    response.results.add().response.order.quantity = 1
    response.results.add().error.CopyFrom(status("CLIENT_ORDER_ID_REUSED", grpc.StatusCode.ALREADY_EXISTS))
    orders = [new_order("AAPL", Side.BUY, OrderType.MARKET, quantity) for quantity in (1, 2)]
    request, (entered, refused) = wire.request_of(
        "BatchSubmitOrders", lambda: client.batch_submit_orders(orders), response
    )
    assert [order.quantity for order in request.orders] == [1, 2]
    assert entered.order.quantity == 1
    assert isinstance(refused, BlotterError)
    assert (refused.code, refused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "CLIENT_ORDER_ID_REUSED")


def test_an_order_is_identified_by_either_id(client: Client, wire: Wire) -> None:
    answer = order_service_pb2.GetOrderResponse(order=order_pb2.Order(quantity=3))
    request, order = wire.request_of("GetOrder", lambda: client.get_order(ORDER_ID), answer)
    assert (request.order_id, request.WhichOneof("id"), order.quantity) == (str(ORDER_ID), "order_id", 3)
    request, _ = wire.request_of("GetOrder", lambda: client.get_order(client_order_id="mine"), answer)
    assert (request.client_order_id, request.WhichOneof("id")) == ("mine", "client_order_id")
    cancelled = order_service_pb2.CancelOrderResponse(replayed=True)
    request, response = wire.request_of(
        "CancelOrder",
        lambda: client.cancel_order(client_order_id="mine", request_key="key", reason="no more"),
        cancelled,
    )
    assert request == order_service_pb2.CancelOrderRequest(client_order_id="mine", request_key="key", reason="no more")
    assert response.replayed
    with pytest.raises(ValueError, match="not both"):
        client.get_order(ORDER_ID, client_order_id="mine")


def test_pages_follow_each_other_with_the_same_filters(client: Client, wire: Wire) -> None:
    orders = client.list_orders(
        statuses=[OrderStatus.FILLED], symbols=["AAPL"], created_from=NOON, updated_before=NOON, page_size=2
    )
    pages = [
        order_service_pb2.ListOrdersResponse(
            orders=[order_pb2.Order(quantity=1), order_pb2.Order(quantity=2)], next_page_token="two"
        ),
        order_service_pb2.ListOrdersResponse(orders=[order_pb2.Order(quantity=3)]),
    ]
    result = wire.start(lambda: [order.quantity for order in orders])
    requests = [wire.answer("ListOrders", page) for page in pages]
    assert result.result(10) == [1, 2, 3]
    first = order_service_pb2.ListOrdersRequest(
        statuses=[order_pb2.ORDER_STATUS_FILLED],
        symbols=["AAPL"],
        created=order_pb2.TimeRange(start_time=NOON_MESSAGE),
        updated=order_pb2.TimeRange(end_time=NOON_MESSAGE),
        page_size=2,
    )
    second = order_service_pb2.ListOrdersRequest(page_token="two")
    second.MergeFrom(first)
    assert requests == [first, second]


REPORTS = {
    "approved": (approved(ALICE, ORDER_ID, venue="V", event_time=NOON), reports_pb.ApprovedReport()),
    "executed": (
        executed(ALICE, ORDER_ID, retry_attempt=1, error_code="TIMEOUT", reason="slow", venue="V", event_time=NOON),
        reports_pb.ExecutedReport(retry_attempt=1, error_code="TIMEOUT", reason="slow"),
    ),
    "recovered": (
        recovered(ALICE, ORDER_ID, 2, venue="V", event_time=NOON),
        reports_pb.RecoveredReport(retry_attempt=2),
    ),
    "fill": (
        filled(
            ALICE, ORDER_ID, 5, Decimal("0.10"), execution_id="E", venue="V", event_time=NOON, commission=Decimal(0)
        ),
        reports_pb.FillReport(execution_id="E", quantity=5, price="0.1", commission="0"),
    ),
    "rejected": (
        rejected(ALICE, ORDER_ID, "halted", error_code="HALT", venue="V", event_time=NOON),
        reports_pb.RejectedReport(reason="halted", error_code="HALT"),
    ),
    "cancelled": (
        cancelled(ALICE, ORDER_ID, reason="end of day", venue="V", event_time=NOON),
        reports_pb.CancelledReport(reason="end of day"),
    ),
    "replaced": (
        replaced(ALICE, ORDER_ID, reason="accepted", request_key="key", venue="V", event_time=NOON),
        reports_pb.ReplacedReport(reason="accepted"),
    ),
    "cancel_refused": (
        cancel_refused(
            ALICE,
            ORDER_ID,
            RefusalReason.TOO_LATE_TO_CANCEL,
            reason="filled",
            request_key="key",
            venue="V",
            event_time=NOON,
        ),
        reports_pb.CancelRefusedReport(
            refusal_reason=reports_pb.REFUSAL_REASON_TOO_LATE_TO_CANCEL,
            reason="filled",
        ),
    ),
    "replace_refused": (
        replace_refused(
            ALICE, ORDER_ID, RefusalReason.OTHER, reason="halted", request_key="key", venue="V", event_time=NOON
        ),
        reports_pb.ReplaceRefusedReport(refusal_reason=reports_pb.REFUSAL_REASON_OTHER, reason="halted"),
    ),
    "restated": (
        restated(ALICE, ORDER_ID, quantity=5, price=Decimal("0.10"), reason="split", venue="V", event_time=NOON),
        reports_pb.RestatedReport(quantity=5, price="0.1", reason="split"),
    ),
    "done_for_day": (
        done_for_day(ALICE, ORDER_ID, reason="16:00", venue="V", event_time=NOON),
        reports_pb.DoneForDayReport(reason="16:00"),
    ),
    "fill_corrected": (
        fill_corrected(
            ALICE,
            ORDER_ID,
            "E",
            5,
            Decimal("0.10"),
            execution_id="F",
            ref_trade_date=date(2012, 6, 20),
            trade_date=date(2012, 6, 21),
            commission=Decimal("0.30"),
            reason="price",
            venue="V",
            event_time=NOON,
        ),
        reports_pb.FillCorrectedReport(
            execution_id="F",
            ref_execution_id="E",
            ref_trade_date="2012-06-20",
            quantity=5,
            price="0.1",
            commission="0.3",
            reason="price",
        ),
    ),
    "fill_busted": (
        fill_busted(
            ALICE,
            ORDER_ID,
            "E",
            execution_id="F",
            ref_trade_date=date(2012, 6, 20),
            trade_date=date(2012, 6, 21),
            reason="erroneous",
            venue="V",
            event_time=NOON,
        ),
        reports_pb.FillBustedReport(
            execution_id="F", ref_execution_id="E", ref_trade_date="2012-06-20", reason="erroneous"
        ),
    ),
}
ANSWERS = {"replaced", "cancel_refused", "replace_refused"}
DATED = {"fill_corrected", "fill_busted"}


@pytest.mark.parametrize("kind", REPORTS)
def test_reports(kind: str, channel: grpc_testing.Channel, wire: Wire) -> None:
    report, expected = REPORTS[kind]
    gateway = Client(channel, role="execution")
    request, response = wire.request_of(
        "ReportExecution",
        lambda: gateway.report_execution(report),
        reports_pb.ReportExecutionResponse(replayed=True),
    )
    assert (request.WhichOneof("report"), getattr(request, kind)) == (kind, expected)
    assert (request.trader_id, request.order_id) == (str(ALICE), str(ORDER_ID))
    assert (request.venue, request.event_time) == ("V", NOON_MESSAGE)
    assert request.request_key == ("key" if kind in ANSWERS else "")
    assert request.trade_date == ("2012-06-21" if kind in DATED else "")
    assert str(UUID(request.report_id)) == request.report_id
    assert response.replayed


def test_the_optional_fields_of_reports() -> None:
    expired = cancelled(ALICE, ORDER_ID, expired=True, request_key="key")
    assert (expired.cancelled.expired, expired.request_key) == (True, "key")
    fill = filled(
        ALICE,
        ORDER_ID,
        5,
        Decimal(1),
        execution_id="E",
        venue="V",
        event_time=NOON,
        trade_date=date(2012, 6, 20),
    )
    assert fill.trade_date == "2012-06-20"
    confirmed = restated(ALICE, ORDER_ID).restated
    assert (confirmed.quantity, confirmed.price) == (0, "")


def test_every_report_of_the_contract_has_a_function() -> None:
    assert set(REPORTS) == {field.name for field in reports_pb.ReportExecutionRequest.DESCRIPTOR.oneofs[0].fields}


def test_a_batch_of_reports(channel: grpc_testing.Channel, wire: Wire) -> None:
    gateway = Client(channel, role="execution")
    response = reports_pb.BatchReportExecutionsResponse()
    response.results.add().error.CopyFrom(status("OVERFILL", grpc.StatusCode.FAILED_PRECONDITION))
    response.results.add().response.replayed = True
    request, (refused, recorded) = wire.request_of(
        "BatchReportExecutions",
        lambda: gateway.batch_report_executions([approved(ALICE, ORDER_ID), approved(ALICE, ORDER_ID, report_id="R")]),
        response,
    )
    assert request.reports[1].report_id == "R"
    assert refused.reason == "OVERFILL"
    assert recorded.replayed
