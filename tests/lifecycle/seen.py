"""What the contract shows of orders and events, in the model's form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from blotter.orders.v1 import order_pb2, terms_pb2
from tests.lifecycle.model import Event, Execution

TERMS = ("quantity", "price", "stop_price", "stop_loss", "take_profit", "expire_time", "time_in_force")


class Names:
    """The model's names of orders and keys: numbers, and for a key that the blotter made `*` and its sequence.

    `sequence_of` returns the sequence of a pending request by its key.
    """

    def __init__(self, sequence_of: Callable[[str], int]) -> None:
        self._sequence_of = sequence_of
        self.orders: dict[str, int] = {}
        self.keys: set[str] = {""}
        self._made: dict[str, str] = {}

    def key(self, key: str, sequence: int) -> str:
        """Return the name of a key of the request with this sequence."""
        return key if key in self.keys else self._made.setdefault(key, f"*{sequence}")

    def pending_key(self, key: str) -> str:
        """Return the name of the key of a pending request."""
        if key in self.keys or key in self._made:
            return self.key(key, 0)
        return self.key(key, self._sequence_of(key))

    def reason(self, reason: str) -> str:
        """Return the reason of a refusal, which may name the key of a request."""
        for made, name in self._made.items():
            reason = reason.replace(made, name)
        return reason

    def order(self, order: order_pb2.Order) -> dict[str, Any]:
        """Return an order as Order.view() does."""
        pending = None
        if order.HasField("pending_request"):
            asked = order.pending_request
            kind = terms_pb2.RequestKind.Name(asked.kind).removeprefix("REQUEST_KIND_")
            pending = self.pending_key(asked.request_key), kind, terms_of(asked)
        return {
            "order": self.orders[order.order_id],
            "client_order_id": order.client_order_id,
            "status": order_pb2.OrderStatus.Name(order.status).removeprefix("ORDER_STATUS_"),
            **{name: value_of(order, name) for name in TERMS},
            "filled": order.filled_quantity,
            "excess": order.excess_quantity,
            "leaves": order.leaves_quantity,
            "notional": Decimal(order.filled_notional),
            "average": order.average_fill_price,
            "at_venue": order.at_venue,
            "status_reason": order.status_reason,
            "pending": pending,
            "last_sequence": order.last_sequence,
        }

    def event(self, event: Any) -> Event:
        """Return an OrderEvent or an ExecutionLog as an event of the model."""
        assert event.order.last_sequence == event.sequence
        assert event.order.update_time == event.record_time
        return Event(
            sequence=event.sequence,
            action=order_pb2.Action.Name(event.action).removeprefix("ACTION_"),
            reason=self.reason(event.reason) if event.refused else event.reason,
            error_code=event.error_code,
            refused=event.refused,
            request_key=self.key(event.request_key, event.sequence),
            answered_key=self.key(event.answered_key, event.sequence),
            terms=terms_of(event) if event.HasField("terms") else None,
            execution=execution_of(event),
            after=self.order(event.order),
        )


def value_of(message: Any, name: str) -> Any:
    """Return a term of an order or of an OrderTerms: None where there is none."""
    value = getattr(message, name)
    if name == "expire_time":
        return value.ToDatetime(UTC) if message.HasField(name) else None
    if name == "time_in_force":
        return terms_pb2.TimeInForce.Name(value).removeprefix("TIME_IN_FORCE_") if value else None
    if name == "quantity":
        return value
    return Decimal(value) if value else None


def terms_of(message: Any) -> Mapping[str, Any] | None:
    """Return the terms beside a field mask; None without."""
    if not message.HasField("update_mask"):
        return None
    return {name: value_of(message.terms, name) for name in message.update_mask.paths}


def execution_of(event: Any) -> Execution | None:
    """Return the fill, the correction or the bust of an event; None without."""
    if event.HasField("fill"):
        fill = event.fill
        assert (fill.net_quantity, fill.net_price, fill.net_commission) == (fill.quantity, fill.price, fill.commission)
        assert not fill.busted
        assert not fill.corrections
        return Execution(
            fill.execution_id,
            date.fromisoformat(fill.trade_date),
            fill.venue,
            fill.quantity,
            Decimal(fill.price),
            Decimal(fill.commission),
        )
    return correction_of(event.correction) if event.HasField("correction") else None


def correction_of(correction: order_pb2.FillCorrection) -> Execution:
    """Return a correction or a bust. The contract does not show which date the report gave for what it named."""
    assert correction.busted == (correction.quantity == 0)
    return Execution(
        correction.execution_id,
        date.fromisoformat(correction.trade_date),
        correction.venue,
        correction.quantity,
        Decimal(correction.price) if correction.price else None,
        Decimal(correction.commission),
        correction.ref_execution_id,
    )


def moment(time: datetime) -> Any:
    """Return a Timestamp's seconds and nanos for a message's constructor."""
    return {"seconds": int(time.timestamp()), "nanos": time.microsecond * 1000}
