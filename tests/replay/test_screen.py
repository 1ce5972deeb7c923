"""What is shown while a flow is played."""

from __future__ import annotations

import io

from rich.console import Console

from blotter_client import Action, Fill, Order, OrderEvent, OrderStatus, OrderType, Side
from replay.screen import Screen
from tests.conftest import ALICE


def order(**changes: object) -> Order:
    values: dict[str, object] = {
        "symbol": "AAPL",
        "side": Side.BUY.value,
        "order_type": OrderType.LIMIT.value,
        "quantity": 100,
        "price": "585.33",
        "status": OrderStatus.PENDING.value,
    }
    return Order(**(values | changes))  # type: ignore[arg-type]  # the fields are named above


def shown(event: OrderEvent) -> str:
    out = io.StringIO()
    Screen({ALICE: "Alice"}, Console(file=out, highlight=False)).event(ALICE, event)
    return " ".join(out.getvalue().split())


def test_a_fill_says_how_far_the_order_is() -> None:
    event = OrderEvent(
        sequence=7,
        action=Action.FILLED.value,
        order=order(status=OrderStatus.PARTIAL.value, filled_quantity=40, average_fill_price="585.3"),
        fill=Fill(quantity=40, price="585.3"),
    )
    assert shown(event) == "Alice 7 BUY 100 AAPL LIMIT 585.33 FILLED 40 at 585.3 PARTIAL 40/100 at 585.3"


def test_a_refusal_says_why() -> None:
    event = OrderEvent(sequence=8, action=Action.REJECTED.value, order=order(), refused=True, error_code="OVERFILL")
    assert shown(event) == "Alice 8 BUY 100 AAPL LIMIT 585.33 refused: OVERFILL PENDING"


def test_what_a_client_wrote_is_no_markup() -> None:
    event = OrderEvent(sequence=9, action=Action.CANCELLED.value, order=order(), reason="[bold]why[/bold]")
    assert "[bold]why[/bold]" in shown(event)


def test_without_a_terminal_progress_is_a_few_plain_lines() -> None:
    out = io.StringIO()
    with Screen({}, Console(file=out)).progress(100) as tell:
        for done in range(101):
            tell(done)
    assert out.getvalue().splitlines() == [f"{done} of 100 steps" for done in (20, 40, 60, 80, 100)]


def test_on_a_terminal_it_is_a_bar() -> None:
    out = io.StringIO()
    with Screen({}, Console(file=out, force_terminal=True)).progress(100) as tell:
        tell(50)
    assert "steps" not in out.getvalue()
    assert "playing" in out.getvalue()
