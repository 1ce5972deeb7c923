"""The lifecycle of an order through the API."""

from decimal import Decimal
from typing import Any

import grpc
import pytest

from blotter.audit.v1 import audit_service_pb2
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2, order_service_pb2
from tests.conftest import ALICE, BOB
from tests.rpc.errors import reason_of, refused
from tests.rpc.requests import TOO_LATE
from tests.serving import EXECUTION, Blotter, as_trader, order_request, report_request


async def test_a_submitted_order_is_pending_and_has_its_first_event(blotter: Blotter) -> None:
    order = await blotter.submit(price="0.0001", quantity=7, stop_loss="0.00005", take_profit="0.00020000")
    assert order.status == order_pb2.ORDER_STATUS_PENDING
    assert (order.price, order.stop_loss, order.take_profit) == ("0.0001", "0.00005", "0.0002")
    assert (order.filled_quantity, order.filled_notional, order.average_fill_price) == (0, "0", "")
    assert order.last_sequence == 1
    assert order.create_time == order.update_time


async def test_the_average_price_is_exact(blotter: Blotter) -> None:
    order = await blotter.submit(quantity=7, order_type=order_pb2.ORDER_TYPE_MARKET, price="")
    await blotter.fill(order, 1, "0.1")
    await blotter.fill(order, 1, "0.2")
    order = await blotter.fill(order, 4, "0.33333333")
    assert order.status == order_pb2.ORDER_STATUS_PARTIAL
    assert order.filled_notional == "1.63333332"
    assert order.average_fill_price == "0.27222222"
    order = await blotter.fill(order, 1, "9999999999.99999999")
    assert order.status == order_pb2.ORDER_STATUS_FILLED
    assert order.filled_notional == "10000000001.63333331"
    assert Decimal(order.average_fill_price) == Decimal("1428571428.80476190")


async def test_a_late_fill_is_recorded_and_completes_a_cancelled_order(blotter: Blotter) -> None:
    order = await blotter.submit()
    await blotter.orders.CancelOrder(
        order_service_pb2.CancelOrderRequest(order_id=order.order_id), metadata=as_trader(ALICE)
    )
    part = await blotter.fill(order, 40)
    assert (part.status, part.filled_quantity) == (order_pb2.ORDER_STATUS_CANCELLED, 40)
    full = await blotter.fill(order, 60)
    assert (full.status, full.filled_quantity) == (order_pb2.ORDER_STATUS_FILLED, 100)


async def test_an_overfill_is_recorded_as_excess_and_counts_in_the_average(blotter: Blotter) -> None:
    order = await blotter.submit()
    await blotter.fill(order, 60, "1")
    request = report_request(order, fill=reports_pb.FillReport(execution_id="big", quantity=60, price="2"))
    for replayed in (False, True):
        response = await blotter.orders.ReportExecution(request, metadata=EXECUTION)
        assert response.replayed == replayed
        order = response.order
        assert order.status == order_pb2.ORDER_STATUS_FILLED
        assert (order.filled_quantity, order.excess_quantity, order.leaves_quantity) == (100, 20, 0)
        assert (order.filled_notional, order.average_fill_price, order.last_sequence) == ("180", "1.5", 3)
    logs = await blotter.audit.ListExecutionLogs(
        audit_service_pb2.ListExecutionLogsRequest(), metadata=as_trader(ALICE)
    )
    assert [log.reason for log in logs.execution_logs] == ["", "", "OVERFILL"]


REPORTS: dict[str, dict[str, Any]] = {
    "approved": {"approved": reports_pb.ApprovedReport()},
    "executed": {"executed": reports_pb.ExecutedReport(error_code="TIMEOUT")},
    "recovered": {"recovered": reports_pb.RecoveredReport(retry_attempt=1)},
    "fill": {"fill": reports_pb.FillReport(execution_id="x", quantity=1, price="1")},
    "rejected": {"rejected": reports_pb.RejectedReport(reason="no")},
    "cancelled": {"cancelled": reports_pb.CancelledReport()},
    "replaced": {"replaced": reports_pb.ReplacedReport()},
    "cancel_refused": {"cancel_refused": reports_pb.CancelRefusedReport(refusal_reason=TOO_LATE)},
    "replace_refused": {"replace_refused": reports_pb.ReplaceRefusedReport(refusal_reason=TOO_LATE)},
    "restated": {"restated": reports_pb.RestatedReport(quantity=200)},
    "done_for_day": {"done_for_day": reports_pb.DoneForDayReport()},
}


