"""The steps of an order flow: the requests of traders and the reports of a gateway.

Steps identify their order by client_order_id and include all idempotency keys, so that a flow that is played again
sends the same requests. Quantities are in shares, prices per share, times are the venue's. The terms of a flow are
valid together; a flow does not test how the service checks them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from blotter_client import OrderType, RefusalReason, SecurityIdSource, ShortSale, Side, TimeInForce


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
    stop_price: Decimal | None = None
    time_in_force: TimeInForce | None = None
    account: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    parent_order_id: str = ""
    currency: str = ""
    security_id: str = ""
    security_id_source: SecurityIdSource | None = None
    short_sale: ShortSale | None = None
    exempt_from_cancel_timer: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """The trader cancels their order, or requests it."""

    order: str
    request_key: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Replace:
    """The trader replaces terms of their order, or requests it. `terms` are arguments of the client's replace_order."""

    order: str
    request_key: str
    terms: Mapping[str, Any]
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
    """The gateway reports that it has the order or, with an error code, that the attempt to send it failed."""

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

    @property
    def trade_date(self) -> date:
        """The trade date, as the service derives it."""
        return self.event_time.astimezone(UTC).date()


@dataclass(frozen=True, slots=True)
class Correct:
    """The gateway reports that the venue corrected a fill, which the id and the date name."""

    order: str
    report_id: str
    execution_id: str
    ref_execution_id: str
    ref_trade_date: date
    quantity: int
    price: Decimal
    venue: str
    event_time: datetime
    commission: Decimal = Decimal(0)
    reason: str = ""

    @property
    def trade_date(self) -> date:
        """The correction's own trade date, as the service derives it."""
        return self.event_time.astimezone(UTC).date()


@dataclass(frozen=True, slots=True)
class Bust:
    """The gateway reports that the venue busted a fill, which the id and the date name."""

    order: str
    report_id: str
    execution_id: str
    ref_execution_id: str
    ref_trade_date: date
    venue: str
    event_time: datetime
    reason: str = ""

    @property
    def trade_date(self) -> date:
        """The bust's own trade date, as the service derives it."""
        return self.event_time.astimezone(UTC).date()


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
    """The gateway reports that the venue cancelled the order, confirmed a cancel or, with `expired`, let it expire."""

    order: str
    report_id: str
    reason: str = ""
    venue: str = ""
    event_time: datetime | None = None
    request_key: str = ""
    expired: bool = False


@dataclass(frozen=True, slots=True)
class ReplaceAtVenue:
    """The gateway reports that the venue accepted the pending replace."""

    order: str
    report_id: str
    reason: str = ""
    venue: str = ""
    event_time: datetime | None = None
    request_key: str = ""


@dataclass(frozen=True, slots=True)
class RefuseCancel:
    """The gateway reports that the venue refused a cancel."""

    order: str
    report_id: str
    refusal: RefusalReason
    reason: str = ""
    venue: str = ""
    event_time: datetime | None = None
    request_key: str = ""


@dataclass(frozen=True, slots=True)
class RefuseReplace:
    """The gateway reports that the venue refused a replace."""

    order: str
    report_id: str
    refusal: RefusalReason
    reason: str = ""
    venue: str = ""
    event_time: datetime | None = None
    request_key: str = ""


@dataclass(frozen=True, slots=True)
class Restate:
    """The gateway reports that the venue restated the order: its quantity, its price, both, or neither."""

    order: str
    report_id: str
    quantity: int | None = None
    price: Decimal | None = None
    reason: str = ""
    venue: str = ""
    event_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class EndDay:
    """The gateway reports that the venue is done with the order for the day."""

    order: str
    report_id: str
    reason: str = ""
    venue: str = ""
    event_time: datetime | None = None


Request = Cancel | Replace
Correction = Correct | Bust
Trade = Fill | Correction
Answer = CancelAtVenue | ReplaceAtVenue | RefuseCancel | RefuseReplace
"""The reports that may settle a request."""

Progress = Approve | Execute | Recover | Reject | Restate | EndDay
Report = Progress | Trade | Answer
Step = Submit | Request | Report


@dataclass(frozen=True, slots=True)
class Flow:
    """Steps in chronological order.

    `source` describes their origin, for messages. `left_out` counts the messages of the source that are not played, by
    kind.
    """

    source: str
    steps: tuple[Step, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
