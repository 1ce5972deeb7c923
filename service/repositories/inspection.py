"""Looking into the record: an order as of any moment, and who of compliance has looked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import TIMESTAMP, BigInteger, Text, bindparam, cast, literal_column, select

from service import models
from service.domain.errors import LogNotFound, OrderNotFound
from service.domain.filters import AccessFilter
from service.domain.identity import Caller
from service.domain.orders import ExecutionLog
from service.repositories.database import Database, Statement
from service.repositories.events import Event
from service.repositories.statements import columns, compiled, if_given, within

_LOG, _ENTRY, _ACCESS = models.ExecutionLog, models.LedgerEntry, models.AuditAccess

_AS_OF = compiled(
    select(_ENTRY.position, *columns(_LOG, ExecutionLog))
    .outerjoin(_ENTRY, (_ENTRY.trader_id == _LOG.trader_id) & (_ENTRY.sequence == _LOG.sequence))
    .where(
        _LOG.order_id == bindparam("order_id"),
        if_given("time", TIMESTAMP(timezone=True), _LOG.created_at <= bindparam("time")),
        if_given("position", BigInteger(), _ENTRY.position <= bindparam("position", type_=BigInteger())),
    )
    .order_by(_LOG.sequence.desc())
    .limit(literal_column("1"))
)
_ACCESSES = compiled(
    select(
        _ACCESS.id,
        _ACCESS.accessed_at,
        _ACCESS.actor,
        _ACCESS.login,
        _ACCESS.request_id,
        _ACCESS.method,
        cast(_ACCESS.request, Text()),
    )
    .where(
        within(_ACCESS.accessed_at, "accessed"),
        if_given("actor", Text(), _ACCESS.actor == bindparam("actor")),
        if_given("before", BigInteger(), _ACCESS.id < bindparam("before", type_=BigInteger())),
    )
    .order_by(_ACCESS.id.desc())
    .limit(bindparam("limit", type_=BigInteger()))
)


_SIZE = "SELECT coalesce((SELECT size FROM ledger_head), 0)"


@dataclass(frozen=True, slots=True)
class Access:
    """A row of audit_accesses: one read by compliance. `request` is JSON."""

    id: int
    accessed_at: datetime
    actor: str
    login: str
    request_id: str
    method: str
    request: str


class Inspection:
    """The repository for compliance's questions about the record."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def as_of(self, caller: Caller, order_id: UUID, time: datetime | None, position: int | None) -> Event:
        """Return the order's last event up to a time, or to a position of the ledger.

        Raises OrderNotFound; LogNotFound for a position that the ledger has not reached.
        """
        values = {"order_id": order_id, "time": time, "position": position}
        rows, [(size,)] = await self._database.run(caller, Statement(_AS_OF, values), Statement(_SIZE))
        if position is not None and position >= size:
            raise LogNotFound
        if not rows:
            raise OrderNotFound
        [(found, *log)] = rows
        return Event(ExecutionLog(*log), found)

    async def accesses(self, caller: Caller, filter_: AccessFilter, before: int | None, limit: int) -> list[Access]:
        """Return at most `limit` reads, newest first, with an id below `before`."""
        values: dict[str, Any] = {
            "accessed_from": filter_.accessed_from,
            "accessed_to": filter_.accessed_to,
            "actor": filter_.actor,
            "before": before,
            "limit": limit,
        }
        [rows] = await self._database.run(caller, Statement(_ACCESSES, values))
        return [Access(*row) for row in rows]
