"""The steps of a LOBSTER message file."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blotter_client import OrderStatus, OrderType, Side
from replay.book import Book
from replay.flow import Cancel, CancelAtVenue, Fill, Flow, Replace, ReplaceAtVenue, Submit
from replay.lobster import MalformedFile, read, read_file
from tests.conftest import ALICE

DAY = date(2012, 6, 21)


def flow_of(*lines: str, day: date = DAY) -> Flow:
    return read(lines, "AAPL", day)


def test_a_new_order_is_a_limit_order() -> None:
    assert flow_of("34200.004241176,1,16113575,18,5853300,1\n").steps == (
        Submit("AAPL-20120621-16113575", "AAPL", Side.BUY, OrderType.LIMIT, 18, Decimal("585.33")),
    )


def test_a_deletion_is_the_traders_cancel() -> None:
    steps = flow_of("34200.1,1,7,18,5853300,-1", "34200.2,3,7,18,5853300,-1").steps
    assert steps[1:] == (Cancel("AAPL-20120621-7", "AAPL-20120621-7-D", "deleted"),)


def test_after_a_fill_the_gateway_confirms_the_cancel() -> None:
    steps = flow_of("1,1,7,18,5853300,-1", "2,4,7,10,5853300,-1", "34200,3,7,8,5853300,-1").steps
    key = "AAPL-20120621-7"
    opening = datetime(2012, 6, 21, 13, 30, tzinfo=UTC)
    assert steps[2:] == (
        Cancel(key, f"{key}-D", "deleted"),
        CancelAtVenue(key, f"{key}-D", "", "NASDAQ", opening, f"{key}-D"),
    )
    assert Book.of(steps, [ALICE]).orders[key].status is OrderStatus.CANCELLED


def test_an_execution_is_a_fill_with_the_venues_time_in_microseconds() -> None:
    steps = flow_of("34200.1,1,7,18,5853300,-1", "34200.999999999,4,7,10,5853399,-1", "34201,4,7,8,5853300,-1").steps
    assert steps[1] == Fill(
        order="AAPL-20120621-7",
        report_id="AAPL-20120621-7-F1",
        execution_id="AAPL-20120621-7-F1",
        quantity=10,
        price=Decimal("585.3399"),
        venue="NASDAQ",
        event_time=datetime(2012, 6, 21, 13, 30, 0, 999_999, tzinfo=UTC),
    )
    assert isinstance(steps[2], Fill)
    assert steps[2].execution_id == "AAPL-20120621-7-F2"


def test_new_york_is_an_hour_later_in_winter() -> None:
    steps = flow_of("34200.1,1,7,18,5853300,1", "34200.1,4,7,18,5853300,1", day=date(2012, 12, 21)).steps
    assert isinstance(steps[1], Fill)
    assert steps[1].event_time == datetime(2012, 12, 21, 14, 30, 0, 100_000, tzinfo=UTC)


@given(st.integers(0, 86_399), st.text("0123456789", max_size=9))
def test_times_are_truncated_not_rounded(seconds: int, fraction: str) -> None:
    time = f"{seconds}.{fraction}" if fraction else str(seconds)
    fill = flow_of("0,1,7,18,5853300,1", f"{time},4,7,1,5853300,1").steps[1]
    assert isinstance(fill, Fill)
    midnight = datetime(2012, 6, 21, 4, tzinfo=UTC)
    exact = Decimal(time)
    elapsed = fill.event_time - midnight
    microseconds = (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds
    assert microseconds <= exact * 1_000_000 < microseconds + 1


@given(st.integers(1, 9_999_999_999_999))
def test_prices_are_exact(price: int) -> None:
    [step] = flow_of(f"0,1,7,18,{price},1").steps
    assert isinstance(step, Submit)
    assert step.price is not None
    assert step.price * 10_000 == price


def test_a_partial_cancel_is_a_replace_of_the_quantity() -> None:
    flow = flow_of("1,1,7,100,5853300,1", "2,2,7,40,5853300,1", "3,2,7,10,5853300,1", "4,4,7,50,5853300,1")
    key = "AAPL-20120621-7"
    assert flow.steps[1:3] == (
        Replace(key, f"{key}-P1", {"quantity": 60}, "cancelled in part"),
        Replace(key, f"{key}-P2", {"quantity": 50}, "cancelled in part"),
    )
    state = Book.of(flow.steps, [ALICE]).orders[key]
    assert (state.status, state.filled_quantity, state.terms.quantity) == (OrderStatus.FILLED, 50, 50)


def test_after_a_fill_the_gateway_confirms_the_replace() -> None:
    flow = flow_of("1,1,7,100,5853300,1", "2,4,7,40,5853300,1", "34200,2,7,10,5853300,1", "34201,3,7,50,5853300,1")
    key = "AAPL-20120621-7"
    opening = datetime(2012, 6, 21, 13, 30, tzinfo=UTC)
    assert flow.steps[2:4] == (
        Replace(key, f"{key}-P1", {"quantity": 90}, "cancelled in part"),
        ReplaceAtVenue(key, f"{key}-P1", "", "NASDAQ", opening, f"{key}-P1"),
    )
    state = Book.of(flow.steps, [ALICE]).orders[key]
    assert (state.status, state.filled_quantity, state.terms.quantity) == (OrderStatus.CANCELLED, 40, 90)


def test_a_partial_cancel_of_all_that_is_left_is_a_cancel() -> None:
    flow = flow_of("1,1,7,100,5853300,1", "2,4,7,40,5853300,1", "3,2,7,60,5853300,1")
    state = Book.of(flow.steps, [ALICE]).orders["AAPL-20120621-7"]
    assert (state.status, state.filled_quantity, state.terms.quantity) == (OrderStatus.CANCELLED, 40, 100)


def test_messages_without_a_visible_order_are_counted_by_kind() -> None:
    flow = flow_of(
        "1,5,0,100,5853300,1",
        "1,5,0,7,5853300,-1",
        "2,6,-1,1500,5853300,-1",
        "3,7,0,0,-1,-1",
        "4,2,99,1,5853300,1",
        "5,3,99,1,5853300,1",
        "6,4,99,1,5853300,1",
    )
    assert flow.steps == ()
    assert flow.left_out == {
        "executions of hidden orders": 2,
        "cross trades": 1,
        "trading halts": 1,
        "partial cancels of orders from before the file": 1,
        "deletions of orders from before the file": 1,
        "executions of orders from before the file": 1,
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,1,7,100,5853300", "6 columns are required, not 5"),
        ("1,1,7,100,5853300,1,1", "required, not 7"),
        ("9:30,1,8,100,5853300,1", "the time must be .*, not '9:30'"),
        ("-1,1,8,100,5853300,1", "the time must be .*, not '-1'"),
        ("1.5e3,1,8,100,5853300,1", "the time must be"),
        ("86400,1,8,100,5853300,1", "the time must be"),
        ("1,8,8,100,5853300,1", "must be 1 to 7, not 8"),
        ("1,one,8,100,5853300,1", "'one' is not an integer"),
        ("1,1,8,100,585.33,1", "'585.33' is not an integer"),
        ("1,1,8,0,5853300,1", "above 0"),
        ("1,1,8,100,0,1", "above 0"),
        ("1,1,8,100,5853300,2", "direction 1 or -1"),
        ("1,1,7,100,5853300,1", "order 7 was already entered"),
        ("1,4,7,101,5853300,1", "order 7 has 100 left"),
        ("1,3,7,99,5853300,1", "order 7 has 100 left"),
        ("\ufffd\ufffd", "6 columns"),
    ],
)
def test_an_error_states_the_fault_and_the_line(line: str, message: str) -> None:
    with pytest.raises(MalformedFile, match=f"^line 3: .*{message}") as raised:
        flow_of("0,1,7,100,5853300,1", "", line)
    assert raised.value.line == 3


def test_a_binary_file_is_malformed(tmp_path: Path) -> None:
    path = tmp_path / "messages.csv"
    path.write_bytes(b"\x1f\x8b\x08\xff" * 20)
    with pytest.raises(MalformedFile, match="line 1"):
        read_file(path, "AAPL", DAY)
