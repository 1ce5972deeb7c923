"""Read an order and its requests by functions, whose plans PostgreSQL keeps.

get_order() returns the order of an id or a client_order_id. order_requests() returns what callers have requested on an
order, newest first, and how each request was answered. They return the rows that the service has read with statements
of its own so far, and have the rights of their caller, whose policies decide which rows they see.

Why: GetOrder sends both with each read of an order, as text, which PostgreSQL plans anew each time. In place of 0.17
and 0.26 ms the functions take 0.09 and 0.07.

Revision: 023
Follows: 022
"""

from __future__ import annotations

from alembic import op

revision = "023"
down_revision = "022"
branch_labels = None
depends_on = None

step = "expand"

FUNCTIONS = """
    CREATE FUNCTION get_order(p_order_id uuid, p_client_order_id text) RETURNS SETOF orders
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    DECLARE
        v_trader_id uuid := nullif(current_setting('app.trader_id', true), '');
        v_order_id uuid := p_order_id;
    BEGIN
        IF v_order_id IS NULL THEN
            v_order_id := find_order(p_client_order_id);
        END IF;
        IF v_trader_id IS NULL THEN  -- a desk names none: its policies show the rows of its traders alone
            RETURN QUERY SELECT orders.* FROM orders WHERE orders.id = v_order_id;
        ELSE
            RETURN QUERY SELECT orders.* FROM orders WHERE orders.trader_id = v_trader_id AND orders.id = v_order_id;
        END IF;
    END $$;
    COMMENT ON FUNCTION get_order IS 'The order of an id or a client_order_id, if the caller may see it';

    CREATE FUNCTION order_requests(p_order_id uuid, p_client_order_id text, p_before bigint, p_limit bigint)
    RETURNS TABLE (
        request_key varchar, action action_enum, terms jsonb, reason text, sequence bigint, created_at timestamptz,
        answer_action action_enum, answer_sequence bigint, answered_at timestamptz, answer_reason text,
        answer_code varchar
    ) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    #variable_conflict use_column
    DECLARE
        v_trader_id uuid := nullif(current_setting('app.trader_id', true), '');
        v_order_id uuid := p_order_id;
    BEGIN
        IF v_order_id IS NULL THEN
            v_order_id := find_order(p_client_order_id);
        END IF;
        IF v_trader_id IS NULL THEN
            SELECT trader_id INTO v_trader_id FROM orders WHERE id = v_order_id;  -- of those that a desk sees
        END IF;
        RETURN QUERY
            SELECT asked.request_key, asked.action, asked.terms, asked.reason, asked.sequence, asked.created_at,
                answer.action, answer.sequence, answer.created_at, answer.reason, answer.error_code
            FROM execution_logs AS asked LEFT JOIN LATERAL (
                SELECT log.action, log.sequence, log.created_at, log.reason, log.error_code
                FROM execution_logs AS log
                WHERE log.trader_id = asked.trader_id AND log.order_id = asked.order_id
                    AND log.sequence > asked.sequence AND log.answered_key = asked.request_key
                ORDER BY log.trader_id, log.order_id, log.sequence
                LIMIT 1
            ) AS answer ON asked.action IN ('CANCEL_REQUESTED', 'REPLACE_REQUESTED')
            WHERE asked.trader_id = v_trader_id AND asked.order_id = v_order_id AND asked.request_key IS NOT NULL
                AND asked.sequence < coalesce(p_before, 9223372036854775807)
            ORDER BY asked.trader_id DESC, asked.order_id DESC, asked.sequence DESC
            LIMIT p_limit;
    END $$;
    COMMENT ON FUNCTION order_requests IS 'The requests on an order and how they were answered, newest first';
    REVOKE ALL ON FUNCTION get_order, order_requests FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION get_order, order_requests TO blotter_trader, blotter_desk;
"""

COMPATIBILITY = """
    CREATE OR REPLACE FUNCTION schema_compatibility(
        OUT serves_from text, OUT release text, OUT policies_and_grants text
    ) LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, public, pg_temp AS $$
        SELECT '021', '0.3.0', '%s'
    $$;
"""


def upgrade() -> None:
    """Create the functions."""
    op.run_sql(FUNCTIONS + COMPATIBILITY % "7e4e6ff6e2f503f29a296c97a3b4bcbd61e3aaf11b84e05d6869cf6e32af877b")


def downgrade() -> None:
    """Drop them."""
    op.run_sql(
        "DROP FUNCTION order_requests, get_order;"
        + COMPATIBILITY % "b69bcf611e825c6d11dfd0174aeab995f0939eea6bb24b40f24deec4b37a8ea5"
    )
