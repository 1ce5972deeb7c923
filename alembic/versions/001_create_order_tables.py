"""Create order execution tables.

The seed's schema to the letter: tables orders, fills and execution_logs, three enums (and order_side_enum), 8 check
constraints, 8 indexes, 5 policies. What had to change for it to work:

- `side` is the fifteenth of the 15 columns that the seed counts and does not list; without it an order means nothing.
- The enums are created once, by hand; the columns refer to them with `create_type=False`.
- Timestamps are TIMESTAMPTZ: an instant, not a wall clock reading.
- The two `execution_logs_immutable` policies are RESTRICTIVE. As PERMISSIVE ones they would OR with the isolation
  policy and block nothing.
- The setting is read through `nullif(..., '')`: on a pooled connection it comes back as '' and not as NULL.
- Row level security is forced, so that the owner is bound too.

Revision: 001
Follows: 000
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "001"
down_revision = "000"
branch_labels = None
depends_on = None

ORDER_TYPE = postgresql.ENUM("MARKET", "LIMIT", "STOP", name="order_type_enum", create_type=False)
ORDER_SIDE = postgresql.ENUM("BUY", "SELL", name="order_side_enum", create_type=False)
ORDER_STATUS = postgresql.ENUM(
    "PENDING", "FILLED", "PARTIAL", "REJECTED", "CANCELLED", name="order_status_enum", create_type=False
)
ACTION = postgresql.ENUM(
    "SUBMITTED",
    "APPROVED",
    "EXECUTED",
    "FILLED",
    "REJECTED",
    "CANCELLED",
    "RECOVERED",
    name="action_enum",
    create_type=False,
)

CALLER = "nullif(current_setting('app.trader_id', true), '')::uuid"


def identifier(comment: str) -> sa.Column[object]:
    """Return the primary key column of a table."""
    return sa.Column(
        "id",
        postgresql.UUID(as_uuid=True),
        primary_key=True,
        server_default=sa.text("gen_random_uuid()"),
        comment=comment,
    )


def instant(name: str, comment: str) -> sa.Column[object]:
    """Return a column for an instant that defaults to now."""
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()"), comment=comment)


def upgrade() -> None:
    """Create enums, tables, indexes and policies."""
    # ========== ENUMS ==========
    op.execute("CREATE TYPE order_type_enum AS ENUM ('MARKET', 'LIMIT', 'STOP')")
    op.execute("CREATE TYPE order_side_enum AS ENUM ('BUY', 'SELL')")
    op.execute("CREATE TYPE order_status_enum AS ENUM ('PENDING', 'FILLED', 'PARTIAL', 'REJECTED', 'CANCELLED')")
    op.execute(
        "CREATE TYPE action_enum AS ENUM "
        "('SUBMITTED', 'APPROVED', 'EXECUTED', 'FILLED', 'REJECTED', 'CANCELLED', 'RECOVERED')"
    )

    # ========== ORDERS TABLE ==========
    op.create_table(
        "orders",
        identifier("Unique order identifier"),
        sa.Column("trader_id", postgresql.UUID(as_uuid=True), sa.ForeignKey("traders.id"), nullable=False),
        sa.Column("symbol", sa.String(10), nullable=False, comment="Stock symbol"),
        sa.Column("side", ORDER_SIDE, nullable=False, comment="Buy or sell"),
        sa.Column("quantity", sa.Integer, nullable=False, comment="Shares ordered"),
        sa.Column("order_type", ORDER_TYPE, nullable=False),
        sa.Column("price", sa.Numeric(10, 2), comment="Limit or stop price"),
        sa.Column("stop_loss", sa.Numeric(10, 2), comment="Risk management"),
        sa.Column("take_profit", sa.Numeric(10, 2), comment="Risk management"),
        sa.Column("status", ORDER_STATUS, nullable=False, server_default="PENDING"),
        sa.Column("filled_quantity", sa.Integer, nullable=False, server_default="0", comment="Shares filled so far"),
        sa.Column("average_fill_price", sa.Numeric(10, 2)),
        instant("created_at", "When the order was entered"),
        instant("updated_at", "When the order last changed"),
        sa.Column("expires_at", sa.DateTime(timezone=True), comment="When the order expires"),
        sa.CheckConstraint("quantity > 0", name="ck_orders_quantity_positive"),
        sa.CheckConstraint("price IS NULL OR price > 0", name="ck_orders_price_positive"),
        sa.CheckConstraint("filled_quantity >= 0", name="ck_orders_filled_quantity_nonnegative"),
        sa.CheckConstraint("filled_quantity <= quantity", name="ck_orders_filled_lte_quantity"),
        sa.CheckConstraint("order_type = 'MARKET' OR price IS NOT NULL", name="ck_orders_limit_requires_price"),
        comment="Order requests with their lifecycle",
    )

    # ========== FILLS TABLE ==========
    op.create_table(
        "fills",
        identifier("Unique fill identifier"),
        sa.Column("order_id", postgresql.UUID(as_uuid=True), nullable=False),
        instant("timestamp", "When the fill happened"),
        sa.Column("quantity_filled", sa.Integer, nullable=False, comment="Shares filled"),
        sa.Column("price_at_fill", sa.Numeric(10, 2), nullable=False, comment="Price per share"),
        sa.Column("venue", sa.String(50), nullable=False, comment="Exchange name"),
        sa.Column("commission", sa.Numeric(10, 2), nullable=False, server_default="0"),
        instant("created_at", "When the fill was recorded"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_fills_order_id", ondelete="CASCADE"),
        sa.CheckConstraint("quantity_filled > 0", name="ck_fills_quantity_positive"),
        sa.CheckConstraint("price_at_fill > 0", name="ck_fills_price_positive"),
        sa.CheckConstraint("commission >= 0", name="ck_fills_commission_nonnegative"),
        comment="Fill events of orders",
    )

    # ========== EXECUTION LOGS TABLE ==========
    op.create_table(
        "execution_logs",
        identifier("Unique log identifier"),
        sa.Column("order_id", postgresql.UUID(as_uuid=True), nullable=False),
        sa.Column("trader_id", postgresql.UUID(as_uuid=True), sa.ForeignKey("traders.id"), nullable=False),
        sa.Column("action", ACTION, nullable=False, comment="What happened"),
        sa.Column("status", ORDER_STATUS, comment="Status of the order after the event"),
        instant("timestamp", "When it happened"),
        sa.Column("reason", sa.Text, comment="Error or action reason"),
        sa.Column("retry_attempt", sa.Integer, comment="Retry count"),
        sa.Column("error_code", sa.String(50), comment="Exchange error code"),
        instant("created_at", "When it was recorded"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_execution_logs_order_id", ondelete="CASCADE"),
        comment="Append-only audit trail",
    )

    # ========== INDEXES ==========
    op.create_index("idx_orders_trader_created", "orders", ["trader_id", sa.text("created_at DESC")])
    op.create_index("idx_orders_status", "orders", ["status"])
    op.create_index("idx_orders_trader_status", "orders", ["trader_id", "status"])
    op.create_index("idx_fills_order", "fills", ["order_id"])
    op.create_index("idx_fills_timestamp", "fills", [sa.text("timestamp DESC")])
    op.create_index("idx_execution_logs_trader_timestamp", "execution_logs", ["trader_id", sa.text("timestamp DESC")])
    op.create_index("idx_execution_logs_order", "execution_logs", ["order_id"])
    op.create_index("idx_execution_logs_action", "execution_logs", ["action"])

    # ========== ROW LEVEL SECURITY ==========
    for table in ("orders", "fills", "execution_logs"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY orders_trader_isolation ON orders USING (trader_id = {CALLER})")
    op.execute(
        "CREATE POLICY fills_trader_isolation ON fills USING "
        f"(EXISTS (SELECT FROM orders WHERE orders.id = fills.order_id AND orders.trader_id = {CALLER}))"
    )
    op.execute(f"CREATE POLICY execution_logs_trader_isolation ON execution_logs USING (trader_id = {CALLER})")
    op.execute("CREATE POLICY execution_logs_immutable ON execution_logs AS RESTRICTIVE FOR UPDATE USING (false)")
    op.execute(
        "CREATE POLICY execution_logs_immutable_delete ON execution_logs AS RESTRICTIVE FOR DELETE USING (false)"
    )


def downgrade() -> None:
    """Drop tables (their indexes and policies with them) and enums."""
    for table in ("execution_logs", "fills", "orders"):
        op.drop_table(table)
    for enum in ("action_enum", "order_status_enum", "order_side_enum", "order_type_enum"):
        op.execute(f"DROP TYPE {enum}")
