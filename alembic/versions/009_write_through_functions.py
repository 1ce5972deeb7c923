"""Write through functions: one call enters, cancels or reports.

Why: one RPC is one round trip to the database, and a function keeps its plans. Each function locks the trader's
counter first, so that its look for a repeated key cannot race; then it changes the order, advances the counter and
writes the log. The functions run with the rights of the caller (SECURITY INVOKER): grants, policies and the guards of
revision 007 hold inside as well. What they refuse they say in `outcome` instead of raising, so that one bad item does
not undo the others of a batch, and a refused report can be recorded.

Revision: 009
Follows: 008
"""

from __future__ import annotations

from alembic import op

revision = "009"
down_revision = "008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the functions."""
    op.run_sql("""
        CREATE FUNCTION lock_trader_sequence(p_trader_id uuid) RETURNS bigint LANGUAGE plpgsql AS $$
        DECLARE
            v_last bigint;
        BEGIN
            SELECT coalesce(last_sequence, 0) INTO v_last
            FROM trader_sequences WHERE trader_id = p_trader_id FOR NO KEY UPDATE;
            IF NOT FOUND THEN
                INSERT INTO trader_sequences (trader_id) VALUES (p_trader_id) ON CONFLICT (trader_id) DO NOTHING;
                SELECT coalesce(last_sequence, 0) INTO v_last
                FROM trader_sequences WHERE trader_id = p_trader_id FOR NO KEY UPDATE;
            END IF;
            RETURN v_last;
        END $$;
        COMMENT ON FUNCTION lock_trader_sequence IS 'Lock the trader''s counter until commit; return the last number';

        CREATE FUNCTION submit_order(
            p_trader_id uuid, p_client_order_id text, p_request_digest bytea, p_symbol text, p_side order_side_enum,
            p_order_type order_type_enum, p_quantity integer, p_price numeric, p_stop_loss numeric,
            p_take_profit numeric, p_expires_at timestamptz, p_validate_only boolean, p_actor text, p_request_id text,
            OUT outcome text, OUT recorded orders
        ) LANGUAGE plpgsql AS $$
        DECLARE
            v_sequence bigint;
        BEGIN
            IF NOT p_validate_only THEN
                v_sequence := lock_trader_sequence(p_trader_id) + 1;
            END IF;
            SELECT orders.* INTO recorded FROM orders
            WHERE trader_id = p_trader_id AND client_order_id = p_client_order_id;
            IF FOUND THEN
                outcome := CASE WHEN recorded.request_digest = p_request_digest
                    THEN 'REPLAYED' ELSE 'CLIENT_ORDER_ID_REUSED' END;
            ELSIF p_expires_at <= clock_timestamp() THEN
                outcome := 'EXPIRE_TIME_PAST';
            ELSIF p_validate_only THEN
                outcome := 'VALID';
            ELSE
                INSERT INTO orders (trader_id, client_order_id, request_digest, symbol, side, order_type, quantity,
                                    price, stop_loss, take_profit, expires_at, last_sequence)
                VALUES (p_trader_id, p_client_order_id, p_request_digest, p_symbol, p_side, p_order_type, p_quantity,
                        p_price, p_stop_loss, p_take_profit, p_expires_at, v_sequence)
                RETURNING orders.* INTO recorded;
                UPDATE trader_sequences SET last_sequence = v_sequence WHERE trader_id = p_trader_id;
                INSERT INTO execution_logs (trader_id, order_id, sequence, action, actor, request_id)
                VALUES (p_trader_id, recorded.id, v_sequence, 'SUBMITTED', p_actor, p_request_id);
                outcome := 'APPLIED';
            END IF;
        END $$;
        COMMENT ON FUNCTION submit_order IS
            'Enter an order. APPLIED, REPLAYED, CLIENT_ORDER_ID_REUSED, EXPIRE_TIME_PAST or VALID';

        CREATE FUNCTION cancel_order(
            p_trader_id uuid, p_order_id uuid, p_client_order_id text, p_reason text, p_actor text, p_request_id text,
            OUT outcome text, OUT recorded orders
        ) LANGUAGE plpgsql AS $$
        DECLARE
            v_order_id uuid := p_order_id;
            v_sequence bigint;
        BEGIN
            IF v_order_id IS NULL THEN
                SELECT id INTO v_order_id FROM orders
                WHERE trader_id = p_trader_id AND client_order_id = p_client_order_id;
            END IF;
            PERFORM FROM orders WHERE trader_id = p_trader_id AND id = v_order_id;
            IF NOT FOUND THEN
                outcome := 'ORDER_NOT_FOUND';
                RETURN;
            END IF;
            v_sequence := lock_trader_sequence(p_trader_id) + 1;
            SELECT orders.* INTO recorded FROM orders WHERE trader_id = p_trader_id AND id = v_order_id;
            IF recorded.status IN ('PENDING', 'PARTIAL') THEN
                UPDATE orders SET status = 'CANCELLED', last_sequence = v_sequence
                WHERE trader_id = p_trader_id AND id = v_order_id
                RETURNING orders.* INTO recorded;
                UPDATE trader_sequences SET last_sequence = v_sequence WHERE trader_id = p_trader_id;
                INSERT INTO execution_logs (trader_id, order_id, sequence, action, reason, actor, request_id)
                VALUES (p_trader_id, v_order_id, v_sequence, 'CANCELLED', p_reason, p_actor, p_request_id);
                outcome := 'APPLIED';
            ELSIF EXISTS (SELECT FROM execution_logs
                          WHERE trader_id = p_trader_id AND order_id = v_order_id AND action = 'CANCELLED') THEN
                -- A late fill may have completed it since: the cancel was done all the same.
                outcome := 'REPLAYED';
            ELSE
                outcome := 'ORDER_CLOSED';
            END IF;
        END $$;
        COMMENT ON FUNCTION cancel_order IS 'Cancel an open order. APPLIED, REPLAYED, ORDER_NOT_FOUND or ORDER_CLOSED';

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

        CREATE FUNCTION report_execution(
            p_trader_id uuid, p_order_id uuid, p_report_id text, p_report_digest bytea, p_action action_enum,
            p_timestamp timestamptz, p_venue text, p_reason text, p_error_code text, p_retry_attempt integer,
            p_execution_id text, p_quantity integer, p_price numeric, p_commission numeric, p_actor text,
            p_request_id text, OUT outcome text, OUT recorded orders
        ) LANGUAGE plpgsql AS $$
        DECLARE
            v_sequence bigint;
            v_log execution_logs;
            v_fill fills;
            v_refusal text;
            v_reason text := p_reason;
        BEGIN
            PERFORM FROM orders WHERE trader_id = p_trader_id AND id = p_order_id;
            IF NOT FOUND THEN
                outcome := 'ORDER_NOT_FOUND';
                RETURN;
            END IF;
            v_sequence := lock_trader_sequence(p_trader_id) + 1;
            SELECT orders.* INTO recorded FROM orders WHERE trader_id = p_trader_id AND id = p_order_id;

            SELECT execution_logs.* INTO v_log FROM execution_logs
            WHERE trader_id = p_trader_id AND report_id = p_report_id;
            IF FOUND THEN
                outcome := CASE
                    WHEN v_log.report_digest <> p_report_digest THEN 'REPORT_ID_REUSED'
                    WHEN v_log.refused THEN v_log.error_code
                    ELSE 'REPLAYED' END;
                RETURN;
            END IF;
            IF p_action = 'FILLED' THEN
                SELECT fills.* INTO v_fill FROM fills
                WHERE trader_id = p_trader_id AND venue = p_venue AND execution_id = p_execution_id;
                IF FOUND THEN
                    outcome := CASE
                        WHEN (v_fill.order_id, v_fill.timestamp, v_fill.quantity_filled, v_fill.price_at_fill,
                              v_fill.commission)
                             = (p_order_id, p_timestamp, p_quantity, p_price, p_commission) THEN 'REPLAYED'
                        ELSE 'EXECUTION_ID_REUSED' END;
                    RETURN;
                END IF;
            END IF;

            v_refusal := CASE
                WHEN p_action = 'FILLED' AND p_quantity > recorded.quantity - recorded.filled_quantity THEN 'OVERFILL'
                WHEN p_action IN ('APPROVED', 'REJECTED') AND recorded.status NOT IN ('PENDING', 'PARTIAL')
                    THEN 'ORDER_CLOSED'
                WHEN p_action = 'CANCELLED' AND recorded.status IN ('FILLED', 'REJECTED') THEN 'ORDER_CLOSED'
                END;
            IF v_refusal = 'OVERFILL' THEN
                v_reason := format('%s refused: %s of %s left', p_action,
                                   recorded.quantity - recorded.filled_quantity, recorded.quantity);
            ELSIF v_refusal IS NOT NULL THEN
                v_reason := concat_ws(': ', format('%s refused', p_action), p_reason);
            ELSIF p_action = 'FILLED' THEN
                INSERT INTO fills (trader_id, order_id, sequence, execution_id, venue, timestamp, quantity_filled,
                                   price_at_fill, commission)
                VALUES (p_trader_id, p_order_id, v_sequence, p_execution_id, p_venue, p_timestamp, p_quantity,
                        p_price, p_commission);
                IF recorded.status IN ('REJECTED', 'CANCELLED') THEN
                    v_reason := 'LATE_FILL';
                END IF;
            END IF;

            UPDATE orders SET
                status = CASE
                    WHEN v_refusal IS NOT NULL THEN status
                    WHEN p_action IN ('REJECTED', 'CANCELLED') THEN p_action::text::order_status_enum
                    WHEN p_action <> 'FILLED' THEN status
                    WHEN filled_quantity + p_quantity = quantity THEN 'FILLED'
                    WHEN status IN ('REJECTED', 'CANCELLED') THEN status
                    ELSE 'PARTIAL' END,
                filled_quantity = filled_quantity
                    + CASE WHEN p_action = 'FILLED' AND v_refusal IS NULL THEN p_quantity ELSE 0 END,
                filled_notional = filled_notional
                    + CASE WHEN p_action = 'FILLED' AND v_refusal IS NULL THEN p_quantity * p_price ELSE 0 END,
                last_sequence = v_sequence
            WHERE trader_id = p_trader_id AND id = p_order_id
            RETURNING orders.* INTO recorded;
            UPDATE trader_sequences SET last_sequence = v_sequence WHERE trader_id = p_trader_id;
            INSERT INTO execution_logs (
                trader_id, order_id, sequence, action, refused, timestamp, reason, error_code, retry_attempt, actor,
                request_id, report_id, report_digest, venue, execution_id, fill_quantity, fill_price, fill_commission)
            VALUES (
                p_trader_id, p_order_id, v_sequence, CASE WHEN v_refusal IS NULL THEN p_action ELSE 'REJECTED' END,
                v_refusal IS NOT NULL, p_timestamp, v_reason, coalesce(v_refusal, p_error_code), p_retry_attempt,
                p_actor, p_request_id, p_report_id, p_report_digest, p_venue, p_execution_id, p_quantity, p_price,
                p_commission);
            outcome := coalesce(v_refusal, 'APPLIED');
        END $$;
        COMMENT ON FUNCTION report_execution IS
            'Record a report. APPLIED, REPLAYED, OVERFILL, ORDER_CLOSED, ORDER_NOT_FOUND, REPORT_ID_REUSED or '
            'EXECUTION_ID_REUSED';

        REVOKE ALL ON FUNCTION lock_trader_sequence, submit_order, cancel_order, cancel_open_orders, report_execution
            FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION submit_order, cancel_order TO blotter_trader;
        GRANT EXECUTE ON FUNCTION lock_trader_sequence, cancel_open_orders TO blotter_trader, blotter_execution;
        GRANT EXECUTE ON FUNCTION report_execution TO blotter_execution;
    """)


def downgrade() -> None:
    """Drop the functions."""
    op.run_sql("DROP FUNCTION report_execution, cancel_open_orders, cancel_order, submit_order, lock_trader_sequence;")
