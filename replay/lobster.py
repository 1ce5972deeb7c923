"""Reads a LOBSTER message file: the events of the orders in one symbol on NASDAQ on one day.

Columns: seconds after midnight in New York with up to 9 decimals, type, order id, shares, price in 1/10,000 dollar,
direction of the resting order (1 buy, -1 sell). See https://lobsterdata.com/info/DataStructure.php

A new order (type 1) is submitted as a limit order, a partial cancel (2) is a replace of its quantity by the trader, a
deletion (3) is the trader's cancel, and an execution (4) is a fill that the gateway reports. After a first fill the
service knows that a gateway has the order; cancels and replaces are then requests, which the gateway reports as
accepted. The file does not show requests that the exchange refused.

Hidden executions (5), cross trades (6) and halts (7) do not refer to a visible order. They are counted and not played,
as are messages about orders that were entered before the file begins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from blotter_client import OrderType, Side
from replay.flow import Cancel, CancelAtVenue, Fill, Flow, Replace, ReplaceAtVenue, Step, Submit

VENUE = "NASDAQ"
NEW_YORK = ZoneInfo("America/New_York")

_NEW, _PARTIAL_CANCEL, _DELETION, _EXECUTION, _HIDDEN, _CROSS, _HALT = range(1, 8)
_KINDS = {
    _NEW: "new orders",
    _PARTIAL_CANCEL: "partial cancels",
    _DELETION: "deletions",
    _EXECUTION: "executions",
    _HIDDEN: "executions of hidden orders",
    _CROSS: "cross trades",
    _HALT: "trading halts",
}
_WITHOUT_ORDER = {_HIDDEN, _CROSS, _HALT}
_DAY = 86_400
_SIDES = {1: Side.BUY, -1: Side.SELL}


class MalformedFile(ValueError):
    """A line is not a message, or contradicts earlier lines."""

    def __init__(self, line: int, fault: str) -> None:
        super().__init__(f"line {line}: {fault}")
        self.line = line


@dataclass(slots=True)
class _Resting:
    """An order at the exchange: its quantity and what is open of it; number of partial cancels and executions."""

    quantity: int
    left: int
    replaces: int = 0
    executions: int = 0


@dataclass(frozen=True, slots=True)
class _Message:
    line: int
    moment: datetime
    kind: int
    order_id: int
    size: int
    price: Decimal
    direction: int


def read_file(path: Path, symbol: str, day: date) -> Flow:
    """Return the flow of a file. Raises OSError, and MalformedFile with the line number."""
    with path.open(encoding="ascii", errors="replace") as lines:
        return read(lines, symbol, day, source=path.name)


def read(lines: Iterable[str], symbol: str, day: date, source: str = "messages") -> Flow:
    """Return the flow of the lines. Raises MalformedFile."""
    reader = _Reader(f"{symbol.replace(' ', '_')}-{day:%Y%m%d}", symbol, day)
    steps = tuple(step for line, text in enumerate(lines, start=1) for step in reader.steps(line, text))
    return Flow(f"{source}: {symbol} on {day}", steps, left_out=dict(reader.left_out))


class _Reader:
    """Tracks the orders at the exchange, message by message."""

    def __init__(self, prefix: str, symbol: str, day: date) -> None:
        self._prefix = prefix
        self._symbol = symbol
        self._midnight = datetime.combine(day, time(), NEW_YORK)
        self._resting: dict[int, _Resting] = {}
        self.left_out: Counter[str] = Counter()

    def steps(self, line: int, text: str) -> Iterator[Step]:
        """Yield the steps of a line, at most two."""
        if not text.strip():
            return
        message = self._parse(line, text)
        if message.kind in _WITHOUT_ORDER:
            self.left_out[_KINDS[message.kind]] += 1
            return
        if message.direction not in _SIDES or message.size < 1 or message.price <= 0:
            raise MalformedFile(line, "size and price must be above 0, and the direction 1 or -1")
        if message.kind == _NEW:
            yield self._submit(message)
        elif message.order_id in self._resting:
            yield from self._change(message, self._resting[message.order_id])
        else:
            self.left_out[f"{_KINDS[message.kind]} of orders from before the file"] += 1

    def _submit(self, message: _Message) -> Submit:
        if message.order_id in self._resting:
            raise MalformedFile(message.line, f"order {message.order_id} was already entered")
        self._resting[message.order_id] = _Resting(message.size, message.size)
        return Submit(
            order=self._key(message),
            symbol=self._symbol,
            side=_SIDES[message.direction],
            order_type=OrderType.LIMIT,
            quantity=message.size,
            price=message.price,
        )

    def _change(self, message: _Message, order: _Resting) -> Iterator[Step]:
        if message.size > order.left or (message.kind == _DELETION and message.size != order.left):
            raise MalformedFile(
                message.line,
                f"{message.size} shares in one of the {_KINDS[message.kind]}, "
                f"but order {message.order_id} has {order.left} left",
            )
        order.left -= message.size
        key = self._key(message)
        if message.kind == _EXECUTION:
            order.executions += 1
            report = f"{key}-F{order.executions}"
            yield Fill(key, report, report, message.size, message.price, VENUE, message.moment)
            return
        if order.left == 0:
            request = f"{key}-D"
            yield Cancel(key, request, "deleted")
            if order.executions:
                yield CancelAtVenue(key, request, "", VENUE, message.moment, request)
            return
        order.quantity -= message.size
        order.replaces += 1
        request = f"{key}-P{order.replaces}"
        yield Replace(key, request, {"quantity": order.quantity}, "cancelled in part")
        if order.executions:
            yield ReplaceAtVenue(key, request, "", VENUE, message.moment, request)

    def _key(self, message: _Message) -> str:
        return f"{self._prefix}-{message.order_id}"

    def _parse(self, line: int, text: str) -> _Message:
        fields = text.strip().split(",")
        if len(fields) != 6:
            raise MalformedFile(line, f"6 columns are required, not {len(fields)}")
        moment = self._moment(line, fields[0])
        kind, order_id, size, price, direction = (self._number(line, field) for field in fields[1:])
        if kind not in _KINDS:
            raise MalformedFile(line, f"the message type must be 1 to 7, not {kind}")
        return _Message(line, moment, kind, order_id, size, Decimal(price).scaleb(-4), direction)

    def _moment(self, line: int, text: str) -> datetime:
        seconds, _, fraction = text.partition(".")
        if not seconds.isdecimal() or not (fraction or "0").isdecimal() or int(seconds) >= _DAY:
            raise MalformedFile(line, f"the time must be in seconds after midnight, not {text!r}")
        # Wall clock arithmetic is correct on every day on which the exchange is open. The time is truncated to
        # microseconds.
        passed = timedelta(seconds=int(seconds), microseconds=int(f"{fraction:0<6}"[:6]))
        return (self._midnight + passed).astimezone(UTC)

    @staticmethod
    def _number(line: int, text: str) -> int:
        if not text.removeprefix("-").isdecimal():
            raise MalformedFile(line, f"{text!r} is not an integer")
        return int(text)
