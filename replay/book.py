"""An independent book: the expected orders, fills and events, computed from the steps alone.

It implements the rules of the contract and shares no code with the service.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from blotter_client import Action, OrderStatus, OrderType, RequestKind, RequestOutcome, TimeInForce
from replay.flow import (
    Answer,
    Approve,
    Bust,
    Cancel,
    CancelAtVenue,
    Correct,
    Correction,
    EndDay,
    Execute,
    Fill,
    Progress,
    Recover,
    RefuseCancel,
    RefuseReplace,
    Reject,
    Replace,
    ReplaceAtVenue,
    Report,
    Request,
    Restate,
    Step,
    Submit,
    Trade,
)

OPEN = (OrderStatus.PENDING, OrderStatus.PARTIAL)
LONGER_THAN_A_DAY = (TimeInForce.GTC, TimeInForce.GTD)

_EXACT = Context(prec=60)
_CENTIMILLIONTH = Decimal("1E-8")

FillKey = tuple[UUID, str, date, str]
"""Trader, venue, trade date and execution_id."""


class Outcome(Enum):
    """The service's response to a step. The names after the first two are reasons of errors."""

    RECORDED = "recorded"
    REPLAYED = "replayed"
    ORDER_CLOSED = "refused, order closed"
    REQUEST_PENDING = "refused, request pending"
    REQUEST_NOT_PENDING = "refused, request not pending"
    FILL_NOT_FOUND = "refused, fill not found"
    CLIENT_ORDER_ID_REUSED = "refused, client_order_id reused"
    REQUEST_KEY_REUSED = "refused, request_key reused"
    REPORT_ID_REUSED = "refused, report_id reused"
    EXECUTION_ID_REUSED = "refused, execution_id reused"


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that waits for the venue's answer. `terms` is None for a cancel."""

    kind: RequestKind
    key: str
    reason: str = ""
    terms: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class OrderState:
    """An order after an event.

    Attributes:
        entered: The order as it was entered.
        terms: The order with the terms that are in force.
        executed_quantity: Shares of all fills that stand.
        filled_notional: Their exact sum of quantity times price.
        closed_as: What closed the order other than its fills, and `closed_because` its reason.
        at_venue: Whether a gateway has the order.
        pending: The request that waits for the venue's answer.
    """

    trader_id: UUID
    entered: Submit
    terms: Submit
    executed_quantity: int = 0
    filled_notional: Decimal = Decimal(0)
    closed_as: OrderStatus | None = None
    closed_because: str = ""
    at_venue: bool = False
    pending: Pending | None = None

    @property
    def status(self) -> OrderStatus:
        """The status, which follows from the quantities and from what closed the order."""
        if self.filled_quantity == self.terms.quantity:
            return OrderStatus.FILLED
        if self.closed_as is not None:
            return self.closed_as
        return OrderStatus.PARTIAL if self.filled_quantity else OrderStatus.PENDING

    @property
    def status_reason(self) -> str:
        """Why the order is cancelled or rejected; empty for other statuses."""
        return self.closed_because if self.status is self.closed_as else ""

    @property
    def filled_quantity(self) -> int:
        """The executed quantity, but for what exceeds the order."""
        return min(self.executed_quantity, self.terms.quantity)

    @property
    def excess_quantity(self) -> int:
        """The executed quantity that exceeds the order."""
        return self.executed_quantity - self.filled_quantity

    @property
    def leaves_quantity(self) -> int:
        """The quantity that may still be filled."""
        return self.terms.quantity - self.filled_quantity if self.status in OPEN else 0

    @property
    def average_fill_price(self) -> Decimal | None:
        """The notional divided by the quantity, rounded half up to 8 decimals; None while nothing is filled."""
        if not self.executed_quantity:
            return None
        average = _EXACT.divide(self.filled_notional, Decimal(self.executed_quantity))
        return average.quantize(_CENTIMILLIONTH, rounding=ROUND_HALF_UP, context=_EXACT)


@dataclass(frozen=True, slots=True)
class BookedFill:
    """A fill as it was reported, and its corrections, oldest first."""

    reported: Fill
    corrections: tuple[Correction, ...] = ()

    @property
    def net(self) -> Trade:
        """What stands: the newest correction, or the fill."""
        return self.corrections[-1] if self.corrections else self.reported


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
    correction: Correction | None = None
    request_key: str = ""
    answered_key: str = ""
    terms: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class PastRequest:
    """A request about an order, and what became of it. `terms` is None for a cancel."""

    key: str
    kind: RequestKind
    outcome: RequestOutcome
    reason: str = ""
    terms: Mapping[str, Any] | None = None
    outcome_code: str = ""


