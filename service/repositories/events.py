"""What happens to a trader's orders, from a sequence on: the source of the streams."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Uuid, bindparam, func, select

from service import models
from service.domain.filters import EventFilter
from service.domain.identity import Caller
from service.domain.orders import ExecutionLog, Order
from service.repositories.audit import logs_of
from service.repositories.database import Database, Rows, Statement
from service.repositories.statements import columns, compiled, if_given, one_of

_LOG = models.ExecutionLog
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
_EVENTS = compiled(
    select(*columns(_LOG, ExecutionLog))
    .where(
        _LOG.trader_id == bindparam("trader_id"),
        _LOG.sequence > bindparam("after_sequence", type_=BigInteger()),
        one_of(_LOG.order_id, "order_ids"),
        one_of(_LOG.symbol, "symbols"),
        one_of(_LOG.status, "statuses"),
        one_of(_LOG.action, "actions"),
    )
    .order_by(_LOG.sequence)
    .limit(_LIMIT)
)

# An order that changed since `as_of` is left out: its event comes after the snapshot. So every page, however late it
# is read, shows the same moment, without a transaction that stays open between them.
_SNAPSHOT = compiled(
    select(*columns(models.Order, Order))
    .where(
        models.Order.trader_id == bindparam("trader_id"),
        models.Order.last_sequence <= bindparam("as_of", type_=BigInteger()),
        if_given("after_id", Uuid(), models.Order.id > bindparam("after_id", type_=Uuid())),
        one_of(models.Order.id, "order_ids"),
        one_of(models.Order.symbol, "symbols"),
        one_of(models.Order.status, "statuses"),
    )
    .order_by(models.Order.id)
    .limit(_LIMIT)
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Events in ascending sequence. `last_sequence`: all matching events up to it are here or came before."""

    logs: list[ExecutionLog]
    last_sequence: int


class Events:
    """The repository of events: execution logs by sequence, and the snapshots that they continue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def last_sequences(self, caller: Caller, trader_ids: list[UUID]) -> Rows:
        """Return (trader_id, last_sequence) of those traders that have events; for callers that see all."""
        [rows] = await self._database.run(caller, Statement(_LAST_SEQUENCES, {"trader_ids": trader_ids}))
        return rows

    async def bounds(self, caller: Caller, trader_id: UUID) -> tuple[int, int]:
        """Return the first sequence that is kept and the last that was given; (1, 0) where there is none."""
        first, last = await self._database.run(
            caller,
            Statement(_FIRST_SEQUENCE, {"trader_id": trader_id}),
            Statement(_LAST_SEQUENCE, {"trader_id": trader_id}),
        )
        return first[0][0] or 1, _last(last)

    async def after(
        self, caller: Caller, trader_id: UUID, filter_: EventFilter, after_sequence: int, limit: int
    ) -> Batch:
        """Return at most `limit` events of the trader with a sequence above `after_sequence`."""
        values: dict[str, Any] = {
            "trader_id": trader_id,
            "after_sequence": after_sequence,
            "limit": limit,
            **asdict(filter_),
        }
        # The counter is read first, so whatever it has counted is visible to the second statement.
        last, rows = await self._database.run(caller, Statement(_LAST_SEQUENCE, values), Statement(_EVENTS, values))
        logs = logs_of(rows)
        seen = logs[-1].sequence if logs else after_sequence
        return Batch(logs, seen if len(logs) == limit else max(seen, _last(last)))

    async def snapshot(
        self,
        caller: Caller,
        trader_id: UUID,
        filter_: EventFilter,
        as_of: int,
        after_id: UUID | None,
        limit: int,
    ) -> list[Order]:
        """Return at most `limit` orders unchanged since event `as_of`, by ascending id from after `after_id`."""
        values: dict[str, Any] = {
            "trader_id": trader_id,
            "as_of": as_of,
            "after_id": after_id,
            "limit": limit,
            **asdict(filter_),
        }
        [rows] = await self._database.run(caller, Statement(_SNAPSHOT, values))
        return [Order(*row) for row in rows]


def _last(rows: Rows) -> int:
    return rows[0][0] or 0 if rows else 0
