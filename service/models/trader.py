"""Table traders, and each trader's event counter."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from service.models.base import Base, Instant, Sequence


class Trader(Base):
    """A trader known to the blotter. Registered by the owner alone."""

    __tablename__ = "traders"
    __table_args__ = (
        Index("uq_traders_name", text("lower(name::text)"), unique=True),
        Index("idx_traders_desk", "desk_id", postgresql_where=text("desk_id IS NOT NULL")),
        {"comment": "Traders known to the blotter"},
    )

    id: Mapped[UUID] = mapped_column(
        primary_key=True, server_default=text("gen_random_uuid()"), comment="Unique trader identifier"
    )
    name: Mapped[str] = mapped_column(String(100), comment="Name of the trader or desk")
    created_at: Mapped[Instant] = mapped_column(server_default=text("now()"), comment="When registered")
    disabled_at: Mapped[Instant | None] = mapped_column(comment="Since when the trader's own calls are refused")
    desk_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("desks.id", name="fk_traders_desk_id"), comment="The desk that the trader belongs to"
    )


class TraderSequence(Base):
    """The number of a trader's last event. Every writer locks this row first."""

    __tablename__ = "trader_sequences"
    __table_args__ = (
        ForeignKeyConstraint(
            ["trader_id", "last_sequence"],
            ["execution_logs.trader_id", "execution_logs.sequence"],
            name="fk_trader_sequences_last_log",
            deferrable=True,
            initially="DEFERRED",
            use_alter=True,
        ),
        {"comment": "Number of each trader's last event; locked first by every writer"},
    )

    trader_id: Mapped[UUID] = mapped_column(
        ForeignKey("traders.id", name="fk_trader_sequences_trader_id"), primary_key=True
    )
    last_sequence: Mapped[Sequence | None]
