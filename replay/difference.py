"""Compares the service's messages with the book, field by field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any

from blotter_client import (
    Action,
    ExecutionLog,
    FillCorrection,
    Order,
    OrderEvent,
    OrderStatus,
    OrderTerms,
    OrderType,
    Request,
    RequestKind,
    RequestOutcome,
    SecurityIdSource,
    ShortSale,
    Side,
    TimeInForce,
    decimal_text,
    moment_of,
)
from blotter_client import (
    Fill as FillMessage,
)
from replay.book import BookedFill, Event, OrderState, PastRequest
from replay.flow import Bust, Correction, Fill

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that differs from the expected one."""

    where: str
    field: str
    expected: object
    found: object

    def __str__(self) -> str:
        return f"{self.where}: {self.field} is {self.found!r}, must be {self.expected!r}"


def order_differences(where: str, state: OrderState, order: Order) -> list[Difference]:
    """Return the differences between an order and its state in the book."""
    return list(_differences(where, order_expected(state), order_found(order)))


def fill_differences(where: str, fill: BookedFill, found: FillMessage) -> list[Difference]:
    """Return the differences between a fill, with its corrections, and their reports."""
    busted = isinstance(fill.net, Bust)
    expected = _fill_expected(fill.reported) | {
        "net_quantity": 0 if isinstance(fill.net, Bust) else fill.net.quantity,
        "net_price": "" if isinstance(fill.net, Bust) else _price(fill.net.price),
        "net_commission": "0" if isinstance(fill.net, Bust) else _price(fill.net.commission),
        "busted": busted,
        "corrections": [_correction_expected(correction) for correction in fill.corrections],
    }
    values = _fill_found(found) | {
        "net_quantity": found.net_quantity,
        "net_price": found.net_price,
        "net_commission": found.net_commission,
        "busted": found.busted,
        "corrections": [_correction_found(correction) for correction in found.corrections],
    }
    return list(_differences(where, expected, values))


def request_differences(where: str, past: PastRequest, found: Request) -> list[Difference]:
    """Return the differences between a request, with its outcome, and the one in the book."""
    expected = {
        "request_key": past.key,
        "kind": past.kind.name,
        "outcome": past.outcome.name,
        "reason": past.reason,
        "terms": _terms_expected(past.terms),
        "outcome_code": past.outcome_code,
    }
    values = {
        "request_key": found.request_key,
        "kind": name(RequestKind, found.kind),
        "outcome": name(RequestOutcome, found.outcome),
        "reason": found.reason,
        "terms": _terms_found(found.terms, found.update_mask.paths),
        "outcome_code": found.outcome_code,
    }
    return list(_differences(where, expected, values))


def event_differences(where: str, event: Event, found: OrderEvent) -> list[Difference]:
    """Return the differences between a stream's event and the one in the book."""
    return list(_differences(where, _event_expected(event), _event_found(event, found)))


def log_differences(where: str, event: Event, log: ExecutionLog, actors: tuple[str, str] | None) -> list[Difference]:
    """Return the differences between a log and the event in the book.

    `actors` are the trader's and the gateway's; None: the actor is not compared.
    """
    expected = _event_expected(event) | {
        "status": event.after.status.name,
        "actor": actors[event.by_gateway] if actors else log.actor,
        "report_id": event.report_id,
        "venue": event.venue,
        "trader_id": str(event.after.trader_id),
    }
    found = _event_found(event, log) | {
        "status": name(OrderStatus, log.status),
        "actor": log.actor,
        "report_id": log.report_id,
        "venue": log.venue,
        "trader_id": log.trader_id,
    }
    return list(_differences(where, expected, found))


def name(enum: type[IntEnum], value: int) -> str:
    """Return the name of an enum's value, or the number if it has no name."""
    return enum(value).name if value in {member.value for member in enum} else str(value)


