"""Reconciliation of orders, fills, logs, sequences and the ledger with each other.

Each check is one statement, which sees one snapshot: a transaction under way is no discrepancy. A check names its kind,
and returns trader_id, order_id, log_id, fill_id, sequence, position and a detail of each discrepancy.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from service.domain.discrepancies import Discrepancy, DiscrepancyKind, Progress
from service.domain.errors import UnknownTrader
from service.domain.identity import Caller
from service.domain.orders import NewOrder, content_digest
from service.repositories.database import Database, Statement
from service.repositories.tree_check import TreeCheck

PORTION = 1000
LOGS_PER_RANGE = 50_000
"""Logs that one statement compares, which takes some seconds."""

FIRST, LAST = 1 - (1 << 63), (1 << 63) - 1
"""All sequences, also those that a change by hand put outside of 1, 2, 3, ..."""
SETTLED = "1 minute"
"""A younger log may not be in the ledger yet: another session may be taking over as the sequencer."""

_RECORDED = (
    "(%(recorded_from)s::timestamptz IS NULL OR {time} >= %(recorded_from)s) "
    "AND (%(recorded_to)s::timestamptz IS NULL OR {time} < %(recorded_to)s)"
)
_ORDERS = "o.trader_id = %(trader_id)s AND " + _RECORDED.format(time="o.created_at")
_RANGE = "{0}.trader_id = %(trader_id)s AND {0}.sequence > %(after)s AND {0}.sequence <= %(upto)s AND "
_LOGS = _RANGE.format("l") + _RECORDED.format(time="l.created_at")
_FILLS = _RANGE.format("f") + _RECORDED.format(time="f.created_at")

_TERMS = (
    "client_order_id", "symbol", "side", "order_type", "quantity", "price", "stop_loss", "take_profit", "expires_at",
)  # fmt: skip
_COMPARED = (*_TERMS, "status", "filled_quantity", "filled_notional")
_STATE = ", ".join(f"{{0}}.{name}" for name in _COMPARED)
_DIFFERING = ", ".join(f"CASE WHEN o.{name} IS DISTINCT FROM l.{name} THEN '{name}' END" for name in _COMPARED)
_LOG_OF_ORDER = """
    LEFT JOIN LATERAL (
        SELECT * FROM execution_logs WHERE trader_id = o.trader_id AND order_id = o.id ORDER BY sequence DESC LIMIT 1
    ) AS l ON true
