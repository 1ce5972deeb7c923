"""Table orders."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Index, String, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from service.models.base import (
    ORDER_SIDE,
    ORDER_STATUS,
    ORDER_TYPE,
    REQUEST_KIND,
    SECURITY_ID_SOURCE,
    SHORT_SALE,
    TIME_IN_FORCE,
    Base,
    Instant,
    Notional,
    Price,
    RowId,
    Sequence,
)

OPEN = text("status IN ('PENDING', 'PARTIAL')")


class Order(Base):
    """An order as of its last event. A column changes only with an execution log."""

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("trader_id", "client_order_id", name="uq_orders_client_order_id"),
        ForeignKeyConstraint(
            ["trader_id", "id", "last_sequence"],
            ["execution_logs.trader_id", "execution_logs.order_id", "execution_logs.sequence"],
            name="fk_orders_last_log",
            deferrable=True,
            initially="DEFERRED",
            use_alter=True,
        ),
        Index("idx_orders_id", "id"),
        Index("idx_orders_trader_created", "trader_id", text("created_at DESC")),
        Index("idx_orders_trader_updated", "trader_id", text("updated_at DESC")),
        Index("idx_orders_status", "status"),
        Index("idx_orders_trader_status", "trader_id", "status"),
        Index("idx_orders_open", "trader_id", "created_at", postgresql_where=OPEN),
        Index("idx_orders_expiring", "expires_at", postgresql_where=OPEN),
        {"comment": "Order requests with their lifecycle"},
    )

    trader_id: Mapped[UUID] = mapped_column(ForeignKey("traders.id"), primary_key=True)
    id: Mapped[RowId] = mapped_column(comment="Unique order identifier")
    client_order_id: Mapped[str] = mapped_column(String(64), comment="The trader's own id (FIX ClOrdID)")
    request_digest: Mapped[bytes] = mapped_column(comment="SHA-256 of what was asked for")
    symbol: Mapped[str] = mapped_column(String(22), comment="Stock symbol")
    side: Mapped[str] = mapped_column(ORDER_SIDE, comment="Buy or sell")
    order_type: Mapped[str] = mapped_column(ORDER_TYPE)
    quantity: Mapped[int] = mapped_column(comment="Shares ordered")
    price: Mapped[Price | None] = mapped_column(comment="Limit or stop price")
    stop_loss: Mapped[Price | None] = mapped_column(comment="Risk management")
    take_profit: Mapped[Price | None] = mapped_column(comment="Risk management")
    status: Mapped[str] = mapped_column(ORDER_STATUS, server_default="PENDING")
    filled_quantity: Mapped[int] = mapped_column(server_default="0", comment="Shares filled so far")
    filled_notional: Mapped[Notional] = mapped_column(server_default="0")
    created_at: Mapped[Instant] = mapped_column(comment="When the order was entered")
    updated_at: Mapped[Instant] = mapped_column(comment="When the order last changed")
    expires_at: Mapped[Instant | None] = mapped_column(comment="When the order expires")
    last_sequence: Mapped[Sequence] = mapped_column(comment="Number of the order's last event")
    excess_quantity: Mapped[int] = mapped_column(
        BigInteger, server_default=text("0"), comment="Shares filled beyond the quantity"
    )
    stop_price: Mapped[Price | None] = mapped_column(comment="Price that triggers a STOP_LIMIT order")
    time_in_force: Mapped[str | None] = mapped_column(TIME_IN_FORCE, comment="FIX tag 59; null: not stated")
    account: Mapped[str | None] = mapped_column(String(64), comment="FIX tag 1")
    labels: Mapped[dict[str, str] | None] = mapped_column(
        JSONB, comment="Up to eight keys with values, chosen by the desk"
    )
    parent_order_id: Mapped[str | None] = mapped_column(
        String(64), comment="The order that this one is a part of, in the desk's own system"
    )
    currency: Mapped[str | None] = mapped_column(String(3), comment="ISO 4217")
    security_id: Mapped[str | None] = mapped_column(String(64), comment="FIX tag 48")
    security_id_source: Mapped[str | None] = mapped_column(SECURITY_ID_SOURCE, comment="FIX tag 22")
    short_sale: Mapped[str | None] = mapped_column(SHORT_SALE, comment="FIX tag 54, values 5 and 6")
    exempt_from_cancel_timer: Mapped[bool] = mapped_column(
        server_default=text("false"), comment="The trader's cancel timer leaves the order open"
    )
    at_venue: Mapped[bool] = mapped_column(
        server_default=text("false"), comment="A gateway has the order: cancels and replaces wait for its answer"
    )
    closed_as: Mapped[str | None] = mapped_column(
        ORDER_STATUS, comment="What closed the order other than its fills: CANCELLED or REJECTED"
    )
    status_reason: Mapped[str | None] = mapped_column(Text, comment="Why the order was closed")
    pending_kind: Mapped[str | None] = mapped_column(
        REQUEST_KIND, comment="The request that waits for the venue's answer"
    )
    pending_key: Mapped[str | None] = mapped_column(String(64), comment="Its key")
    pending_sequence: Mapped[Sequence | None] = mapped_column(comment="Number of the event that recorded it")
    pending_terms: Mapped[dict[str, Any] | None] = mapped_column(JSONB, comment="The terms that it asks for")
    expiry_requested: Mapped[bool] = mapped_column(
        server_default=text("false"), comment="The blotter has asked the venue to cancel the expired order"
    )
