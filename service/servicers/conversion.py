"""Conversion of domain values to messages of blotter.orders.v1."""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from blotter.orders.v1 import cancel_timer_pb2, order_pb2, request_pb2, terms_pb2
from blotter_client.decimals import format_decimal
from blotter_client.values import timestamp
from service.domain.orders import CancelTimer, ExecutionLog, Order, Request, Terms
from service.domain.writes import NewOrder
from service.servicers.fill_conversion import correction_of, fill_of
from service.servicers.wire_values import Fields, decimal, numbers, time

SIDES = numbers(order_pb2.Side, "SIDE_")
ORDER_TYPES = numbers(order_pb2.OrderType, "ORDER_TYPE_")
STATUSES = numbers(order_pb2.OrderStatus, "ORDER_STATUS_")
ACTIONS = numbers(order_pb2.Action, "ACTION_")
TIMES_IN_FORCE = numbers(terms_pb2.TimeInForce, "TIME_IN_FORCE_")
SECURITY_ID_SOURCES = numbers(order_pb2.SecurityIdSource, "SECURITY_ID_SOURCE_")
SHORT_SALES = numbers(order_pb2.ShortSale, "SHORT_SALE_")
REQUEST_KINDS = numbers(terms_pb2.RequestKind, "REQUEST_KIND_")
REQUEST_OUTCOMES = numbers(request_pb2.RequestOutcome, "REQUEST_OUTCOME_")

OPEN = ("PENDING", "PARTIAL")
TERM_FIELDS = {
    "quantity": "quantity",
    "price": "price",
    "stop_price": "stop_price",
    "stop_loss": "stop_loss",
    "take_profit": "take_profit",
    "expires_at": "expire_time",
    "time_in_force": "time_in_force",
}
"""The fields of OrderTerms by the names of the terms in the record, in the order of the contract."""

_CENTIMILLIONTH = Decimal("0.00000001")
_EXACT = Context(prec=60)


def average_price(notional: Decimal, quantity: int) -> str:
    """Return notional / quantity, rounded half up to 8 decimals; the empty string when the quantity is 0."""
    if not quantity:
        return ""
    average = _EXACT.divide(notional, Decimal(quantity))
    return format_decimal(average.quantize(_CENTIMILLIONTH, rounding=ROUND_HALF_UP, context=_EXACT))


def order_to_proto(order: Order) -> order_pb2.Order:
    """Return the message of an order."""
    return order_pb2.Order(**order_fields(order))


def order_fields(order: Order) -> Fields:
    """Return the fields of an order."""
    return _order(order, order.id, order.created_at, order.updated_at, order.last_sequence)


def order_after(log: ExecutionLog) -> Fields:
    """Return the fields of the order as the event left it."""
    return _order(log, log.order_id, log.order_created_at, log.created_at, log.sequence)


def _order(
    state: Order | ExecutionLog,
    order_id: UUID | str,
    created_at: datetime,
    updated_at: datetime,
    last_sequence: int,
) -> Fields:
    """Return the fields of an order, of which a row of either table holds the state."""
    status = state.status
    fields = {
        "order_id": str(order_id),
        "client_order_id": state.client_order_id,
        "trader_id": str(state.trader_id),
        "symbol": state.symbol,
        "side": SIDES[state.side],
        "order_type": ORDER_TYPES[state.order_type],
        "quantity": state.quantity,
        "status": STATUSES[status],
        "filled_quantity": state.filled_quantity,
        "filled_notional": decimal(state.filled_notional),
        "create_time": time(created_at),
        "update_time": time(updated_at),
        "last_sequence": last_sequence,
        "excess_quantity": state.excess_quantity,
        "exempt_from_cancel_timer": state.exempt_from_cancel_timer,
        "at_venue": state.at_venue,
    }
    _add_terms(fields, state)
    if filled := state.filled_quantity + state.excess_quantity:
        fields["average_fill_price"] = average_price(state.filled_notional, filled)
    if state.expires_at is not None:
        fields["expire_time"] = time(state.expires_at)
    if status in OPEN:
        fields["leaves_quantity"] = state.quantity - state.filled_quantity
    elif status in _CLOSED_FOR_A_REASON:
        fields["status_reason"] = state.status_reason
    if state.pending_kind:
        fields["pending_request"] = _pending(state)
    return fields


def _add_terms(fields: Fields, state: Order | ExecutionLog) -> None:
    """Add the terms that an order may have. Most have few of them, and an absent field takes no time."""
    for name in _AS_THEY_ARE:
        if (value := getattr(state, name)) is not None:
            fields[name] = value
    for name in _PRICES:
        if (value := getattr(state, name)) is not None:
            fields[name] = decimal(value)
    for name, numbers_of in _LABELS:
        if (value := getattr(state, name)) is not None:
            fields[name] = numbers_of[value]


