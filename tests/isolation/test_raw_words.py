"""Names and reasons reserved for the service, and invisible characters, which raw SQL might write into the trail."""

from __future__ import annotations

from contextlib import nullcontext
from uuid import UUID

import pytest

from tests.conftest import ALICE, Database
from tests.isolation.desk import DIGEST, Connection, connected, enter, fill, one, raw_log, refused, report, submit

SEEN = "execution_logs_words_are_visible"
DUE = "execution_logs_expire_what_is_due"
LATE = "execution_logs_late_fills_are_late"
CODE = "execution_logs_refused_has_a_code_of_ours"
OWN = "execution_logs_actor_is_the_login"


@pytest.fixture
def order_id(database: Database) -> UUID:
    """ALICE's order, pending."""
    return enter(database, ALICE)


def cancel_as(connection: Connection, order_id: UUID, reason: str, actor: str, request_id: str) -> None:
    connection.execute("SELECT cancel_order(%s, %s, NULL, %s, %s, %s)", (ALICE, order_id, reason, actor, request_id))


@pytest.mark.parametrize(
    ("reason", "actor", "request_id", "constraint"),
    [
        ("EXPIRED", "desk", "r", DUE),
        ("EXPIRED ", "desk", "r", DUE),
        ("expired", "desk", "r", DUE),
        ("\uff25\uff38\uff30\uff29\uff32\uff25\uff24", "desk", "r", DUE),
        ("EXPIRED\u00a0", "desk", "r", DUE),
        ("EXPIRED", "blotter", "r", DUE),
        ("done", "Blotter", "r", DUE),
        ("LATE_FILL", "desk", "r", LATE),
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
    ],
)
def test_a_trader_cannot_cancel_with_reserved_or_invisible_text(
    database: Database, order_id: UUID, reason: str, actor: str, request_id: str, constraint: str
) -> None:
    with connected(database, "blotter_trader", ALICE) as trader:
        with refused("23514", constraint):
            cancel_as(trader, order_id, reason, actor, request_id)
        trader.rollback()


@pytest.mark.parametrize(("reason", "actor"), [("it EXPIRED", "blotter2"), (None, "trader"), ("caf\u00e9", "desk")])
def test_a_trader_cancels_with_a_reason_of_its_own(
    database: Database, order_id: UUID, reason: str | None, actor: str
) -> None:
    with connected(database, "blotter_trader", ALICE) as trader:
        cancel_as(trader, order_id, reason or "", actor, "r")


EXPIRE = "SELECT count(*) FROM cancel_open_orders(%s, NULL, %s, 'EXPIRED', 'blotter', 'r')"


def test_a_gateway_s_login_expires_only_what_is_due(database: Database, order_id: UUID) -> None:
    """The words are those of the service's own statement, but the order is not past its expiry."""
    with connected(database, "blotter_trader", ALICE) as trader:
        due = submit(trader, ALICE, "due", expires_in="20 milliseconds")
        submit(trader, ALICE, "not-due", expires_in="1 hour")
    with connected(database, "blotter_execution", ALICE) as gateway:
        gateway.execute("SELECT pg_sleep(0.03)")
        with refused("23514", DUE), gateway.transaction():
            gateway.execute(EXPIRE, (ALICE, False))
        assert one(gateway, EXPIRE, ALICE, True) == 1
        assert one(gateway, "SELECT order_id FROM execution_logs WHERE reason = 'EXPIRED'") == due


def test_a_trader_s_login_cannot_expire_an_order_that_is_due(database: Database) -> None:
    with connected(database, "blotter_trader", ALICE) as trader:
        submit(trader, ALICE, "due", expires_in="20 milliseconds")
    with connected(database, "blotter_trader", ALICE) as trader:
        trader.execute("SELECT pg_sleep(0.03)")
        with refused("23514", DUE), trader.transaction():
            trader.execute(EXPIRE, (ALICE, True))
        assert one(trader, "SELECT status::text FROM orders") == "PENDING"


def test_a_fill_after_a_refused_report_is_not_late(database: Database, order_id: UUID) -> None:
    """The refusal is recorded as one of the report, not of the order."""
    with connected(database, "blotter_execution", ALICE) as gateway:
        assert report(gateway, ALICE, order_id, "FILLED", execution_id="e1", quantity=101) == "OVERFILL"
    fill(database, ALICE, order_id, 100, "e2")
    with connected(database, "blotter_compliance") as compliance:
        assert one(compliance, "SELECT reason FROM execution_logs WHERE execution_id = 'e2'") is None


