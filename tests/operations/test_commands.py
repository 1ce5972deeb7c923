"""`blotter traders` and `blotter migrate`, and the message of `serve` on a schema that it does not serve."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grpc
import psycopg
import pytest

from blotter.orders.v1 import order_service_pb2_grpc as orders_grpc
from service import migrations
from service.cli import provisioning
from service.embedded import Cluster
from service.repositories import privileges, traders
from tests.conftest import ALICE, Database
from tests.operations.command_line import DEADLINE, Serving, environment, run, serving
from tests.operations.test_misconfigured import refused
from tests.operations.test_postgres_ends import server_pid
from tests.serving import as_trader, order_request

HEAD = migrations.head()
BEFORE = f"{int(HEAD) - 1:03}"
TOO_OLD = f"{int(migrations.OLDEST) - 1:03}"


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
def test_a_change_of_a_trader_applies_to_the_next_call(tmp_path: Path, database: Database, embedded: bool) -> None:
    """On the embedded database: while the service runs, and afterwards without it."""
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
def test_a_name_that_is_empty_long_or_not_plainly_visible_is_refused(database: Database, name: str) -> None:
    owner = database.conninfo("blotter_owner")
    with pytest.raises(traders.TraderRefused, match="A name has"):
        traders.add(owner, name)
    with pytest.raises(traders.TraderRefused, match="A name has"):
        traders.rename(owner, ALICE, name)


def test_revisions_are_downgraded_and_applied_again(tmp_path: Path, database: Database) -> None:
    settings = {"BLOTTER_DATABASE_URL": database.url}
    for command, said in (
        (["downgrade", "--yes", BEFORE], f"The database is at revision {BEFORE}."),
        (["upgrade"], f"The database is at revision {HEAD}."),
        (["downgrade", "--yes", "base"], "The database is empty."),
        (["upgrade", TOO_OLD], f"The database is at revision {TOO_OLD}."),
    ):
        assert done("migrate", *command, cwd=tmp_path, **settings) == f"{said}\n"
    refused(tmp_path, ["serve"], f"is at revision {TOO_OLD}", "run `blotter migrate upgrade`", **settings)
    refused(tmp_path, ["migrate", "downgrade", "--yes", "nonsense"], "nonsense", **settings)
    assert migrations.current(database.conninfo("blotter_owner")) == TOO_OLD


def test_an_older_embedded_database_is_upgraded_by_the_service_and_by_migrate_alone(tmp_path: Path) -> None:
    done("traders", "list", cwd=tmp_path)
    assert done("migrate", "downgrade", "--yes", "018", cwd=tmp_path) == "The database is at revision 018.\n"
    refused(tmp_path, ["traders", "list"], "is at revision 018", "run `blotter migrate upgrade`")
    assert done("migrate", "upgrade", "019", cwd=tmp_path) == "The database is at revision 019.\n"
    with serving(tmp_path) as server:
        assert code_of_submit(server, next(iter(map(str, provisioning.DEMO_TRADERS)))) == "OK"
    assert done("migrate", "upgrade", cwd=tmp_path) == f"The database is at revision {HEAD}.\n"


def test_a_reader_of_the_sql_that_closes_the_pipe_is_no_error(tmp_path: Path) -> None:
    """As in `blotter migrate sql | head`."""
    command = f"'{sys.executable}' -m service migrate sql | head -n 1"
    piped = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tmp_path, env=environment(), capture_output=True, timeout=DEADLINE, check=False
    )
    assert (piped.stdout.count(b"\n"), piped.stderr) == (1, b"")


# A revision of a later release: a table that is granted to a login, and a number that this release does not know.
NEWER = """
    UPDATE alembic_version SET version_num = '999';
    CREATE TABLE later (id integer);
    ALTER TABLE later OWNER TO blotter_owner;
    GRANT SELECT ON later TO blotter_trader;
