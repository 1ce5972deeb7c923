"""Reads the principals of current callers, for the service itself."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from uuid import uuid4

from service.domain.identity import Caller, CallerKind, Principal
from service.repositories.database import Database
from service.repositories.messages import Statement

_READ = """
    SELECT subject, kind, trader_id, desk_id, actor, disabled_at IS NOT NULL FROM principals
    WHERE issuer = %(issuer)s::varchar AND subject = ANY (%(subjects)s::varchar[])
"""


_KINDS = {kind.value for kind in CallerKind}

log = logging.getLogger("blotter.authentication")


class PrincipalsInUse:
    """The principals of one issuer; `mtls` is the issuer of certificates."""

    def __init__(self, database: Database, issuer: str, seconds: float) -> None:
        """`seconds` bounds each read."""
        self._database = database
        self._issuer = issuer
        self._seconds = seconds
        self._one = asyncio.Lock()  # the reads use one connection, also while the table does not answer
        self._unread: set[str] = set()

    async def read(self, subjects: list[str]) -> Mapping[str, Principal]:
        """Return the principals that exist, by subject. Raises a BlotterError."""
        deadline = time.monotonic() + self._seconds
        caller = Caller(CallerKind.EXECUTION, None, "principals", f"principals-{uuid4()}", deadline)
        async with self._one:
            [rows] = await self._database.run(caller, Statement(_READ, {"issuer": self._issuer, "subjects": subjects}))
        return {
            subject: Principal(CallerKind(kind), *rest) for subject, kind, *rest in rows if self._is_kind(kind, subject)
        }

    def _is_kind(self, kind: str, subject: str) -> bool:
        """Return whether this release knows a kind. One that it does not know, of a later one, is logged once."""
        if kind in _KINDS:
            return True
        if kind not in self._unread:
            self._unread.add(kind)
            log.error(
                "The principal %s has the kind %s, which this release does not know: its callers are refused as "
                "unknown. Upgrade the service, or disable the principal.",
                subject,
                kind,
            )
        return False