def test_a_timely_fill_is_not_marked_late_and_a_late_one_is(database: Database, order_id: UUID) -> None:
    statement = """
        SELECT outcome FROM report_execution(
            %s, %s, %s, %s, 'FILLED', now(), 'XNAS', %s, NULL, 0, %s, 1, 1, 0, 'a', 'r')
    """
    with connected(database, "blotter_execution", ALICE) as gateway:
        with refused("23514", LATE), gateway.transaction():
            gateway.execute(statement, (ALICE, order_id, "r1", DIGEST, "Late_Fill", "e1"))
        assert one(gateway, statement, ALICE, order_id, "r1", DIGEST, None, "e1") == "APPLIED"
        assert report(gateway, ALICE, order_id, "CANCELLED", report_id="r2") == "APPLIED"
        assert one(gateway, statement, ALICE, order_id, "r3", DIGEST, "in time", "e2") == "APPLIED"
        assert one(gateway, "SELECT reason FROM execution_logs WHERE execution_id = 'e2'") == "LATE_FILL"


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        (("venue\u202e", None, None), "fills_venue_is_visible"),
        (("XNAS", "soft\u00adhyphen", None), SEEN),
        (("XNAS", None, "CODE\u00a0"), SEEN),
    ],
)
def test_a_report_with_an_invisible_character_is_refused(
    database: Database, order_id: UUID, values: tuple[str, str | None, str | None], constraint: str
) -> None:
    with connected(database, "blotter_execution", ALICE) as gateway:
        with refused("23514", constraint):
            gateway.execute(
                "SELECT report_execution(%s, %s, 'r', %s, 'FILLED', now(), %s, %s, %s, 0, 'e', 1, 1, 0, 'a', 'r')",
                (ALICE, order_id, DIGEST, *values),
            )
        gateway.rollback()


@pytest.mark.parametrize(
    ("action", "values"),
    [
        ("APPROVED", ("venue\u202e", None, None, None, None)),
        ("FILLED", ("XNAS", "caf\u00e9", 101, 1, 0)),  # more than is left: the report is recorded, no fill is
    ],
)
def test_a_report_without_a_fill_with_an_invisible_character_is_refused(
    database: Database, order_id: UUID, action: str, values: tuple[object, ...]
) -> None:
    with connected(database, "blotter_execution", ALICE) as gateway:
        with refused("23514", SEEN):
            gateway.execute(
                "SELECT report_execution(%s, %s, 'r', %s, %s, now(), %s, NULL, NULL, 0, %s, %s, %s, %s, 'a', 'r')",
                (ALICE, order_id, DIGEST, action, *values),
            )
        gateway.rollback()


def test_a_refused_report_has_a_code_of_the_service(database: Database, order_id: UUID) -> None:
    """The repetition of the report is answered with the code: APPLIED would be false."""
    with connected(database, "blotter_execution", ALICE) as gateway:
        for code, expected in (("APPLIED", False), ("REPLAYED", False), ("OVERFILL", True)):
            with gateway.transaction(force_rollback=True), nullcontext() if expected else refused("23514", CODE):
                gateway.execute("UPDATE orders SET last_sequence = 2 WHERE id = %s", (order_id,))
                gateway.execute("UPDATE trader_sequences SET last_sequence = 2")
                raw_log(
                    gateway, ALICE, order_id, 2, "REJECTED", refused=True, error_code=code, report_id="r",
                    report_digest=DIGEST, timestamp="2026-01-02Z",
                )  # fmt: skip


def test_a_long_reason_is_refused_without_being_normalized(database: Database, order_id: UUID) -> None:
    with connected(database, "blotter_trader", ALICE) as trader:
        assert one(trader, "SELECT nfkc(repeat(U&'\\FF25', 601))") is None
        trader.execute("SET statement_timeout = '5s'")
        with refused("23514", "ck_execution_logs_reason_readable"):
            trader.execute(
                "SELECT cancel_order(%s, %s, NULL, 'a' || repeat(U&'\\0300\\0316', 60000), 'desk', 'r')",
                (ALICE, order_id),
            )
        trader.rollback()


