"""Cancel a trader's open orders in portions.

Why: one transaction that cancels all of a trader's open orders, by his own wish or because they have expired, grows
with their number; beyond some hundred thousand it outlives every timeout, is rolled back, and can never succeed. With
`p_most` the caller takes the oldest so many and comes again; without it, as before, all, for servers from before
this revision.

Revision: 011
Follows: 010
"""

from __future__ import annotations

from alembic import op

revision = "011"
down_revision = "010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Give the function its bound."""
    op.run_sql("""
        DROP FUNCTION cancel_open_orders(uuid, text, boolean, text, text, text);
        CREATE FUNCTION cancel_open_orders(
            p_trader_id uuid, p_symbol text, p_expired_only boolean, p_reason text, p_actor text, p_request_id text,
            p_most integer DEFAULT NULL
        ) RETURNS SETOF uuid LANGUAGE plpgsql AS $$
        DECLARE
            -- The lock comes first: what is read after it, nobody else changes.
            v_sequence bigint := lock_trader_sequence(p_trader_id);
            v_order_id uuid;
            v_order_ids uuid[] := ARRAY(
                SELECT id FROM orders
                WHERE trader_id = p_trader_id AND status IN ('PENDING', 'PARTIAL')
                  AND (p_symbol IS NULL OR symbol = p_symbol)
                  AND (NOT p_expired_only OR expires_at <= clock_timestamp())
                ORDER BY created_at, id LIMIT p_most);
        BEGIN
            IF v_order_ids = '{}' THEN
                RETURN;
            END IF;
            UPDATE trader_sequences SET last_sequence = v_sequence + cardinality(v_order_ids)
            WHERE trader_id = p_trader_id;
            FOREACH v_order_id IN ARRAY v_order_ids LOOP
                v_sequence := v_sequence + 1;
                UPDATE orders SET status = 'CANCELLED', last_sequence = v_sequence
                WHERE trader_id = p_trader_id AND id = v_order_id;
                INSERT INTO execution_logs (trader_id, order_id, sequence, action, reason, actor, request_id)
                VALUES (p_trader_id, v_order_id, v_sequence, 'CANCELLED', p_reason, p_actor, p_request_id);
                RETURN NEXT v_order_id;
            END LOOP;
        END $$;
        COMMENT ON FUNCTION cancel_open_orders IS
            'Cancel a trader''s open orders, or those past their expiry: the oldest so many, or all';
        REVOKE ALL ON FUNCTION cancel_open_orders FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION cancel_open_orders TO blotter_trader, blotter_execution;
    """)


def downgrade() -> None:
    """Take the bound away."""
    op.run_sql("""
        DROP FUNCTION cancel_open_orders(uuid, text, boolean, text, text, text, integer);
        CREATE FUNCTION cancel_open_orders(
            p_trader_id uuid, p_symbol text, p_expired_only boolean, p_reason text, p_actor text, p_request_id text
        ) RETURNS SETOF uuid LANGUAGE plpgsql AS $$
        DECLARE
            v_sequence bigint := lock_trader_sequence(p_trader_id);
            v_order_id uuid;
            v_order_ids uuid[] := ARRAY(
                SELECT id FROM orders
                WHERE trader_id = p_trader_id AND status IN ('PENDING', 'PARTIAL')
                  AND (p_symbol IS NULL OR symbol = p_symbol)
                  AND (NOT p_expired_only OR expires_at <= clock_timestamp())
                ORDER BY created_at, id);
        BEGIN
            IF v_order_ids = '{}' THEN
                RETURN;
            END IF;
            UPDATE trader_sequences SET last_sequence = v_sequence + cardinality(v_order_ids)
            WHERE trader_id = p_trader_id;
            FOREACH v_order_id IN ARRAY v_order_ids LOOP
                v_sequence := v_sequence + 1;
                UPDATE orders SET status = 'CANCELLED', last_sequence = v_sequence
                WHERE trader_id = p_trader_id AND id = v_order_id;
                INSERT INTO execution_logs (trader_id, order_id, sequence, action, reason, actor, request_id)
                VALUES (p_trader_id, v_order_id, v_sequence, 'CANCELLED', p_reason, p_actor, p_request_id);
                RETURN NEXT v_order_id;
            END LOOP;
        END $$;
        COMMENT ON FUNCTION cancel_open_orders IS 'Cancel all open orders of a trader, or those past their expiry';
        REVOKE ALL ON FUNCTION cancel_open_orders FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION cancel_open_orders TO blotter_trader, blotter_execution;
    """)
