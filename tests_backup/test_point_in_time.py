"""Backups under load, a PostgreSQL that is destroyed, and what the restored one still proves."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from blotter_verifier.report import Status
from tests.conftest import ALICE, BOB, Database
from tests.paths import ROOT
from tests.rpc.test_outages import until
from tests.serving import serving
from tests_backup.conftest import Backups
from tests_backup.trail import (
    NOT_SERVING,
    SERVING,
    Outside,
    discrepancies,
    exported,
    ledger_is,
    orders_of,
    reached,
    signed_beyond,
    size_of,
    under_load,
    verified,
)

RENAMED = "log.example/blotter-2"
PAGE = (ROOT / "docs" / "backup.md").read_text("utf-8")


async def archived(database: Database) -> None:
    """Wait until all that has been committed is in the archive."""
    async with await psycopg.AsyncConnection.connect(database.conninfo("postgres"), autocommit=True) as superuser:
        row = await (await superuser.execute("SELECT pg_walfile_name(pg_switch_wal())")).fetchone()
        assert row

        async def done() -> bool:
            last = await (await superuser.execute("SELECT last_archived_wal FROM pg_stat_archiver")).fetchone()
            return bool(last and last[0] and last[0] >= row[0])

        await until(done)


async def test_a_database_restored_to_a_time_is_whole_and_its_loss_is_seen_outside(
    backups: Backups, database: Database, outside: Outside, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing that was answered before the time is missing, and nothing that was begun after it is there."""
    async with serving(database, **outside.settings()) as blotter, under_load(blotter) as written:
        await signed_beyond(outside, 20)
        await asyncio.to_thread(backups.of_the_running, "backup", "--type=full")
        backed_up = datetime.now(UTC)
        before = await signed_beyond(outside, size_of(outside.newest) + 20)
        # pgBackRest knows the end of a backup to the second, and restores it to a later second only.
        await until(lambda: has_passed(backed_up + timedelta(seconds=1)))
        target = datetime.now(UTC)
        # More entries than the restored tree can have: all that were begun by now, with three events each.
        after = await signed_beyond(outside, 3 * len(written.begun) + 10)
        await archived(database)
        backups.destroy()

    backups.restore(target)
    kept = {name for name, moment in written.answered.items() if moment <= target}
    never = {name for name, moment in written.begun.items() if moment > target}
    assert len(kept) > 10
    assert never
    async with serving(database, **outside.settings()) as blotter:
        found = await orders_of(blotter, ALICE) | await orders_of(blotter, BOB)
        assert kept <= found.keys()
        assert not never & found.keys()
        # The service goes on, and refuses to sign a tree that is behind the checkpoint outside.
        await ledger_is(blotter, NOT_SERVING)
        await until(lambda: logged(caplog, f"A tree of {size_of(outside.newest)} entries was signed"))
        await blotter.submit(ALICE)
        assert await discrepancies(blotter) == []
        bundle = await exported(blotter, tmp_path / "restored.bundle")
    status, output = verified(bundle, outside, before)
    assert (status, "VERIFIED." in output) == (Status.VERIFIED, True), output
    status, output = verified(bundle, outside, after)
    assert (status, f"The older checkpoint is of size {size_of(after)}" in output) == (Status.UNDECIDED, True), output
    await continue_under_a_new_name(database, tmp_path / "renamed", len(found))


async def logged(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    """Whether the log has the text."""
    return text in caplog.text


async def has_passed(moment: datetime) -> bool:
    """Whether the time is over."""
    return datetime.now(UTC) > moment


async def continue_under_a_new_name(database: Database, folder: Path, orders: int) -> None:
    """Begin a new ledger with the statements of docs/backup.md: all logs get a position and are signed."""
    renamed = Outside(folder)
    renamed.keys.generate(RENAMED)
    async with serving(database, **renamed.settings(ledger_origin=RENAMED)) as blotter:
        await ledger_is(blotter, NOT_SERVING)  # the database still has checkpoints of the old name
    assert renamed.newest is None
    [statements] = re.findall(r"^ *```sql\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
    database.cluster.psql(statements, dbname=database.name)
    async with serving(database, **renamed.settings(ledger_origin=RENAMED)) as blotter:
        first = await signed_beyond(renamed, orders)
        await blotter.submit(BOB)
        await signed_beyond(renamed, size_of(first))
        await ledger_is(blotter, SERVING)
        assert await discrepancies(blotter) == []
        bundle = await exported(blotter, folder / "new.bundle")
    status, output = verified(bundle, renamed, first)
    assert status == Status.VERIFIED, output


async def test_a_database_restored_to_the_end_of_the_archive_has_lost_nothing_and_continues_the_ledger(
    backups: Backups, database: Database, outside: Outside, tmp_path: Path
) -> None:
    async with serving(database, **outside.settings()) as blotter:
        async with under_load(blotter) as written:
            await signed_beyond(outside, 20)
            await asyncio.to_thread(backups.of_the_running, "backup", "--type=full")
            count = len(written.answered) + 20
            await until(lambda: reached(written, count))
        await blotter.submit(ALICE)
        await ledger_is(blotter, SERVING)
    assert outside.newest
    before = outside.newest
    await archived(database)
    backups.destroy()

    backups.restore()
    async with serving(database, **outside.settings()) as blotter:
        found = await orders_of(blotter, ALICE) | await orders_of(blotter, BOB)
        assert written.answered.keys() <= found.keys()
        await blotter.submit(ALICE)
        await signed_beyond(outside, size_of(before))
        assert await discrepancies(blotter) == []
        bundle = await exported(blotter, tmp_path / "restored.bundle")
    status, output = verified(bundle, outside, before)
    assert status == Status.VERIFIED, output
