"""Decisions of the writing functions in which a single condition separates two outcomes."""

from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from uuid import UUID

import pytest

from tests.conftest import ALICE, Database
from tests.isolation.desk import (
    DIGEST,
    call,
    cancel,
    connected,
    enter,
    fill,
    filling,
    one,
    outcome,
    refused,
    report,
    submit,
)


def test_a_partly_filled_order_asks_its_venue_to_cancel(database: Database) -> None:
    order_id = enter(database, ALICE)
    fill(database, ALICE, order_id, 40, "execution-1")
    with connected(database, "blotter_trader", ALICE) as trader:
        assert cancel(trader, order_id) == "APPLIED"
        assert trader.execute("SELECT status::text, pending_kind::text FROM orders").fetchone() == ("PARTIAL", "CANCEL")
        assert cancel(trader, order_id) == "REPLAYED"
    assert events(database, order_id) == ["SUBMITTED", "FILLED", "CANCEL_REQUESTED"]


def test_an_execution_id_is_one_venue_s_one_day_s_and_one_order_s(database: Database) -> None:
    first, second = enter(database, ALICE, "first"), enter(database, ALICE, "second")
    with connected(database, "blotter_execution", ALICE) as gateway:
        for number, order_id, columns, expected in (
            (1, first, {}, "APPLIED"),
            (2, first, {}, "REPLAYED"),
            (3, second, {}, "EXECUTION_ID_REUSED"),
            (4, first, {"p_venue": "XNYS"}, "APPLIED"),
            (5, first, {"p_trade_date": "2026-01-03"}, "APPLIED"),
            (6, first, {"p_price": "10.26"}, "EXECUTION_ID_REUSED"),
        ):
            arguments = filling() | columns
            assert report(gateway, order_id, "FILLED", f"report-{number}", **arguments) == expected, number
        assert one(gateway, "SELECT filled_quantity FROM orders WHERE id = %s", first) == 30


def test_the_log_of_a_refused_report_names_the_action_that_was_refused(database: Database) -> None:
    order_id = enter(database, ALICE)
    with connected(database, "blotter_execution", ALICE) as gateway:
        assert report(gateway, order_id, "REJECTED", "report-1") == "APPLIED"
        assert report(gateway, order_id, "APPROVED", "report-2") == "ORDER_CLOSED"
        assert report(gateway, order_id, "APPROVED", "report-2") == "ORDER_CLOSED"
        assert one(gateway, "SELECT string_agg(reason, ' ') FROM execution_logs WHERE refused") == "APPROVED refused"


@pytest.mark.parametrize("function", ["cancel_order", "replace_order"])
def test_requests_that_wait_for_one_lock_are_one_event(database: Database, function: str) -> None:
    order_id = enter(database, ALICE)
    keys = {"p_request_key": "key", "p_request_digest": DIGEST}

    def request(_: int) -> str:
        with connected(database, "blotter_trader", ALICE) as trader:
            return outcome(trader, function, p_order_id=order_id, **keys)

    with ThreadPoolExecutor(3) as threads:
        with connected(database, "postgres") as holder:
            one(holder, "SELECT last_sequence FROM trader_sequences FOR NO KEY UPDATE")
            outcomes = [threads.submit(request, number) for number in range(3)]
            until_waiting(database, 3)
        assert sorted(outcome.result(30) for outcome in outcomes) == ["APPLIED", "REPLAYED", "REPLAYED"]
    assert events(database, order_id) == ["SUBMITTED", "CANCELLED" if function == "cancel_order" else "REPLACED"]


def test_a_cancel_of_all_that_waits_for_the_lock_includes_what_was_committed_meanwhile(database: Database) -> None:
    enter(database, ALICE, "before")

    def cancel_all() -> int:
        with connected(database, "blotter_trader", ALICE) as trader:
            return len(call(trader, "cancel_open_orders"))

    with ThreadPoolExecutor(1) as threads:
        with connected(database, "blotter_trader", ALICE) as holder:
            submit(holder, "meanwhile")
            cancelled = threads.submit(cancel_all)
            until_waiting(database, 1)
        assert cancelled.result(30) == 2


@pytest.mark.parametrize("function", ["expire_orders", "fire_cancel_timer"])
def test_what_runs_by_itself_does_not_wait_for_a_trader(database: Database, function: str) -> None:
    enter(database, ALICE)
    with (
        connected(database, "blotter_trader", ALICE) as trader,
        connected(database, "blotter_execution", ALICE) as gateway,
    ):
        submit(trader, "second")
        with refused("55P03"), gateway.transaction():
            call(gateway, function)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_snapshot_from_before_another_s_event_writes_nothing(database: Database, level: str) -> None:
    """A session chooses its isolation level: what it read before the lock may be old, and it is given no identity."""
    order_id = enter(database, ALICE)
    with connected(database, "blotter_trader") as trader:
        trader.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
        with refused("42501", "identity_is_signed"):
            one(trader, "SELECT act_as(%s)", ALICE)
        trader.rollback()
        trader.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
        one(trader, "SELECT set_config('app.trader_id', %s, true)", str(ALICE))
        fill(database, ALICE, order_id, 100, "execution-1")
        with refused("42501", "identity_is_signed"):
            cancel(trader, order_id)
        trader.rollback()
    assert events(database, order_id) == ["SUBMITTED", "FILLED"]


def until_waiting(database: Database, count: int) -> None:
    """Wait until so many sessions wait for a lock."""
    deadline = monotonic() + 30
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with connected(database, "postgres") as superuser:
        while one(superuser, waiting) < count:
            assert monotonic() < deadline, "they do not wait"
            sleep(0.01)
            superuser.rollback()


def events(database: Database, order_id: UUID) -> list[str]:
    """The actions of an order's events, in their order."""
    with connected(database, "postgres") as superuser:
        query = "SELECT action::text FROM execution_logs WHERE order_id = %s ORDER BY sequence"
        return [action for (action,) in superuser.execute(query, [order_id])]


def test_open_orders_are_cancelled_the_oldest_first_and_no_more_than_asked(database: Database) -> None:
    orders = [enter(database, ALICE, str(number)) for number in range(4)]
    fill(database, ALICE, orders[0], 40, "execution-1")
    with connected(database, "blotter_trader", ALICE) as trader:
        assert call(trader, "cancel_open_orders", p_most=1) == [(orders[0], True)]
    # An update moves an order's row in the table; the result must be in the order of entry with any plan.
    with connected(database, "blotter_execution", ALICE) as gateway:
        assert report(gateway, orders[1], "APPROVED") == "APPLIED"
    with connected(database, "blotter_trader", ALICE) as trader:
        trader.execute("SET LOCAL enable_indexscan = off")
        trader.execute("SET LOCAL enable_bitmapscan = off")
        assert call(trader, "cancel_open_orders", p_most=2) == [(orders[1], False), (orders[2], False)]
        assert call(trader, "cancel_open_orders") == [(orders[3], False)]
        assert call(trader, "cancel_open_orders") == []
