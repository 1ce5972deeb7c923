"""The filters of reads. None (or an empty key): no condition. Spans include their start and exclude their end.

Labels are a JSON object with sorted keys, all of which must match: text, so that a filter has one form.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.domain.orders import Action, OrderKey, OrderStatus, ShortSale


@dataclass(frozen=True, slots=True)
class FiledUnder:
    """The conditions on what orders are filed under."""

    accounts: list[str] | None = None
    labels: str | None = None
    parent_order_ids: list[str] | None = None
    security_ids: list[str] | None = None
    currencies: list[str] | None = None
    short_sales: list[ShortSale] | None = None


@dataclass(frozen=True, slots=True)
class OrderFilter(FiledUnder):
    """The filter of a list of orders."""

    statuses: list[OrderStatus] | None = None
    symbols: list[str] | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    updated_from: datetime | None = None
    updated_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class FillFilter(FiledUnder):
    """The filter of a list of fills."""

    key: OrderKey | None = None
    traded_from: datetime | None = None
    traded_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class LogFilter(FiledUnder):
    """The filter of a list of execution logs. `trader_id` is the caller's own, or for compliance the request's."""

    trader_id: UUID | None = None
    order_id: UUID | None = None
    actions: list[Action] | None = None
    happened_from: datetime | None = None
    happened_to: datetime | None = None
    newest_first: bool = False


@dataclass(frozen=True, slots=True)
class EventFilter(FiledUnder):
    """The filter of a stream of events."""

    trader_ids: list[UUID] | None = None
    order_ids: list[UUID] | None = None
    symbols: list[str] | None = None
    statuses: list[OrderStatus] | None = None
    actions: list[Action] | None = None


@dataclass(frozen=True, slots=True)
class AccessFilter:
    """The filter of a list of reads by compliance."""

    accessed_from: datetime | None = None
    accessed_to: datetime | None = None
    actor: str | None = None
