"""Drop the stored average price of an order.

Why: no server reads it. The contract's `average_fill_price` is computed from filled_notional and filled_quantity, and
each change of an order computed and wrote the column once more. Dropping a column rewrites nothing.

The downgrade adds the column again, which rewrites the table under an exclusive lock.

Revision: 018
Follows: 017
"""

from __future__ import annotations

from alembic import op

revision = "018"
down_revision = "017"
branch_labels = None
depends_on = None

step = "expand"  # servers of 017 and 016 do not use the column


def upgrade() -> None:
    """Drop the column. Only this table is locked, so that the order in which writers lock is not concerned."""
    op.run_sql("""
        SET LOCAL lock_timeout = '5s';
        ALTER TABLE orders DROP COLUMN average_fill_price;
    """)


def downgrade() -> None:
    """Add the column, computed."""
    op.run_sql("""
        ALTER TABLE orders ADD COLUMN average_fill_price numeric(18,8)
            GENERATED ALWAYS AS (filled_notional / nullif(filled_quantity, 0)) STORED;
    """)
