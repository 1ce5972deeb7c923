"""The steps of an order flow: the requests of traders and the reports of a gateway.

Steps identify their order by client_order_id and include all idempotency keys, so that a flow that is played again
sends the same requests. Quantities are in shares, prices per share, times are the venue's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from blotter_client import OrderType, Side


@dataclass(frozen=True, slots=True)
class Submit:
    """A trader enters an order."""

    order: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: int
    price: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    expire_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """The trader cancels their order."""

    order: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Approve:
    """The gateway reports that the order passed its checks."""

    order: str
    report_id: str
    venue: str = ""
    event_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Execute:
    """The gateway reports that it sent the order or, with an error code, that the attempt failed."""

    order: str
    report_id: str
    venue: str = ""
    event_time: datetime | None = None
    retry_attempt: int = 0
    error_code: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Recover:
    """The gateway reports that a retry succeeded."""

    order: str
    report_id: str
    retry_attempt: int
    venue: str = ""
    event_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fill:
    """The gateway reports a fill."""

    order: str
    report_id: str
    execution_id: str
    quantity: int
    price: Decimal
    venue: str
    event_time: datetime
    commission: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Reject:
    """The gateway reports that the order was rejected."""

    order: str
    report_id: str
    reason: str
    venue: str = ""
    event_time: datetime | None = None
    error_code: str = ""


@dataclass(frozen=True, slots=True)
class CancelAtVenue:
    """The gateway reports that the venue cancelled the order or confirmed a cancel."""

    order: str
    report_id: str
    reason: str = ""
    venue: str = ""
    event_time: datetime | None = None


Report = Approve | Execute | Recover | Fill | Reject | CancelAtVenue
Step = Submit | Cancel | Report


@dataclass(frozen=True, slots=True)
class Flow:
    """Steps in chronological order.

    `source` describes their origin, for messages. `left_out` counts the messages of the source that are not played,
    `noted` those that are played in another form, both by kind.
    """

    source: str
    steps: tuple[Step, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    noted: Mapping[str, int] = field(default_factory=dict)
