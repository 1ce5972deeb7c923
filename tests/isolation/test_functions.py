"""Decisions of the writing functions in which a single condition separates two outcomes."""

from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from uuid import UUID

from tests.conftest import ALICE, Database
from tests.isolation.desk import DIGEST, cancel, connected, enter, fill, one, report, submit

FILL = """SELECT outcome FROM report_execution(%s, %s, %s, %s, 'FILLED', '2012-06-21Z', %s, NULL, NULL, 0,
    'execution-1', 10, 10.25, 0, 'gateway', 'request')"""


def test_a_partly_filled_order_is_cancelled(database: Database) -> None:
    order_id = enter(database, ALICE)
    fill(database, ALICE, order_id, 40, "execution-1")
    with connected(database, "blotter_trader", ALICE) as trader:
        assert cancel(trader, ALICE, order_id) == "APPLIED"
        assert one(trader, "SELECT status::text FROM orders") == "CANCELLED"


def test_an_execution_id_is_one_venue_s_and_one_order_s(database: Database) -> None:
    first, second = enter(database, ALICE, "first"), enter(database, ALICE, "second")
    with connected(database, "blotter_execution", ALICE) as gateway:
        assert one(gateway, FILL, ALICE, first, "report-1", DIGEST, "XNAS") == "APPLIED"
        assert one(gateway, FILL, ALICE, first, "report-2", DIGEST, "XNAS") == "REPLAYED"
        assert one(gateway, FILL, ALICE, second, "report-3", DIGEST, "XNAS") == "EXECUTION_ID_REUSED"
        assert one(gateway, FILL, ALICE, first, "report-4", DIGEST, "XNYS") == "APPLIED"
        assert one(gateway, "SELECT filled_quantity FROM orders WHERE id = %s", first) == 20


def test_the_log_of_a_refused_report_names_the_action_that_was_refused(database: Database) -> None:
    order_id = enter(database, ALICE)
    with connected(database, "blotter_execution", ALICE) as gateway:
        assert report(gateway, ALICE, order_id, "REJECTED", report_id="report-1") == "APPLIED"
        assert report(gateway, ALICE, order_id, "APPROVED", report_id="report-2") == "ORDER_CLOSED"
        assert one(gateway, "SELECT reason FROM execution_logs WHERE refused") == "APPROVED refused"


def test_cancels_that_wait_for_one_lock_are_one_event(database: Database) -> None:
    order_id = enter(database, ALICE)

    def try_cancel(_: int) -> str:
        with connected(database, "blotter_trader", ALICE) as trader:
            return cancel(trader, ALICE, order_id)

    with ThreadPoolExecutor(3) as threads:
        with connected(database, "blotter_trader", ALICE) as holder:
            one(holder, "SELECT lock_trader_sequence(%s)", ALICE)
            outcomes = [threads.submit(try_cancel, number) for number in range(3)]
            until_waiting(database, 3)
        assert sorted(outcome.result(30) for outcome in outcomes) == ["APPLIED", "REPLAYED", "REPLAYED"]
    assert events(database, order_id) == ["SUBMITTED", "CANCELLED"]


def test_a_cancel_of_all_that_waits_for_the_lock_includes_what_was_committed_meanwhile(database: Database) -> None:
    enter(database, ALICE, "before")

    def cancel_all() -> int:
        with connected(database, "blotter_trader", ALICE) as trader:
            return int(one(trader, "SELECT count(*) FROM cancel_open_orders(%s, NULL, false, NULL, 'a', 'r')", ALICE))

    with ThreadPoolExecutor(1) as threads:
        with connected(database, "blotter_trader", ALICE) as holder:
            submit(holder, ALICE, "meanwhile")
            cancelled = threads.submit(cancel_all)
            until_waiting(database, 1)
        assert cancelled.result(30) == 2


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
    some = """SELECT array_agg(id ORDER BY place)
        FROM cancel_open_orders(%s, NULL, %s, NULL, 'desk', 'request', %s) WITH ORDINALITY AS _ (id, place)"""
    with connected(database, "blotter_trader", ALICE) as trader:
        assert one(trader, some, ALICE, True, None) is None, "none of them expires"
        assert one(trader, some, ALICE, False, 1) == orders[:1]
    # An update moves an order's row in the table; the result must be in the order of entry with any plan.
    fill(database, ALICE, orders[1], 40, "execution-2")
    with connected(database, "blotter_trader", ALICE) as trader:
        trader.execute("SET LOCAL enable_indexscan = off")
        trader.execute("SET LOCAL enable_bitmapscan = off")
        assert one(trader, some, ALICE, False, 2) == orders[1:3]
        assert one(trader, some, ALICE, False, None) == orders[3:]
