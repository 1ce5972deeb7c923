"""Add the function that states which releases may serve the database, and the digest of its policies and grants.

Why: a server refused every revision but its own newest one, so that a release could neither be rolled out gradually nor
rolled back. A server does not know the revisions of later releases; schema_compatibility() returns the oldest revision
that it must know to serve them. It is a function and not a table because it is part of the schema: `pg_dump
--schema-only` includes it, sql/schema.sql shows it, and no login can change it.

The digest is that of the query in service/repositories/privileges.py. Before, it was a constant of the code, which does
not know the grants of later revisions either.

Revision: 017
Follows: 016
"""

from __future__ import annotations

from alembic import op

revision = "017"
down_revision = "016"
branch_labels = None
depends_on = None

step = "contract"  # servers that were written before it accept their own revision only


def upgrade() -> None:
    """Create the function."""
    op.run_sql("""
        CREATE FUNCTION schema_compatibility(
            OUT serves_from text, OUT release text, OUT policies_and_grants text
        ) LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, public, pg_temp AS $$
            SELECT '017', '0.2.0', '2af740371e19a1bbc5618d50574a7a672c2e7cb17ba0852453f9a4c191a88ced'
        $$;
        COMMENT ON FUNCTION schema_compatibility IS 'The revision that a server must at least know to serve this'
            ' schema, the first release that knows it, and the digest of the policies and grants of the logins';
        REVOKE ALL ON FUNCTION schema_compatibility FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION schema_compatibility TO blotter_trader;
    """)


def downgrade() -> None:
    """Drop the function."""
    op.run_sql("DROP FUNCTION schema_compatibility;")
