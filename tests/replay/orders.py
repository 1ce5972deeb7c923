"""Orders and reports for tests of the book."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from blotter_client import OrderType, Side
from replay.flow import Fill, Submit

NOON = datetime(2012, 6, 21, 16, tzinfo=UTC)


def submit(order: str = "A", quantity: int = 100, price: str = "585.33") -> Submit:
    """Return a limit order to buy."""
    return Submit(order, "AAPL", Side.BUY, OrderType.LIMIT, quantity, Decimal(price))


def fill(quantity: int, number: int = 1, price: str = "585.33", order: str = "A", report_id: str = "") -> Fill:
    """Return the order's n-th fill, at NASDAQ at noon."""
    return Fill(
        order, report_id or f"{order}-R{number}", f"{order}-F{number}", quantity, Decimal(price), "NASDAQ", NOON
    )
