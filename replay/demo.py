"""A generated order flow that covers all events of orders. A seed makes it reproducible.

Each order follows one of several scenarios, in one of several instruments, from sub-penny stocks to six-digit prices.
The orders overlap in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import TypedDict

from blotter_client import OrderType, Side
from replay.flow import (
    Approve,
    Cancel,
    CancelAtVenue,
    Execute,
    Fill,
    Flow,
    Recover,
    Reject,
    Step,
    Submit,
)

OPENING = datetime(2025, 6, 2, 13, 30, tzinfo=UTC)
"""The venue's time at the start: a Monday, 09:30 in New York."""

FAR_EXPIRY = datetime(2100, 1, 1, tzinfo=UTC)

_INSTRUMENTS = (
    # symbol, price, tick
    ("AAPL", Decimal("585.33"), Decimal("0.01")),
    ("MSFT", Decimal("30.14"), Decimal("0.005")),
    ("BRK.A", Decimal(124150), Decimal(1)),
    ("SIRI", Decimal("1.9235"), Decimal("0.0001")),
    ("CYBK", Decimal("0.0042"), Decimal("0.00000002")),
)
_VENUES = ("NASDAQ", "NYSE", "BATS")
_REJECTS = (("not enough margin", "MARGIN"), ("trading is halted", "HALT"), ("price too far from the market", "BAND"))


def generate(seed: int, orders: int) -> Flow:
    """Return a flow of the given number of orders. The same arguments give the same flow."""
    timed: list[tuple[datetime, int, int, Step]] = []
    for number in range(orders):
        # Each order has its own random generator, so that its steps do not depend on other orders.
        random = Random(f"{seed}/{orders}/{number}")  # noqa: S311  # not a secret
        order = _Order(random, f"DEMO-{seed}-{orders}-{number}")
        timed += [(moment, number, index, step) for index, (moment, step) in enumerate(order.steps())]
    timed.sort(key=lambda item: item[:3])
    return Flow(f"demo flow, seed {seed}, {orders} orders", tuple(step for *_, step in timed))


class _Origin(TypedDict):
    """The common fields of all reports."""

    order: str
    report_id: str
    venue: str
    event_time: datetime


@dataclass(slots=True)
class _Open:
    """The unfilled quantity of an order, and the number of its reports and fills so far."""

    left: int
    reports: int = 0
    fills: int = 0


