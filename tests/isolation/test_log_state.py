"""The state in a log is that of its order and its fill, regardless of the values that an INSERT gives."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from tests.conftest import ALICE, Database
from tests.isolation.desk import Connection, connected, count, one, raw_fill, raw_log, raw_order, raw_update, refused

TERMS = (
    "client_order_id", "symbol", "side", "order_type", "quantity", "price", "stop_loss", "take_profit", "expires_at",
    "filled_quantity", "filled_notional", "status",
)  # fmt: skip
FALSE_STATE = {
    "client_order_id": "false", "symbol": "MSFT", "side": "SELL", "order_type": "STOP", "quantity": 7, "price": "1",
    "stop_loss": "2", "take_profit": "3", "expires_at": "2098-01-01Z", "order_created_at": "2001-01-01Z",
    "created_at": "2001-01-01Z", "filled_quantity": 99, "filled_notional": "99", "status": "CANCELLED",
}  # fmt: skip
FALSE_FILL = {
    "timestamp": "2001-01-01Z", "venue": "NOWHERE", "execution_id": "false", "fill_quantity": 1, "fill_price": "1",
    "fill_commission": "77", "fill_id": None,
}  # fmt: skip


def limit_order(superuser: Connection, sequence: int) -> UUID:
    """An order that has a value in each of its terms."""
    return raw_order(
        superuser, ALICE, sequence, order_type="LIMIT", price="10.25", stop_loss="9.5", take_profit="11.75",
        expires_at="2099-01-01Z",
    )  # fmt: skip


def columns(superuser: Connection, table: str, names: tuple[str, ...], where: str) -> tuple[object, ...]:
    """Some columns of the one row."""
    query = f"SELECT {', '.join(names)} FROM {table} WHERE {where}"
    row = superuser.execute(query.encode()).fetchone()
    assert row is not None
    return tuple(row)


def test_a_log_has_the_terms_and_the_state_of_its_order(database: Database) -> None:
    with connected(database, "postgres") as superuser:
        superuser.execute("INSERT INTO trader_sequences (trader_id) VALUES (%s)", [ALICE])
        count(superuser, ALICE, 1)
        order_id = limit_order(superuser, 1)
        raw_log(superuser, ALICE, order_id, 1, "SUBMITTED", **FALSE_STATE)
        assert columns(superuser, "execution_logs", TERMS, "true") == columns(superuser, "orders", TERMS, "true")
        times = columns(superuser, "orders", ("updated_at", "created_at", "updated_at"), "true")
        logged = ("created_at", "order_created_at", "timestamp")
        assert columns(superuser, "execution_logs", logged, "true") == times


def test_a_log_has_the_values_of_its_fill(database: Database) -> None:
    with connected(database, "postgres") as superuser:
        superuser.execute("INSERT INTO trader_sequences (trader_id) VALUES (%s)", [ALICE])
        count(superuser, ALICE, 1)
        order_id = raw_order(superuser, ALICE, 1)
        raw_log(superuser, ALICE, order_id, 1, "SUBMITTED")
        raw_fill(superuser, ALICE, order_id, 2, quantity=40)
        count(superuser, ALICE, 2)
        raw_update(superuser, order_id, 2, status="PARTIAL", filled_quantity=40, filled_notional=Decimal(410))
        raw_log(superuser, ALICE, order_id, 2, "FILLED", **FALSE_STATE, **FALSE_FILL)
        fill = ("timestamp", "venue", "execution_id", "quantity_filled", "price_at_fill", "commission", "id")
        logged = tuple(FALSE_FILL)
        assert columns(superuser, "execution_logs", logged, "sequence = 2") == columns(superuser, "fills", fill, "true")
        superuser.rollback()


def test_only_a_log_of_a_fill_or_of_a_refused_one_has_a_fill_s_amounts(database: Database) -> None:
    with connected(database, "postgres") as superuser:
        superuser.execute("INSERT INTO trader_sequences (trader_id) VALUES (%s)", [ALICE])
        count(superuser, ALICE, 1)
        order_id = raw_order(superuser, ALICE, 1)
        raw_log(superuser, ALICE, order_id, 1, "SUBMITTED")
        count(superuser, ALICE, 2)
        raw_update(superuser, order_id, 2)
        with refused("23514", "execution_logs_action_fits_the_state"):
            raw_log(superuser, ALICE, order_id, 2, "APPROVED", venue="XNAS", execution_id="x", fill_quantity=1,
                    fill_price="1", fill_commission="0")  # fmt: skip
        superuser.rollback()


def test_a_change_is_recorded_no_earlier_than_the_one_before_though_the_clock_goes_back(database: Database) -> None:
    ahead = datetime.now(UTC) + timedelta(days=1)
    with connected(database, "postgres") as superuser:
        superuser.execute("INSERT INTO trader_sequences (trader_id) VALUES (%s)", [ALICE])
        count(superuser, ALICE, 1)
        order_id = raw_order(superuser, ALICE, 1)
        raw_log(superuser, ALICE, order_id, 1, "SUBMITTED")
        # As if the clock had been a day ahead when the order was entered.
        superuser.execute("SET LOCAL session_replication_role = replica")
        superuser.execute("UPDATE orders SET updated_at = %s", [ahead])
        superuser.execute("SET LOCAL session_replication_role = origin")
        count(superuser, ALICE, 2)
        raw_update(superuser, order_id, 2)
        assert one(superuser, "SELECT updated_at FROM orders") == ahead
        raw_log(superuser, ALICE, order_id, 2, "APPROVED")
        assert one(superuser, "SELECT created_at FROM execution_logs WHERE sequence = 2") == ahead
        superuser.rollback()