"""

CHECKS: list[tuple[DiscrepancyKind, str]] = [
    (
        "ORDER_WITHOUT_LOG",
        f"""
        SELECT o.trader_id, o.id, NULL::uuid, NULL::uuid, o.last_sequence, NULL::bigint,
               'its newest log is ' || coalesce(l.sequence::text, 'missing')
        FROM orders AS o {_LOG_OF_ORDER}
        WHERE {_ORDERS} AND l.sequence IS DISTINCT FROM o.last_sequence
        """,
    ),
    (
        "ORDER_DIFFERS_FROM_LOG",
        f"""
        SELECT o.trader_id, o.id, l.id, NULL::uuid, o.last_sequence, NULL::bigint, 'they differ in ' || concat_ws(
            ', ', {_DIFFERING}, CASE WHEN o.created_at IS DISTINCT FROM l.order_created_at THEN 'created_at' END,
            CASE WHEN o.updated_at IS DISTINCT FROM l.created_at THEN 'updated_at' END)
        FROM orders AS o {_LOG_OF_ORDER}
        WHERE {_ORDERS} AND l.sequence = o.last_sequence
          AND ({_STATE.format("o")}, o.created_at, o.updated_at)
              IS DISTINCT FROM ({_STATE.format("l")}, l.order_created_at, l.created_at)
        """,
    ),
    (
        "LOG_WITHOUT_ORDER",
        f"""
        SELECT l.trader_id, l.order_id, l.id, NULL::uuid, l.sequence, NULL::bigint, ''
        FROM execution_logs AS l LEFT JOIN orders AS o ON (o.trader_id, o.id) = (l.trader_id, l.order_id)
        WHERE {_LOGS} AND o.id IS NULL
        """,
    ),
    (
        "FILL_DIFFERS_FROM_LOG",
        f"""
        SELECT f.trader_id, f.order_id, l.id, f.id, f.sequence, NULL::bigint,
               CASE WHEN l.id IS NULL THEN 'it has no log' ELSE 'it differs from its log' END
        FROM fills AS f LEFT JOIN execution_logs AS l ON (l.trader_id, l.sequence) = (f.trader_id, f.sequence)
        WHERE {_FILLS} AND (f.order_id, f.id, f.execution_id, f.venue, f.timestamp, f.quantity_filled, f.price_at_fill,
                            f.commission, 'FILLED')
              IS DISTINCT FROM (l.order_id, l.fill_id, l.execution_id, l.venue, l.timestamp, l.fill_quantity,
                                l.fill_price, l.fill_commission, l.action::text)
           -- Both have one time, unless the clock was set back: then the log has the time of the log before it.
           OR {_FILLS} AND f.created_at IS DISTINCT FROM l.created_at AND NOT coalesce(
                f.created_at < l.created_at AND EXISTS (
                    SELECT FROM execution_logs WHERE trader_id = l.trader_id AND order_id = l.order_id
                      AND sequence < l.sequence AND created_at = l.created_at), false)
        """,
    ),
    (
        "LOG_WITHOUT_FILL",
        f"""
        SELECT l.trader_id, l.order_id, l.id, l.fill_id, l.sequence, NULL::bigint, ''
        FROM execution_logs AS l LEFT JOIN fills AS f ON (f.trader_id, f.sequence) = (l.trader_id, l.sequence)
        WHERE {_LOGS} AND l.action = 'FILLED' AND f.id IS NULL
        """,
    ),
    (
        "FILLS_DO_NOT_ADD_UP",
        f"""
        SELECT o.trader_id, o.id, NULL::uuid, NULL::uuid, o.last_sequence, NULL::bigint,
               'the order is filled ' || o.filled_quantity || ', its fills are ' || sums.quantity
        FROM orders AS o, LATERAL (
            SELECT coalesce(sum(quantity_filled), 0) AS quantity,
                   coalesce(sum(quantity_filled * price_at_fill), 0) AS notional
            FROM fills WHERE trader_id = o.trader_id AND order_id = o.id) AS sums
        WHERE {_ORDERS} AND (o.filled_quantity, o.filled_notional) IS DISTINCT FROM (sums.quantity, sums.notional)
        """,
    ),
    (
        "SEQUENCE_GAP",
        f"""
        SELECT l.trader_id, NULL::uuid, NULL::uuid, NULL::uuid, l.sequence - 1, NULL::bigint,
               'nothing precedes ' || l.sequence
        FROM execution_logs AS l LEFT JOIN execution_logs AS p
            ON p.trader_id = l.trader_id AND p.sequence = l.sequence - 1
        WHERE {_LOGS} AND l.sequence IS DISTINCT FROM 1 AND p.id IS NULL
        """,
    ),
    (
        "COUNTER_DIFFERS",
        """
        SELECT trader_id, NULL::uuid, NULL::uuid, NULL::uuid, newest, NULL::bigint,
               'the counter is at ' || coalesce(last_sequence, 0) || ', the newest log is ' || newest
        FROM (
            SELECT traders.id AS trader_id, last_sequence, coalesce((
                SELECT max(sequence) FROM execution_logs WHERE trader_id = traders.id), 0) AS newest
            FROM traders LEFT JOIN trader_sequences ON trader_sequences.trader_id = traders.id
            WHERE traders.id = %(trader_id)s) AS counters
        WHERE coalesce(last_sequence, 0) IS DISTINCT FROM newest
        """,
    ),
    (
        "LOG_DOES_NOT_FOLLOW",
        f"""
        SELECT l.trader_id, l.order_id, l.id, l.fill_id, l.sequence, NULL::bigint,
               'filled ' || l.filled_quantity || ' after ' || coalesce(p.filled_quantity, 0)
        FROM execution_logs AS l LEFT JOIN LATERAL (
            SELECT filled_quantity, filled_notional FROM execution_logs
            WHERE trader_id = l.trader_id AND order_id = l.order_id AND sequence < l.sequence
            ORDER BY sequence DESC LIMIT 1) AS p ON true
        WHERE {_LOGS} AND (l.filled_quantity, l.filled_notional) IS DISTINCT FROM (
            coalesce(p.filled_quantity, 0) + CASE WHEN l.action = 'FILLED' THEN coalesce(l.fill_quantity, 0) ELSE 0 END,
            coalesce(p.filled_notional, 0)
                + CASE WHEN l.action = 'FILLED' THEN coalesce(l.fill_quantity * l.fill_price, 0) ELSE 0 END)
        """,
    ),
    (
        "LOG_NOT_IN_LEDGER",
        f"""
        SELECT l.trader_id, l.order_id, l.id, NULL::uuid, l.sequence, NULL::bigint, ''
        FROM execution_logs AS l LEFT JOIN ledger_entries AS e ON (e.trader_id, e.sequence) = (l.trader_id, l.sequence)
        WHERE {_LOGS} AND e.position IS NULL AND (
            l.created_at < clock_timestamp() - %(settled)s::interval
            -- A later log of the trader is in the ledger already.
            OR EXISTS (SELECT FROM ledger_entries WHERE trader_id = l.trader_id AND sequence > l.sequence))
        """,
    ),
    (
        "LOG_DIFFERS_FROM_LEDGER",
        f"""
        SELECT l.trader_id, l.order_id, l.id, NULL::uuid, l.sequence, e.position, ''
        FROM execution_logs AS l JOIN ledger_entries AS e ON (e.trader_id, e.sequence) = (l.trader_id, l.sequence)
        WHERE {_LOGS} AND (e.leaf IS DISTINCT FROM execution_log_leaf(l) OR e.kind IS DISTINCT FROM 'EXECUTION_LOG')
        """,
    ),
    (
        "LEDGER_ENTRY_WITHOUT_LOG",
        """
        SELECT e.trader_id, NULL::uuid, NULL::uuid, NULL::uuid, e.sequence, e.position, ''
        FROM ledger_entries AS e
        LEFT JOIN execution_logs AS l ON (l.trader_id, l.sequence) = (e.trader_id, e.sequence)
        WHERE e.trader_id = %(trader_id)s AND e.sequence > %(after)s AND e.sequence <= %(upto)s AND l.id IS NULL
        """,
    ),
]

_OF_ORDERS = {"ORDER_WITHOUT_LOG", "ORDER_DIFFERS_FROM_LOG", "FILLS_DO_NOT_ADD_UP", "COUNTER_DIFFERS"}
CHECKS_OF_ORDERS = [(kind, check) for kind, check in CHECKS if kind in _OF_ORDERS]
CHECKS_OF_RANGES = [(kind, check) for kind, check in CHECKS if kind not in _OF_ORDERS]

_TRADERS = """
    SELECT id FROM traders WHERE %(trader_id)s::uuid IS NULL OR id = %(trader_id)s
    UNION SELECT DISTINCT trader_id FROM execution_logs WHERE %(trader_id)s::uuid IS NULL
    UNION SELECT DISTINCT trader_id FROM orders WHERE %(trader_id)s::uuid IS NULL
    UNION SELECT DISTINCT trader_id FROM fills WHERE %(trader_id)s::uuid IS NULL
    UNION SELECT DISTINCT trader_id FROM ledger_entries WHERE %(trader_id)s::uuid IS NULL AND trader_id IS NOT NULL
    ORDER BY 1
