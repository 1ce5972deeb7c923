"""The audit trail, the fills and their corrections are append-only for all: each barrier with the others off."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import psycopg
import pytest

from tests.conftest import ALICE, Database
from tests.isolation.desk import (
    LOGINS,
    WRITER,
    Connection,
    connected,
    connection_of,
    correct,
    enter,
    fill,
    one,
    refused,
    run,
)

TABLES = ("execution_logs", "fills", "fill_corrections")
CHANGES = {
    "UPDATE": {
        "execution_logs": "UPDATE execution_logs SET reason = 'it was not me'",
        "fills": "UPDATE fills SET commission = 0",
        "fill_corrections": "UPDATE fill_corrections SET commission = 0",
    },
    "DELETE": {table: f"DELETE FROM {table}" for table in TABLES},
    "TRUNCATE": {table: f"TRUNCATE {table} CASCADE" for table in TABLES},
}


@pytest.fixture
def order_id(database: Database) -> UUID:
    """ALICE's order with a fill that was corrected: a row in each table."""
    order = enter(database, ALICE)
    fill(database, ALICE, order, 10, "execution-1")
    correct(database, ALICE, order, "execution-2", "execution-1")
    return order


def trail(database: Database) -> list[tuple[object, ...]]:
    with connected(database, "postgres") as superuser:
        return superuser.execute(
            "SELECT execution_logs::text FROM execution_logs UNION ALL SELECT fills::text FROM fills"
            " UNION ALL SELECT fill_corrections::text FROM fill_corrections ORDER BY 1"
        ).fetchall()


def as_superuser(database: Database, *statements: str) -> None:
    with connected(database, "postgres") as superuser:
        for statement in statements:
            superuser.execute(statement.encode())


@pytest.mark.parametrize("login", [*LOGINS, WRITER, "blotter_owner", "postgres"])
def test_nobody_changes_the_trail(database: Database, order_id: UUID, login: str) -> None:
    before = trail(database)
    with connection_of(database, login) as connection:
        connection.execute("SELECT set_config('app.trader_id', %s, false)", [str(ALICE)])
        for command, changes in CHANGES.items():
            for statement in changes.values():
                # The owner has the grant, but forced row level security shows it no row to change.
                if login == "blotter_owner" and command != "TRUNCATE":
                    assert run(connection, statement) == 0
                    continue
                with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                    connection.execute(statement.encode())
    assert trail(database) == before


@pytest.mark.parametrize("table", TABLES)
def test_the_grants_alone_hold(database: Database, order_id: UUID, table: str) -> None:
    as_superuser(
        database,
        f"ALTER TABLE {table} DISABLE TRIGGER USER",
        f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
    )
    for login in (*LOGINS, WRITER):
        with connected(database, login) as connection:
            for changes in CHANGES.values():
                with refused("42501"), connection.transaction():
                    connection.execute(changes[table].encode())


@pytest.mark.parametrize("table", ["execution_logs", "fill_corrections"])
@pytest.mark.parametrize("login", ["blotter_trader", "blotter_execution", "blotter_owner", WRITER])
def test_the_restrictive_policies_alone_hold(database: Database, order_id: UUID, login: str, table: str) -> None:
    """With a grant and a permissive policy for everything, which an operator might add by mistake."""
    as_superuser(
        database,
        f"ALTER TABLE {table} DISABLE TRIGGER USER",
        "ALTER TABLE orders DROP CONSTRAINT fk_orders_last_log",
        f"GRANT ALL ON {table} TO {login}",
        f"CREATE POLICY everything ON {table} USING (true) WITH CHECK (true)",
    )
    before = trail(database)
    with connected(database, login, ALICE if login != "blotter_owner" else None) as connection:
        assert one(connection, f"SELECT count(*) FROM {table}") > 0
        for command in ("UPDATE", "DELETE"):
            assert run(connection, CHANGES[command][table]) == 0
    assert trail(database) == before


