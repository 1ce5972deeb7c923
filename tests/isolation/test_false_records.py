"""False records that a gateway's login, or a trader's, might try to write."""

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import Connection, errors

from tests.conftest import ALICE, Database

FILL = (
    "INSERT INTO fills (trader_id, order_id, sequence, execution_id, venue, timestamp, quantity_filled, price_at_fill, "
    "commission) VALUES (%s, %s, %s, %s, 'X', now(), 10, 10, 0)"
)


@pytest.fixture
def order_id(database: Database) -> UUID:
    """A pending order of Alice's, 100 shares; its only event is number 1."""
    with psycopg.connect(database.conninfo("blotter_trader")) as trader:
        trader.execute("SELECT act_as(%s)", (ALICE,))
        [(order_id,)] = trader.execute(
            "SELECT (recorded).id FROM submit_order(%s, 'c', sha256('x'), 'AAPL', 'BUY', 'LIMIT', 100, 10, NULL, NULL, "
            "NULL, false, 'a', 'r')",
            (ALICE,),
        ).fetchall()
    assert isinstance(order_id, UUID)
    return order_id


def as_gateway(database: Database) -> Connection[Any]:
    """A connection of the execution login, acting for Alice."""
    gateway = psycopg.connect(database.conninfo("blotter_execution"))
    gateway.execute("SELECT act_as(%s)", (ALICE,))
    return gateway


def test_a_fill_cannot_use_the_log_of_another_transaction(database: Database, order_id: UUID) -> None:
    with as_gateway(database) as rogue, as_gateway(database) as honest:
        rogue.execute(FILL, (ALICE, order_id, 2, "ROGUE"))
        honest.execute("SET LOCAL lock_timeout = '200ms'")
        with pytest.raises(errors.LockNotAvailable):
            honest.execute(
                "SELECT outcome FROM report_execution(%s, %s, 'r', sha256('x'), 'EXECUTED', NULL, NULL, NULL, NULL, 0, "
                "NULL, NULL, NULL, NULL, 'a', 'r')",
                (ALICE, order_id),
            )
        honest.rollback()
        with pytest.raises(errors.ForeignKeyViolation):
            rogue.commit()


def test_the_login_of_a_log_is_set_by_the_database(database: Database, order_id: UUID) -> None:
    with as_gateway(database) as gateway:
        gateway.execute(
            "SELECT outcome FROM report_execution(%s, %s, 'r', sha256('x'), 'EXECUTED', NULL, NULL, NULL, NULL, 0, "
            "NULL, NULL, NULL, NULL, 'ada', 'r')",
            (ALICE, order_id),
        )
        gateway.commit()
        logins = gateway.execute("SELECT login FROM execution_logs ORDER BY sequence").fetchall()
        assert logins == [("blotter_trader",), ("blotter_execution",)]
        with pytest.raises(errors.InsufficientPrivilege):
            gateway.execute("INSERT INTO execution_logs (trader_id, login) VALUES (%s, 'blotter_trader')", (ALICE,))


CONTRADICTIONS = {
    "a cancel logged as an approval": ("CANCELLED", "APPROVED", False, False),
    "a reject logged as an attempt": ("REJECTED", "EXECUTED", False, False),
    "a cancel logged as a refusal": ("CANCELLED", "REJECTED", True, False),
    "a reject logged as a refusal": ("REJECTED", "REJECTED", True, False),
    "a fill and a cancel logged as one fill": ("CANCELLED", "FILLED", False, True),
    "a fill and a reject logged as one fill": ("REJECTED", "FILLED", False, True),
}


def record(
    gateway: Connection[Any], order_id: UUID, sequence: int, status: str, action: str, *, refused: bool, filled: bool
) -> None:
    """Change the order and log it, in the order that the functions do."""
    if filled:
        gateway.execute(FILL, (ALICE, order_id, sequence, uuid4().hex))
    gateway.execute(
        "UPDATE orders SET status = %s, last_sequence = %s, filled_quantity = %s, filled_notional = %s "
        "WHERE trader_id = %s AND id = %s",
        (status, sequence, 10 * filled, 100 * filled, ALICE, order_id),
    )
    gateway.execute("UPDATE trader_sequences SET last_sequence = %s WHERE trader_id = %s", (sequence, ALICE))
    gateway.execute(
        "INSERT INTO execution_logs (trader_id, order_id, sequence, action, refused, error_code, actor, request_id) "
        "VALUES (%s, %s, %s, %s, %s, 'OVERFILL', 'a', 'r')",
        (ALICE, order_id, sequence, action, refused),
    )


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_log_that_contradicts_the_order_is_refused(database: Database, order_id: UUID, name: str) -> None:
    status, action, refused, filled = CONTRADICTIONS[name]
    with as_gateway(database) as gateway, pytest.raises(errors.CheckViolation) as caught:
        record(gateway, order_id, 2, status, action, refused=refused, filled=filled)
    broken = "orders_follow_their_lifecycle" if filled else "execution_logs_action_fits_the_state"
    assert caught.value.diag.constraint_name == broken


def test_an_order_is_rejected_once(database: Database, order_id: UUID) -> None:
    with as_gateway(database) as gateway:
        record(gateway, order_id, 2, "REJECTED", "REJECTED", refused=False, filled=False)
        with pytest.raises(errors.CheckViolation):
            record(gateway, order_id, 3, "REJECTED", "REJECTED", refused=False, filled=False)


def test_a_reason_that_is_too_long_is_refused(database: Database, order_id: UUID) -> None:
    with psycopg.connect(database.conninfo("blotter_trader")) as trader:
        trader.execute("SELECT act_as(%s)", (ALICE,))
        with pytest.raises(errors.CheckViolation):
            trader.execute(
                "SELECT outcome FROM cancel_order(%s, %s, NULL, repeat('x', 8000000), 'a', 'r')", (ALICE, order_id)
            )
