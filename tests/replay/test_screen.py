"""The output while a flow is played."""

from __future__ import annotations

import io
from datetime import UTC, datetime

from google.protobuf.field_mask_pb2 import FieldMask
from rich.console import Console

from blotter_client import (
    Action,
    Fill,
    FillCorrection,
    Order,
    OrderEvent,
    OrderStatus,
    OrderTerms,
    OrderType,
    Side,
    TimeInForce,
)
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
    event = OrderEvent(sequence=8, action=Action.REJECTED.value, order=order(), refused=True, error_code="ORDER_CLOSED")
    assert shown(event) == "Alice 8 BUY 100 AAPL LIMIT 585.33 refused: ORDER_CLOSED PENDING"


def test_a_request_is_printed_with_its_terms() -> None:
    terms = OrderTerms(quantity=120, time_in_force=TimeInForce.GTD.value)
    terms.expire_time.FromDatetime(datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    event = OrderEvent(
        sequence=8,
        action=Action.REPLACE_REQUESTED.value,
        order=order(),
        terms=terms,
        update_mask=FieldMask(paths=["quantity", "stop_loss", "time_in_force", "expire_time"]),
    )
    assert shown(event) == (
        "Alice 8 BUY 100 AAPL LIMIT 585.33 REPLACE_REQUESTED quantity 120, stop_loss none, "
        "time_in_force GTD, expire_time 2026-01-02 03:04 PENDING"
    )
    cleared = OrderEvent(
        sequence=8,
        action=Action.REPLACED.value,
        order=order(),
        terms=OrderTerms(),
        update_mask=FieldMask(paths=["time_in_force", "expire_time"]),
    )
    assert "REPLACED time_in_force none, expire_time none PENDING" in shown(cleared)


def test_corrections_are_printed_with_what_stands() -> None:
    correction = FillCorrection(ref_execution_id="E1", quantity=30, price="585.2")
    event = OrderEvent(sequence=8, action=Action.FILL_CORRECTED.value, order=order(), correction=correction)
    assert "FILL_CORRECTED E1 to 30 at 585.2 PENDING" in shown(event)
    bust = FillCorrection(ref_execution_id="E1", busted=True, commission="0")
    event = OrderEvent(sequence=8, action=Action.FILL_BUSTED.value, order=order(), correction=bust)
    assert "FILL_BUSTED E1 PENDING" in shown(event)


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
