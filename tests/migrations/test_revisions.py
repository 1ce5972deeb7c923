"""Revisions go up and down, all at once and one by one, online and as SQL text, and leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from alembic.script import ScriptDirectory

from service import migrations
from service.repositories import privileges
from tests.conftest import ALICE, BOB, Database
from tests.isolation.desk import cancel, connected, enter, fill, one, run
from tests.migrations import previous
from tests.operations.command_line import DEADLINE, started, until
from tests.paths import ROOT
from tests.schema_snapshot import dump

REVISIONS = [
    script.revision
    for script in reversed(list(ScriptDirectory.from_config(migrations.configuration(quiet=True)).walk_revisions()))
]
PREVIOUS = dict(zip(REVISIONS, ["base", *REVISIONS[:-1]], strict=True))


def to(database: Database, revision: str) -> str:
    """Bring the database up to a revision; return its schema."""
    migrations.upgrade(database.conninfo("blotter_owner"), revision, quiet=True)
    return dump(database)


def back_to(database: Database, revision: str) -> str:
    """Take the database back to a revision; return its schema."""
    migrations.downgrade(database.conninfo("blotter_owner"), revision, quiet=True)
    return dump(database)


def unordered(schema: str) -> list[str]:
    """The schema without the order of a table's columns, of which ALTER TABLE can only add the last."""
    return sorted(line.rstrip(",") for line in schema.split("\n"))