def _differences(where: str, expected: Fields, found: Fields) -> Iterator[Difference]:
    for field, value in expected.items():
        if value != found[field]:
            yield Difference(where, field, value, found[field])


def order_expected(state: OrderState) -> dict[str, object]:
    """Return the expected fields of an order's message. Prices are compared as text: `585.330` is a difference."""
    terms = state.terms
    pending = state.pending
    return {
        "client_order_id": terms.order,
        "trader_id": str(state.trader_id),
        "symbol": terms.symbol,
        "side": terms.side.name,
        "order_type": terms.order_type.name,
        "quantity": terms.quantity,
        "price": _price(terms.price),
        "stop_price": _price(terms.stop_price),
        "stop_loss": _price(terms.stop_loss),
        "take_profit": _price(terms.take_profit),
        "expire_time": terms.expire_time,
        "time_in_force": _name(terms.time_in_force),
        "account": terms.account,
        "labels": dict(terms.labels),
        "parent_order_id": terms.parent_order_id,
        "currency": terms.currency,
        "security_id": terms.security_id,
        "security_id_source": _name(terms.security_id_source),
        "short_sale": _name(terms.short_sale),
        "exempt_from_cancel_timer": terms.exempt_from_cancel_timer,
        "at_venue": state.at_venue,
        "status": state.status.name,
        "status_reason": state.status_reason,
        "pending_request": (pending.kind.name, pending.key, _terms_expected(pending.terms)) if pending else None,
        "filled_quantity": state.filled_quantity,
        "excess_quantity": state.excess_quantity,
        "leaves_quantity": state.leaves_quantity,
        "filled_notional": _price(state.filled_notional),
        "average_fill_price": _price(state.average_fill_price),
    }


def order_found(order: Order) -> dict[str, object]:
    """Return the same fields of the message."""
    pending = order.pending_request
    return {
        "client_order_id": order.client_order_id,
        "trader_id": order.trader_id,
        "symbol": order.symbol,
        "side": name(Side, order.side),
        "order_type": name(OrderType, order.order_type),
        "quantity": order.quantity,
        "price": order.price,
        "stop_price": order.stop_price,
        "stop_loss": order.stop_loss,
        "take_profit": order.take_profit,
        "expire_time": moment_of(order.expire_time) if order.HasField("expire_time") else None,
        "time_in_force": _name_found(TimeInForce, order.time_in_force),
        "account": order.account,
        "labels": dict(order.labels),
        "parent_order_id": order.parent_order_id,
        "currency": order.currency,
        "security_id": order.security_id,
        "security_id_source": _name_found(SecurityIdSource, order.security_id_source),
        "short_sale": _name_found(ShortSale, order.short_sale),
        "exempt_from_cancel_timer": order.exempt_from_cancel_timer,
        "at_venue": order.at_venue,
        "status": name(OrderStatus, order.status),
        "status_reason": order.status_reason,
        "pending_request": (
            name(RequestKind, pending.kind),
            pending.request_key,
            _terms_found(pending.terms, pending.update_mask.paths),
        )
        if order.HasField("pending_request")
        else None,
        "filled_quantity": order.filled_quantity,
        "excess_quantity": order.excess_quantity,
        "leaves_quantity": order.leaves_quantity,
        "filled_notional": order.filled_notional,
        "average_fill_price": order.average_fill_price,
    }


def _fill_expected(fill: Fill) -> dict[str, object]:
    return {
        "execution_id": fill.execution_id,
        "venue": fill.venue,
        "quantity": fill.quantity,
        "price": _price(fill.price),
        "commission": _price(fill.commission),
        "event_time": fill.event_time,
        "trade_date": fill.trade_date.isoformat(),
    }


def _fill_found(fill: FillMessage) -> dict[str, object]:
    return {
        "execution_id": fill.execution_id,
        "venue": fill.venue,
        "quantity": fill.quantity,
        "price": fill.price,
        "commission": fill.commission,
        "event_time": moment_of(fill.event_time),
        "trade_date": fill.trade_date,
    }


