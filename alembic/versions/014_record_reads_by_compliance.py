"""Record who of compliance read what, and when.

Why: who watches the watchers. A login that sees everything leaves a row for every read, in the same transaction as the
read, in a table that is as append-only as the trail itself: the four walls of revision 006.

Revision: 014
Follows: 013
"""

from __future__ import annotations

from alembic import op

revision = "014"
down_revision = "013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table with its walls, policies and grants."""
    op.run_sql("""
        CREATE TABLE audit_accesses (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            accessed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            login text NOT NULL DEFAULT current_user,
            actor varchar(100) NOT NULL,
            request_id varchar(64) NOT NULL,
            method text NOT NULL,
            request jsonb NOT NULL
        );
        COMMENT ON TABLE audit_accesses IS 'Reads by compliance';
        COMMENT ON COLUMN audit_accesses.login IS 'The database login that read';
        COMMENT ON COLUMN audit_accesses.actor IS 'Who read, as the caller says';
        COMMENT ON COLUMN audit_accesses.method IS 'The RPC';
        COMMENT ON COLUMN audit_accesses.request IS 'What was asked for, filters included';
        CREATE INDEX idx_audit_accesses_accessed_at ON audit_accesses (accessed_at, id);

        ALTER TABLE audit_accesses ENABLE ROW LEVEL SECURITY;
        ALTER TABLE audit_accesses FORCE ROW LEVEL SECURITY;
        CREATE POLICY audit_accesses_compliance_reads_all ON audit_accesses FOR SELECT TO blotter_compliance
            USING (true);
        CREATE POLICY audit_accesses_compliance_records ON audit_accesses FOR INSERT TO blotter_compliance
            WITH CHECK (true);
        CREATE POLICY audit_accesses_immutable_update ON audit_accesses AS RESTRICTIVE FOR UPDATE USING (false);
        CREATE POLICY audit_accesses_immutable_delete ON audit_accesses AS RESTRICTIVE FOR DELETE USING (false);
        CREATE TRIGGER audit_accesses_refuse_change BEFORE UPDATE OR DELETE ON audit_accesses
            FOR EACH ROW EXECUTE FUNCTION refuse_change();
        CREATE TRIGGER audit_accesses_refuse_truncate BEFORE TRUNCATE ON audit_accesses
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
        GRANT SELECT ON audit_accesses TO blotter_compliance;
        GRANT INSERT (actor, request_id, method, request) ON audit_accesses TO blotter_compliance;
    """)


def downgrade() -> None:
    """Drop the table."""
    op.run_sql("DROP TABLE audit_accesses;")
