"""Features of Postgres that might bypass the policies: other roles, switches, leaks, files, statistics."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg
import pytest

from tests.conftest import ALICE, BOB, Database, cloned
from tests.isolation.desk import (
    LOGINS,
    WRITER,
    call,
    connected,
    enter,
    fill,
    filling,
    one,
    refused,
    report,
    run,
)

EVERY_LOGIN = pytest.mark.parametrize("login", LOGINS)
OTHERS = (WRITER, "blotter_owner", "postgres", "pg_read_all_data", "pg_write_all_data", "pg_database_owner")


@pytest.fixture(scope="module")
def intact(template: Database) -> Iterator[Database]:
    """One database for all refused statements, since these change nothing."""
    with cloned(template, "blotter_intact") as database:
        yield database


@pytest.mark.parametrize(
    ("login", "other"),
    [(login, other) for login, other in itertools.product(LOGINS, [*LOGINS, *OTHERS]) if login != other],
)
def test_no_login_becomes_another(intact: Database, login: str, other: str) -> None:
    with psycopg.connect(intact.conninfo(login)) as connection:
        with refused("42501"):
            connection.execute(f"SET ROLE {other}".encode())
        connection.rollback()
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue)):
            connection.execute(f"SET SESSION AUTHORIZATION {other}".encode())


@EVERY_LOGIN
@pytest.mark.parametrize(
    "statement",
    [
        "SET session_replication_role = replica",
        "ALTER TABLE execution_logs DISABLE TRIGGER ALL",
        "ALTER TABLE orders DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE orders NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY orders_trader_isolation ON orders",
        "CREATE POLICY all_of_it ON orders USING (true)",
        "DROP TRIGGER execution_logs_refuse_change ON execution_logs",
        "ALTER FUNCTION submit_order SECURITY INVOKER",
        "ALTER FUNCTION report_execution OWNER TO blotter_trader",
        "ALTER FUNCTION apply_event SET search_path = pg_temp",
        "DROP FUNCTION cancel_order",
        "GRANT EXECUTE ON FUNCTION record_event TO PUBLIC",
        "ALTER TABLE execution_logs DROP CONSTRAINT uq_execution_logs_sequence",
        "ALTER ROLE blotter_trader BYPASSRLS",
        "ALTER ROLE blotter_trader SUPERUSER",
        "GRANT blotter_compliance TO blotter_trader",
        "GRANT blotter_writer TO blotter_trader",
        "ALTER ROLE blotter_writer LOGIN",
        "ALTER SYSTEM SET row_security = off",
        "DO 'BEGIN LOCK TABLE orders IN ACCESS EXCLUSIVE MODE; END'",
    ],
)
def test_no_login_switches_a_guard_off(intact: Database, login: str, statement: str) -> None:
    with psycopg.connect(intact.conninfo(login), autocommit=True) as connection, refused("42501"):
        connection.execute(statement.encode())


@EVERY_LOGIN
def test_a_grant_by_a_login_gives_nothing_away(database: Database, login: str) -> None:
    """Postgres only warns if the grantor holds the privilege without the grant option.

    This applies where sql/harden.sql, which refuses the statement, was not run.
    """
    with connected(database, "postgres") as superuser:
        superuser.execute("DROP EVENT TRIGGER blotter_refuse_definitions")
    with connected(database, login) as connection:
        connection.execute("GRANT SELECT ON alembic_version TO PUBLIC")
        assert one(connection, "SELECT relacl::text ~ '[{,]=' FROM pg_class WHERE relname = 'alembic_version'") is False


@EVERY_LOGIN
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TEMPORARY TABLE loot AS SELECT 1",
        "CREATE TABLE loot (id integer)",
        "CREATE VIEW loot AS SELECT 1",
        "CREATE MATERIALIZED VIEW loot AS SELECT 1",
        "CREATE TEMPORARY VIEW loot AS SELECT 1",
        "CREATE SCHEMA loot",
        "CREATE FUNCTION loot() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION pg_temp.loot() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE TYPE loot AS (id integer)",
        "CREATE EXTENSION dblink",
        "CREATE DATABASE loot",
    ],
)
def test_no_login_creates_what_could_keep_or_leak_rows(intact: Database, login: str, statement: str) -> None:
    """Views run as their owner; a function that runs before a policy can reveal its arguments."""
    with psycopg.connect(intact.conninfo(login), autocommit=True) as connection, refused("42501"):
        connection.execute(statement.encode())


@EVERY_LOGIN
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pg_read_file('PG_VERSION')",
        "SELECT pg_read_binary_file('PG_VERSION')",
        "SELECT pg_ls_dir('.')",
        "SELECT pg_stat_file('PG_VERSION')",
        "SELECT lo_import('/etc/hostname')",
        "SELECT lo_export(1, '/tmp/loot')",
        "COPY (SELECT 1) TO PROGRAM 'cat'",
        "COPY (SELECT 1) TO '/tmp/loot'",
        "COPY trader_sequences (trader_id) FROM '/etc/hostname'",
        "COPY trader_sequences (trader_id) FROM PROGRAM 'hostname'",
        "SELECT pg_reload_conf()",
        "SELECT * FROM pg_authid",
        "SELECT pg_switch_wal()",
    ],
)
def test_no_login_reaches_files_programs_or_the_server(intact: Database, login: str, statement: str) -> None:
    with psycopg.connect(intact.conninfo(login)) as connection, refused("42501"):
        connection.execute(statement.encode())


def test_row_security_off_is_an_error_and_bypasses_no_policy(database: Database) -> None:
    enter(database, BOB)
    with connected(database, "blotter_trader", ALICE) as trader:
        trader.execute("SET LOCAL row_security = off")
        with refused("42501"):
            trader.execute("SELECT * FROM orders")


def test_a_condition_that_reveals_its_arguments_reads_own_rows_only(database: Database) -> None:
    """The cast would show BOB's secret in its error if it ran on BOB's row before the policy."""
    enter(database, BOB, "secret")
    with connected(database, "blotter_trader", ALICE) as trader:
        query = "SELECT count(*) FROM orders WHERE client_order_id::integer = 1 AND 1 / (quantity - 100) = 1"
        assert one(trader, query) == 0


def test_a_condition_inside_a_function_reveals_nothing_either(database: Database) -> None:
    """The functions' arguments are values: none of them is evaluated on a row."""
    enter(database, BOB, "secret")
    with connected(database, "blotter_trader", ALICE) as trader:
        for key in ("secret", "%", "' OR true --", "secret' AND '1"):
            assert call(trader, "cancel_order", p_client_order_id=key)[0][0] == "ORDER_NOT_FOUND"
            assert call(trader, "cancel_open_orders", p_symbol=key) == []


