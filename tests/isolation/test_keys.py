"""Keys reveal nothing of other traders: another trader's row and no row get the same answer, without a wait."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest

from tests.conftest import ALICE, BOB, Database
from tests.isolation.desk import (
    DIGEST,
    NO_SUCH_ORDER,
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
    report,
    submit,
)

INSERT = """
    INSERT INTO orders (trader_id, client_order_id, request_digest, symbol, side, order_type, quantity,
                        last_sequence)
    VALUES (%s, 'first', %s, 'AAPL', 'BUY', 'MARKET', 1, 9)"""

LOG_AGAIN = """
    INSERT INTO execution_logs (
        trader_id, order_id, sequence, action, actor, request_id, timestamp, created_at, status,
        client_order_id, symbol, side, order_type, quantity, order_created_at, filled_quantity,
        filled_notional)
    SELECT
        trader_id, %s, 2, action, actor, request_id, timestamp, created_at, status, client_order_id,
        symbol, side, order_type, quantity, order_created_at, filled_quantity, filled_notional
    FROM execution_logs WHERE trader_id = %s"""


def answer(error: psycopg.Error, *hidden: UUID) -> tuple[str | None, ...]:
    """All fields of an error, without the ids that the caller itself sent."""
    shown = [error.sqlstate, error.diag.message_primary, error.diag.message_detail, error.diag.constraint_name]
    for order_id in hidden:
        shown = [text and text.replace(str(order_id), "<id>") for text in shown]
    return tuple(shown)


@pytest.mark.parametrize("clause", ["DO NOTHING", "DO UPDATE SET status = 'CANCELLED', last_sequence = 9"])
def test_on_conflict_does_not_reach_another_s_order(database: Database, clause: str) -> None:
    enter(database, BOB)
    for trader_id in (BOB, UUID(int=7)):
        with connected(database, "blotter_trader", ALICE) as trader, refused("42501"):
            trader.execute(f"{INSERT} ON CONFLICT (trader_id, client_order_id) {clause}".encode(), [trader_id, DIGEST])
    with connected(database, "blotter_compliance") as compliance:
        assert compliance.execute("SELECT trader_id, status FROM orders").fetchall() == [(BOB, "PENDING")]


def test_on_conflict_on_the_counter_does_not_reach_another_s(database: Database) -> None:
    enter(database, BOB)
    for login in ("blotter_trader", "blotter_execution"):
        for clause in ("DO NOTHING", "DO UPDATE SET last_sequence = 9"):
            with connected(database, login, ALICE) as connection, refused("42501"):
                connection.execute(
                    f"INSERT INTO trader_sequences (trader_id) VALUES (%s) ON CONFLICT (trader_id) {clause}".encode(),
                    [BOB],
                )


def test_a_client_order_id_that_another_trader_uses_is_free_and_needs_no_waiting(database: Database) -> None:
    enter(database, BOB, "shared")
    with connected(database, "blotter_trader", BOB) as bob:
        submit(bob, BOB, "in-flight")  # a unique key without the trader would make ALICE wait for BOB's commit
        with connected(database, "blotter_trader", ALICE) as alice:
            alice.execute("SET LOCAL lock_timeout = '2s'")
            submit(alice, ALICE, "shared")
            submit(alice, ALICE, "in-flight")


def test_an_execution_id_or_report_id_of_another_trader_is_free_and_needs_no_waiting(
    database: Database,
) -> None:
    orders = {trader_id: enter(database, trader_id) for trader_id in (ALICE, BOB)}
    with connected(database, "blotter_execution", BOB) as for_bob:
        ids = {"report_id": "report-1", "execution_id": "execution-1", "quantity": 5}
        assert report(for_bob, BOB, orders[BOB], "FILLED", **ids) == "APPLIED"  # type: ignore[arg-type]
        with connected(database, "blotter_execution", ALICE) as for_alice:
            for_alice.execute("SET LOCAL lock_timeout = '2s'")
            assert report(for_alice, ALICE, orders[ALICE], "FILLED", **ids) == "APPLIED"  # type: ignore[arg-type]


@pytest.mark.parametrize("open_order", [True, False], ids=["open", "cancelled"])
def test_a_log_on_another_s_order_fails_like_a_log_on_no_order(database: Database, open_order: bool) -> None:
    foreign = enter(database, BOB)
    if not open_order:
        with connected(database, "blotter_trader", BOB) as bob:
            cancel(bob, BOB, foreign)
    enter(database, ALICE)
    answers = set()
    for order_id in (foreign, NO_SUCH_ORDER):
        with connected(database, "blotter_trader", ALICE) as trader:
            count(trader, ALICE, 2)
            with pytest.raises(psycopg.Error) as caught:
                raw_log(trader, ALICE, order_id, 2, "CANCELLED")
            answers.add(answer(caught.value, order_id))
            trader.rollback()
    assert len(answers) == 1


def test_a_fill_on_another_s_order_fails_like_a_fill_on_no_order(database: Database) -> None:
    foreign = enter(database, BOB)
    enter(database, ALICE)
    answers = set()
    for order_id in (foreign, NO_SUCH_ORDER):
        with connected(database, "blotter_execution", ALICE) as gateway:
            with pytest.raises(psycopg.errors.ForeignKeyViolation) as caught:
                raw_fill(gateway, ALICE, order_id, 2, quantity=5)
            answers.add(answer(caught.value, order_id))
            gateway.rollback()
    assert len(answers) == 1


def test_the_foreign_key_alone_reveals_nothing_without_the_trigger(database: Database) -> None:
    foreign = enter(database, BOB)
    enter(database, ALICE)
    with psycopg.connect(database.conninfo("postgres"), autocommit=True) as superuser:
        superuser.execute("ALTER TABLE execution_logs DISABLE TRIGGER execution_logs_take_state")
    answers = set()
    for order_id in (foreign, NO_SUCH_ORDER):
        with connected(database, "postgres") as superuser:
            with pytest.raises(psycopg.errors.ForeignKeyViolation) as caught:
                superuser.execute(LOG_AGAIN, [order_id, ALICE])
            answers.add(answer(caught.value, order_id))
            superuser.rollback()
    assert {text[3] for text in answers} == {"fk_execution_logs_order_id"}
    assert len(answers) == 1


@pytest.mark.parametrize("sent", [ALICE, BOB, UUID(int=7)], ids=["own", "another's", "unknown"])
def test_functions_called_for_a_trader_who_is_not_named_write_nothing(database: Database, sent: UUID) -> None:
    """The identity is none or ALICE, the function's trader any. Only ALICE for ALICE succeeds."""
    order_id = enter(database, BOB)
    for named in (None, ALICE):
        with connected(database, "blotter_trader", named) as trader:
            if sent == named:
                submit(trader, sent, "second")
                continue
            with refused("42501"), trader.transaction():
                submit(trader, sent, "second")
            with refused("42501"), trader.transaction():
                trader.execute("SELECT cancel_open_orders(%s, NULL, false, 'loot', 'intruder', 'request')", [sent])
            assert cancel(trader, sent, order_id) == "ORDER_NOT_FOUND"
    with connected(database, "blotter_compliance") as compliance:
        assert one(compliance, "SELECT status FROM orders WHERE id = %s", order_id) == "PENDING"
        assert one(compliance, "SELECT count(*) FROM execution_logs WHERE trader_id = %s", BOB) == 1


