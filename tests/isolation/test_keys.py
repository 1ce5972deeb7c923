"""Keys reveal nothing of other traders: another trader's row and no row get the same answer, without a wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.conftest import ALICE, BOB, Database, cloned
from tests.isolation.desk import (
    DIGEST,
    NO_SUCH_ORDER,
    WRITER,
    Connection,
    call,
    cancel,
    connected,
    correct,
    enter,
    fill,
    filling,
    insert,
    one,
    outcome,
    raw_fill,
    raw_log,
    report,
    submit,
)


@pytest.fixture(scope="module")
def foreign(template: Database) -> Iterator[tuple[Database, UUID]]:
    """BOB's order at a venue, with a pending replace, a fill that was corrected, and its id; nothing of ALICE."""
    with cloned(template, "blotter_foreign") as database:
        order_id = enter(database, BOB, "taken")
        fill(database, BOB, order_id, 10, "execution-1")
        correct(database, BOB, order_id, "execution-2", "execution-1")
        with connected(database, "blotter_trader", BOB) as bob:
            assert outcome(bob, "replace_order", p_order_id=order_id, p_request_key="request-key") == "APPLIED"
            call(bob, "set_cancel_timer", p_timeout="0.001 seconds")
        yield database, order_id


def rows_of_bob(database: Database) -> tuple[object, ...] | None:
    with connected(database, "blotter_compliance") as compliance:
        return compliance.execute(
            "SELECT (SELECT orders::text FROM orders), (SELECT array_agg(l::text ORDER BY sequence)"
            " FROM execution_logs AS l), (SELECT cancel_timers::text FROM cancel_timers)"
        ).fetchone()


@pytest.fixture(autouse=True)
def _untouched(request: pytest.FixtureRequest) -> Iterator[None]:
    """BOB's rows are the same after every test that has them."""
    if "foreign" not in request.fixturenames:
        yield
        return
    database, _ = request.getfixturevalue("foreign")
    before = rows_of_bob(database)
    yield
    assert rows_of_bob(database) == before


BY_ID = [
    ("cancel_order", {}),
    ("cancel_order", {"p_request_key": "request-key", "p_request_digest": DIGEST}),
    ("replace_order", {}),
    ("replace_order", {"p_request_key": "request-key"}),
    ("replace_order", {"p_terms": '{"price": "NaN"}', "p_expected_sequence": 1}),
]


def answers(connection: Connection, function: str, arguments: dict[str, Any]) -> tuple[object, ...]:
    """The whole row that a function returns."""
    [row] = call(connection, function, **arguments)
    return row


@pytest.mark.parametrize(("function", "arguments"), BY_ID)
def test_a_trader_gets_the_same_answer_for_another_s_order_as_for_none(
    foreign: tuple[Database, UUID], function: str, arguments: dict[str, Any]
) -> None:
    database, order_id = foreign
    with connected(database, "blotter_trader", ALICE) as alice:
        for known, unknown in (
            ({"p_order_id": order_id}, {"p_order_id": NO_SUCH_ORDER}),
            ({"p_client_order_id": "taken"}, {"p_client_order_id": "free"}),
            ({"p_client_order_id": "request-key"}, {"p_client_order_id": "free"}),
        ):
            answer = answers(alice, function, arguments | known)
            assert answer[0] == "ORDER_NOT_FOUND"
            assert answer == answers(alice, function, arguments | unknown)
        assert one(alice, "SELECT count(*) FROM trader_sequences") == 0, "nothing was locked or written"


