"""Reads what an operator must know of the database: open transactions, and the table that every write updates."""

from __future__ import annotations

import time
from typing import NamedTuple
from uuid import uuid4

from service.domain.identity import Caller, CallerKind
from service.repositories.database import Database
from service.repositories.messages import Statement

# The first two are null where sql/harden.sql was not run; every login may read the others.
_STATE = Statement("""
    SELECT oldest_transaction_seconds, xmin_age,
        pg_snapshot_xmin(snapshot)::text::bigint, pg_snapshot_xmax(snapshot)::text::bigint,
        coalesce((SELECT max(date_part('epoch', clock_timestamp() - prepared)) FROM pg_prepared_xacts
                  WHERE database = current_database()), 0),
        coalesce((SELECT max(greatest(age(xmin), age(catalog_xmin))) FROM pg_replication_slots), 0),
        pg_total_relation_size('trader_sequences'), counter_dead_rows
    FROM database_condition(), pg_current_snapshot() AS snapshot
""")


class State(NamedTuple):
    """The state of the database at one moment."""

    oldest_transaction_seconds: float | None
    """Age of the oldest open transaction of any login; 0 without one; None: not visible without sql/harden.sql."""
    xmin_age: int | None
    """Transactions since the oldest snapshot that VACUUM respects; None as above."""
    oldest_open: int
    """The id of the oldest transaction that has written and is open, in any database of the server."""
    next_id: int
    """The id of the next transaction that writes; equal to `oldest_open` when none is open."""
    prepared_seconds: float
    """Age of the oldest prepared transaction; 0 without one."""
    slots_age: int
    """Transactions since the oldest snapshot that a replication slot keeps; 0 without one."""
    counter_bytes: int
    counter_dead_rows: int


class DatabaseState:
    """Reads the state with the service's own login."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, within: float) -> State:
        """Return the state. Raises a BlotterError, at the latest after `within` seconds."""
        caller = Caller(CallerKind.EXECUTION, None, "sampling", f"state-{uuid4()}", time.monotonic() + within)
        [[row]] = await self._database.run(caller, _STATE)
        return State(*row)
