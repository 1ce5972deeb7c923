"""What each login may do by raw SQL: read, and call its own functions. Nobody writes rows, and nobody acts unnamed."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest

from tests.conftest import ALICE, BOB, Database, cloned
from tests.isolation.desk import (
    DEFAULTS,
    ENTRIES,
    LOGINS,
    NO_SUCH_ORDER,
    Connection,
    call,
    connected,
    connection_of,
    correct,
    enter,
    fill,
    one,
    raw_fill,
    raw_log,
    raw_order,
    raw_update,
    refused,
)

TABLES = ("orders", "fills", "fill_corrections", "execution_logs", "trader_sequences", "cancel_timers")

PEOPLE = (*LOGINS, "blotter_owner")


@pytest.fixture(scope="module")
def traded(template: Database) -> Iterator[tuple[Database, UUID]]:
    """A row of ALICE in each table, and the id of her order. Every statement on it is refused or rolled back."""
    with cloned(template, "blotter_logins") as database:
        order_id = enter(database, ALICE)
        fill(database, ALICE, order_id, 10, "execution-1")
        correct(database, ALICE, order_id, "execution-2", "execution-1")
        with connected(database, "blotter_trader", ALICE) as trader:
            call(trader, "set_cancel_timer")
        yield database, order_id


def named(database: Database, login: str) -> Connection:
    """A connection that acts for ALICE, also of a login that act_as refuses."""
    connection = connection_of(database, login)
    connection.execute("SELECT set_config('app.trader_id', %s, false)", [str(ALICE)])
    return connection


@pytest.mark.parametrize("login", PEOPLE)
def test_nobody_writes_rows(traded: tuple[Database, UUID], login: str) -> None:
    database, order_id = traded
    with named(database, login) as connection:
        for write in (
            lambda: raw_order(connection, ALICE, 4),
            lambda: raw_log(connection, ALICE, order_id, 4, "CANCELLED"),
            lambda: raw_fill(connection, ALICE, order_id, 4),
        ):
            with refused("42501"), connection.transaction():
                write()
        for table in TABLES:
            for statement in (
                f"INSERT INTO {table} (trader_id) VALUES ('{ALICE}')",
                f"INSERT INTO {table} (trader_id) VALUES ('{ALICE}') ON CONFLICT DO NOTHING",
                f"MERGE INTO {table} USING (VALUES (1)) AS one (row) ON true WHEN MATCHED THEN DELETE",
                f"UPDATE {table} SET trader_id = trader_id",
                f"DELETE FROM {table}",
                f"SELECT FROM {table} FOR UPDATE",
                f"SELECT FROM {table} FOR KEY SHARE",
            ):
                if login == "blotter_owner" and not statement.startswith(("INSERT", "MERGE")):
                    # The owner has the grants, but forced row level security shows it no row.
                    with connection.transaction(force_rollback=True):
                        assert connection.execute(statement.encode()).rowcount == 0, statement
                    continue
                with refused("42501"), connection.transaction():
                    connection.execute(statement.encode())


def test_a_login_cannot_change_a_single_column(traded: tuple[Database, UUID]) -> None:
    database, order_id = traded
    for login in LOGINS:
        with named(database, login) as connection:
            for column, value in (("status", "CANCELLED"), ("filled_quantity", 100), ("quantity", 1)):
                with refused("42501"), connection.transaction():
                    raw_update(connection, order_id, 4, **{column: value})


@pytest.mark.parametrize("login", PEOPLE)
def test_a_login_calls_its_own_functions_and_no_other(traded: tuple[Database, UUID], login: str) -> None:
    database, _ = traded
    with named(database, login) as connection:
        for function in DEFAULTS:
            if login == "blotter_owner" and connection.info.server_version < 160_000:
                # A member of blotter_writer has its functions too; later versions give it SET ROLE only.
                rights = connection.execute("SELECT pg_has_role('blotter_owner', 'blotter_writer', 'USAGE')").fetchone()
                assert rights == (True,)
            elif function in ENTRIES.get(login, {}):
                with connection.transaction(force_rollback=True):
                    call(connection, function)
            else:
                with refused("42501"), connection.transaction():
                    call(connection, function)


INNER = (
    "order_status(1, 0, NULL)",
    "terms_violation(NULL)",
    "canonical_terms('{}')",
    "with_terms(NULL, '{}')",
    "apply_event(NULL, NULL, 0, 0)",
    "record_event(NULL, NULL, 0, 0, NULL)",
    "lock_sequence()",
    "lock_sequence_at_once()",
    "request_order('CANCEL_REQUESTED', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'a', 'r')",
    "cancel_orders('{}', 0, NULL, 'a', 'r')",
    "nfkc('a')",
)


@pytest.mark.parametrize("login", LOGINS)
def test_no_login_calls_what_the_functions_are_made_of(traded: tuple[Database, UUID], login: str) -> None:
    database, _ = traded
    with named(database, login) as connection:
        for inner in INNER:
            with refused("42501"), connection.transaction():
                connection.execute(f"SELECT * FROM {inner}".encode())


def test_what_the_functions_are_made_of_is_all_tested(traded: tuple[Database, UUID]) -> None:
    """What blotter_writer may call and does not own, but what logins may call too."""
    database, _ = traded
    with connected(database, "postgres") as superuser:
        granted = superuser.execute(
            "SELECT proname FROM pg_proc, aclexplode(proacl) WHERE pronamespace = 'public'::regnamespace"
            " AND grantee = 'blotter_writer'::regrole AND proowner <> grantee"
        ).fetchall()
    assert {name for (name,) in granted} - {"acting_trader", "find_order"} == {name.split("(")[0] for name in INNER}


@pytest.mark.parametrize("identity", [None, ""], ids=["unset", "empty"])
def test_no_function_acts_for_nobody(traded: tuple[Database, UUID], identity: str | None) -> None:
    database, order_id = traded
    for login, functions in ENTRIES.items():
        for function, arguments in functions.items():
            if function == "probe_writing":
                continue
            with psycopg.connect(database.conninfo(login)) as connection:
                if identity is not None:
                    connection.execute("SELECT set_config('app.trader_id', %s, true)", [identity])
                by_id = {"p_order_id": order_id} if "p_order_id" in arguments else {}
                with refused("42501"):
                    call(connection, function, **by_id)


def test_a_malformed_identity_is_an_error_everywhere(traded: tuple[Database, UUID]) -> None:
    database, order_id = traded
    for login, functions in ENTRIES.items():
        for function, arguments in functions.items():
            if function == "probe_writing":
                continue
            with psycopg.connect(database.conninfo(login)) as connection:
                connection.execute("SELECT set_config('app.trader_id', 'not-a-uuid', true)")
                by_id = {"p_order_id": order_id} if "p_order_id" in arguments else {}
                with refused("22P02"):
                    call(connection, function, **by_id)


def test_an_unknown_trader_enters_nothing(traded: tuple[Database, UUID]) -> None:
    database, _ = traded
    with connected(database, "blotter_trader", NO_SUCH_ORDER) as trader:
        with refused("23503", "fk_trader_sequences_trader_id"), trader.transaction():
            call(trader, "submit_order")
        with refused("23503", "fk_trader_sequences_trader_id"), trader.transaction():
            call(trader, "submit_orders")
        with refused("23503", "cancel_timers_trader_id_fkey"):
            call(trader, "set_cancel_timer")
        trader.rollback()


def test_the_health_check_of_writing_writes_nothing(traded: tuple[Database, UUID]) -> None:
    database, _ = traded
    with connected(database, "blotter_execution") as gateway:
        call(gateway, "probe_writing")
        assert one(gateway, "SELECT string_agg(last_sequence::text, ' ') FROM trader_sequences") == "3"
        assert one(gateway, "SELECT pg_current_xact_id_if_assigned() IS NULL")


def test_the_login_in_a_log_is_the_session_s_and_not_the_writer_s(traded: tuple[Database, UUID]) -> None:
    database, _ = traded
    with connected(database, "blotter_compliance") as compliance:
        logged = compliance.execute("SELECT DISTINCT action::text, login FROM execution_logs ORDER BY 1").fetchall()
    assert logged == [
        ("FILLED", "blotter_execution"),
        ("FILL_CORRECTED", "blotter_execution"),
        ("SUBMITTED", "blotter_trader"),
    ]


def test_the_owner_takes_the_writer_s_rights_only_by_naming_them(traded: tuple[Database, UUID]) -> None:
    """The known limit: the owner gave the functions to the writer, and may act as it. It could drop the walls, too."""
    database, order_id = traded
    with named(database, "blotter_owner") as owner:
        owner.execute("SET ROLE blotter_writer")
        with owner.transaction(force_rollback=True):
            assert raw_update(owner, order_id, 4) == 1
        owner.execute("SELECT set_config('app.trader_id', %s, false)", [str(BOB)])
        assert raw_update(owner, order_id, 4) == 0
        owner.rollback()
