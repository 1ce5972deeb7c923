"""Names and reasons reserved for the service, and invisible characters, in calls of the functions by raw SQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from tests.conftest import ALICE, Database, cloned
from tests.isolation.desk import (
    Connection,
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

SEEN = "execution_logs_words_are_visible"
DUE = "execution_logs_expire_what_is_due"
KEPT = "execution_logs_reasons_are_reserved"
BLOTTER = "execution_logs_blotter_only_cancels"
OWN = "execution_logs_actor_is_the_login"


@pytest.fixture(scope="module")
def standing(template: Database) -> Iterator[tuple[Database, UUID]]:
    """ALICE's order, pending, and its id, for all calls that are refused or rolled back."""
    with cloned(template, "blotter_words") as database:
        yield database, enter(database, ALICE)


RESERVED = [
    ("EXPIRED", "desk", "r", DUE),
    ("EXPIRED ", "desk", "r", DUE),
    ("expired", "desk", "r", DUE),
    ("\uff25\uff38\uff30\uff29\uff32\uff25\uff24", "desk", "r", DUE),
    ("EXPIRED\u00a0", "desk", "r", DUE),
    ("DISCONNECTED", "desk", "r", KEPT),
    (" Disconnected", "desk", "r", KEPT),
    ("DONE_FOR_DAY", "desk", "r", KEPT),
    ("LATE_FILL", "desk", "r", KEPT),
    ("Overfill", "desk", "r", KEPT),
    ("EXPIRED", "blotter", "r", BLOTTER),
    ("DISCONNECTED", "blotter", "r", BLOTTER),
    ("done", "Blotter", "r", BLOTTER),
    ("done", "bl\u043etter", "r", SEEN),
    ("done", "blotter ", "r", SEEN),
    ("done", "ada\n", "r", SEEN),
    ("done", "desk", "r\x7f", SEEN),
    ("done", "desk", "a b", SEEN),
    ("a\u202eb", "desk", "r", SEEN),
    ("EXPIRED\u200b", "desk", "r", SEEN),
    ("EXPIRED\u2800", "desk", "r", SEEN),
    ("EXPIRED\u1680", "desk", "r", SEEN),
    ("\u0600EXPIRED", "desk", "r", SEEN),
    ("EXPIRED\U000110bd", "desk", "r", SEEN),
    ("EXPIRED\U0001343f", "desk", "r", SEEN),
    ("a\nb", "desk", "r", SEEN),
    ("done", "execution", "r", OWN),
    ("done", "Compliance", "r", OWN),
]


@pytest.mark.parametrize(("reason", "actor", "request_id", "constraint"), RESERVED)
def test_a_trader_writes_no_reserved_or_invisible_text(
    standing: tuple[Database, UUID], reason: str, actor: str, request_id: str, constraint: str
) -> None:
    database, order_id = standing
    said = {"p_reason": reason, "p_actor": actor, "p_request_id": request_id}
    with connected(database, "blotter_trader", ALICE) as trader:
        for function, arguments in (
            ("cancel_order", {"p_order_id": order_id}),
            ("replace_order", {"p_order_id": order_id}),
            ("cancel_open_orders", {}),
        ):
            with refused("23514", constraint), trader.transaction():
                call(trader, function, **arguments, **said)
        if reason == "done" and constraint != OWN:
            with refused("23514", constraint), trader.transaction():
                call(trader, "submit_order", p_client_order_id="second", p_actor=actor, p_request_id=request_id)
        if reason == "done":
            with refused("23514", "cancel_timers_words_are_visible"), trader.transaction():
                call(trader, "set_cancel_timer", p_actor=actor, p_request_id=request_id)


@pytest.mark.parametrize(("reason", "actor", "request_id", "constraint"), RESERVED)
def test_a_gateway_writes_no_reserved_or_invisible_text(
    standing: tuple[Database, UUID], reason: str, actor: str, request_id: str, constraint: str
) -> None:
    database, order_id = standing
    if actor == "execution":
        actor, constraint = "trader", OWN
    said = {"p_reason": reason, "p_actor": actor, "p_request_id": request_id}
    with connected(database, "blotter_execution", ALICE) as gateway:
        for action in ("APPROVED", "CANCELLED", "DONE_FOR_DAY", "RESTATED", "CANCEL_REFUSED"):
            if (reason, actor, action) == ("EXPIRED", "desk", "CANCELLED"):
                continue  # a venue's own expiry
            with refused("23514", constraint), gateway.transaction():
                report(gateway, order_id, action, **said)


