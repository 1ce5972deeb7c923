"""The rules of the book, one per test."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blotter_client import Action, OrderStatus, RefusalReason, RequestKind, RequestOutcome, Side, TimeInForce
from replay.book import Book, Outcome, PastRequest, Pending, past_requests
from replay.flow import (
    Approve,
    Bust,
    Cancel,
    CancelAtVenue,
    Correct,
    EndDay,
    Execute,
    Fill,
    Recover,
    RefuseCancel,
    RefuseReplace,
    Reject,
    Replace,
    ReplaceAtVenue,
    Restate,
    Step,
)
from tests.conftest import ALICE, BOB
from tests.replay.orders import NOON, fill, submit


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


def test_attempts_and_approvals_change_only_who_has_the_order() -> None:
    book = book_of(
        submit(), Approve("A", "1"), Execute("A", "2", error_code="TIMEOUT"), Recover("A", "3", 1), Execute("A", "4")
    )
    assert [event.after.at_venue for event in book.events[ALICE]] == [False, False, True, True, True]
    assert [replace(event.after, at_venue=True) for event in book.events[ALICE]] == [book.orders["A"]] * 5
    assert book.outcomes == [Outcome.RECORDED] * 5


def states(book: Book) -> list[tuple[str, int, int, int]]:
    """Status, filled, open and excess quantity after each event."""
    return [
        (
            event.after.status.name,
            event.after.filled_quantity,
            event.after.leaves_quantity,
            event.after.excess_quantity,
        )
        for event in book.events[ALICE]
    ]


@pytest.mark.parametrize("quantity", [61, 1000])
def test_an_overfill_is_recorded_as_an_excess(quantity: int) -> None:
    book = book_of(submit(), fill(40), fill(quantity, 2))
    assert book.outcomes[-1] is Outcome.RECORDED
    event = book.events[ALICE][-1]
    assert (event.action, event.refused, event.reason) == (Action.FILLED, False, "OVERFILL")
    assert states(book)[-1] == ("FILLED", 100, 0, quantity - 60)
    assert event.after.filled_notional == Decimal("585.33") * (40 + quantity)
    assert event.after.average_fill_price == Decimal("585.33")


def test_a_late_fill_is_recorded_and_the_order_stays_cancelled_until_it_is_complete() -> None:
    book = book_of(submit(), Cancel("A", "X"), fill(40, 1), fill(60, 2), fill(1, 3), Cancel("A", "Y"))
    assert [status for status, *_ in states(book)] == ["PENDING", "CANCELLED", "CANCELLED", "FILLED", "FILLED"]
    assert [event.reason for event in book.events[ALICE]] == ["", "", "LATE_FILL", "LATE_FILL", "OVERFILL"]
    assert book.outcomes[-1] is Outcome.REPLAYED, "the order was cancelled before"


@pytest.mark.parametrize("closing", [Reject("A", "X", "halted"), fill(100, 9)])
def test_a_closed_order_is_neither_approved_nor_rejected(closing: Reject | Fill) -> None:
    late: list[Step] = [Approve("A", "1"), Reject("A", "2", "no"), Cancel("A", "Y")]
    book = book_of(submit(), closing, *late)
    assert book.outcomes[2:] == [Outcome.ORDER_CLOSED] * 3
    refusals = book.events[ALICE][2:]
    reasons = ["APPROVED refused", "REJECTED refused: no"]
    assert [event.reason for event in refusals] == reasons, "a refused cancel by the trader is not recorded"


def test_the_venues_cancel_of_a_filled_order_is_recorded_and_of_a_rejected_one_refused() -> None:
    book = book_of(submit(), fill(100), CancelAtVenue("A", "1", "done"), CancelAtVenue("A", "2"))
    assert states(book)[2] == ("FILLED", 100, 0, 0)
    assert book.orders["A"].closed_as is OrderStatus.CANCELLED
    assert book.outcomes[2:] == [Outcome.RECORDED] * 2
    assert book_of(submit(), Reject("A", "X", "halted"), CancelAtVenue("A", "1")).outcomes[-1] is Outcome.ORDER_CLOSED


def test_a_cancel_takes_effect_at_once_while_the_order_is_at_the_desk() -> None:
    book = book_of(submit(), Cancel("A", "X", "flat"), CancelAtVenue("A", "1", "by request"))
    assert [event.action.name for event in book.events[ALICE]] == ["SUBMITTED", "CANCELLED", "CANCELLED"]
    assert book.orders["A"].status_reason == "flat", "the venue only confirms it"


@pytest.mark.parametrize("sent", [Execute("A", "S"), Execute("A", "S", error_code="TIMEOUT"), Recover("A", "S", 1)])
def test_a_cancel_of_an_order_at_a_venue_waits_for_the_answer(sent: Execute | Recover) -> None:
    book = book_of(submit(), sent, Cancel("A", "X", "flat"), fill(40))
    assert book.orders["A"].pending == Pending(RequestKind.CANCEL, "X", "flat")
    assert states(book)[-1] == ("PARTIAL", 40, 60, 0)
    book.play(CancelAtVenue("A", "1"))
    assert states(book)[-1] == ("CANCELLED", 40, 0, 0)
    event = book.events[ALICE][-1]
    assert (event.answered_key, event.after.pending, event.after.status_reason) == ("X", None, "flat")


def test_a_cancel_that_loses_the_race_is_refused_by_the_venue() -> None:
    refusal = RefuseCancel("A", "1", RefusalReason.TOO_LATE_TO_CANCEL, "filled", request_key="X")
    book = book_of(submit(), Execute("A", "S"), Cancel("A", "X"), fill(100), refusal)
    event = book.events[ALICE][-1]
    assert (event.action, event.error_code, event.answered_key) == (Action.CANCEL_REFUSED, "TOO_LATE_TO_CANCEL", "X")
    assert (event.after.status, event.after.pending) == (OrderStatus.FILLED, None)


def test_an_answer_to_another_request_settles_nothing() -> None:
    refusal = RefuseCancel("A", "1", RefusalReason.OTHER, request_key="W")
    book = book_of(submit(), Execute("A", "S"), Cancel("A", "X"), refusal)
    assert book.outcomes[-1] is Outcome.RECORDED
    assert book.orders["A"].pending is not None
    assert book.events[ALICE][-1].answered_key == ""
    book.play(RefuseReplace("A", "2", RefusalReason.OTHER))
    assert book.orders["A"].pending is not None, "no replace is pending"
    assert book.play(ReplaceAtVenue("A", "3", "odd")) is Outcome.REQUEST_NOT_PENDING
    event = book.events[ALICE][-1]
    assert (event.refused, event.reason, event.error_code) == (True, "REPLACED refused: odd", "REQUEST_NOT_PENDING")


def test_one_request_at_a_time() -> None:
    book = book_of(submit(), Execute("A", "S"), Replace("A", "X", {"quantity": 50}), Cancel("A", "Y"))
    assert book.outcomes[-1] is Outcome.REQUEST_PENDING
    assert len(book.events[ALICE]) == 3
    assert book.play(Replace("A", "Z", {"quantity": 60})) is Outcome.REQUEST_PENDING


def test_a_replace_takes_effect_at_once_while_the_order_is_at_the_desk() -> None:
    book = book_of(submit(), Replace("A", "X", {"quantity": 120, "price": Decimal(586)}))
    terms = book.orders["A"].terms
    assert (terms.quantity, terms.price, terms.side) == (120, Decimal(586), Side.BUY)
    assert book.events[ALICE][-1].action is Action.REPLACED
    assert book.play(submit()) is Outcome.REPLAYED, "what was entered stays the same"


def test_until_the_venue_accepts_a_replace_the_old_terms_are_in_force() -> None:
    replace = Replace("A", "X", {"quantity": 120})
    book = book_of(submit(), Execute("A", "S"), replace, fill(110), ReplaceAtVenue("A", "1"), fill(20, 2))
    assert states(book)[2:] == [
        ("PENDING", 0, 100, 0),
        ("FILLED", 100, 0, 10),
        ("PARTIAL", 110, 10, 0),
        ("FILLED", 120, 0, 10),
    ]
    event = book.events[ALICE][4]
    assert (event.terms, event.answered_key) == ({"quantity": 120}, "X")


def test_a_quantity_below_what_is_filled_becomes_what_is_filled() -> None:
    book = book_of(submit(), Execute("A", "S"), Replace("A", "X", {"quantity": 30}), fill(40), ReplaceAtVenue("A", "1"))
    assert (states(book)[-1], book.orders["A"].terms.quantity) == (("FILLED", 40, 0, 0), 40)


def test_a_filled_order_may_be_replaced_to_more_and_a_cancelled_one_not() -> None:
    book = book_of(submit(), fill(100), Replace("A", "X", {"quantity": 130}), ReplaceAtVenue("A", "1"))
    assert states(book)[-1] == ("PARTIAL", 100, 30, 0)
    assert book.play(CancelAtVenue("A", "2")) is Outcome.RECORDED
    assert book.play(Replace("A", "Y", {"quantity": 140})) is Outcome.ORDER_CLOSED


def test_what_closes_an_order_settles_its_request() -> None:
    book = book_of(submit(), Execute("A", "S"), Replace("A", "X", {"quantity": 50}), Reject("A", "1", "halted"))
    event = book.events[ALICE][-1]
    assert (event.answered_key, event.after.pending, event.after.terms.quantity) == ("X", None, 100)


def test_the_outcomes_of_requests() -> None:
    book = book_of(
        submit(),
        Replace("A", "Q1", {"quantity": 110}, "more"),
        Execute("A", "1"),
        Replace("A", "Q2", {"quantity": 120}),
        RefuseReplace("A", "2", RefusalReason.BROKER_OPTION),
        Cancel("A", "Q3"),
        RefuseCancel("A", "3", RefusalReason.OTHER),
        Replace("A", "Q4", {"quantity": 130}),
        ReplaceAtVenue("A", "4"),
        Cancel("A", "Q5", "flat"),
    )
    assert past_requests(book.events[ALICE])[-1] == PastRequest(
        "Q5", RequestKind.CANCEL, RequestOutcome.PENDING, "flat"
    )
    book.play(EndDay("A", "5"))
    assert [
        (request.key, request.outcome.name, request.outcome_code) for request in past_requests(book.events[ALICE])
    ] == [
        ("Q1", "ACCEPTED", ""),
        ("Q2", "REFUSED", "BROKER_OPTION"),
        ("Q3", "REFUSED", "OTHER"),
        ("Q4", "ACCEPTED", ""),
        ("Q5", "SUPERSEDED", ""),
    ]
    more = PastRequest("Q1", RequestKind.REPLACE, RequestOutcome.ACCEPTED, "more", {"quantity": 110})
    assert past_requests(book.events[ALICE])[0] == more


def test_a_restatement_needs_no_request() -> None:
    book = book_of(submit(), Restate("A", "1", 110), fill(10), Restate("A", "2", price=Decimal(9)), Restate("A", "3"))
    assert [leaves for _, _, leaves, _ in states(book)] == [100, 110, 100, 100, 100]
    assert book.orders["A"].terms.price == Decimal(9)
    assert [event.terms for event in book.events[ALICE]][1:] == [{"quantity": 110}, None, {"price": Decimal(9)}, {}]


@pytest.mark.parametrize(
    ("time_in_force", "expire_time", "closes"),
    [
        (None, None, True),
        (None, NOON, False),
        (TimeInForce.DAY, None, True),
        (TimeInForce.IOC, None, True),
        (TimeInForce.GTC, None, False),
        (TimeInForce.GTD, NOON, False),
    ],
)
def test_the_end_of_the_day_closes_day_orders(
    time_in_force: TimeInForce | None, expire_time: datetime | None, closes: bool
) -> None:
    order = replace(submit(), time_in_force=time_in_force, expire_time=expire_time)
    book = book_of(order, fill(40), EndDay("A", "1", "16:00"))
    assert states(book)[-1] == (("CANCELLED", 40, 0, 0) if closes else ("PARTIAL", 40, 60, 0))
    assert book.orders["A"].status_reason == ("DONE_FOR_DAY" if closes else "")
    assert book.events[ALICE][-1].reason == "16:00"


def test_an_order_that_expires_at_the_venue_is_cancelled() -> None:
    book = book_of(submit(), Execute("A", "S"), CancelAtVenue("A", "1", expired=True))
    assert (book.events[ALICE][-1].reason, book.orders["A"].status_reason) == ("EXPIRED", "EXPIRED")


def correct(quantity: int, ref: str, number: int = 1, price: str = "585.33") -> Correct:
    """Return the n-th correction, of the order's fill or correction `ref`."""
    ids = (f"C-R{number}", f"C{number}", ref)
    return Correct("A", *ids, NOON.date(), quantity, Decimal(price), "NASDAQ", NOON)


