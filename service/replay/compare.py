"""Everything the service says about a flow that was played, against the book."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar
from uuid import UUID

from service.client import Client, ExecutionLog, Fill, Order, OrderEvent
from service.replay.book import Book, Event
from service.replay.difference import (
    Difference,
    event_differences,
    fill_differences,
    log_differences,
    order_differences,
)
from service.replay.player import GATEWAY_ACTOR, PATIENCE, TRADER_ACTOR, Desk
from service.replay.watcher import Watcher

ACTORS = (TRADER_ACTOR, GATEWAY_ACTOR)


class Numbered(Protocol):
    """Something with a trader's sequence."""

    @property
    def sequence(self) -> int:
        """Its number."""


NumberedT = TypeVar("NumberedT", bound=Numbered)


@dataclass(slots=True)
class Comparison:
    """How many values of which kind were compared, and what differed."""

    counts: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)

    def add(self, kind: str, count: int, differences: Iterable[Difference]) -> None:
        """Note so many compared values of a kind, and their differences."""
        self.counts[kind] = self.counts.get(kind, 0) + count
        self.differences += differences


def compare(book: Book, desk: Desk, watchers: Mapping[UUID, Watcher]) -> Comparison:
    """Compare orders, fills, streams and the audit trail of every trader. Raises BlotterError."""
    comparison = Comparison()
    for trader_id, client in desk.traders.items():
        orders = _own_orders(book, client)
        comparison.add("orders", len(orders), _orders(book, trader_id, orders))
        trail = list(client.list_execution_logs())
        for kind, logs in (
            ("audit trail, as the trader", trail),
            ("audit trail, as compliance", list(desk.compliance.list_execution_logs(trader_id=trader_id))),
            ("audit trail, streamed", list(_streamed(client))),
        ):
            own = _own(book, logs)
            comparison.add(kind, len(own), _trail(kind, book.events[trader_id], logs, own))
        fills = [fill for fill in client.list_fills() if fill.order_id in {order.order_id for order in orders.values()}]
        comparison.add("fills", len(fills), _fills(book, trader_id, fills))
        comparison.add("sequences", len(orders) + len(fills), _sequences(_own(book, trail), orders, fills))
        differences = list(_stream(book, trader_id, watchers[trader_id], orders))
        comparison.add("events of streams", len(watchers[trader_id].events), differences)
        comparison.add("orders folded from streams", len(watchers[trader_id].folded), ())
    return comparison


def _own_orders(book: Book, client: Client) -> dict[str, Order]:
    symbols = sorted({state.entered.symbol for state in book.orders.values()})
    return {
        order.client_order_id: order
        for order in client.list_orders(symbols=symbols)
        if order.client_order_id in book.orders
    }


def _orders(book: Book, trader_id: UUID, orders: Mapping[str, Order]) -> Iterator[Difference]:
    expected = {order: state for order, state in book.orders.items() if state.trader_id == trader_id}
    yield from _missing("orders", expected, orders)
    for order, state in expected.items():
        if order in orders:
            yield from order_differences(f"order {order}", state, orders[order])


def _own(book: Book, logs: Iterable[ExecutionLog]) -> list[ExecutionLog]:
    return [log for log in logs if log.order.client_order_id in book.orders]


def _sequences(
    logs: Sequence[ExecutionLog], orders: Mapping[str, Order], fills: Iterable[Fill]
) -> Iterator[Difference]:
    """Orders and fills must point at the logs that recorded their last change."""
    last = {log.order.client_order_id: log.sequence for log in logs}
    for order, found in orders.items():
        if found.last_sequence != last.get(order):
            yield Difference(f"order {order}", "last_sequence", last.get(order), found.last_sequence)
    recorded = {log.fill.fill_id: log.sequence for log in logs if log.fill.fill_id}
    for fill in fills:
        if fill.sequence != recorded.get(fill.fill_id):
            yield Difference(f"fill {fill.execution_id}", "sequence", recorded.get(fill.fill_id), fill.sequence)


def _fills(book: Book, trader_id: UUID, fills: Sequence[Fill]) -> Iterator[Difference]:
    expected = {f"{venue} {execution_id}": fill for (venue, execution_id), fill in book.fills(trader_id).items()}
    found = {f"{fill.venue} {fill.execution_id}": fill for fill in fills}
    yield from _missing("fills", expected, found)
    if len(found) != len(fills):
        yield Difference(f"fills of {trader_id}", "number of fills with different ids", len(fills), len(found))
    for key, fill in expected.items():
        if key in found:
            yield from fill_differences(f"fill {key}", fill, found[key])


def _trail(
    kind: str, expected: Sequence[Event], logs: Sequence[ExecutionLog], own: Sequence[ExecutionLog]
) -> Iterator[Difference]:
    yield from _dense(kind, logs)
    if len(own) != len(expected):
        yield Difference(kind, "number of logs", len(expected), len(own))
    for event, log in zip(expected, own, strict=False):
        yield from log_differences(f"{kind}, log {log.sequence}", event, log, ACTORS)


def _stream(book: Book, trader_id: UUID, watcher: Watcher, orders: Mapping[str, Order]) -> Iterator[Difference]:
    where = f"stream of {trader_id}"
    last = max((order.last_sequence for order in orders.values()), default=0)
    if not watcher.reached(last, PATIENCE):
        found = watcher.error or watcher.last_sequence
        yield Difference(where, f"last sequence after {PATIENCE:.0f} s", last, found)
    for gap in watcher.gaps:
        yield Difference(where, "numbering", "dense", gap)
    yield from _missing(f"{where}, folded", orders, watcher.folded)
    for order, folded in watcher.folded.items():
        if order in orders and folded != orders[order]:
            yield Difference(where, f"order {order}, folded", orders[order], folded)
    # What an earlier play recorded is in the snapshot; what came since is the end of the trader's events.
    expected = book.events[trader_id]
    came = watcher.events
    yield from _events(where, expected[max(0, len(expected) - len(came)) :], came)


def _events(where: str, expected: Sequence[Event], came: Sequence[OrderEvent]) -> Iterator[Difference]:
    if len(expected) != len(came):
        yield Difference(where, "number of events", len(expected), len(came))
    for event, found in zip(expected, came, strict=False):
        yield from event_differences(f"{where}, event {found.sequence}", event, found)


def _streamed(client: Client) -> Iterator[ExecutionLog]:
    with client.stream_execution_logs(follow=False) as stream:
        for message in stream:
            yield from message.logs.execution_logs


def _dense(where: str, numbered: Sequence[NumberedT]) -> Iterator[Difference]:
    for number, item in enumerate(numbered, start=1):
        if item.sequence != number:
            yield Difference(where, f"sequence of log number {number}", number, item.sequence)
            return


def _missing(where: str, expected: Iterable[str], found: Iterable[str]) -> Iterator[Difference]:
    for key in sorted(set(expected) - set(found)):
        yield Difference(where, key, "there", "missing")
    for key in sorted(set(found) - set(expected)):
        yield Difference(where, key, "not there", "there")
