"""One order, played through the public contract by its trader and a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any
from uuid import UUID, uuid4

from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from blotter.audit.v1 import inspection_pb2
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2, order_service_pb2, request_pb2, terms_pb2
from tests.conftest import ALICE, Database
from tests.rpc.errors import reason_of
from tests.serving import COMPLIANCE, EXECUTION, Blotter, as_trader, order_request, report_request

FIRST_DAY = 1_340_285_400
"""2012-06-21 13:30 UTC, in seconds."""
DAY = timedelta(days=1)

STATUSES = {number: name.removeprefix("ORDER_STATUS_") for name, number in order_pb2.OrderStatus.items()}
KINDS = {number: name.removeprefix("REQUEST_KIND_") for name, number in terms_pb2.RequestKind.items()}
TIMES_IN_FORCE = {name.removeprefix("TIME_IN_FORCE_"): number for name, number in terms_pb2.TimeInForce.items()}
REFUSAL_REASONS = {name.removeprefix("REFUSAL_REASON_"): number for name, number in reports_pb.RefusalReason.items()}


class Play:
    """The calls of the trader and of the gateway, and the answer to the last one.

    `refusal` is the reason of the last call's refusal, empty where it was done; `replayed` is that of its answer.
    """

    def __init__(self, blotter: Blotter, trader_id: UUID = ALICE) -> None:
        self._blotter = blotter
        self._trader_id = trader_id
        self._as_trader = as_trader(trader_id)
        self.order = order_pb2.Order()
        self.refusal = ""
        self.replayed = False
        self.day = 0
        self.reports: list[reports_pb.ReportExecutionRequest] = []

    async def submit(self, **changes: Any) -> None:
        """Enter the order."""
        await self._take(self._blotter.orders.SubmitOrder(order_request(**changes), metadata=self._as_trader))

    async def sent(self) -> None:
        """The gateway has the order and sends it to the venue."""
        await self.report(executed=reports_pb.ExecutedReport())

    async def cancel(self, request_key: str = "", *, of: str = "", reason: str = "") -> None:
        """Cancel the order, named by one of its keys, or by its id."""
        request = order_service_pb2.CancelOrderRequest(**self._named(of), request_key=request_key, reason=reason)
        await self._take(self._blotter.orders.CancelOrder(request, metadata=self._as_trader))

    async def replace(self, request_key: str = "", *, of: str = "", expected: int | None = None, **terms: Any) -> None:
        """Replace terms of the order, named by one of its keys, or by its id."""
        request = request_pb2.ReplaceOrderRequest(
            **self._named(of),
            request_key=request_key,
            terms=terms_pb2.OrderTerms(**terms),
            expected_last_sequence=expected,
        )
        await self._take(self._blotter.orders.ReplaceOrder(request, metadata=self._as_trader))

    async def fill(self, execution_id: str, quantity: int, price: str = "585.33", **changes: Any) -> None:
        """Report a fill."""
        fill = reports_pb.FillReport(execution_id=execution_id, quantity=quantity, price=price)
        await self.report(fill=fill, **changes)

    async def correct(self, execution_id: str, of: str, quantity: int, price: str = "585.33", **more: Any) -> None:
        """Report the correction of a fill, which is named by its id or by that of a correction of it."""
        corrected = reports_pb.FillCorrectedReport(
            execution_id=execution_id, ref_execution_id=of, quantity=quantity, price=price, **more
        )
        await self.report(fill_corrected=corrected)

    async def bust(self, execution_id: str, of: str, **more: Any) -> None:
        """Report the bust of a fill."""
        await self.report(
            fill_busted=reports_pb.FillBustedReport(execution_id=execution_id, ref_execution_id=of, **more)
        )

    async def cancelled(self, reason: str = "", **changes: Any) -> None:
        """Report that the venue cancelled the order."""
        await self.report(cancelled=reports_pb.CancelledReport(reason=reason), **changes)

    async def refuse_cancel(self, request_key: str = "", cause: str = "OTHER") -> None:
        """Report that the venue refused a cancel."""
        refused = reports_pb.CancelRefusedReport(refusal_reason=REFUSAL_REASONS[cause])
        await self.report(cancel_refused=refused, request_key=request_key)

    async def refuse_replace(self, request_key: str = "", cause: str = "OTHER") -> None:
        """Report that the venue refused a replace."""
        refused = reports_pb.ReplaceRefusedReport(refusal_reason=REFUSAL_REASONS[cause])
        await self.report(replace_refused=refused, request_key=request_key)

    async def report(self, **report: Any) -> None:
        """Make a report, on the current day; a new report_id unless one is given."""
        moment = Timestamp(seconds=FIRST_DAY + self.day * int(DAY.total_seconds()))
        request = report_request(self.order, **({"event_time": moment} | report))
        self.reports.append(request)
        await self.again(request)

    async def again(self, request: reports_pb.ReportExecutionRequest) -> None:
        """Make this report."""
        await self._take(self._blotter.orders.ReportExecution(request, metadata=EXECUTION))

    async def look(self, of: str = "") -> order_pb2.Order:
        """Return the order as it is now, and check that the last answer showed it so."""
        request = order_service_pb2.GetOrderRequest(**self._named(of))
        found: order_pb2.Order = (await self._blotter.orders.GetOrder(request, metadata=self._as_trader)).order
        if not self.refusal:
            assert self.order == found, "the answer shows the order as it is"
        self.order = found
        return found

    async def requests(self) -> list[tuple[str, str]]:
        """Return the key of each request of the order and what became of it, oldest first."""
        request = request_pb2.ListRequestsRequest(order_id=self.order.order_id)
        answer = await self._blotter.orders.ListRequests(request, metadata=self._as_trader)
        names = request_pb2.RequestOutcome.Name
        outcomes = [(one.request_key, names(one.outcome).removeprefix("REQUEST_OUTCOME_")) for one in answer.requests]
        return outcomes[::-1]

    async def fills(self) -> list[order_pb2.Fill]:
        """Return the fills of the order, oldest first."""
        request = order_service_pb2.ListFillsRequest(order_id=self.order.order_id)
        answer = await self._blotter.orders.ListFills(request, metadata=self._as_trader)
        return list(answer.fills)[::-1]

    async def discrepancies(self) -> list[str]:
        """Return the kinds of what the reconciliation finds for the trader."""
        request = inspection_pb2.ReconcileOrdersRequest(trader_id=str(self._trader_id))
        stream = self._blotter.audit.ReconcileOrders(request, metadata=COMPLIANCE)
        found = [step.discrepancy.kind async for step in stream if step.HasField("discrepancy")]
        return [inspection_pb2.DiscrepancyKind.Name(kind).removeprefix("DISCREPANCY_KIND_") for kind in found]

    def _named(self, key: str) -> dict[str, Any]:
        return {"client_order_id": key} if key else {"order_id": self.order.order_id}

    async def _take(self, call: Any) -> None:
        try:
            answer = await call
        except aio.AioRpcError as error:
            self.refusal, self.replayed = reason_of(error), False
        else:
            self.order, self.refusal, self.replayed = answer.order, "", answer.replayed


def standing(order: order_pb2.Order) -> str:
    """Return `STATUS quantity filled open`, and where they are: `+excess`, `KIND key` of the pending request."""
    words = [STATUSES[order.status], str(order.quantity), str(order.filled_quantity), str(order.leaves_quantity)]
    if order.excess_quantity:
        words.append(f"+{order.excess_quantity}")
    if order.HasField("pending_request"):
        words += [KINDS[order.pending_request.kind], order.pending_request.request_key]
    return " ".join(words)


def average_of(fills: Mapping[str, tuple[int, Decimal]]) -> str:
    """Return the average price of the fills, by any key, as the contract writes it."""
    quantity = sum(quantity for quantity, _ in fills.values())
    if not quantity:
        return ""
    with localcontext(prec=60):
        exact = sum((quantity * price for quantity, price in fills.values()), Decimal(0)) / quantity
        return format(exact.quantize(Decimal("1e-8"), rounding=ROUND_HALF_UP).normalize(), "f")


def new_key() -> str:
    """Return a key that was not used before."""
    return uuid4().hex


def new_trader(database: Database) -> UUID:
    """Register a trader and return the id."""
    trader_id = uuid4()
    values = f"('{trader_id}', 'trader {trader_id}')"
    database.cluster.psql(f"INSERT INTO traders (id, name) VALUES {values}", user="blotter_owner", dbname=database.name)
    return trader_id