class _Order:
    """Generates the steps of one order."""

    def __init__(self, random: Random, order: str) -> None:
        self._random = random
        self._order = order
        symbol, self._price, self._tick = random.choice(_INSTRUMENTS)
        self._venue = random.choice(_VENUES)
        self._now = OPENING + timedelta(microseconds=random.randrange(60_000_000))
        self._submit = self._entered(symbol)
        self._state = _Open(self._submit.quantity)

    def steps(self) -> Iterator[tuple[datetime, Step]]:
        """Yield the steps, each with its time, in ascending order."""
        scenario: Callable[[], Iterator[Step]] = self._random.choice(
            (
                self._filled,
                self._filled,
                self._filled,
                self._cancelled,
                self._cancelled_then_filled,
                self._cancelled_at_venue,
                self._rejected,
                self._recovered,
                self._overfilled,
                self._repeated,
                self._resting,
            )
        )
        for step in scenario():
            yield self._now, step
            self._now += timedelta(microseconds=self._random.randrange(50_000, 5_000_000))

    def _filled(self) -> Iterator[Step]:
        yield from self._sent()
        yield from self._fills(self._state.left)
        if self._random.random() < 0.3:
            yield Cancel(self._order, "too late")

    def _cancelled(self) -> Iterator[Step]:
        yield from self._sent()
        yield from self._fills(self._random.randrange(self._state.left))
        yield Cancel(self._order, self._random.choice(("", "changed my mind")))
        if self._random.random() < 0.5:
            yield CancelAtVenue(**self._report(), reason="by request")
        yield Approve(**self._report())

    def _cancelled_then_filled(self) -> Iterator[Step]:
        yield from self._sent()
        yield Cancel(self._order, "fat finger")
        # The venue had already traded a part of the quantity, or all of it.
        yield from self._fills(self._random.choice((self._state.left, max(1, self._state.left // 2))))
        yield Cancel(self._order)

    def _cancelled_at_venue(self) -> Iterator[Step]:
        yield from self._sent()
        yield from self._fills(self._random.randrange(self._state.left))
        yield CancelAtVenue(**self._report(), reason="end of day")
        yield Cancel(self._order)

    def _rejected(self) -> Iterator[Step]:
        yield self._submit
        reason, code = self._random.choice(_REJECTS)
        yield Reject(**self._report(), reason=reason, error_code=code)
        yield Cancel(self._order, "never mind")
        yield CancelAtVenue(**self._report())

    def _recovered(self) -> Iterator[Step]:
        yield self._submit
        yield Approve(**self._report())
        failures = self._random.randrange(1, 4)
        for attempt in range(failures):
            yield Execute(**self._report(), retry_attempt=attempt, error_code="TIMEOUT", reason="no answer in 250 ms")
        yield Recover(**self._report(), retry_attempt=failures)
        yield from self._fills(self._state.left)

    def _overfilled(self) -> Iterator[Step]:
        yield from self._sent()
        yield from self._fills(self._random.randrange(self._state.left))
        too_much = replace(self._fill(1), quantity=self._state.left + 2)
        yield too_much
        yield too_much
        yield from self._fills(self._state.left)
        yield self._fill(1)

    def _repeated(self) -> Iterator[Step]:
        for step in (*self._sent(), *self._fills(self._state.left)):
            yield step
            if self._random.random() < 0.5:
                yield step
            if isinstance(step, Fill):
                yield replace(step, report_id=f"{step.report_id}-again")

    def _resting(self) -> Iterator[Step]:
        yield from self._sent()
        yield from self._fills(self._random.randrange(self._state.left))

    def _sent(self) -> Iterator[Step]:
        yield self._submit
        yield Approve(**self._report())
        yield Execute(**self._report())

    def _fills(self, quantity: int) -> Iterator[Step]:
        """Yield fills of the quantity, in one to four parts."""
        for part in range(self._random.randrange(4), -1, -1):
            share = quantity if part == 0 else self._random.randrange(quantity + 1)
            if share:
                quantity -= share
                self._state.left -= share
                yield self._fill(share)

    def _fill(self, quantity: int) -> Fill:
        self._state.fills += 1
        # A fill at the mid-point has half a tick, and therefore more decimals than quotes.
        price = self._price + self._random.randrange(-6, 7) * self._tick / 2
        commission = Decimal(self._random.randrange(0, 200)) / 1000
        execution_id = f"{self._order}-F{self._state.fills}"
        return Fill(
            **self._report(), execution_id=execution_id, quantity=quantity, price=_fits(price), commission=commission
        )

    def _report(self) -> _Origin:
        self._state.reports += 1
        return {
            "order": self._order,
            "report_id": f"{self._order}-R{self._state.reports}",
            "venue": self._venue,
            "event_time": self._now,
        }

    def _entered(self, symbol: str) -> Submit:
        side = self._random.choice((Side.BUY, Side.SELL))
        order_type = self._random.choice((OrderType.LIMIT, OrderType.LIMIT, OrderType.MARKET, OrderType.STOP))
        better = 1 if side is Side.BUY else -1
        exits = self._random.random() < 0.3
        return Submit(
            order=self._order,
            symbol=symbol,
            side=side,
            order_type=order_type,
            quantity=self._random.choice((1, 7, 100, 100, 250, 1000, 40_000)),
            price=None if order_type is OrderType.MARKET else self._price,
            stop_loss=_fits(self._price * (100 - 5 * better) / 100) if exits else None,
            take_profit=_fits(self._price * (100 + 10 * better) / 100) if exits else None,
            expire_time=FAR_EXPIRY if self._random.random() < 0.2 else None,
        )


def _fits(price: Decimal) -> Decimal:
    """Return the price rounded to 8 decimals, the contract's limit."""
    return price.quantize(Decimal("1E-8"))
