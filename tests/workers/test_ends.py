"""The end of a parent with its workers, and a start that fails."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import grpc

from tests.conftest import Database
from tests.operations.command_line import run
from tests.operations.command_line import until as until_true
from tests.workers.service import Load, command_line, served


async def test_a_drain_under_load_answers_each_call_or_is_unavailable_and_writes_nothing_twice(
    tmp_path: Path, database: Database
) -> None:
    with served(tmp_path, database) as service:
        async with service.channels(12) as channels:
            load = Load(channels, "drained")
            await load.until_answered(50)
            service.process.send_signal(signal.SIGTERM)
            status = await asyncio.to_thread(service.ended)
            await load.end()
        load.check(database)
    assert status == 0, service.text
    assert load.codes == {grpc.StatusCode.UNAVAILABLE}
    assert "Traceback" not in service.text
    assert "started again" not in service.text


async def test_when_the_parent_is_killed_its_children_end(tmp_path: Path, database: Database) -> None:
    with served(tmp_path, database) as service:
        children = service.pids()
        assert set(children) == {"1", "2", "sequencer"}
        os.kill(service.process.pid, signal.SIGKILL)
        await asyncio.to_thread(service.ended)  # also of the output, which the children hold
        until_true(lambda: not any(map(command_line, children.values())), "a child lives")
    assert service.text.count("The parent process has ended; this one stops") == 3


def test_a_worker_that_cannot_start_ends_the_start_with_its_reason(tmp_path: Path, database: Database) -> None:
    for name in ("cert", "key"):
        (tmp_path / name).write_text("nonsense")
    tls = {"BLOTTER_TLS_CERT": str(tmp_path / "cert"), "BLOTTER_TLS_KEY": str(tmp_path / "key")}
    done = run(
        "serve",
        "--workers=2",
        cwd=tmp_path,
        BLOTTER_LISTEN="127.0.0.1:0",
        BLOTTER_DATABASE_URL=database.url,
        BLOTTER_SEQUENCER="false",
        BLOTTER_LOG_LEVEL="ERROR",
        **tls,
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert str(tmp_path / "cert") in line


def test_workers_need_a_port(tmp_path: Path) -> None:
    done = run("serve", "--workers=2", cwd=tmp_path, BLOTTER_LISTEN="unix:socket")
    assert done.returncode == 1
    assert done.stderr == "Error: BLOTTER_WORKERS=2 must be 1 on a Unix socket, which processes cannot share.\n"
