"""The audit trail, in pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.domain.filters import LogFilter
from service.domain.identity import Caller
from service.domain.orders import ExecutionLog
from service.repositories.database import Database
from service.repositories.messages import Rows, Statement
from service.repositories.statements import filed_under, if_given, log_columns, one_of, values_of, within

_LISTED = f"""
    SELECT {log_columns("log")} FROM execution_logs AS log
    WHERE {if_given("order_id", "uuid", "log.order_id = %(order_id)s::uuid")}
        AND {one_of("log.action", "action_enum", "actions")}
        AND {within("log.timestamp", "happened")}
        AND {filed_under("log")}
"""


def _of_trader(comparison: str, direction: str) -> str:
    beyond = f"log.sequence {comparison} %(after_sequence)s::bigint"
    return f"""{_LISTED}
        AND log.trader_id = %(trader_id)s::uuid
        AND {if_given("after_sequence", "bigint", beyond)}
    ORDER BY log.sequence {direction}
    LIMIT %(limit)s::bigint
    """


def _of_all(comparison: str, direction: str) -> str:
    key = "(%(after_time)s::timestamptz, %(after_trader)s::uuid, %(after_sequence)s::bigint)"
    beyond = f"(log.timestamp, log.trader_id, log.sequence) {comparison} {key}"
    return f"""{_LISTED}
        AND {if_given("after_sequence", "bigint", beyond)}
    ORDER BY log.timestamp {direction}, log.trader_id {direction}, log.sequence {direction}
    LIMIT %(limit)s::bigint
    """


# By `newest_first`.
_LIST_OF_TRADER = {False: _of_trader(">", "ASC"), True: _of_trader("<", "DESC")}
_LIST_OF_ALL = {False: _of_all(">", "ASC"), True: _of_all("<", "DESC")}


@dataclass(frozen=True, slots=True)
class LogKey:
    """The last row of a page of logs, as a key in the order of the listing."""

    timestamp: datetime
    trader_id: UUID
    sequence: int


class Audit:
    """The repository of execution logs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, caller: Caller, filter_: LogFilter, after: LogKey | None, limit: int) -> list[ExecutionLog]:
        """Return at most `limit` logs after the key: one trader's by sequence, all traders' by time."""
        values = {
            **values_of(filter_),
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
    return list(map(ExecutionLog._make, rows))