def bust(ref: str, number: int = 1) -> Bust:
    return Bust("A", f"B-R{number}", f"B{number}", ref, NOON.date(), "NASDAQ", NOON)


def test_a_bust_takes_the_fill_away_and_keeps_it() -> None:
    book = book_of(submit(), fill(40, 1, "10"), fill(60, 2, "11"), bust("A-F2"), fill(5, 3, "12"))
    assert states(book)[2:] == [("FILLED", 100, 0, 0), ("PARTIAL", 40, 60, 0), ("PARTIAL", 45, 55, 0)]
    state = book.orders["A"]
    assert state.filled_notional == Decimal(460)
    fills = list(book.fills(ALICE).values())
    assert [(booked.reported.quantity, len(booked.corrections)) for booked in fills] == [(40, 0), (60, 1), (5, 0)]


def test_a_bust_of_a_closed_orders_fill_leaves_it_closed() -> None:
    book = book_of(submit(), fill(50), CancelAtVenue("A", "1"), bust("A-F1"), fill(40, 2, "51"))
    assert states(book)[3:] == [("CANCELLED", 0, 0, 0), ("CANCELLED", 40, 0, 0)]
    assert book.orders["A"].average_fill_price == Decimal(51)


def test_corrections_replace_each_other() -> None:
    book = book_of(submit(), fill(40), correct(30, "A-F1", 1, "7"), correct(50, "C1", 2, "8"), correct(60, "A-F1", 3))
    assert [filled for _, filled, _, _ in states(book)] == [0, 40, 30, 50, 60]
    assert book.orders["A"].filled_notional == Decimal("585.33") * 60
    [booked] = book.fills(ALICE).values()
    assert (booked.reported, booked.net) == (fill(40), correct(60, "A-F1", 3))