@pytest.mark.parametrize(("reason", "actor"), [("it EXPIRED", "blotter2"), (None, "trader"), ("caf\u00e9", "desk")])
def test_a_trader_cancels_with_a_reason_of_its_own(
    standing: tuple[Database, UUID], reason: str | None, actor: str
) -> None:
    database, order_id = standing
    with connected(database, "blotter_trader", ALICE) as trader:
        assert cancel(trader, order_id, p_reason=reason, p_actor=actor) == "APPLIED"
        trader.rollback()


def test_a_venue_s_expiry_is_marked_by_the_exact_word(standing: tuple[Database, UUID]) -> None:
    database, order_id = standing
    with connected(database, "blotter_execution", ALICE) as gateway:
        assert report(gateway, order_id, "CANCELLED", p_reason="EXPIRED") == "APPLIED"
        gateway.rollback()


@pytest.mark.parametrize("scs", ["on", "off"])
def test_how_a_session_reads_strings_changes_nothing(standing: tuple[Database, UUID], scs: str) -> None:
    """The texts of the functions are read in the caller's session, with its standard_conforming_strings."""
    database, order_id = standing
    with connected(database, "blotter_trader", ALICE) as trader:
        trader.execute(f"SET LOCAL standard_conforming_strings = {scs}".encode())
        for reason, constraint in (("a\u200bb", SEEN), ("a\nb", SEEN), ("EXPIRED\u00a0", DUE)):
            with refused("23514", constraint), trader.transaction():
                cancel(trader, order_id, p_reason=reason)
        assert cancel(trader, order_id, p_reason="changed my mind, \u00e0 la carte") == "APPLIED"
        trader.rollback()


@pytest.mark.parametrize("value", ["venue\u202e", "soft\u00adhyphen"])
def test_a_report_with_an_invisible_character_is_refused(standing: tuple[Database, UUID], value: str) -> None:
    database, order_id = standing
    with connected(database, "blotter_execution", ALICE) as gateway:
        for action, arguments in (
            ("APPROVED", {"p_venue": value}),
            ("FILLED", filling() | {"p_venue": value}),
            ("FILLED", filling() | {"p_execution_id": value}),
            ("FILL_BUSTED", {"p_ref_execution_id": value}),
            ("REPLACED", {"p_request_key": value, "p_reason": value}),
            ("APPROVED", {"p_error_code": value}),
            ("APPROVED", {"p_report_id": value}),
        ):
            with refused("23514", SEEN), gateway.transaction():
                report(gateway, order_id, action, **arguments)


def test_a_long_reason_is_refused_without_being_normalized(standing: tuple[Database, UUID]) -> None:
    database, order_id = standing
    with connected(database, "postgres") as superuser:
        assert one(superuser, "SELECT nfkc(repeat(U&'\\FF25', 601))") is None
    with connected(database, "blotter_trader", ALICE) as trader:
        trader.execute("SET LOCAL statement_timeout = '5s'")
        with refused("23514", "execution_logs_reason_is_readable"):
            cancel(trader, order_id, p_reason="a" + "\u0300\u0316" * 60_000)
        trader.rollback()


@pytest.mark.parametrize("symbol", ["AA\u202ePL", "A\nB", " AAPL", "\u0410APL"])
def test_a_symbol_is_printable_ascii(standing: tuple[Database, UUID], symbol: str) -> None:
    database, _ = standing
    with connected(database, "blotter_trader", ALICE) as trader, refused("23514", "orders_symbol_is_printable"):
        call(trader, "submit_order", p_client_order_id="second", p_symbol=symbol)


def test_fills_are_marked_late_or_over_by_what_happened_and_not_by_a_report(database: Database) -> None:
    order_id = enter(database, ALICE)
    with connected(database, "blotter_execution", ALICE) as gateway:
        for number, quantity, mark in ((1, 10, None), (2, 90, None), (3, 1, "OVERFILL")):
            arguments = filling(f"e{number}", quantity) | {"p_reason": "LATE_FILL"}
            assert report(gateway, order_id, "FILLED", f"r{number}", **arguments) == "APPLIED"
            query = "SELECT reason FROM execution_logs WHERE execution_id = %s"
            assert one(gateway, query, f"e{number}") == mark
    second = enter(database, ALICE, "second")
    with connected(database, "blotter_trader", ALICE) as trader:
        assert cancel(trader, second) == "APPLIED"
    fill(database, ALICE, second, 10, "late")
    with connected(database, "blotter_compliance") as compliance:
        assert one(compliance, "SELECT reason FROM execution_logs WHERE execution_id = 'late'") == "LATE_FILL"


def soon() -> datetime:
    """A time that is not past when an order is entered, and is a moment later."""
    return datetime.now(UTC) + timedelta(milliseconds=200)


