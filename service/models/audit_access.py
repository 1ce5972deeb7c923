"""Table audit_accesses."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Identity, Index, String, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from service.models.base import Base, Instant


class AuditAccess(Base):
    """One read by compliance. Append-only."""

    __tablename__ = "audit_accesses"
    __table_args__ = (
        Index("idx_audit_accesses_accessed_at", "accessed_at", "id"),
        {"comment": "Reads by compliance"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    accessed_at: Mapped[Instant] = mapped_column(server_default=text("clock_timestamp()"))
    login: Mapped[str] = mapped_column(
        Text, server_default=text("CURRENT_USER"), comment="The database login that read"
    )
    actor: Mapped[str] = mapped_column(String(100), comment="Who read, as the caller says")
    request_id: Mapped[str] = mapped_column(String(64))
    method: Mapped[str] = mapped_column(Text, comment="The RPC")
    request: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="What was asked for, filters included")