def cli(*arguments: str) -> str:
    """The output of `blotter ...` in a process without settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BLOTTER_", "PG"))}
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        check=True,
        capture_output=True,
        encoding="utf-8",
        env=environment,
        cwd=ROOT,
    ).stdout


def test_up_down_and_up_again_gives_the_same_schema(empty: Database) -> None:
    first = to(empty, "head")
    assert migrations.current(empty.conninfo("blotter_owner")) == REVISIONS[-1] == migrations.head()
    bare = back_to(empty, "base")
    assert "CREATE TABLE public.alembic_version" in bare
    assert bare.count("CREATE ") == 1
    assert to(empty, "head") == first


@pytest.mark.parametrize("revision", REVISIONS)
def test_each_revision_s_downgrade_undoes_its_upgrade(empty: Database, revision: str) -> None:
    before = to(empty, PREVIOUS[revision]) if PREVIOUS[revision] != "base" else None
    after = to(empty, revision)
    undone = back_to(empty, PREVIOUS[revision])
    if before is not None:
        assert unordered(undone) == unordered(before)
        assert undone == before or revision < "019"  # whose columns come last
    assert unordered(to(empty, revision)) == unordered(after)


def test_going_up_one_by_one_gives_the_schema_of_going_up_at_once(empty: Database, database: Database) -> None:
    for revision in REVISIONS:
        to(empty, revision)
    assert dump(empty) == dump(database)


def test_a_database_in_use_goes_down_to_nothing_and_up_again(database: Database) -> None:
    fill(database, ALICE, enter(database, ALICE), 10, "execution-1")
    cancelled = enter(database, ALICE, "second")
    with connected(database, "blotter_trader", ALICE) as trader:
        assert cancel(trader, cancelled) == "APPLIED"
    enter(database, BOB)
    schema = dump(database)
    back_to(database, "base")
    assert to(database, "head") == schema


def test_orders_keep_through_the_rollback_of_the_newest_revisions(database: Database) -> None:
    """Back to revision 007, as sql/policies/order_execution_rls.sql describes, and up again."""
    fill(database, ALICE, enter(database, ALICE), 10, "execution-1")
    back_to(database, "007")
    to(database, "head")
    with connected(database, "blotter_trader", ALICE) as trader:
        assert run(trader, "SELECT FROM orders") == 1
        assert run(trader, "SELECT FROM execution_logs") == 2


def test_revision_016_keeps_what_it_would_refuse_today(empty: Database) -> None:
    """Traders with one name get different names; an actor that is not ASCII stays in the trail as it was recorded."""
    to(empty, "015")
    names = {ALICE: "Desk", BOB: "desk"}
    with psycopg.connect(empty.conninfo("blotter_owner")) as owner:
        for trader_id, name in names.items():
            owner.execute("INSERT INTO traders (id, name) VALUES (%s, %s)", [trader_id, name])
    with connected(empty, "blotter_trader", ALICE) as trader:
        previous.submit(trader, ALICE, "first", actor="Zoë")
    to(empty, "016")
    query = "SELECT name FROM traders ORDER BY created_at, name"
    with psycopg.connect(empty.conninfo("postgres")) as superuser:
        kept = {name for (name,) in superuser.execute(query)}
        assert superuser.execute("SELECT actor FROM execution_logs").fetchall() == [("Zoë",)]
    assert len({name.lower() for name in kept}) == 2
    assert len(kept & set(names.values())) == 1
    with connected(empty, "blotter_trader", ALICE) as trader:
        assert previous.cancel(trader, ALICE, one(trader, "SELECT id FROM orders")) == "APPLIED"
    back_to(empty, "015")
    with psycopg.connect(empty.conninfo("postgres")) as superuser:
        assert {name for (name,) in superuser.execute(query)} == kept
        assert superuser.execute("SELECT count(*) FROM execution_logs").fetchone() == (2,)


def test_revision_016_is_not_refused_whatever_the_names_are(empty: Database) -> None:
    to(empty, "015")
    second = UUID("bbbbbbbb-0000-4000-8000-000000000002")
    names = {ALICE: "Desk", second: "desk", BOB: "Desk (BBBBBBBB)", UUID(int=3): "x" * 100, UUID(int=4): "X" * 100}
    with psycopg.connect(empty.conninfo("blotter_owner")) as owner:
        for number, (trader_id, name) in enumerate(names.items()):
            owner.execute(
                "INSERT INTO traders (id, name, created_at) VALUES (%s, %s, now() + %s * interval '1 second')",
                [trader_id, name, number],
            )
    to(empty, "016")
    with psycopg.connect(empty.conninfo("blotter_owner")) as owner:
        kept: dict[UUID, str] = dict(owner.execute("SELECT id, name FROM traders").fetchall())
    assert kept[second] == f"desk ({second})"
    assert (kept[ALICE], kept[BOB]) == ("Desk", "Desk (BBBBBBBB)")
    assert len({name.lower() for name in kept.values()}) == 5


def test_rows_of_the_bare_seed_schema_stop_the_upgrade_and_stay_as_they_are(empty: Database) -> None:
    to(empty, "001")
    with psycopg.connect(empty.conninfo("postgres")) as superuser:
        superuser.execute("INSERT INTO traders (id, name) VALUES (%s, 'Alice')", [ALICE])
        order_id = uuid4()
        superuser.execute(
            "INSERT INTO orders (id, trader_id, symbol, side, quantity, order_type) VALUES (%s, %s, 'AAPL', 'BUY', 5,"
            " 'MARKET')",
            [order_id, ALICE],
        )
    with pytest.raises(migrations.MigrationRefused, match=r'column "client_order_id" .* contains null values'):
        to(empty, "head")
    assert migrations.current(empty.conninfo("blotter_owner")) == "003"
    with psycopg.connect(empty.conninfo("postgres")) as superuser:
        assert superuser.execute("SELECT id FROM orders").fetchall() == [(order_id,)]


def test_a_revision_that_fails_halfway_leaves_nothing_of_itself(empty: Database) -> None:
    before = to(empty, "004")
    with psycopg.connect(empty.conninfo("postgres")) as superuser:
        superuser.execute("CREATE TABLE trader_sequences (id integer)")
    with pytest.raises(migrations.MigrationRefused, match='relation "trader_sequences" already exists'):
        to(empty, "head")
    with psycopg.connect(empty.conninfo("postgres")) as superuser:
        superuser.execute("DROP TABLE trader_sequences")
    assert dump(empty) == before


@pytest.mark.parametrize("login", ["postgres", "blotter_trader"])
def test_another_role_than_the_owner_runs_no_revision(empty: Database, login: str) -> None:
    with pytest.raises(SystemExit, match=f"Revisions are run as blotter_owner, not as {login}"):
        migrations.upgrade(empty.conninfo(login), quiet=True)
    with psycopg.connect(empty.conninfo("postgres")) as superuser:
        assert not superuser.execute("SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace").fetchall()


def test_the_sql_of_an_upgrade_builds_the_same_schema_with_psql(empty: Database, database: Database) -> None:
    script = cli("migrate", "sql")
    assert script.count("BEGIN;") == script.count("COMMIT;") == len(REVISIONS)
    empty.cluster.psql(script, user="blotter_owner", dbname=empty.name)
    assert dump(empty) == dump(database)
    assert migrations.current(empty.conninfo("blotter_owner")) == migrations.head()


def test_the_sql_of_a_part_and_of_a_downgrade_loads_too(empty: Database) -> None:
    before = to(empty, "007")
    owner = {"user": "blotter_owner", "dbname": empty.name}
    empty.cluster.psql(cli("migrate", "sql", "007:head"), **owner)
    assert migrations.current(empty.conninfo("blotter_owner")) == migrations.head()
    empty.cluster.psql(cli("migrate", "sql", "--down", "head:007"), **owner)
    assert unordered(dump(empty)) == unordered(before)
    empty.cluster.psql(cli("migrate", "sql", "--down", "007:base"), **owner)
    assert migrations.current(empty.conninfo("blotter_owner")) is None


def test_plain_alembic_takes_the_database_from_its_one_variable(empty: Database) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(empty.conninfo("blotter_owner"))
    url = f"postgresql+psycopg://blotter_owner@/{empty.name}?host={parts['host']}&port={parts['port']}"
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        check=False,
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"BLOTTER_OWNER_URL": url},
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert migrations.current(empty.conninfo("blotter_owner")) == migrations.head()


def test_plain_alembic_without_the_variable_asks_for_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "current"],
        check=False,
        capture_output=True,
        encoding="utf-8",
        env={name: value for name, value in os.environ.items() if name != "BLOTTER_OWNER_URL"},
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Say which database: BLOTTER_OWNER_URL=")


def test_of_two_upgrades_at_once_the_second_waits_and_finds_nothing_to_do(empty: Database, tmp_path: Path) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
    with psycopg.connect(empty.conninfo("postgres")) as superuser:
        superuser.execute("CREATE TABLE traders ()")  # the first revision waits for the end of this transaction
        with ExitStack() as stack:
            settings = {"BLOTTER_DATABASE_URL": empty.url}
            both = [stack.enter_context(started("migrate", "upgrade", cwd=tmp_path, **settings)) for _ in range(2)]
            with psycopg.connect(empty.conninfo("postgres"), autocommit=True) as watching:

                def both_wait() -> bool:
                    ended = [process.communicate()[0] for process in both if process.poll() is not None]
                    assert not ended, ended
                    return watching.execute(waiting, [empty.name]).fetchone() == (2,)

                until(both_wait, "both commands wait")
            superuser.rollback()
            outputs = [process.communicate(timeout=DEADLINE)[0] for process in both]
    for process, output in zip(both, outputs, strict=True):
        assert (process.returncode, output.splitlines()[-1]) == (
            0,
            f"The database is at revision {migrations.head()}.",
        ), output
    assert sorted(output.count("Running upgrade") for output in outputs) == [0, len(REVISIONS)]


def test_an_upgrade_that_waits_too_long_for_another_one_is_refused(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    to(empty, "000")
    monkeypatch.setattr(migrations, "LOCK_SECONDS", 1)
    with psycopg.connect(empty.conninfo("blotter_owner")) as other:
        other.execute("LOCK TABLE alembic_version IN SHARE UPDATE EXCLUSIVE MODE")
        with pytest.raises(migrations.MigrationRefused, match=r"run this one again when that one has ended\.$"):
            to(empty, "001")
    to(empty, "001")


def test_the_oldest_server_of_a_revision_moves_with_contract_steps_only(empty: Database) -> None:
    owner, before = empty.conninfo("blotter_owner"), "016"
    for revision in REVISIONS[REVISIONS.index("017") :]:
        migrations.upgrade(owner, revision, quiet=True)
        stated = migrations.compatibility(owner)
        assert stated
        [file] = (ROOT / "alembic" / "versions").glob(f"{revision}_*.py")
        if 'step = "contract"' in file.read_text("utf-8"):
            assert before < stated.serves_from <= revision
        else:
            assert stated.serves_from == before
        before = stated.serves_from


def test_the_code_serves_its_newest_revision_and_no_older_one_than_it_says(empty: Database) -> None:
    owner = empty.conninfo("blotter_owner")
    migrations.upgrade(owner, PREVIOUS[migrations.OLDEST], quiet=True)
    with pytest.raises(migrations.WrongRevision, match="run `blotter migrate upgrade`"):
        migrations.check_served(owner)
    for revision in REVISIONS[REVISIONS.index(migrations.OLDEST) :]:
        migrations.upgrade(owner, revision, quiet=True)
        migrations.check_served(owner)
        privileges.check_privileges(owner)


def test_models_and_database_do_not_drift(database: Database) -> None:
    migrations.check(database.conninfo("blotter_owner"))


def test_functions_of_an_extension_in_schema_public_are_left_alone(empty: Database) -> None:
    to(empty, "015")
    empty.cluster.psql(
        "CREATE FUNCTION theirs() RETURNS integer LANGUAGE sql AS 'SELECT 1';"
        "CREATE AGGREGATE total(integer) (SFUNC = int4pl, STYPE = integer)",
        dbname=empty.name,
    )
    to(empty, "head")
    back_to(empty, "015")
