"""Conversions between Python values and the contract's."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from blotter.audit.v1 import audit_service_pb2
from blotter.orders.v1 import execution_report_pb2, order_pb2, request_pb2, terms_pb2
from blotter_client import (
    Action,
    OrderStatus,
    OrderType,
    RefusalReason,
    RequestKind,
    RequestOutcome,
    SecurityIdSource,
    ShortSale,
    Side,
    SortOrder,
    TimeInForce,
    decimal_of,
    decimal_text,
    moment_of,
    new_order,
)
from blotter_client.values import date_text, timestamp

PRICES = st.decimals(
    min_value=0, max_value=Decimal("9999999999.99999999"), allow_nan=False, allow_infinity=False, places=8
)


@pytest.mark.parametrize(
    ("python", "contract", "prefix"),
    [
        (Side, order_pb2.Side, "SIDE_"),
        (OrderType, order_pb2.OrderType, "ORDER_TYPE_"),
        (OrderStatus, order_pb2.OrderStatus, "ORDER_STATUS_"),
        (Action, order_pb2.Action, "ACTION_"),
        (TimeInForce, terms_pb2.TimeInForce, "TIME_IN_FORCE_"),
        (ShortSale, order_pb2.ShortSale, "SHORT_SALE_"),
        (SecurityIdSource, order_pb2.SecurityIdSource, "SECURITY_ID_SOURCE_"),
        (RequestKind, terms_pb2.RequestKind, "REQUEST_KIND_"),
        (RequestOutcome, request_pb2.RequestOutcome, "REQUEST_OUTCOME_"),
        (RefusalReason, execution_report_pb2.RefusalReason, "REFUSAL_REASON_"),
        (SortOrder, audit_service_pb2.SortOrder, "SORT_ORDER_"),
    ],
)
def test_the_enums_equal_those_of_the_contract(python: type[IntEnum], contract: Any, prefix: str) -> None:
    named = {prefix + member.name: member.value for member in python}
    assert named == {name: value for name, value in contract.items() if value}


@given(PRICES)
def test_a_price_converts_to_text_and_back(price: Decimal) -> None:
    text = decimal_text(price)
    assert decimal_of(text) == price
    assert "E" not in text
    assert text == "0" or text.strip("0").strip(".") or "." not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (Decimal("585.3300"), "585.33"), (Decimal("1E+3"), "1000"), (Decimal("1E-8"), "0.00000001"), (7, "7")],
)
def test_prices_have_no_exponent_and_no_trailing_zeros(value: Decimal | int | None, text: str) -> None:
    assert decimal_text(value) == text


@pytest.mark.parametrize("value", [585.33, "585.33", True])
def test_a_float_is_refused_as_a_price(value: Any) -> None:
    with pytest.raises(TypeError, match="Decimal"):
        decimal_text(value)


def test_a_text_is_refused_as_a_side() -> None:
    side: Any = "BUY"
    with pytest.raises(TypeError, match=r"side must be a member of Side, such as <Side\.BUY: 1>, not 'BUY'"):
        new_order("AAPL", side, OrderType.MARKET, 1)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "sNaN"])
def test_a_price_that_is_not_finite_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="finite"):
        decimal_text(Decimal(value))


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_converts_to_a_timestamp_and_back(moment: datetime) -> None:
    message = timestamp(moment)
    assert message is not None
    assert moment_of(message) == moment


def test_a_time_of_another_zone_converts_to_the_same_instant() -> None:
    east = timezone(timedelta(hours=9))
    assert timestamp(datetime(1970, 1, 1, 9, 0, 0, 5, tzinfo=east)) == Timestamp(nanos=5000)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        timestamp(datetime(2012, 6, 21, 9, 30))  # noqa: DTZ001


def test_a_trade_date_is_a_date() -> None:
    assert (date_text(date(2012, 6, 1)), date_text(None)) == ("2012-06-01", "")
    with pytest.raises(TypeError, match="a date, not a datetime"):
        date_text(datetime(2012, 6, 1, tzinfo=UTC))


def test_nanoseconds_are_truncated() -> None:
    assert moment_of(Timestamp(seconds=1, nanos=999_999_999)) == datetime(1970, 1, 1, 0, 0, 1, 999_999, tzinfo=UTC)
