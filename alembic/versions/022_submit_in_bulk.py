"""Submit in bulk: one function enters many orders of a trader.

submit_orders() answers as submit_order() does for one order after the other in the same transaction, in their order:
the same outcomes, rows, numbers and events, also where two of its orders have one client_order_id. Each order has its
own actor and request id, so that calls of several clients of the trader can share it. An order that submit_order()
would refuse is refused alone; one that it fails with an error fails all of them, as it would fail the transaction. It
locks the counter once, looks up repeated keys in one query, and writes orders and logs with one statement each.

Why: of the time that PostgreSQL takes to enter ten orders in a message, more than half was the calls, the statements
within them and ten versions of the counter's row.

The orders are one jsonb array of objects, named as the arguments of submit_order(), at most 10,000. Keys
that are not there are null.

INSERT ... SELECT copies rows into the shards of a distributed table (Citus), where COPY refuses tables with row-level
security. There, the function would have to call submit_order() for each order.

Revision: 022
Follows: 021
"""

from __future__ import annotations

from alembic import op

revision = "022"
down_revision = "021"
branch_labels = None
depends_on = None

step = "expand"

FUNCTION = """
    CREATE FUNCTION submit_orders(p_orders jsonb, OUT outcome text, OUT recorded orders)
    RETURNS SETOF record LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
    DECLARE
        v_trader_id uuid := acting_trader();
        v_last bigint;
        v_item record;
        v_state orders;
        v_entered orders[] := '{}';
        v_actor varchar(100);
        v_actors varchar[];
        v_request_id varchar(64);
        v_request_ids varchar[];
        v_places integer[];  -- by number of the item: where v_entered has the order with its key
        v_place integer;
    BEGIN
        IF p_orders IS NULL OR jsonb_array_length(p_orders) > 10000 THEN
            RAISE EXCEPTION 'Enter at most 10,000 orders at once, as an array.'
                USING ERRCODE = 'program_limit_exceeded';
        END IF;
        v_last := lock_sequence();
        v_state.trader_id := v_trader_id;
        v_state.filled_quantity := 0;
        v_state.filled_notional := 0;
        v_state.excess_quantity := 0;
        v_state.at_venue := false;
        v_state.expiry_requested := false;
        FOR v_item IN
            SELECT item.*, existing.recorded, request.sequence AS requested_with
            FROM (
                SELECT *, lag(number) OVER (PARTITION BY client_order_id ORDER BY number) AS previous
                FROM ROWS FROM (jsonb_to_recordset(p_orders) AS (
                    client_order_id text, request_digest bytea, symbol text, side order_side_enum,
                    order_type order_type_enum, quantity integer, price numeric, stop_price numeric,
                    stop_loss numeric, take_profit numeric, time_in_force time_in_force_enum, expires_at timestamptz,
                    account text, labels jsonb, parent_order_id text, currency text, security_id text,
                    security_id_source security_id_source_enum, short_sale short_sale_enum,
                    exempt_from_cancel_timer boolean, actor text, request_id text
                )) WITH ORDINALITY AS items (
                    client_order_id, request_digest, symbol, side, order_type, quantity, price, stop_price, stop_loss,
                    take_profit, time_in_force, expires_at, account, labels, parent_order_id, currency, security_id,
                    security_id_source, short_sale, exempt_from_cancel_timer, actor, request_id, number)
            ) AS item
            -- LIMIT keeps the look-ups by key: the planner cannot join the trader's other rows instead.
            LEFT JOIN LATERAL (
                SELECT orders AS recorded FROM orders
                WHERE trader_id = v_trader_id AND orders.client_order_id = item.client_order_id LIMIT 1
            ) AS existing ON true
            LEFT JOIN LATERAL (
                SELECT sequence FROM execution_logs
                WHERE trader_id = v_trader_id AND request_key = item.client_order_id LIMIT 1
            ) AS request ON true
            ORDER BY item.number
        LOOP
            recorded := v_item.recorded;
            v_place := v_places[v_item.previous];
            IF v_place IS NOT NULL THEN
                recorded := v_entered[v_place];
            END IF;
            v_state.created_at := clock_timestamp();
            IF recorded.id IS NOT NULL THEN
                outcome := CASE WHEN recorded.request_digest = v_item.request_digest
                    THEN 'REPLAYED' ELSE 'CLIENT_ORDER_ID_REUSED' END;
            ELSIF v_item.requested_with IS NOT NULL THEN
                outcome := 'CLIENT_ORDER_ID_REUSED';
            ELSIF v_item.expires_at <= v_state.created_at THEN
                outcome := 'EXPIRE_TIME_PAST';
            ELSE
                v_state.id := gen_random_uuid();
                v_state.client_order_id := v_item.client_order_id;
                v_state.request_digest := v_item.request_digest;
                v_state.symbol := v_item.symbol;
                v_state.side := v_item.side;
                v_state.order_type := v_item.order_type;
                v_state.quantity := v_item.quantity;
                v_state.price := v_item.price;
                v_state.stop_price := v_item.stop_price;
                v_state.stop_loss := v_item.stop_loss;
                v_state.take_profit := v_item.take_profit;
                v_state.time_in_force := v_item.time_in_force;
                v_state.expires_at := v_item.expires_at;
                v_state.account := v_item.account;
                v_state.labels := v_item.labels;
                v_state.parent_order_id := v_item.parent_order_id;
                v_state.currency := v_item.currency;
                v_state.security_id := v_item.security_id;
                v_state.security_id_source := v_item.security_id_source;
                v_state.short_sale := v_item.short_sale;
                v_state.exempt_from_cancel_timer := coalesce(v_item.exempt_from_cancel_timer, false);
                v_actor := v_item.actor;  -- one that is too long is an error also where the order is refused
                v_request_id := v_item.request_id;
                v_state.last_sequence := NULL;
                v_state.updated_at := NULL;
                v_state.status := 'PENDING';
                outcome := terms_violation(v_state);
                IF outcome IS NULL THEN
                    outcome := 'APPLIED';
                    v_state.status := order_status(v_state.quantity, 0, NULL);
                    v_last := v_last + 1;
                    v_state.last_sequence := v_last;
                    v_state.updated_at := v_state.created_at;
                    v_entered := v_entered || v_state;
                    v_actors := v_actors || v_actor;
                    v_request_ids := v_request_ids || v_request_id;
                    v_place := cardinality(v_entered);
                END IF;
                recorded := v_state;
            END IF;
            v_places[v_item.number] := v_place;
            RETURN NEXT;
        END LOOP;
        IF v_entered = '{}' THEN
            RETURN;
        END IF;
        INSERT INTO orders SELECT * FROM unnest(v_entered);
        UPDATE trader_sequences SET last_sequence = v_last WHERE trader_id = v_trader_id;
        v_last := v_last - cardinality(v_entered);
        INSERT INTO execution_logs (
            trader_id, order_id, sequence, action, timestamp, created_at, actor, request_id, status, client_order_id,
            symbol, side, order_type, quantity, price, stop_price, stop_loss, take_profit, time_in_force, expires_at,
            order_created_at, filled_quantity, filled_notional, account, labels, parent_order_id, currency,
            security_id, security_id_source, short_sale, exempt_from_cancel_timer)
        SELECT
            entered.trader_id, entered.id, entered.last_sequence, 'SUBMITTED', entered.created_at, entered.created_at,
            v_actors[entered.last_sequence - v_last], v_request_ids[entered.last_sequence - v_last],
            entered.status, entered.client_order_id, entered.symbol, entered.side, entered.order_type,
            entered.quantity, entered.price, entered.stop_price, entered.stop_loss, entered.take_profit,
            entered.time_in_force, entered.expires_at, entered.created_at, entered.filled_quantity,
            entered.filled_notional, entered.account, entered.labels, entered.parent_order_id, entered.currency,
            entered.security_id, entered.security_id_source, entered.short_sale, entered.exempt_from_cancel_timer
        FROM unnest(v_entered) AS entered;
    END $$;
    COMMENT ON FUNCTION submit_orders IS 'Enter orders, as submit_order() does one after the other';
    REVOKE ALL ON FUNCTION submit_orders FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION submit_orders TO blotter_trader;
    ALTER FUNCTION submit_orders SECURITY DEFINER;
    GRANT CREATE ON SCHEMA public TO blotter_writer;
    ALTER FUNCTION submit_orders OWNER TO blotter_writer;
    REVOKE CREATE ON SCHEMA public FROM blotter_writer;
"""

COMPATIBILITY = """
    CREATE OR REPLACE FUNCTION schema_compatibility(
        OUT serves_from text, OUT release text, OUT policies_and_grants text
    ) LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, public, pg_temp AS $$
        SELECT '021', '0.3.0', '%s'
    $$;
"""


def upgrade() -> None:
    """Create submit_orders."""
    op.run_sql(FUNCTION + COMPATIBILITY % "b69bcf611e825c6d11dfd0174aeab995f0939eea6bb24b40f24deec4b37a8ea5")


def downgrade() -> None:
    """Drop it."""
    op.run_sql(
        "DROP FUNCTION submit_orders;"
        + COMPATIBILITY % "cb1b690242f0dfa64fdb100694723ca72e98d05325b3e20b9619c7568dc9903a"
    )