class Book:
    """Executes steps. `outcomes` has one entry per step, `orders` the final states, `events` each trader's events."""

    def __init__(self, traders: Sequence[UUID]) -> None:
        self.traders = tuple(traders)
        self.outcomes: list[Outcome] = []
        self.after: list[OrderState | None] = []
        """The order after each recorded step; None for other steps."""
        self.orders: dict[str, OrderState] = {}
        self.events: dict[UUID, list[Event]] = {trader_id: [] for trader_id in self.traders}
        self._requests: dict[tuple[UUID, str], Request] = {}
        self._reports: dict[tuple[UUID, str], tuple[Report, Outcome]] = {}
        self._fills: dict[FillKey, BookedFill] = {}
        self._corrections: dict[FillKey, tuple[Correction, FillKey]] = {}
        """The corrections, and the fill that each is about."""

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

    def fills(self, trader_id: UUID) -> dict[tuple[str, date, str], BookedFill]:
        """Return the trader's fills, by venue, trade date and execution_id."""
        return {
            (venue, day, execution): fill
            for (owner, venue, day, execution), fill in self._fills.items()
            if owner == trader_id
        }

    def play(self, step: Step) -> Outcome:
        """Execute the next step. Raises ValueError for an order that was not entered before."""
        if isinstance(step, Submit):
            outcome = self._submit(step)
        elif step.order not in self.orders:
            raise ValueError(f"order {step.order} was not entered before")
        elif isinstance(step, Cancel | Replace):
            outcome = self._request(step)
        else:
            outcome = self._report(step)
        self.outcomes.append(outcome)
        self.after.append(self.orders[step.order] if outcome is Outcome.RECORDED else None)
        return outcome

    def _submit(self, step: Submit) -> Outcome:
        known = self.orders.get(step.order)
        if known is not None:
            return Outcome.REPLAYED if known.entered == step else Outcome.CLIENT_ORDER_ID_REUSED
        trader_id = self.trader_of(step.order)
        if (trader_id, step.order) in self._requests:
            return Outcome.CLIENT_ORDER_ID_REUSED
        self._record(Event(Action.SUBMITTED, OrderState(trader_id, step, step), by_gateway=False))
        return Outcome.RECORDED

    def _request(self, step: Request) -> Outcome:
        state = self.orders[step.order]
        known = self._requests.get((state.trader_id, step.request_key))
        if known is not None:
            return Outcome.REPLAYED if known == step else Outcome.REQUEST_KEY_REUSED
        namesake = self.orders.get(step.request_key)
        if namesake is not None and namesake.trader_id == state.trader_id:
            return Outcome.REQUEST_KEY_REUSED
        if isinstance(step, Cancel) and state.closed_as is OrderStatus.CANCELLED:
            # A repeated cancel is replayed, even if a late fill has completed the order since.
            return Outcome.REPLAYED
        if state.closed_as is not None or (isinstance(step, Cancel) and state.status not in OPEN):
            return Outcome.ORDER_CLOSED
        if state.pending is not None:
            return Outcome.REQUEST_PENDING
        self._record(_requested(step, state))
        self._requests[state.trader_id, step.request_key] = step
        return Outcome.RECORDED

    def _report(self, step: Report) -> Outcome:
        state = self.orders[step.order]
        known = self._reports.get((state.trader_id, step.report_id))
        if known is not None:
            first, outcome = known
            if first != step:
                return Outcome.REPORT_ID_REUSED
            return Outcome.REPLAYED if outcome is Outcome.RECORDED else outcome
        if isinstance(step, Trade):
            outcome = self._trade(step, state)
            if outcome in {Outcome.REPLAYED, Outcome.EXECUTION_ID_REUSED}:
                return outcome
        else:
            outcome = self._apply(step, state, _event(step, state))
        self._reports[state.trader_id, step.report_id] = (step, outcome)
        return outcome

    def _trade(self, step: Trade, state: OrderState) -> Outcome:
        own = (state.trader_id, step.venue, step.trade_date, step.execution_id)
        known: Trade | None = self._fills[own].reported if own in self._fills else None
        if own in self._corrections:
            known, _ = self._corrections[own]
        if known is not None:
            same = replace(known, report_id=step.report_id) == step
            return Outcome.REPLAYED if same else Outcome.EXECUTION_ID_REUSED
        if isinstance(step, Fill):
            self._fills[own] = BookedFill(step)
            return self._apply(step, state, _filled(step, state))
        corrected = self._corrected(step, state)
        if corrected is None or isinstance(self._fills[corrected].net, Bust):
            return self._apply(step, state, Outcome.FILL_NOT_FOUND)
        fill = self._fills[corrected]
        self._fills[corrected] = replace(fill, corrections=(*fill.corrections, step))
        self._corrections[own] = (step, corrected)
        after = _traded(_traded(state, fill.net, -1), step, 1)
        return self._apply(step, state, replace(_reported(step, state), after=after, correction=step))

    def _apply(self, step: Report, state: OrderState, result: Event | Outcome) -> Outcome:
        """Record an event, or the refusal of the report."""
        if isinstance(result, Outcome):
            self._record(_refused(step, state, result))
            return result
        self._record(result)
        return Outcome.RECORDED

    def _corrected(self, step: Correction, state: OrderState) -> FillKey | None:
        """Return the fill of the order that a correction names, directly or by an earlier correction of it."""
        key = (state.trader_id, step.venue, step.ref_trade_date, step.ref_execution_id)
        if key in self._corrections:
            key = self._corrections[key][1]
        return key if key in self._fills and self._fills[key].reported.order == step.order else None

    def _record(self, event: Event) -> None:
        self.orders[event.after.entered.order] = event.after
        self.events[event.after.trader_id].append(event)


