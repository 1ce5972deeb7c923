"""The audit trail, in pages."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import TIMESTAMP, BigInteger, Uuid, bindparam, select, tuple_

from service import models
from service.domain.filters import LogFilter
from service.domain.identity import Caller
from service.domain.orders import ExecutionLog
from service.repositories.database import Database, Rows, Statement
from service.repositories.statements import columns, compiled, if_given, one_of, within

_LOG = models.ExecutionLog
_LIMIT = bindparam("limit", type_=BigInteger())
_LISTED = select(*columns(_LOG, ExecutionLog)).where(
    if_given("order_id", Uuid(), _LOG.order_id == bindparam("order_id")),
    one_of(_LOG.action, "actions"),
    within(_LOG.timestamp, "happened"),
)

_OF_TRADER = _LISTED.where(_LOG.trader_id == bindparam("trader_id"))
_AFTER = bindparam("after_sequence", type_=BigInteger())
_LIST_OF_TRADER = {
    False: compiled(
        _OF_TRADER.where(if_given("after_sequence", BigInteger(), _LOG.sequence > _AFTER))
        .order_by(_LOG.sequence)
        .limit(_LIMIT)
    ),
    True: compiled(
        _OF_TRADER.where(if_given("after_sequence", BigInteger(), _LOG.sequence < _AFTER))
        .order_by(_LOG.sequence.desc())
        .limit(_LIMIT)
    ),
}

_KEY = tuple_(_LOG.timestamp, _LOG.trader_id, _LOG.sequence)
_AFTER_KEY = tuple_(
    bindparam("after_time", type_=TIMESTAMP(timezone=True)), bindparam("after_trader", type_=Uuid()), _AFTER
)
_LIST_OF_ALL = {
    False: compiled(
        _LISTED.where(if_given("after_sequence", BigInteger(), _KEY > _AFTER_KEY))
        .order_by(_LOG.timestamp, _LOG.trader_id, _LOG.sequence)
        .limit(_LIMIT)
    ),
    True: compiled(
        _LISTED.where(if_given("after_sequence", BigInteger(), _KEY < _AFTER_KEY))
        .order_by(_LOG.timestamp.desc(), _LOG.trader_id.desc(), _LOG.sequence.desc())
        .limit(_LIMIT)
    ),
}


@dataclass(frozen=True, slots=True)
class LogKey:
    """Where a page of logs ended: a key in the order of the listing."""

    timestamp: datetime
    trader_id: UUID
    sequence: int


class Audit:
    """The repository of execution logs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, caller: Caller, filter_: LogFilter, after: LogKey | None, limit: int) -> list[ExecutionLog]:
        """Return at most `limit` logs from after the key on: one trader's by sequence, all traders' by time."""
        values = {
            **asdict(filter_),
            "after_time": after and after.timestamp,
            "after_trader": after and after.trader_id,
            "after_sequence": after and after.sequence,
            "limit": limit,
        }
        statements = _LIST_OF_ALL if filter_.trader_id is None else _LIST_OF_TRADER
        [rows] = await self._database.run(caller, Statement(statements[filter_.newest_first], values))
        return logs_of(rows)


def logs_of(rows: Rows) -> list[ExecutionLog]:
    """Return the rows of a statement that selects the fields of ExecutionLog."""
    return [ExecutionLog(*row) for row in rows]
