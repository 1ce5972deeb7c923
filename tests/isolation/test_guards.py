"""Rules for all raw SQL: every change has its log, every log its change, and the sequence has no gap."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.conftest import ALICE, Database
from tests.isolation.desk import (
    Connection,
    connected,
    count,
    enter,
    fill,
    raw_fill,
    raw_log,
    raw_order,
    raw_update,
    refused,
    run,
    submit,
)

WRITERS = pytest.mark.parametrize("login", ["blotter_trader", "blotter_execution", "postgres"])


@pytest.fixture
def order_id(database: Database) -> UUID:
    """An order of ALICE, PENDING, for 100 at 10.25; its only event has the number 1."""
    return enter(database, ALICE)


@WRITERS
def test_a_change_of_an_order_without_its_log_fails_at_commit(database: Database, order_id: UUID, login: str) -> None:
    with refused("23503", "fk_orders_last_log"), connected(database, login, ALICE) as connection:
        assert raw_update(connection, order_id, 2, status="CANCELLED") == 1


def test_a_new_order_without_its_log_fails_at_commit(database: Database) -> None:
    with refused("23503", "fk_orders_last_log"), connected(database, "blotter_trader", ALICE) as trader:
        raw_order(trader, ALICE, 1)


def test_no_savepoint_or_immediate_check_gets_the_change_committed_alone(database: Database, order_id: UUID) -> None:
    with refused("23503", "fk_orders_last_log"), connected(database, "blotter_trader", ALICE) as trader:
        with trader.transaction():
            raw_update(trader, order_id, 2, status="CANCELLED")
        with refused("23503", "fk_orders_last_log"), trader.transaction():
            trader.execute("SET CONSTRAINTS ALL IMMEDIATE")
        trader.execute("SET CONSTRAINTS ALL DEFERRED")


@pytest.mark.parametrize("sequence", [1, 0, -1])
def test_a_change_under_the_number_of_an_old_log_is_refused(database: Database, order_id: UUID, sequence: int) -> None:
    with connected(database, "postgres") as superuser, refused("23514", "orders_change_with_an_event"):
        raw_update(superuser, order_id, sequence, status="CANCELLED")


def test_the_log_of_another_order_is_not_accepted(database: Database, order_id: UUID) -> None:
    with refused("23503", "fk_orders_last_log"), connected(database, "blotter_trader", ALICE) as trader:
        submit(trader, ALICE, "second")
        raw_update(trader, order_id, 2, status="CANCELLED")


def test_two_changes_cannot_share_the_log_of_the_last(database: Database, order_id: UUID) -> None:
    with connected(database, "blotter_execution", ALICE) as gateway:
        raw_fill(gateway, ALICE, order_id, 2, quantity=10)
        raw_update(gateway, order_id, 2, status="PARTIAL", filled_quantity=10, filled_notional="102.5")
        raw_fill(gateway, ALICE, order_id, 3, quantity=10, execution_id="raw-2")
        raw_update(gateway, order_id, 3, status="PARTIAL", filled_quantity=20, filled_notional="205")
        count(gateway, ALICE, 3)
        with refused("23514", "execution_logs_fills_change_the_order"):
            raw_log(gateway, ALICE, order_id, 3, "FILLED")
        gateway.rollback()


@WRITERS
def test_a_log_without_the_order_s_change_is_refused(database: Database, order_id: UUID, login: str) -> None:
    with connected(database, login, ALICE) as connection:
        count(connection, ALICE, 2)
        with refused("23514", "execution_logs_state_is_the_orders"):
            raw_log(connection, ALICE, order_id, 2, "CANCELLED")
        connection.rollback()


def test_a_change_is_logged_once(database: Database, order_id: UUID) -> None:
    with connected(database, "blotter_execution", ALICE) as gateway:
        with refused("23505", "uq_execution_logs_sequence"):
            raw_log(gateway, ALICE, order_id, 1, "APPROVED")
        gateway.rollback()


@pytest.mark.parametrize(
    ("action", "columns"),
    [
        ("SUBMITTED", {}),
        ("FILLED", {}),
        ("REJECTED", {}),
        ("CANCELLED", {}),
        ("APPROVED", {"refused": True, "error_code": "OVERFILL"}),
    ],
)
def test_a_log_of_a_change_that_did_not_happen_is_refused(
    database: Database, order_id: UUID, action: str, columns: dict[str, object]
) -> None:
    with connected(database, "postgres") as superuser:
        count(superuser, ALICE, 2)
        raw_update(superuser, order_id, 2)
        with refused("23514", "execution_logs_action_fits_the_state"):
            raw_log(superuser, ALICE, order_id, 2, action, **columns)
        superuser.rollback()


def test_the_first_log_of_an_order_is_its_submission(database: Database) -> None:
    with connected(database, "postgres") as superuser:
        superuser.execute("INSERT INTO trader_sequences (trader_id) VALUES (%s)", [ALICE])
        count(superuser, ALICE, 1)
        order_id = raw_order(superuser, ALICE, 1)
        with refused("23514", "execution_logs_action_fits_the_state"):
            raw_log(superuser, ALICE, order_id, 1, "APPROVED")
        superuser.rollback()


def test_a_log_has_the_state_of_the_order_and_not_the_inserted_values(database: Database, order_id: UUID) -> None:
    with connected(database, "postgres") as superuser:
        count(superuser, ALICE, 2)
        raw_update(superuser, order_id, 2)
        false = {"status": "FILLED", "symbol": "MSFT", "quantity": 1, "price": "99", "filled_quantity": 7}
        raw_log(superuser, ALICE, order_id, 2, "APPROVED", created_at="2020-01-01", side="SELL", **false)
        assert superuser.execute(
            "SELECT status::text, symbol, quantity, price, filled_quantity, side::text,"
            " created_at > now() - interval '1 hour' FROM execution_logs WHERE sequence = 2"
        ).fetchone() == ("PENDING", "AAPL", 100, 10.25, 0, "BUY", True)


def log_under(connection: Connection, order_id: UUID, sequence: int) -> None:
    """A change and its log with a given number, and the counter advanced with them."""
    count(connection, ALICE, sequence)
    raw_update(connection, order_id, sequence)
    raw_log(connection, ALICE, order_id, sequence, "APPROVED")


@pytest.mark.parametrize("login", ["blotter_execution", "postgres"])
def test_a_gap_in_the_numbers_cannot_be_committed(database: Database, order_id: UUID, login: str) -> None:
    with (
        refused("23503", "fk_execution_logs_follow_without_gap"),
        connected(database, login, ALICE) as connection,
    ):
        log_under(connection, order_id, 3)


@pytest.mark.parametrize("login", ["blotter_trader", "blotter_execution", "postgres"])
@pytest.mark.parametrize("back_to", [2, 1, 0, None])
def test_the_counter_is_not_set_back(database: Database, order_id: UUID, login: str, back_to: int | None) -> None:
    fill(database, ALICE, order_id, 10, "execution-1")
    with connected(database, login, ALICE) as connection, refused("23514", "trader_sequences_only_grow"):
        run(connection, "UPDATE trader_sequences SET last_sequence = %s", back_to)


@WRITERS
def test_the_counter_is_not_set_ahead_of_the_logs(database: Database, order_id: UUID, login: str) -> None:
    with refused("23503", "fk_trader_sequences_last_log"), connected(database, login, ALICE) as connection:
        assert count(connection, ALICE, 2) == 1


def test_a_log_that_the_counter_was_not_advanced_for_is_refused(database: Database, order_id: UUID) -> None:
    """Its number would be assigned again, and every later write of the trader would fail."""
    with connected(database, "blotter_execution", ALICE) as gateway:
        raw_update(gateway, order_id, 2)
        with refused("23514", "execution_logs_are_counted"):
            raw_log(gateway, ALICE, order_id, 2, "APPROVED")
        gateway.rollback()


@pytest.mark.parametrize("statement", ["DELETE FROM trader_sequences", "TRUNCATE trader_sequences"])
def test_the_counter_is_not_removed(database: Database, order_id: UUID, statement: str) -> None:
    with connected(database, "postgres") as superuser, refused("23514", "trader_sequences_only_grow"):
        superuser.execute(statement.encode())


def test_the_counter_is_not_given_to_another_trader(database: Database, order_id: UUID) -> None:
    with connected(database, "postgres") as superuser, refused("23514", "trader_sequences_only_grow"):
        superuser.execute("UPDATE trader_sequences SET trader_id = gen_random_uuid(), last_sequence = 2")
