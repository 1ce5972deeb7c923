"""A generated order flow that covers all events of orders. A seed makes it reproducible.

Each order follows one of several scenarios, in one of several instruments, from sub-penny stocks to six-digit prices.
The orders overlap in time. No request is refused that a second play of the flow would record: a refused request leaves
no record, so that the service cannot recognize it when it is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, TypedDict

from blotter_client import OrderType, RefusalReason, SecurityIdSource, ShortSale, Side, TimeInForce
from replay.flow import (
    Approve,
    Bust,
    Cancel,
    CancelAtVenue,
    Correct,
    EndDay,
    Execute,
    Fill,
    Flow,
    Recover,
    RefuseCancel,
    RefuseReplace,
    Reject,
    Replace,
    ReplaceAtVenue,
    Restate,
    Step,
    Submit,
)

OPENING = datetime(2025, 6, 2, 13, 30, tzinfo=UTC)
"""The venue's time at the start: a Monday, 09:30 in New York."""

FAR_EXPIRY = datetime(2100, 1, 1, tzinfo=UTC)

_INSTRUMENTS = (
    # symbol, price, tick, ISIN
    ("AAPL", Decimal("585.33"), Decimal("0.01"), "US0378331005"),
    ("MSFT", Decimal("30.14"), Decimal("0.005"), "US5949181045"),
    ("BRK.A", Decimal(124150), Decimal(1), "US0846701086"),
    ("SIRI", Decimal("1.9235"), Decimal("0.0001"), ""),
    ("CYBK", Decimal("0.0042"), Decimal("0.00000002"), ""),
)
_ACCOUNTS = ("", "FUND-1", "FUND-2")
_LABELS: tuple[dict[str, str], ...] = ({}, {"desk": "cash"}, {"desk": "program", "strategy": "close"})
_DAY = timedelta(days=1)
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
    """The quantity of an order and what is unfilled of it, and the number of its reports, fills and requests so far."""

    quantity: int
    left: int
    reports: int = 0
    fills: int = 0
    requests: int = 0