def test_a_correction_removes_an_excess() -> None:
    book = book_of(submit(), fill(102), correct(100, "A-F1"))
    assert states(book)[1:] == [("FILLED", 100, 0, 2), ("FILLED", 100, 0, 0)]


@pytest.mark.parametrize(
    "late",
    [bust("A-F1", 2), correct(1, "A-F1"), correct(1, "B1"), correct(1, "unknown"), replace(bust("A-F1", 2), order="B")],
)
def test_a_fill_that_is_busted_unknown_or_of_another_order_is_not_corrected(late: Correct | Bust) -> None:
    book = book_of(submit(), submit("B"), fill(40), bust("A-F1"), late)
    assert book.outcomes[-1] is Outcome.FILL_NOT_FOUND
    event = book.events[ALICE][-1]
    assert (event.action, event.refused, event.correction) == (Action.REJECTED, True, late)


def test_fills_corrections_and_busts_share_their_ids() -> None:
    book = book_of(submit(), fill(40), correct(30, "A-F1"))
    assert book.play(replace(correct(30, "A-F1"), report_id="again")) is Outcome.REPLAYED
    assert book.play(replace(correct(31, "A-F1"), report_id="other")) is Outcome.EXECUTION_ID_REUSED
    assert book.play(replace(fill(30, 2), execution_id="C1")) is Outcome.EXECUTION_ID_REUSED
    assert book.play(replace(bust("A-F1"), execution_id="A-F1")) is Outcome.EXECUTION_ID_REUSED
    assert len(book.events[ALICE]) == 3


