"""Validation of the reports that gateways make."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from blotter.orders.v1 import execution_report_pb2 as pb
from service.domain.writes import Report
from service.servicers.fields import Fields

MAX_CLOCK_AHEAD = timedelta(minutes=5)
OF_A_FILL = ("fill", "fill_corrected", "fill_busted")
"""The reports that have an execution_id, and so a venue, a time and a trade date."""
ANSWERS = ("cancelled", "replaced", "cancel_refused", "replace_refused")
"""The reports that may name the request that they answer."""


def report(request: pb.ReportExecutionRequest) -> Report:
    """Validate a gateway's report."""
    fields = Fields()
    kind = request.WhichOneof("report")
    timestamp = fields.moment("event_time", request)
    if timestamp and timestamp > datetime.now(UTC) + MAX_CLOCK_AHEAD:
        fields.reject("event_time", "must not be more than five minutes in the future")
    if kind in OF_A_FILL and not request.HasField("event_time"):
        fields.reject("event_time", "is required with a fill, a correction and a bust")
    if kind not in OF_A_FILL and request.trade_date:
        fields.reject("trade_date", "must be empty except with a fill, a correction or a bust")
    if kind not in ANSWERS and request.request_key:
        fields.reject("request_key", "must be empty except with cancelled, replaced and the refusals of requests")
    common: dict[str, Any] = {
        "trader_id": fields.uuid("trader_id", request.trader_id),
        "order_id": fields.uuid("order_id", request.order_id),
        "report_id": fields.key("report_id", request.report_id),
        "venue": fields.name("venue", request.venue, most=50, required=kind in OF_A_FILL),
        "timestamp": timestamp,
        "trade_date": fields.date("trade_date", request.trade_date),
        "request_key": fields.key("request_key", request.request_key) if request.request_key else None,
    }
    special: dict[str, Any] = {"action": "APPROVED"}
    if kind is None:
        kinds = [field.name for field in request.DESCRIPTOR.oneofs_by_name["report"].fields]
        fields.reject("report", f"is required: one of {', '.join(kinds)}")
    elif kind != "approved":
        special = _SPECIAL[kind](fields, getattr(request, kind))
    fields.check()
    return Report(**common, **special)


def _executed(fields: Fields, executed: pb.ExecutedReport) -> dict[str, Any]:
    return {
        "action": "EXECUTED",
        "retry_attempt": fields.attempt("executed.retry_attempt", executed.retry_attempt),
        "error_code": fields.code("executed.error_code", executed.error_code),
        "reason": fields.reason("executed.reason", executed.reason),
    }


def _recovered(fields: Fields, recovered: pb.RecoveredReport) -> dict[str, Any]:
    return {
        "action": "RECOVERED",
        "retry_attempt": fields.attempt("recovered.retry_attempt", recovered.retry_attempt),
    }


def _fill(fields: Fields, fill: pb.FillReport) -> dict[str, Any]:
    return {
        "action": "FILLED",
        "execution_id": fields.key("fill.execution_id", fill.execution_id),
        **_amounts(fields, "fill", fill),
    }


def _fill_corrected(fields: Fields, corrected: pb.FillCorrectedReport) -> dict[str, Any]:
    return {
        "action": "FILL_CORRECTED",
        **_amounts(fields, "fill_corrected", corrected),
        **_reference(fields, "fill_corrected", corrected),
    }


def _fill_busted(fields: Fields, busted: pb.FillBustedReport) -> dict[str, Any]:
    return {"action": "FILL_BUSTED", **_reference(fields, "fill_busted", busted)}


def _amounts(fields: Fields, path: str, message: pb.FillReport | pb.FillCorrectedReport) -> dict[str, Any]:
    if not message.price:
        fields.reject(f"{path}.price", "is required")
    commission = fields.price(f"{path}.commission", message.commission, or_zero=True)
    return {
        "quantity": fields.quantity(f"{path}.quantity", message.quantity),
        "price": fields.price(f"{path}.price", message.price),
        "commission": commission or Decimal(0),
    }


def _reference(fields: Fields, path: str, message: pb.FillCorrectedReport | pb.FillBustedReport) -> dict[str, Any]:
    return {
        "execution_id": fields.key(f"{path}.execution_id", message.execution_id),
        "ref_execution_id": fields.key(f"{path}.ref_execution_id", message.ref_execution_id),
        "ref_trade_date": fields.date(f"{path}.ref_trade_date", message.ref_trade_date),
        "reason": fields.reason(f"{path}.reason", message.reason),
    }


def _rejected(fields: Fields, rejected: pb.RejectedReport) -> dict[str, Any]:
    return {
        "action": "REJECTED",
        "reason": fields.reason("rejected.reason", rejected.reason, required=True),
        "error_code": fields.code("rejected.error_code", rejected.error_code),
    }


def _cancelled(fields: Fields, cancelled: pb.CancelledReport) -> dict[str, Any]:
    reason = fields.reason("cancelled.reason", cancelled.reason)
    if cancelled.expired and reason:
        fields.reject("cancelled.reason", "must be empty with expired, whose reason is EXPIRED")
    return {"action": "CANCELLED", "reason": "EXPIRED" if cancelled.expired else reason}


def _replaced(fields: Fields, replaced: pb.ReplacedReport) -> dict[str, Any]:
    return {"action": "REPLACED", "reason": fields.reason("replaced.reason", replaced.reason)}


def _cancel_refused(fields: Fields, refused: pb.CancelRefusedReport) -> dict[str, Any]:
    return {"action": "CANCEL_REFUSED", **_refusal(fields, "cancel_refused", refused)}


def _replace_refused(fields: Fields, refused: pb.ReplaceRefusedReport) -> dict[str, Any]:
    return {"action": "REPLACE_REFUSED", **_refusal(fields, "replace_refused", refused)}


def _refusal(fields: Fields, path: str, refused: pb.CancelRefusedReport | pb.ReplaceRefusedReport) -> dict[str, Any]:
    return {
        "error_code": fields.option(
            f"{path}.refusal_reason", refused.refusal_reason, pb.RefusalReason, "REFUSAL_REASON_"
        ),
        "reason": fields.reason(f"{path}.reason", refused.reason),
    }


def _restated(fields: Fields, restated: pb.RestatedReport) -> dict[str, Any]:
    return {
        "action": "RESTATED",
        "quantity": fields.quantity("restated.quantity", restated.quantity) if restated.quantity else None,
        "price": fields.price("restated.price", restated.price),
        "reason": fields.reason("restated.reason", restated.reason),
    }


def _done_for_day(fields: Fields, done: pb.DoneForDayReport) -> dict[str, Any]:
    return {"action": "DONE_FOR_DAY", "reason": fields.reason("done_for_day.reason", done.reason)}


_SPECIAL: dict[str, Any] = {
    "executed": _executed,
    "recovered": _recovered,
    "fill": _fill,
    "rejected": _rejected,
    "cancelled": _cancelled,
    "replaced": _replaced,
    "cancel_refused": _cancel_refused,
    "replace_refused": _replace_refused,
    "restated": _restated,
    "done_for_day": _done_for_day,
    "fill_corrected": _fill_corrected,
    "fill_busted": _fill_busted,
}
