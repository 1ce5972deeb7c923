"""Create the traders, whom the order tables presume.

Revision: 000
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "000"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create table traders."""
    op.create_table(
        "traders",
        sa.Column(
            "id",
            postgresql.UUID(as_uuid=True),
            primary_key=True,
            server_default=sa.text("gen_random_uuid()"),
            comment="Unique trader identifier",
        ),
        sa.Column("name", sa.String(100), nullable=False, comment="Name of the trader or desk"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("now()"),
            comment="When registered",
        ),
        sa.CheckConstraint("length(name) > 0", name="ck_traders_name_not_empty"),
        comment="Traders known to the blotter",
    )


def downgrade() -> None:
    """Drop table traders."""
    op.drop_table("traders")