async def in_status(blotter: Blotter, status: order_pb2.OrderStatus.ValueType) -> order_pb2.Order:
    """A new order of 100 in the status."""
    order = await blotter.submit()
    if status == order_pb2.ORDER_STATUS_PARTIAL:
        return await blotter.fill(order, 40)
    if status == order_pb2.ORDER_STATUS_FILLED:
        return await blotter.fill(order, 100)
    if status == order_pb2.ORDER_STATUS_REJECTED:
        return await blotter.report(order, **REPORTS["rejected"])
    if status == order_pb2.ORDER_STATUS_CANCELLED:
        return await blotter.report(order, **REPORTS["cancelled"])
    return order


# Report, status before: status after, or the reason of the refusal.
# P pending, A partial, F filled, R rejected, C cancelled.
TABLE = {
    "approved": {"P": "P", "A": "A", "F": "ORDER_CLOSED", "R": "ORDER_CLOSED", "C": "ORDER_CLOSED"},
    "executed": {"P": "P", "A": "A", "F": "F", "R": "R", "C": "C"},
    "recovered": {"P": "P", "A": "A", "F": "F", "R": "R", "C": "C"},
    "fill": {"P": "A", "A": "A", "F": "F", "R": "R", "C": "C"},
    "rejected": {"P": "R", "A": "R", "F": "ORDER_CLOSED", "R": "ORDER_CLOSED", "C": "ORDER_CLOSED"},
    "cancelled": {"P": "C", "A": "C", "F": "F", "R": "ORDER_CLOSED", "C": "C"},
    "replaced": dict.fromkeys("PAFRC", "REQUEST_NOT_PENDING"),
    "cancel_refused": {"P": "P", "A": "A", "F": "F", "R": "R", "C": "C"},
    "replace_refused": {"P": "P", "A": "A", "F": "F", "R": "R", "C": "C"},
    "restated": {"P": "P", "A": "A", "F": "A", "R": "R", "C": "C"},
    "done_for_day": {"P": "C", "A": "C", "F": "F", "R": "R", "C": "C"},
}
STATUSES = {
    "P": order_pb2.ORDER_STATUS_PENDING,
    "A": order_pb2.ORDER_STATUS_PARTIAL,
    "F": order_pb2.ORDER_STATUS_FILLED,
    "R": order_pb2.ORDER_STATUS_REJECTED,
    "C": order_pb2.ORDER_STATUS_CANCELLED,
}


@pytest.mark.parametrize("report", TABLE)
async def test_each_report_in_each_status(blotter: Blotter, report: str) -> None:
    for before, after in TABLE[report].items():
        order = await in_status(blotter, STATUSES[before])
        changes = dict(REPORTS[report])
        if report == "fill":
            changes["fill"] = reports_pb.FillReport(execution_id=order.order_id, quantity=1, price="1")
        request = report_request(order, **changes)
        if after in STATUSES:
            response = await blotter.orders.ReportExecution(request, metadata=EXECUTION)
            assert response.order.status == STATUSES[after], (report, before)
        else:
            error = await refused(blotter.orders.ReportExecution(request, metadata=EXECUTION))
            assert (error.code(), reason_of(error)) == (grpc.StatusCode.FAILED_PRECONDITION, after), (
                report,
                before,
            )
            response = await blotter.orders.GetOrder(
                order_service_pb2.GetOrderRequest(order_id=order.order_id), metadata=as_trader(ALICE)
            )
            assert response.order.status == STATUSES[before]
        assert response.order.last_sequence > order.last_sequence, "each report is in the trail, refused ones too"


async def test_a_fill_its_order_and_its_log_are_recorded_at_one_time(blotter: Blotter) -> None:
    order = await blotter.fill(await blotter.submit(), 40)
    fills = await blotter.orders.ListFills(order_service_pb2.ListFillsRequest(), metadata=as_trader(ALICE))
    logs = await blotter.audit.ListExecutionLogs(
        audit_service_pb2.ListExecutionLogsRequest(), metadata=as_trader(ALICE)
    )
    assert logs.execution_logs[1].fill == fills.fills[0]
    assert logs.execution_logs[1].record_time == fills.fills[0].record_time == order.update_time


async def test_a_report_that_comes_twice_counts_once(blotter: Blotter) -> None:
    order = await blotter.submit()
    request = report_request(order, fill=reports_pb.FillReport(execution_id="e", quantity=40, price="1"))
    first = await blotter.orders.ReportExecution(request, metadata=EXECUTION)
    again = await blotter.orders.ReportExecution(request, metadata=EXECUTION)
    assert (first.replayed, again.replayed, again.order) == (False, True, first.order)

    request.report_id = "another name for the same fill".replace(" ", "-")
    assert (await blotter.orders.ReportExecution(request, metadata=EXECUTION)).replayed

    request.fill.quantity = 41
    error = await refused(blotter.orders.ReportExecution(request, metadata=EXECUTION))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.ALREADY_EXISTS, "EXECUTION_ID_REUSED")
    request.fill.execution_id, request.report_id = "f", "r"
    await blotter.orders.ReportExecution(request, metadata=EXECUTION)
    request.fill.quantity = 1
    error = await refused(blotter.orders.ReportExecution(request, metadata=EXECUTION))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.ALREADY_EXISTS, "REPORT_ID_REUSED")


