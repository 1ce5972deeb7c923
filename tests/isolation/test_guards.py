"""Rules that not even the writing functions can break: every event has its log, the numbers are dense, terms are sane.

The statements are those of blotter_writer, which the functions run as and nobody logs in as, and of a superuser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.conftest import ALICE, BOB, Database, cloned
from tests.isolation.desk import (
    DIGEST,
    WRITER,
    Connection,
    connected,
    count,
    enter,
    fill,
    insert,
    one,
    raw_fill,
    raw_log,
    raw_order,
    raw_update,
    refused,
    run,
    submit,
)

WRITERS = pytest.mark.parametrize("login", [WRITER, "postgres"])


@pytest.fixture
def order_id(database: Database) -> UUID:
    """An order of ALICE, PENDING, for 100 at 10.25; its only event has the number 1."""
    return enter(database, ALICE)


@pytest.fixture(scope="module")
def standing(template: Database) -> Iterator[tuple[Database, UUID]]:
    """Such an order with a fill of 10, and its id, for all statements that are refused at once."""
    with cloned(template, "blotter_guards") as database:
        order_id = enter(database, ALICE)
        fill(database, ALICE, order_id, 10, "execution-1")
        yield database, order_id


# The log and the counter --------------------------------------------------------------------------------------------


@WRITERS
def test_a_change_of_an_order_without_its_log_fails_at_commit(database: Database, order_id: UUID, login: str) -> None:
    with refused("23503", "fk_orders_last_log"), connected(database, login, ALICE) as connection:
        assert raw_update(connection, order_id, 2) == 1


def test_a_new_order_without_its_log_fails_at_commit(database: Database) -> None:
    with refused("23503", "fk_orders_last_log"), connected(database, WRITER, ALICE) as writer:
        raw_order(writer, ALICE, 1)


def test_no_savepoint_or_immediate_check_gets_the_change_committed_alone(database: Database, order_id: UUID) -> None:
    with refused("23503", "fk_orders_last_log"), connected(database, WRITER, ALICE) as writer:
        with writer.transaction():
            raw_update(writer, order_id, 2)
        with refused("23503", "fk_orders_last_log"), writer.transaction():
            writer.execute("SET CONSTRAINTS ALL IMMEDIATE")
        writer.execute("SET CONSTRAINTS ALL DEFERRED")


def test_a_change_under_the_number_of_an_old_log_is_refused(database: Database, order_id: UUID) -> None:
    with connected(database, WRITER, ALICE) as writer:
        for sequence in (1, 0, -1):
            with refused("23514", "orders_change_with_an_event"), writer.transaction():
                raw_update(writer, order_id, sequence)


def test_the_log_of_another_order_is_not_accepted(database: Database, order_id: UUID) -> None:
    enter(database, ALICE, "second")
    with refused("23503", "fk_orders_last_log"), connected(database, WRITER, ALICE) as writer:
        raw_update(writer, order_id, 2)


@pytest.mark.parametrize("table", ["fills", "fill_corrections"])
def test_a_fill_or_correction_without_its_log_fails_at_commit(database: Database, order_id: UUID, table: str) -> None:
    fill(database, ALICE, order_id, 10, "execution-1")
    constraint = "fk_fills_log" if table == "fills" else "fk_fill_corrections_log"
    with refused("23503", constraint), connected(database, WRITER, ALICE) as writer:
        if table == "fills":
            raw_fill(writer, ALICE, order_id, 3)
        else:
            insert(writer, table, correction(one(writer, "SELECT id FROM fills"), order_id))


def correction(fill_id: UUID, order_id: UUID, **columns: object) -> dict[str, Any]:
    """A row of fill_corrections."""
    return {
        "trader_id": ALICE,
        "order_id": order_id,
        "fill_id": fill_id,
        "sequence": 3,
        "execution_id": "raw-1",
        "trade_date": "2026-01-02",
        "venue": "XNAS",
        "timestamp": "2026-01-02 15:04:05+00",
        "quantity": 5,
        "price": "10.25",
        "commission": 0,
        "created_at": "2026-01-02 15:04:05+00",
    } | columns


@WRITERS
def test_a_gap_in_the_numbers_cannot_be_written(database: Database, order_id: UUID, login: str) -> None:
    with connected(database, login, ALICE) as connection:
        count(connection, ALICE, 3)
        raw_update(connection, order_id, 3)
        with refused("23503", "fk_execution_logs_follow_without_gap"), connection.transaction():
            raw_log(connection, ALICE, order_id, 3, "APPROVED")
        connection.rollback()


def test_a_number_is_used_once(database: Database, order_id: UUID) -> None:
    with connected(database, WRITER, ALICE) as writer, refused("23505", "uq_execution_logs_sequence"):
        raw_log(writer, ALICE, order_id, 1, "APPROVED")


@WRITERS
def test_the_counter_is_not_set_back(database: Database, order_id: UUID, login: str) -> None:
    fill(database, ALICE, order_id, 10, "execution-1")
    with connected(database, login, ALICE) as connection:
        for back_to in (2, 1, 0, None):
            with refused("23514", "trader_sequences_only_grow"), connection.transaction():
                run(connection, "UPDATE trader_sequences SET last_sequence = %s", back_to)


@WRITERS
def test_the_counter_is_not_set_ahead_of_the_logs(database: Database, order_id: UUID, login: str) -> None:
    with refused("23503", "fk_trader_sequences_last_log"), connected(database, login, ALICE) as connection:
        assert count(connection, ALICE, 2) == 1


def test_the_counter_is_not_removed_or_given_to_another_trader(database: Database, order_id: UUID) -> None:
    with connected(database, "postgres") as superuser:
        for statement in (
            "DELETE FROM trader_sequences",
            "TRUNCATE trader_sequences",
            "UPDATE trader_sequences SET trader_id = gen_random_uuid(), last_sequence = 2",
        ):
            with refused("23514", "trader_sequences_only_grow"), superuser.transaction():
                superuser.execute(statement.encode())


def test_a_log_or_fill_of_another_trader_s_order_is_refused(database: Database) -> None:
    """The keys join the trader to the order, so that the writer cannot mix them up."""
    foreign = enter(database, BOB)
    enter(database, ALICE)
    with connected(database, WRITER, ALICE) as writer:
        with refused("23503", "fk_execution_logs_order_id"), writer.transaction():
            raw_log(writer, ALICE, foreign, 2, "APPROVED")
        with refused("23503", "fk_fills_order_id"), writer.transaction():
            raw_fill(writer, ALICE, foreign, 2)
        for write in (
            lambda: raw_order(writer, BOB, 2),
            lambda: raw_log(writer, BOB, foreign, 2, "APPROVED"),
            lambda: raw_fill(writer, BOB, foreign, 2),
        ):
            with refused("42501"), writer.transaction():
                write()
        assert (raw_update(writer, foreign, 2), count(writer, BOB, 2)) == (0, 0)


# The order ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns",
    [
        {"id": UUID(int=1)},
        {"client_order_id": "other"},
        {"request_digest": b"\0" * 32},
        {"symbol": "MSFT"},
        {"side": "SELL"},
        {"order_type": "STOP"},
        {"created_at": "2020-01-01"},
        {"account": "A"},
        {"labels": '{"a": "b"}'},
        {"parent_order_id": "parent"},
        {"currency": "USD"},
        {"security_id": "US0378331005", "security_id_source": "ISIN"},
        {"short_sale": "SELL_SHORT"},
        {"exempt_from_cancel_timer": True},
    ],
    ids=lambda columns: next(iter(columns)),
)
def test_an_order_stays_what_it_was_entered_as(standing: tuple[Database, UUID], columns: dict[str, Any]) -> None:
    database, order_id = standing
    with connected(database, WRITER, ALICE) as writer, refused("23514", "orders_keep_what_they_are"):
        raw_update(writer, order_id, 3, **columns)


def test_an_order_is_not_given_to_another_trader(standing: tuple[Database, UUID]) -> None:
    give = "UPDATE orders SET trader_id = %s, last_sequence = 3 WHERE id = %s"
    database, order_id = standing
    with connected(database, "postgres") as superuser, refused("23514", "orders_keep_what_they_are"):
        run(superuser, give, BOB, order_id)


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ({"status": "FILLED"}, "orders_status_fits_fills"),
        ({"status": "PENDING"}, "orders_status_fits_fills"),
        ({"status": "CANCELLED"}, "orders_status_fits_fills"),
        ({"closed_as": "CANCELLED"}, "orders_status_fits_fills"),
        ({"filled_quantity": 100, "filled_notional": 1025}, "orders_status_fits_fills"),
        ({"filled_quantity": 0, "status": "PENDING"}, "orders_notional_with_fills"),
        ({"filled_notional": 0}, "orders_notional_with_fills"),
        ({"excess_quantity": 1}, "orders_notional_with_fills"),
        ({"excess_quantity": -1}, "orders_notional_with_fills"),
        ({"filled_quantity": 101, "filled_notional": 10, "status": "PARTIAL"}, "ck_orders_filled_lte_quantity"),
        ({"filled_quantity": -1, "filled_notional": 0, "status": "PENDING"}, "ck_orders_filled_quantity_nonnegative"),
        (
            {"quantity": 0, "filled_quantity": 0, "filled_notional": 0, "status": "FILLED"},
            "ck_orders_quantity_positive",
        ),
        ({"price": 0}, "ck_orders_price_positive"),
        ({"price": None}, "ck_orders_limit_requires_price"),
        ({"pending_kind": "CANCEL"}, "orders_pending_request_is_complete"),
        ({"pending_key": "key"}, "orders_pending_request_is_complete"),
        ({"pending_kind": "CANCEL", "pending_key": "key"}, "orders_pending_request_is_complete"),
    ],
    ids=lambda part: "-".join(part) if isinstance(part, dict) else None,
)
def test_an_order_does_not_contradict_itself(
    standing: tuple[Database, UUID], columns: dict[str, Any], constraint: str
) -> None:
    database, order_id = standing
    with connected(database, WRITER, ALICE) as writer, refused("23514", constraint):
        raw_update(writer, order_id, 3, **columns)


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ({"symbol": ""}, "orders_symbol_is_printable"),
        ({"symbol": "AAPL "}, "orders_symbol_is_printable"),
        ({"symbol": "A\u200bPL"}, "orders_symbol_is_printable"),
        ({"client_order_id": ""}, "ck_orders_client_order_id_printable"),
        ({"client_order_id": "a b"}, "ck_orders_client_order_id_printable"),
        ({"request_digest": b"short"}, "ck_orders_request_digest_sha256"),
        ({"account": "a\nb"}, "orders_attributes_are_printable"),
        ({"parent_order_id": "a b"}, "orders_attributes_are_printable"),
        ({"currency": "usd"}, "orders_attributes_are_printable"),
        ({"security_id": "US0378331005"}, "orders_attributes_are_printable"),
        ({"security_id_source": "ISIN"}, "orders_attributes_are_printable"),
        ({"labels": "[]"}, "orders_labels_are_few_and_short"),
        ({"labels": "{}"}, "orders_labels_are_few_and_short"),
        ({"labels": '{"A": "upper case"}'}, "orders_labels_are_few_and_short"),
        ({"labels": '{"a": 1}'}, "orders_labels_are_few_and_short"),
        ({"labels": '{"a": "b\u202ec"}'}, "orders_labels_are_few_and_short"),
        ({"labels": str({str(n): "x" for n in range(9)}).replace("'", '"')}, "orders_labels_are_few_and_short"),
    ],
)
def test_an_order_s_words_are_readable(
    standing: tuple[Database, UUID], columns: dict[str, Any], constraint: str
) -> None:
    database = standing[0]
    with connected(database, WRITER, ALICE) as writer, refused("23514", constraint):
        raw_order(writer, ALICE, 1, **columns)


# The log and the fill ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ({"actor": "blotter"}, "execution_logs_blotter_only_cancels"),
        ({"actor": "blotter", "reason": "EXPIRED", "login": "blotter_trader"}, "execution_logs_blotter_only_cancels"),
        ({"actor": "execution", "login": "blotter_trader"}, "execution_logs_actor_is_the_login"),
        ({"reason": "EXPIRED"}, "execution_logs_expire_what_is_due"),
        ({"reason": "Expired\u00a0"}, "execution_logs_expire_what_is_due"),
        ({"reason": "DISCONNECTED"}, "execution_logs_reasons_are_reserved"),
        ({"reason": "DONE_FOR_DAY"}, "execution_logs_reasons_are_reserved"),
        ({"reason": "LATE_FILL"}, "execution_logs_reasons_are_reserved"),
        ({"reason": "overfill"}, "execution_logs_reasons_are_reserved"),
        ({"reason": "x" * 601}, "execution_logs_reason_is_readable"),
        ({"reason": "a\u200bb"}, "execution_logs_words_are_visible"),
        ({"venue": "a\u200bb"}, "execution_logs_words_are_visible"),
        ({"actor": "a\nb"}, "execution_logs_words_are_visible"),
        ({"request_id": "a b"}, "execution_logs_words_are_visible"),
        ({"error_code": ""}, "execution_logs_words_are_visible"),
        ({"request_key": "a b", "request_digest": DIGEST}, "execution_logs_words_are_visible"),
        ({"refused": True, "error_code": "ORDER_CLOSED"}, "execution_logs_refused_has_a_code_of_ours"),
        ({"report_id": "report"}, "execution_logs_keys_have_digests"),
        ({"report_digest": DIGEST}, "execution_logs_keys_have_digests"),
        ({"report_id": "report", "report_digest": b"short"}, "execution_logs_keys_have_digests"),
        ({"request_key": "key"}, "execution_logs_keys_have_digests"),
        ({"timestamp": "infinity"}, "execution_logs_timestamp_is_a_date"),
        ({"trade_date": "-infinity"}, "execution_logs_timestamp_is_a_date"),
        ({"fill_price": "NaN"}, "execution_logs_amounts_are_possible"),
        ({"fill_quantity": -1, "fill_price": 1}, "execution_logs_amounts_are_possible"),
        ({"retry_attempt": -1}, "execution_logs_amounts_are_possible"),
    ],
)
def test_a_log_is_readable_and_takes_no_reserved_word(
    standing: tuple[Database, UUID], columns: dict[str, Any], constraint: str
) -> None:
    database, order_id = standing
    with connected(database, WRITER, ALICE) as writer, refused("23514", constraint):
        raw_log(writer, ALICE, order_id, 3, "APPROVED", **columns)


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ({"venue": ""}, "fills_words_are_visible"),
        ({"venue": "a\u200bb"}, "fills_words_are_visible"),
        ({"execution_id": "a b"}, "fills_words_are_visible"),
        ({"timestamp": "infinity"}, "fills_words_are_visible"),
        ({"trade_date": "infinity"}, "fills_words_are_visible"),
        ({"quantity_filled": 0}, "ck_fills_quantity_positive"),
        ({"price_at_fill": 0}, "ck_fills_price_positive"),
        ({"price_at_fill": "NaN"}, "ck_fills_amounts_are_numbers"),
        ({"commission": -1}, "ck_fills_commission_nonnegative"),
        ({"commission": "NaN"}, "ck_fills_amounts_are_numbers"),
    ],
)
def test_a_fill_is_readable(standing: tuple[Database, UUID], columns: dict[str, Any], constraint: str) -> None:
    database, order_id = standing
    with connected(database, WRITER, ALICE) as writer, refused("23514", constraint):
        raw_fill(writer, ALICE, order_id, 3, **columns)


def test_a_correction_is_of_a_fill_and_readable(standing: tuple[Database, UUID]) -> None:
    amounts = "ck_fill_corrections_amounts"
    database, order_id = standing
    with connected(database, WRITER, ALICE) as writer:
        fill_id = one(writer, "SELECT id FROM fills")
        for columns, constraint in (
            ({"quantity": 0}, amounts),
            ({"price": None}, amounts),
            ({"quantity": -1}, amounts),
            ({"price": "NaN"}, amounts),
            ({"commission": "NaN"}, amounts),
            ({"venue": ""}, "fills_words_are_visible"),
            ({"execution_id": "a b"}, "fills_words_are_visible"),
        ):
            with refused("23514", constraint), writer.transaction():
                insert(writer, "fill_corrections", correction(fill_id, order_id, **columns))
        with refused("23503", "fk_fill_corrections_fill"), writer.transaction():
            insert(writer, "fill_corrections", correction(UUID(int=1), order_id))


KEYS: dict[str, Callable[[Connection, UUID], object]] = {
    "uq_orders_client_order_id": lambda writer, _: raw_order(writer, ALICE, 3, client_order_id="first"),
    "uq_execution_logs_report_id": lambda writer, order_id: raw_log(
        writer, ALICE, order_id, 3, "APPROVED", report_id="report-of-execution-1", report_digest=DIGEST
    ),
    "uq_fills_execution_id": lambda writer, order_id: raw_fill(writer, ALICE, order_id, 3, execution_id="execution-1"),
    "uq_fills_sequence": lambda writer, order_id: raw_fill(writer, ALICE, order_id, 2),
}


@pytest.mark.parametrize("key", KEYS)
def test_nothing_counts_twice(standing: tuple[Database, UUID], key: str) -> None:
    database, order_id = standing
    with connected(database, WRITER, ALICE) as writer, refused("23505", key):
        KEYS[key](writer, order_id)


def test_the_functions_themselves_pass_all_of_this(database: Database) -> None:
    """So that what is refused above is refused for its one fault."""
    with connected(database, WRITER, ALICE) as writer:
        writer.execute("INSERT INTO trader_sequences (trader_id) VALUES (%s)", [ALICE])
        count(writer, ALICE, 1)
        order_id = raw_order(writer, ALICE, 1)
        raw_log(writer, ALICE, order_id, 1, "SUBMITTED")
        raw_fill(writer, ALICE, order_id, 2)
        count(writer, ALICE, 2)
        raw_update(writer, order_id, 2, status="PARTIAL", filled_quantity=10, filled_notional="102.5")
        raw_log(writer, ALICE, order_id, 2, "FILLED", fill_quantity=10, fill_price="10.25")
        fill_id = one(writer, "SELECT id FROM fills")
        insert(writer, "fill_corrections", correction(fill_id, order_id, execution_id="raw-2"))
        count(writer, ALICE, 3)
        raw_update(writer, order_id, 3, filled_quantity=5, filled_notional="51.25")
        raw_log(writer, ALICE, order_id, 3, "FILL_CORRECTED", fill_quantity=5, fill_price="10.25")
    with connected(database, "blotter_trader", ALICE) as trader:
        submit(trader, "second")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            raw_log(trader, ALICE, order_id, 5, "APPROVED")
        trader.rollback()
