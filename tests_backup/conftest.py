"""A PostgreSQL with the Debian binaries, whose log of writes goes to a repository of pgBackRest."""

from __future__ import annotations

import configparser
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from service import migrations
from service.embedded import Cluster
from service.embedded.account import Account, account_for
from tests.conftest import ALICE, BOB, Database
from tests.operations.command_line import until
from tests.paths import ROOT
from tests_backup.trail import ORIGIN, Outside

BIN = Path(os.environ.get("PG_BIN", "/usr/lib/postgresql/15/bin"))
"""The PostgreSQL to back up: a release that the installed pgBackRest supports."""

STANZA = "blotter"


@dataclass(frozen=True, slots=True)
class Backups:
    """A cluster and the repository of its backups."""

    cluster: Cluster
    data: Path
    config: Path
    account: Account
    program: str

    def run(self, command: str, *options: str) -> str:
        """Run a command of pgBackRest as the account of PostgreSQL, and return its output."""
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [*self.account.prefix, self.program, f"--config={self.config}", f"--stanza={STANZA}", *options, command],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd="/",
            **self.account.popen,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def of_the_running(self, command: str, *options: str) -> str:
        """Run a command that connects to the running PostgreSQL."""
        host = conninfo_to_dict(self.cluster.conninfo(user="postgres", dbname="postgres"))["host"]
        return self.run(command, f"--pg1-socket-path={host}", *options)

    def destroy(self) -> None:
        """Kill PostgreSQL with all that it has in memory, and remove its data folder."""
        kill(self.data)
        gone = self.data.with_name("destroyed")
        self.data.rename(gone)  # the server's children may still write for a moment
        shutil.rmtree(gone, ignore_errors=True)
        assert self.cluster.is_new

    def restore(self, target: datetime | None = None) -> None:
        """Restore the data folder as of the time, or to the end of the archive; start PostgreSQL."""
        self.data.mkdir(mode=0o700)
        self.account.take(self.data)
        when = ["--type=time", f"--target={target.isoformat(sep=' ')}"] if target else ["--type=default"]
        self.run("restore", *when, *(["--target-action=promote"] if target else []))
        self.cluster.start()
        until(lambda: self.cluster.psql("SELECT pg_is_in_recovery()").strip() == "f", "the server is still read-only")


def kill(data: Path) -> None:
    """Kill the PostgreSQL of a data folder."""
    os.kill(int((data / "postmaster.pid").read_text().split("\n")[0]), signal.SIGKILL)


@pytest.fixture
def backups() -> Iterator[Backups]:
    """A running PostgreSQL that archives its WAL, with an empty repository."""
    program = shutil.which("pgbackrest")
    assert program, "make test-backup requires pgBackRest: apt-get install pgbackrest"
    assert (BIN / "postgres").exists(), f"make test-backup requires PostgreSQL in {BIN}, or PG_BIN"
    with tempfile.TemporaryDirectory(prefix="blotter-tests-") as name:
        folder = Path(name)
        home = folder / "home"
        home.mkdir()
        account = account_for(home, home / "postgres", BIN / "postgres")
        if account.group is not None:
            folder.chmod(0o755)
        config = _configured(folder, home / "postgres", account)
        options = {
            "fsync": "off",  # the machine survives, and what is restored comes from the repository
            "archive_mode": "on",
            "archive_command": f"{program} --config={config} --stanza={STANZA} archive-push %p",
        }
        cluster = Cluster(home, bin_dir=BIN, options=options)
        cluster.start()
        try:
            yield Backups(cluster, home / "postgres", config, account, program)
        finally:
            cluster.stop()


def _configured(folder: Path, data: Path, account: Account) -> Path:
    """Write deploy/pgbackrest/pgbackrest.conf with paths below the folder and a new password."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "deploy" / "pgbackrest" / "pgbackrest.conf")
    for option in ("repo1-path", "log-path", "lock-path", "spool-path"):
        path = folder / option
        path.mkdir()
        account.take(path)
        config["global"][option] = str(path)
    config["global"]["repo1-cipher-pass"] = secrets.token_urlsafe(48)
    config[STANZA]["pg1-path"] = str(data)
    file = folder / "pgbackrest.conf"
    with file.open("w") as writing:
        config.write(writing, space_around_delimiters=False)
    file.chmod(0o600)
    account.take(file)
    return file


def traded_in(cluster: Cluster) -> Database:
    """Make the database of a new cluster: the newest schema, ALICE and BOB, no orders."""
    cluster.psql(ROOT / "sql" / "roles.sql")
    cluster.psql("CREATE DATABASE blotter OWNER blotter_owner")
    database = Database("blotter", cluster)
    migrations.upgrade(database.conninfo("blotter_owner"), quiet=True)
    cluster.psql(ROOT / "sql" / "harden.sql", dbname=database.name)
    traders = f"INSERT INTO traders (id, name) VALUES ('{ALICE}', 'Alice'), ('{BOB}', 'Bob')"
    cluster.psql(traders, user="blotter_owner", dbname=database.name)
    return database


@pytest.fixture
def database(backups: Backups) -> Database:
    """The database; the stanza of its cluster exists."""
    database = traded_in(backups.cluster)
    backups.of_the_running("stanza-create")
    return database


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    """Storage that survives the database, with a key of the ledger."""
    made = Outside(tmp_path)
    made.keys.generate(ORIGIN)
    return made
