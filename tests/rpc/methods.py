"""Every RPC of the contract, its request and the callers that may call it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from blotter.audit.v1 import audit_service_pb2, inspection_pb2, ledger_pb2
from blotter.orders.v1 import cancel_timer_pb2, order_pb2, order_service_pb2, request_pb2, terms_pb2, watch_pb2
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from service.domain.identity import CallerKind
from tests.conftest import ALICE
from tests.isolation.desk import EQUITIES
from tests.serving import COMPLIANCE, EXECUTION, Blotter, as_desk, as_trader, order_request, report_request


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC: its service, its request, and the kinds of callers that may call it."""

    service: str
    request: type[Any]
    callers: tuple[str, ...]
    streaming: bool = False


TRADER = ("trader",)
READERS = ("trader", "desk")
COMPLIANCE_ALONE = ("compliance",)
METHODS = {
    "SubmitOrder": Method("orders", order_service_pb2.SubmitOrderRequest, TRADER),
    "BatchSubmitOrders": Method("orders", order_service_pb2.BatchSubmitOrdersRequest, TRADER),
    "GetOrder": Method("orders", order_service_pb2.GetOrderRequest, READERS),
    "ListOrders": Method("orders", order_service_pb2.ListOrdersRequest, READERS),
    "ListFills": Method("orders", order_service_pb2.ListFillsRequest, READERS),
    "CancelOrder": Method("orders", order_service_pb2.CancelOrderRequest, TRADER),
    "BatchCancelOrders": Method("orders", order_service_pb2.BatchCancelOrdersRequest, TRADER),
    "ReplaceOrder": Method("orders", request_pb2.ReplaceOrderRequest, TRADER),
    "BatchReplaceOrders": Method("orders", request_pb2.BatchReplaceOrdersRequest, TRADER),
    "ListRequests": Method("orders", request_pb2.ListRequestsRequest, READERS),
    "CancelAllAfter": Method("orders", cancel_timer_pb2.CancelAllAfterRequest, TRADER),
    "GetCancelTimer": Method("orders", cancel_timer_pb2.GetCancelTimerRequest, TRADER),
    "CancelAllOrders": Method("orders", order_service_pb2.CancelAllOrdersRequest, TRADER),
    "WatchOrders": Method("orders", watch_pb2.WatchOrdersRequest, tuple(CallerKind), streaming=True),
    "ReportExecution": Method("orders", reports_pb.ReportExecutionRequest, ("execution",)),
    "BatchReportExecutions": Method("orders", reports_pb.BatchReportExecutionsRequest, ("execution",)),
    "ListExecutionLogs": Method("audit", audit_service_pb2.ListExecutionLogsRequest, ("trader", "compliance")),
    "StreamExecutionLogs": Method(
        "audit", audit_service_pb2.StreamExecutionLogsRequest, ("trader", "execution", "compliance"), streaming=True
    ),
    "GetOrderAsOf": Method("audit", inspection_pb2.GetOrderAsOfRequest, COMPLIANCE_ALONE),
    "ReconcileOrders": Method("audit", inspection_pb2.ReconcileOrdersRequest, COMPLIANCE_ALONE, streaming=True),
    "GetCheckpoint": Method("audit", ledger_pb2.GetCheckpointRequest, COMPLIANCE_ALONE),
    "GetInclusionProof": Method("audit", ledger_pb2.GetInclusionProofRequest, COMPLIANCE_ALONE),
    "GetConsistencyProof": Method("audit", ledger_pb2.GetConsistencyProofRequest, COMPLIANCE_ALONE),
    "ExportExecutionLogs": Method("audit", ledger_pb2.ExportExecutionLogsRequest, COMPLIANCE_ALONE, streaming=True),
    "ListAuditAccess": Method("audit", inspection_pb2.ListAuditAccessRequest, COMPLIANCE_ALONE),
}
CALLERS = {
    "trader": as_trader(ALICE),
    "execution": EXECUTION,
    "compliance": COMPLIANCE,
    "desk": as_desk(EQUITIES),  # `assign` of tests/isolation/desk.py registers it
}


def valid_requests(order: order_pb2.Order) -> Mapping[str, Any]:
    """A valid request of each method; those that need an order name this one."""
    fill = reports_pb.FillReport(execution_id=uuid4().hex, quantity=1, price="1")
    report = report_request(order, fill=fill)
    cancel = order_service_pb2.CancelOrderRequest(order_id=order.order_id, request_key=uuid4().hex)
    replace = request_pb2.ReplaceOrderRequest(
        order_id=order.order_id, request_key=uuid4().hex, terms=terms_pb2.OrderTerms(quantity=50)
    )
    requests: dict[str, Any] = {name: method.request() for name, method in METHODS.items()}
    return requests | {
        "SubmitOrder": order_request(),
        "BatchSubmitOrders": order_service_pb2.BatchSubmitOrdersRequest(orders=[order_request()]),
        "GetOrder": order_service_pb2.GetOrderRequest(order_id=order.order_id),
        "CancelOrder": order_service_pb2.CancelOrderRequest(order_id=order.order_id),
        "BatchCancelOrders": order_service_pb2.BatchCancelOrdersRequest(requests=[cancel]),
        "ReplaceOrder": replace,
        "BatchReplaceOrders": request_pb2.BatchReplaceOrdersRequest(requests=[replace]),
        "ListRequests": request_pb2.ListRequestsRequest(order_id=order.order_id),
        "CancelAllAfter": cancel_timer_pb2.CancelAllAfterRequest(timeout=Duration(seconds=3600)),
        "GetOrderAsOf": inspection_pb2.GetOrderAsOfRequest(
            order_id=order.order_id, time=Timestamp(seconds=4_000_000_000)
        ),
        "GetInclusionProof": ledger_pb2.GetInclusionProofRequest(position=0, tree_size=1),
        "GetConsistencyProof": ledger_pb2.GetConsistencyProofRequest(old_tree_size=1, new_tree_size=1),
        "GetCheckpoint": ledger_pb2.GetCheckpointRequest(tree_size=1),
        "ReportExecution": report,
        "BatchReportExecutions": reports_pb.BatchReportExecutionsRequest(reports=[report]),
    }


async def ask(blotter: Blotter, name: str, request: Any, metadata: Any = None, within: float | None = None) -> Any:
    """The response of an RPC, or the first message of a stream. Without metadata the caller is one that may call it."""
    method = METHODS[name]
    if metadata is None:
        metadata = CALLERS[method.callers[0]]
    call = getattr(getattr(blotter, method.service), name)(request, metadata=metadata, timeout=within)
    if not method.streaming:
        return await call
    try:
        return await call.read()
    finally:
        call.cancel()
