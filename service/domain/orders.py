"""Orders, fills and execution logs as values.

The database enforces their rules, since no code path bypasses it: see `apply_event` in revision 020. A value here has
the fields of its row, in the types that psycopg returns: UUID, Decimal, aware datetime in UTC, JSON as dict, and the
enums' labels as text. What is read in thousands is a named tuple: one is made of a row in a tenth of the time that a
frozen dataclass takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple
from uuid import UUID

Side = Literal["BUY", "SELL"]
OrderType = Literal["MARKET", "LIMIT", "STOP", "STOP_LIMIT"]
OrderStatus = Literal["PENDING", "PARTIAL", "FILLED", "REJECTED", "CANCELLED"]
TimeInForce = Literal["DAY", "GTC", "IOC", "FOK", "GTD"]
SecurityIdSource = Literal["ISIN", "FIGI", "CUSIP"]
ShortSale = Literal["SELL_SHORT", "SELL_SHORT_EXEMPT"]
RequestKind = Literal["CANCEL", "REPLACE"]
RequestOutcome = Literal["PENDING", "ACCEPTED", "REFUSED", "SUPERSEDED"]
Action = Literal[
    "SUBMITTED",
    "APPROVED",
    "EXECUTED",
    "FILLED",
    "REJECTED",
    "CANCELLED",
    "RECOVERED",
    "CANCEL_REQUESTED",
    "REPLACE_REQUESTED",
    "REPLACED",
    "CANCEL_REFUSED",
    "REPLACE_REFUSED",
    "RESTATED",
    "DONE_FOR_DAY",
    "FILL_CORRECTED",
    "FILL_BUSTED",
]

Terms = dict[str, Any]
"""Some terms of an order by the names of their columns: `quantity` as int, prices as canonical decimal text,
`expires_at` as UTC text with microseconds and Z, `time_in_force` as label. None clears a term; an absent term is not
changed. Times and decimals are text because the object is JSON in the record."""


@dataclass(frozen=True, slots=True)
class OrderKey:
    """Names an order by its id, or by its client_order_id or the key of one of its requests; the other is None."""

    order_id: UUID | None = None
    client_order_id: str | None = None


class Order(NamedTuple):
    """A row of orders. The fields are all columns of the table, in its order: see ORDER_COLUMNS."""

    id: UUID
    trader_id: UUID
    symbol: str
    side: Side
    quantity: int
    order_type: OrderType
    price: Decimal | None
    stop_loss: Decimal | None
    take_profit: Decimal | None
    status: OrderStatus
    filled_quantity: int
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    filled_notional: Decimal
    client_order_id: str
    request_digest: bytes
    last_sequence: int
    excess_quantity: int
    stop_price: Decimal | None
    time_in_force: TimeInForce | None
    account: str | None
    labels: dict[str, str] | None
    parent_order_id: str | None
    currency: str | None
    security_id: str | None
    security_id_source: SecurityIdSource | None
    short_sale: ShortSale | None
    exempt_from_cancel_timer: bool
    at_venue: bool
    closed_as: OrderStatus | None
    status_reason: str | None
    pending_kind: RequestKind | None
    pending_key: str | None
    pending_sequence: int | None
    pending_terms: Terms | None
    expiry_requested: bool


ORDER_COLUMNS = Order._fields
"""The columns of the table, in its order: a row that a function returns is taken by position, which costs Postgres a
third of what it costs to name each field. A later revision may only add columns at the end."""


@dataclass(frozen=True, slots=True)
class FillCorrection:
    """A row of fill_corrections, with the `ref_execution_id` of its log. A bust has quantity 0 and no price."""

    fill_id: UUID
    sequence: int
    execution_id: str
    ref_execution_id: str
    trade_date: date
    venue: str
    timestamp: datetime
    quantity: int
    price: Decimal | None
    commission: Decimal | None
    reason: str | None
    created_at: datetime


class Fill(NamedTuple):
    """A row of fills."""

    id: UUID
    trader_id: UUID
    order_id: UUID
    execution_id: str
    venue: str
    quantity_filled: int
    price_at_fill: Decimal
    commission: Decimal
    timestamp: datetime
    created_at: datetime
    sequence: int
    trade_date: date


@dataclass(frozen=True, slots=True)
class CorrectedFill:
    """A fill and its corrections, oldest first."""

    fill: Fill
    corrections: list[FillCorrection]


class ExecutionLog(NamedTuple):
    """A row of execution_logs: one event, with the order's state after it. Ids are text, as they are only sent on."""

    id: str
    trader_id: str
    order_id: str
    sequence: int
    action: Action
    status: OrderStatus
    refused: bool
    timestamp: datetime
    created_at: datetime
    reason: str | None
    retry_attempt: int
    error_code: str | None
    actor: str
    request_id: str
    login: str | None
    report_id: str | None
    client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: int
    price: Decimal | None
    stop_loss: Decimal | None
    take_profit: Decimal | None
    expires_at: datetime | None
    order_created_at: datetime
    filled_quantity: int
    filled_notional: Decimal
    venue: str | None
    fill_id: str | None
    execution_id: str | None
    fill_quantity: int | None
    fill_price: Decimal | None
    fill_commission: Decimal | None
    excess_quantity: int
    stop_price: Decimal | None
    time_in_force: TimeInForce | None
    account: str | None
    labels: dict[str, str] | None
    parent_order_id: str | None
    currency: str | None
    security_id: str | None
    security_id_source: SecurityIdSource | None
    short_sale: ShortSale | None
    exempt_from_cancel_timer: bool
    at_venue: bool
    status_reason: str | None
    pending_kind: RequestKind | None
    pending_key: str | None
    pending_terms: Terms | None
    request_key: str | None
    answered_key: str | None
    terms: Terms | None
    trade_date: date | None
    ref_execution_id: str | None


@dataclass(frozen=True, slots=True)
class Request:
    """A request to cancel or replace an order, and what became of it. The outcome's fields are None while it pends."""

    key: str
    kind: RequestKind
    outcome: RequestOutcome
    terms: Terms | None
    reason: str | None
    sequence: int
    created_at: datetime
    outcome_sequence: int | None
    outcome_at: datetime | None
    outcome_reason: str | None
    outcome_code: str | None


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """A row of cancel_timers: a trader's dead-man's switch."""

    trader_id: UUID
    timeout: timedelta
    fires_at: datetime
    set_at: datetime

    @classmethod
    def from_row(cls, trader_id: UUID, seconds: Decimal, fires_at: datetime, set_at: datetime) -> CancelTimer:
        """Return the timer of a row; `seconds` is its timeout."""
        return cls(trader_id, timedelta(microseconds=int(seconds * 1_000_000)), fires_at, set_at)
