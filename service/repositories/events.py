"""Events of orders after a cursor: the source of the streams.

A trader's events are ordered by sequence, all traders' by their position in the ledger. A cursor is the progress of a
stream: a trader's last sequence, or a number of entries of the ledger. A stream continues after it.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, NamedTuple
from uuid import UUID

from service.domain.filters import EventFilter
from service.domain.identity import Caller
from service.domain.orders import ExecutionLog, Order
from service.repositories.audit import logs_of
from service.repositories.database import Database
from service.repositories.messages import Rows, Statement
from service.repositories.statements import LEDGER_SIZE, columns, filed_under, if_given, log_columns, of_desk, one_of

POSITIONS_PER_READ = 10_000
_LAST_SEQUENCE = "SELECT last_sequence FROM trader_sequences WHERE trader_id = %(trader_id)s::uuid"
_LAST_SEQUENCES = """
    SELECT trader_id, last_sequence FROM trader_sequences
    WHERE trader_id = ANY (%(trader_ids)s::uuid[]) AND last_sequence IS NOT NULL
"""
_FIRST_SEQUENCE = "SELECT min(sequence) FROM execution_logs WHERE trader_id = %(trader_id)s::uuid"
_HEAD = f"SELECT {LEDGER_SIZE}"
_STATE = "SELECT pg_current_snapshot()::text"
_FIELDS = tuple(field.name for field in fields(EventFilter))

_MATCHING = f"""
    {one_of("log.trader_id", "uuid", "trader_ids")}
    AND {one_of("log.order_id", "uuid", "order_ids")}
    AND {one_of("log.symbol", "varchar", "symbols")}
    AND {one_of("log.status", "order_status_enum", "statuses")}
    AND {one_of("log.action", "action_enum", "actions")}
    AND {filed_under("log")}
"""
_OF_TRADER = f"""
    SELECT {log_columns("log")} FROM execution_logs AS log
    WHERE log.trader_id = %(trader_id)s::uuid AND log.sequence > %(cursor)s::bigint{{matching}}
    ORDER BY log.sequence
    LIMIT %(limit)s::bigint
"""
_MATCHING_OF_TRADER = _OF_TRADER.format(matching=f" AND {_MATCHING}")
_EACH_OF_TRADER = _OF_TRADER.format(matching="")
_EVERYTHING = EventFilter()
# A range of the ledger at a time: otherwise one statement with a rare match would read all of it.
_OF_ALL = f"""
    SELECT {log_columns("log")}, entry.position
    FROM ledger_entries AS entry
    JOIN execution_logs AS log ON log.trader_id = entry.trader_id AND log.sequence = entry.sequence
    WHERE entry.position >= %(cursor)s::bigint AND entry.position < %(end)s::bigint AND {_MATCHING}
    ORDER BY entry.position
    LIMIT %(limit)s::bigint
"""

# An order that has changed since the cursor is left out: its event follows the snapshot. So each page shows the state
# at the cursor, no matter when it is read, without a transaction that stays open between pages.
_SNAPSHOT = f"""
    SELECT {columns(Order, "orders")} FROM orders {{join}}
    WHERE {if_given("after_id", "uuid", "orders.id > %(after_id)s::uuid")}
        AND {one_of("orders.trader_id", "uuid", "trader_ids")}
        AND {one_of("orders.id", "uuid", "order_ids")}
        AND {one_of("orders.symbol", "varchar", "symbols")}
        AND {one_of("orders.status", "order_status_enum", "statuses")}
        AND {filed_under("orders")}
        AND {{unchanged}}
    ORDER BY orders.id
    LIMIT %(limit)s::bigint
