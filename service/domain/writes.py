"""What callers ask to be written: new orders, cancels, replaces and reports, as values."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from json.encoder import encode_basestring_ascii as _quoted
from uuid import UUID

from blotter_client.decimals import format_decimal
from service.domain.orders import (
    Action,
    OrderKey,
    OrderType,
    SecurityIdSource,
    ShortSale,
    Side,
    Terms,
    TimeInForce,
)


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
    stop_price: Decimal | None = None
    time_in_force: TimeInForce | None = None
    account: str | None = None
    labels: dict[str, str] | None = None
    parent_order_id: str | None = None
    currency: str | None = None
    security_id: str | None = None
    security_id_source: SecurityIdSource | None = None
    short_sale: ShortSale | None = None
    exempt_from_cancel_timer: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """A cancel. Without a key the database makes one."""

    order: OrderKey
    request_key: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Replace:
    """A replace: the terms that change. `expected_sequence` None: whatever the order's last sequence is."""

    order: OrderKey
    request_key: str
    terms: Terms
    expected_sequence: int | None
    reason: str | None


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
    trade_date: date | None = None
    ref_execution_id: str | None = None
    ref_trade_date: date | None = None
    request_key: str | None = None


def content_digest(value: NewOrder | Cancel | Replace | Report) -> bytes:
    """Return the SHA-256 (32 bytes) that distinguishes a repeated request from a reused key.

    It covers the fields that are set, by name, so that adding a field does not change earlier digests. Of a request it
    does not cover how the order is named, which the database compares once it has found the order.
    """
    # The text is that of json.dumps(items, sort_keys=True), which takes three times as long.
    items = (
        f'"{name}": {_quoted(_canonical(item))}'
        for name in _SORTED_NAMES[type(value)]
        if (item := getattr(value, name)) is not None and item is not False and not isinstance(item, OrderKey)
    )
    return hashlib.sha256(f"{{{', '.join(items)}}}".encode()).digest()


_SORTED_NAMES = {kind: sorted(field.name for field in fields(kind)) for kind in (NewOrder, Cancel, Replace, Report)}


def _canonical(item: object) -> str:
    if isinstance(item, str):
        return str(item)
    if isinstance(item, Decimal):
        return format_decimal(item)
    if isinstance(item, datetime | date):
        return item.isoformat()
    if isinstance(item, dict):
        return json.dumps(item, sort_keys=True)
    return str(item)