def test_a_dry_run_for_another_trader_reveals_no_key_in_use(database: Database) -> None:
    enter(database, BOB, "taken")
    with connected(database, "blotter_trader", ALICE) as trader:
        outcomes = {
            one(
                trader,
                "SELECT outcome FROM submit_order(%s, %s, %s, 'AAPL', 'BUY', 'MARKET', 1, NULL, NULL,"
                " NULL, NULL, true, 'desk', 'request')",
                *(BOB, client_order_id, DIGEST),
            )
            for client_order_id in ("taken", "free")
        }
    assert outcomes == {"VALID"}


def test_cancel_reveals_nothing_of_another_s_orders_by_either_key(database: Database) -> None:
    order_id = enter(database, BOB, "taken")
    with connected(database, "blotter_trader", ALICE) as trader:
        for trader_id, by_id, by_key in (
            (ALICE, order_id, None),
            (BOB, order_id, None),
            (ALICE, None, "taken"),
            (BOB, None, "taken"),
        ):
            query = "SELECT outcome FROM cancel_order(%s, %s, %s, 'loot', 'intruder', 'request')"
            assert one(trader, query, trader_id, by_id, by_key) == "ORDER_NOT_FOUND"


@pytest.mark.parametrize("named", [ALICE, None], ids=["another trader", "nobody"])
def test_the_gateway_reports_for_no_trader_it_did_not_name(database: Database, named: UUID | None) -> None:
    order_id = enter(database, BOB)
    with connected(database, "blotter_execution", named) as gateway:
        for action in ("APPROVED", "REJECTED", "CANCELLED", "FILLED"):
            with refused("42501"), gateway.transaction():
                report(gateway, BOB, order_id, action, execution_id="execution-1", quantity=5)
        with refused("42501"), gateway.transaction():
            gateway.execute("SELECT cancel_open_orders(%s, NULL, true, 'EXPIRED', 'gateway', 'request')", [BOB])
        assert raw_update(gateway, order_id, 2, status="REJECTED") == 0
        assert count(gateway, BOB, 2) == 0
        with refused("42501"), gateway.transaction():
            raw_log(gateway, BOB, order_id, 1, "APPROVED")
        with refused("42501"), gateway.transaction():
            raw_fill(gateway, BOB, order_id, 2, quantity=5)


def test_an_order_under_another_s_name_cannot_be_entered(database: Database) -> None:
    with connected(database, "blotter_trader", ALICE) as trader, refused("42501"):
        raw_order(trader, BOB, 1)


def test_the_same_ids_are_kept_apart_for_compliance_to_see(database: Database) -> None:
    for trader_id in (ALICE, BOB):
        fill(database, trader_id, enter(database, trader_id, "shared"), 10, "execution-1")
    with connected(database, "blotter_compliance") as compliance:
        rows = compliance.execute(
            "SELECT trader_id, client_order_id, execution_id, sequence FROM execution_logs"
            " WHERE action = 'FILLED' ORDER BY trader_id"
        ).fetchall()
    assert rows == [(ALICE, "shared", "execution-1", 2), (BOB, "shared", "execution-1", 2)]
