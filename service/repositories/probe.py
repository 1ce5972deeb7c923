"""A cheap query that succeeds exactly when the database can accept orders."""

from __future__ import annotations

import time
from uuid import uuid4

from service.domain.identity import Caller, CallerKind
from service.repositories.database import Database, Statement

_WRITE = Statement("SELECT probe_writing()")


class Probe:
    """Checks whether a database can accept orders."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write_nothing(self, within: float) -> None:
        """Take the locks that a submit needs, on no row. Raises a BlotterError if a submit would fail, or too late."""
        deadline = time.monotonic() + within
        caller = Caller(CallerKind.EXECUTION, None, "blotter", f"probe-{uuid4()}", deadline)
        await self._database.run(caller, _WRITE)