@pytest.mark.parametrize("symbol", ["AA\u202ePL", "A\nB", " AAPL", "\u0410APL"])
def test_a_symbol_is_printable_ascii(database: Database, symbol: str) -> None:
    with connected(database, "blotter_trader", ALICE) as trader:
        with refused("23514", "orders_symbol_is_printable"):
            trader.execute(
                "SELECT submit_order(%s, 'c', %s, %s, 'BUY', 'MARKET', 1, NULL, NULL, NULL, NULL, false, 'a', 'r')",
                (ALICE, DIGEST, symbol),
            )
        trader.rollback()


@pytest.mark.parametrize(
    ("actor", "request_id", "method"),
    [("blotter", "r", "m"), ("Trader", "r", "m"), ("\u0430da", "r", "m"), ("ada", "a b", "m"), ("ada", "r", "m\n")],
)
def test_compliance_cannot_record_its_reads_under_another_name(
    database: Database, actor: str, request_id: str, method: str
) -> None:
    insert = "INSERT INTO audit_accesses (actor, request_id, method, request) VALUES (%s, %s, %s, '{}')"
    with connected(database, "blotter_compliance") as compliance:
        with refused("23514", "audit_accesses_words_are_visible"):
            compliance.execute(insert, (actor, request_id, method))
        compliance.rollback()
        compliance.execute(insert, ("compliance", "r", "m"))


def later(database: Database, interval: str) -> None:
    """Set the times of all orders ahead, so that the clock is behind them for the next record."""
    with connected(database, "postgres") as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute("UPDATE orders SET updated_at = updated_at + %s::interval", [interval])


@pytest.mark.parametrize("interval", ["0", "1 hour"])
def test_a_fill_its_log_and_its_order_have_one_time(database: Database, order_id: UUID, interval: str) -> None:
    later(database, interval)
    for number in range(5):
        fill(database, ALICE, order_id, 10, f"e{number}")
    with connected(database, "blotter_compliance") as compliance:
        times = compliance.execute(
            "SELECT fills.created_at, logs.created_at"
            " FROM fills JOIN execution_logs AS logs USING (trader_id, sequence) ORDER BY sequence"
        ).fetchall()
        assert len(times) == 5
        assert all(fill_time == log_time for fill_time, log_time in times)
        assert [time for time, _ in times] == sorted(time for time, _ in times)
        assert one(compliance, "SELECT updated_at FROM orders") == times[-1][1]


def test_a_log_of_a_fill_with_another_time_is_refused(database: Database, order_id: UUID) -> None:
    """A gateway's login that changes the order between the fill and its log."""
    with connected(database, "blotter_execution", ALICE) as gateway:
        gateway.execute(
            "INSERT INTO fills (trader_id, order_id, sequence, execution_id, venue, timestamp, quantity_filled,"
            " price_at_fill, commission) VALUES (%s, %s, 3, 'e', 'X', now(), 10, 10, 0)",
            (ALICE, order_id),
        )
        for sequence in (2, 3):
            gateway.execute(
                "UPDATE orders SET last_sequence = %s, status = %s, filled_quantity = %s, filled_notional = %s"
                " WHERE id = %s",
                (sequence, "PENDING", 0, 0, order_id) if sequence == 2 else (3, "PARTIAL", 10, 100, order_id),
            )
            gateway.execute("UPDATE trader_sequences SET last_sequence = %s", (sequence,))
            insert = (
                "INSERT INTO execution_logs (trader_id, order_id, sequence, action, actor, request_id)"
                " VALUES (%s, %s, %s, %s, 'a', 'r')"
            )
            if sequence == 2:
                gateway.execute(insert, (ALICE, order_id, 2, "APPROVED"))
                continue
            with refused("23514", "execution_logs_have_the_time_of_their_fill"):
                gateway.execute(insert, (ALICE, order_id, 3, "FILLED"))
        gateway.rollback()


