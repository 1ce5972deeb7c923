"""What EXPLAIN, pg_stat_activity and other functions of Postgres reveal to a trader's login of other traders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

import psycopg
import pytest

from tests.conftest import ALICE, Database, cloned
from tests.isolation.desk import LOGINS, connected, enter, one, refused

COLUMNS = [
    ("traders", "id"),
    ("traders", "desk_id"),
    ("trader_sequences", "trader_id"),
    ("orders", "trader_id"),
    ("orders", "id"),
    ("fills", "trader_id"),
    ("execution_logs", "trader_id"),
    ("execution_logs", "order_id"),
    ("fill_corrections", "trader_id"),
    ("fill_corrections", "fill_id"),
    ("cancel_timers", "trader_id"),
]


@pytest.fixture(scope="module")
def intact(template: Database) -> Iterator[Database]:
    """One database for all refused statements, since these change nothing."""
    with cloned(template, "blotter_refused") as database:
        yield database


POPULATE = """
    SET session_replication_role = replica;
    INSERT INTO desks (name) SELECT 'desk ' || n FROM generate_series(1, 40) AS n;
    INSERT INTO traders (id, name, desk_id) SELECT gen_random_uuid(), name, id FROM desks;
    INSERT INTO trader_sequences SELECT id, 50 FROM traders;
    INSERT INTO orders (trader_id, symbol, side, quantity, order_type, created_at, updated_at, client_order_id,
                        request_digest, last_sequence)
    SELECT id, 'AAPL', 'BUY', 1, 'MARKET', now(), now(), 'c' || n, sha256('x'), n
    FROM traders, generate_series(1, 50) AS n;
    INSERT INTO fills (trader_id, order_id, sequence, execution_id, trade_date, venue, timestamp, quantity_filled,
                       price_at_fill, created_at)
    SELECT trader_id, id, last_sequence, 'e' || last_sequence, '2026-01-02', 'X', now(), 1, 1, now() FROM orders;
    INSERT INTO fill_corrections (trader_id, order_id, fill_id, sequence, execution_id, trade_date, venue, timestamp,
                                  quantity, commission, created_at)
    SELECT trader_id, order_id, id, sequence, 'c' || sequence, '2026-01-02', 'X', now(), 0, 0, now() FROM fills;
    INSERT INTO cancel_timers SELECT id, '1 minute', now(), now(), 'a', 'r' FROM traders;
    INSERT INTO execution_logs (trader_id, order_id, sequence, action, status, timestamp, created_at, actor, request_id,
                                client_order_id, symbol, side, order_type, quantity, order_created_at, filled_quantity,
                                filled_notional)
    SELECT trader_id, id, last_sequence, 'SUBMITTED', 'PENDING', now(), now(), 'a', 'r', client_order_id, symbol, side,
           order_type, quantity, now(), 0, 0 FROM orders;