def past_requests(events: Sequence[Event]) -> list[PastRequest]:
    """Return the requests that an order's events record and settle, oldest first."""
    answers = {event.answered_key: event for event in events if event.answered_key}
    return [_past(event, answers.get(event.request_key)) for event in events if event.request_key]


def _past(asked: Event, answer: Event | None) -> PastRequest:
    kind = RequestKind.CANCEL if asked.terms is None else RequestKind.REPLACE
    done = Action.CANCELLED if kind is RequestKind.CANCEL else Action.REPLACED
    if asked.action is done or (answer is not None and answer.action is done):
        outcome = RequestOutcome.ACCEPTED
    elif answer is None:
        outcome = RequestOutcome.PENDING
    elif answer.action in {Action.CANCEL_REFUSED, Action.REPLACE_REFUSED}:
        outcome = RequestOutcome.REFUSED
    else:
        outcome = RequestOutcome.SUPERSEDED
    return PastRequest(asked.request_key, kind, outcome, asked.reason, asked.terms, answer.error_code if answer else "")


def _requested(step: Request, state: OrderState) -> Event:
    """Return the event of a request: it waits for the venue, or takes effect at once."""
    event = Event(Action.CANCELLED, state, by_gateway=False, reason=step.reason, request_key=step.request_key)
    if isinstance(step, Cancel):
        if not state.at_venue:
            return replace(event, after=_closed(state, OrderStatus.CANCELLED, step.reason))
        pending = Pending(RequestKind.CANCEL, step.request_key, step.reason)
        return replace(event, action=Action.CANCEL_REQUESTED, after=replace(state, pending=pending))
    if not state.at_venue:
        return replace(event, action=Action.REPLACED, after=_with_terms(state, step.terms), terms=step.terms)
    pending = Pending(RequestKind.REPLACE, step.request_key, step.reason, step.terms)
    return replace(event, action=Action.REPLACE_REQUESTED, after=replace(state, pending=pending), terms=step.terms)


def _reported(step: Report, state: OrderState) -> Event:
    """Return an event with what all reports have in common; the order is unchanged."""
    return Event(
        ACTIONS[type(step)],
        state,
        by_gateway=True,
        reason=getattr(step, "reason", ""),
        report_id=step.report_id,
        venue=step.venue,
        event_time=step.event_time,
    )


def _event(step: Progress | Answer, state: OrderState) -> Event | Outcome:
    """Return the event of a report that is not about a fill, or its refusal."""
    event = _reported(step, state)
    match step:
        case Approve():
            return event if state.status in OPEN else Outcome.ORDER_CLOSED
        case Execute():
            after = replace(state, at_venue=True)
            return replace(event, after=after, retry_attempt=step.retry_attempt, error_code=step.error_code)
        case Recover():
            return replace(event, after=replace(state, at_venue=True), retry_attempt=step.retry_attempt)
        case Reject():
            if state.status not in OPEN:
                return Outcome.ORDER_CLOSED
            return replace(_closing(event, OrderStatus.REJECTED, step.reason), error_code=step.error_code)
        case Restate():
            terms = {"quantity": step.quantity, "price": step.price}
            given = {name: value for name, value in terms.items() if value is not None}
            return replace(event, after=_with_terms(replace(state, at_venue=True), given), terms=given)
        case EndDay():
            event = replace(event, after=replace(state, at_venue=True))
            return event if _goes_on(state) else _closing(event, OrderStatus.CANCELLED, "DONE_FOR_DAY")
        case _:
            return _answered(step, event)


