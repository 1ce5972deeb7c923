"""The demo flow: it obeys the contract, and the same seed gives the same flow."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from blotter_client import Action, OrderStatus, OrderType
from replay.book import OPEN, Book, Outcome
from replay.demo import generate
from replay.flow import Cancel, Submit
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
def test_every_order_obeys_the_table_of_transitions(seed: int, orders: int) -> None:
    book = Book.of(generate(seed, orders).steps, [ALICE])
    statuses: dict[str, list[OrderStatus]] = {}
    for event in book.events[ALICE]:
        statuses.setdefault(event.after.entered.order, []).append(event.after.status)
        assert 0 <= event.after.filled_quantity <= event.after.entered.quantity
    for history in statuses.values():
        assert history[0] is OrderStatus.PENDING
        for before, after in pairwise(history):
            assert before == after or before in OPEN or after is OrderStatus.FILLED
            assert after is not OrderStatus.PENDING or before is OrderStatus.PENDING


@FEW
@given(SEEDS, st.integers(1, 40))
def test_its_requests_obey_the_contract(seed: int, orders: int) -> None:
    for step in generate(seed, orders).steps:
        assert len(step.order) <= 64
        if not isinstance(step, Submit | Cancel):
            assert len(step.report_id) <= 64
        if isinstance(step, Submit):
            assert (step.price is None) == (step.order_type is OrderType.MARKET)


def test_a_long_flow_covers_all_actions_and_statuses() -> None:
    book = Book.of(generate(1, 300).steps, [ALICE])
    assert {event.action for event in book.events[ALICE]} == set(Action)
    outcomes = Counter(outcome.name for outcome in book.outcomes)
    assert set(outcomes) == {"RECORDED", "REPLAYED", "OVERFILL", "ORDER_CLOSED"}
    assert {state.status for state in book.orders.values()} == set(OrderStatus)
    assert "LATE_FILL" in {event.reason for event in book.events[ALICE]}
    prices = {event.fill.price for event in book.events[ALICE] if event.fill}
    assert min(prices) < 1
    assert any(price != price.quantize(price.__class__("0.01")) for price in prices)
