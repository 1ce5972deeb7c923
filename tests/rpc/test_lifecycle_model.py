"""Any sequence of submits, cancels and reports has the outcome that a small model computes, as has the trail."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any
from uuid import uuid4

import grpc
from grpc import aio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blotter.audit.v1 import audit_service_pb2 as audit_pb
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2
from blotter.orders.v1 import order_service_pb2 as pb
from tests.conftest import ALICE
from tests.rpc.errors import reason_of
from tests.serving import EXECUTION, Blotter, as_trader, order_request, report_request

A = as_trader(ALICE)
OPEN = {"PENDING", "PARTIAL"}


@dataclass(frozen=True)
class Recorded:
    """An expected event of the trail, with the order's state after it."""

    order: int
    action: str
    status: str
    filled: int
    notional: Decimal
    reason: str = ""
    error_code: str = ""
    refused: bool = False


@dataclass
class Book:
    """The model: a trader's orders after the steps so far, and the events that the trail should have."""

    orders: list[Recorded] = field(default_factory=list)
    quantities: list[int] = field(default_factory=list)
    trail: list[Recorded] = field(default_factory=list)

    def record(self, order: int, **changes: Any) -> None:
        """Append an event and update the order's state."""
        values: dict[str, Any] = {"reason": "", "error_code": "", "refused": False}
        event = replace(self.orders[order], **(values | changes))
        self.orders[order] = event
        self.trail.append(event)

    def submit(self, quantity: int) -> None:
        self.quantities.append(quantity)
        self.orders.append(Recorded(len(self.orders), "SUBMITTED", "PENDING", 0, Decimal(0)))
        self.trail.append(self.orders[-1])

    def cancel(self, order: int, reason: str) -> str:
        if self.orders[order].status in OPEN:
            self.record(order, action="CANCELLED", status="CANCELLED", reason=reason)
            return "applied"
        ever = any(event.order == order and event.action == "CANCELLED" for event in self.trail)
        return "replayed" if ever else "ORDER_CLOSED"

    def cancel_all(self, reason: str) -> int:
        still = [order for order, state in enumerate(self.orders) if state.status in OPEN]
        for order in still:
            self.record(order, action="CANCELLED", status="CANCELLED", reason=reason)
        return len(still)

    def refuse(self, order: int, code: str, reason: str) -> str:
        self.record(order, action="REJECTED", error_code=code, reason=reason, refused=True)
        return code

    def fill(self, order: int, quantity: int, price: Decimal) -> str:
        state, whole = self.orders[order], self.quantities[order]
        left = whole - state.filled
        if quantity > left:
            return self.refuse(order, "OVERFILL", f"FILLED refused: {left} of {whole} left")
        late = state.status in {"CANCELLED", "REJECTED"}
        status = "FILLED" if quantity == left else state.status if late else "PARTIAL"
        filled, notional = state.filled + quantity, state.notional + quantity * price
        reason = "LATE_FILL" if late else ""
        self.record(order, action="FILLED", status=status, filled=filled, notional=notional, reason=reason)
        return "applied"

    def report(self, order: int, action: str, reason: str) -> str:
        status = self.orders[order].status
        closed = status not in (OPEN | {"CANCELLED"} if action == "CANCELLED" else OPEN)
        if action in {"APPROVED", "REJECTED", "CANCELLED"} and closed:
            return self.refuse(order, "ORDER_CLOSED", f"{action} refused" + (f": {reason}" if reason else ""))
        after = action if action in {"REJECTED", "CANCELLED"} else status
        self.record(order, action=action, status=after, reason=reason)
        return "applied"


NUMBER = st.integers(0, 5)
QUANTITY = st.integers(1, 12)
PRICE = st.decimals(Decimal("0.00000001"), Decimal("9999999999.99999999"), places=8)
REASON = st.sampled_from(["", "no"])
STEP = st.one_of(
    st.tuples(st.just("submit"), QUANTITY),
    st.tuples(st.just("cancel"), NUMBER, REASON),
    st.tuples(st.just("cancel all"), REASON),
    st.tuples(st.just("fill"), NUMBER, QUANTITY, PRICE),
    st.tuples(st.just("fill"), NUMBER, QUANTITY, PRICE),
    st.tuples(st.sampled_from(["executed", "cancelled"]), NUMBER, REASON),
    st.tuples(st.sampled_from(["approved", "recovered"]), NUMBER, st.just("")),
    st.tuples(st.just("rejected"), NUMBER, st.just("no")),
    st.tuples(st.just("again")),
)
REPORTS: dict[str, Any] = {
    "approved": reports_pb.ApprovedReport,
    "executed": reports_pb.ExecutedReport,
    "recovered": reports_pb.RecoveredReport,
    "rejected": reports_pb.RejectedReport,
    "cancelled": reports_pb.CancelledReport,
}


