"""Cancels and replaces, and the reports that answer them, in few words."""

from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from blotter.audit.v1 import audit_service_pb2 as audit_pb
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2, request_pb2, terms_pb2
from blotter.orders.v1 import order_service_pb2 as pb
from tests.conftest import ALICE
from tests.serving import Blotter, as_trader

A = as_trader(ALICE)
CANCEL, REPLACE = terms_pb2.REQUEST_KIND_CANCEL, terms_pb2.REQUEST_KIND_REPLACE
TOO_LATE = reports_pb.REFUSAL_REASON_TOO_LATE_TO_CANCEL


async def cancel(blotter: Blotter, order: order_pb2.Order, **changes: Any) -> pb.CancelOrderResponse:
    """Cancel one of Alice's orders."""
    named = {} if "client_order_id" in changes else {"order_id": order.order_id}
    response: pb.CancelOrderResponse = await blotter.orders.CancelOrder(
        pb.CancelOrderRequest(**named, **changes), metadata=A
    )
    return response


def replacing(
    order: order_pb2.Order, mask: list[str] | None = None, request_key: str = "", **terms: Any
) -> request_pb2.ReplaceOrderRequest:
    """A request to replace the terms."""
    return request_pb2.ReplaceOrderRequest(
        order_id=order.order_id,
        request_key=request_key,
        terms=terms_pb2.OrderTerms(**terms),
        update_mask=None if mask is None else FieldMask(paths=mask),
    )


async def replace(
    blotter: Blotter, order: order_pb2.Order, mask: list[str] | None = None, request_key: str = "", **terms: Any
) -> request_pb2.ReplaceOrderResponse:
    """Replace the terms of one of Alice's orders."""
    request = replacing(order, mask, request_key, **terms)
    response: request_pb2.ReplaceOrderResponse = await blotter.orders.ReplaceOrder(request, metadata=A)
    return response


async def at_venue(blotter: Blotter, **changes: Any) -> order_pb2.Order:
    """An order of Alice's that a gateway has."""
    return await blotter.report(await blotter.submit(**changes), executed=reports_pb.ExecutedReport())


async def get(blotter: Blotter, **key: str) -> pb.GetOrderResponse:
    """One of Alice's orders, and its requests."""
    response: pb.GetOrderResponse = await blotter.orders.GetOrder(pb.GetOrderRequest(**key), metadata=A)
    return response


async def logs(blotter: Blotter) -> list[Any]:
    """Alice's audit trail, oldest first."""
    request = audit_pb.ListExecutionLogsRequest(page_size=1000)
    return list((await blotter.audit.ListExecutionLogs(request, metadata=A)).execution_logs)


async def fills_of(blotter: Blotter, order: order_pb2.Order) -> list[order_pb2.Fill]:
    """The fills of one of Alice's orders, newest first."""
    return list((await blotter.orders.ListFills(pb.ListFillsRequest(order_id=order.order_id), metadata=A)).fills)
