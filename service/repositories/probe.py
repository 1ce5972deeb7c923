"""A cheap query that succeeds exactly when the database can accept orders."""

from __future__ import annotations

import time
from uuid import UUID, uuid4

from service.domain.identity import Caller, CallerKind
from service.repositories.database import Database, Statement

_NOBODY = {"trader_id": UUID(int=0)}

# Takes the locks that a submit needs, and fails on a standby. No row matches, so nothing is written.
_WRITE = (
    Statement("UPDATE trader_sequences SET last_sequence = last_sequence WHERE trader_id = %(trader_id)s", _NOBODY),
    Statement("UPDATE orders SET last_sequence = last_sequence WHERE trader_id = %(trader_id)s", _NOBODY),
    Statement("INSERT INTO execution_logs (trader_id) SELECT %(trader_id)s WHERE false", _NOBODY),
)


class Probe:
    """Checks whether a database can accept orders."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write_nothing(self, within: float) -> None:
        """Run a submit's statements, on no row. Raises a BlotterError if a submit would fail, or after the seconds."""
        deadline = time.monotonic() + within
        caller = Caller(CallerKind.EXECUTION, None, "blotter", f"probe-{uuid4()}", deadline)
        await self._database.run(caller, *_WRITE)
