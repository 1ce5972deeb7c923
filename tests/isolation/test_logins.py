"""What each login may write by raw SQL: a trader enters and cancels, the gateway fills orders by rows of fills."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from tests.conftest import ALICE, Database
from tests.isolation.desk import (
    cancel,
    connected,
    count,
    enter,
    fill,
    one,
    raw_fill,
    raw_log,
    raw_order,
    raw_update,
    refused,
)


@pytest.fixture
def order_id(database: Database) -> UUID:
    """An order of ALICE, PENDING, for 100 at 10.25; its only event has the number 1."""
    return enter(database, ALICE)


@pytest.mark.parametrize(
    "columns",
    [
        {"id": UUID(int=1)},
        {"status": "PENDING"},
        {"filled_quantity": 0},
        {"filled_notional": 0},
        {"created_at": "2020-01-01"},
        {"updated_at": "2020-01-01"},
    ],
    ids=lambda columns: next(iter(columns)),
)
def test_a_trader_enters_an_order_with_its_terms_and_nothing_else(
    database: Database, columns: dict[str, object]
) -> None:
    with connected(database, "blotter_trader", ALICE) as trader, refused("42501"):
        raw_order(trader, ALICE, 1, **columns)


@pytest.mark.parametrize(
    "columns",
    [
        {"trader_id": ALICE},
        {"filled_quantity": 100},
        {"filled_notional": "1025"},
        {"quantity": 1000},
        {"price": "1.00"},
        {"stop_loss": "1.00"},
        {"take_profit": "20.00"},
        {"side": "SELL"},
        {"symbol": "MSFT"},
        {"order_type": "MARKET"},
        {"expires_at": datetime.now(UTC) + timedelta(days=1)},
        {"created_at": "2020-01-01"},
        {"updated_at": "2020-01-01"},
        {"client_order_id": "other"},
        {"request_digest": b"\0" * 32},
    ],
    ids=lambda columns: next(iter(columns)),
)
def test_a_trader_changes_nothing_of_an_order_but_its_status(
    database: Database, order_id: UUID, columns: dict[str, object]
) -> None:
    with connected(database, "blotter_trader", ALICE) as trader, refused("42501"):
        raw_update(trader, order_id, 2, status="CANCELLED", **columns)


@pytest.mark.parametrize(
    ("status", "sqlstate", "constraint"),
    [
        ("PENDING", "42501", None),
        ("REJECTED", "42501", None),
        ("PARTIAL", "23514", "orders_follow_their_lifecycle"),
        ("FILLED", "23514", "orders_follow_their_lifecycle"),
    ],
)
def test_a_trader_gives_an_order_no_status_but_cancelled(
    database: Database, order_id: UUID, status: str, sqlstate: str, constraint: str | None
) -> None:
    with connected(database, "blotter_trader", ALICE) as trader:
        with refused(sqlstate, constraint):
            raw_update(trader, order_id, 2, status=status)
        trader.rollback()


def test_a_trader_does_not_un_cancel_an_order(database: Database, order_id: UUID) -> None:
    with connected(database, "blotter_trader", ALICE) as trader:
        assert cancel(trader, ALICE, order_id) == "APPLIED"
    with connected(database, "blotter_trader", ALICE) as trader:
        with refused("23514", "orders_follow_their_lifecycle"):
            raw_update(trader, order_id, 3, status="PENDING")
        trader.rollback()


def test_a_trader_does_not_cancel_a_filled_order(database: Database, order_id: UUID) -> None:
    fill(database, ALICE, order_id, 100, "execution-1")
    with connected(database, "blotter_trader", ALICE) as trader:
        with refused("23514", "orders_follow_their_lifecycle"):
            raw_update(trader, order_id, 3, status="CANCELLED")
        trader.rollback()


def test_a_trader_records_no_fill(database: Database, order_id: UUID) -> None:
    with connected(database, "blotter_trader", ALICE) as trader, refused("42501"):
        raw_fill(trader, ALICE, order_id, 2, quantity=10)


@pytest.mark.parametrize("action", ["APPROVED", "EXECUTED", "FILLED", "REJECTED", "RECOVERED"])
def test_a_trader_logs_nothing_but_submitted_and_cancelled(database: Database, order_id: UUID, action: str) -> None:
    """The order was changed in the one way that a trader may; the log of that change describes another change."""
    with connected(database, "blotter_trader", ALICE) as trader:
        raw_update(trader, order_id, 2, status="CANCELLED")
        count(trader, ALICE, 2)
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.CheckViolation)):
            raw_log(trader, ALICE, order_id, 2, action)
        trader.rollback()


@pytest.mark.parametrize("action", ["APPROVED", "EXECUTED", "RECOVERED"])
def test_the_policy_alone_denies_a_trader_the_gateway_s_actions(
    database: Database, order_id: UUID, action: str
) -> None:
    """The triggers would accept these actions if the status does not change: they fit any status."""
    with connected(database, "blotter_trader", ALICE) as trader:
        raw_update(trader, order_id, 2, status="CANCELLED")
        count(trader, ALICE, 2)
        raw_log(trader, ALICE, order_id, 2, "CANCELLED")
        raw_update(trader, order_id, 3, status="CANCELLED")
        count(trader, ALICE, 3)
        with refused("42501"):
            raw_log(trader, ALICE, order_id, 3, action)
        trader.rollback()


STATE = {
    "status": "CANCELLED",
    "symbol": "MSFT",
    "side": "SELL",
    "order_type": "MARKET",
    "quantity": 1,
    "price": "1",
    "client_order_id": "other",
    "order_created_at": "2020-01-01",
    "filled_quantity": 1,
    "filled_notional": "1",
    "created_at": "2020-01-01",
    "fill_id": UUID(int=1),
    "id": UUID(int=1),
}
REPORTED = {
    "timestamp": "2020-01-01",
    "refused": False,
    "error_code": "NONE",
    "retry_attempt": 1,
    "report_id": "report-1",
    "venue": "XNAS",
    "execution_id": "execution-1",
    "fill_quantity": 1,
    "fill_price": "1",
    "fill_commission": "1",
}


@pytest.mark.parametrize("column", [*STATE, *REPORTED])
def test_a_trader_writes_neither_the_state_nor_the_report_in_a_log_and_back_dates_none(
    database: Database, order_id: UUID, column: str
) -> None:
    with connected(database, "blotter_trader", ALICE) as trader, refused("42501"):
        raw_log(trader, ALICE, order_id, 2, "CANCELLED", **{column: (STATE | REPORTED)[column]})


@pytest.mark.parametrize("column", STATE)
def test_the_gateway_does_not_write_the_state_in_a_log(database: Database, order_id: UUID, column: str) -> None:
    with connected(database, "blotter_execution", ALICE) as gateway, refused("42501"):
        raw_log(gateway, ALICE, order_id, 2, "APPROVED", **{column: STATE[column]})


def test_the_gateway_enters_no_order(database: Database) -> None:
    with connected(database, "blotter_execution", ALICE) as gateway, refused("42501"):
        raw_order(gateway, ALICE, 1)


def test_the_gateway_does_not_log_submitted(database: Database) -> None:
    """Even if the order lacks exactly that log."""
    with connected(database, "postgres") as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute("INSERT INTO trader_sequences VALUES (%s, 1)", [ALICE])
        now = datetime.now(UTC)
        order_id = raw_order(superuser, ALICE, 1, created_at=now, updated_at=now)
    with connected(database, "blotter_execution", ALICE) as gateway, refused("42501"):
        raw_log(gateway, ALICE, order_id, 1, "SUBMITTED")


@pytest.mark.parametrize("column", ["quantity", "price", "side", "symbol", "expires_at", "created_at"])
def test_the_gateway_does_not_change_the_terms(database: Database, order_id: UUID, column: str) -> None:
    with connected(database, "blotter_execution", ALICE) as gateway, refused("42501"):
        raw_update(gateway, order_id, 2, **{column: None})


@pytest.mark.parametrize(
    ("fill_of", "filled_quantity", "filled_notional"),
    [
        (None, 10, "102.5"),
        (10, 11, "112.75"),
        (10, 9, "92.25"),
        (10, 10, "102.49"),
        (10, 10, "1025"),
        (10, 9, "102.5"),
    ],
    ids=["no fill", "more", "less", "a cent less", "ten times the money", "fewer for the same money"],
)
def test_the_filled_quantity_and_notional_move_by_exactly_a_fill(
    database: Database, order_id: UUID, fill_of: int | None, filled_quantity: int, filled_notional: str
) -> None:
    with connected(database, "blotter_execution", ALICE) as gateway:
        if fill_of:
            raw_fill(gateway, ALICE, order_id, 2, quantity=fill_of)
        with refused("23514", "orders_are_filled_by_fills"):
            raw_update(
                gateway,
                order_id,
                2,
                status="PARTIAL",
                filled_quantity=filled_quantity,
                filled_notional=filled_notional,
            )
        gateway.rollback()


def test_the_fill_of_another_order_is_not_accepted(database: Database, order_id: UUID) -> None:
    other = enter(database, ALICE, "second")
    with connected(database, "blotter_execution", ALICE) as gateway:
        raw_fill(gateway, ALICE, other, 3, quantity=10)
        with refused("23514", "orders_are_filled_by_fills"):
            raw_update(gateway, order_id, 3, status="PARTIAL", filled_quantity=10, filled_notional="102.5")
        gateway.rollback()


def test_a_fill_is_counted_once_and_stays_counted(database: Database, order_id: UUID) -> None:
    fill(database, ALICE, order_id, 10, "execution-1")
    with connected(database, "blotter_execution", ALICE) as gateway:
        for columns in (
            {"status": "PARTIAL", "filled_quantity": 20, "filled_notional": "205"},
            {"status": "PENDING", "filled_quantity": 0, "filled_notional": "0"},
        ):
            with refused("23514", "orders_are_filled_by_fills"), gateway.transaction():
                raw_update(gateway, order_id, 3, **columns)
        gateway.rollback()


def test_a_fill_cannot_use_a_log_that_is_already_written(database: Database, order_id: UUID) -> None:
    with connected(database, "blotter_execution", ALICE) as gateway:
        with refused("23514", "fills_precede_their_log"):
            raw_fill(gateway, ALICE, order_id, 1, quantity=10)
        gateway.rollback()


def test_a_fill_that_leaves_its_order_as_it_was_cannot_be_logged(database: Database, order_id: UUID) -> None:
    with connected(database, "blotter_execution", ALICE) as gateway:
        raw_fill(gateway, ALICE, order_id, 2, quantity=10)
        raw_update(gateway, order_id, 2)
        count(gateway, ALICE, 2)
        for action, constraint in (
            ("FILLED", "execution_logs_fills_change_the_order"),
            ("APPROVED", "execution_logs_action_fits_the_state"),
        ):
            with refused("23514", constraint), gateway.transaction():
                raw_log(gateway, ALICE, order_id, 2, action)
        gateway.rollback()


def test_a_fill_without_a_log_fails_at_commit(database: Database, order_id: UUID) -> None:
    with refused("23503", "fk_fills_log"), connected(database, "blotter_execution", ALICE) as gateway:
        raw_fill(gateway, ALICE, order_id, 2, quantity=10)


def test_an_order_s_times_are_the_database_s(database: Database) -> None:
    with connected(database, "postgres") as superuser:
        superuser.execute("INSERT INTO trader_sequences (trader_id) VALUES (%s)", [ALICE])
        count(superuser, ALICE, 1)
        order_id = raw_order(superuser, ALICE, 1, created_at="2020-01-01", updated_at="2020-01-01")
        raw_log(superuser, ALICE, order_id, 1, "SUBMITTED", created_at="2020-01-01")
        query = "SELECT min(created_at) > now() - interval '1 hour' FROM "
        assert one(
            superuser,
            query + "(SELECT created_at FROM orders UNION ALL SELECT updated_at FROM orders) AS times (created_at)",
        )
        assert one(superuser, query + "execution_logs")
