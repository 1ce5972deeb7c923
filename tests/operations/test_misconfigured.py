"""A wrong setting is reported in one sentence that names it, by the real command line."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.embedded import Cluster
from tests.conftest import Database, created
from tests.operations.command_line import free_port, run

SECRET = "hunter2"
AWAY = "postgresql://127.0.0.1:{port}/blotter"
COMMANDS = {"serve": ["serve"], "migrate": ["migrate", "upgrade"], "traders": ["traders", "list"]}
KEYS = {"generate": ["keys", "generate"], "show": ["keys", "show"], "status": ["ledger", "status"]}


def refused(cwd: Path, arguments: list[str], *said: str, **settings: str) -> None:
    """Run a command that must fail with one sentence."""
    done = run(*arguments, cwd=cwd, **settings)
    text = done.stdout + done.stderr
    assert done.returncode not in {0, -15}, text
    assert "Traceback" not in text
    assert len(text.strip().split("\n")) <= 3, text
    assert SECRET not in text
    for part in said:
        assert part in text


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("BLOTTER_TRADER_POOL_SIZE", "many", "BLOTTER_TRADER_POOL_SIZE=many must be a valid integer."),
        ("BLOTTER_AUTH", "oauth", "BLOTTER_AUTH=oauth must be 'metadata', 'jwt' or 'mtls'."),
        ("BLOTTER_TRADER_POOLSIZE", "8", "did you mean BLOTTER_TRADER_POOL_SIZE?"),
        ("BLOTTER_NONSENSE_OF_OURS", "8", "BLOTTER_NONSENSE_OF_OURS is not a setting"),
        ("BLOTTER_DATABASE_URL", f"postgresql://blotter_owner:{SECRET}@h/b", "must not name a user or a password"),
        ("BLOTTER_DATABASE_URL", f"postgresql://h/b?password={SECRET}", "must not set password"),
        ("BLOTTER_DATABASE_URL", "localhost", "BLOTTER_DATABASE_URL: must be a URL"),
        ("BLOTTER_DATABASE_URL", "postgresql://h:no/b", "Check BLOTTER_DATABASE_URL"),
    ],
)
def test_a_wrong_value(tmp_path: Path, setting: str, value: str, said: str) -> None:
    refused(tmp_path, COMMANDS["serve"], said, **{setting: value})


@pytest.mark.parametrize("command", [*COMMANDS.values(), *KEYS.values()], ids=" ".join)
def test_every_command_that_reads_settings_refuses_wrong_ones(tmp_path: Path, command: list[str]) -> None:
    refused(tmp_path, command, "BLOTTER_LISTEN", BLOTTER_LISTEN="nowhere")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_database_that_is_unreachable(tmp_path: Path, command: str) -> None:
    refused(tmp_path, COMMANDS[command], "BLOTTER_DATABASE_URL", BLOTTER_DATABASE_URL=AWAY.format(port=free_port()))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("below", ["", "home"])
def test_a_home_that_cannot_be_created(tmp_path: Path, command: str, below: str) -> None:
    (tmp_path / "file").touch()
    refused(tmp_path, COMMANDS[command], "BLOTTER_HOME", BLOTTER_HOME=str(tmp_path / "file" / below))


@pytest.fixture
def guarded(logins: Cluster) -> Iterator[str]:
    """The URL of an unmigrated database where blotter_trader and blotter_owner may log in, the others by password."""
    with created(logins, "blotter_guarded") as database:
        file = Path(logins.psql("SHOW hba_file").strip())
        before = file.read_text()
        file.write_text(f"local {database.name} blotter_execution,blotter_compliance scram-sha-256\n{before}")
        logins.psql("SELECT pg_reload_conf()")
        try:
            yield url(database)
        finally:
            file.write_text(before)
            logins.psql("SELECT pg_reload_conf()")


def url(database: Database) -> str:
    """The URL of a test's database."""
    sockets = database.cluster.psql("SHOW unix_socket_directories").strip().strip('"')
    return f"postgresql:///{database.name}?host={sockets}&port=5432"


def test_a_wrong_password_names_its_setting(tmp_path: Path, guarded: str) -> None:
    said = "BLOTTER_EXECUTION_PASSWORD"
    refused(tmp_path, ["serve"], said, BLOTTER_DATABASE_URL=guarded, BLOTTER_EXECUTION_PASSWORD=SECRET)


def test_an_unmigrated_database(tmp_path: Path, empty_database: Database) -> None:
    settings = {"BLOTTER_DATABASE_URL": url(empty_database)}
    refused(tmp_path, ["serve"], "is empty", "blotter migrate upgrade", **settings)
    refused(tmp_path, ["traders", "list"], "blotter migrate upgrade", **settings)
    refused(tmp_path, ["migrate", "upgrade", "nonsense"], "nonsense", **settings)


@pytest.fixture
def empty_database(logins: Cluster) -> Iterator[Database]:
    """A database of blotter_owner with nothing in it."""
    with created(logins, "blotter_unmigrated") as database:
        yield database


def test_a_port_in_use(tmp_path: Path, database: Database) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = {"BLOTTER_LISTEN": listen, "BLOTTER_DATABASE_URL": url(database)}
        refused(tmp_path, ["serve"], "it is in use", **settings)


@pytest.mark.parametrize("name", ["BLOTTER_PORT", "BLOTTER_SERVICE_HOST", "BLOTTER_DB_PORT_5432_TCP_ADDR"])
def test_variables_that_kubernetes_sets_are_ignored(tmp_path: Path, name: str) -> None:
    settings = {name: "tcp://10.0.0.1:50051", "BLOTTER_LEDGER_KEYS": str(tmp_path / "keys")}
    done = run("keys", "generate", cwd=tmp_path, **settings)
    assert done.returncode == 0, done.stderr
