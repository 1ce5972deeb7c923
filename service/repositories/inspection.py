"""Queries about the record: an order as of any time, and the reads by compliance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from service.domain.errors import LogNotFound, OrderNotFound
from service.domain.filters import AccessFilter
from service.domain.identity import Caller
from service.domain.orders import ExecutionLog
from service.repositories.database import Database
from service.repositories.events import Event
from service.repositories.messages import Statement
from service.repositories.statements import LEDGER_SIZE, if_given, log_columns, within

_AS_OF = f"""
    SELECT entry.position, {log_columns("log")}
    FROM execution_logs AS log
    LEFT JOIN ledger_entries AS entry ON entry.trader_id = log.trader_id AND entry.sequence = log.sequence
    WHERE log.order_id = %(order_id)s::uuid
        AND {if_given("time", "timestamptz", "log.created_at <= %(time)s::timestamptz")}
        AND {if_given("position", "bigint", "entry.position <= %(position)s::bigint")}
    ORDER BY log.sequence DESC
    LIMIT 1
"""
_ACCESSES = f"""
    SELECT id, accessed_at, actor, login, request_id, method, request::text FROM audit_accesses
    WHERE {within("accessed_at", "accessed")}
        AND {if_given("actor", "varchar", "actor = %(actor)s::varchar")}
        AND {if_given("before", "bigint", "id < %(before)s::bigint")}
    ORDER BY id DESC
    LIMIT %(limit)s::bigint
"""
_SIZE = f"SELECT {LEDGER_SIZE}"


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
    """The repository for compliance's queries about the record."""

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
        return Event(ExecutionLog._make(log), found)

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