"""


def test_row_estimates_do_not_depend_on_the_ids_of_others(database: Database) -> None:
    """The attack: a binary search for an id by the number of rows that EXPLAIN estimates below a bound."""
    with psycopg.connect(database.conninfo("postgres"), autocommit=True) as superuser:
        for table in {table for table, _ in COLUMNS}:
            # A vacuum would change the costs while they are compared.
            superuser.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)".encode())
        superuser.execute(POPULATE.encode())
        superuser.execute("ANALYZE")
    bounds = [UUID(int=number << 122) for number in range(1, 64)]
    with connected(database, "blotter_trader", ALICE) as trader:
        for table, column in COLUMNS:
            estimates = set()
            for bound in bounds:
                explain = f"EXPLAIN (FORMAT JSON) SELECT FROM {table} WHERE {column} < '{bound}'"
                plan = one(trader, explain)[0]["Plan"]
                estimates.add((plan["Plan Rows"], plan["Total Cost"]))
            assert len(estimates) == 1, (table, column)


@pytest.mark.parametrize("login", sorted({*LOGINS} - {"blotter_sequencer"}))
def test_a_login_sees_no_statement_of_its_own_other_sessions_and_a_superuser_does(
    database: Database, login: str
) -> None:
    """The sequencer sees its own, which name nobody: it looks for the session that holds its lock."""
    with psycopg.connect(database.conninfo(login)) as session:
        session.execute("SELECT 'a secret'")
        pid = session.info.backend_pid
        for query in (
            "SELECT query FROM pg_stat_activity WHERE pid = %s",
            "SELECT query FROM pg_stat_get_activity(%s)",
            "SELECT pg_stat_get_backend_activity(id) FROM pg_stat_get_backend_idset() AS id WHERE %s > 0",
        ):
            with connected(database, login) as other, refused("42501"):
                one(other, query, pid)
        with connected(database, "postgres") as superuser:
            superuser.execute("SET ROLE pg_monitor")
            assert one(superuser, "SELECT query FROM pg_stat_activity WHERE pid = %s", pid) == "SELECT 'a secret'"


def test_the_condition_of_the_database_shows_the_oldest_transaction_and_the_bloat_of_the_counters(
    database: Database,
) -> None:
    """It counts transactions of every login, and shows nothing else of them."""
    query = "SELECT * FROM database_condition()"
    with connected(database, "blotter_compliance") as idle, connected(database, "blotter_execution") as gateway:
        idle.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        idle.execute("SELECT FROM ledger_head")
        for number in range(3):
            enter(database, ALICE, f"order-{number}")
        before = gateway.execute(query.encode()).fetchone()
        assert before
        age, xmin_age, size, _ = before
        assert age > 0
        assert xmin_age >= 3
        assert size >= 8192
        idle.rollback()
        gateway.rollback()  # the activity is read once for each transaction
        [(_, xmin_age, *_)] = gateway.execute(query.encode()).fetchall()
        assert xmin_age < before[1]
    database.cluster.psql("REVOKE pg_read_all_stats FROM blotter_writer")
    try:
        with connected(database, "blotter_execution") as gateway:
            hidden = gateway.execute(query.encode()).fetchone()
    finally:
        database.cluster.psql("GRANT pg_read_all_stats TO blotter_writer")
    assert hidden
    assert hidden[:2] == (None, None)


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pg_terminate_backend(0)",
        "SELECT pg_cancel_backend(0)",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT lo_put(1, 0, 'x')",
        "SELECT lo_unlink(1)",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_xact_lock(1, 2)",
        "SELECT pg_logical_emit_message(false, 'a', 'b')",
        "SELECT normalize(U&'a\\0300', NFKC)",
        "SELECT U&'a\\0300' IS NFC NORMALIZED",
        "SET temp_file_limit = -1",
    ],
)
def test_a_login_has_no_function_that_blocks_others(intact: Database, login: str, statement: str) -> None:
    with connected(intact, login) as connection:
        if login == "blotter_sequencer" and "advisory" in statement:
            connection.execute(statement.encode())
        else:
            with refused("42501"):
                connection.execute(statement.encode())
        connection.rollback()


@pytest.mark.parametrize("login", LOGINS)
def test_a_login_cannot_lift_its_limit_of_temporary_files(database: Database, login: str) -> None:
    with connected(database, login) as connection:
        with refused("42501"), connection.transaction():
            connection.execute(f"ALTER ROLE {login} SET temp_file_limit = -1".encode())
        with suppress(psycopg.Error), connection.transaction():
            connection.execute(f"ALTER ROLE {login} RESET temp_file_limit".encode())
        with connection.transaction(force_rollback=True):
            connection.execute(f"ALTER ROLE {login} RESET ALL".encode())
            settings = one(
                connection, "SELECT setconfig::text FROM pg_db_role_setting WHERE setrole = %s::regrole", login
            )
            assert "temp_file_limit=1GB" in settings
        assert one(connection, "SHOW temp_file_limit") == "1GB"


def test_no_other_login_connects_to_the_database(database: Database) -> None:
    with psycopg.connect(database.conninfo("postgres"), autocommit=True) as superuser:
        superuser.execute("CREATE ROLE stranger LOGIN")
        try:
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(database.conninfo("stranger"))
        finally:
            superuser.execute("DROP ROLE stranger")


def test_each_login_has_a_limit_of_connections_that_leaves_room(database: Database) -> None:
    with connected(database, "postgres") as superuser:
        limits = (
            "SELECT min(rolconnlimit), sum(rolconnlimit) FROM pg_roles WHERE rolname LIKE 'blotter%' AND rolcanlogin"
        )
        least, total = superuser.execute(limits.encode()).fetchone() or (0, 0)
        assert least > 0
        assert total < 97  # of 100 connections, 3 are reserved for superusers
