"""Reading orders, their requests and fills. Each method is one transaction and one round trip."""

from __future__ import annotations

from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from service.domain.errors import OrderNotFound
from service.domain.filters import FiledUnder, FillFilter, OrderFilter
from service.domain.identity import Caller
from service.domain.orders import (
    ORDER_COLUMNS,
    CancelTimer,
    CorrectedFill,
    Fill,
    FillCorrection,
    Order,
    OrderKey,
    Request,
    RequestKind,
    RequestOutcome,
)
from service.repositories.database import Database
from service.repositories.messages import Statement
from service.repositories.statements import (
    columns,
    filed_under,
    if_given,
    of_desk,
    one_of,
    timer_columns,
    values_of,
    within,
)


def _of_caller(table: str) -> str:
    """Return the condition on the trader. A desk names none: its policies show the rows of its traders alone."""
    return if_given("trader_id", "uuid", f"{table}.trader_id = %(trader_id)s::uuid")


_NAMED = " AND ".join(
    (
        _of_caller("orders"),
        if_given("order_id", "uuid", "orders.id = %(order_id)s::uuid"),
        if_given("client_order_id", "varchar", "orders.id = find_order(%(client_order_id)s)"),
    )
)
# Functions keep their plans. As statements, which are planned each time, these two take twice the time.
_GET = "SELECT * FROM get_order(%(order_id)s::uuid, %(client_order_id)s)"
_REQUESTS = """
    SELECT * FROM order_requests(%(order_id)s::uuid, %(client_order_id)s, %(before)s::bigint, %(limit)s::bigint)
"""
REQUESTS_WITH_ORDER = 100
_FIND = f"SELECT orders.id FROM orders WHERE {_NAMED}"

_BEFORE_KEY = "(orders.created_at, orders.id) < (%(before_time)s::timestamptz, %(before_id)s::uuid)"
_NEWEST_FIRST = "orders.created_at DESC, orders.id DESC"
_ORDERS = f"""
    SELECT {columns(Order, "orders")} FROM orders
    WHERE orders.trader_id = {{trader_id}}
        AND {one_of("orders.status", "order_status_enum", "statuses")}
        AND {one_of("orders.symbol", "varchar", "symbols")}
        AND {within("orders.created_at", "created")}
        AND {within("orders.updated_at", "updated")}
        AND {filed_under("orders")}
        AND {if_given("before_id", "uuid", _BEFORE_KEY)}
    ORDER BY {_NEWEST_FIRST}
    LIMIT %(limit)s::bigint
"""
_LIST = _ORDERS.format(trader_id="%(trader_id)s::uuid")
_LIST_OF_DESK = of_desk(_ORDERS.format(trader_id="trader.id"), _NEWEST_FIRST)

# Decimals as text: JSON numbers are read as floats.
_CORRECTIONS = """
    SELECT json_agg(json_build_array(
        correction.fill_id, correction.sequence, correction.execution_id, log.ref_execution_id, correction.trade_date,
        correction.venue, correction.timestamp, correction.quantity, correction.price::text,
        correction.commission::text, correction.reason, correction.created_at) ORDER BY correction.sequence)
    FROM fill_corrections AS correction
    JOIN execution_logs AS log ON log.trader_id = correction.trader_id AND log.sequence = correction.sequence
    WHERE correction.trader_id = fills.trader_id AND correction.fill_id = fills.id
"""
_BEFORE_FILL = (
    "(fills.trader_id, -fills.sequence) > (coalesce(%(before_of)s::uuid, %(trader_id)s::uuid), -%(before)s::bigint)"
)
_OF_ORDERS_FILED = f"""EXISTS (
    SELECT FROM orders
    WHERE orders.trader_id = fills.trader_id AND orders.id = fills.order_id AND {filed_under("orders")}
)"""
_FILLS = f"""
    SELECT {columns(Fill, "fills")}, ({_CORRECTIONS}) FROM fills
    WHERE {_of_caller("fills")}
        AND {within("fills.timestamp", "traded")}
        AND {if_given("before", "bigint", _BEFORE_FILL)}
        AND {if_given("filed", "boolean", _OF_ORDERS_FILED)}
        AND {{of_order}}
    ORDER BY fills.trader_id, fills.sequence DESC
    LIMIT %(limit)s::bigint
"""
_LIST_FILLS = _FILLS.format(of_order="true")
_LIST_FILLS_OF_ORDER = _FILLS.format(of_order=f"fills.order_id = ({_FIND})")

_TIMER = f"""
    SELECT {timer_columns("cancel_timers")} FROM cancel_timers
    WHERE cancel_timers.trader_id = %(trader_id)s::uuid
"""


FillPlace = tuple[int, UUID | None]
"""The sequence of a fill, and for a desk its trader."""


