"""Orders, fills, execution logs and reports as values.

The database enforces their rules, since no code path bypasses it: the transition table is `orders_guard` in revision
007, the effect of a report is `report_execution` in revision 009. A value here has the fields of its row, in the types
that psycopg returns: UUID, Decimal, aware datetime in UTC, and the enums' labels as text.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from blotter_client.decimals import format_decimal

Side = Literal["BUY", "SELL"]
OrderType = Literal["MARKET", "LIMIT", "STOP"]
OrderStatus = Literal["PENDING", "PARTIAL", "FILLED", "REJECTED", "CANCELLED"]
Action = Literal["SUBMITTED", "APPROVED", "EXECUTED", "FILLED", "REJECTED", "CANCELLED", "RECOVERED"]


@dataclass(frozen=True, slots=True)
class NewOrder:
    """The terms of a new order. Prices in the instrument's currency per share, quantity in shares."""

    client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: int
    price: Decimal | None
    stop_loss: Decimal | None
    take_profit: Decimal | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Report:
    """A gateway's report on an order. Fields that the action does not have are None."""

    trader_id: UUID
    order_id: UUID
    report_id: str
    action: Action
    timestamp: datetime | None
    venue: str | None
    reason: str | None = None
    error_code: str | None = None
    retry_attempt: int = 0
    execution_id: str | None = None
    quantity: int | None = None
    price: Decimal | None = None
    commission: Decimal | None = None


@dataclass(frozen=True, slots=True)
class OrderKey:
    """Names an order by one of its two ids; the other is None."""

    order_id: UUID | None = None
    client_order_id: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A row of orders."""

    id: UUID
    trader_id: UUID
    client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: int
    price: Decimal | None
    stop_loss: Decimal | None
    take_profit: Decimal | None
    status: OrderStatus
    filled_quantity: int
    filled_notional: Decimal
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    last_sequence: int


@dataclass(frozen=True, slots=True)
class Fill:
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


@dataclass(frozen=True, slots=True)
class ExecutionLog:
    """A row of execution_logs: one event, with the order's state after it."""

    id: UUID
    trader_id: UUID
    order_id: UUID
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
    fill_id: UUID | None
    execution_id: str | None
    fill_quantity: int | None
    fill_price: Decimal | None
    fill_commission: Decimal | None


def content_digest(value: NewOrder | Report) -> bytes:
    """Return the SHA-256 (32 bytes) that distinguishes a repeated request from a reused key.

    It covers the fields that are set, by name, so that adding a field does not change earlier digests.
    """
    content = {field.name: getattr(value, field.name) for field in fields(value)}
    text = json.dumps({name: _canonical(item) for name, item in content.items() if item is not None}, sort_keys=True)
    return hashlib.sha256(text.encode()).digest()


def _canonical(item: object) -> str:
    if isinstance(item, Decimal):
        return format_decimal(item)
    if isinstance(item, datetime):
        return item.isoformat()
    return str(item)