def _correction_expected(correction: Correction) -> dict[str, object]:
    stands = None if isinstance(correction, Bust) else correction
    return {
        "execution_id": correction.execution_id,
        "ref_execution_id": correction.ref_execution_id,
        "trade_date": correction.trade_date.isoformat(),
        "venue": correction.venue,
        "quantity": stands.quantity if stands else 0,
        "price": _price(stands.price) if stands else "",
        "commission": _price(stands.commission) if stands else "0",
        "reason": correction.reason,
        "event_time": correction.event_time,
        "busted": stands is None,
    }


def _correction_found(correction: FillCorrection) -> dict[str, object]:
    return {
        "execution_id": correction.execution_id,
        "ref_execution_id": correction.ref_execution_id,
        "trade_date": correction.trade_date,
        "venue": correction.venue,
        "quantity": correction.quantity,
        "price": correction.price,
        "commission": correction.commission,
        "reason": correction.reason,
        "event_time": moment_of(correction.event_time),
        "busted": correction.busted,
    }


def _terms_expected(terms: Mapping[str, Any] | None) -> dict[str, object]:
    """Return the terms in the notation of the contract; none for None."""
    return {field: _term(value) for field, value in (terms or {}).items()}


def _term(value: object) -> object:
    if isinstance(value, IntEnum):
        return value.name
    return _price(value) if isinstance(value, Decimal) else value or None


def _terms_found(terms: OrderTerms, paths: Iterable[str]) -> dict[str, object]:
    found: dict[str, object] = {
        "quantity": terms.quantity,
        "price": terms.price,
        "stop_price": terms.stop_price,
        "stop_loss": terms.stop_loss,
        "take_profit": terms.take_profit,
        "expire_time": moment_of(terms.expire_time) if terms.HasField("expire_time") else None,
        "time_in_force": _name_found(TimeInForce, terms.time_in_force),
    }
    return {path: found[path] or None for path in paths}


def _event_expected(event: Event) -> dict[str, object]:
    return {
        "action": event.action.name,
        "reason": event.reason,
        "error_code": event.error_code,
        "retry_attempt": event.retry_attempt,
        "refused": event.refused,
        "event_time": event.event_time,
        **_prefixed("order.", order_expected(event.after)),
        "fill": _fill_expected(event.fill) if event.fill else None,
        "correction": _correction_expected(event.correction) if event.correction else None,
        "request_key": event.request_key,
        "answered_key": event.answered_key,
        "terms": _terms_expected(event.terms),
    }


def _event_found(event: Event, found: OrderEvent | ExecutionLog) -> dict[str, object]:
    return {
        "action": name(Action, found.action),
        "reason": found.reason,
        "error_code": found.error_code,
        "retry_attempt": found.retry_attempt,
        "refused": found.refused,
        "event_time": _time_found(event.event_time, found),
        **_prefixed("order.", order_found(found.order)),
        "fill": _fill_found(found.fill) if found.HasField("fill") else None,
        "correction": _correction_found(found.correction) if found.HasField("correction") else None,
        "request_key": found.request_key,
        "answered_key": found.answered_key,
        "terms": _terms_found(found.terms, found.update_mask.paths),
    }


def _prefixed(prefix: str, fields: Fields) -> dict[str, object]:
    return {prefix + field: value for field, value in fields.items()}


def _time_found(expected: datetime | None, found: OrderEvent | ExecutionLog) -> datetime | None:
    """Return the time to compare. A time that the service set cannot be predicted, but must be present: then None."""
    if expected is None and found.HasField("event_time"):
        return None
    return moment_of(found.event_time)


def _name(value: IntEnum | None) -> str | None:
    return None if value is None else value.name


def _name_found(enum: type[IntEnum], value: int) -> str | None:
    return name(enum, value) if value else None


def _price(value: Decimal | None) -> str:
    return decimal_text(value)