class OrderReads:
    """The repository of what traders and desks read about their orders."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, caller: Caller, key: OrderKey) -> tuple[Order, list[Request]]:
        """Return one order and its newest requests, at most 100. Raises OrderNotFound."""
        values = {"trader_id": caller.trader_id, **values_of(key), "before": None, "limit": REQUESTS_WITH_ORDER}
        rows, requests = await self._database.run(caller, Statement(_GET, values), Statement(_REQUESTS, values))
        if not rows:
            raise OrderNotFound
        return Order._make(rows[0][: len(ORDER_COLUMNS)]), [_request(*row) for row in requests]

    async def page(
        self, caller: Caller, filter_: OrderFilter, after: tuple[datetime, UUID] | None, limit: int
    ) -> list[Order]:
        """Return at most `limit` orders, newest first, after the key (created_at, id)."""
        before_time, before_id = after or (None, None)
        values = {"trader_id": caller.trader_id, "before_time": before_time, "before_id": before_id, "limit": limit}
        statement = _LIST_OF_DESK if caller.desk_id else _LIST
        [rows] = await self._database.run(caller, Statement(statement, values | values_of(filter_)), most_rows=limit)
        return list(map(Order._make, rows))

    async def page_of_requests(self, caller: Caller, key: OrderKey, before: int | None, limit: int) -> list[Request]:
        """Return at most `limit` requests, newest first, with a sequence below `before`. Raises OrderNotFound."""
        values = {"trader_id": caller.trader_id, **values_of(key), "before": before, "limit": limit}
        found, rows = await self._database.run(
            caller, Statement(_FIND, values), Statement(_REQUESTS, values), most_rows=limit
        )
        if not found:
            raise OrderNotFound
        return [_request(*row) for row in rows]

    async def page_of_fills(
        self, caller: Caller, filter_: FillFilter, after: FillPlace | None, limit: int
    ) -> list[CorrectedFill]:
        """Return at most `limit` fills after the place: by trader, those of one newest first. Raises OrderNotFound."""
        before, before_of = after or (None, None)
        filed = {field.name: getattr(filter_, field.name) for field in fields(FiledUnder)}
        values: dict[str, Any] = {
            "trader_id": caller.trader_id,
            "before_of": before_of,
            "traded_from": filter_.traded_from,
            "traded_to": filter_.traded_to,
            "before": before,
            "limit": limit,
            "filed": True if any(filed.values()) else None,
            **filed,
        }
        if filter_.key is None:
            [rows] = await self._database.run(caller, Statement(_LIST_FILLS, values), most_rows=limit)
        else:
            values |= values_of(filter_.key)
            found, rows = await self._database.run(
                caller, Statement(_FIND, values), Statement(_LIST_FILLS_OF_ORDER, values), most_rows=limit
            )
            if not found:
                raise OrderNotFound
        return [CorrectedFill(Fill._make(fill), [_correction(*row) for row in found or ()]) for *fill, found in rows]

    async def timer(self, caller: Caller, trader_id: UUID) -> CancelTimer | None:
        """Return the trader's cancel timer, if it is on."""
        [rows] = await self._database.run(caller, Statement(_TIMER, {"trader_id": trader_id}))
        return CancelTimer.from_row(*rows[0]) if rows else None


def _request(
    key: str, action: str, terms: Any, reason: str | None, sequence: int, created_at: datetime, *answer: Any
) -> Request:
    kind: RequestKind = "CANCEL" if action in ("CANCEL_REQUESTED", "CANCELLED") else "REPLACE"
    if action in ("CANCELLED", "REPLACED"):
        # It took effect at once.
        return Request(key, kind, "ACCEPTED", terms, reason, sequence, created_at, sequence, created_at, None, None)
    answered_by, *outcome = answer
    return Request(key, kind, _outcome(kind, answered_by), terms, reason, sequence, created_at, *outcome)


def _outcome(kind: RequestKind, answered_by: str | None) -> RequestOutcome:
    if answered_by is None:
        return "PENDING"
    if answered_by == {"CANCEL": "CANCELLED", "REPLACE": "REPLACED"}[kind]:
        return "ACCEPTED"
    return "REFUSED" if answered_by == f"{kind}_REFUSED" else "SUPERSEDED"


def _correction(
    fill_id: str,
    sequence: int,
    execution_id: str,
    ref_execution_id: str,
    trade_date: str,
    venue: str,
    timestamp: str,
    quantity: int,
    price: str | None,
    commission: str | None,
    reason: str | None,
    created_at: str,
) -> FillCorrection:
    """Return a correction from its JSON."""
    return FillCorrection(
        fill_id=UUID(fill_id),
        sequence=sequence,
        execution_id=execution_id,
        ref_execution_id=ref_execution_id,
        trade_date=date.fromisoformat(trade_date),
        venue=venue,
        timestamp=datetime.fromisoformat(timestamp),
        quantity=quantity,
        price=None if price is None else Decimal(price),
        commission=None if commission is None else Decimal(commission),
        reason=reason,
        created_at=datetime.fromisoformat(created_at),
    )
