"""An independent book: the expected orders, fills and events, computed from the steps alone.

It implements the rules of the contract and shares no code with the service.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from enum import Enum
from uuid import UUID

from blotter_client import Action, OrderStatus
from replay.flow import Approve, Cancel, CancelAtVenue, Execute, Fill, Recover, Reject, Report, Step, Submit

OPEN = (OrderStatus.PENDING, OrderStatus.PARTIAL)

_EXACT = Context(prec=60)
_CENTIMILLIONTH = Decimal("1E-8")


class Outcome(Enum):
    """The service's response to a step. The names after the first two are reasons of errors."""

    RECORDED = "recorded"
    REPLAYED = "replayed"
    OVERFILL = "overfill refused"
    ORDER_CLOSED = "refused, order closed"
    CLIENT_ORDER_ID_REUSED = "refused, client_order_id reused"
    REPORT_ID_REUSED = "refused, report_id reused"
    EXECUTION_ID_REUSED = "refused, execution_id reused"


@dataclass(frozen=True, slots=True)
class OrderState:
    """An order after an event."""

    trader_id: UUID
    entered: Submit
    status: OrderStatus = OrderStatus.PENDING
    filled_quantity: int = 0
    filled_notional: Decimal = Decimal(0)

    @property
    def average_fill_price(self) -> Decimal | None:
        """The notional divided by the quantity, rounded half up to 8 decimals; None before the first fill."""
        if not self.filled_quantity:
            return None
        average = _EXACT.divide(self.filled_notional, Decimal(self.filled_quantity))
        return average.quantize(_CENTIMILLIONTH, rounding=ROUND_HALF_UP, context=_EXACT)


@dataclass(frozen=True, slots=True)
class Event:
    """An event of an order, as expected in the audit trail. `event_time` is None if the service sets the time."""

    action: Action
    after: OrderState
    by_gateway: bool
    reason: str = ""
    error_code: str = ""
    retry_attempt: int = 0
    refused: bool = False
    report_id: str = ""
    venue: str = ""
    event_time: datetime | None = None
    fill: Fill | None = None


class Book:
    """Executes steps. `outcomes` has one entry per step, `orders` the final states, `events` each trader's events."""

    def __init__(self, traders: Sequence[UUID]) -> None:
        self.traders = tuple(traders)
        self.outcomes: list[Outcome] = []
        self.after: list[OrderState | None] = []
        """The order after each recorded step; None for other steps."""
        self.orders: dict[str, OrderState] = {}
        self.events: dict[UUID, list[Event]] = {trader_id: [] for trader_id in self.traders}
        self._reports: dict[tuple[UUID, str], tuple[Report, Outcome]] = {}
        self._fills: dict[tuple[UUID, str, str], Fill] = {}
        self._cancelled: set[str] = set()

    @classmethod
    def of(cls, steps: Iterable[Step], traders: Sequence[UUID]) -> Book:
        """Return the book after the steps. The orders are distributed over the traders."""
        book = cls(traders)
        for step in steps:
            book.play(step)
        return book

    def trader_of(self, order: str) -> UUID:
        """Return the trader of an order, which depends only on the order and the traders."""
        return self.traders[zlib.crc32(order.encode()) % len(self.traders)]

    def orders_of(self, trader_id: UUID) -> dict[str, OrderState]:
        """Return the final states of the trader's orders."""
        return {order: state for order, state in self.orders.items() if state.trader_id == trader_id}

    def events_by_order(self, trader_id: UUID) -> dict[str, list[Event]]:
        """Return the trader's events, by order."""
        events: dict[str, list[Event]] = {}
        for event in self.events[trader_id]:
            events.setdefault(event.after.entered.order, []).append(event)
        return events

    def fills(self, trader_id: UUID) -> dict[tuple[str, str], Fill]:
        """Return the trader's fills, by venue and execution_id."""
        return {
            (venue, execution): fill for (owner, venue, execution), fill in self._fills.items() if owner == trader_id
        }

    def play(self, step: Step) -> Outcome:
        """Execute the next step. Raises ValueError for an order that was not entered before."""
        if isinstance(step, Submit):
            outcome = self._submit(step)
        elif step.order not in self.orders:
            raise ValueError(f"order {step.order} was not entered before")
        elif isinstance(step, Cancel):
            outcome = self._cancel(step)
        else:
            outcome = self._report(step)
        self.outcomes.append(outcome)
        self.after.append(self.orders[step.order] if outcome is Outcome.RECORDED else None)
        return outcome

    def _submit(self, step: Submit) -> Outcome:
        known = self.orders.get(step.order)
        if known is not None:
            return Outcome.REPLAYED if known.entered == step else Outcome.CLIENT_ORDER_ID_REUSED
        state = OrderState(self.trader_of(step.order), step)
        self._record(Event(Action.SUBMITTED, state, by_gateway=False))
        return Outcome.RECORDED

    def _cancel(self, step: Cancel) -> Outcome:
        state = self.orders[step.order]
        if state.status in OPEN:
            after = replace(state, status=OrderStatus.CANCELLED)
            self._record(Event(Action.CANCELLED, after, by_gateway=False, reason=step.reason))
            return Outcome.RECORDED
        # A repeated cancel is replayed, even if a late fill has completed the order since.
        return Outcome.REPLAYED if step.order in self._cancelled else Outcome.ORDER_CLOSED

    def _report(self, step: Report) -> Outcome:
        state = self.orders[step.order]
        known = self._reports.get((state.trader_id, step.report_id))
        if known is not None:
            first, outcome = known
            if first != step:
                return Outcome.REPORT_ID_REUSED
            return Outcome.REPLAYED if outcome is Outcome.RECORDED else outcome
        if isinstance(step, Fill):
            booked = self._fills.get((state.trader_id, step.venue, step.execution_id))
            if booked is not None:
                same = (booked.order, booked.quantity, booked.price) == (step.order, step.quantity, step.price)
                return Outcome.REPLAYED if same else Outcome.EXECUTION_ID_REUSED
        outcome = self._refusal(step, state) or Outcome.RECORDED
        self._record(_event(step, state) if outcome is Outcome.RECORDED else _refused(step, state, outcome))
        self._reports[state.trader_id, step.report_id] = (step, outcome)
        if isinstance(step, Fill) and outcome is Outcome.RECORDED:
            self._fills[state.trader_id, step.venue, step.execution_id] = step
        return outcome

    @staticmethod
    def _refusal(step: Report, state: OrderState) -> Outcome | None:
        if isinstance(step, Fill) and step.quantity > state.entered.quantity - state.filled_quantity:
            return Outcome.OVERFILL
        if isinstance(step, Approve | Reject) and state.status not in OPEN:
            return Outcome.ORDER_CLOSED
        if isinstance(step, CancelAtVenue) and state.status in {OrderStatus.FILLED, OrderStatus.REJECTED}:
            return Outcome.ORDER_CLOSED
        return None

    def _record(self, event: Event) -> None:
        order = event.after.entered.order
        self.orders[order] = event.after
        self.events[event.after.trader_id].append(event)
        if event.action is Action.CANCELLED:
            self._cancelled.add(order)


