"""Functions that build the request messages of orders and reports from Python values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID, uuid4

from google.protobuf.field_mask_pb2 import FieldMask

from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_service_pb2 as pb
from blotter.orders.v1 import request_pb2, terms_pb2
from blotter_client.enums import OrderType, RefusalReason, SecurityIdSource, ShortSale, Side, TimeInForce
from blotter_client.values import date_text, decimal_text, timestamp

_ENUMS: Final[Mapping[str, type[Enum]]] = {
    "side": Side,
    "order_type": OrderType,
    "time_in_force": TimeInForce,
    "security_id_source": SecurityIdSource,
    "short_sale": ShortSale,
    "refusal_reason": RefusalReason,
}


class Unchanged(Enum):
    """The type of UNCHANGED."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED
"""The value of a term that a replace does not change. None clears the term."""


def new_order(
    symbol: str,
    side: Side,
    order_type: OrderType,
    quantity: int,
    price: Decimal | None = None,
    *,
    stop_price: Decimal | None = None,
    stop_loss: Decimal | None = None,
    take_profit: Decimal | None = None,
    time_in_force: TimeInForce | None = None,
    expire_time: datetime | None = None,
    account: str = "",
    labels: Mapping[str, str] | None = None,
    parent_order_id: str = "",
    currency: str = "",
    security_id: str = "",
    security_id_source: SecurityIdSource | None = None,
    short_sale: ShortSale | None = None,
    exempt_from_cancel_timer: bool = False,
    client_order_id: str | None = None,
) -> pb.SubmitOrderRequest:
    """Return an order to enter: quantity in shares, prices per share.

    Generates a client_order_id if none is given. Raises TypeError for a price that is a float, or a side or
    another choice that is not of its enum, and ValueError for a time without a time zone; the service checks the rest.
    """
    return pb.SubmitOrderRequest(
        client_order_id=client_order_id or str(uuid4()),
        symbol=symbol,
        quantity=quantity,
        price=decimal_text(price),
        stop_price=decimal_text(stop_price),
        stop_loss=decimal_text(stop_loss),
        take_profit=decimal_text(take_profit),
        expire_time=timestamp(expire_time),
        account=account,
        labels=labels,
        parent_order_id=parent_order_id,
        currency=currency,
        security_id=security_id,
        exempt_from_cancel_timer=exempt_from_cancel_timer,
        **_numbers(
            side=side,
            order_type=order_type,
            time_in_force=time_in_force,
            security_id_source=security_id_source,
            short_sale=short_sale,
        ),
    )


def new_cancel(
    order_id: UUID | str | None = None,
    *,
    client_order_id: str | None = None,
    request_key: str | None = None,
    reason: str = "",
) -> pb.CancelOrderRequest:
    """Return a request to cancel an order. Generates a request_key if none is given.

    Raises ValueError if both ids are given.
    """
    return pb.CancelOrderRequest(
        **order_name(order_id, client_order_id), request_key=request_key or str(uuid4()), reason=reason
    )