def test_an_execution_id_is_unique_within_a_trade_date() -> None:
    book = book_of(submit(), fill(40), replace(fill(40, 1, report_id="next day"), event_time=NOON + timedelta(days=1)))
    assert book.outcomes[-1] is Outcome.RECORDED
    assert len(book.fills(ALICE)) == 2


def test_a_repeated_step_counts_once() -> None:
    steps: list[Step] = [submit(), Approve("A", "1"), fill(40), Replace("A", "X", {"quantity": 50})]
    steps += [ReplaceAtVenue("A", "2"), bust("A-F1"), Cancel("A", "Y"), CancelAtVenue("A", "3")]
    book = book_of(*steps, *steps, fill(40, report_id="another"))
    assert book.outcomes[len(steps) :] == [Outcome.REPLAYED] * (len(steps) + 1)
    assert len(book.events[ALICE]) == len(steps)


def test_a_repeated_refusal_is_recorded_once() -> None:
    book = book_of(submit(), bust("A-F1"), bust("A-F1"))
    assert book.outcomes[1:] == [Outcome.FILL_NOT_FOUND] * 2
    assert len(book.events[ALICE]) == 2


def test_a_key_with_other_content_is_refused_and_not_recorded() -> None:
    steps: list[Step] = [submit(), fill(40), submit(quantity=7), fill(41), fill(41, report_id="another")]
    steps += [Replace("A", "X", {"quantity": 50}), Replace("A", "X", {"quantity": 60}), Cancel("A", "X")]
    steps += [Cancel("A", "A"), submit("X")]
    book = book_of(*steps)
    assert [outcome.name for outcome in book.outcomes[2:]] == [
        "CLIENT_ORDER_ID_REUSED",
        "REPORT_ID_REUSED",
        "EXECUTION_ID_REUSED",
        "RECORDED",
        "REQUEST_KEY_REUSED",
        "REQUEST_KEY_REUSED",
        "REQUEST_KEY_REUSED",
        "CLIENT_ORDER_ID_REUSED",
    ]
    assert len(book.events[ALICE]) == 3


