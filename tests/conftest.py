"""What the tests run on: a real server, one for each pytest worker, and a database for each test."""

import asyncio
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode
from uuid import UUID

import pytest
import uvloop
from hypothesis import settings
from psycopg.conninfo import conninfo_to_dict

from service import migrations
from service.embedded import Cluster
from tests.paths import ROOT

pytest_plugins = ["tests.serving"]

# A busy machine must not fail a test. In CI every run looks at the same examples; what fails can be repeated anywhere.
settings.register_profile("blotter", deadline=None, print_blob=True, derandomize="CI" in os.environ)
settings.load_profile("blotter")

# Nothing that a test writes has to survive a crash; tables that were empty a moment ago need statistics soon.
UNSAFE_BUT_FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum_naptime": "1s",
}


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run asynchronous tests, and the servers in them, in the event loop of the service."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def bin_dir() -> Path | None:
    """The PostgreSQL to test on: the folder PG_BIN, or None for the one that Blotter ships with."""
    named = os.environ.get("PG_BIN")
    return Path(named) if named else None


@pytest.fixture(scope="session")
def cluster(bin_dir: Path | None) -> Iterator[Cluster]:
    """A running server with nothing in it. Where none can run the tests fail; they never skip.

    With TEST_CLUSTER=<folder>, the server that runs there: mutation testing (tests/mutants) starts one for all. With
    TEST_TEMPLATE=<name> as well, the template is that database, which is made where it is missing and left there.
    """
    if shared := os.environ.get("TEST_CLUSTER"):
        server = Cluster(Path(shared), bin_dir=bin_dir)
        server.start()  # adopts it
        left = server.psql("SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'").split()
        for name in set(left) - {os.environ.get("TEST_TEMPLATE")}:
            server.psql(f'DROP DATABASE "{name}" WITH (FORCE)')
        yield server
        return
    with tempfile.TemporaryDirectory(prefix="blotter-tests-") as folder:
        server = Cluster(Path(folder), bin_dir=bin_dir, options=UNSAFE_BUT_FAST)
        server.start()
        try:
            yield server
        finally:
            server.stop()


ALICE = UUID("a11ce000-0000-4000-8000-000000000001")
BOB = UUID("b0b00000-0000-4000-8000-000000000002")
"""The traders registered in every `database`."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database on the test server."""

    name: str
    cluster: Cluster

    def conninfo(self, login: str) -> str:
        """The libpq connection string for a login, such as `blotter_trader`; `postgres` is the superuser."""
        return self.cluster.conninfo(user=login, dbname=self.name)

    @property
    def url(self) -> str:
        """The database as BLOTTER_DATABASE_URL names it: without a login."""
        parts = conninfo_to_dict(self.conninfo("nobody"))
        return f"postgresql:///{parts['dbname']}?{urlencode({'host': parts['host'], 'port': parts['port']})}"


@pytest.fixture(scope="session")
def logins(cluster: Cluster) -> Cluster:
    """The server, with the logins of sql/roles.sql."""
    cluster.psql(ROOT / "sql" / "roles.sql")
    return cluster


@contextmanager
def created(cluster: Cluster, name: str, template: str = "template0") -> Iterator[Database]:
    """A database of blotter_owner while the block runs; remaining connections are then terminated."""
    cluster.psql(f'CREATE DATABASE "{name}" OWNER blotter_owner TEMPLATE "{template}"')
    try:
        yield Database(name, cluster)
    finally:
        cluster.psql(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def template(logins: Cluster) -> Iterator[Database]:
    """The newest schema and two traders. Not to be connected to: what is in use cannot be cloned."""
    kept = os.environ.get("TEST_TEMPLATE")
    if kept and logins.psql(f"SELECT datname FROM pg_database WHERE datname = '{kept}'"):
        yield Database(kept, logins)
        return
    with created(logins, "template_blotter") as database:
        owner = database.conninfo("blotter_owner")
        migrations.upgrade(owner, quiet=True)
        logins.psql(ROOT / "sql" / "harden.sql", dbname=database.name)
        logins.psql(
            f"INSERT INTO traders (id, name) VALUES ('{ALICE}', 'Alice'), ('{BOB}', 'Bob')",
            user="blotter_owner",
            dbname=database.name,
        )
        if kept:
            logins.psql(f'CREATE DATABASE "{kept}" OWNER blotter_owner TEMPLATE "{database.name}"')
        yield database


@contextmanager
def cloned(template: Database, name: str) -> Iterator[Database]:
    """A copy of the template. A database's own privileges are not copied, so they are given and taken away again."""
    with created(template.cluster, name, template.name) as database:
        template.cluster.psql(
            f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC; GRANT CONNECT ON DATABASE "{name}" TO blotter_owner,'
            " blotter_trader, blotter_execution, blotter_compliance, blotter_desk, blotter_sequencer"
        )
        yield database


@pytest.fixture
def database(template: Database) -> Iterator[Database]:
    """A database of the test's own: the newest schema, ALICE and BOB, no orders."""
    with cloned(template, "blotter") as database:
        yield database


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have counted, in whichever process: record_property("counted", (title, numbers by kind))."""
    counted: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                if name == "counted":
                    counted[value[0]].update(value[1])
    for title, numbers in counted.items():
        terminalreporter.section(f"{numbers.total()} {title}")
        for kind, number in sorted(numbers.items()):
            terminalreporter.line(f"{number:6} {kind}")
