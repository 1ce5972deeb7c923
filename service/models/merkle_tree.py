"""Tables of the ledger, in one file because they are used only together."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from service.models.base import Base, Instant


class LedgerEntry(Base):
    """One leaf of the Merkle tree. Append-only; the database makes the leaf of a log."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        UniqueConstraint("trader_id", "sequence", name="uq_ledger_entries_sequence"),
        Index("idx_ledger_entries_notes", "kind", "position", postgresql_where=text("kind <> 'EXECUTION_LOG'")),
        {"comment": "The leaves of the Merkle tree"},
    )

    position: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False, comment="Index in the tree, from 0, without a gap"
    )
    kind: Mapped[str] = mapped_column(Text, comment="What the leaf records: EXECUTION_LOG, KEYS or BASELINE")
    trader_id: Mapped[UUID | None]
    sequence: Mapped[int | None] = mapped_column(BigInteger)
    leaf: Mapped[bytes] = mapped_column(comment="The bytes that are hashed: canonical JSON (RFC 8785)")
    leaf_hash: Mapped[bytes] = mapped_column(
        Computed("sha256('\\x00'::bytea || leaf)", persisted=True), comment="SHA-256(0x00 || leaf)"
    )


class LedgerTile(Base):
    """A full tile of the tree, 256 hashes."""

    __tablename__ = "ledger_tiles"
    __table_args__ = ({"comment": "Full tiles of the tree, 256 hashes each (C2SP tlog-tiles)"},)

    level: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    tile_index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hashes: Mapped[bytes]
    root: Mapped[bytes] = mapped_column(comment="The root over the 256 hashes: a hash of the level above")


class LedgerCheckpoint(Base):
    """A signed head of the tree."""

    __tablename__ = "ledger_checkpoints"
    __table_args__ = ({"comment": "Signed heads of the tree (C2SP tlog-checkpoint)"},)

    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    root_hash: Mapped[bytes]
    note: Mapped[str] = mapped_column(Text)
    created_at: Mapped[Instant] = mapped_column(server_default=text("clock_timestamp()"))


class LedgerCosignature(Base):
    """The signature of a witness on a checkpoint."""

    __tablename__ = "ledger_cosignatures"
    __table_args__ = (
        ForeignKeyConstraint(["size"], ["ledger_checkpoints.size"], name="fk_ledger_cosignatures_size"),
        {"comment": "What witnesses signed (C2SP tlog-cosignature)"},
    )

    size: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    witness: Mapped[str] = mapped_column(Text, primary_key=True)
    signature: Mapped[str] = mapped_column(Text, comment="The signature line of the note")
    created_at: Mapped[Instant] = mapped_column(server_default=text("clock_timestamp()"))


class LedgerHead(Base):
    """The state of the sequencer: one row."""

    __tablename__ = "ledger_head"
    __table_args__ = (
        CheckConstraint("id", name="ck_ledger_head_id"),
        {"comment": "Where the sequencer stands; one row"},
    )

    id: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    size: Mapped[int] = mapped_column(BigInteger, server_default=text("0"), comment="Number of entries")
    incarnation: Mapped[str | None] = mapped_column(
        Text, comment="The database this ledger grows in: system identifier and oid"
    )
    next_xid: Mapped[int | None] = mapped_column(
        BigInteger, comment="Transactions below it have been looked at; null: none has"
    )
    open_xids: Mapped[list[int]] = mapped_column(
        ARRAY(BigInteger), server_default=text("'{}'"), comment="Those below next_xid that were still open then"
    )
