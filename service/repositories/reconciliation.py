"""Reconciliation of orders, fills, logs, sequences and the ledger with each other."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

from service.domain.discrepancies import Discrepancy, DiscrepancyKind, Progress
from service.domain.errors import UnknownTrader
from service.domain.identity import Caller
from service.domain.writes import NewOrder, content_digest
from service.repositories.database import Database
from service.repositories.messages import Statement
from service.repositories.reconciliation_checks import (
    CHECKS_OF_ORDERS,
    CHECKS_OF_RANGES,
    CORRECTIONS,
    FILLS,
    FIRST,
    FIRST_LOG_OF_ORDER,
    LAST,
    LOGS,
    ORDERS,
    columns_of,
)
from service.repositories.tree_check import TreeCheck

PORTION = 1000
LOGS_PER_RANGE = 50_000
"""Logs that one statement compares, which takes some seconds."""

SETTLED = "1 minute"
"""A younger log may not be in the ledger yet: another session may be taking over as the sequencer."""

_TRADERS = """
    SELECT id FROM traders WHERE %(trader_id)s::uuid IS NULL OR id = %(trader_id)s
    UNION SELECT DISTINCT trader_id FROM execution_logs WHERE %(trader_id)s::uuid IS NULL
    UNION SELECT DISTINCT trader_id FROM orders WHERE %(trader_id)s::uuid IS NULL
    UNION SELECT DISTINCT trader_id FROM fills WHERE %(trader_id)s::uuid IS NULL
    UNION SELECT DISTINCT trader_id FROM fill_corrections WHERE %(trader_id)s::uuid IS NULL
    UNION SELECT DISTINCT trader_id FROM ledger_entries WHERE %(trader_id)s::uuid IS NULL AND trader_id IS NOT NULL
    ORDER BY 1
"""
_COUNT_OF_ORDERS = f"SELECT count(*) FROM orders AS o WHERE {ORDERS}"
_COUNT_OF_RANGE = f"""
    SELECT (SELECT count(*) FROM execution_logs AS l WHERE {LOGS}) + (SELECT count(*) FROM fills AS f WHERE {FILLS})
        + (SELECT count(*) FROM fill_corrections AS c WHERE {CORRECTIONS})
"""
_END_OF_RANGE = """
    SELECT sequence FROM execution_logs WHERE trader_id = %(trader_id)s AND sequence > %(after)s
    ORDER BY trader_id, sequence OFFSET %(offset)s LIMIT 1
"""
_SUBMITTED = tuple(field.name for field in fields(NewOrder))
_PAGE_OF_TERMS = f"""
    SELECT o.id, o.request_digest, {columns_of("l", _SUBMITTED)} FROM (
        SELECT * FROM orders AS o
        WHERE {ORDERS} AND o.request_digest IS NOT NULL AND (%(after_id)s::uuid IS NULL OR o.id > %(after_id)s)
        ORDER BY o.trader_id, o.id LIMIT %(limit)s
    ) AS o {FIRST_LOG_OF_ORDER}
    ORDER BY o.id
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
        """Compare the terms of each order's first log with the digest of the request that was recorded with the order.

        The order itself has other terms after a replace.
        """
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
                        detail="the terms of its first log do not match its digest",
                    )
            if len(rows) < PORTION:
                return