def new_replace(
    order_id: UUID | str | None = None,
    *,
    client_order_id: str | None = None,
    quantity: int | Unchanged = UNCHANGED,
    price: Decimal | Unchanged | None = UNCHANGED,
    stop_price: Decimal | Unchanged | None = UNCHANGED,
    stop_loss: Decimal | Unchanged | None = UNCHANGED,
    take_profit: Decimal | Unchanged | None = UNCHANGED,
    time_in_force: TimeInForce | Unchanged | None = UNCHANGED,
    expire_time: datetime | Unchanged | None = UNCHANGED,
    expected_last_sequence: int | None = None,
    request_key: str | None = None,
    reason: str = "",
) -> request_pb2.ReplaceOrderRequest:
    """Return a request to replace terms of an order: those that are given, None to clear one.

    Generates a request_key if none is given. Raises ValueError if both ids are given, and for a time without a time
    zone; TypeError for a price that is a float. The service checks the rest.
    """
    terms = {
        "quantity": quantity,
        "price": _term(price),
        "stop_price": _term(stop_price),
        "stop_loss": _term(stop_loss),
        "take_profit": _term(take_profit),
        "time_in_force": time_in_force.value if isinstance(time_in_force, TimeInForce) else time_in_force,
        "expire_time": expire_time if isinstance(expire_time, Unchanged) else timestamp(expire_time),
    }
    changed: dict[str, Any] = {name: value for name, value in terms.items() if value is not UNCHANGED}
    return request_pb2.ReplaceOrderRequest(
        **order_name(order_id, client_order_id),
        request_key=request_key or str(uuid4()),
        terms=terms_pb2.OrderTerms(**changed),
        update_mask=FieldMask(paths=changed),
        expected_last_sequence=expected_last_sequence,
        reason=reason,
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
    """Return the report that the gateway has the order and sends it or, with an error code, that the attempt failed.

    Report it before the order is sent: from then on cancels and replaces wait for the venue's answer.
    """
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
    trade_date: date | None = None,
    commission: Decimal | None = None,
    report_id: str | None = None,
) -> reports_pb.ReportExecutionRequest:
    """Return the report of a fill of `quantity` shares at `price` a share, with the venue's execution id and time.

    Without a trade date it is the date of `event_time` in UTC.
    """
    report = _report(trader_id, order_id, report_id, venue, event_time, trade_date=trade_date)
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
    expired: bool = False,
    request_key: str = "",
    report_id: str | None = None,
    venue: str = "",
    event_time: datetime | None = None,
) -> reports_pb.ReportExecutionRequest:
    """Return the report that the venue cancelled an order, confirmed a cancel or, with `expired`, let it expire."""
    report = _report(trader_id, order_id, report_id, venue, event_time, request_key=request_key)
    report.cancelled.CopyFrom(reports_pb.CancelledReport(reason=reason, expired=expired))
    return report


def replaced(
    trader_id: UUID | str,
    order_id: UUID | str,
    *,
    reason: str = "",
    request_key: str = "",
    report_id: str | None = None,
    venue: str = "",
    event_time: datetime | None = None,
) -> reports_pb.ReportExecutionRequest:
    """Return the report that the venue accepted the pending replace."""
    report = _report(trader_id, order_id, report_id, venue, event_time, request_key=request_key)
    report.replaced.CopyFrom(reports_pb.ReplacedReport(reason=reason))
    return report


def cancel_refused(
    trader_id: UUID | str,
    order_id: UUID | str,
    refusal_reason: RefusalReason,
    *,
    reason: str = "",
    request_key: str = "",
    report_id: str | None = None,
    venue: str = "",
    event_time: datetime | None = None,
) -> reports_pb.ReportExecutionRequest:
    """Return the report that the venue refused a cancel."""
    report = _report(trader_id, order_id, report_id, venue, event_time, request_key=request_key)
    report.cancel_refused.CopyFrom(
        reports_pb.CancelRefusedReport(reason=reason, **_numbers(refusal_reason=refusal_reason))
    )
    return report


def replace_refused(
    trader_id: UUID | str,
    order_id: UUID | str,
    refusal_reason: RefusalReason,
    *,
    reason: str = "",
    request_key: str = "",
    report_id: str | None = None,
    venue: str = "",
    event_time: datetime | None = None,
) -> reports_pb.ReportExecutionRequest:
    """Return the report that the venue refused a replace."""
    report = _report(trader_id, order_id, report_id, venue, event_time, request_key=request_key)
    report.replace_refused.CopyFrom(
        reports_pb.ReplaceRefusedReport(reason=reason, **_numbers(refusal_reason=refusal_reason))
    )
    return report


