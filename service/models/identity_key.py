"""Table identity_keys."""

from __future__ import annotations

from sqlalchemy import LargeBinary, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from service.models.base import Base, Instant


class IdentityKey(Base):
    """A key that signs the identity of transactions. Registered by the owner, read by the function that verifies."""

    __tablename__ = "identity_keys"
    __table_args__ = ({"comment": "The keys that sign the identity of a transaction; none: it is not signed"},)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    inner_pad: Mapped[bytes] = mapped_column(
        LargeBinary, comment="The key, filled up to 64 bytes with 0, XOR 0x36 (RFC 2104)"
    )
    outer_pad: Mapped[bytes] = mapped_column(
        LargeBinary, comment="The key, filled up to 64 bytes with 0, XOR 0x5c (RFC 2104)"
    )
    created_at: Mapped[Instant] = mapped_column(server_default=text("now()"))
    retired_at: Mapped[Instant | None] = mapped_column(comment="Since when its signatures are refused")