class Desk:
    """Takes each step on the server and in the model, and compares the outcomes."""

    def __init__(self, blotter: Blotter) -> None:
        self.blotter = blotter
        self.book = Book()
        self.orders: list[order_pb2.Order] = []
        self.symbol = uuid4().hex[:22]
        self.last: tuple[Any, str] | None = None

    async def take(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("submit", quantity):
                self.book.submit(quantity)
                request = order_request(quantity=quantity, symbol=self.symbol)
                self.orders.append((await self.blotter.orders.SubmitOrder(request, metadata=A)).order)
            case ("cancel all", reason):
                cancel_all = pb.CancelAllOrdersRequest(symbol=self.symbol, reason=reason)
                answer = await self.blotter.orders.CancelAllOrders(cancel_all, metadata=A)
                assert answer.cancelled_count == self.book.cancel_all(reason)
            case ("again",):
                if self.last:
                    request, expected = self.last
                    expected = "replayed" if expected == "applied" else expected
                    assert (
                        await self.outcome(self.blotter.orders.ReportExecution(request, metadata=EXECUTION)) == expected
                    )
            case (_, number, *_) if number >= len(self.orders):
                pass
            case ("cancel", number, reason):
                cancel = pb.CancelOrderRequest(order_id=self.orders[number].order_id, reason=reason)
                call = self.blotter.orders.CancelOrder(cancel, metadata=A)
                assert await self.outcome(call) == self.book.cancel(number, reason)
            case ("fill", number, quantity, price):
                fill = reports_pb.FillReport(execution_id=uuid4().hex, quantity=quantity, price=f"{price:f}")
                await self.report(number, self.book.fill(number, quantity, price), fill=fill)
            case (kind, number, reason):
                named = {"reason": reason} if reason else {}
                expected = self.book.report(number, kind.upper(), reason)
                await self.report(number, expected, **{kind: REPORTS[kind](**named)})

    async def report(self, number: int, expected: str, **report: Any) -> None:
        request = report_request(self.orders[number], **report)
        assert await self.outcome(self.blotter.orders.ReportExecution(request, metadata=EXECUTION)) == expected
        self.last = request, expected

    async def outcome(self, call: Any) -> str:
        """Return `applied`, `replayed`, or the reason of the refusal."""
        try:
            return "replayed" if (await call).replayed else "applied"
        except aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.FAILED_PRECONDITION:
                raise
            return reason_of(error)

    async def compare(self) -> None:
        """Compare the trail and the orders with the model."""
        logs = [log async for log in self.logs()]
        first = logs[0].sequence if logs else 0
        assert [log.sequence for log in logs] == list(range(first, first + len(logs)))
        number = {order.order_id: index for index, order in enumerate(self.orders)}
        assert [as_recorded(log, number) for log in logs] == self.book.trail
        for index, order in enumerate(self.orders):
            request = pb.GetOrderRequest(order_id=order.order_id)
            now = (await self.blotter.orders.GetOrder(request, metadata=A)).order
            [*_, last] = (log for log in logs if log.order_id == order.order_id)
            assert now == last.order
            state = self.book.orders[index]
            assert (now.filled_quantity, Decimal(now.filled_notional)) == (state.filled, state.notional)
            assert now.average_fill_price == average(state)

    async def logs(self) -> Any:
        """The trader's trail since this desk's first order."""
        if not self.orders:
            return
        request = audit_pb.ListExecutionLogsRequest(page_size=1000, sort_order=audit_pb.SORT_ORDER_NEWEST_FIRST)
        answer = await self.blotter.audit.ListExecutionLogs(request, metadata=A)
        for log in list(mine(answer.execution_logs, self.orders[0].last_sequence))[::-1]:
            yield log


def mine(logs: Any, since: int) -> Iterator[Any]:
    return (log for log in logs if log.sequence >= since)


def as_recorded(log: Any, number: dict[str, int]) -> Recorded:
    """An event of the trail in the model's form."""
    assert log.order.status == log.status
    assert log.order.last_sequence == log.sequence
    assert log.HasField("fill") == (log.action == order_pb2.ACTION_FILLED or log.error_code == "OVERFILL")
    assert bool(log.fill.fill_id) == (log.action == order_pb2.ACTION_FILLED)
    return Recorded(
        number[log.order_id],
        order_pb2.Action.Name(log.action).removeprefix("ACTION_"),
        order_pb2.OrderStatus.Name(log.status).removeprefix("ORDER_STATUS_"),
        log.order.filled_quantity,
        Decimal(log.order.filled_notional),
        log.reason,
        log.error_code,
        log.refused,
    )


def average(state: Recorded) -> str:
    """Notional / quantity to eight decimals, without trailing zeros."""
    if not state.filled:
        return ""
    with localcontext(prec=60):
        text = format((state.notional / state.filled).quantize(Decimal("1e-8"), rounding=ROUND_HALF_UP), "f")
    return text.rstrip("0").rstrip(".")


@given(st.lists(STEP, min_size=1, max_size=25))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_sequence_has_the_outcome_that_the_model_computes(
    blotter: Blotter, steps: list[tuple[Any, ...]]
) -> None:
    desk = Desk(blotter)
    for step in [("submit", 10), *steps]:
        await desk.take(step)
    await desk.compare()
