"""${message}

Why: say what the schema lacks or gets wrong, and why this mends it.

Revision: ${up_revision}
Follows: ${down_revision | comma,n}
Date: ${create_date}
"""

from __future__ import annotations

from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

step = "expand"  # or "contract": see alembic/README.md


def upgrade() -> None:
    """Apply; frozen once landed."""
    ${upgrades if upgrades else "raise NotImplementedError"}


def downgrade() -> None:
    """Take back exactly what upgrade did."""
    ${downgrades if downgrades else "raise NotImplementedError"}
