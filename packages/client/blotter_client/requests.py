"""Functions that build the request messages of orders and reports from Python values."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_service_pb2 as pb
from blotter_client.enums import OrderType, Side
from blotter_client.values import decimal_text, timestamp


def new_order(
    symbol: str,
    side: Side,
    order_type: OrderType,
    quantity: int,
    price: Decimal | None = None,
    *,
    stop_loss: Decimal | None = None,
    take_profit: Decimal | None = None,
    expire_time: datetime | None = None,
    client_order_id: str | None = None,
) -> pb.SubmitOrderRequest:
    """Return an order to enter: quantity in shares, prices per share.

    Generates a client_order_id if none is given. Raises TypeError for a price that is a float and ValueError for
    a time without a time zone; the service checks the rest.
    """
    return pb.SubmitOrderRequest(
        client_order_id=client_order_id or str(uuid4()),
        symbol=symbol,
        side=side.value,
        order_type=order_type.value,
        quantity=quantity,
        price=decimal_text(price),
        stop_loss=decimal_text(stop_loss),
        take_profit=decimal_text(take_profit),
        expire_time=timestamp(expire_time),
    )


def approved(
    trader_id: UUID | str,
    order_id: UUID | str,
    *,
    report_id: str | None = None,
    venue: str = "",
    event_time: datetime | None = None,
) -> reports_pb.ReportExecutionRequest:
    """Return the report that an order passed its checks."""
    report = _report(trader_id, order_id, report_id, venue, event_time)
    report.approved.SetInParent()
    return report


def executed(
    trader_id: UUID | str,
    order_id: UUID | str,
    *,
    retry_attempt: int = 0,
    error_code: str = "",
    reason: str = "",
    report_id: str | None = None,
    venue: str = "",
    event_time: datetime | None = None,
) -> reports_pb.ReportExecutionRequest:
    """Return the report that an order was sent or, with an error code, that the attempt failed."""
    report = _report(trader_id, order_id, report_id, venue, event_time)
    report.executed.CopyFrom(
        reports_pb.ExecutedReport(retry_attempt=retry_attempt, error_code=error_code, reason=reason)
    )
    return report


def recovered(
    trader_id: UUID | str,
    order_id: UUID | str,
    retry_attempt: int,
    *,
    report_id: str | None = None,
    venue: str = "",
    event_time: datetime | None = None,
) -> reports_pb.ReportExecutionRequest:
    """Return the report that a retry succeeded after a failed attempt."""
    report = _report(trader_id, order_id, report_id, venue, event_time)
    report.recovered.CopyFrom(reports_pb.RecoveredReport(retry_attempt=retry_attempt))
    return report


def filled(
    trader_id: UUID | str,
    order_id: UUID | str,
    quantity: int,
    price: Decimal,
    *,
    execution_id: str,
    venue: str,
    event_time: datetime,
    commission: Decimal | None = None,
    report_id: str | None = None,
) -> reports_pb.ReportExecutionRequest:
    """Return the report of a fill of `quantity` shares at `price` a share, with the venue's execution id and time."""
    report = _report(trader_id, order_id, report_id, venue, event_time)
    report.fill.CopyFrom(
        reports_pb.FillReport(
            execution_id=execution_id,
            quantity=quantity,
            price=decimal_text(price),
            commission=decimal_text(commission),
        )
    )
    return report


def rejected(
    trader_id: UUID | str,
    order_id: UUID | str,
    reason: str,
    *,
    error_code: str = "",
    report_id: str | None = None,
    venue: str = "",
    event_time: datetime | None = None,
) -> reports_pb.ReportExecutionRequest:
    """Return the report that the venue, or a check before it, rejected an order."""
    report = _report(trader_id, order_id, report_id, venue, event_time)
    report.rejected.CopyFrom(reports_pb.RejectedReport(reason=reason, error_code=error_code))
    return report


def cancelled(
    trader_id: UUID | str,
    order_id: UUID | str,
    *,
    reason: str = "",
    report_id: str | None = None,
    venue: str = "",
    event_time: datetime | None = None,
) -> reports_pb.ReportExecutionRequest:
    """Return the report that the venue cancelled an order or confirmed a cancel."""
    report = _report(trader_id, order_id, report_id, venue, event_time)
    report.cancelled.CopyFrom(reports_pb.CancelledReport(reason=reason))
    return report


def order_name(order_id: UUID | str | None, client_order_id: str | None) -> dict[str, Any]:
    """Return the request fields that identify an order. Raises ValueError if both ids are given."""
    if order_id is not None and client_order_id is not None:
        raise ValueError("give either order_id or client_order_id, not both")
    named = {"order_id": order_id, "client_order_id": client_order_id}
    return {name: str(value) for name, value in given(**named).items()}


def given(**values: Any) -> dict[str, Any]:
    """Return the values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def _report(
    trader_id: UUID | str,
    order_id: UUID | str,
    report_id: str | None,
    venue: str,
    event_time: datetime | None,
) -> reports_pb.ReportExecutionRequest:
    # A report without a report_id is not safe to retry.
    return reports_pb.ReportExecutionRequest(
        trader_id=str(trader_id),
        order_id=str(order_id),
        report_id=report_id or str(uuid4()),
        venue=venue,
        event_time=timestamp(event_time),
    )