"""
_COUNT_OF_ORDERS = f"SELECT count(*) FROM orders AS o WHERE {_ORDERS}"
_COUNT_OF_RANGE = f"""
    SELECT (SELECT count(*) FROM execution_logs AS l WHERE {_LOGS}) + (SELECT count(*) FROM fills AS f WHERE {_FILLS})
"""
_END_OF_RANGE = """
    SELECT sequence FROM execution_logs WHERE trader_id = %(trader_id)s AND sequence > %(after)s
    ORDER BY trader_id, sequence OFFSET %(offset)s LIMIT 1
"""
_PAGE_OF_TERMS = f"""
    SELECT o.id, o.request_digest, {", ".join(f"o.{name}" for name in _TERMS)} FROM orders AS o
    WHERE {_ORDERS} AND o.request_digest IS NOT NULL
      AND (%(after_id)s::uuid IS NULL OR o.id > %(after_id)s) ORDER BY o.trader_id, o.id LIMIT %(limit)s
"""


class Reconciliation:
    """The repository that compares the record with itself."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(
        self, caller: Caller, trader_id: UUID | None, recorded_from: datetime | None, recorded_to: datetime | None
    ) -> AsyncGenerator[Discrepancy | Progress, None]:
        """Yield discrepancies as they are found, and the progress after each trader; the last is a progress.

        Without a trader and a range, it also rebuilds the tree of the ledger from its leaves. Raises UnknownTrader.
        """
        values: dict[str, Any] = {
            "trader_id": trader_id,
            "recorded_from": recorded_from,
            "recorded_to": recorded_to,
            "settled": SETTLED,
        }
        compared = found = 0
        [rows] = await self._database.run(caller, Statement(_TRADERS, values))
        if trader_id is not None and not rows:
            raise UnknownTrader

        async def steps() -> AsyncGenerator[Discrepancy | int | None, None]:
            """Discrepancies; the number of records that were compared; None when a trader is complete."""
            if trader_id is None and recorded_from is None and recorded_to is None:
                async for step in TreeCheck(self._database, caller).run():
                    yield step
            for (each,) in rows:
                async for step in self._trader(caller, values | {"trader_id": each}):
                    yield step
                yield None

        done = 0
        yield Progress(done, len(rows), compared, found)
        async for step in steps():
            match step:
                case Discrepancy():
                    found += 1
                    yield step
                    continue
                case None:
                    done += 1
                case _:
                    compared += step
            yield Progress(done, len(rows), compared, found)

    async def _trader(self, caller: Caller, values: dict[str, Any]) -> AsyncGenerator[Discrepancy | int, None]:
        """Compare a trader's orders, and their logs and fills by ranges of the trader's sequence."""
        async for discrepancy in self._checked(caller, CHECKS_OF_ORDERS, values):
            yield discrepancy
        async for discrepancy in self._terms(caller, values):
            yield discrepancy
        [[(count,)]] = await self._database.run(caller, Statement(_COUNT_OF_ORDERS, values))
        yield count
        after: int | None = FIRST
        while after is not None:
            at = values | {"after": after, "offset": LOGS_PER_RANGE - 1}
            [ends] = await self._database.run(caller, Statement(_END_OF_RANGE, at))
            after = ends[0][0] if ends else None
            at["upto"] = LAST if after is None else after
            async for discrepancy in self._checked(caller, CHECKS_OF_RANGES, at):
                yield discrepancy
            [[(count,)]] = await self._database.run(caller, Statement(_COUNT_OF_RANGE, at))
            yield count

    async def _checked(
        self, caller: Caller, checks: Sequence[tuple[DiscrepancyKind, str]], values: dict[str, Any]
    ) -> AsyncGenerator[Discrepancy, None]:
        for kind, check in checks:
            limited = f"SELECT * FROM ({check}) AS found LIMIT {PORTION + 1}"
            [rows] = await self._database.run(caller, Statement(limited, values))
            for row in rows[:PORTION]:
                yield Discrepancy(kind, *row)
            if len(rows) > PORTION:
                yield Discrepancy(
                    kind,
                    values["trader_id"],
                    detail=f"more than {PORTION} discrepancies of this kind; the others are omitted",
                )

    async def _terms(self, caller: Caller, values: dict[str, Any]) -> AsyncGenerator[Discrepancy, None]:
        """Compare each order's terms with the digest of the request that was recorded with the order."""
        after_id: UUID | None = None
        while True:
            page = values | {"after_id": after_id, "limit": PORTION}
            [rows] = await self._database.run(caller, Statement(_PAGE_OF_TERMS, page))
            for order_id, digest, *terms in rows:
                after_id = order_id
                if content_digest(NewOrder(*terms)) != digest:
                    yield Discrepancy(
                        "ORDER_DIFFERS_FROM_LOG",
                        values["trader_id"],
                        order_id,
                        detail="the order's terms do not match its digest",
                    )
            if len(rows) < PORTION:
                return