def test_a_step_of_an_unknown_order_is_an_error() -> None:
    with pytest.raises(ValueError, match="was not entered before"):
        book_of(Cancel("A", "X"))


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
def test_sums_are_exact(quantity: int, fills: list[tuple[int, Decimal]]) -> None:
    reports = [replace(fill(shares, number), price=price) for number, (shares, price) in enumerate(fills)]
    state = book_of(submit(quantity=quantity), *reports).orders["A"]
    total = sum(part.quantity for part in reports)
    assert (state.filled_quantity, state.excess_quantity) == (min(total, quantity), max(total - quantity, 0))
    notional = sum((Fraction(part.price) * part.quantity for part in reports), Fraction(0))
    assert Fraction(state.filled_notional) == notional
    if state.average_fill_price is not None:
        assert abs(Fraction(state.average_fill_price) - notional / total) <= Fraction(1, 2 * 10**8)
    assert (state.status is OrderStatus.FILLED) == (total >= quantity)


@given(st.integers(1, 2**31 - 1), FILLS.filter(bool), st.data())
def test_what_is_busted_has_never_been_filled(
    quantity: int, fills: list[tuple[int, Decimal]], data: st.DataObject
) -> None:
    reports = [replace(fill(shares, number), price=price) for number, (shares, price) in enumerate(fills)]
    busted = data.draw(st.sets(st.sampled_from(range(len(reports)))))
    busts = [bust(reports[number].execution_id, number) for number in busted]
    left = [report for number, report in enumerate(reports) if number not in busted]
    after = book_of(submit(quantity=quantity), *reports, *busts).orders["A"]
    assert after == replace(book_of(submit(quantity=quantity), *left).orders["A"], at_venue=True)
