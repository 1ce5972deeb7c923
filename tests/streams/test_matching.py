"""A filter in memory selects exactly the events that it selects in SQL."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from blotter.orders.v1 import order_pb2
from service.domain.filters import EventFilter
from service.domain.identity import Caller, CallerKind
from service.observability.metrics import Metrics
from service.repositories.database import Database as Connections
from service.repositories.events import Event, Events
from service.streams.matching import COLUMNS, IDS, matching
from tests.conftest import ALICE, BOB, Database
from tests.serving import Blotter

TEXTS = ("AAPL", "aapl", "MSFT", "BRK.B")
LABELS: tuple[dict[str, str], ...] = ({}, {"a": "1"}, {"a": "2"}, {"a": "1", "b": "1"}, {"b": "1"})
CALLER = Caller(CallerKind.TRADER, ALICE, "trader", "request")
FIELDS = tuple(EventFilter.__dataclass_fields__)


async def write(blotter: Blotter) -> None:
    """Orders that have, and lack, each field that a filter names, and events of several kinds."""
    for number in range(20):
        text = TEXTS[number % 4]
        sell = number % 3 == 0
        order = await blotter.submit(
            symbol=text,
            side=order_pb2.SIDE_SELL if sell else order_pb2.SIDE_BUY,
            labels=LABELS[number % 5],
            account=text if number % 2 else "",
            parent_order_id=text if number % 5 else "",
            currency=("USD", "EUR", "")[number % 3],
            security_id="US0378331005" if number % 4 == 1 else "",
            security_id_source=order_pb2.SECURITY_ID_SOURCE_ISIN if number % 4 == 1 else 0,
            short_sale=number % 2 + 1 if sell else 0,
        )
        if number % 3:
            await blotter.fill(order, 1 + 99 * (number % 2))
    await blotter.submit(BOB)


def some(values: Any) -> Any:
    """None, which is no condition, or some of the values, also none and others."""
    return st.none() | st.lists(st.sampled_from(list(values)), max_size=3)


def had(events: list[Event], field: str) -> set[Any]:
    """The values that the events have for a field of the filter."""
    values = {getattr(event.log, COLUMNS[field]) for event in events} - {None}
    return set(map(UUID, values)) if field in IDS else values


def filters(events: list[Event]) -> st.SearchStrategy[EventFilter]:
    """Filters by what the events have, and by what none has."""
    found = {field: had(events, field) for field in COLUMNS}
    found["trader_ids"] |= {BOB}
    found["order_ids"] |= {UUID(int=1)}
    labels = st.none() | st.sampled_from(LABELS).map(lambda value: json.dumps(value, sort_keys=True))
    others = {"symbols": "IBM", "accounts": "aapl ", "parent_order_ids": "", "security_ids": "x", "currencies": "GBP"}
    for field, value in others.items():
        found[field].add(value)
    found["actions"] |= {"REPLACED"}
    found["statuses"] |= {"REJECTED"}
    named = {"labels": labels} | {field: some(values) for field, values in found.items()}

    def of(fields: list[str]) -> st.SearchStrategy[EventFilter]:
        conditions: dict[str, Any] = {field: named[field] for field in fields}
        return st.builds(EventFilter, **conditions)

    return st.lists(st.sampled_from(sorted(named)), max_size=4, unique=True).flatmap(of)


def each_value(events: list[Event]) -> list[EventFilter]:
    """A filter for each value of each field that an event has."""
    made = [EventFilter(labels=json.dumps(value)) for value in LABELS]
    for field in COLUMNS:
        conditions: list[dict[str, Any]] = [{field: [value]} for value in had(events, field)]
        made += [EventFilter(**condition) for condition in conditions]
    return made


@contextmanager
def selecting(database: Database) -> Iterator[Any]:
    """A function that returns all events of ALICE that a filter selects in SQL."""
    with asyncio.Runner() as runner:
        conninfo = database.conninfo("blotter_trader")
        connections = Connections(conninfo, {CallerKind.TRADER: 1}, metrics=Metrics())
        runner.run(connections.open())

        def select(filter_: EventFilter) -> list[Event]:
            return runner.run(Events(connections).after(CALLER, ALICE, filter_, 0, 1000)).events

        yield select
        runner.run(connections.close())


async def test_a_filter_in_memory_selects_what_it_selects_in_sql(database: Database, blotter: Blotter) -> None:
    await write(blotter)
    assert {*COLUMNS, "labels"} == set(FIELDS), "each field of the filter is a condition in memory"

    def compare() -> None:
        with selecting(database) as select:
            events = select(EventFilter())
            assert len(events) == 33
            kinds: set[int] = set()

            @settings(max_examples=300, deadline=None)
            @given(filters(events))
            def same(filter_: EventFilter) -> None:
                matches = matching(filter_)
                expected = [event for event in events if matches(event.log)]
                assert select(filter_) == expected
                kinds.add(min(len(expected), 2))

            same()
            assert {0, 2} <= kinds, "filters that select none and several were tried"

            for filter_ in each_value(events):
                matches = matching(filter_)
                assert select(filter_) == [event for event in events if matches(event.log)]

    await asyncio.to_thread(compare)
