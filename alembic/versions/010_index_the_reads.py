"""Index what is read by more than its trader and time.

Why:

- Comparing enums is not leakproof: under row level security `status = 'PENDING'` cannot be an index condition. A
  partial index on the open statuses works; one finds the orders that are due to expire, over all traders.
- Clients ask "what changed since": by (trader_id, updated_at).
- Compliance reads all traders' logs in order of time, with (trader_id, sequence) as the tie-breaker of its pages.

Revision: 010
Follows: 009
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "010"
down_revision = "009"
branch_labels = None
depends_on = None

OPEN = sa.text("status IN ('PENDING', 'PARTIAL')")


def upgrade() -> None:
    """Create the indexes."""
    op.create_index("idx_orders_open", "orders", ["trader_id", "created_at"], postgresql_where=OPEN)
    op.create_index("idx_orders_expiring", "orders", ["expires_at"], postgresql_where=OPEN)
    op.create_index("idx_orders_trader_updated", "orders", ["trader_id", sa.text("updated_at DESC")])
    op.create_index("idx_execution_logs_timestamp", "execution_logs", ["timestamp", "trader_id", "sequence"])


def downgrade() -> None:
    """Drop the indexes."""
    op.drop_index("idx_execution_logs_timestamp", "execution_logs")
    op.drop_index("idx_orders_trader_updated", "orders")
    op.drop_index("idx_orders_expiring", "orders")
    op.drop_index("idx_orders_open", "orders")
