"""What a reader asks for. None (or an empty key) means: not asked. Spans include their start and exclude their end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.domain.orders import Action, OrderKey, OrderStatus


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders to list."""

    statuses: list[OrderStatus] | None = None
    symbols: list[str] | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    updated_from: datetime | None = None
    updated_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class FillFilter:
    """Which fills to list."""

    key: OrderKey | None = None
    traded_from: datetime | None = None
    traded_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which execution logs to list. `trader_id` is the caller's own, or for compliance the one that was asked for."""

    trader_id: UUID | None = None
    order_id: UUID | None = None
    actions: list[Action] | None = None
    happened_from: datetime | None = None
    happened_to: datetime | None = None
    newest_first: bool = False


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to stream."""

    trader_ids: list[UUID] | None = None
    order_ids: list[UUID] | None = None
    symbols: list[str] | None = None
    statuses: list[OrderStatus] | None = None
    actions: list[Action] | None = None


@dataclass(frozen=True, slots=True)
class AccessFilter:
    """Which reads by compliance to list."""

    accessed_from: datetime | None = None
    accessed_to: datetime | None = None
    actor: str | None = None
