"""Table fill_corrections."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.models.base import Base, Instant, Price, RowId, Sequence


class FillCorrection(Base):
    """A correction or bust of a fill as the venue reported it. Append-only; the newest of a fill stands."""

    __tablename__ = "fill_corrections"
    __table_args__ = (
        ForeignKeyConstraint(
            ["trader_id", "fill_id"], ["fills.trader_id", "fills.id"], name="fk_fill_corrections_fill"
        ),
        ForeignKeyConstraint(
            ["trader_id", "order_id", "sequence"],
            ["execution_logs.trader_id", "execution_logs.order_id", "execution_logs.sequence"],
            name="fk_fill_corrections_log",
            deferrable=True,
            initially="DEFERRED",
        ),
        UniqueConstraint("trader_id", "venue", "trade_date", "execution_id", name="uq_fill_corrections_execution_id"),
        UniqueConstraint("trader_id", "fill_id", "sequence", name="uq_fill_corrections_fill"),
        {"comment": "Corrections and busts of fills: the newest of a fill is what stands"},
    )

    trader_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[RowId]
    order_id: Mapped[UUID]
    fill_id: Mapped[UUID]
    sequence: Mapped[Sequence] = mapped_column(comment="Number of the event that recorded the correction")
    execution_id: Mapped[str] = mapped_column(
        String(64), comment="The venue's id of the correction itself (FIX ExecID)"
    )
    trade_date: Mapped[date]
    venue: Mapped[str] = mapped_column(String(50))
    timestamp: Mapped[Instant]
    quantity: Mapped[int] = mapped_column(comment="Shares that stand; 0: the fill is busted")
    price: Mapped[Price | None]
    commission: Mapped[Price]
    reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[Instant]