class _Order:
    """Generates the steps of one order."""

    def __init__(self, random: Random, order: str) -> None:
        self._random = random
        self._order = order
        symbol, self._price, self._tick, isin = random.choice(_INSTRUMENTS)
        self._venue = random.choice(_VENUES)
        self._now = OPENING + timedelta(microseconds=random.randrange(60_000_000))
        self._submit = self._entered(symbol, isin)
        self._state = _Open(self._submit.quantity, self._submit.quantity)

    def steps(self) -> Iterator[tuple[datetime, Step]]:
        """Yield the steps, each with its time, in ascending order."""
        scenario: Callable[[], Iterator[Step]] = self._random.choice(
            (
                self._filled,
                self._filled,
                self._filled,
                self._cancelled,
                self._cancelled_at_the_desk,
                self._cancelled_too_late,
                self._cancelled_then_filled,
                self._cancelled_at_venue,
                self._rejected,
                self._recovered,
                self._overfilled,
                self._replaced,
                self._replaced_at_the_desk,
                self._replaced_to_what_is_filled,
                self._replace_refused,
                self._replace_superseded,
                self._corrected,
                self._busted,
                self._restated,
                self._carried_over,
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
            yield self._cancel("too late")

    def _cancelled(self) -> Iterator[Step]:
        yield from self._sent()
        yield from self._fills(self._random.randrange(self._state.left))
        cancel = self._cancel(self._random.choice(("", "changed my mind")))
        yield cancel
        if self._random.random() < 0.5:
            yield cancel
        # Fills go on until the venue has answered.
        yield from self._fills(self._random.randrange(self._state.left))
        yield CancelAtVenue(
            **self._report(), reason=self._random.choice(("", "by request")), request_key=cancel.request_key
        )
        yield Approve(**self._report())

    def _cancelled_at_the_desk(self) -> Iterator[Step]:
        yield self._submit
        yield self._cancel("fat finger")
        yield Approve(**self._report())

    def _cancelled_too_late(self) -> Iterator[Step]:
        """The cancel loses the race with the fills."""
        yield from self._sent()
        cancel = self._cancel("changed my mind")
        yield cancel
        yield from self._fills(self._state.left)
        yield self._refuse_cancel(cancel)
        yield self._cancel("still want it cancelled")

    def _cancelled_then_filled(self) -> Iterator[Step]:
        yield from self._sent()
        cancel = self._cancel("fat finger")
        yield cancel
        yield CancelAtVenue(**self._report(), request_key=cancel.request_key)
        # The venue had already traded a part of the quantity, or all of it.
        yield from self._fills(self._random.choice((self._state.left, max(1, self._state.left // 2))))
        yield self._cancel()
        # An answer that comes late settles nothing.
        yield self._refuse_cancel(cancel)

    def _cancelled_at_venue(self) -> Iterator[Step]:
        yield from self._sent()
        yield from self._fills(self._random.randrange(self._state.left))
        if self._random.random() < 0.5:
            yield CancelAtVenue(**self._report(), expired=True)
        else:
            yield CancelAtVenue(**self._report(), reason="market closed")
        yield self._cancel()

    def _rejected(self) -> Iterator[Step]:
        yield self._submit
        reason, code = self._random.choice(_REJECTS)
        yield Reject(**self._report(), reason=reason, error_code=code)
        yield self._cancel("never mind")
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
        left = self._state.left
        too_much = self._fill(left + 2)
        yield too_much
        yield too_much
        if self._random.random() < 0.5:
            yield self._correct(too_much, left)

    def _replaced(self) -> Iterator[Step]:
        yield from self._sent()
        yield from self._fills(self._random.randrange(self._state.left))
        more = self._random.choice((1, 50, 400))
        terms: dict[str, Any] = {"quantity": self._state.quantity + more}
        if self._submit.price is not None:
            terms["price"] = self._price + self._tick
        replaced = self._replace(terms, "more of it")
        yield replaced
        # Until the venue has answered, the order may be filled up to its old quantity.
        yield from self._fills(self._state.left)
        yield ReplaceAtVenue(**self._report(), request_key=replaced.request_key)
        self._state.left += more
        yield replaced
        yield from self._fills(self._state.left)

    def _replaced_at_the_desk(self) -> Iterator[Step]:
        yield self._submit
        more = self._random.choice((1, 50, 400))
        yield self._replace(
            {
                "quantity": self._state.quantity + more,
                "stop_loss": None,
                "take_profit": None,
                "time_in_force": TimeInForce.GTD,
                "expire_time": FAR_EXPIRY + _DAY,
            }
        )
        self._state.left += more
        yield Execute(**self._report())
        yield from self._fills(self._state.left)

    def _replaced_to_what_is_filled(self) -> Iterator[Step]:
        yield from self._sent()
        filled = self._random.randrange(1, self._state.left + 1)
        yield from self._fills(filled)
        replaced = self._replace({"quantity": self._random.randrange(1, filled + 1)}, "enough")
        yield replaced
        yield ReplaceAtVenue(**self._report(), request_key=replaced.request_key)
        yield self._cancel("filled already")

    def _replace_refused(self) -> Iterator[Step]:
        yield from self._sent()
        replaced = self._replace({"stop_loss": None, "take_profit": None})
        yield replaced
        yield RefuseReplace(
            **self._report(),
            refusal=self._random.choice((RefusalReason.BROKER_OPTION, RefusalReason.OTHER)),
            reason="not at this time",
            request_key=self._random.choice(("", replaced.request_key)),
        )
        # It is refused once: a second answer settles nothing, and accepting it now cannot be true.
        yield ReplaceAtVenue(**self._report(), request_key=replaced.request_key)
        yield from self._fills(self._state.left)

    def _replace_superseded(self) -> Iterator[Step]:
        yield from self._sent()
        yield self._replace({"quantity": self._state.quantity + 1})
        yield CancelAtVenue(**self._report(), reason="trading is halted")

    def _corrected(self) -> Iterator[Step]:
        yield from self._sent()
        fill = self._fill(self._state.left)
        yield fill
        correction = self._correct(fill, self._random.randrange(1, fill.quantity + 1))
        yield correction
        yield correction
        # The next day, the venue corrects its correction.
        second = self._correct(correction, fill.quantity)
        yield replace(second, event_time=second.event_time + _DAY, reason="price of the auction")

    def _busted(self) -> Iterator[Step]:
        yield from self._sent()
        fill = self._fill(self._random.randrange(1, self._state.left + 1))
        yield fill
        bust = self._bust(fill)
        yield bust
        self._state.left += fill.quantity
        yield replace(bust, report_id=f"{bust.report_id}-again")
        yield self._bust(fill)
        yield from self._fills(self._random.choice((self._state.left, max(1, self._state.left // 2))))
        if self._random.random() < 0.5:
            yield self._correct(fill, 1)

    def _restated(self) -> Iterator[Step]:
        yield from self._sent()
        yield Restate(**self._report(), quantity=self._state.quantity + 10, reason="stock split")
        self._state.left += 10
        yield from self._fills(self._random.randrange(1, self._state.left))
        if self._submit.price is not None:
            yield Restate(**self._report(), price=self._price, reason="repriced")
        yield Restate(**self._report(), reason="confirmed")

    def _carried_over(self) -> Iterator[Step]:
        """Closes a day order; another order goes on the next day."""
        yield from self._sent()
        yield from self._fills(self._random.randrange(self._state.left))
        yield EndDay(**self._report(), reason="16:00")
        if self._submit.time_in_force in {TimeInForce.GTC, TimeInForce.GTD} or self._submit.expire_time:
            yield Restate(**self._report(), reason="carried over")
            yield from self._fills(self._state.left)
        else:
            yield self._cancel("end of day")

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
                yield self._fill(share)

    def _fill(self, quantity: int) -> Fill:
        self._state.fills += 1
        self._state.left -= quantity
        commission = Decimal(self._random.randrange(0, 200)) / 1000
        return Fill(
            **self._report(),
            execution_id=f"{self._order}-F{self._state.fills}",
            quantity=quantity,
            price=self._traded_price(),
            commission=commission,
        )

    def _correct(self, corrected: Fill | Correct, quantity: int) -> Correct:
        """Return the correction of a fill, or of a correction, to another price and the quantity."""
        report = self._report()
        return Correct(
            **report,
            execution_id=report["report_id"],
            ref_execution_id=corrected.execution_id,
            ref_trade_date=corrected.trade_date,
            quantity=quantity,
            price=self._traded_price(),
            commission=Decimal(self._random.randrange(0, 200)) / 1000,
            reason=self._random.choice(("", "wrong price")),
        )

    def _bust(self, fill: Fill) -> Bust:
        report = self._report()
        return Bust(
            **report,
            execution_id=report["report_id"],
            ref_execution_id=fill.execution_id,
            ref_trade_date=fill.trade_date,
            reason=self._random.choice(("", "clearly erroneous")),
        )

    def _traded_price(self) -> Decimal:
        # A fill at the mid-point has half a tick, and therefore more decimals than quotes.
        return _fits(self._price + self._random.randrange(-6, 7) * self._tick / 2)

    def _cancel(self, reason: str = "") -> Cancel:
        return Cancel(self._order, self._request_key(), reason)

    def _refuse_cancel(self, cancel: Cancel) -> RefuseCancel:
        return RefuseCancel(
            **self._report(),
            refusal=RefusalReason.TOO_LATE_TO_CANCEL,
            reason="no open quantity",
            request_key=cancel.request_key,
        )

    def _replace(self, terms: dict[str, Any], reason: str = "") -> Replace:
        return Replace(self._order, self._request_key(), terms, reason)

    def _request_key(self) -> str:
        self._state.requests += 1
        return f"{self._order}-Q{self._state.requests}"

    def _report(self) -> _Origin:
        self._state.reports += 1
        return {
            "order": self._order,
            "report_id": f"{self._order}-R{self._state.reports}",
            "venue": self._venue,
            "event_time": self._now,
        }

    def _entered(self, symbol: str, isin: str) -> Submit:
        side = self._random.choice((Side.BUY, Side.SELL))
        order_type = self._random.choice((OrderType.LIMIT, OrderType.LIMIT, *OrderType))
        better = 1 if side is Side.BUY else -1
        exits = self._random.random() < 0.3
        time_in_force = self._random.choice((None, None, TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD))
        expires = time_in_force is TimeInForce.GTD or (time_in_force is None and self._random.random() < 0.2)
        short = side is Side.SELL and self._random.random() < 0.3
        return Submit(
            order=self._order,
            symbol=symbol,
            side=side,
            order_type=order_type,
            quantity=self._random.choice((1, 7, 100, 100, 250, 1000, 40_000)),
            price=None if order_type is OrderType.MARKET else self._price,
            stop_loss=_fits(self._price * (100 - 5 * better) / 100) if exits else None,
            take_profit=_fits(self._price * (100 + 10 * better) / 100) if exits else None,
            expire_time=FAR_EXPIRY if expires else None,
            stop_price=self._price - better * self._tick if order_type is OrderType.STOP_LIMIT else None,
            time_in_force=time_in_force,
            account=self._random.choice(_ACCOUNTS),
            labels=self._random.choice(_LABELS),
            parent_order_id=f"{self._order}-PARENT" if self._random.random() < 0.2 else "",
            currency=self._random.choice(("", "USD")),
            security_id=isin,
            security_id_source=SecurityIdSource.ISIN if isin else None,
            short_sale=self._random.choice(tuple(ShortSale)) if short else None,
            exempt_from_cancel_timer=self._random.random() < 0.2,
        )


def _fits(price: Decimal) -> Decimal:
    """Return the price rounded to 8 decimals, the contract's limit."""
    return price.quantize(Decimal("1E-8"))
