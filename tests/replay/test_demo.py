"""The demo flow: it obeys the contract, and the same seed gives the same flow."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from blotter_client import Action, OrderStatus, OrderType, TimeInForce
from replay.book import OPEN, Book, OrderState, Outcome
from replay.demo import generate
from replay.flow import Cancel, Replace, Report, Request, Submit
from tests.conftest import ALICE, BOB

SEEDS = st.integers(0, 2**63)
FEW = settings(max_examples=50)


@FEW
@given(SEEDS, st.integers(1, 40))
def test_the_same_seed_gives_the_same_flow(seed: int, orders: int) -> None:
    flow = generate(seed, orders)
    assert flow == generate(seed, orders)
    assert len({step.order for step in flow.steps}) == orders


@FEW
@given(SEEDS, st.integers(1, 40))
def test_playing_again_records_nothing(seed: int, orders: int) -> None:
    steps = generate(seed, orders).steps
    book = Book.of(steps, [ALICE, BOB])
    events = {trader_id: list(events) for trader_id, events in book.events.items()}
    for step in steps:
        assert book.play(step) is not Outcome.RECORDED
    assert book.events == events


@FEW
@given(SEEDS, st.integers(1, 40))
def test_a_second_play_refuses_what_the_first_one_refused(seed: int, orders: int) -> None:
    steps = generate(seed, orders).steps
    book = Book.of(steps, [ALICE])
    first = list(book.outcomes)
    for step in steps:
        book.play(step)
    for before, again in zip(first, book.outcomes[len(first) :], strict=True):
        assert again is (Outcome.REPLAYED if before is Outcome.RECORDED else before)


@FEW
@given(SEEDS, st.integers(1, 40))
def test_every_order_obeys_the_rules_of_the_lifecycle(seed: int, orders: int) -> None:
    book = Book.of(generate(seed, orders).steps, [ALICE])
    histories: dict[str, list[OrderState]] = {}
    for event in book.events[ALICE]:
        histories.setdefault(event.after.entered.order, []).append(event.after)
    for history in histories.values():
        assert history[0].status is OrderStatus.PENDING
        for before, after in pairwise(history):
            assert 0 <= after.filled_quantity <= after.terms.quantity
            assert after.leaves_quantity == 0 or after.status in OPEN
            assert before.closed_as in {None, after.closed_as}, "what closed an order stays"
            assert after.at_venue or not before.at_venue, "a gateway keeps the order"
            if before.pending is not None and after.pending is not None:
                assert before.pending == after.pending, "one request at a time"


@FEW
@given(SEEDS, st.integers(1, 40))
def test_its_requests_obey_the_contract(seed: int, orders: int) -> None:
    for step in generate(seed, orders).steps:
        assert len(step.order) <= 64
        if isinstance(step, Cancel | Replace):
            assert len(step.request_key) <= 64
        elif isinstance(step, Submit):
            assert (step.price is None) == (step.order_type is OrderType.MARKET)
            assert (step.stop_price is None) == (step.order_type is not OrderType.STOP_LIMIT)
            assert (step.time_in_force is TimeInForce.GTD) <= (step.expire_time is not None)
        else:
            assert len(step.report_id) <= 64


def test_no_order_is_left_with_a_pending_request() -> None:
    book = Book.of(generate(1, 300).steps, [ALICE])
    assert not any(state.pending for state in book.orders.values())


def test_a_long_flow_covers_all_actions_and_statuses() -> None:
    flow = generate(1, 300)
    assert {type(step) for step in flow.steps} == {Submit, *get_args(Request), *get_args(Report)}
    book = Book.of(flow.steps, [ALICE])
    assert {event.action for event in book.events[ALICE]} == set(Action)
    outcomes = Counter(outcome.name for outcome in book.outcomes)
    assert set(outcomes) == {"RECORDED", "REPLAYED", "ORDER_CLOSED", "REQUEST_NOT_PENDING", "FILL_NOT_FOUND"}
    assert {state.status for state in book.orders.values()} == set(OrderStatus)
    assert {"LATE_FILL", "OVERFILL", "EXPIRED"} <= {event.reason for event in book.events[ALICE]}
    reasons = {state.status_reason for state in book.orders.values()}
    assert {"DONE_FOR_DAY", "EXPIRED", "fat finger"} <= reasons
    assert any(state.excess_quantity for state in book.orders.values())
    prices = {event.fill.price for event in book.events[ALICE] if event.fill}
    assert min(prices) < 1
    assert any(price != price.quantize(price.__class__("0.01")) for price in prices)
