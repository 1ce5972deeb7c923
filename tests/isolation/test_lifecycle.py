"""Every transition of an order by raw SQL of the superuser, to whom only triggers apply, not grants or policies."""

from __future__ import annotations

import itertools
from typing import NamedTuple
from uuid import UUID

import psycopg
import pytest

from tests.conftest import ALICE, Database
from tests.isolation.desk import (
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
)

STATUSES = ("PENDING", "PARTIAL", "FILLED", "REJECTED", "CANCELLED")

# The permitted next statuses from each status: without a fill, with a partial fill, with a fill of the rest.
ALLOWED = {
    ("PENDING", "none"): {"PENDING", "REJECTED", "CANCELLED"},
    ("PENDING", "some"): {"PARTIAL"},
    ("PENDING", "rest"): {"FILLED"},
    ("PARTIAL", "none"): {"PARTIAL", "REJECTED", "CANCELLED"},
    ("PARTIAL", "some"): {"PARTIAL"},
    ("PARTIAL", "rest"): {"FILLED"},
    ("FILLED", "none"): {"FILLED"},
    ("REJECTED", "none"): {"REJECTED"},
    ("REJECTED", "some"): {"REJECTED"},
    ("REJECTED", "rest"): {"FILLED"},
    ("CANCELLED", "none"): {"CANCELLED"},
    ("CANCELLED", "some"): {"CANCELLED"},
    ("CANCELLED", "rest"): {"FILLED"},
}


class Standing(NamedTuple):
    """The state of an order."""

    order_id: UUID
    last_sequence: int
    filled: int


def order_in(database: Database, status: str) -> Standing:
    """ALICE's order for 100, brought to a status by the functions."""
    order_id = enter(database, ALICE)
    if status in {"PARTIAL", "FILLED"}:
        quantity = 40 if status == "PARTIAL" else 100
        fill(database, ALICE, order_id, quantity, "execution-1")
        return Standing(order_id, 2, quantity)
    if status == "CANCELLED":
        with connected(database, "blotter_trader", ALICE) as trader:
            assert cancel(trader, ALICE, order_id) == "APPLIED"
    if status == "REJECTED":
        with connected(database, "blotter_execution", ALICE) as gateway:
            assert report(gateway, ALICE, order_id, "REJECTED") == "APPLIED"
    return Standing(order_id, 1 if status == "PENDING" else 2, 0)


@pytest.mark.parametrize(
    ("old", "filled", "new"),
    [(old, filled, new) for (old, filled), new in itertools.product(ALLOWED, STATUSES)],
)
def test_an_order_changes_only_to_a_status_that_the_lifecycle_allows(
    database: Database, old: str, filled: str, new: str
) -> None:
    order = order_in(database, old)
    sequence = order.last_sequence + 1
    quantity = {"none": 0, "some": 10, "rest": 100 - order.filled}[filled]
    total = order.filled + quantity
    with connected(database, "postgres") as superuser:
        if quantity:
            raw_fill(superuser, ALICE, order.order_id, sequence, quantity=quantity)
        columns = {"status": new, "filled_quantity": total, "filled_notional": f"{total * 10.25}"}
        if new not in ALLOWED[old, filled]:
            with refused("23514", "orders_follow_their_lifecycle"):
                raw_update(superuser, order.order_id, sequence, **columns)
            superuser.rollback()
            return
        raw_update(superuser, order.order_id, sequence, **columns)
        count(superuser, ALICE, sequence)
        action = "FILLED" if quantity else new if new != old and new in {"REJECTED", "CANCELLED"} else "APPROVED"
        late = {"reason": "LATE_FILL"} if quantity and old in {"REJECTED", "CANCELLED"} else {}
        raw_log(superuser, ALICE, order.order_id, sequence, action, **late)
    with connected(database, "blotter_compliance") as compliance:
        assert one(compliance, "SELECT status FROM orders") == new


