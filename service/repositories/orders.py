"""Orders and fills: entering, working, cancelling, reading. Each method is one transaction and one round trip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

from service.domain.errors import BlotterError, DatabaseUnavailable, OrderNotFound
from service.domain.filters import FillFilter, OrderFilter
from service.domain.identity import Caller
from service.domain.orders import Fill, NewOrder, Order, OrderKey, Report, content_digest
from service.domain.portions import in_portions
from service.repositories.database import Database, Rows, Statement, act_as
from service.repositories.errors import BY_OUTCOME
from service.repositories.statements import call, columns, if_given, one_of, within

_SUBMIT = call(
    "submit_order",
    (
        "trader_id", "client_order_id", "request_digest", "symbol", "side", "order_type", "quantity", "price",
        "stop_loss", "take_profit", "expires_at", "validate_only", "actor", "request_id",
    ),
    Order,
)  # fmt: skip

_CANCEL = call("cancel_order", ("trader_id", "order_id", "client_order_id", "reason", "actor", "request_id"), Order)

_CANCEL_OPEN = """
    SELECT cancel_open_orders(
        %(trader_id)s, %(symbol)s, %(expired_only)s, %(reason)s, %(actor)s, %(request_id)s, %(most)s)
"""

_REPORT = call(
    "report_execution",
    (
        "trader_id", "order_id", "report_id", "report_digest", "action", "timestamp", "venue", "reason", "error_code",
        "retry_attempt", "execution_id", "quantity", "price", "commission", "actor", "request_id",
    ),
    Order,
)  # fmt: skip

_NAMED = " AND ".join(
    (
        "orders.trader_id = %(trader_id)s::uuid",
        if_given("order_id", "uuid", "orders.id = %(order_id)s::uuid"),
        if_given("client_order_id", "varchar", "orders.client_order_id = %(client_order_id)s::varchar"),
    )
)
_GET = f"SELECT {columns(Order, 'orders')} FROM orders WHERE {_NAMED}"
_FIND = f"SELECT orders.id FROM orders WHERE {_NAMED}"

_BEFORE_KEY = "(orders.created_at, orders.id) < (%(before_time)s::timestamptz, %(before_id)s::uuid)"
_LIST = f"""
    SELECT {columns(Order, "orders")} FROM orders
    WHERE orders.trader_id = %(trader_id)s::uuid
        AND {one_of("orders.status", "order_status_enum", "statuses")}
        AND {one_of("orders.symbol", "varchar", "symbols")}
        AND {within("orders.created_at", "created")}
        AND {within("orders.updated_at", "updated")}
        AND {if_given("before_id", "uuid", _BEFORE_KEY)}
    ORDER BY orders.created_at DESC, orders.id DESC
    LIMIT %(limit)s::bigint
"""

_FILLS = f"""
    SELECT {columns(Fill, "fills")} FROM fills
    WHERE fills.trader_id = %(trader_id)s::uuid
        AND {within("fills.timestamp", "traded")}
        AND {if_given("before", "bigint", "fills.sequence < %(before)s::bigint")}
        AND {{of_order}}
    ORDER BY fills.sequence DESC
    LIMIT %(limit)s::bigint
"""
_LIST_FILLS = _FILLS.format(of_order="true")
_LIST_FILLS_OF_ORDER = _FILLS.format(of_order=f"fills.order_id = ({_FIND})")

# Exactly the predicate of idx_orders_expiring.
_EXPIRED = """
    SELECT DISTINCT orders.trader_id FROM orders
    WHERE status IN ('PENDING', 'PARTIAL') AND orders.expires_at <= now()
    ORDER BY orders.trader_id
"""
_LOCK_AT_ONCE = """
    SELECT 1 FROM trader_sequences WHERE trader_id = %(trader_id)s::uuid FOR NO KEY UPDATE NOWAIT
