"""Selects events in memory, exactly as the conditions of `repositories/events.py` select them in SQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any

from service.domain.filters import EventFilter
from service.domain.orders import ExecutionLog

Matches = Callable[[ExecutionLog], bool]

COLUMNS = {
    "trader_ids": "trader_id",
    "order_ids": "order_id",
    "symbols": "symbol",
    "statuses": "status",
    "actions": "action",
    "accounts": "account",
    "parent_order_ids": "parent_order_id",
    "security_ids": "security_id",
    "currencies": "currency",
    "short_sales": "short_sale",
}
"""The column that must have one of the values, by the filter's field. A NULL is none of them."""


IDS = {"trader_ids", "order_ids"}
"""The fields whose values are UUIDs; a log has them as text."""


def matching(filter_: EventFilter) -> Matches:
    """Return the function that states whether an event matches the filter."""
    conditions: list[tuple[str, Collection[Any]]] = []
    for field, column in COLUMNS.items():
        values = getattr(filter_, field)
        if values is not None:
            conditions.append((column, frozenset(map(str, values) if field in IDS else values)))
    labels = None if filter_.labels is None else json.loads(filter_.labels).items()

    def matches(log: ExecutionLog) -> bool:
        for column, values in conditions:
            if getattr(log, column) not in values:
                return False
        return labels is None or (log.labels is not None and labels <= log.labels.items())

    return matches
