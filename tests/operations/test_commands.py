"""What `blotter traders` and `blotter migrate` do, and what `serve` says of a schema that is not its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grpc
import psycopg
import pytest

from blotter.orders.v1 import order_service_pb2_grpc as orders_grpc
from service import migrations
from service.embedded import Cluster
from service.repositories import traders
from tests.conftest import ALICE, Database
from tests.operations.command_line import DEADLINE, Serving, environment, run, serving
from tests.operations.test_misconfigured import refused
from tests.operations.test_postgres_ends import server_pid
from tests.serving import as_trader, order_request

HEAD = migrations.head()
BEFORE = f"{int(HEAD) - 1:03}"


def done(*arguments: str, cwd: Path, **settings: str) -> str:
    """Run a command that must succeed; return what it prints."""
    result = run(*arguments, cwd=cwd, **settings)
    assert result.returncode == 0, result.stderr
    return result.stdout


def code_of_submit(server: Serving, trader_id: str) -> str:
    """Submit an order as the trader; return the status."""
    with server.channel() as channel:
        try:
            orders_grpc.OrderServiceStub(channel).SubmitOrder(
                order_request(), metadata=as_trader(trader_id), timeout=20
            )
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


@pytest.mark.parametrize("embedded", [True, False], ids=["embedded", "own database"])
def test_what_is_done_to_a_trader_counts_for_the_next_call(tmp_path: Path, database: Database, embedded: bool) -> None:
    """On the embedded database: while the service holds it, and afterwards without the service."""
    settings = {} if embedded else {"BLOTTER_DATABASE_URL": database.url}
    with serving(tmp_path, **settings) as server:
        carol = done("traders", "add", "Carol", cwd=tmp_path, **settings).strip()
        assert code_of_submit(server, carol) == "OK"
        done("traders", "disable", carol, cwd=tmp_path, **settings)
        assert code_of_submit(server, carol) == "PERMISSION_DENIED"
        done("traders", "rename", carol, "Caroline Ångström", cwd=tmp_path, **settings)
        done("traders", "enable", carol, cwd=tmp_path, **settings)
        assert code_of_submit(server, carol) == "OK"
    done("traders", "disable", carol, cwd=tmp_path, **settings)
    *others, last = done("traders", "list", cwd=tmp_path, **settings).splitlines()
    assert last.startswith(carol)
    assert last.endswith("  Caroline Ångström  (disabled)")
    assert len(others) == (4 if embedded else 2)
    assert not embedded or server_pid(tmp_path / ".blotter") == 0


@pytest.mark.parametrize(
    "name", ["", " ", "x" * 101, "A ", "A\x1b[1m", "A\nB", "A\u202eB", "A\u2800", "A\u200bB", "A\udcff", "\uff24esk"]
)
def test_a_name_that_would_not_read_as_what_it_is_is_refused(database: Database, name: str) -> None:
    owner = database.conninfo("blotter_owner")
    with pytest.raises(traders.TraderRefused, match="A name has"):
        traders.add(owner, name)
    with pytest.raises(traders.TraderRefused, match="A name has"):
        traders.rename(owner, ALICE, name)


def test_revisions_are_taken_back_and_applied_again(tmp_path: Path, database: Database) -> None:
    settings = {"BLOTTER_DATABASE_URL": database.url}
    for command, said in (
        (["downgrade", "--yes", BEFORE], f"The database is at revision {BEFORE}."),
        (["upgrade"], f"The database is at revision {HEAD}."),
        (["downgrade", "--yes", "base"], "The database is empty."),
        (["upgrade", BEFORE], f"The database is at revision {BEFORE}."),
    ):
        assert done("migrate", *command, cwd=tmp_path, **settings) == f"{said}\n"
    refused(tmp_path, ["serve"], f"is at revision {BEFORE}", "run `blotter migrate upgrade`", **settings)
    refused(tmp_path, ["migrate", "downgrade", "--yes", "nonsense"], "nonsense", **settings)
    assert migrations.current(database.conninfo("blotter_owner")) == BEFORE


def test_a_reader_of_the_sql_that_has_enough_is_no_error(tmp_path: Path) -> None:
    """As with `blotter migrate sql | head`."""
    command = f"'{sys.executable}' -m service migrate sql | head -n 1"
    piped = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tmp_path, env=environment(), capture_output=True, timeout=DEADLINE, check=False
    )
    assert (piped.stdout.count(b"\n"), piped.stderr) == (1, b"")


NEWER = "UPDATE alembic_version SET version_num = '999'"


def test_a_database_of_a_newer_service_is_served_by_none_of_this(tmp_path: Path, database: Database) -> None:
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        superuser.execute(NEWER)
    refused(tmp_path, ["serve"], "revision 999", "run a newer service", BLOTTER_DATABASE_URL=database.url)


def test_an_embedded_database_of_a_newer_service_is_left_as_it_is(tmp_path: Path) -> None:
    done("traders", "list", cwd=tmp_path)
    cluster = Cluster(tmp_path / ".blotter")
    cluster.start()
    cluster.psql(NEWER, dbname="blotter")
    cluster.stop()
    for command in (["serve"], ["migrate", "upgrade"]):
        refused(tmp_path, command, "revision 999", "run a newer service")
    assert not cluster.running
