"""The lifecycle as a small model, written from its rules (docs/contract.md) and not from the database's functions.

It keeps the orders of one trader and the events that their trail should have. Each method is one call of the contract
and returns `applied`, `replayed`, or the reason of the refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext
from itertools import pairwise
from typing import Any, NamedTuple

Terms = Mapping[str, Any]
"""Some of quantity, price, stop_price, stop_loss, take_profit, expire_time, time_in_force; None: there is none."""

APPLIED, REPLAYED = "applied", "replayed"
OPEN = ("PENDING", "PARTIAL")


class Execution(NamedTuple):
    """What a report states of a fill: a fill itself, a correction, or a bust (quantity 0, no price)."""

    execution_id: str
    trade_date: date
    venue: str
    quantity: int
    price: Decimal | None
    commission: Decimal = Decimal(0)
    of: str = ""
    of_date: date | None = None


@dataclass
class Fill:
    """A fill, and what the venue has said of it, oldest first."""

    order: Order
    sequence: int
    said: list[Execution]

    @property
    def standing(self) -> Execution:
        return self.said[-1]


@dataclass
class Request:
    """A request, and what became of it."""

    key: str
    order: Order
    kind: str
    terms: Terms | None
    reason: str
    sequence: int
    outcome: str = "PENDING"
    settled: int = 0


@dataclass
class Order:
    """An order."""

    number: int
    key: str
    side: str
    order_type: str
    terms: dict[str, Any]
    exempt: bool
    last_sequence: int = 0
    entered: int = 0
    at_venue: bool = False
    closed_as: str = ""
    closing_reason: str = ""
    pending: Request | None = None
    expiry_asked: bool = False
    fills: list[Fill] = field(default_factory=list)

    @property
    def executed(self) -> int:
        return sum(fill.standing.quantity for fill in self.fills)

    @property
    def notional(self) -> Decimal:
        return sum((fill.standing.quantity * (fill.standing.price or Decimal(0)) for fill in self.fills), Decimal(0))

    @property
    def filled(self) -> int:
        return min(self.executed, int(self.terms["quantity"]))

    @property
    def status(self) -> str:
        if self.filled == self.terms["quantity"]:
            return "FILLED"
        return self.closed_as or ("PARTIAL" if self.filled else "PENDING")

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    def view(self) -> dict[str, Any]:
        """Return what the contract shows of the order."""
        status, quantity = self.status, self.terms["quantity"]
        return {
            "order": self.number,
            "client_order_id": self.key,
            "status": status,
            **self.terms,
            "filled": self.filled,
            "excess": self.executed - self.filled,
            "leaves": quantity - self.filled if self.is_open else 0,
            "notional": self.notional,
            "average": average(self.notional, self.executed),
            "at_venue": self.at_venue,
            "status_reason": self.closing_reason if status in {"CANCELLED", "REJECTED"} else "",
            "pending": self.pending and (self.pending.key, self.pending.kind, self.pending.terms),
            "last_sequence": self.last_sequence,
        }


@dataclass(frozen=True)
class Event:
    """An event of the trail, with the order after it."""

    sequence: int
    action: str
    after: Mapping[str, Any]
    reason: str = ""
    error_code: str = ""
    refused: bool = False
    request_key: str = ""
    answered_key: str = ""
    terms: Terms | None = None
    execution: Execution | None = None


class Book:
    """A trader's orders after the calls so far, and the trail."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.trail: list[Event] = []
        self.requests: dict[str, Request] = {}
        self.timer: int | None = None
        """The last sequence at the moment when the cancel timer ran out; None while it is off."""
        self._contents: dict[str, Any] = {}
        self._reports: dict[str, tuple[Any, str]] = {}
        self._executions: dict[tuple[str, date, str] | None, tuple[Any, Order]] = {}

    # What the trader does ---------------------------------------------------------------------------------------------

    def submit(self, key: str, side: str, order_type: str, terms: dict[str, Any], *, exempt: bool) -> str:
        content = side, order_type, terms, exempt
        if key in self._contents:
            return REPLAYED if self._contents[key] == content else "CLIENT_ORDER_ID_REUSED"
        if violation(side, order_type, terms):
            return "INVALID_REQUEST"
        self._contents[key] = content
        order = Order(len(self.orders), key, side, order_type, dict(terms), exempt, entered=len(self.trail))
        self.orders.append(order)
        self._record(order, "SUBMITTED")
        return APPLIED

    def cancel(self, order: Order, key: str, reason: str) -> str:
        """Cancel; without a key the trader cannot repeat the request as such."""
        if known := self._known(key, (order, "CANCEL", reason)):
            return known
        if order.closed_as == "CANCELLED" or (not key and order.pending and order.pending.kind == "CANCEL"):
            return REPLAYED
        if not order.is_open:
            return "ORDER_CLOSED"
        if order.pending:
            return "REQUEST_PENDING"
        self._contents |= {key: (order, "CANCEL", reason)} if key else {}
        self._ask_to_cancel(order, reason, key or f"*{len(self.trail) + 1}")
        return APPLIED

    def cancel_all(self, reason: str) -> tuple[int, int]:
        """Return how many orders were cancelled, and of how many it was requested."""
        orders = [order for order in self.orders if order.is_open and not order.pending]
        for order in orders:
            self._ask_to_cancel(order, reason)
        asked = sum(order.pending is not None for order in orders)
        return len(orders) - asked, asked

    def replace(self, order: Order, key: str, terms: Terms, expected: int | None, *, past: bool = False) -> str:
        """Replace; `past`: the expire_time that is asked for has passed."""
        content = order, "REPLACE", tuple(terms.items()), expected
        if known := self._known(key, content):
            return known
        named, key = key, key or f"*{len(self.trail) + 1}"
        if order.closed_as:
            return "ORDER_CLOSED"
        if order.pending:
            return "REQUEST_PENDING"
        if expected not in {None, order.last_sequence}:
            return "ORDER_CHANGED"
        if past or violation(order.side, order.order_type, replaced(order, terms)):
            return "INVALID_REQUEST"
        self._contents |= {key: content} if named else {}
        request = self.requests[key] = Request(key, order, "REPLACE", terms, "", len(self.trail) + 1)
        if order.at_venue:
            order.pending = request
            self._record(order, "REPLACE_REQUESTED", request_key=key, terms=terms)
        else:
            self._set(order, terms)
            request.outcome, request.settled = "ACCEPTED", request.sequence
            self._record(order, "REPLACED", request_key=key, terms=terms)
        return APPLIED

    def start_timer(self) -> None:
        """Start the cancel timer; it runs out at once."""
        self.timer = len(self.trail)

    # What the blotter does by itself ----------------------------------------------------------------------------------

    def expire(self, now: datetime) -> list[Order]:
        """Cancel what is past its expire_time at `now`. Returns the orders."""
        due = [
            order
            for order in self.orders
            if order.is_open and not order.pending and not order.expiry_asked
            and order.terms["expire_time"] and order.terms["expire_time"] <= now
        ]  # fmt: skip
        for order in due:
            order.expiry_asked = True
            self._ask_to_cancel(order, "EXPIRED")
        return due

    def fire(self) -> list[Order]:
        """Cancel for a timer that has run out. Returns the orders."""
        if self.timer is None:
            return []
        fired = self.timer
        concerned = [o for o in self.orders if o.is_open and not o.exempt and o.entered < fired]
        waiting = any(order.pending and order.pending.reason != "DISCONNECTED" for order in concerned)
        orders = [
            order
            for order in concerned
            if not order.pending and not any(
                request.order is order and request.reason == "DISCONNECTED" and request.sequence > fired
                for request in self.requests.values())
        ]  # fmt: skip
        for order in orders:
            self._ask_to_cancel(order, "DISCONNECTED")
        if not waiting:
            self.timer = None
        return orders

    # What gateways report ---------------------------------------------------------------------------------------------

    def report(self, order: Order, report_id: str, action: str, **more: Any) -> str:
        """Take a report. `reason`, `error_code`, `request_key`, `terms`, `execution`: as in the report."""
        content = order, action, tuple(sorted(more.items(), key=lambda item: item[0]))
        if report_id in self._reports:
            return self.repeated(report_id) if self._reports[report_id][0] == content else "REPORT_ID_REUSED"
        execution: Execution | None = more.get("execution")
        identity = execution and (execution.venue, execution.trade_date, execution.execution_id)
        if execution and identity in self._executions:
            # A second report of it may state another date for the id that it refers to.
            same = self._executions[identity] == ((action, execution._replace(of_date=None)), order)
            return REPLAYED if same else "EXECUTION_ID_REUSED"
        handler: Callable[..., str] = getattr(self, f"_report_{action.lower()}")
        outcome = handler(order, **more)
        if outcome != APPLIED:
            named = f" for {more['request_key']}" if action == "REPLACED" and more.get("request_key") else ""
            reason = f"{action} refused{named}" + (f": {more['reason']}" if more.get("reason") else "")
            self._record(order, "REJECTED", reason=reason, error_code=outcome, refused=True, execution=execution)
        elif execution and identity:
            self._executions[identity] = (action, execution._replace(of_date=None)), order
        self._reports[report_id] = content, outcome
        return outcome

    def repeated(self, report_id: str) -> str:
        """Return the outcome of a report that is made again; empty for one that has left no trace."""
        if report_id not in self._reports:
            return ""
        outcome = self._reports[report_id][1]
        return REPLAYED if outcome == APPLIED else outcome

    def _report_approved(self, order: Order) -> str:
        if not order.is_open:
            return "ORDER_CLOSED"
        return self._record(order, "APPROVED")

    def _report_executed(self, order: Order, reason: str = "", error_code: str = "") -> str:
        order.at_venue = True
        return self._record(order, "EXECUTED", reason=reason, error_code=error_code)

    def _report_recovered(self, order: Order) -> str:
        order.at_venue = True
        return self._record(order, "RECOVERED")

    def _report_rejected(self, order: Order, reason: str) -> str:
        if not order.is_open:
            return "ORDER_CLOSED"
        return self._close(order, "REJECTED", "REJECTED", reason, reason)

    def _report_cancelled(self, order: Order, reason: str = "", request_key: str = "") -> str:
        del request_key  # the order is cancelled, whichever request did it
        if order.closed_as == "REJECTED":
            return "ORDER_CLOSED"
        if order.closed_as:
            return self._record(order, "CANCELLED", reason=reason)
        asked = order.pending.reason if order.pending and order.pending.kind == "CANCEL" else ""
        because = asked if asked in {"EXPIRED", "DISCONNECTED"} else reason or asked
        return self._close(order, "CANCELLED", "CANCELLED", because, reason)

    def _report_done_for_day(self, order: Order, reason: str = "") -> str:
        order.at_venue = True
        in_force = order.terms["time_in_force"] or ("GTD" if order.terms["expire_time"] else "DAY")
        if in_force in {"GTC", "GTD"} or order.closed_as:
            return self._record(order, "DONE_FOR_DAY", reason=reason)
        return self._close(order, "DONE_FOR_DAY", "CANCELLED", "DONE_FOR_DAY", reason)

    def _report_replaced(self, order: Order, reason: str = "", request_key: str = "") -> str:
        request = order.pending
        if not request or request.kind != "REPLACE" or request_key not in {"", request.key}:
            return "REQUEST_NOT_PENDING"
        self._set(order, request.terms or {})
        answered = self._settle(order, "ACCEPTED")
        return self._record(order, "REPLACED", reason=reason, terms=request.terms, answered_key=answered)

    def _report_cancel_refused(self, order: Order, **more: Any) -> str:
        return self._refused(order, "CANCEL", **more)

    def _report_replace_refused(self, order: Order, **more: Any) -> str:
        return self._refused(order, "REPLACE", **more)

    def _refused(self, order: Order, kind: str, reason: str = "", error_code: str = "", request_key: str = "") -> str:
        answered = ""
        if order.pending and order.pending.kind == kind and request_key in {"", order.pending.key}:
            answered = self._settle(order, "REFUSED")
        return self._record(
            order, f"{kind}_REFUSED", reason=reason, error_code=error_code, answered_key=answered
        )  # fmt: skip

    def _report_restated(self, order: Order, terms: Terms, reason: str = "") -> str:
        order.at_venue = True
        self._set(
            order, {name: value for name, value in terms.items() if (order.order_type, name) != ("MARKET", "price")}
        )
        return self._record(order, "RESTATED", reason=reason, terms=terms)

    def _report_filled(self, order: Order, execution: Execution) -> str:
        excess = order.executed - order.filled
        order.at_venue = True
        order.fills.append(Fill(order, len(self.trail) + 1, [execution]))
        grows = order.executed - order.filled > excess
        reason = "OVERFILL" if grows else "LATE_FILL" if order.closed_as else ""
        return self._record(order, "FILLED", reason=reason, execution=execution)

    def _report_fill_corrected(self, order: Order, execution: Execution, reason: str = "") -> str:
        fill = self._fill_of(order, execution)
        if not fill or fill.standing.quantity == 0:
            return "FILL_NOT_FOUND"
        fill.said.append(execution)
        action = "FILL_CORRECTED" if execution.quantity else "FILL_BUSTED"
        return self._record(order, action, reason=reason, execution=execution)

    _report_fill_busted = _report_fill_corrected

    # Within -----------------------------------------------------------------------------------------------------------

    def _known(self, key: str, content: Any) -> str:
        if key not in self._contents:
            return ""
        return REPLAYED if self._contents[key] == content else "REQUEST_KEY_REUSED"

    def _ask_to_cancel(self, order: Order, reason: str, key: str = "") -> None:
        """Cancel at once, or request it. A key that the blotter makes is `*` and the sequence.

        What the blotter cancels at once by itself, or for CancelAllOrders, is no request.
        """
        sequence = len(self.trail) + 1
        if order.at_venue:
            key = key or f"*{sequence}"
            order.pending = self.requests[key] = Request(key, order, "CANCEL", None, reason, sequence)
            self._record(order, "CANCEL_REQUESTED", reason=reason, request_key=key)
            return
        if key:
            self.requests[key] = Request(key, order, "CANCEL", None, reason, sequence, "ACCEPTED", sequence)
        order.closed_as, order.closing_reason = "CANCELLED", reason
        self._record(order, "CANCELLED", reason=reason, request_key=key)

    def _close(self, order: Order, action: str, closed_as: str, because: str, reason: str) -> str:
        kind = order.pending.kind if order.pending else ""
        answered = self._settle(order, "ACCEPTED" if (action, kind) == ("CANCELLED", "CANCEL") else "SUPERSEDED")
        order.closed_as, order.closing_reason = closed_as, because
        return self._record(order, action, reason=reason, answered_key=answered)

    def _settle(self, order: Order, outcome: str) -> str:
        request, order.pending = order.pending, None
        if not request:
            return ""
        request.outcome, request.settled = outcome, len(self.trail) + 1
        return request.key

    def _set(self, order: Order, terms: Terms) -> None:
        order.terms = replaced(order, terms)
        if "expire_time" in terms:
            order.expiry_asked = False

    def _fill_of(self, order: Order, execution: Execution) -> Fill | None:
        """The fill that a correction names: where it states no date, the newest one that stands, else the newest."""
        named = [
            fill
            for fill in order.fills
            if any(
                said.venue == execution.venue
                and said.execution_id == execution.of
                and execution.of_date in {None, said.trade_date}
                for said in fill.said
            )
        ]
        standing = [fill for fill in named if fill.standing.quantity]
        return (standing or named)[-1] if named else None

    def _record(self, order: Order, action: str, **more: Any) -> str:
        order.last_sequence = len(self.trail) + 1
        self.trail.append(Event(order.last_sequence, action, order.view(), **more))
        return APPLIED


