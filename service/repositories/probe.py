"""A cheap query that succeeds exactly when the database can accept orders."""

from __future__ import annotations

import time
from uuid import uuid4

from service.domain.identity import Caller, CallerKind
from service.repositories.database import Database
from service.repositories.messages import Statement

_WRITE = Statement("SELECT probe_writing()")
_REVISION = Statement("SELECT version_num FROM alembic_version")


class Probe:
    """Checks whether a database can accept orders."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write_nothing(self, within: float) -> str:
        """Take the locks that a submit needs, on no row; return the revision of the schema, empty if there is none.

        Raises a BlotterError if a submit would fail, or too late.
        """
        deadline = time.monotonic() + within
        caller = Caller(CallerKind.EXECUTION, None, "readiness", f"probe-{uuid4()}", deadline)
        _, rows = await self._database.run(caller, _WRITE, _REVISION)
        return str(rows[0][0]) if rows else ""
