"""Checks at the start that the sequencer can log in, and that its session keeps its backend."""

from __future__ import annotations

import asyncio

from service.domain.errors import DatabaseUnavailable
from service.repositories.append import LedgerWriter

CHECKS = 5
PATIENCE_SECONDS = 20.0

POOLED = (
    "The sequencer's connection goes through a pooler that shares backends between sessions, where the lock that "
    "elects one sequencer does not hold: set BLOTTER_SEQUENCER_DATABASE_URL to a direct URL of the database."
)


async def check_login(conninfo: str, password: str | None) -> None:
    """Raise DatabaseUnavailable when blotter_sequencer cannot log in, or when its session changes backends."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), LedgerWriter.connected(conninfo, password) as writer:
            pooled = not await _keeps_its_backend(conninfo, password, writer)
    except TimeoutError:  # the pooler has no second backend
        pooled = True
    except DatabaseUnavailable as error:
        raise DatabaseUnavailable(
            f"The sequencer cannot log in as blotter_sequencer: {error} Set BLOTTER_SEQUENCER_PASSWORD; set "
            "BLOTTER_SEQUENCER_DATABASE_URL to a direct URL if BLOTTER_DATABASE_URL names a pooler; or set "
            "BLOTTER_SEQUENCER=false if another process sequences."
        ) from error
    if pooled:
        raise DatabaseUnavailable(POOLED)


async def _keeps_its_backend(conninfo: str, password: str | None, writer: LedgerWriter) -> bool:
    """Return whether the writer's session keeps one backend while another session has a transaction open."""
    announced, backend = await writer.backend()
    if announced == backend:
        return True  # a pooler announces an invented process id, though in session mode it keeps the backend too
    for _ in range(CHECKS):
        async with LedgerWriter.connected(conninfo, password) as other, other.in_transaction() as taken:
            _, now = await writer.backend()
            if taken == backend or now != backend:
                return False
    return True