def test_an_order_that_expires_while_it_is_entered_is_answered_and_fails_nothing(database: Database) -> None:
    """400 orders that expire some microseconds after they are sent: before or after the check, never between."""
    with connected(database, "blotter_trader", ALICE) as trader:
        outcomes = trader.execute(
            "SELECT outcome, count(*) FROM generate_series(1, 400) AS n CROSS JOIN LATERAL submit_order(%s, 'c' || n,"
            " %s, 'AAPL', 'BUY', 'MARKET', 1, NULL, NULL, NULL, clock_timestamp() + n * interval '1 microsecond',"
            " false, 'a', 'r') GROUP BY outcome",
            (ALICE, DIGEST),
        ).fetchall()
        entered = dict(outcomes).get("APPLIED", 0)
        assert one(trader, "SELECT count(*) FROM orders WHERE expires_at > created_at") == entered
        assert set(dict(outcomes)) <= {"APPLIED", "EXPIRE_TIME_PAST"}


@pytest.mark.parametrize("validate_only", [True, False])
def test_an_order_past_its_expiry_is_not_entered(database: Database, validate_only: bool) -> None:
    with connected(database, "blotter_trader", ALICE) as trader:
        outcome = one(
            trader,
            "SELECT outcome FROM submit_order(%s, 'c', %s, 'AAPL', 'BUY', 'MARKET', 1, NULL, NULL, NULL, now(), %s,"
            " 'a', 'r')",
            *(ALICE, DIGEST, validate_only),
        )
        assert outcome == "EXPIRE_TIME_PAST"
        assert one(trader, "SELECT count(*) FROM orders") == 0


def test_of_two_orders_of_a_trader_the_one_that_is_due_expires(database: Database) -> None:
    with connected(database, "blotter_trader", ALICE) as trader:
        due = submit(trader, ALICE, "due", expires_in="20 milliseconds")
        submit(trader, ALICE, "later", expires_in="1 hour")
        submit(trader, ALICE, "never")
    with connected(database, "blotter_execution", ALICE) as gateway:
        gateway.execute("SELECT pg_sleep(0.03)")
        gateway.execute(EXPIRE, (ALICE, True))
        assert gateway.execute("SELECT id FROM orders WHERE status = 'CANCELLED'").fetchall() == [(due,)]


@pytest.mark.parametrize("size", [1, 10**12])
def test_a_checkpoint_beyond_the_ledger_is_refused(database: Database, size: int) -> None:
    insert = "INSERT INTO ledger_checkpoints (size, root_hash, note) VALUES (%s, sha256('x'), 'note')"
    with connected(database, "blotter_sequencer") as sequencer:
        sequencer.execute("INSERT INTO ledger_head (id) VALUES (true)")
        with refused("23514", "ledger_checkpoints_cover_entries"), sequencer.transaction():
            sequencer.execute(insert, (size,))
        sequencer.execute(insert, (0,))


def test_a_temporary_table_does_not_replace_a_table_in_a_function(database: Database, order_id: UUID) -> None:
    """With TEMPORARY granted, as after a plain dump and restore: a log with a forged state of the order."""
    with connected(database, "postgres") as superuser:
        superuser.execute("DROP EVENT TRIGGER blotter_refuse_definitions")  # where sql/harden.sql was not run
        superuser.execute(f"GRANT TEMPORARY ON DATABASE {database.name} TO PUBLIC".encode())
    with connected(database, "blotter_trader", ALICE) as trader:
        trader.execute("CREATE TEMPORARY TABLE orders AS SELECT * FROM public.orders")
        trader.execute("UPDATE pg_temp.orders SET status = 'CANCELLED', last_sequence = 2, symbol = 'FORGED'")
        trader.execute("UPDATE trader_sequences SET last_sequence = 2")
        with refused("23514", "execution_logs_state_is_the_orders"):
            trader.execute(
                "INSERT INTO execution_logs (trader_id, order_id, sequence, action, actor, request_id)"
                " VALUES (%s, %s, 2, 'CANCELLED', 'a', 'r')",
                (ALICE, order_id),
            )
        trader.rollback()


def test_every_function_names_its_search_path(database: Database) -> None:
    """Except the functions that make leaves, which read no table and would no longer be inlined."""
    with connected(database, "blotter_owner") as owner:
        without = owner.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND NOT coalesce("
            "'search_path=pg_catalog, public, pg_temp' = ANY (proconfig), false)"
        ).fetchall()
    assert {name for (name,) in without} == {
        *("canonical_json", "canonical_time", "canonical_decimal", "execution_log_leaf")
    }
