"""Make writes idempotent.

Why: networks repeat. A trader's `client_order_id` enters one order for ever, and the digest of its content tells a
repeat from a reuse; a gateway's `report_id` is recorded once; the venue's `execution_id` counts once per trader and
venue. The keys are unique in the database, so no process and no race can count twice; they lead with `trader_id`, so
that none tells of another trader.

Revision: 004
Follows: 003
"""

from __future__ import annotations

from alembic import op

revision = "004"
down_revision = "003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the keys of orders, fills and reports."""
    op.run_sql("""
        ALTER TABLE orders
            ADD COLUMN client_order_id varchar(64) NOT NULL,
            ADD COLUMN request_digest bytea NOT NULL,
            ADD CONSTRAINT uq_orders_client_order_id UNIQUE (trader_id, client_order_id),
            ADD CONSTRAINT ck_orders_client_order_id_printable CHECK (client_order_id ~ '^[!-~]+$'),
            ADD CONSTRAINT ck_orders_request_digest_sha256 CHECK (length(request_digest) = 32);
        COMMENT ON COLUMN orders.client_order_id IS 'The trader''s own id (FIX ClOrdID)';
        COMMENT ON COLUMN orders.request_digest IS 'SHA-256 of what was asked for';

        ALTER TABLE fills
            ADD COLUMN execution_id varchar(64) NOT NULL,
            ADD CONSTRAINT uq_fills_execution_id UNIQUE (trader_id, venue, execution_id),
            ADD CONSTRAINT ck_fills_execution_id_printable CHECK (execution_id ~ '^[!-~]+$'),
            ADD CONSTRAINT ck_fills_venue_not_empty CHECK (length(venue) > 0);
        COMMENT ON COLUMN fills.execution_id IS 'The venue''s id of the fill (FIX ExecID)';

        ALTER TABLE execution_logs
            ADD COLUMN report_id varchar(64),
            ADD COLUMN report_digest bytea,
            ADD CONSTRAINT ck_execution_logs_report_id_printable CHECK (report_id ~ '^[!-~]+$'),
            ADD CONSTRAINT ck_execution_logs_report_with_digest
                CHECK ((report_id IS NULL) = (report_digest IS NULL) AND coalesce(length(report_digest) = 32, true));
        -- Partial, so that no look-up by other keys ever takes this index for its own.
        CREATE UNIQUE INDEX uq_execution_logs_report_id ON execution_logs (trader_id, report_id)
            WHERE report_id IS NOT NULL;
        COMMENT ON COLUMN execution_logs.report_id IS 'The gateway''s id of the report';
        COMMENT ON COLUMN execution_logs.report_digest IS 'SHA-256 of what was reported';
    """)


def downgrade() -> None:
    """Drop the keys."""
    op.run_sql("""
        ALTER TABLE execution_logs DROP COLUMN report_digest, DROP COLUMN report_id;
        ALTER TABLE fills DROP CONSTRAINT ck_fills_venue_not_empty, DROP COLUMN execution_id;
        ALTER TABLE orders DROP COLUMN request_digest, DROP COLUMN client_order_id;
    """)