@pytest.mark.parametrize("table", TABLES)
def test_the_row_trigger_alone_holds(database: Database, order_id: UUID, table: str) -> None:
    """The superuser has every grant and is subject to no policy."""
    with connected(database, "postgres") as superuser:
        for command in ("UPDATE", "DELETE"):
            with refused("42501", f"{table}_refuse_change"), superuser.transaction():
                superuser.execute(CHANGES[command][table].encode())


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("login", ["blotter_owner", "postgres"])
def test_the_truncate_trigger_alone_holds(database: Database, order_id: UUID, table: str, login: str) -> None:
    as_superuser(
        database,
        f"ALTER TABLE {table} DISABLE TRIGGER {table}_refuse_change",
        # Each of the tables that CASCADE includes would refuse by itself.
        *(
            f"ALTER TABLE {other} DISABLE TRIGGER USER"
            for other in ("orders", "fills", "fill_corrections", "execution_logs", "trader_sequences")
            if other != table
        ),
    )
    with connected(database, login) as connection, refused("42501", f"{table}_refuse_truncate"):
        connection.execute(CHANGES["TRUNCATE"][table].encode())


@pytest.mark.parametrize("table", ["orders", "traders"])
@pytest.mark.parametrize("login", ["blotter_owner", "postgres"])
def test_truncating_a_table_that_the_trail_refers_to_does_not_truncate_the_trail(
    database: Database, order_id: UUID, table: str, login: str
) -> None:
    before = trail(database)
    with connected(database, login) as connection:
        with refused("0A000"), connection.transaction():
            connection.execute(f"TRUNCATE {table}".encode())
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(f"TRUNCATE {table} CASCADE".encode())
        assert caught.value.sqlstate in {"42501", "23514"}
        connection.rollback()
    assert trail(database) == before


def delete_order(connection: Connection, order_id: UUID) -> None:
    connection.execute("DELETE FROM orders WHERE id = %s", [order_id])


def delete_trader(connection: Connection, order_id: UUID) -> None:
    connection.execute("DELETE FROM traders WHERE id = %s", [ALICE])


@pytest.mark.parametrize("delete", [delete_order, delete_trader])
@pytest.mark.parametrize("filled", [True, False], ids=["filled", "only logged"])
def test_deleting_a_row_with_a_trail_fails_and_deletes_nothing(
    database: Database, delete: Callable[[Connection, UUID], None], filled: bool
) -> None:
    order = enter(database, ALICE)
    if filled:
        fill(database, ALICE, order, 10, "execution-1")
    before = trail(database)
    with connected(database, "postgres") as superuser:
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            delete(superuser, order)
        superuser.rollback()
    assert trail(database) == before


def test_no_foreign_key_deletes_or_changes_anything_by_itself(database: Database) -> None:
    with connected(database, "postgres") as superuser:
        assert not superuser.execute(
            "SELECT conname FROM pg_constraint WHERE contype = 'f' AND (confdeltype <> 'a' OR confupdtype <> 'a')"
        ).fetchall()


@pytest.mark.parametrize("table", TABLES)
def test_an_upsert_is_an_update_too(database: Database, order_id: UUID, table: str) -> None:
    """With the guards of INSERT off, which would refuse the row before it conflicts."""
    column = {"execution_logs": "reason", "fills": "venue", "fill_corrections": "venue"}[table]
    as_superuser(database, f"ALTER TABLE {table} DISABLE TRIGGER {table}_guard")
    with connected(database, "postgres") as superuser:
        names = one(
            superuser,
            "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns"
            " WHERE table_name = %s AND is_generated = 'NEVER'",
            table,
        )
        with refused("42501", f"{table}_refuse_change"):
            superuser.execute(
                f"INSERT INTO {table} ({names}) SELECT {names} FROM {table}"
                f" ON CONFLICT (trader_id, id) DO UPDATE SET {column} = 'it was not me'".encode()
            )
        superuser.rollback()


@pytest.mark.parametrize("table", TABLES)
def test_a_merge_is_an_update_too(database: Database, order_id: UUID, table: str) -> None:
    column = {"execution_logs": "reason", "fills": "venue", "fill_corrections": "venue"}[table]
    with connected(database, "postgres") as superuser, refused("42501", f"{table}_refuse_change"):
        superuser.execute(
            f"MERGE INTO {table} USING (VALUES (1)) AS one (row) ON true"
            f" WHEN MATCHED THEN UPDATE SET {column} = 'it was not me'".encode()
        )


def test_the_triggers_fire_always_but_in_replication(database: Database) -> None:
    """The known limit: a role that may disable triggers, or set session_replication_role, can change rows."""
    with connected(database, "postgres") as superuser:
        enabled = superuser.execute("SELECT DISTINCT tgenabled FROM pg_trigger WHERE NOT tgisinternal").fetchall()
        assert enabled == [("O",)]
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            connected(database, "blotter_owner") as owner,
        ):
            owner.execute("SET session_replication_role = replica")
