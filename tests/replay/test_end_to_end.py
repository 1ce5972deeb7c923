"""Real order flow and the demo flow against a real server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import UUID

import click
import pytest
from click.testing import CliRunner, Result

from blotter.audit.v1 import inspection_pb2
from blotter_client import Action, Client, OrderStatus, OrderType, Side
from replay import lobster
from replay.book import Book
from replay.compare import Comparison, compare
from replay.demo import generate
from replay.flow import Flow
from replay.player import Desk, Played, play, watching
from service.cli.replay import demo, run
from tests.conftest import ALICE, BOB
from tests.serving import Server

TRADERS = (ALICE, BOB)


def played(flow: Flow, book: Book, server: Server) -> tuple[Played, Comparison]:
    with Desk(server.target, book.traders) as desk, watching(desk, book) as watchers:
        return play(flow, book, desk), compare(book, desk, watchers)


def call(command: click.Command, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_the_demo_flow_is_recorded_exactly_and_once(server: Server) -> None:
    flow = generate(7, 60)
    book = Book.of(flow.steps, TRADERS)
    first, compared = played(flow, book, server)
    assert [str(difference) for difference in first.differences + compared.differences] == []
    assert compared.counts["events of streams"] == sum(map(len, book.events.values()))
    again, compared = played(flow, book, server)
    assert [str(difference) for difference in again.differences + compared.differences] == []
    assert compared.counts["events of streams"] == 0


def test_the_demo_flow_reconciles_but_for_orders_with_an_excess(server: Server) -> None:
    flow = generate(11, 120)
    book = Book.of(flow.steps, TRADERS)
    played(flow, book, server)
    overfilled = {order for order, state in book.orders.items() if state.excess_quantity}
    assert overfilled
    ids: dict[str, str] = {}
    for trader_id in TRADERS:
        with Client(server.target, trader_id=trader_id) as trader:
            ids |= {order.order_id: order.client_order_id for order in trader.list_orders()}
    with Client(server.target, role="compliance") as auditor:
        found = [message.discrepancy for message in auditor.reconcile_orders() if message.HasField("discrepancy")]
    kinds = {inspection_pb2.DiscrepancyKind.Name(discrepancy.kind) for discrepancy in found}
    assert kinds == {"DISCREPANCY_KIND_ORDER_OVERFILLED"}
    assert {ids[discrepancy.order_id] for discrepancy in found} == overfilled


def test_a_flow_that_was_played_in_part_resumes(server: Server) -> None:
    flow = generate(7, 40)
    book = Book.of(flow.steps, TRADERS)
    part = replace(flow, steps=flow.steps[: len(flow.steps) // 2])
    played(part, Book.of(part.steps, TRADERS), server)
    rest, compared = played(flow, book, server)
    assert [str(difference) for difference in rest.differences + compared.differences] == []
    assert 0 < compared.counts["events of streams"] < sum(map(len, book.events.values()))


def test_the_same_flow_with_other_traders_is_no_difference(server: Server) -> None:
    flow = generate(7, 30)
    played(flow, Book.of(flow.steps, TRADERS), server)
    book = Book.of(flow.steps, (BOB,))
    alone, compared = played(flow, book, server)
    assert [str(difference) for difference in alone.differences + compared.differences] == []
    assert 0 < compared.counts["events of streams"] < len(book.events[BOB]), "Bob has some of them from the first play"
    swapped, compared = played(flow, Book.of(flow.steps, (BOB, ALICE)), server)
    assert [str(difference) for difference in swapped.differences + compared.differences] == []


def falsify_an_order(book: Book) -> None:
    order, state = next((order, state) for order, state in book.orders.items() if state.filled_quantity)
    book.orders[order] = replace(state, filled_notional=state.filled_notional + Decimal("0.00000001"))


def falsify_an_event(book: Book) -> None:
    events = book.events[ALICE]
    number = next(number for number, event in enumerate(events) if event.after.status is OrderStatus.PARTIAL)
    events[number] = replace(events[number], after=replace(events[number].after, closed_as=OrderStatus.REJECTED))


def remove_an_event(book: Book) -> None:
    del book.events[BOB][3]


def falsify_a_fill(book: Book) -> None:
    key, fill = next(iter(book._fills.items()))
    reported = replace(fill.reported, commission=fill.reported.commission + 1)
    book._fills[key] = replace(fill, reported=reported)


def remove_a_correction(book: Book) -> None:
    key, fill = next((key, fill) for key, fill in book._fills.items() if fill.corrections)
    book._fills[key] = replace(fill, corrections=())


def falsify_a_request(book: Book) -> None:
    events = book.events[ALICE]
    number = next(number for number, event in enumerate(events) if event.action is Action.CANCEL_REQUESTED)
    events[number] = replace(events[number], request_key="another")


def add_an_order(book: Book) -> None:
    state = next(iter(book.orders.values()))
    book.orders["invented"] = replace(state, terms=replace(state.terms, order="invented"))


@pytest.mark.parametrize(
    ("falsify", "fields"),
    [
        (falsify_an_order, {"filled_notional"}),
        (falsify_an_event, {"order.status", "status"}),
        (remove_an_event, {"number of logs", "number of events"}),
        (falsify_a_fill, {"commission"}),
        (remove_a_correction, {"corrections", "net_price"}),
        (falsify_a_request, {"request_key"}),
        (add_an_order, {"invented"}),
    ],
)
def test_a_falsified_expectation_is_a_difference(
    falsify: Callable[[Book], None], fields: set[str], server: Server
) -> None:
    flow = generate(3, 20)
    book = Book.of(flow.steps, TRADERS)
    with Desk(server.target, TRADERS) as desk, watching(desk, book) as watchers:
        assert play(flow, book, desk).differences == []
        falsify(book)
        differences = compare(book, desk, watchers).differences
    assert fields <= {difference.field for difference in differences}, differences


def test_an_unexpected_response_is_a_difference(server: Server) -> None:
    flow = generate(3, 20)
    book = Book.of(flow.steps, TRADERS)
    other = Book.of(flow.steps, TRADERS)
    other.outcomes.reverse()
    with Desk(server.target, TRADERS) as desk:
        differences = play(flow, other, desk).differences
    assert "outcome" in {difference.field for difference in differences}
    assert book.outcomes != other.outcomes


def test_differences_make_the_exit_status_1(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    flow = generate(3, 5)
    with Client(server.target, trader_id=Book.of(flow.steps, TRADERS).trader_of("DEMO-3-5-0")) as client:
        client.submit_order("TSLA", Side.BUY, OrderType.MARKET, 1, client_order_id="DEMO-3-5-0")
    assert run(flow, server.target, Desk(server.target, TRADERS)) == 1
    assert "outcome is 'CLIENT_ORDER_ID_REUSED', must be 'RECORDED'" in capsys.readouterr().err


def test_unknown_traders_cannot_be_played(server: Server) -> None:
    result = call(demo, "--seed", 1, "--orders", 3, "--target", server.target)
    assert result.exit_code == 3
    assert "The traders are not registered" in result.output


def test_the_actors_of_the_replay_are_in_the_audit_trail(server: Server) -> None:
    flow = lobster.read(["1,1,7,18,5853300,1", "2,4,7,18,5853300,1"], "AAPL", date(2012, 6, 21))
    assert run(flow, server.target, Desk(server.target, [ALICE])) == 0
    with Client(server.target, role="compliance") as auditor:
        actors = [log.actor for log in auditor.list_execution_logs(trader_id=UUID(str(ALICE)))]
    assert actors == ["replay-trader", "replay-gateway"]
