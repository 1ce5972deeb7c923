"""Each log has the state of its order after the event, and what happened, whatever the event was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tests.conftest import ALICE, Database
from tests.isolation.desk import DIGEST, Connection, cancel, connected, filling, one, outcome, report, submit

# The columns that have one name in both tables, and those of the order's own times.
STATE = (
    "client_order_id", "symbol", "side", "order_type", "quantity", "price", "stop_price", "stop_loss", "take_profit",
    "time_in_force", "expires_at", "filled_quantity", "filled_notional", "excess_quantity", "status", "account",
    "labels", "parent_order_id", "currency", "security_id", "security_id_source", "short_sale",
    "exempt_from_cancel_timer", "at_venue", "status_reason", "pending_kind", "pending_key", "pending_terms",
)  # fmt: skip

NOT_LOGGED = {"request_digest", "updated_at", "last_sequence", "closed_as", "pending_sequence", "expiry_requested"}
"""What no reader of a log needs; created_at and id have other names there."""

FULL: dict[str, Any] = {
    "p_order_type": "STOP_LIMIT",
    "p_side": "SELL",
    "p_price": "10.25",
    "p_stop_price": "10.50",
    "p_stop_loss": "11.75",
    "p_take_profit": "9.5",
    "p_time_in_force": "GTD",
    "p_expires_at": "2099-01-01Z",
    "p_account": "ACCOUNT",
    "p_labels": '{"book": "b", "desk": "d"}',
    "p_parent_order_id": "parent",
    "p_currency": "USD",
    "p_security_id": "US0378331005",
    "p_security_id_source": "ISIN",
    "p_short_sale": "SELL_SHORT",
    "p_exempt_from_cancel_timer": True,
}


def row(connection: Connection, table: str, names: tuple[str, ...], where: str = "true") -> tuple[object, ...] | None:
    """Some columns of the one row."""
    return connection.execute(f"SELECT {', '.join(names)} FROM {table} WHERE {where}".encode()).fetchone()


def check(database: Database, sequence: int, action: str, login: str) -> None:
    """The log with the number has the state of the order, which has just changed."""
    with connected(database, "postgres") as superuser:
        last = f"sequence = {sequence}"
        assert row(superuser, "execution_logs", STATE, last) == row(superuser, "orders", STATE), action
        logged = ("action::text", "login", "created_at", "order_created_at", "order_id", "leaf_version", "refused")
        order = row(superuser, "orders", ("updated_at", "created_at", "id"))
        assert order is not None
        assert row(superuser, "execution_logs", logged, last) == (action, login, *order, 2, False)
        assert row(superuser, "orders", ("last_sequence",)) == (sequence,)
        assert row(superuser, "trader_sequences", ("last_sequence",)) == (sequence,)


def test_every_column_of_an_order_is_logged_or_needless(database: Database) -> None:
    with connected(database, "postgres") as superuser:
        columns = superuser.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'orders'"
        ).fetchall()
    assert {name for (name,) in columns} == {*STATE, *NOT_LOGGED, "id", "trader_id", "created_at"}


def test_each_event_of_a_long_life_logs_the_order_as_it_is_after_it(database: Database) -> None:
    with connected(database, "blotter_trader", ALICE) as trader:
        order_id = submit(trader, **FULL)
    check(database, 1, "SUBMITTED", "blotter_trader")

    def replace(key: str, terms: str) -> str:
        with connected(database, "blotter_trader", ALICE) as trader:
            asked = {"p_order_id": order_id, "p_request_key": key, "p_terms": terms, "p_reason": "a change"}
            return outcome(trader, "replace_order", **asked)

    sequence = 1

    def reported(action: str, **arguments: object) -> None:
        nonlocal sequence
        sequence += 1
        with connected(database, "blotter_execution", ALICE) as gateway:
            assert report(gateway, order_id, action, f"report-{sequence}", **arguments) == "APPLIED"
        check(database, sequence, action, "blotter_execution")

    assert replace("key-1", '{"quantity": 90, "take_profit": null}') == "APPLIED"
    sequence += 1
    check(database, sequence, "REPLACED", "blotter_trader")
    reported("APPROVED", p_reason="fine")
    reported("EXECUTED", p_venue="XNAS", p_retry_attempt=2)
    assert replace("key-2", '{"quantity": 50, "price": "10.125", "expires_at": "2098-01-01Z"}') == "APPLIED"
    sequence += 1
    check(database, sequence, "REPLACE_REQUESTED", "blotter_trader")
    reported("FILLED", **filling("execution-1", 60))
    reported("REPLACED", p_request_key="key-2")
    reported("FILL_CORRECTED", **filling("execution-2", 20), p_ref_execution_id="execution-1")
    reported("RESTATED", p_quantity=40, p_price="10.20")
    with connected(database, "blotter_trader", ALICE) as trader:
        keyed = {"p_request_key": "key-3", "p_request_digest": DIGEST}
        assert cancel(trader, order_id, p_reason="enough", **keyed) == "APPLIED"
    sequence += 1
    check(database, sequence, "CANCEL_REQUESTED", "blotter_trader")
    reported("CANCEL_REFUSED", p_error_code="TOO_LATE_TO_CANCEL")
    reported("DONE_FOR_DAY")
    reported("CANCELLED", p_reason="by the venue")
    reported("FILL_BUSTED", p_execution_id="execution-3", p_ref_execution_id="execution-2")
    with connected(database, "blotter_compliance") as compliance:
        assert compliance.execute(
            "SELECT sequence, action::text, request_key, answered_key, terms FROM execution_logs"
            " WHERE coalesce(request_key, answered_key, terms::text) IS NOT NULL ORDER BY sequence"
        ).fetchall() == [
            (2, "REPLACED", "key-1", None, {"quantity": 90, "take_profit": None}),
            (5, "REPLACE_REQUESTED", "key-2", None, REQUESTED),
            (7, "REPLACED", None, "key-2", REQUESTED),
            (9, "RESTATED", None, None, {"quantity": 40, "price": "10.2"}),
            (10, "CANCEL_REQUESTED", "key-3", None, None),
            (11, "CANCEL_REFUSED", None, "key-3", None),
        ]


REQUESTED = {"quantity": 50, "price": "10.125", "expires_at": "2098-01-01T00:00:00.000000Z"}


def test_a_log_has_the_values_of_its_fill_and_of_its_correction(database: Database) -> None:
    with connected(database, "blotter_trader", ALICE) as trader:
        order_id = submit(trader)
    with connected(database, "blotter_execution", ALICE) as gateway:
        filled = filling("execution-1", 40) | {"p_commission": "0.5", "p_trade_date": "2026-01-05"}
        assert report(gateway, order_id, "FILLED", "report-1", **filled) == "APPLIED"
        corrected = filling("execution-2", 30) | {"p_price": "10.5", "p_ref_execution_id": "execution-1"}
        assert report(gateway, order_id, "FILL_CORRECTED", "report-2", **corrected) == "APPLIED"
        logged = ("timestamp", "venue", "execution_id", "trade_date", "fill_quantity", "fill_price", "fill_commission",
                  "fill_id", "created_at")  # fmt: skip
        fill = ("timestamp", "venue", "execution_id", "trade_date", "quantity_filled", "price_at_fill", "commission",
                "id", "created_at")  # fmt: skip
        correction = (*logged[:4], "quantity", "price", "commission", "fill_id", "created_at")
        assert row(gateway, "execution_logs", logged, "sequence = 2") == row(gateway, "fills", fill)
        assert row(gateway, "execution_logs", logged, "sequence = 3") == row(gateway, "fill_corrections", correction)
        assert one(gateway, "SELECT ref_execution_id FROM execution_logs WHERE sequence = 3") == "execution-1"


def test_a_change_is_recorded_no_earlier_than_the_one_before_though_the_clock_goes_back(database: Database) -> None:
    ahead = datetime.now(UTC) + timedelta(days=1)
    with connected(database, "blotter_trader", ALICE) as trader:
        order_id = submit(trader)
    with connected(database, "postgres") as superuser:
        # As if the clock had been a day ahead when the order was entered.
        superuser.execute("SET LOCAL session_replication_role = replica")
        superuser.execute("UPDATE orders SET updated_at = %s", [ahead])
    with connected(database, "blotter_execution", ALICE) as gateway:
        for number in range(3):
            filled = filling(f"execution-{number}")
            assert report(gateway, order_id, "FILLED", f"report-{number}", **filled) == "APPLIED"
    with connected(database, "blotter_trader", ALICE) as trader:
        assert cancel(trader, order_id) == "APPLIED"
    with connected(database, "blotter_compliance") as compliance:
        times = "SELECT array_agg(DISTINCT created_at) FROM execution_logs WHERE sequence > 1"
        assert one(compliance, times) == [ahead]
        assert row(compliance, "orders", ("updated_at",)) == (ahead,)
        assert one(compliance, "SELECT array_agg(DISTINCT created_at) FROM fills") == [ahead]


def test_a_refused_report_logs_the_order_as_it_was(database: Database) -> None:
    with connected(database, "blotter_trader", ALICE) as trader:
        order_id: UUID = submit(trader, **FULL)
        assert cancel(trader, order_id) == "APPLIED"
    with connected(database, "blotter_execution", ALICE) as gateway:
        before = row(gateway, "orders", STATE)
        refused = {"p_reason": "why", "p_error_code": "ITS_OWN", "p_request_key": "key"}
        assert report(gateway, order_id, "APPROVED", **refused) == "ORDER_CLOSED"
        assert row(gateway, "orders", STATE) == before
        assert row(gateway, "execution_logs", STATE, "sequence = 3") == before
        logged = ("action::text", "refused", "error_code", "reason")
        answer = ("REJECTED", True, "ORDER_CLOSED", "APPROVED refused: why")
        assert row(gateway, "execution_logs", logged, "sequence = 3") == answer
