"""The transaction's trader: how long the setting lasts, and that no cached plan applies to another trader."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import psycopg
import pytest

from tests.conftest import ALICE, BOB, Database
from tests.isolation.desk import (
    Connection,
    act_as,
    cancel,
    connected,
    enter,
    fill,
    one,
    refused,
    report,
    submit,
)

MINE = b"SELECT trader_id FROM orders"


def seen(connection: Connection, query: bytes = MINE, *, prepare: bool = False) -> set[UUID]:
    return {row[0] for row in connection.execute(query, prepare=prepare)}


@pytest.fixture
def both(database: Database) -> Database:
    """An order of ALICE and one of BOB."""
    for trader_id in (ALICE, BOB):
        enter(database, trader_id)
    return database


def test_act_as_returns_whether_the_trader_is_known(database: Database) -> None:
    with connected(database, "blotter_trader") as trader:
        assert act_as(trader, ALICE)
        assert not act_as(trader, UUID(int=7))
        assert act_as(trader, None)


def test_no_identity_is_left_on_a_connection_after_commit_rollback_or_error(both: Database) -> None:
    def fail(connection: Connection) -> None:
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1 / 0")
        connection.rollback()

    endings: list[Callable[[Connection], None]] = [
        psycopg.Connection.commit,
        psycopg.Connection.rollback,
        fail,
    ]
    with psycopg.connect(both.conninfo("blotter_trader")) as trader:
        for end in endings:
            act_as(trader, ALICE)
            assert seen(trader) == {ALICE}
            end(trader)
            assert one(trader, "SELECT current_setting('app.trader_id', true)") == ""
            assert seen(trader) == set()
            trader.commit()


def test_one_message_carries_identity_and_statement_and_leaves_no_identity(both: Database) -> None:
    with psycopg.connect(
        both.conninfo("blotter_trader"), autocommit=True, cursor_factory=psycopg.ClientCursor
    ) as trader:
        cursor = trader.execute(f"SELECT act_as('{ALICE}'); SELECT trader_id FROM orders".encode())
        assert cursor.nextset()
        assert cursor.fetchall() == [(ALICE,)]
        assert trader.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert trader.execute("SELECT trader_id FROM orders").fetchall() == []


def test_one_connection_serves_two_traders_in_turn(both: Database) -> None:
    with psycopg.connect(both.conninfo("blotter_trader")) as trader:
        for trader_id in (ALICE, BOB, ALICE):
            act_as(trader, trader_id)
            assert seen(trader) == {trader_id}
            trader.commit()


def test_the_last_act_as_of_a_transaction_decides(both: Database) -> None:
    with connected(both, "blotter_trader", ALICE) as trader:
        act_as(trader, BOB)
        assert seen(trader) == {BOB}
        act_as(trader, None)
        assert seen(trader) == set()


def test_an_identity_set_in_a_savepoint_that_is_rolled_back_is_gone(both: Database) -> None:
    with connected(both, "blotter_trader", ALICE) as trader:
        with trader.transaction(force_rollback=True):
            act_as(trader, BOB)
            assert seen(trader) == {BOB}
        assert seen(trader) == {ALICE}


def test_orders_of_two_traders_in_one_transaction_are_each_checked_under_their_own_name(
    database: Database,
) -> None:
    """Grouped submits: checks that are deferred to the commit apply to the first trader too."""
    with connected(database, "blotter_trader") as trader:
        for trader_id in (ALICE, BOB):
            act_as(trader, trader_id)
            submit(trader)
    with connected(database, "blotter_compliance") as compliance:
        assert seen(compliance) == {ALICE, BOB}


@pytest.mark.parametrize("times", [1, 8])
def test_a_plan_prepared_by_the_driver_does_not_keep_the_identity_it_was_made_under(both: Database, times: int) -> None:
    """Eight runs, because the server may use a generic plan after the fifth."""
    with psycopg.connect(both.conninfo("blotter_trader")) as trader:
        for trader_id in (ALICE, BOB):
            for _ in range(times):
                act_as(trader, trader_id)
                assert seen(trader, prepare=True) == {trader_id}
                trader.commit()
        assert seen(trader, prepare=True) == set()


def test_a_plan_prepared_by_hand_does_not_keep_the_identity_it_was_made_under(both: Database) -> None:
    with psycopg.connect(both.conninfo("blotter_trader"), autocommit=True) as trader:
        trader.execute("SET plan_cache_mode = force_generic_plan")
        with trader.transaction():
            act_as(trader, ALICE)
            trader.execute("PREPARE mine AS SELECT trader_id FROM orders")
            assert seen(trader, b"EXECUTE mine") == {ALICE}
        with trader.transaction():
            act_as(trader, BOB)
            assert seen(trader, b"EXECUTE mine") == {BOB}
        assert seen(trader, b"EXECUTE mine") == set()


def test_the_functions_kept_plans_work_for_each_trader_in_turn(database: Database) -> None:
    orders: list[tuple[UUID, UUID]] = []
    with psycopg.connect(database.conninfo("blotter_trader")) as trader:
        for number in range(8):
            for trader_id in (ALICE, BOB):
                act_as(trader, trader_id)
                orders.append((trader_id, submit(trader, f"order-{number}")))
                trader.commit()
        for trader_id, order_id in orders:
            stranger = BOB if trader_id == ALICE else ALICE
            act_as(trader, stranger)
            assert cancel(trader, order_id) == "ORDER_NOT_FOUND"
            trader.commit()
            act_as(trader, trader_id)
            assert cancel(trader, order_id) == "APPLIED"
            trader.commit()


def test_the_gateway_s_kept_plans_write_for_the_named_trader_only(both: Database) -> None:
    with psycopg.connect(both.conninfo("blotter_execution")) as gateway:
        orders: dict[UUID, UUID] = dict(gateway.execute("SELECT trader_id, id FROM orders").fetchall())
        for number in range(8):
            for trader_id, order_id in orders.items():
                act_as(gateway, trader_id)
                assert report(gateway, order_id, "APPROVED", f"r-{number}") == "APPLIED"
                gateway.commit()
        act_as(gateway, BOB)
        assert report(gateway, orders[ALICE], "APPROVED", "foreign") == "ORDER_NOT_FOUND"


def test_a_function_in_a_cursor_acts_for_the_trader_who_is_named_when_it_is_read(both: Database) -> None:
    with connected(both, "blotter_trader", ALICE) as trader:
        trader.execute("DECLARE cancelled CURSOR FOR SELECT * FROM cancel_open_orders(NULL, NULL, 'desk', 'r', NULL)")
        act_as(trader, BOB)
        assert len(trader.execute("FETCH ALL FROM cancelled").fetchall()) == 1
    with connected(both, "blotter_compliance") as compliance:
        assert seen(compliance, b"SELECT trader_id FROM orders WHERE status = 'CANCELLED'") == {BOB}


def test_functions_in_one_statement_act_each_for_the_trader_who_was_named_last(both: Database) -> None:
    with connected(both, "blotter_trader") as trader:
        trader.execute(
            "SELECT act_as(%s), set_cancel_timer('1 minute', 'first', 'r'),"
            " act_as(%s), set_cancel_timer('1 minute', 'second', 'r')",
            [ALICE, BOB],
        )
    with connected(both, "blotter_compliance") as compliance:
        assert compliance.execute("SELECT trader_id, actor FROM cancel_timers ORDER BY actor").fetchall() == [
            (ALICE, "first"),
            (BOB, "second"),
        ]


def test_a_cursor_ends_with_the_transaction_of_its_trader(both: Database) -> None:
    with psycopg.connect(both.conninfo("blotter_trader")) as trader:
        act_as(trader, ALICE)
        trader.execute("DECLARE mine CURSOR FOR SELECT trader_id FROM orders")
        trader.commit()
        act_as(trader, BOB)
        with refused("34000"):
            trader.execute("FETCH ALL FROM mine")


def test_a_cursor_left_open_shows_the_trader_who_is_named_when_it_is_read(both: Database) -> None:
    with connected(both, "blotter_trader", ALICE) as trader:
        for trader_id, visible in ((BOB, {BOB}), (None, set())):
            trader.execute("DECLARE mine CURSOR FOR SELECT trader_id FROM orders")
            act_as(trader, trader_id)
            assert seen(trader, b"FETCH ALL FROM mine") == visible
            trader.execute("CLOSE mine")


def test_a_server_side_cursor_of_the_driver_sees_the_trader_s_rows_only(both: Database) -> None:
    with connected(both, "blotter_trader", BOB) as trader, trader.cursor("mine") as cursor:
        assert {row[0] for row in cursor.execute("SELECT trader_id FROM orders")} == {BOB}


def test_a_malformed_identity_is_an_error_and_not_an_empty_result(both: Database) -> None:
    with connected(both, "blotter_trader") as trader:
        trader.execute("SELECT set_config('app.trader_id', 'not-a-uuid', true)")
        with refused("22P02"):
            seen(trader)


def test_a_trader_s_joins_and_subqueries_reach_only_own_rows(both: Database) -> None:
    with connected(both, "blotter_compliance") as compliance:
        order_id = one(compliance, "SELECT id FROM orders WHERE trader_id = %s", BOB)
    fill(both, BOB, order_id, 10, "execution-1")
    with connected(both, "blotter_trader", ALICE) as trader:
        assert one(trader, "SELECT count(*) FROM traders LEFT JOIN fills ON true LEFT JOIN orders ON true") == 1
        assert one(trader, "SELECT (SELECT count(*) FROM fills) + (SELECT count(*) FROM execution_logs)") == 1
        assert one(trader, "SELECT count(*) FROM orders WHERE id = %s OR trader_id = %s", order_id, BOB) == 0
