"""Compares the service's messages with the book, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from blotter_client import (
    Action,
    ExecutionLog,
    Order,
    OrderEvent,
    OrderStatus,
    OrderType,
    Side,
    decimal_text,
    moment_of,
)
from blotter_client import (
    Fill as FillMessage,
)
from replay.book import Event, OrderState
from replay.flow import Fill

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


def fill_differences(where: str, fill: Fill, found: FillMessage) -> list[Difference]:
    """Return the differences between a fill and its report."""
    return list(_differences(where, _fill_expected(fill), _fill_found(found)))


def event_differences(where: str, event: Event, found: OrderEvent) -> list[Difference]:
    """Return the differences between a stream's event and the one in the book."""
    return list(_differences(where, _event_expected(event), _event_found(event, found)))


def log_differences(where: str, event: Event, log: ExecutionLog, actors: tuple[str, str]) -> list[Difference]:
    """Return the differences between a log and the event in the book. `actors` are the trader's and the gateway's."""
    expected = _event_expected(event) | {
        "status": event.after.status.name,
        "actor": actors[event.by_gateway],
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


def name(enum: type[Action | OrderStatus | OrderType | Side], value: int) -> str:
    """Return the name of an enum's value, or the number if it has no name."""
    return enum(value).name if value in {member.value for member in enum} else str(value)


def _differences(where: str, expected: Fields, found: Fields) -> Iterator[Difference]:
    for field, value in expected.items():
        if value != found[field]:
            yield Difference(where, field, value, found[field])


def order_expected(state: OrderState) -> dict[str, object]:
    """Return the expected fields of an order's message. Prices are compared as text: `585.330` is a difference."""
    entered = state.entered
    return {
        "client_order_id": entered.order,
        "trader_id": str(state.trader_id),
        "symbol": entered.symbol,
        "side": entered.side.name,
        "order_type": entered.order_type.name,
        "quantity": entered.quantity,
        "price": _price(entered.price),
        "stop_loss": _price(entered.stop_loss),
        "take_profit": _price(entered.take_profit),
        "expire_time": entered.expire_time,
        "status": state.status.name,
        "filled_quantity": state.filled_quantity,
        "filled_notional": _price(state.filled_notional),
        "average_fill_price": _price(state.average_fill_price),
    }


def order_found(order: Order) -> dict[str, object]:
    """Return the same fields of the message."""
    return {
        "client_order_id": order.client_order_id,
        "trader_id": order.trader_id,
        "symbol": order.symbol,
        "side": name(Side, order.side),
        "order_type": name(OrderType, order.order_type),
        "quantity": order.quantity,
        "price": order.price,
        "stop_loss": order.stop_loss,
        "take_profit": order.take_profit,
        "expire_time": moment_of(order.expire_time) if order.HasField("expire_time") else None,
        "status": name(OrderStatus, order.status),
        "filled_quantity": order.filled_quantity,
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
    }


def _fill_found(fill: FillMessage) -> dict[str, object]:
    return {
        "execution_id": fill.execution_id,
        "venue": fill.venue,
        "quantity": fill.quantity,
        "price": fill.price,
        "commission": fill.commission,
        "event_time": moment_of(fill.event_time),
    }


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
    }


def _prefixed(prefix: str, fields: Fields) -> dict[str, object]:
    return {prefix + field: value for field, value in fields.items()}


def _time_found(expected: datetime | None, found: OrderEvent | ExecutionLog) -> datetime | None:
    """Return the time to compare. A time that the service set cannot be predicted, but must be present: then None."""
    if expected is None and found.HasField("event_time"):
        return None
    return moment_of(found.event_time)


def _price(value: Decimal | None) -> str:
    return decimal_text(value)