def _event(step: Report, state: OrderState) -> Event:
    event = Event(
        Action.APPROVED,
        state,
        by_gateway=True,
        report_id=step.report_id,
        venue=step.venue,
        event_time=step.event_time,
    )
    match step:
        case Approve():
            return event
        case Execute():
            return replace(
                event,
                action=Action.EXECUTED,
                retry_attempt=step.retry_attempt,
                error_code=step.error_code,
                reason=step.reason,
            )
        case Recover():
            return replace(event, action=Action.RECOVERED, retry_attempt=step.retry_attempt)
        case Reject():
            after = replace(state, status=OrderStatus.REJECTED)
            return replace(event, action=Action.REJECTED, after=after, reason=step.reason, error_code=step.error_code)
        case CancelAtVenue():
            after = replace(state, status=OrderStatus.CANCELLED)
            return replace(event, action=Action.CANCELLED, after=after, reason=step.reason)
        case Fill():
            late = "" if state.status in OPEN else "LATE_FILL"
            return replace(event, action=Action.FILLED, after=_filled(step, state), reason=late, fill=step)


def _filled(step: Fill, state: OrderState) -> OrderState:
    filled = state.filled_quantity + step.quantity
    if filled == state.entered.quantity:
        status = OrderStatus.FILLED
    else:
        status = OrderStatus.PARTIAL if state.status in OPEN else state.status
    notional = _EXACT.add(state.filled_notional, _EXACT.multiply(step.price, Decimal(step.quantity)))
    return replace(state, status=status, filled_quantity=filled, filled_notional=notional)


def _refused(step: Report, state: OrderState, outcome: Outcome) -> Event:
    """Return the REJECTED event of a refusal: it leaves the order unchanged and includes the report."""
    reported = _event(step, state)
    if outcome is Outcome.OVERFILL:
        left = state.entered.quantity - state.filled_quantity
        reason = f"{reported.action.name} refused: {left} of {state.entered.quantity} left"
    else:
        reason = f"{reported.action.name} refused" + (f": {reported.reason}" if reported.reason else "")
    return replace(
        reported,
        action=Action.REJECTED,
        after=state,
        reason=reason,
        error_code=outcome.name,
        refused=True,
        fill=step if isinstance(step, Fill) else None,
    )
