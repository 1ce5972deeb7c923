"""A failure of the ledger has a health name of its own, is logged repeatedly, and affects nothing else."""

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service import calls
from service.calls import Calls
from service.domain.errors import DatabaseUnavailable
from service.repositories.standing import Standing
from service.sequencing import KeyFolder, publishing
from service.sequencing.condition import Condition
from service.sequencing.watch import COPIED, behind
from tests.conftest import ALICE, Database
from tests.ledger.test_appending import entries, submit, trading
from tests.ledger.test_checkpoints import ORIGIN, QUICK, published, until
from tests.serving import Blotter, serving

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    """A folder with one key."""
    folder = KeyFolder(tmp_path / "keys")
    folder.generate(ORIGIN)
    return folder


async def healthy(blotter: Blotter, name: str = "blotter.ledger") -> int:
    """The health of a name."""
    stub: Any = health_pb2_grpc.HealthStub(blotter.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
    return int(answer.status)


async def becomes(blotter: Blotter, status: int) -> None:
    """Wait until the ledger has that health."""
    async with asyncio.timeout(20):
        while await healthy(blotter) != status:  # noqa: ASYNC110  # the health may be another process's
            await asyncio.sleep(0.01)


def logged(caplog: pytest.LogCaptureFixture, words: str) -> int:
    """The number of log lines with these words."""
    return sum(words in record.getMessage() for record in caplog.records)


def test_a_sentence_is_repeated_with_growing_pauses_and_one_line_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    now, reports = [0.0], list[bool]()
    condition = Condition(reports.append, lambda: now[0])
    lines: list[float] = []
    with caplog.at_level(logging.INFO, "blotter"):
        for step in range(2 * 1200):
            now[0], before = step / 2, len(caplog.records)
            condition.report_failure("signing", "one" if step % 2 else "another")  # alternating, twice a second
            if len(caplog.records) > before:
                lines.append(now[0])
        assert [line for line in lines if line % 1 == 0] == [0, 1, 3, 7, 15, 31, 63, 127, 255, 495, 735, 975]
        caplog.clear()
        condition.report_success("appending")
        condition.report_success("signing")
        condition.report_success("signing")
    assert [record.getMessage() for record in caplog.records] == ["The ledger is signed again"]
    assert reports == [False, True]


def test_one_task_that_recovers_does_not_make_the_ledger_healthy() -> None:
    reports: list[bool] = []
    condition = Condition(reports.append)
    condition.reset()
    condition.report_failure("signing", "no key")
    condition.report_success("appending")
    assert reports == [False]
    condition.report_success("signing")
    assert reports == [False, True]


async def test_the_sequencer_that_cannot_log_in_fails_the_start(database: Database) -> None:
    with psycopg.connect(database.conninfo("postgres"), autocommit=True) as superuser:
        superuser.execute("ALTER ROLE blotter_sequencer NOLOGIN")
        try:
            with pytest.raises(DatabaseUnavailable, match="BLOTTER_SEQUENCER_PASSWORD") as refused:
                async with serving(database, sequencer=True):
                    pass
            assert "\n" not in str(refused.value)
            async with serving(database, sequencer=False) as blotter:
                assert await healthy(blotter, "") == SERVING
        finally:
            superuser.execute("ALTER ROLE blotter_sequencer LOGIN")


async def test_a_ledger_without_keys_is_not_healthy_and_the_service_is(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(database, **QUICK) as blotter:
        await until(lambda: logged(caplog, "BLOTTER_LEDGER_KEYS is not set"))
        assert await healthy(blotter) == NOT_SERVING
        assert await healthy(blotter, "") == SERVING
        await blotter.submit()
        await until(lambda: numbered(database) == 1)


async def test_a_copy_is_logged_with_pauses_until_the_rebaseline(
    database: Database, keys: KeyFolder, caplog: pytest.LogCaptureFixture
) -> None:
    settings = QUICK | {"ledger_keys": keys.folder}
    async with serving(database, **settings) as blotter:
        await blotter.submit()
        await becomes(blotter, SERVING)
    with psycopg.connect(database.conninfo("postgres"), autocommit=True) as superuser:
        superuser.execute("UPDATE ledger_head SET incarnation = 'elsewhere'")
        caplog.clear()
        with caplog.at_level(logging.INFO, "blotter"):
            async with serving(database, **settings) as blotter:
                await until(lambda: logged(caplog, COPIED) == 2)
                assert await healthy(blotter) == NOT_SERVING
                assert logged(caplog, "This process is the sequencer") == 0
                superuser.execute("SELECT rebaseline_ledger()")
                await becomes(blotter, SERVING)
                await until(lambda: logged(caplog, "The ledger is growing again") == 1)
                assert logged(caplog, "This process is the sequencer") == 1


async def test_a_process_that_waits_for_the_lock_reports_the_ledger_as_the_database_has_it(
    database: Database, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.sequencing.watch.LAG_SECONDS", 0.3)
    monkeypatch.setattr("service.sequencing.watch.LOOK_SECONDS", 0.05)
    with psycopg.connect(database.conninfo("blotter_sequencer"), autocommit=True) as idle:
        idle.execute("SELECT pg_advisory_lock(%s)", [0x626C6F74746572])  # a session that holds the lock, and is idle
        idle.execute("INSERT INTO ledger_head (id) VALUES (true)")
        idle.execute("SELECT * FROM append_to_ledger(0, 100)")
        async with serving(database, **QUICK | {"ledger_keys": keys.folder}) as blotter:
            await becomes(blotter, SERVING)
            await blotter.submit()
            await becomes(blotter, NOT_SERVING)
            idle.execute("SELECT * FROM append_to_ledger(0, 100)")
            await asyncio.sleep(0)
            assert numbered(database) == 1
            await becomes(blotter, NOT_SERVING)  # it has its position, and no checkpoint
            idle.execute("SELECT pg_advisory_unlock_all()")
            await becomes(blotter, SERVING)


def numbered(database: Database) -> int:
    """The number of events that have a position."""
    return sum(trader_id is not None for _, trader_id, _ in entries(database))


def standing(**changes: object) -> Standing:
    """A ledger of ten entries that are all signed, with changes."""
    now = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
    values = {
        "size": 10, "copied": False, "now": now, "waiting_since": None, "signed_size": 10, "signed_at": now,
        "signed_note": "", "unsigned_leaf": None,
    }  # fmt: skip
    return Standing(**(values | changes))  # type: ignore[arg-type]  # the changes are of the fields' types


def test_the_status_reports_missing_positions_and_signatures() -> None:
    now = standing().now
    assert behind(standing(), 1) is None
    assert behind(standing(copied=True), 1) == COPIED
    assert behind(standing(waiting_since=now - timedelta(seconds=9)), 1) is None
    assert "no position since 2026-01-05T11:59:49Z" in str(
        behind(standing(waiting_since=now - timedelta(seconds=11)), 1)
    )
    for name in ("created_at", "time"):
        late = f'{{"{name}":"2026-01-05T11:59:40.000000Z"}}'.encode()
        assert "newest has 10 entries" in str(behind(standing(unsigned_leaf=late), 1))
        assert behind(standing(unsigned_leaf=late), 10) is None
        assert behind(standing(unsigned_leaf=late), None) is None
    for altered in (b"false", b"", b"{}", b'{"time":7}', b'{"time":"2026-01-05T11:59:40"}'):
        assert behind(standing(unsigned_leaf=altered), 1) is None


@pytest.fixture
async def fifo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """A file whose reading hangs, as on a mount without its server; the reads are released at the end."""
    monkeypatch.setattr(calls, "PATIENCE_SECONDS", 0.1)
    path = tmp_path / "fifo"
    os.mkfifo(path)
    yield path
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    os.write(descriptor, b"x")
    os.close(descriptor)


def hanging() -> list[threading.Thread]:
    """The threads that wait for a file system."""
    return [thread for thread in threading.enumerate() if thread.daemon and "fold" in thread.name.lower()]


async def test_a_hung_key_folder_stops_neither_appending_nor_the_stop(
    database: Database,
    keys: KeyFolder,
    fifo: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    read = KeyFolder.signers
    async with serving(database, **QUICK | {"ledger_keys": keys.folder}) as blotter:
        await blotter.submit()
        await becomes(blotter, SERVING)
        monkeypatch.setattr(KeyFolder, "signers", lambda folder: [fifo.read_bytes()] and read(folder))
        await until(lambda: logged(caplog, "does not answer"))
        for number in range(3):
            await blotter.submit()
            await until(lambda: numbered(database) == number + 2)  # noqa: B023
        assert await healthy(blotter) == NOT_SERVING
        assert len(hanging()) == 1  # not one more for each second


async def test_a_hung_checkpoint_directory_stops_neither_appending_nor_the_stop(
    database: Database,
    keys: KeyFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    monkeypatch.setattr(calls, "PATIENCE_SECONDS", 0.1)
    os.mkfifo(outside / "checkpoint")
    async with serving(database, **QUICK | {"ledger_keys": keys.folder, "checkpoint_directory": outside}) as blotter:
        await until(lambda: logged(caplog, "does not answer"))
        for number in range(3):
            await blotter.submit()
            await until(lambda: numbered(database) == number + 1)  # noqa: B023
        assert await healthy(blotter) == NOT_SERVING


def test_a_process_ends_though_a_call_hangs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    program = (
        "import asyncio, pathlib\n"
        "from service import calls\n"
        "calls.PATIENCE_SECONDS = 0.1\n"
        f"fifo = pathlib.Path({str(tmp_path / 'fifo')!r})\n"
        "try:\n"
        "    asyncio.run(calls.Calls('It').run(fifo.read_bytes))\n"
        "except TimeoutError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("It does not answer: check the file system that it is on.\n", "")


async def test_a_call_raises_what_the_function_raises() -> None:
    def fail() -> None:
        raise TimeoutError("its own")

    one = Calls("It")
    with pytest.raises(TimeoutError, match="its own"):
        await one.run(fail)
    for number in range(300):  # successive calls: the previous thread may still be ending
        assert await one.run(lambda: number) == number  # noqa: B023


async def test_a_signing_failure_of_any_kind_does_not_stop_appending(
    database: Database, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("unforeseen")

    async with serving(database, **QUICK | {"ledger_keys": keys.folder}) as blotter:
        await blotter.submit()
        await becomes(blotter, SERVING)
        with monkeypatch.context() as patched:
            patched.setattr("service.sequencing.checkpoints.sign", fail)
            for number in range(3):
                await blotter.submit()
                await until(lambda: numbered(database) == number + 2)  # noqa: B023
            await becomes(blotter, NOT_SERVING)
            assert "No checkpoint is signed. RuntimeError" in caplog.text
            assert "The sequencer failed" not in caplog.text
        await becomes(blotter, SERVING)


async def test_a_checkpoint_that_a_sink_did_not_take_is_offered_again(
    database: Database, keys: KeyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if no newer one follows."""
    monkeypatch.setattr(publishing, "RETRY_SECONDS", 0.05)
    outside = tmp_path / "outside"
    outside.write_text("a file where the folder belongs")
    with trading(database) as trader:
        submit(trader, ALICE, "1")
        trader.commit()
    settings = QUICK | {"ledger_keys": keys.folder, "checkpoint_directory": outside / "folder"}
    async with serving(database, **settings) as blotter:
        await until(lambda: signed(database) == 2)
        outside.unlink()
        await until(published(outside / "folder", 2))
        assert await healthy(blotter) == SERVING


def signed(database: Database) -> int:
    """The size of the newest checkpoint."""
    with psycopg.connect(database.conninfo("blotter_compliance")) as compliance:
        [(size,)] = compliance.execute("SELECT coalesce(max(size), 0) FROM ledger_checkpoints").fetchall()
    return int(size)


async def test_a_process_that_could_not_sign_after_a_failover_says_so_before_one(
    database: Database, keys: KeyFolder, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    others = KeyFolder(tmp_path / "others")
    others.generate("example.com/other")
    outside = tmp_path / "outside"
    async with serving(database, **QUICK, ledger_keys=keys.folder, checkpoint_directory=outside) as blotter:
        await blotter.submit()
        await until(published(outside, 2, *(signer.verifier for signer in keys.signers())))
        async with serving(database, **QUICK, ledger_keys=keys.folder) as second:
            await becomes(second, SERVING)
        misnamed = QUICK | {"ledger_origin": "example.com/other", "ledger_keys": others.folder}
        async with serving(database, **misnamed) as third:
            await until(lambda: logged(caplog, "would refuse to sign. The newest checkpoint is of"))
            assert await healthy(third) == NOT_SERVING
            assert await healthy(third, "") == SERVING
            assert await healthy(blotter) == SERVING
