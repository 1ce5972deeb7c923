"""The sequencer's loop without a server: when it appends what, and how it handles each error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from service.observability.metrics import Metrics
from service.repositories.append import LedgerMoved, LedgerWriter
from service.sequencing import sequencer as module
from service.sequencing.checkpoints import Checkpoints
from service.sequencing.keys import KeyFolder
from service.sequencing.sequencer import Sequencer
from service.sequencing.watch import Watch
from tests.conftest import ALICE, Database
from tests.ledger.test_appending import entries, submit, trading
from tests.ledger.test_checkpoints import ORIGIN, until

NEVER = 3600.0
QUICK = 0.01
LONG_ENOUGH = 0.3
"""The wait for events that must not occur: they would occur after a few times QUICK."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Set short pauses between elections, and capture the log."""
    monkeypatch.setattr(module, "ELECTION_SECONDS", QUICK)
    caplog.set_level(logging.INFO, "blotter")


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    """A folder with one key."""
    folder = KeyFolder(tmp_path / "keys")
    folder.generate(ORIGIN)
    return folder


@dataclass
class Observed:
    """The reports of a sequencer."""

    reports: list[bool] = field(default_factory=list)
    appends: list[int] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)
    hint: Any = None


@asynccontextmanager
async def sequencing(database: Database, keys: KeyFolder, **seconds: float) -> AsyncIterator[Observed]:
    """Run a sequencer; it does not wait for a hint unless `idle_seconds` is given."""
    observed = Observed()
    values = {"poll_seconds": QUICK, "idle_seconds": QUICK, "checkpoint_seconds": QUICK} | seconds
    sequencer = Sequencer(
        conninfo=database.conninfo("postgres"),
        password=None,
        checkpoints=Checkpoints(ORIGIN, keys, None),
        directory=None,
        witnesses=[],
        appended=lambda: observed.appends.append(numbered(database)),
        report=observed.reports.append,
        metrics=observed.metrics,
        poll_seconds=values["poll_seconds"],
        idle_seconds=values["idle_seconds"],
        checkpoint_seconds=values["checkpoint_seconds"],
    )
    observed.hint = sequencer.hint
    running = asyncio.create_task(sequencer.run())
    try:
        yield observed
    finally:
        running.cancel()
        await asyncio.wait([running], timeout=20)
        assert running.cancelled()


def numbered(database: Database) -> int:
    """The number of events that have a position."""
    return sum(trader_id is not None for _, trader_id, _ in entries(database))


def enter(database: Database, key: str, count: int = 1) -> None:
    """Commit so many events without a hint, as another process does."""
    with trading(database) as trader:
        for number in range(count):
            submit(trader, ALICE, f"{key}-{number}")
        trader.commit()


