"""An interrupted start leaves no process after SIGTERM or Ctrl-C, and after kill -9 the next start succeeds."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from replay.traders import DEMO_TRADERS
from service import migrations
from service.embedded import Cluster
from tests.conftest import Database
from tests.operations.command_line import DEADLINE, free_port, run, started, until

Condition = Callable[[Path], bool]

MOMENTS: dict[str, Condition] = {
    "initdb writes": lambda home: any(home.glob("postgres.new*/global")),
    "the server starts": lambda home: (home / "postgres" / "postmaster.pid").exists(),
    "the database is made": lambda home: len(list((home / "postgres" / "base").glob("*"))) > 3,
    "the revisions are applied": lambda home: (home / "keys").exists(),
}
"""The progress of a first start, by the files in its folder."""


def processes_of(folder: Path) -> list[str]:
    """The command lines of processes that name the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if any(str(folder) in word for word in words):
            found.append(" ".join(words))
    return found


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A temporary folder for one service. Its name is short, because it contains a socket."""
    folder = Path(tempfile.mkdtemp(prefix="b-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def home(tmp_path: Path, temporary: Path) -> Iterator[Path]:
    """The folder of the embedded server, which is stopped at the end if the test has not stopped it."""
    yield tmp_path / ".blotter"
    Cluster(tmp_path / ".blotter").stop()


@pytest.mark.parametrize(
    ("moment", "by"),
    [
        *((moment, signal.SIGTERM) for moment in MOMENTS),
        ("initdb writes", signal.SIGINT),
        ("the database is made", signal.SIGINT),
    ],
)
def test_a_start_that_is_ended_leaves_no_process(
    tmp_path: Path, home: Path, temporary: Path, moment: str, by: signal.Signals
) -> None:
    settings = {"BLOTTER_LISTEN": f"127.0.0.1:{free_port()}", "TMPDIR": str(temporary)}
    with started("serve", cwd=tmp_path, **settings) as server:
        until(lambda: MOMENTS[moment](home), moment)
        server.send_signal(by)
        printed, _ = server.communicate(timeout=DEADLINE)
    assert server.returncode in {0, 1, 128 + by}, printed
    assert "Traceback" not in printed, printed
    assert not processes_of(home)
    assert not list(temporary.glob("blotter-pg-*"))


@pytest.mark.parametrize("moment", list(MOMENTS)[:-1])
def test_after_a_first_start_that_was_killed_the_next_one_succeeds(
    tmp_path: Path, home: Path, temporary: Path, moment: str
) -> None:
    settings = {"TMPDIR": str(temporary)}
    with started("serve", cwd=tmp_path, BLOTTER_LISTEN=f"127.0.0.1:{free_port()}", **settings) as server:
        until(lambda: MOMENTS[moment](home), moment)
        os.kill(server.pid, signal.SIGKILL)
        listed = run("traders", "list", cwd=tmp_path, **settings)
    assert listed.returncode == 0, listed.stderr
    assert sorted(line.split()[-1] for line in listed.stdout.splitlines()) == sorted(DEMO_TRADERS.values())
    until(lambda: not processes_of(home), "a process still runs")
    assert not list(temporary.glob("blotter-pg-*"))


def test_ctrl_c_ends_a_migration_without_a_traceback_and_with_nothing_half_done(
    tmp_path: Path, database: Database
) -> None:
    newest, before = migrations.head(), "015"  # revision 016 waits for the lock
    migrations.downgrade(database.conninfo("blotter_owner"), before, quiet=True)
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with psycopg.connect(database.conninfo("postgres"), autocommit=True) as superuser:
        with superuser.transaction():
            superuser.execute("LOCK TABLE orders IN SHARE MODE")
            with started("migrate", "upgrade", cwd=tmp_path, BLOTTER_DATABASE_URL=database.url) as migrating:
                until(lambda: superuser.execute(waiting).fetchone() != (0,), "the migration does not wait for the lock")
                migrating.send_signal(signal.SIGINT)
                printed, _ = migrating.communicate(timeout=DEADLINE)
        assert migrating.returncode == 1
        assert "Traceback" not in printed
        until(lambda: superuser.execute(waiting).fetchone() == (0,), "the statement still waits")
    assert migrations.current(database.conninfo("blotter_owner")) == before
    done = run("migrate", "upgrade", cwd=tmp_path, BLOTTER_DATABASE_URL=database.url)
    assert f"The database is at revision {newest}." in done.stdout, done.stderr