def test_a_trader_finds_no_order_of_another_by_its_keys(foreign: tuple[Database, UUID]) -> None:
    database, order_id = foreign
    with connected(database, "blotter_trader") as trader:
        for named, found in ((ALICE, None), (BOB, order_id)):
            one(trader, "SELECT act_as(%s)", named)
            for key in ("taken", "request-key"):
                assert one(trader, "SELECT find_order(%s)", key) == found


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        *((action, {}) for action in ("APPROVED", "REJECTED", "CANCELLED", "DONE_FOR_DAY", "RESTATED", "EXECUTED")),
        *((action, {"p_request_key": "request-key"}) for action in ("REPLACED", "REPLACE_REFUSED", "CANCEL_REFUSED")),
        ("FILLED", filling()),
        ("FILL_CORRECTED", filling("execution-3") | {"p_ref_execution_id": "execution-1"}),
        ("FILL_BUSTED", {"p_execution_id": "execution-3", "p_ref_execution_id": "execution-2"}),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_gateway_that_acts_for_another_trader_does_not_reach_an_order(
    foreign: tuple[Database, UUID], action: str, arguments: dict[str, Any]
) -> None:
    database, order_id = foreign
    with connected(database, "blotter_execution", ALICE) as gateway:
        for report_id in ("new", "report-of-execution-1"):
            answered = {
                answers(
                    gateway,
                    "report_execution",
                    {"p_order_id": sent, "p_action": action, "p_report_id": report_id} | arguments,
                )
                for sent in (order_id, NO_SUCH_ORDER)
            }
            assert len(answered) == 1
            assert answered.pop()[0] == "ORDER_NOT_FOUND"


def test_a_bust_in_one_s_own_order_does_not_reach_another_s_fill(foreign: tuple[Database, UUID]) -> None:
    database, _ = foreign
    with connected(database, "blotter_trader", ALICE) as alice:
        own = submit(alice, "own")
        alice.commit()
    with connected(database, "blotter_execution", ALICE) as gateway:
        for number, ref in ((1, "execution-1"), (2, "execution-2"), (3, "unknown")):
            arguments = {"p_execution_id": f"bust-{number}", "p_ref_execution_id": ref}
            assert report(gateway, own, "FILL_BUSTED", f"bust-{number}", **arguments) == "FILL_NOT_FOUND"
        gateway.rollback()
    with psycopg.connect(database.conninfo("postgres")) as superuser:  # ALICE has nothing again
        superuser.execute("SET session_replication_role = replica")
        for table in ("execution_logs", "orders", "trader_sequences"):
            superuser.execute(f"DELETE FROM {table} WHERE trader_id = %s".encode(), [ALICE])


@pytest.mark.parametrize(
    ("login", "function"),
    [
        ("blotter_trader", "cancel_open_orders"),
        ("blotter_execution", "expire_orders"),
        ("blotter_execution", "fire_cancel_timer"),
    ],
)
def test_what_cancels_many_orders_cancels_none_of_another(
    foreign: tuple[Database, UUID], login: str, function: str
) -> None:
    database, _ = foreign
    with connected(database, login, ALICE) as connection:
        assert call(connection, function) == []
        connection.rollback()


def test_another_s_cancel_timer_is_neither_set_nor_stopped(foreign: tuple[Database, UUID]) -> None:
    database, _ = foreign
    with connected(database, "blotter_trader", ALICE) as alice:
        call(alice, "set_cancel_timer", p_timeout="0")
        call(alice, "set_cancel_timer")
        assert one(alice, "SELECT count(*) FROM cancel_timers") == 1
        alice.rollback()


def test_a_dry_run_reveals_no_key_in_use(foreign: tuple[Database, UUID]) -> None:
    database, _ = foreign
    with connected(database, "blotter_trader", ALICE) as trader:
        assert {
            outcome(trader, "submit_order", p_client_order_id=key, p_validate_only=True)
            for key in ("taken", "request-key", "free")
        } == {"VALID"}


@pytest.mark.parametrize("key", ["p_client_order_id", "p_request_key"])
def test_a_trader_s_key_that_another_uses_is_free_and_needs_no_waiting(database: Database, key: str) -> None:
    orders = {trader_id: enter(database, trader_id) for trader_id in (ALICE, BOB)}

    def use(connection: Connection, trader_id: UUID) -> None:
        if key == "p_client_order_id":
            submit(connection, "in-flight")
        else:
            assert outcome(connection, "replace_order", p_order_id=orders[trader_id]) == "APPLIED"

    with connected(database, "blotter_trader", BOB) as bob:
        use(bob, BOB)  # a unique key without the trader would make ALICE wait for BOB's commit
        with connected(database, "blotter_trader", ALICE) as alice:
            alice.execute("SET LOCAL lock_timeout = '2s'")
            use(alice, ALICE)