"""
COMPATIBILITY = """
    CREATE OR REPLACE FUNCTION schema_compatibility(
        OUT serves_from text, OUT release text, OUT policies_and_grants text
    ) LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, public, pg_temp AS $$ SELECT '{}', '7.8.9', '{}' $$;
"""
NO_INFORMATION = "UPDATE alembic_version SET version_num = '999'; DROP FUNCTION schema_compatibility"


def make_newer(cluster: Cluster, dbname: str, serves_from: str) -> None:
    """Bring a database to revision 999, whose oldest server knows `serves_from`."""
    cluster.psql(NEWER, dbname=dbname)
    with psycopg.connect(cluster.conninfo(user="postgres", dbname=dbname)) as superuser:
        row = superuser.execute(privileges._POLICIES_AND_GRANTS, privileges._VALUES).fetchone()
    assert row
    cluster.psql(COMPATIBILITY.format(serves_from, row[0]), dbname=dbname)


SERVED = (
    f"serves revision {HEAD} and newer"
    if HEAD == migrations.OLDEST
    else f"serves revisions {migrations.OLDEST} to {HEAD} and newer"
)


def test_a_newer_database_that_names_a_revision_known_here_is_served(tmp_path: Path, database: Database) -> None:
    make_newer(database.cluster, database.name, HEAD)
    settings = {"BLOTTER_DATABASE_URL": database.url}
    said = done("migrate", "upgrade", cwd=tmp_path, **settings)
    assert said == "The database is at revision 999, newer than this release, which serves it.\n"
    with serving(tmp_path, **settings) as server:
        assert code_of_submit(server, str(ALICE)) == "OK"
    assert migrations.current(database.conninfo("blotter_owner")) == "999"


def test_a_newer_database_keeps_its_own_policies_and_grants(tmp_path: Path, database: Database) -> None:
    make_newer(database.cluster, database.name, HEAD)
    database.cluster.psql("DROP POLICY orders_trader_isolation ON orders", dbname=database.name)
    refused(tmp_path, ["serve"], "row policies or grants", BLOTTER_DATABASE_URL=database.url)


@pytest.mark.parametrize("command", [["serve"], ["migrate", "upgrade"]], ids=" ".join)
def test_a_newer_database_that_needs_a_newer_service_is_refused(
    tmp_path: Path, database: Database, command: list[str]
) -> None:
    make_newer(database.cluster, database.name, "998")
    said = ("is at revision 999", SERVED, "run release 7.8.9 or a newer one")
    refused(tmp_path, command, *said, BLOTTER_DATABASE_URL=database.url)


@pytest.mark.parametrize(
    "command",
    [["serve"], ["migrate", "upgrade"], ["migrate", "upgrade", HEAD], ["migrate", "downgrade", "--yes", BEFORE]],
    ids=" ".join,
)
def test_an_unknown_revision_without_a_statement_of_compatibility_is_refused(
    tmp_path: Path, database: Database, command: list[str]
) -> None:
    database.cluster.psql(NO_INFORMATION, dbname=database.name)
    said = ("is at revision 999", SERVED, "of the release" if len(command) > 2 else "run the release")
    refused(tmp_path, command, *said, BLOTTER_DATABASE_URL=database.url)
    assert migrations.current(database.conninfo("blotter_owner")) == "999"


def test_an_embedded_database_of_a_newer_service_is_left_as_it_is(tmp_path: Path) -> None:
    done("traders", "list", cwd=tmp_path)
    cluster = Cluster(tmp_path / ".blotter")
    cluster.start()
    make_newer(cluster, "blotter", HEAD)
    cluster.stop()
    with serving(tmp_path) as server:
        assert code_of_submit(server, next(iter(map(str, provisioning.DEMO_TRADERS)))) == "OK"
    cluster.start()
    cluster.psql(NO_INFORMATION, dbname="blotter")
    cluster.stop()
    for command in (["serve"], ["migrate", "upgrade"]):
        refused(tmp_path, command, "revision 999", "run the release")
    assert not cluster.running
