"""The output while a flow is played."""

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


def test_a_fill_is_printed_with_the_orders_filled_quantity() -> None:
    event = OrderEvent(
        sequence=7,
        action=Action.FILLED.value,
        order=order(status=OrderStatus.PARTIAL.value, filled_quantity=40, average_fill_price="585.3"),
        fill=Fill(quantity=40, price="585.3"),
    )
    assert shown(event) == "Alice 7 BUY 100 AAPL LIMIT 585.33 FILLED 40 at 585.3 PARTIAL 40/100 at 585.3"


def test_a_refusal_is_printed_with_its_error_code() -> None:
    event = OrderEvent(sequence=8, action=Action.REJECTED.value, order=order(), refused=True, error_code="OVERFILL")
    assert shown(event) == "Alice 8 BUY 100 AAPL LIMIT 585.33 refused: OVERFILL PENDING"


def test_markup_in_a_reason_is_printed_unchanged() -> None:
    event = OrderEvent(sequence=9, action=Action.CANCELLED.value, order=order(), reason="[bold]why[/bold]")
    assert "[bold]why[/bold]" in shown(event)


def test_without_a_terminal_progress_is_printed_in_five_lines() -> None:
    out = io.StringIO()
    with Screen({}, Console(file=out)).progress(100) as update:
        for count in range(101):
            update(count)
    assert out.getvalue().splitlines() == [f"{count} of 100 steps" for count in (20, 40, 60, 80, 100)]


def test_on_a_terminal_progress_is_a_bar() -> None:
    out = io.StringIO()
    with Screen({}, Console(file=out, force_terminal=True)).progress(100) as update:
        update(50)
    assert "steps" not in out.getvalue()
    assert "playing" in out.getvalue()