def test_a_gateway_s_key_that_another_trader_has_is_free_and_needs_no_waiting(database: Database) -> None:
    orders = {trader_id: enter(database, trader_id) for trader_id in (ALICE, BOB)}
    bust = {"p_execution_id": "bust", "p_ref_execution_id": "execution-1"}
    with connected(database, "blotter_execution", BOB) as for_bob:
        assert report(for_bob, orders[BOB], "FILLED", "report-1", **filling()) == "APPLIED"
        assert report(for_bob, orders[BOB], "FILL_BUSTED", "report-2", **bust) == "APPLIED"
        with connected(database, "blotter_execution", ALICE) as for_alice:
            for_alice.execute("SET LOCAL lock_timeout = '2s'")
            assert report(for_alice, orders[ALICE], "FILLED", "report-1", **filling()) == "APPLIED"
            assert report(for_alice, orders[ALICE], "FILL_BUSTED", "report-2", **bust) == "APPLIED"


def answer(error: psycopg.Error, order_id: UUID) -> tuple[str | None, ...]:
    """All fields of an error, without the id that the caller itself sent."""
    shown = (error.sqlstate, error.diag.message_primary, error.diag.message_detail, error.diag.constraint_name)
    return tuple(text and text.replace(str(order_id), "<id>") for text in shown)


CORRECTION: dict[str, Any] = {
    "trader_id": ALICE,
    "sequence": 1,
    "execution_id": "execution",
    "trade_date": "2026-01-02",
    "venue": "XNAS",
    "timestamp": "2026-01-02 15:04:05+00",
    "quantity": 0,
    "commission": 0,
    "created_at": "2026-01-02 15:04:05+00",
}

WRITES: dict[str, Callable[[Connection, UUID, UUID], None]] = {
    "execution_logs": lambda writer, order_id, _: raw_log(writer, ALICE, order_id, 1, "SUBMITTED"),
    "fills": lambda writer, order_id, _: raw_fill(writer, ALICE, order_id, 1),
    "fill_corrections": lambda writer, order_id, fill_id: insert(
        writer, "fill_corrections", CORRECTION | {"order_id": order_id, "fill_id": fill_id}
    ),
}


@pytest.mark.parametrize("table", WRITES)
def test_even_the_writer_s_foreign_keys_reveal_nothing(foreign: tuple[Database, UUID], table: str) -> None:
    database, order_id = foreign
    with connected(database, "postgres") as superuser:
        fill_id = UUID(str(one(superuser, "SELECT id FROM fills")))
    seen = set()
    for sent, sent_fill in ((order_id, fill_id), (NO_SUCH_ORDER, NO_SUCH_ORDER)):
        with connected(database, WRITER, ALICE) as writer:
            with pytest.raises(psycopg.errors.ForeignKeyViolation) as caught:
                WRITES[table](writer, sent, sent_fill)
            seen.add(answer(caught.value, sent_fill if table == "fill_corrections" else sent))
            writer.rollback()
    assert len(seen) == 1


def test_the_same_ids_are_kept_apart_for_compliance_to_see(database: Database) -> None:
    for trader_id in (ALICE, BOB):
        order_id = enter(database, trader_id, "shared")
        fill(database, trader_id, order_id, 10, "execution-1")
        with connected(database, "blotter_trader", trader_id) as trader:
            keyed = {"p_request_key": "request", "p_request_digest": DIGEST}
            assert cancel(trader, order_id, **keyed) == "APPLIED"
    with connected(database, "blotter_compliance") as compliance:
        rows = compliance.execute(
            "SELECT trader_id, client_order_id, coalesce(execution_id, request_key), sequence FROM execution_logs"
            " WHERE action <> 'SUBMITTED' ORDER BY trader_id, sequence"
        ).fetchall()
    assert rows == [
        (trader_id, "shared", key, sequence)
        for trader_id in (ALICE, BOB)
        for key, sequence in (("execution-1", 2), ("request", 3))
    ]