async def test_a_backlog_is_appended_without_a_pause_between_portions(
    database: Database, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PORTION", 10)
    enter(database, "backlog", 30)
    async with sequencing(database, keys, poll_seconds=NEVER):
        await until(lambda: numbered(database) == 30)


async def test_a_busy_sequencer_polls_and_reports_what_it_has_appended(
    database: Database, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", NEVER)
    async with sequencing(database, keys, idle_seconds=NEVER) as observed:
        for number in range(1, 4):
            enter(database, str(number))
            await until(lambda: observed.appends == list(range(1, number + 1)))  # noqa: B023
        await asyncio.sleep(LONG_ENOUGH)
        assert observed.appends == [1, 2, 3]


async def test_a_sequencer_is_busy_for_a_while_after_each_append(
    database: Database, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(module, "BUSY_SECONDS", 10)
    monkeypatch.setattr(Sequencer, "_clock", staticmethod(lambda: now[0]))
    async with sequencing(database, keys, idle_seconds=NEVER) as observed:
        for number in range(1, 5):
            enter(database, str(number))
            await until(lambda: observed.appends[-1:] == [number])  # noqa: B023
            now[0] += 6
            await asyncio.sleep(LONG_ENOUGH)


async def test_an_idle_sequencer_appends_when_it_has_a_hint(
    database: Database, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", -1)
    async with sequencing(database, keys, idle_seconds=NEVER, checkpoint_seconds=NEVER) as observed:
        await until(lambda: True in observed.reports)
        for number in range(3):
            enter(database, str(number))
            await asyncio.sleep(LONG_ENOUGH)
            assert numbered(database) == number
            observed.hint()
            await until(lambda: numbered(database) == number + 1)  # noqa: B023


async def test_a_sequencer_without_the_lock_appends_nothing(database: Database, keys: KeyFolder) -> None:
    async with LedgerWriter.connected(database.conninfo("postgres"), None) as first:
        assert await first.elected()
        enter(database, "1")
        async with sequencing(database, keys) as observed:
            await until(lambda: True in observed.reports)
            await asyncio.sleep(LONG_ENOUGH)
            assert numbered(database) == 0
            database.cluster.psql(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = "
                f"(SELECT oid FROM pg_database WHERE datname = '{database.name}')"
            )
            await until(lambda: numbered(database) == 1)


async def test_signing_that_finds_another_sequencer_at_work_begins_anew(
    database: Database, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []
    sign, begin = Checkpoints.sign, Checkpoints.begin

    async def moved_once(self: Checkpoints, *values: Any) -> Any:
        calls.append("sign")
        if calls.count("sign") == 1:
            raise LedgerMoved
        return await sign(self, *values)

    async def counted(self: Checkpoints, *values: Any) -> Any:
        calls.append("begin")
        return await begin(self, *values)

    monkeypatch.setattr(Checkpoints, "sign", moved_once)
    monkeypatch.setattr(Checkpoints, "begin", counted)
    async with sequencing(database, keys) as observed:
        enter(database, "1")
        await until(lambda: signed(database) == 2)
        assert calls[:4] == ["begin", "sign", "begin", "sign"]
        await until(lambda: calls.count("sign") > 5)
        assert calls.count("begin") == 2, "once for each time that it begins"
        assert observed.reports == [False, True]
    assert "Another sequencer has appended" in caplog.text
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def signed(database: Database) -> int:
    """The size of the newest checkpoint."""
    with psycopg.connect(database.conninfo("blotter_compliance")) as compliance:
        [(size,)] = compliance.execute("SELECT coalesce(max(size), 0) FROM ledger_checkpoints").fetchall()
    return int(size)


async def test_a_row_in_the_place_of_the_next_entry_is_logged_until_it_is_removed(
    database: Database, keys: KeyFolder, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(database.conninfo("postgres"), autocommit=True) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(
            "INSERT INTO ledger_tiles (level, tile_index, hashes, root) VALUES (0, 0, %s, %s)",
            [b"x" * 8192, b"x" * 32],
        )
        enter(database, "tile", 256)
        async with sequencing(database, keys) as observed:
            await until(lambda: "An unexpected row is in the place of the next entry or tile" in caplog.text)
            assert observed.reports[-1] is False
            assert numbered(database) == 0
            superuser.execute("DELETE FROM ledger_tiles")
            await until(lambda: numbered(database) == 256)
            await until(lambda: observed.reports[-1])


async def test_a_lost_connection_is_logged_and_the_next_one_continues(
    database: Database, keys: KeyFolder, caplog: pytest.LogCaptureFixture
) -> None:
    async with sequencing(database, keys) as observed:
        enter(database, "1")
        await until(lambda: signed(database) == 2)
        assert observed.reports == [False, True]
        database.cluster.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'blotter_sequencer' "
            f"AND datname = '{database.name}'"
        )
        await until(lambda: "The sequencer cannot work" in caplog.text)
        await until(lambda: observed.reports == [False, True, False, True])
        enter(database, "2")
        await until(lambda: signed(database) == 3)


async def test_an_unforeseen_error_is_logged_with_its_traceback_and_ends_nothing(
    database: Database, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    append = LedgerWriter.append
    calls = 0

    async def fails_once(self: LedgerWriter, *values: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("unforeseen")
        return await append(self, *values)

    monkeypatch.setattr(LedgerWriter, "append", fails_once)
    enter(database, "1")
    async with sequencing(database, keys) as observed:
        await until(lambda: numbered(database) == 1)
        await until(lambda: observed.reports[-1])
    [failed] = [record for record in caplog.records if "The sequencer failed" in record.getMessage()]
    assert failed.exc_info


async def test_a_watch_that_fails_while_another_holds_the_lock_is_logged_and_the_next_one_recovers(
    database: Database, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch.run
    calls = 0

    async def fails_once(self: Watch, writer: LedgerWriter) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("unforeseen")
        await watch(self, writer)

    monkeypatch.setattr(Watch, "run", fails_once)
    async with LedgerWriter.connected(database.conninfo("postgres"), None) as first:
        assert await first.elected()
        async with sequencing(database, keys) as observed:
            await until(lambda: "The sequencer failed: RuntimeError" in caplog.text)
            await until(lambda: observed.reports[-1])
            assert numbered(database) == 0