def expire(gateway: Connection) -> list[UUID]:
    """Expire ALICE's orders, when those that expire soon have; their ids."""
    gateway.execute("SELECT pg_sleep(0.25)")
    return [order_id for order_id, _ in call(gateway, "expire_orders")]


def test_only_what_is_due_expires_and_only_by_the_gateway_s_login(database: Database) -> None:
    with connected(database, "blotter_trader", ALICE) as trader:
        due = submit(trader, "due", p_expires_at=soon())
        submit(trader, "later", p_expires_at=datetime.now(UTC) + timedelta(hours=1))
        submit(trader, "never")
    with connected(database, "blotter_execution", ALICE) as gateway:
        assert expire(gateway) == [due]
        assert gateway.execute("SELECT id FROM orders WHERE status = 'CANCELLED'").fetchall() == [(due,)]
        assert gateway.execute("SELECT order_id, actor FROM execution_logs WHERE reason = 'EXPIRED'").fetchall() == [
            (due, "blotter")
        ]


def test_a_cancel_timer_cancels_only_when_it_is_due(database: Database) -> None:
    with connected(database, "blotter_trader", ALICE) as trader:
        submit(trader, "covered")
        submit(trader, "exempt", p_exempt_from_cancel_timer=True)
        call(trader, "set_cancel_timer", p_timeout="0.2 seconds")
    with connected(database, "blotter_execution", ALICE) as gateway:
        assert call(gateway, "fire_cancel_timer") == []
        gateway.execute("SELECT pg_sleep(0.25)")
        assert len(call(gateway, "fire_cancel_timer")) == 1
        assert gateway.execute(
            "SELECT client_order_id, status::text, reason, actor FROM execution_logs WHERE action = 'CANCELLED'"
        ).fetchall() == [("covered", "CANCELLED", "DISCONNECTED", "blotter")]
        assert call(gateway, "fire_cancel_timer") == []


def test_an_order_that_expires_while_it_is_entered_is_answered_and_fails_nothing(database: Database) -> None:
    """400 orders that expire some microseconds after they are sent: before or after the check, never between."""
    with connected(database, "blotter_trader", ALICE) as trader:
        outcomes = [
            outcome(
                trader,
                "submit_order",
                p_client_order_id=f"c{number}",
                p_expires_at=datetime.now(UTC) + timedelta(microseconds=10 * number),
            )
            for number in range(400)
        ]
        assert one(trader, "SELECT count(*) FROM orders WHERE expires_at > created_at") == outcomes.count("APPLIED")
        assert set(outcomes) <= {"APPLIED", "EXPIRE_TIME_PAST"}


@pytest.mark.parametrize("validate_only", [True, False])
def test_an_order_past_its_expiry_is_not_entered(standing: tuple[Database, UUID], validate_only: bool) -> None:
    database, _ = standing
    past = {"p_expires_at": datetime.now(UTC), "p_validate_only": validate_only}
    with connected(database, "blotter_trader", ALICE) as trader:
        assert outcome(trader, "submit_order", p_client_order_id="past", **past) == "EXPIRE_TIME_PAST"
        assert one(trader, "SELECT count(*) FROM orders") == 1


@pytest.mark.parametrize(
    ("actor", "request_id", "method"),
    [("blotter", "r", "m"), ("Trader", "r", "m"), ("\u0430da", "r", "m"), ("ada", "a b", "m"), ("ada", "r", "m\n")],
)
def test_compliance_cannot_record_its_reads_under_another_name(
    standing: tuple[Database, UUID], actor: str, request_id: str, method: str
) -> None:
    database, _ = standing
    insert = "INSERT INTO audit_accesses (actor, request_id, method, request) VALUES (%s, %s, %s, '{}')"
    with connected(database, "blotter_compliance") as compliance:
        with refused("23514", "audit_accesses_words_are_visible"):
            compliance.execute(insert, (actor, request_id, method))
        compliance.rollback()
        compliance.execute(insert, ("compliance", "r", "m"))


@pytest.mark.parametrize("size", [1, 10**12])
def test_a_checkpoint_beyond_the_ledger_is_refused(database: Database, size: int) -> None:
    insert = "INSERT INTO ledger_checkpoints (size, root_hash, note) VALUES (%s, sha256('x'), 'note')"
    with connected(database, "blotter_sequencer") as sequencer:
        sequencer.execute("INSERT INTO ledger_head (id) VALUES (true)")
        with refused("23514", "ledger_checkpoints_cover_entries"), sequencer.transaction():
            sequencer.execute(insert, (size,))
        sequencer.execute(insert, (0,))