_AS_THEY_ARE = ("account", "labels", "parent_order_id", "currency", "security_id")
_PRICES = ("price", "stop_price", "stop_loss", "take_profit")
_LABELS = (
    ("time_in_force", TIMES_IN_FORCE),
    ("security_id_source", SECURITY_ID_SOURCES),
    ("short_sale", SHORT_SALES),
)
_CLOSED_FOR_A_REASON = ("CANCELLED", "REJECTED")


def _pending(state: Order | ExecutionLog) -> terms_pb2.PendingRequest:
    return terms_pb2.PendingRequest(
        request_key=state.pending_key or "",
        kind=REQUEST_KINDS[state.pending_kind],
        terms=terms_to_proto(state.pending_terms),
        update_mask=mask_of(state.pending_terms),
    )


def valid_order_to_proto(order: NewOrder, trader_id: object) -> order_pb2.Order:
    """Return the message of an order that was only validated: without id, create and update time, and sequence."""
    return order_pb2.Order(
        client_order_id=order.client_order_id,
        trader_id=str(trader_id),
        symbol=order.symbol,
        side=SIDES[order.side],
        order_type=ORDER_TYPES[order.order_type],
        quantity=order.quantity,
        price=decimal(order.price),
        stop_loss=decimal(order.stop_loss),
        take_profit=decimal(order.take_profit),
        status=order_pb2.ORDER_STATUS_PENDING,
        filled_notional="0",
        expire_time=timestamp(order.expires_at),
        leaves_quantity=order.quantity,
        stop_price=decimal(order.stop_price),
        time_in_force=TIMES_IN_FORCE[order.time_in_force],
        account=order.account or "",
        labels=order.labels,
        parent_order_id=order.parent_order_id or "",
        currency=order.currency or "",
        security_id=order.security_id or "",
        security_id_source=SECURITY_ID_SOURCES[order.security_id_source],
        short_sale=SHORT_SALES[order.short_sale],
        exempt_from_cancel_timer=order.exempt_from_cancel_timer,
    )


def terms_to_proto(terms: Terms | None) -> terms_pb2.OrderTerms | None:
    """Return the message of some terms, in which cleared terms are unset; None where there are none."""
    if not terms:
        return None
    expires_at = terms.get("expires_at")
    return terms_pb2.OrderTerms(
        quantity=terms.get("quantity", 0),
        price=terms.get("price") or "",
        stop_price=terms.get("stop_price") or "",
        stop_loss=terms.get("stop_loss") or "",
        take_profit=terms.get("take_profit") or "",
        expire_time=timestamp(datetime.fromisoformat(expires_at)) if expires_at else None,
        time_in_force=TIMES_IN_FORCE[terms.get("time_in_force")],
    )


def mask_of(terms: Terms | None) -> FieldMask | None:
    """Return the field mask of some terms, in the order of the contract; None where there are none."""
    if not terms:
        return None
    return FieldMask(paths=[field for name, field in TERM_FIELDS.items() if name in terms])


def event_fields(log: ExecutionLog, position: int | None = None) -> Fields:
    """Return the fields of an OrderEvent: an execution log as an event of WatchOrders."""
    return {
        "sequence": log.sequence,
        "action": ACTIONS[log.action],
        "order": order_after(log),
        "reason": log.reason,
        "error_code": log.error_code,
        "retry_attempt": log.retry_attempt,
        "fill": fill_of(log),
        "event_time": time(log.timestamp),
        "record_time": time(log.created_at),
        "log_id": log.id,
        "refused": log.refused,
        "position": position,
        "request_key": log.request_key,
        "answered_key": log.answered_key,
        "terms": terms_to_proto(log.terms),
        "update_mask": mask_of(log.terms),
        "correction": correction_of(log),
    }


def request_to_proto(request: Request) -> request_pb2.Request:
    """Return the message of a request and its outcome."""
    return request_pb2.Request(
        request_key=request.key,
        kind=REQUEST_KINDS[request.kind],
        outcome=REQUEST_OUTCOMES[request.outcome],
        terms=terms_to_proto(request.terms),
        update_mask=mask_of(request.terms),
        reason=request.reason or "",
        request_sequence=request.sequence,
        request_time=timestamp(request.created_at),
        outcome_sequence=request.outcome_sequence or 0,
        outcome_time=timestamp(request.outcome_at),
        outcome_reason=request.outcome_reason or "",
        outcome_code=request.outcome_code or "",
    )


def timer_to_proto(timer: CancelTimer | None) -> cancel_timer_pb2.CancelTimer | None:
    """Return the message of a cancel timer; None for one that is off."""
    if timer is None:
        return None
    timeout = Duration()
    timeout.FromTimedelta(timer.timeout)
    return cancel_timer_pb2.CancelTimer(
        timeout=timeout, fire_time=timestamp(timer.fires_at), set_time=timestamp(timer.set_at)
    )