def restated(
    trader_id: UUID | str,
    order_id: UUID | str,
    *,
    quantity: int | None = None,
    price: Decimal | None = None,
    reason: str = "",
    report_id: str | None = None,
    venue: str = "",
    event_time: datetime | None = None,
) -> reports_pb.ReportExecutionRequest:
    """Return the report that the venue restated the order: its quantity, its price, both, or neither."""
    report = _report(trader_id, order_id, report_id, venue, event_time)
    report.restated.CopyFrom(
        reports_pb.RestatedReport(quantity=quantity or 0, price=decimal_text(price), reason=reason)
    )
    return report


def done_for_day(
    trader_id: UUID | str,
    order_id: UUID | str,
    *,
    reason: str = "",
    report_id: str | None = None,
    venue: str = "",
    event_time: datetime | None = None,
) -> reports_pb.ReportExecutionRequest:
    """Return the report that the venue is done with the order for the day."""
    report = _report(trader_id, order_id, report_id, venue, event_time)
    report.done_for_day.CopyFrom(reports_pb.DoneForDayReport(reason=reason))
    return report


def fill_corrected(
    trader_id: UUID | str,
    order_id: UUID | str,
    ref_execution_id: str,
    quantity: int,
    price: Decimal,
    *,
    execution_id: str,
    venue: str,
    event_time: datetime,
    ref_trade_date: date | None = None,
    trade_date: date | None = None,
    commission: Decimal | None = None,
    reason: str = "",
    report_id: str | None = None,
) -> reports_pb.ReportExecutionRequest:
    """Return the report that the venue corrected a fill, to what stands from now on.

    `ref_execution_id` and `ref_trade_date` (default: the newest with that id) name the fill or an earlier correction
    of it; `execution_id` is the correction's own. Without `commission`, none stands: repeat that of the fill.
    """
    report = _report(trader_id, order_id, report_id, venue, event_time, trade_date=trade_date)
    report.fill_corrected.CopyFrom(
        reports_pb.FillCorrectedReport(
            execution_id=execution_id,
            ref_execution_id=ref_execution_id,
            ref_trade_date=date_text(ref_trade_date),
            quantity=quantity,
            price=decimal_text(price),
            commission=decimal_text(commission),
            reason=reason,
        )
    )
    return report


def fill_busted(
    trader_id: UUID | str,
    order_id: UUID | str,
    ref_execution_id: str,
    *,
    execution_id: str,
    venue: str,
    event_time: datetime,
    ref_trade_date: date | None = None,
    trade_date: date | None = None,
    reason: str = "",
    report_id: str | None = None,
) -> reports_pb.ReportExecutionRequest:
    """Return the report that the venue busted a fill, which is named as in `fill_corrected`."""
    report = _report(trader_id, order_id, report_id, venue, event_time, trade_date=trade_date)
    report.fill_busted.CopyFrom(
        reports_pb.FillBustedReport(
            execution_id=execution_id,
            ref_execution_id=ref_execution_id,
            ref_trade_date=date_text(ref_trade_date),
            reason=reason,
        )
    )
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


def _term(price: Decimal | Unchanged | None) -> str | Unchanged:
    return price if isinstance(price, Unchanged) else decimal_text(price)


def _numbers(**values: Enum | None) -> dict[str, Any]:
    """Return the numbers of the choices that are given. Raises TypeError for one that is not of its enum."""
    for name, value in values.items():
        enum = _ENUMS[name]
        if value is not None and not isinstance(value, enum):
            raise TypeError(f"{name} must be a member of {enum.__name__}, such as {next(iter(enum))!r}, not {value!r}")
    return {name: value.value for name, value in values.items() if value is not None}


def _report(
    trader_id: UUID | str,
    order_id: UUID | str,
    report_id: str | None,
    venue: str,
    event_time: datetime | None,
    *,
    trade_date: date | None = None,
    request_key: str = "",
) -> reports_pb.ReportExecutionRequest:
    # A report without a report_id is not safe to retry.
    return reports_pb.ReportExecutionRequest(
        trader_id=str(trader_id),
        order_id=str(order_id),
        report_id=report_id or str(uuid4()),
        venue=venue,
        event_time=timestamp(event_time),
        trade_date=date_text(trade_date),
        request_key=request_key,
    )
