"""Table desks."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from service.models.base import Base, Instant


class Desk(Base):
    """A group of traders whose orders a supervisor reads. Registered by the owner alone."""

    __tablename__ = "desks"
    __table_args__ = (
        Index("uq_desks_name", text("lower(name::text)"), unique=True),
        {"comment": "Groups of traders whose orders a supervisor reads"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    name: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[Instant] = mapped_column(server_default=text("now()"))