@pytest.mark.parametrize("login", LOGINS)
def test_no_login_locks_rows_or_waits_for_them(database: Database, login: str) -> None:
    """A lock on the counter would stop all writes of the trader for as long as a session likes."""
    enter(database, BOB)
    with connected(database, login) as connection:
        connection.execute("SELECT set_config('app.trader_id', %s, true)", [str(BOB)])
        for table in ("orders", "fills", "execution_logs", "trader_sequences", "cancel_timers", "traders"):
            for strength in ("UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE"):
                with refused("42501"), connection.transaction():
                    run(connection, f"SELECT FROM {table} FOR {strength}")


def test_the_planner_s_statistics_of_hidden_rows_are_hidden(database: Database) -> None:
    fill(database, BOB, enter(database, BOB, "secret"), 10, "execution-1")
    with psycopg.connect(database.conninfo("postgres"), autocommit=True) as superuser:
        superuser.execute("ANALYZE")
        assert one(superuser, "SELECT count(*) FROM pg_stats WHERE tablename IN ('orders', 'fills')") > 0
    for login in LOGINS:
        with psycopg.connect(database.conninfo(login)) as connection:
            assert one(connection, "SELECT count(*) FROM pg_stats WHERE schemaname = 'public'") == one(
                connection, "SELECT count(*) FROM pg_stats WHERE tablename = 'alembic_version'"
            )


def test_no_login_sees_another_login_s_statements(database: Database) -> None:
    with psycopg.connect(database.conninfo("blotter_trader")) as trader:
        trader.execute("SELECT 'a secret'")
        for login in LOGINS[1:]:
            with psycopg.connect(database.conninfo(login)) as connection:
                query = "SELECT query FROM pg_stat_activity WHERE pid = %s"
                if login == "blotter_sequencer":  # it looks for the session that holds its lock
                    assert one(connection, query, trader.info.backend_pid) == "<insufficient privilege>"
                else:
                    with refused("42501"):
                        one(connection, query, trader.info.backend_pid)
                    connection.rollback()
                with refused("42501"):
                    connection.execute("SELECT pg_terminate_backend(%s)", [trader.info.backend_pid])


def test_a_temporary_table_does_not_replace_a_table_in_a_function(database: Database) -> None:
    """With TEMPORARY granted, as after a plain dump and restore, and where sql/harden.sql was not run."""
    order_id = enter(database, ALICE)
    with connected(database, "postgres") as superuser:
        superuser.execute("DROP EVENT TRIGGER blotter_refuse_definitions")
        superuser.execute(f"GRANT TEMPORARY ON DATABASE {database.name} TO PUBLIC".encode())
    tables = ("orders", "execution_logs", "trader_sequences", "fills", "fill_corrections", "cancel_timers")
    for login in ("blotter_trader", "blotter_execution"):
        with connected(database, login, ALICE) as connection:
            connection.execute("SET search_path = pg_temp, public")
            for table in tables:
                connection.execute(f"CREATE TEMPORARY TABLE {table} AS SELECT * FROM public.{table}".encode())
            connection.execute("UPDATE pg_temp.orders SET symbol = 'FORGED', quantity = 1")
            connection.execute("CREATE DOMAIN pg_temp.order_status_enum AS text")
            if login == "blotter_trader":
                second = {"p_client_order_id": "second", "p_symbol": "MSFT"}
                assert call(connection, "submit_order", **second)[0][0] == "APPLIED"
                assert call(connection, "cancel_order", p_order_id=order_id)[0][0] == "APPLIED"
            else:
                late = filling(quantity=100)
                assert report(connection, order_id, "FILLED", **late) == "APPLIED"
            assert one(connection, "SELECT count(*) FROM public.execution_logs") == (
                3 if login == "blotter_trader" else 4
            )
            assert one(connection, "SELECT string_agg(DISTINCT symbol, ' ') FROM pg_temp.orders") == "FORGED"
            assert one(connection, "SELECT string_agg(symbol, ' ' ORDER BY symbol) FROM public.orders") == "AAPL MSFT"
