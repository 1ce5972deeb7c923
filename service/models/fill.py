"""Table fills."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from service.models.base import Base, Instant, Price, RowId, Sequence


class Fill(Base):
    """A fill as the venue reported it. Append-only."""

    __tablename__ = "fills"
    __table_args__ = (
        ForeignKeyConstraint(["trader_id", "order_id"], ["orders.trader_id", "orders.id"], name="fk_fills_order_id"),
        ForeignKeyConstraint(
            ["trader_id", "order_id", "sequence"],
            ["execution_logs.trader_id", "execution_logs.order_id", "execution_logs.sequence"],
            name="fk_fills_log",
            deferrable=True,
            initially="DEFERRED",
        ),
        UniqueConstraint("trader_id", "venue", "trade_date", "execution_id", name="uq_fills_execution_id"),
        UniqueConstraint("trader_id", "order_id", "sequence", name="uq_fills_sequence"),
        Index("idx_fills_order", "order_id"),
        Index("idx_fills_timestamp", text("timestamp DESC")),
        {"comment": "Fill events of orders"},
    )

    trader_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[RowId] = mapped_column(comment="Unique fill identifier")
    order_id: Mapped[UUID]
    timestamp: Mapped[Instant] = mapped_column(comment="When the fill happened")
    quantity_filled: Mapped[int] = mapped_column(comment="Shares filled")
    price_at_fill: Mapped[Price] = mapped_column(comment="Price per share")
    venue: Mapped[str] = mapped_column(String(50), comment="Exchange name")
    commission: Mapped[Price] = mapped_column(server_default="0")
    created_at: Mapped[Instant] = mapped_column(comment="When the fill was recorded")
    execution_id: Mapped[str] = mapped_column(String(64), comment="The venue's id of the fill (FIX ExecID)")
    sequence: Mapped[Sequence] = mapped_column(comment="Number of the event that recorded the fill")
    trade_date: Mapped[date] = mapped_column(comment="Trade date (FIX tag 75)")