def replaced(order: Order, terms: Terms) -> dict[str, Any]:
    """Return the order's terms with those. What is filled stays ordered."""
    new = order.terms | dict(terms)
    if "quantity" in terms:
        new["quantity"] = max(terms["quantity"], order.filled)
    return new


def violation(side: str, order_type: str, terms: Terms) -> bool:
    """Return whether the terms do not fit together."""
    price, stop, loss, profit = (terms[name] for name in ("price", "stop_price", "stop_loss", "take_profit"))
    ascending = [value for value in (loss, price, profit) if value is not None]
    if side == "SELL":
        ascending.reverse()
    in_force, expires = terms["time_in_force"], terms["expire_time"]
    return (
        (order_type == "MARKET") != (price is None)
        or (order_type == "STOP_LIMIT") != (stop is not None)
        or any(low >= high for low, high in pairwise(ascending))
        or (in_force == "GTD" and not expires)
        or (in_force not in {None, "GTD"} and expires is not None)
    )


def average(notional: Decimal, quantity: int) -> str:
    """Return notional / quantity to eight decimals, without trailing zeros; empty without a quantity."""
    if not quantity:
        return ""
    with localcontext(prec=60):
        text = format((notional / quantity).quantize(Decimal("1e-8"), rounding=ROUND_HALF_UP), "f")
    return text.rstrip("0").rstrip(".")