def _goes_on(state: OrderState) -> bool:
    """Return whether the end of the day changes nothing: the order is closed, or in force for longer."""
    terms = state.terms
    unstated = terms.time_in_force is None and terms.expire_time is not None
    return state.closed_as is not None or unstated or terms.time_in_force in LONGER_THAN_A_DAY


def _answered(step: Answer, event: Event) -> Event | Outcome:
    state = event.after
    pending = state.pending
    named = pending is not None and step.request_key in {"", pending.key}
    match step:
        case CancelAtVenue():
            return _cancelled_at_venue(step, event)
        case ReplaceAtVenue():
            if pending is None or pending.terms is None or not named:
                return Outcome.REQUEST_NOT_PENDING
            after = replace(_with_terms(state, pending.terms), pending=None)
            return replace(event, after=after, answered_key=pending.key, terms=pending.terms)
        case RefuseCancel() | RefuseReplace():
            event = replace(event, error_code=step.refusal.name)
            kind = RequestKind.CANCEL if isinstance(step, RefuseCancel) else RequestKind.REPLACE
            if pending is None or pending.kind is not kind or not named:
                return event
            return replace(event, after=replace(state, pending=None), answered_key=pending.key)


def _filled(step: Fill, state: OrderState) -> Event:
    after = replace(_traded(state, step, 1), at_venue=True)
    grown = after.excess_quantity > state.excess_quantity
    late = "LATE_FILL" if state.closed_as is not None else ""
    return replace(_reported(step, state), after=after, reason="OVERFILL" if grown else late, fill=step)


def _cancelled_at_venue(step: CancelAtVenue, event: Event) -> Event | Outcome:
    state = event.after
    if state.closed_as is OrderStatus.REJECTED:
        return Outcome.ORDER_CLOSED
    event = replace(event, reason="EXPIRED" if step.expired else step.reason)
    if state.closed_as is OrderStatus.CANCELLED:
        return event
    requested = state.pending.reason if state.pending and state.pending.kind is RequestKind.CANCEL else ""
    because = requested if requested in {"EXPIRED", "DISCONNECTED"} else event.reason or requested
    return _closing(event, OrderStatus.CANCELLED, because)


def _closing(event: Event, closed_as: OrderStatus, because: str) -> Event:
    """Return the event with the order closed, and a pending request settled."""
    answered = event.after.pending.key if event.after.pending else ""
    return replace(event, after=_closed(event.after, closed_as, because), answered_key=answered)


def _closed(state: OrderState, closed_as: OrderStatus, because: str) -> OrderState:
    return replace(state, closed_as=closed_as, closed_because=because, pending=None)


def _with_terms(state: OrderState, terms: Mapping[str, Any]) -> OrderState:
    changed = dict(terms)
    if "quantity" in changed:
        changed["quantity"] = max(changed["quantity"], state.filled_quantity)
    if state.terms.order_type is OrderType.MARKET:
        changed.pop("price", None)
    return replace(state, terms=replace(state.terms, **changed))


def _traded(state: OrderState, traded: Trade, sign: int) -> OrderState:
    """Return the order with the quantity and the notional of a fill or a correction added or taken away."""
    if isinstance(traded, Bust):
        return state
    notional = _EXACT.multiply(traded.price, Decimal(sign * traded.quantity))
    return replace(
        state,
        executed_quantity=state.executed_quantity + sign * traded.quantity,
        filled_notional=_EXACT.add(state.filled_notional, notional),
    )


def _refused(step: Report, state: OrderState, outcome: Outcome) -> Event:
    """Return the REJECTED event of a refusal: it leaves the order unchanged and includes the report."""
    reported = _reported(step, state)
    named = f" for {step.request_key}" if isinstance(step, ReplaceAtVenue) and step.request_key else ""
    reason = f"{reported.action.name} refused{named}" + (f": {reported.reason}" if reported.reason else "")
    return replace(
        reported,
        action=Action.REJECTED,
        reason=reason,
        error_code=outcome.name,
        refused=True,
        correction=step if isinstance(step, Correct | Bust) else None,
    )


ACTIONS: Mapping[type[Report], Action] = {
    Approve: Action.APPROVED,
    Execute: Action.EXECUTED,
    Recover: Action.RECOVERED,
    Fill: Action.FILLED,
    Correct: Action.FILL_CORRECTED,
    Bust: Action.FILL_BUSTED,
    Reject: Action.REJECTED,
    CancelAtVenue: Action.CANCELLED,
    ReplaceAtVenue: Action.REPLACED,
    RefuseCancel: Action.CANCEL_REFUSED,
    RefuseReplace: Action.REPLACE_REFUSED,
    Restate: Action.RESTATED,
    EndDay: Action.DONE_FOR_DAY,
}
