"""Wall off the audit trail: no update, no delete, no truncate, by anybody.

Why: each wall alone has a hole. A missing grant does not bind the owner; a restrictive policy answers with a silent
`UPDATE 0`, and policies do not cover TRUNCATE; a row trigger does not fire on TRUNCATE. Together with revision 008's
grants, there are four. Fills are facts as well and get the same triggers.

Revision: 006
Follows: 005
"""

from __future__ import annotations

from alembic import op

revision = "006"
down_revision = "005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the triggers that refuse."""
    op.run_sql("""
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'Table % is append-only: % is refused.', TG_TABLE_NAME, TG_OP
                USING ERRCODE = 'insufficient_privilege', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
        END $$;

        CREATE TRIGGER execution_logs_refuse_change BEFORE UPDATE OR DELETE ON execution_logs
            FOR EACH ROW EXECUTE FUNCTION refuse_change();
        CREATE TRIGGER execution_logs_refuse_truncate BEFORE TRUNCATE ON execution_logs
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
        CREATE TRIGGER fills_refuse_change BEFORE UPDATE OR DELETE ON fills
            FOR EACH ROW EXECUTE FUNCTION refuse_change();
        CREATE TRIGGER fills_refuse_truncate BEFORE TRUNCATE ON fills
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
    """)


def downgrade() -> None:
    """Drop the triggers."""
    op.run_sql("""
        DROP TRIGGER fills_refuse_truncate ON fills;
        DROP TRIGGER fills_refuse_change ON fills;
        DROP TRIGGER execution_logs_refuse_truncate ON execution_logs;
        DROP TRIGGER execution_logs_refuse_change ON execution_logs;
        DROP FUNCTION refuse_change();
    """)
