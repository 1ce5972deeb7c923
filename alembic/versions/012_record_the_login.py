"""Record which database login wrote each log.

Why: `actor` is what the caller says of himself. The login is what the database knows: it tells a trader's cancel from a
gateway's, whatever either says. No login may write the column, so its default cannot be gone around. Logs from before
this revision have none.

Revision: 012
Follows: 011
"""

from __future__ import annotations

from alembic import op

revision = "012"
down_revision = "011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; the default comes after, so that older logs stay without."""
    op.run_sql("""
        ALTER TABLE execution_logs ADD COLUMN login text;
        ALTER TABLE execution_logs ALTER COLUMN login SET DEFAULT current_user;
        COMMENT ON COLUMN execution_logs.login IS 'The database login that wrote the log';
    """)


def downgrade() -> None:
    """Drop the column."""
    op.run_sql("ALTER TABLE execution_logs DROP COLUMN login;")