@pytest.mark.parametrize("old", STATUSES)
def test_no_status_takes_a_fill_beyond_the_quantity(database: Database, old: str) -> None:
    order = order_in(database, old)
    sequence = order.last_sequence + 1
    quantity = 101 - order.filled
    with connected(database, "postgres") as superuser:
        raw_fill(superuser, ALICE, order.order_id, sequence, quantity=quantity)
        for status in STATUSES:
            with pytest.raises(psycopg.errors.CheckViolation), superuser.transaction():
                raw_update(
                    superuser,
                    order.order_id,
                    sequence,
                    status=status,
                    filled_quantity=101,
                    filled_notional="1035.25",
                )
        superuser.rollback()


@pytest.mark.parametrize(
    ("status", "columns"),
    [
        ("REJECTED", {}),
        ("CANCELLED", {}),
        ("FILLED", {"filled_quantity": 100, "filled_notional": "1025"}),
        ("PARTIAL", {"filled_quantity": 10, "filled_notional": "102.5"}),
    ],
)
def test_an_order_begins_pending_and_unfilled(database: Database, status: str, columns: dict[str, object]) -> None:
    with connected(database, "postgres") as superuser:
        superuser.execute("INSERT INTO trader_sequences (trader_id) VALUES (%s)", [ALICE])
        count(superuser, ALICE, 1)
        order_id = raw_order(superuser, ALICE, 1, status=status, **columns)
        with refused("23514", "execution_logs_action_fits_the_state"):
            raw_log(superuser, ALICE, order_id, 1, "SUBMITTED")
        superuser.rollback()


@pytest.mark.parametrize(
    "terms",
    [
        {"quantity": 1000},
        {"quantity": 1},
        {"price": "1.00"},
        {"price": None},
        {"side": "SELL"},
        {"symbol": "MSFT"},
        {"order_type": "STOP"},
        {"stop_loss": "9"},
        {"take_profit": "20"},
        {"expires_at": "2099-01-01"},
        {"created_at": "2020-01-01"},
        {"client_order_id": "other"},
        {"request_digest": b"\0" * 32},
        {"id": UUID(int=1)},
    ],
    ids=lambda terms: next(iter(terms)),
)
def test_the_terms_of_an_order_are_final(database: Database, terms: dict[str, object]) -> None:
    order_id = enter(database, ALICE)
    with connected(database, "postgres") as superuser, refused("23514", "orders_terms_are_final"):
        raw_update(superuser, order_id, 2, **terms)


def test_a_late_fill_through_the_function_completes_or_leaves_a_cancelled_order(database: Database) -> None:
    order = order_in(database, "CANCELLED")
    with connected(database, "blotter_execution", ALICE) as gateway:
        for number, quantity, status in ((1, 40, "CANCELLED"), (2, 60, "FILLED")):
            ids = {"report_id": f"late-{number}", "execution_id": f"late-{number}"}
            assert report(gateway, ALICE, order.order_id, "FILLED", quantity=quantity, **ids) == "APPLIED"
            assert one(gateway, "SELECT status FROM orders") == status
        assert one(gateway, "SELECT string_agg(reason, ' ') FROM execution_logs WHERE sequence > 2") == (
            "LATE_FILL LATE_FILL"
        )


def test_a_refused_overfill_is_logged_and_changes_nothing(database: Database) -> None:
    order = order_in(database, "PARTIAL")
    with connected(database, "blotter_execution", ALICE) as gateway:
        report_of_too_much = {"report_id": "report-2", "execution_id": "execution-2", "quantity": 61}
        outcome = report(gateway, ALICE, order.order_id, "FILLED", **report_of_too_much)  # type: ignore[arg-type]
        assert outcome == "OVERFILL"
        assert gateway.execute("SELECT status::text, filled_quantity FROM orders").fetchone() == ("PARTIAL", 40)
        assert gateway.execute(
            "SELECT action::text, refused, error_code, fill_quantity, fill_id FROM execution_logs WHERE sequence = 3"
        ).fetchone() == ("REJECTED", True, "OVERFILL", 61, None)