"""

CANCELLED_AT_ONCE = 10_000
EXPIRED_AT_ONCE = 1000
EXPIRY_LOCK_TIMEOUT = "200ms"


class Recorded(NamedTuple):
    """An order after a write; `replayed` if the write had been done before."""

    order: Order
    replayed: bool


class Orders:
    """The repository of orders and fills. Calls `committed(trader_id)` after a commit of events of a trader."""

    def __init__(self, database: Database, committed: Callable[[UUID], None]) -> None:
        self._database = database
        self._committed = committed

    async def submit(
        self, caller: Caller, trader_id: UUID, orders: Sequence[NewOrder]
    ) -> list[Recorded | BlotterError]:
        """Enter the orders in one transaction. Returns one result each: the recorded order, or the error."""
        statements = await in_portions(lambda order: _submit(caller, trader_id, order), orders)
        results = await self._database.run(caller, *statements, writes_of=[trader_id], committed=self._committed)
        return await in_portions(_recorded, results)

    async def validate(self, caller: Caller, trader_id: UUID, order: NewOrder) -> Order | None:
        """Check the order as `submit` does, and enter nothing. Returns the order that it would repeat, if any."""
        [[row]] = await self._database.run(caller, _submit(caller, trader_id, order, validate_only=True))
        return None if row[0] == "VALID" else or_raise(_recorded([row])).order

    async def cancel(self, caller: Caller, trader_id: UUID, key: OrderKey, reason: str | None) -> Recorded:
        """Cancel an open order. Raises OrderNotFound, OrderClosed."""
        values = {"trader_id": trader_id, "reason": reason, **asdict(key), **_origin(caller)}
        [rows] = await self._database.run(
            caller, Statement(_CANCEL, values), writes_of=[trader_id], committed=self._committed
        )
        return or_raise(_recorded(rows))

    async def cancel_all(self, caller: Caller, trader_id: UUID, symbol: str | None, reason: str | None) -> list[UUID]:
        """Cancel all open orders of the trader, or those in one symbol. Returns their ids, oldest first.

        Each transaction cancels up to 10,000 orders. A failure after the first transaction raises DatabaseUnavailable
        with the number of orders that were cancelled: other errors mean that nothing was written.
        """
        cancelled: list[UUID] = []
        full = True
        while full:
            try:
                portion = await self._cancel_open(
                    caller, trader_id, symbol=symbol, reason=reason, expired_only=False, most=CANCELLED_AT_ONCE
                )
            except BlotterError as error:
                if not cancelled:
                    raise
                count = len(cancelled)
                sentence = f"At least {count} orders were cancelled before the call failed; call again for the others."
                raise DatabaseUnavailable(sentence, cancelled_count=str(count)) from error
            cancelled += portion
            full = len(portion) == CANCELLED_AT_ONCE
        return cancelled

    async def expire(self, caller: Caller, trader_id: UUID) -> list[UUID]:
        """Cancel the trader's open orders that are past their expiry, at most 1,000. Returns their ids.

        Raises Aborted: at once if another transaction has locked the trader's counter, after a short wait if one has
        locked an order of theirs.
        """
        first = (
            Statement("SELECT set_config('lock_timeout', %(timeout)s, true)", {"timeout": EXPIRY_LOCK_TIMEOUT}),
            act_as(trader_id),
            Statement(_LOCK_AT_ONCE, {"trader_id": trader_id}),
        )
        return await self._cancel_open(
            caller, trader_id, *first, symbol=None, reason="EXPIRED", expired_only=True, most=EXPIRED_AT_ONCE
        )

    async def traders_with_expired_orders(self, caller: Caller) -> list[UUID]:
        """Return the traders that have open orders past their expiry; for the execution login."""
        [rows] = await self._database.run(caller, Statement(_EXPIRED))
        return [row[0] for row in rows]

    async def report(self, caller: Caller, reports: Sequence[Report]) -> list[Recorded | BlotterError]:
        """Record the reports in one transaction, one result each.

        Traders are taken in the order of their ids, so that two batches do not deadlock; the reports of one trader are
        recorded in the order given.
        """
        order = sorted(range(len(reports)), key=lambda index: reports[index].trader_id)
        pairs = await in_portions(lambda index: _report(caller, reports[index]), order)
        trader_ids = {report.trader_id for report in reports}
        results = await self._database.run(
            caller, *chain.from_iterable(pairs), writes_of=trader_ids, committed=self._committed
        )
        by_index = dict(zip(order, await in_portions(_recorded, results[1::2]), strict=True))
        return [by_index[index] for index in range(len(reports))]

    async def get(self, caller: Caller, trader_id: UUID, key: OrderKey) -> Order:
        """Return one order. Raises OrderNotFound."""
        [rows] = await self._database.run(caller, Statement(_GET, {"trader_id": trader_id, **asdict(key)}))
        if not rows:
            raise OrderNotFound
        return Order(*rows[0])

    async def page(
        self,
        caller: Caller,
        trader_id: UUID,
        filter_: OrderFilter,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> list[Order]:
        """Return at most `limit` orders, newest first, after the key (created_at, id)."""
        before_time, before_id = after or (None, None)
        values = {"trader_id": trader_id, "before_time": before_time, "before_id": before_id, "limit": limit}
        [rows] = await self._database.run(caller, Statement(_LIST, values | asdict(filter_)))
        return await in_portions(lambda row: Order(*row), rows)

    async def page_of_fills(
        self, caller: Caller, trader_id: UUID, filter_: FillFilter, before: int | None, limit: int
    ) -> list[Fill]:
        """Return at most `limit` fills, newest first, with a sequence below `before`. Raises OrderNotFound."""
        values: dict[str, Any] = {
            "trader_id": trader_id,
            "traded_from": filter_.traded_from,
            "traded_to": filter_.traded_to,
            "before": before,
            "limit": limit,
        }
        if filter_.key is None:
            [rows] = await self._database.run(caller, Statement(_LIST_FILLS, values))
        else:
            values |= asdict(filter_.key)
            found, rows = await self._database.run(
                caller, Statement(_FIND, values), Statement(_LIST_FILLS_OF_ORDER, values)
            )
            if not found:
                raise OrderNotFound
        return [Fill(*row) for row in rows]

    async def _cancel_open(self, caller: Caller, trader_id: UUID, *first: Statement, **values: Any) -> list[UUID]:
        cancel = Statement(_CANCEL_OPEN, {"trader_id": trader_id, **values, **_origin(caller)})
        # Sent twice, it would cancel orders that were entered in between.
        [*_, rows] = await self._database.run(
            caller,
            *first,
            act_as(trader_id),
            cancel,
            writes_of=[trader_id],
            repeatable=False,
            committed=self._committed,
        )
        return [row[0] for row in rows]


def _origin(caller: Caller) -> dict[str, str]:
    return {"actor": caller.actor, "request_id": caller.request_id}


def _submit(caller: Caller, trader_id: UUID, order: NewOrder, *, validate_only: bool = False) -> Statement:
    digest = {"request_digest": content_digest(order), "validate_only": validate_only}
    return Statement(_SUBMIT, {"trader_id": trader_id, **asdict(order), **digest, **_origin(caller)})


def _report(caller: Caller, report: Report) -> tuple[Statement, Statement]:
    values = {**asdict(report), "report_digest": content_digest(report), **_origin(caller)}
    return act_as(report.trader_id), Statement(_REPORT, values)


def _recorded(rows: Rows) -> Recorded | BlotterError:
    [(outcome, *recorded)] = rows
    if outcome in ("APPLIED", "REPLAYED"):
        return Recorded(Order(*recorded), replayed=outcome == "REPLAYED")
    return BY_OUTCOME[outcome]()


def or_raise(result: Recorded | BlotterError) -> Recorded:
    """Return the recorded order, or raise the error."""
    if isinstance(result, BlotterError):
        raise result
    return result
