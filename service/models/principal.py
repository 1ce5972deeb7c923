"""Table principals."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ForeignKey, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from service.models.base import Base, Instant


class Principal(Base):
    """The subject of tokens or of a certificate, and the kind of caller that it is. Registered by the owner alone."""

    __tablename__ = "principals"
    __table_args__ = ({"comment": "What the subjects of tokens and certificates may call as"},)

    issuer: Mapped[str] = mapped_column(
        String(500), primary_key=True, comment="The issuer of the tokens (iss), or mtls for certificates"
    )
    subject: Mapped[str] = mapped_column(
        String(2000), primary_key=True, comment="The subject of the tokens (sub), or the name in the certificate"
    )
    kind: Mapped[str] = mapped_column(Text)
    trader_id: Mapped[UUID | None] = mapped_column(ForeignKey("traders.id", name="fk_principals_trader_id"))
    desk_id: Mapped[UUID | None] = mapped_column(ForeignKey("desks.id", name="fk_principals_desk_id"))
    actor: Mapped[str | None] = mapped_column(
        String(100), comment="The actor that logs record; null: the one of the token, or the subject"
    )
    created_at: Mapped[Instant] = mapped_column(server_default=text("now()"))
    disabled_at: Mapped[Instant | None] = mapped_column(comment="Since when its calls are refused")
