"""A database that does not answer the sequencer: health reports it after a time, and the sequencer reconnects."""

import logging
from pathlib import Path
from typing import Any

import pytest

from service.repositories.append import LedgerWriter
from service.sequencing import KeyFolder
from tests.conftest import Database
from tests.ledger.test_checkpoints import ORIGIN, QUICK, until
from tests.ledger.test_condition import NOT_SERVING, SERVING, becomes, numbered
from tests.proxy import proxied
from tests.rpc.test_readiness import stopped
from tests.serving import serving


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.sequencing.watch.LAG_SECONDS", 0.5)
    monkeypatch.setattr("service.sequencing.watch.LOOK_SECONDS", 0.05)


@pytest.fixture
def ledger(tmp_path: Path) -> dict[str, Any]:
    """The settings of a server with a sequencer that signs."""
    folder = KeyFolder(tmp_path / "keys")
    folder.generate(ORIGIN)
    return QUICK | {"ledger_keys": folder.folder}


async def test_a_stopped_postgres_makes_the_ledger_not_serving(
    database: Database, ledger: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(database, **ledger) as blotter:
        await becomes(blotter, SERVING)
        async with stopped(database):
            await becomes(blotter, NOT_SERVING)
        assert "does not answer the sequencer" in caplog.text
        await becomes(blotter, SERVING)


async def test_a_connection_that_loses_its_packets_is_closed_and_replaced(
    database: Database, ledger: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.repositories.append.LONGEST_ANSWER_SECONDS", 2.0)
    caplog.set_level(logging.INFO, "blotter.sequencer")
    async with proxied(database) as silent, serving(silent, **ledger) as blotter, serving(database) as other:
        await becomes(blotter, SERVING)
        silent.proxy.deafen(new=False)
        await other.submit()
        await becomes(blotter, NOT_SERVING)
        await until(lambda: numbered(database) == 1, 30)
        await becomes(blotter, SERVING)


async def test_the_database_ends_an_idle_session_of_the_sequencer(database: Database) -> None:
    async with LedgerWriter.connected(database.conninfo("postgres"), None) as writer:
        [(milliseconds,)] = await writer._rows(
            "SELECT setting::int FROM pg_settings WHERE name = 'idle_session_timeout'"
        )
    assert 0 < milliseconds <= 60_000
