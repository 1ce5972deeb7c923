"""Backups under load, a PostgreSQL that is destroyed, and what the restored one still proves."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from blotter.audit.v1 import inspection_pb2
from blotter.orders.v1 import order_pb2, order_service_pb2
from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.notes import Note, parse_note
from blotter_verifier.report import Status
from service.sequencing import KeyFolder
from tests.conftest import ALICE, BOB, Database
from tests.operations.command_line import environment, run
from tests.paths import ROOT
from tests.rpc.test_outages import until
from tests.serving import COMPLIANCE, Blotter, as_trader, order_request, serving
from tests_backup.conftest import Backups

ORIGIN = "log.example/blotter"
RENAMED = "log.example/blotter-2"
PAGE = (ROOT / "docs" / "backup.md").read_text("utf-8")
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
VERIFY = [sys.executable, "-m", "blotter_verifier.command", "bundle"]
WRITERS = 2
"""Tasks that write at once, for each trader."""


@dataclass(slots=True)
class Written:
    """The orders of one run: when each was begun, and when it was answered."""

    begun: dict[str, datetime] = field(default_factory=dict)
    answered: dict[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outside:
    """What is kept on other storage than the database: keys and checkpoints."""

    folder: Path

    @property
    def keys(self) -> KeyFolder:
        """The keys that sign the ledger."""
        return KeyFolder(self.folder / "keys")

    @property
    def checkpoints(self) -> Path:
        """The checkpoint directory."""
        return self.folder / "checkpoints"

    @property
    def newest(self) -> Note | None:
        """The newest checkpoint in the directory."""
        file = self.checkpoints / "checkpoint"
        return parse_note(file.read_text()) if file.exists() else None

    def settings(self, **changes: Any) -> dict[str, Any]:
        """The settings of a server that sequences and signs."""
        values = {
            "sequencer": True,
            "ledger_origin": ORIGIN,
            "ledger_keys": self.keys.folder,
            "checkpoint_directory": self.checkpoints,
            "checkpoint_seconds": 0.1,
        }
        return values | changes


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    """Storage that survives the database, with a key of the ledger."""
    made = Outside(tmp_path)
    made.keys.generate(ORIGIN)
    return made


def size_of(note: Note | None) -> int:
    """The size of the tree that a checkpoint signs; 0 for none."""
    return Checkpoint.parse(note.text).size if note else 0


@asynccontextmanager
async def under_load(blotter: Blotter) -> AsyncIterator[Written]:
    """Two traders who submit, and a gateway that fills or cancels what they submit, until the block ends."""
    written = Written()

    async def trade(trader_id: UUID) -> None:
        while True:
            request = order_request()
            written.begun[request.client_order_id] = datetime.now(UTC)
            answer = await blotter.orders.SubmitOrder(request, metadata=as_trader(trader_id), timeout=10)
            written.answered[request.client_order_id] = datetime.now(UTC)
            await blotter.fill(answer.order, 40)
            if len(written.answered) % 3 == 0:
                await blotter.report(answer.order, cancelled={"reason": "done for the day"})

    tasks = [asyncio.create_task(trade(trader)) for trader in (ALICE, BOB) for _ in range(WRITERS)]
    try:
        yield written
    finally:
        for task in tasks:
            task.cancel()
        failures = await asyncio.gather(*tasks, return_exceptions=True)
    # The database was destroyed in the block: a call that it interrupted has failed, and none before.
    assert all(isinstance(failure, asyncio.CancelledError | aio.AioRpcError) for failure in failures), failures


async def archived(database: Database) -> None:
    """Wait until all that has been committed is in the archive."""
    async with await psycopg.AsyncConnection.connect(database.conninfo("postgres"), autocommit=True) as superuser:
        row = await (await superuser.execute("SELECT pg_walfile_name(pg_switch_wal())")).fetchone()
        assert row

        async def done() -> bool:
            last = await (await superuser.execute("SELECT last_archived_wal FROM pg_stat_archiver")).fetchone()
            return bool(last and last[0] and last[0] >= row[0])

        await until(done)


async def orders_of(blotter: Blotter, trader_id: UUID) -> dict[str, order_pb2.Order]:
    """All orders of a trader, by client_order_id."""
    found: dict[str, order_pb2.Order] = {}
    token = ""
    while True:
        request = order_service_pb2.ListOrdersRequest(page_size=500, page_token=token)
        page = await blotter.orders.ListOrders(request, metadata=as_trader(trader_id))
        found |= {order.client_order_id: order for order in page.orders}
        token = page.next_page_token
        if not token:
            return found


async def discrepancies(blotter: Blotter) -> list[inspection_pb2.Discrepancy]:
    """What ReconcileOrders finds, to its last message."""
    stream = blotter.audit.ReconcileOrders(inspection_pb2.ReconcileOrdersRequest(), metadata=COMPLIANCE)
    messages = [message async for message in stream]
    assert messages[-1].progress.traders_done == messages[-1].progress.traders_total == 2
    return [message.discrepancy for message in messages if message.HasField("discrepancy")]


async def ledger_is(blotter: Blotter, status: int) -> None:
    """Wait for the health of the ledger."""
    health: Any = health_pb2_grpc.HealthStub(blotter.channel)

    async def reported() -> bool:
        answer = await health.Check(health_pb2.HealthCheckRequest(service="blotter.ledger"))
        return bool(answer.status == status)

    await until(reported)


async def exported(blotter: Blotter, file: Path) -> Path:
    """The bundle that `blotter audit export` writes."""
    command = ("audit", "export", str(file), "--target", f"127.0.0.1:{blotter.port}")
    done = await asyncio.to_thread(run, *command, cwd=file.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    return file


def verified(bundle: Path, outside: Outside, since: Note) -> tuple[int, str]:
    """The status and the output of `blotter-verify bundle` with the older checkpoint."""
    [signer] = outside.keys.signers()
    older = bundle.with_name("older")
    older.write_text(str(since))
    done = subprocess.run(
        [*VERIFY, bundle, "--key", str(signer.verifier), "--since", older],
        cwd=bundle.parent,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


async def reached(written: Written, count: int) -> bool:
    """Whether that many orders were answered."""
    return len(written.answered) >= count


async def signed_beyond(outside: Outside, size: int) -> Note:
    """Wait for a checkpoint of more entries."""

    async def seen() -> bool:
        return size_of(outside.newest) > size

    await until(seen)
    assert outside.newest
    return outside.newest


async def test_a_database_restored_to_a_time_is_whole_and_its_loss_is_seen_outside(
    backups: Backups, database: Database, outside: Outside, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing that was answered before the time is missing, and nothing that was begun after it is there."""
    async with serving(database, **outside.settings()) as blotter, under_load(blotter) as written:
        await signed_beyond(outside, 20)
        await asyncio.to_thread(backups.of_the_running, "backup", "--type=full")
        before = await signed_beyond(outside, size_of(outside.newest) + 20)
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