async def test_a_cancel_can_be_repeated_and_a_filled_order_cannot_be_cancelled(blotter: Blotter) -> None:
    order = await blotter.submit()
    cancel = order_service_pb2.CancelOrderRequest(client_order_id=order.client_order_id, reason="changed my mind")
    first = await blotter.orders.CancelOrder(cancel, metadata=as_trader(ALICE))
    again = await blotter.orders.CancelOrder(cancel, metadata=as_trader(ALICE))
    assert (first.order.status, first.replayed) == (order_pb2.ORDER_STATUS_CANCELLED, False)
    assert (again.order, again.replayed) == (first.order, True)
    await blotter.fill(order, 100)
    late = await blotter.orders.CancelOrder(cancel, metadata=as_trader(ALICE))
    assert (late.order.status, late.replayed) == (order_pb2.ORDER_STATUS_FILLED, True)

    filled = await in_status(blotter, order_pb2.ORDER_STATUS_FILLED)
    error = await refused(
        blotter.orders.CancelOrder(
            order_service_pb2.CancelOrderRequest(order_id=filled.order_id), metadata=as_trader(ALICE)
        )
    )
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "ORDER_CLOSED")


async def test_cancel_all_cancels_the_callers_open_orders_in_a_symbol(blotter: Blotter) -> None:
    apple = [await blotter.submit() for _ in range(3)]
    other = await blotter.submit(symbol="MSFT")
    bobs = await blotter.submit(BOB)
    await blotter.fill(apple[0], 100)
    cancel = order_service_pb2.CancelAllOrdersRequest(symbol="AAPL")
    response = await blotter.orders.CancelAllOrders(cancel, metadata=as_trader(ALICE))
    assert (response.cancelled_count, list(response.order_ids)) == (
        2,
        [order.order_id for order in apple[1:]],
    )
    again = await blotter.orders.CancelAllOrders(cancel, metadata=as_trader(ALICE))
    assert again.cancelled_count == 0
    for trader, order in ((ALICE, other), (BOB, bobs)):
        request = order_service_pb2.GetOrderRequest(order_id=order.order_id)
        response = await blotter.orders.GetOrder(request, metadata=as_trader(trader))
        assert response.order.status == order_pb2.ORDER_STATUS_PENDING


async def test_anothers_order_and_no_order_have_the_same_status(blotter: Blotter) -> None:
    order = await blotter.submit(BOB)
    answers = set()
    for order_id in (order.order_id, "00000000-0000-4000-8000-00000000dead"):
        for call, request in (
            (blotter.orders.GetOrder, order_service_pb2.GetOrderRequest(order_id=order_id)),
            (blotter.orders.CancelOrder, order_service_pb2.CancelOrderRequest(order_id=order_id)),
            (blotter.orders.ListFills, order_service_pb2.ListFillsRequest(order_id=order_id)),
        ):
            error = await refused(call(request, metadata=as_trader(ALICE)))
            answers.add((error.code(), error.details(), reason_of(error)))
        order.order_id, order.trader_id = order_id, str(ALICE)
        error = await refused(
            blotter.orders.ReportExecution(report_request(order, **REPORTS["approved"]), metadata=EXECUTION)
        )
        answers.add((error.code(), error.details(), reason_of(error)))
    assert answers == {(grpc.StatusCode.NOT_FOUND, "There is no such order.", "ORDER_NOT_FOUND")}


async def test_a_trader_may_use_a_key_that_another_has_used(blotter: Blotter) -> None:
    mine = await blotter.submit(ALICE, client_order_id="one")
    theirs = await blotter.submit(BOB, client_order_id="one")
    assert mine.order_id != theirs.order_id


async def test_validate_only_enters_nothing(blotter: Blotter) -> None:
    request = order_request(validate_only=True, client_order_id="later")
    for _ in range(2):
        response = await blotter.orders.SubmitOrder(request, metadata=as_trader(ALICE))
        assert (response.order.order_id, response.order.price, response.replayed) == ("", "585.33", False)
    get = order_service_pb2.GetOrderRequest(client_order_id="later")
    assert reason_of(await refused(blotter.orders.GetOrder(get, metadata=as_trader(ALICE)))) == "ORDER_NOT_FOUND"
