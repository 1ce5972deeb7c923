"""What happens to orders, from some event on: the source of the streams.

A trader's events go by sequence, all traders' by their position in the ledger. A cursor says how far a stream has come:
a trader's last sequence, or how many entries of the ledger; in both cases a stream goes on with what is beyond.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Uuid, bindparam, func, literal_column, select

from service import models
from service.domain.filters import EventFilter
from service.domain.identity import Caller
from service.domain.orders import ExecutionLog, Order
from service.repositories.audit import logs_of
from service.repositories.database import Database, Rows, Statement
from service.repositories.statements import columns, compiled, if_given, one_of

_LOG = models.ExecutionLog
_ENTRY = models.LedgerEntry
STRETCH = 10_000
_LIMIT = bindparam("limit", type_=BigInteger())
_LAST_SEQUENCE = compiled(
    select(models.TraderSequence.last_sequence).where(models.TraderSequence.trader_id == bindparam("trader_id"))
)
_LAST_SEQUENCES = compiled(
    select(models.TraderSequence.trader_id, models.TraderSequence.last_sequence).where(
        models.TraderSequence.trader_id == bindparam("trader_ids", type_=ARRAY(Uuid())).any_(),
        models.TraderSequence.last_sequence.is_not(None),
    )
)
_FIRST_SEQUENCE = compiled(select(func.min(_LOG.sequence)).where(_LOG.trader_id == bindparam("trader_id")))
_HEAD = compiled(select(func.coalesce(func.max(models.LedgerHead.size), literal_column("0"))))

_MATCHING = (
    one_of(_LOG.trader_id, "trader_ids"),
    one_of(_LOG.order_id, "order_ids"),
    one_of(_LOG.symbol, "symbols"),
    one_of(_LOG.status, "statuses"),
    one_of(_LOG.action, "actions"),
)
_CURSOR = bindparam("cursor", type_=BigInteger())
_OF_TRADER = compiled(
    select(*columns(_LOG, ExecutionLog))
    .where(_LOG.trader_id == bindparam("trader_id"), _LOG.sequence > _CURSOR, *_MATCHING)
    .order_by(_LOG.sequence)
    .limit(_LIMIT)
)
# A stretch of the ledger at a time: a rare match must not make one statement read it all.
_OF_ALL = compiled(
    select(_ENTRY.position, *columns(_LOG, ExecutionLog))
    .join(_LOG, (_LOG.trader_id == _ENTRY.trader_id) & (_LOG.sequence == _ENTRY.sequence))
    .where(_ENTRY.position >= _CURSOR, _ENTRY.position < bindparam("end", type_=BigInteger()), *_MATCHING)
    .order_by(_ENTRY.position)
    .limit(_LIMIT)
)

# An order that changed since the cursor is left out: its event comes after the snapshot. So every page, however late it
# is read, shows the same moment, without a transaction that stays open between them.
_SNAPSHOT = (
    select(*columns(models.Order, Order))
    .where(
        if_given("after_id", Uuid(), models.Order.id > bindparam("after_id", type_=Uuid())),
        one_of(models.Order.trader_id, "trader_ids"),
        one_of(models.Order.id, "order_ids"),
        one_of(models.Order.symbol, "symbols"),
        one_of(models.Order.status, "statuses"),
    )
    .order_by(models.Order.id)
    .limit(_LIMIT)
)
_SNAPSHOT_OF_TRADER = compiled(
    _SNAPSHOT.where(models.Order.trader_id == bindparam("trader_id"), models.Order.last_sequence <= _CURSOR)
)
_SNAPSHOT_OF_ALL = compiled(
    _SNAPSHOT.join(
        _ENTRY, (_ENTRY.trader_id == models.Order.trader_id) & (_ENTRY.sequence == models.Order.last_sequence)
    ).where(_ENTRY.position < _CURSOR)
)


class Event(NamedTuple):
    """An execution log, and its position in the ledger on streams over all traders."""

    log: ExecutionLog
    position: int | None


class Batch(NamedTuple):
    """Events in ascending order. `cursor`: all matching events up to it are here or came before."""

    events: list[Event]
    cursor: int
    more: bool
    """There may be more to read at once."""


class Events:
    """The repository of events, and of the snapshots that they continue. `trader_id` None: of all traders."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def cursors(self, caller: Caller, trader_ids: list[UUID]) -> Rows:
        """Return (trader_id, cursor) of those traders that have events, and (None, cursor) of all; for who sees all."""
        counters, [(size,)] = await self._database.run(
            caller, Statement(_LAST_SEQUENCES, {"trader_ids": trader_ids}), Statement(_HEAD)
        )
        return [*counters, (None, size)]

    async def bounds(self, caller: Caller, trader_id: UUID | None) -> tuple[int, int]:
        """Return the least cursor that can be gone on from, and that of now."""
        if trader_id is None:
            [[(size,)]] = await self._database.run(caller, Statement(_HEAD))
            return 0, size
        first, last = await self._database.run(
            caller,
            Statement(_FIRST_SEQUENCE, {"trader_id": trader_id}),
            Statement(_LAST_SEQUENCE, {"trader_id": trader_id}),
        )
        return (first[0][0] or 1) - 1, _last(last)

    async def after(
        self, caller: Caller, trader_id: UUID | None, filter_: EventFilter, cursor: int, limit: int
    ) -> Batch:
        """Return at most `limit` events beyond the cursor."""
        values: dict[str, Any] = {"trader_id": trader_id, "cursor": cursor, "limit": limit, **asdict(filter_)}
        # How far it goes is read first, so whatever that has counted is visible to the second statement.
        if trader_id is None:
            values["end"] = cursor + STRETCH
            [(size,)], rows = await self._database.run(caller, Statement(_HEAD), Statement(_OF_ALL, values))
            events = [Event(ExecutionLog(*row), position) for position, *row in rows]
            if len(rows) == limit:
                return Batch(events, rows[-1][0] + 1, more=True)
            end = min(size, cursor + STRETCH)
            # The second statement may have seen entries that the first had not counted.
            return Batch(events, max(end, rows[-1][0] + 1) if rows else end, more=end < size)
        last, rows = await self._database.run(caller, Statement(_LAST_SEQUENCE, values), Statement(_OF_TRADER, values))
        events = [Event(log, None) for log in logs_of(rows)]
        reached = events[-1].log.sequence if events else cursor
        full = len(events) == limit
        return Batch(events, reached if full else max(reached, _last(last)), full)

    async def snapshot(
        self,
        caller: Caller,
        trader_id: UUID | None,
        filter_: EventFilter,
        cursor: int,
        after_id: UUID | None,
        limit: int,
    ) -> list[Order]:
        """Return at most `limit` orders without an event beyond the cursor, by ascending id from after `after_id`."""
        values: dict[str, Any] = {
            "trader_id": trader_id,
            "cursor": cursor,
            "after_id": after_id,
            "limit": limit,
            **asdict(filter_),
        }
        statement = _SNAPSHOT_OF_ALL if trader_id is None else _SNAPSHOT_OF_TRADER
        [rows] = await self._database.run(caller, Statement(statement, values))
        return [Order(*row) for row in rows]


def _last(rows: Rows) -> int:
    return rows[0][0] or 0 if rows else 0
