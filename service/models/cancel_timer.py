"""Table cancel_timers."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from service.models.base import Base, Instant


class CancelTimer(Base):
    """A trader's dead-man's switch, while it is on. Due: open orders that are not exempt are cancelled."""

    __tablename__ = "cancel_timers"
    __table_args__ = (
        Index("idx_cancel_timers_fires_at", "fires_at"),
        {"comment": "When a trader's open orders are cancelled unless the timer is set again"},
    )

    trader_id: Mapped[UUID] = mapped_column(ForeignKey("traders.id"), primary_key=True)
    timeout: Mapped[timedelta]
    fires_at: Mapped[Instant]
    set_at: Mapped[Instant]
    actor: Mapped[str] = mapped_column(String(100))
    request_id: Mapped[str] = mapped_column(String(64))
