"""Fixtures of the ledger: the sequencer's writer."""

from collections.abc import AsyncIterator

import pytest

from service.repositories.append import LedgerWriter
from tests.conftest import Database


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[LedgerWriter]:
    """The ledger's writer of the test's database."""
    async with LedgerWriter.connected(database.conninfo("postgres"), None) as writer:
        yield writer