"""
_SNAPSHOT_OF_TRADER = _SNAPSHOT.format(
    join="", unchanged="orders.trader_id = %(trader_id)s::uuid AND orders.last_sequence <= %(cursor)s::bigint"
)
_LAST_ENTRY = (
    "JOIN ledger_entries AS entry ON entry.trader_id = orders.trader_id AND entry.sequence = orders.last_sequence"
)
_SNAPSHOT_OF_ALL = _SNAPSHOT.format(join=_LAST_ENTRY, unchanged="entry.position < %(cursor)s::bigint")
_SNAPSHOT_OF_DESK = of_desk(
    _SNAPSHOT.format(
        join=_LAST_ENTRY, unchanged="orders.trader_id = trader.id AND entry.position < %(cursor)s::bigint"
    ),
    "orders.id",
)


class Event(NamedTuple):
    """An execution log, and its position in the ledger on streams over all traders."""

    log: ExecutionLog
    position: int | None


class Batch(NamedTuple):
    """Events in ascending order. `cursor`: all matching events up to it are here or in earlier results."""

    events: list[Event]
    cursor: int
    more: bool
    """Whether there may be more events to read at once."""


class Events:
    """The repository of events, and of the snapshots that they continue. `trader_id` None: of all traders."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def cursors(self, caller: Caller, trader_ids: list[UUID]) -> Rows:
        """Return (trader_id, cursor) of each trader with events, and (None, cursor) of all; for logins that see all."""
        array = f"{{{','.join(map(str, trader_ids))}}}"  # the driver takes five times as long for thousands of UUIDs
        counters, [(size,)] = await self._database.run(
            caller, Statement(_LAST_SEQUENCES, {"trader_ids": array}), Statement(_HEAD)
        )
        return [*counters, (None, size)]

    async def state(self, caller: Caller) -> str:
        """Return what differs after each transaction that has written, at a cost that does not depend on the tables."""
        [[(state,)]] = await self._database.run(caller, Statement(_STATE))
        return str(state)

    async def bounds(self, caller: Caller, trader_id: UUID | None) -> tuple[int, int]:
        """Return the lowest cursor from which a stream can continue, and the current one."""
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
        """Return at most `limit` events after the cursor.

        The batch's cursor is lower than the given one if the history has become shorter, as after a failover to a
        standby that lacked the newest events.
        """
        values: dict[str, Any] = {"trader_id": trader_id, "cursor": cursor, "limit": limit, **_values(filter_)}
        # The end of the range is read first, so that all entries counted by it are visible to the second statement.
        if trader_id is None:
            # Without a filter each entry matches: more than the limit would be read and sorted for nothing.
            values["end"] = cursor + (limit if filter_ == _EVERYTHING else POSITIONS_PER_READ)
            [(size,)], rows = await self._database.run(
                caller, Statement(_HEAD), Statement(_OF_ALL, values), most_rows=limit
            )
            events = [Event(ExecutionLog._make(row[:-1]), row[-1]) for row in rows]
            if len(rows) == limit:
                return Batch(events, rows[-1][-1] + 1, more=True)
            end = min(size, values["end"])
            # The second statement may have seen entries that the first did not count.
            return Batch(events, max(end, rows[-1][-1] + 1) if rows else end, more=end < size)
        # Without conditions that are true the server parses and plans in a seventh less time.
        of_trader = _EACH_OF_TRADER if filter_ == _EVERYTHING else _MATCHING_OF_TRADER
        # Most reads find a few events; some, of a stream that resumes, the limit.
        last, rows = await self._database.run(
            caller, Statement(_LAST_SEQUENCE, values), Statement(of_trader, values), most_rows=limit // 10
        )
        events = [Event(log, None) for log in logs_of(rows)]
        reached = events[-1].log.sequence if events else cursor
        full = len(events) == limit
        if full:
            return Batch(events, reached, more=True)
        return Batch(events, max(reached, _last(last)) if events else _last(last), more=False)

    async def snapshot(
        self,
        caller: Caller,
        trader_id: UUID | None,
        filter_: EventFilter,
        cursor: int,
        after_id: UUID | None,
        limit: int,
    ) -> list[Order]:
        """Return at most `limit` orders without an event after the cursor, by ascending id after `after_id`."""
        values: dict[str, Any] = {
            "trader_id": trader_id,
            "cursor": cursor,
            "after_id": after_id,
            "limit": limit,
            **_values(filter_),
        }
        of_several = _SNAPSHOT_OF_DESK if caller.desk_id else _SNAPSHOT_OF_ALL
        statement = of_several if trader_id is None else _SNAPSHOT_OF_TRADER
        [rows] = await self._database.run(caller, Statement(statement, values), most_rows=limit)
        return list(map(Order._make, rows))


def _values(filter_: EventFilter) -> dict[str, Any]:
    return {name: getattr(filter_, name) for name in _FIELDS}


def _last(rows: Rows) -> int:
    return rows[0][0] or 0 if rows else 0
