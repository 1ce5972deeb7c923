"""Compares the service's records of a played flow with the book."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar
from uuid import UUID

from blotter_client import Client, ExecutionLog, Fill, Order, OrderEvent
from replay import exports
from replay.book import Book, Event, OrderState, PastRequest, past_requests
from replay.difference import (
    Difference,
    event_differences,
    fill_differences,
    log_differences,
    order_differences,
    request_differences,
)
from replay.player import PATIENCE, Desk
from replay.watcher import Watcher


class Numbered(Protocol):
    """A message with a sequence."""

    @property
    def sequence(self) -> int:
        """The sequence."""


NumberedT = TypeVar("NumberedT", bound=Numbered)
AboutOrderT = TypeVar("AboutOrderT", ExecutionLog, OrderEvent)


@dataclass(slots=True)
class Comparison:
    """The number of compared values by kind, and the differences."""

    counts: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)

    def add(self, kind: str, count: int, differences: Iterable[Difference]) -> None:
        """Add the number of compared values of a kind, and their differences."""
        self.counts[kind] = self.counts.get(kind, 0) + count
        self.differences += differences


def compare(book: Book, desk: Desk, watchers: Mapping[UUID, Watcher]) -> Comparison:
    """Compare orders, fills, streams and the audit trail of every trader. Raises BlotterError."""
    comparison = Comparison()
    trails: list[ExecutionLog] = []
    for trader_id, client in desk.traders.items():
        states = book.orders_of(trader_id)
        orders = _own_orders(states, client)
        comparison.add("orders", len(orders), _orders(states, orders))
        events = book.events_by_order(trader_id)
        requested = {order: past for order in orders if (past := past_requests(events.get(order, ())))}
        comparison.add("requests", sum(map(len, requested.values())), _requests(requested, client))
        trail = list(client.list_execution_logs())
        for kind, logs in (
            ("audit trail, as the trader", trail),
            ("audit trail, as compliance", list(desk.compliance.list_execution_logs(trader_id=trader_id))),
            ("audit trail, streamed", list(_streamed(client))),
        ):
            own = _own(states, logs)
            comparison.add(kind, len(own), _trail(kind, events, logs, own, desk.actors))
        order_ids = {order.order_id for order in orders.values()}
        fills = [fill for fill in client.list_fills() if fill.order_id in order_ids]
        comparison.add("fills", len(fills), _fills(book, trader_id, fills))
        comparison.add("sequences", len(orders) + len(fills), _sequences(_own(states, trail), orders, fills))
        differences = list(_stream(trader_id, events, watchers[trader_id], orders))
        comparison.add("events of streams", len(watchers[trader_id].events), differences)
        comparison.add("orders folded from streams", len(watchers[trader_id].folded), ())
        trails += trail
    _ledger(comparison, book, desk, trails)
    return comparison


def _ledger(comparison: Comparison, book: Book, desk: Desk, trails: Sequence[ExecutionLog]) -> None:
    logs = exports.over_all_traders(desk.compliance, list(desk.traders), len(trails))
    differences = list(exports.in_order(logs))
    for trader_id in desk.traders:
        of_trader = [log for log in logs if log.trader_id == str(trader_id)]
        own = _own(book.orders_of(trader_id), of_trader)
        events = book.events_by_order(trader_id)
        differences += _trail("stream over all traders", events, of_trader, own, desk.actors)
    comparison.add("stream over all traders", len(logs), differences)
    comparison.add("verified export", *exports.exported(desk.compliance, logs))


def _own_orders(states: Mapping[str, OrderState], client: Client) -> dict[str, Order]:
    if not states:
        return {}
    symbols = sorted({state.entered.symbol for state in states.values()})
    listed = client.list_orders(symbols=symbols)
    return {order.client_order_id: order for order in listed if order.client_order_id in states}


def _orders(states: Mapping[str, OrderState], orders: Mapping[str, Order]) -> Iterator[Difference]:
    yield from _missing("orders", states, orders)
    for order, state in states.items():
        if order in orders:
            yield from order_differences(f"order {order}", state, orders[order])


def _requests(expected: Mapping[str, Sequence[PastRequest]], client: Client) -> Iterator[Difference]:
    for order, requests in expected.items():
        found = list(client.list_requests(client_order_id=order))[::-1]
        if len(found) != len(requests):
            yield Difference(f"requests of {order}", "number of requests", len(requests), len(found))
        for past, request in zip(requests, found, strict=False):
            yield from request_differences(f"request {past.key}", past, request)


def _own(states: Mapping[str, OrderState], logs: Iterable[ExecutionLog]) -> list[ExecutionLog]:
    return [log for log in logs if log.order.client_order_id in states]


def _sequences(
    logs: Sequence[ExecutionLog], orders: Mapping[str, Order], fills: Iterable[Fill]
) -> Iterator[Difference]:
    """Check that orders and fills refer to the logs of their last change."""
    last = {log.order.client_order_id: log.sequence for log in logs}
    for order, found in orders.items():
        if found.last_sequence != last.get(order):
            yield Difference(f"order {order}", "last_sequence", last.get(order), found.last_sequence)
    recorded = {log.fill.fill_id: log.sequence for log in logs if log.fill.fill_id}
    for fill in fills:
        if fill.sequence != recorded.get(fill.fill_id):
            yield Difference(f"fill {fill.execution_id}", "sequence", recorded.get(fill.fill_id), fill.sequence)


def _fills(book: Book, trader_id: UUID, fills: Sequence[Fill]) -> Iterator[Difference]:
    expected = {" ".join(map(str, key)): fill for key, fill in book.fills(trader_id).items()}
    found = {f"{fill.venue} {fill.trade_date} {fill.execution_id}": fill for fill in fills}
    yield from _missing("fills", expected, found)
    if len(found) != len(fills):
        yield Difference(f"fills of {trader_id}", "number of fills with different ids", len(fills), len(found))
    for key, fill in expected.items():
        if key in found:
            yield from fill_differences(f"fill {key}", fill, found[key])


def _trail(
    kind: str,
    expected: Mapping[str, Sequence[Event]],
    logs: Sequence[ExecutionLog],
    own: Sequence[ExecutionLog],
    actors: tuple[str, str] | None,
) -> Iterator[Difference]:
    yield from _dense(kind, logs)
    found = _by_order(own)
    yield from _missing(kind, expected, found)
    for order, events in expected.items():
        order_logs = found.get(order, [])
        if len(order_logs) != len(events):
            yield Difference(f"{kind}, {order}", "number of logs", len(events), len(order_logs))
        for event, log in zip(events, order_logs, strict=False):
            yield from log_differences(f"{kind}, {order}, log {log.sequence}", event, log, actors)


def _stream(
    trader_id: UUID, expected: Mapping[str, Sequence[Event]], watcher: Watcher, orders: Mapping[str, Order]
) -> Iterator[Difference]:
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
    for order, received in _by_order(watcher.events).items():
        # Events of an earlier play are part of the snapshot; the stream then has only the order's last events.
        events = expected.get(order, [])
        if len(received) > len(events):
            yield Difference(f"{where}, {order}", "number of events", len(events), len(received))
        for event, found_event in zip(events[-len(received) :], received, strict=False):
            yield from event_differences(f"{where}, {order}, event {found_event.sequence}", event, found_event)


def _by_order(items: Iterable[AboutOrderT]) -> dict[str, list[AboutOrderT]]:
    """Return the events or logs of each order, by sequence.

    They are compared order by order, because the steps do not determine how the events of different orders interleave:
    an earlier play may have been interrupted, or have had other traders.
    """
    by_order: dict[str, list[AboutOrderT]] = {}
    for item in items:
        by_order.setdefault(item.order.client_order_id, []).append(item)
    return by_order


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
        yield Difference(where, key, "present", "missing")
    for key in sorted(set(found) - set(expected)):
        yield Difference(where, key, "absent", "present")
