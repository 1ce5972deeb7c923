"""The rules of the book, one per test."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blotter_client import Action, OrderStatus
from replay.book import Book, Outcome
from replay.flow import Approve, Cancel, CancelAtVenue, Execute, Fill, Recover, Reject, Step
from tests.conftest import ALICE, BOB
from tests.replay.orders import fill, submit


def book_of(*steps: Step) -> Book:
    return Book.of(steps, [ALICE])


def test_an_order_starts_as_pending() -> None:
    book = book_of(submit())
    [event] = book.events[ALICE]
    assert (event.action, event.after.status, event.by_gateway) == (Action.SUBMITTED, OrderStatus.PENDING, False)
    assert event.after.average_fill_price is None


def test_fills_lead_through_partial_to_filled() -> None:
    book = book_of(submit(), fill(40, 1, "585.33"), fill(60, 2, "585.3401"))
    assert [event.after.status.name for event in book.events[ALICE]] == ["PENDING", "PARTIAL", "FILLED"]
    state = book.orders["A"]
    assert state.filled_notional == Decimal("58533.606")
    assert state.average_fill_price == Decimal("585.33606000")


def test_the_average_is_rounded_half_up() -> None:
    state = book_of(submit(quantity=8), fill(7, 1, "0.00000001"), fill(1, 2, "0.00000005")).orders["A"]
    assert state.filled_notional == Decimal("0.00000012")
    assert state.average_fill_price == Decimal("0.00000002"), "0.000000015, rounded half up"


def test_attempts_and_approvals_change_nothing() -> None:
    book = book_of(
        submit(), Approve("A", "1"), Execute("A", "2", error_code="TIMEOUT"), Recover("A", "3", 1), Execute("A", "4")
    )
    assert [event.after for event in book.events[ALICE]] == [book.orders["A"]] * 5
    assert book.outcomes == [Outcome.RECORDED] * 5


@pytest.mark.parametrize("quantity", [61, 1000])
def test_an_overfill_is_refused_and_recorded(quantity: int) -> None:
    book = book_of(submit(), fill(40), fill(quantity, 2))
    assert book.outcomes[-1] is Outcome.OVERFILL
    event = book.events[ALICE][-1]
    assert (event.action, event.refused, event.error_code) == (Action.REJECTED, True, "OVERFILL")
    assert event.reason == "FILLED refused: 60 of 100 left"
    assert event.fill == fill(quantity, 2)
    assert event.after == book.orders["A"] == book.events[ALICE][-2].after


def test_a_late_fill_is_recorded_and_the_order_stays_cancelled_until_it_is_complete() -> None:
    book = book_of(submit(), Cancel("A"), fill(40, 1), fill(60, 2), Cancel("A"))
    assert [event.after.status.name for event in book.events[ALICE]] == ["PENDING", "CANCELLED", "CANCELLED", "FILLED"]
    assert [event.reason for event in book.events[ALICE]] == ["", "", "LATE_FILL", "LATE_FILL"]
    assert book.outcomes[-1] is Outcome.REPLAYED, "the order was cancelled before"


@pytest.mark.parametrize("closing", [Reject("A", "X", "halted"), fill(100, 9)])
def test_a_closed_order_is_neither_approved_rejected_nor_cancelled(closing: Reject | Fill) -> None:
    late: list[Step] = [Approve("A", "1"), Reject("A", "2", "no"), CancelAtVenue("A", "3"), Cancel("A")]
    book = book_of(submit(), closing, *late)
    assert book.outcomes[2:] == [Outcome.ORDER_CLOSED] * 4
    refusals = book.events[ALICE][2:]
    reasons = ["APPROVED refused", "REJECTED refused: no", "CANCELLED refused"]
    assert [event.reason for event in refusals] == reasons, "a refused cancel by the trader is not recorded"


def test_the_venue_may_confirm_a_cancel() -> None:
    book = book_of(submit(), Cancel("A"), CancelAtVenue("A", "1", "by request"))
    assert [event.action.name for event in book.events[ALICE]] == ["SUBMITTED", "CANCELLED", "CANCELLED"]


def test_a_repeated_step_counts_once() -> None:
    steps: list[Step] = [submit(), Approve("A", "1"), fill(40), Cancel("A")]
    book = book_of(*steps, *steps, fill(40, report_id="another"))
    assert book.outcomes[4:] == [Outcome.REPLAYED] * 5
    assert len(book.events[ALICE]) == 4


def test_a_repeated_refusal_is_recorded_once() -> None:
    book = book_of(submit(), fill(101), fill(101))
    assert book.outcomes[1:] == [Outcome.OVERFILL] * 2
    assert len(book.events[ALICE]) == 2


def test_a_key_with_other_content_is_refused_and_not_recorded() -> None:
    book = book_of(submit(), fill(40), submit(quantity=7), fill(41), fill(41, report_id="another"))
    assert [outcome.name for outcome in book.outcomes[2:]] == [
        "CLIENT_ORDER_ID_REUSED",
        "REPORT_ID_REUSED",
        "EXECUTION_ID_REUSED",
    ]
    assert len(book.events[ALICE]) == 2


def test_a_step_of_an_unknown_order_is_an_error() -> None:
    with pytest.raises(ValueError, match="was not entered before"):
        book_of(Cancel("A"))


def test_the_trader_of_an_order_does_not_depend_on_other_orders() -> None:
    orders = [f"order-{number}" for number in range(100)]
    first, second = Book([ALICE, BOB]), Book([ALICE, BOB])
    assert [first.trader_of(order) for order in orders] == [second.trader_of(order) for order in reversed(orders)][::-1]
    assert {first.trader_of(order) for order in orders} == {ALICE, BOB}


PRICES = st.decimals(
    Decimal("0.00000001"), Decimal("9999999999.99999999"), allow_nan=False, allow_infinity=False, places=8
)
FILLS = st.lists(st.tuples(st.integers(1, 2**31 - 1), PRICES), max_size=12)


@given(st.integers(1, 2**31 - 1), FILLS)
def test_sums_are_exact_and_never_exceed_the_quantity(quantity: int, fills: list[tuple[int, Decimal]]) -> None:
    reports = [replace(fill(shares, number), price=price) for number, (shares, price) in enumerate(fills)]
    book = book_of(submit(quantity=quantity), *reports)
    booked = book.fills(ALICE).values()
    state = book.orders["A"]
    assert state.filled_quantity == sum(part.quantity for part in booked) <= quantity
    notional = sum((Fraction(part.price) * part.quantity for part in booked), Fraction(0))
    assert Fraction(state.filled_notional) == notional
    if state.average_fill_price is not None:
        assert abs(Fraction(state.average_fill_price) - notional / state.filled_quantity) <= Fraction(1, 2 * 10**8)
    assert (state.status is OrderStatus.FILLED) == (state.filled_quantity == quantity)
    assert len(book.events[ALICE]) == 1 + len(reports), "each report is recorded, also a refused one"
