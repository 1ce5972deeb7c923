"""Checking at the start that the sequencer can work: its login, and that its session is its own."""

from __future__ import annotations

import asyncio

from service.domain.errors import DatabaseUnavailable
from service.repositories.append import LedgerWriter

LOOKS = 5
PATIENCE_SECONDS = 20.0

POOLED = (
    "The sequencer's connection goes through a pooler that shares backends between sessions, where the lock that "
    "elects one sequencer does not hold: set BLOTTER_SEQUENCER_DATABASE_URL to a direct URL of the database."
)


async def check_login(conninfo: str, password: str | None) -> None:
    """Raise DatabaseUnavailable when blotter_sequencer cannot log in, or when its session is not its own."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), LedgerWriter.connected(conninfo, password) as writer:
            pooled = not await _keeps_its_backend(conninfo, password, writer)
    except TimeoutError:  # the pooler has no second backend to give
        pooled = True
    except DatabaseUnavailable as error:
        raise DatabaseUnavailable(
            f"The sequencer cannot log in as blotter_sequencer: {error} Set BLOTTER_SEQUENCER_PASSWORD; "
            "BLOTTER_SEQUENCER_DATABASE_URL, to a direct URL, where BLOTTER_DATABASE_URL is a pooler's; or "
            "BLOTTER_SEQUENCER=false where another process sequences."
        ) from error
    if pooled:
        raise DatabaseUnavailable(POOLED)


async def _keeps_its_backend(conninfo: str, password: str | None, writer: LedgerWriter) -> bool:
    """Return whether the writer's session has one backend, also while another session has a transaction open."""
    announced, backend = await writer.backend()
    if announced == backend:
        return True  # a pooler announces a process id of its own making; in session mode it still keeps the backend
    for _ in range(LOOKS):
        async with LedgerWriter.connected(conninfo, password) as other, other.in_transaction() as taken:
            _, now = await writer.backend()
            if taken == backend or now != backend:
                return False
    return True
