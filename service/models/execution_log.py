"""Table execution_logs."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Computed,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from service.models.base import (
    ACTION,
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


class ExecutionLog(Base):
    """One audit event, with the order's state after it. Append-only."""

    __tablename__ = "execution_logs"
    __table_args__ = (
        ForeignKeyConstraint(
            ["trader_id", "order_id"], ["orders.trader_id", "orders.id"], name="fk_execution_logs_order_id"
        ),
        ForeignKeyConstraint(
            ["trader_id", "previous_sequence"],
            ["execution_logs.trader_id", "execution_logs.sequence"],
            name="fk_execution_logs_follow_without_gap",
        ),
        UniqueConstraint("trader_id", "sequence", name="uq_execution_logs_sequence"),
        UniqueConstraint("trader_id", "order_id", "sequence", name="uq_execution_logs_order_sequence"),
        Index(
            "uq_execution_logs_report_id",
            "trader_id",
            "report_id",
            unique=True,
            postgresql_where=text("report_id IS NOT NULL"),
        ),
        Index(
            "uq_execution_logs_request_key",
            "trader_id",
            "request_key",
            unique=True,
            postgresql_where=text("request_key IS NOT NULL"),
        ),
        Index("idx_execution_logs_trader_timestamp", "trader_id", text("timestamp DESC")),
        Index("idx_execution_logs_timestamp", "timestamp", "trader_id", "sequence"),
        Index("idx_execution_logs_order", "order_id"),
        Index("idx_execution_logs_action", "action"),
        Index("idx_execution_logs_xid_trader", "xid", "trader_id"),
        Index("idx_execution_logs_id", "id"),
        {"comment": "Append-only audit trail"},
    )

    trader_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[RowId] = mapped_column(comment="Unique log identifier")
    order_id: Mapped[UUID]
    sequence: Mapped[Sequence] = mapped_column(comment="Number among the trader's events: dense, in commit order")
    previous_sequence: Mapped[Sequence | None] = mapped_column(Computed("nullif(sequence - 1, 0)", persisted=True))
    action: Mapped[str] = mapped_column(ACTION, comment="What happened")
    status: Mapped[str] = mapped_column(ORDER_STATUS, comment="Status of the order after the event")
    refused: Mapped[bool] = mapped_column(
        server_default=text("false"), comment="The report was refused; the order is unchanged"
    )
    timestamp: Mapped[Instant] = mapped_column(comment="When it happened")
    created_at: Mapped[Instant] = mapped_column(comment="When it was recorded")
    reason: Mapped[str | None] = mapped_column(Text, comment="Error or action reason")
    retry_attempt: Mapped[int] = mapped_column(server_default="0", comment="Retry count")
    error_code: Mapped[str | None] = mapped_column(String(50), comment="Exchange error code")
    actor: Mapped[str] = mapped_column(String(100), comment="Who acted")
    request_id: Mapped[str] = mapped_column(String(64))
    login: Mapped[str | None] = mapped_column(
        Text, server_default=text("SESSION_USER"), comment="The database login that wrote the log"
    )
    xid: Mapped[int | None] = mapped_column(
        BigInteger,
        server_default=text("((pg_current_xact_id())::text)::bigint"),
        comment="The transaction that wrote the log",
    )
    report_id: Mapped[str | None] = mapped_column(String(64), comment="The gateway's id of the report")
    report_digest: Mapped[bytes | None] = mapped_column(comment="SHA-256 of what was reported")

    client_order_id: Mapped[str] = mapped_column(String(64))
    symbol: Mapped[str] = mapped_column(String(22))
    side: Mapped[str] = mapped_column(ORDER_SIDE)
    order_type: Mapped[str] = mapped_column(ORDER_TYPE)
    quantity: Mapped[int]
    price: Mapped[Price | None]
    stop_loss: Mapped[Price | None]
    take_profit: Mapped[Price | None]
    expires_at: Mapped[Instant | None]
    order_created_at: Mapped[Instant]
    filled_quantity: Mapped[int]
    filled_notional: Mapped[Notional]

    venue: Mapped[str | None] = mapped_column(String(50))
    fill_id: Mapped[UUID | None]
    execution_id: Mapped[str | None] = mapped_column(String(64))
    fill_quantity: Mapped[int | None]
    fill_price: Mapped[Price | None]
    fill_commission: Mapped[Price | None]

    leaf_version: Mapped[int] = mapped_column(
        SmallInteger, server_default=text("2"), comment="Version of the leaf in the ledger"
    )
    excess_quantity: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    stop_price: Mapped[Price | None]
    time_in_force: Mapped[str | None] = mapped_column(TIME_IN_FORCE)
    account: Mapped[str | None] = mapped_column(String(64))
    labels: Mapped[dict[str, str] | None] = mapped_column(JSONB)
    parent_order_id: Mapped[str | None] = mapped_column(String(64))
    currency: Mapped[str | None] = mapped_column(String(3))
    security_id: Mapped[str | None] = mapped_column(String(64))
    security_id_source: Mapped[str | None] = mapped_column(SECURITY_ID_SOURCE)
    short_sale: Mapped[str | None] = mapped_column(SHORT_SALE)
    exempt_from_cancel_timer: Mapped[bool] = mapped_column(server_default=text("false"))
    at_venue: Mapped[bool] = mapped_column(server_default=text("false"))
    status_reason: Mapped[str | None] = mapped_column(Text)
    pending_kind: Mapped[str | None] = mapped_column(REQUEST_KIND)
    pending_key: Mapped[str | None] = mapped_column(String(64))
    pending_terms: Mapped[dict[str, Any] | None] = mapped_column(JSONB)

    request_key: Mapped[str | None] = mapped_column(String(64), comment="Key of the request that the event records")
    request_digest: Mapped[bytes | None] = mapped_column(comment="SHA-256 of what was requested")
    answered_key: Mapped[str | None] = mapped_column(String(64), comment="Key of the request that the event settles")
    terms: Mapped[dict[str, Any] | None] = mapped_column(JSONB, comment="The terms that the event asks for or sets")
    trade_date: Mapped[date | None] = mapped_column(comment="Trade date of the fill or correction (FIX tag 75)")
    ref_execution_id: Mapped[str | None] = mapped_column(
        String(64), comment="The fill that a correction is about (FIX tag 19)"
    )
