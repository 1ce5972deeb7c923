"""Add the columns, tables and words that the order lifecycle of FIX needs.

Why: an order could not be replaced, a fill could not be corrected, a cancel took effect although the venue could still
fill, and a fill beyond the quantity was refused. This revision only makes room: nothing writes the new columns before
revision 020, so that servers of revisions 017 and 018 keep serving. No table is rewritten: new columns are nullable or
have a constant default, and a wider numeric keeps its bytes. No call is answered while the revision runs.

- Actions of requests, of their answers, of corrections and of a venue's own changes; the order type STOP_LIMIT.
- orders: what a desk files an order under, the pending request, what the fills exceed the quantity by, and what closed
  an order other than its fills: a bust shows it again. `status` follows from these.
- execution_logs: the same after each event, the request that an event records or settles, the terms that it asks for or
  sets, and the version of its leaf.
- fills: the trade date, because a venue's execution ids are unique within a day only (FIX tag 17).
- fill_corrections: a correction or bust is a record of its own; the fill never changes.
- cancel_timers: at most one running timer for each trader (CancelAllAfter).
- filled_notional has room for the fills beyond the quantity.

The downgrade refuses, by kind and number, what the enumerations and tables of revision 018 cannot hold, and drops the
new columns: what is left in them after the downgrade of 020 follows from the rest, or is the key of a cancel that took
effect at once. It rewrites orders and logs.

Revision: 019
Follows: 018
"""

from __future__ import annotations

from alembic import op

revision = "019"
down_revision = "018"
branch_labels = None
depends_on = None

step = "expand"  # servers of 017 and 018 use none of it


def upgrade() -> None:
    """Lock the tables that change; add types, columns and tables."""
    op.run_sql("""
        -- Locks ----------------------------------------------------------------------------------------------------
        -- Readers lock in any order. If a lock is not free within 100 ms, the others are released: no deadlock is
        -- detected (after 1 s), which could end a call of a server.
        SET LOCAL lock_timeout = '100ms';
        DO $$ BEGIN
            FOR attempt IN 1..50 LOOP
                BEGIN
                    LOCK TABLE traders IN SHARE ROW EXCLUSIVE MODE;
                    LOCK TABLE orders, fills, execution_logs IN ACCESS EXCLUSIVE MODE;
                    EXIT;
                EXCEPTION WHEN lock_not_available THEN
                    IF attempt = 50 THEN
                        RAISE;
                    END IF;
                    PERFORM pg_sleep(0.05);
                END;
            END LOOP;
        END $$;
        SET LOCAL lock_timeout = '5s';

        -- Types ----------------------------------------------------------------------------------------------------
        ALTER TYPE action_enum ADD VALUE 'CANCEL_REQUESTED';
        ALTER TYPE action_enum ADD VALUE 'REPLACE_REQUESTED';
        ALTER TYPE action_enum ADD VALUE 'REPLACED';
        ALTER TYPE action_enum ADD VALUE 'CANCEL_REFUSED';
        ALTER TYPE action_enum ADD VALUE 'REPLACE_REFUSED';
        ALTER TYPE action_enum ADD VALUE 'RESTATED';
        ALTER TYPE action_enum ADD VALUE 'DONE_FOR_DAY';
        ALTER TYPE action_enum ADD VALUE 'FILL_CORRECTED';
        ALTER TYPE action_enum ADD VALUE 'FILL_BUSTED';
        ALTER TYPE order_type_enum ADD VALUE 'STOP_LIMIT';
        CREATE TYPE time_in_force_enum AS ENUM ('DAY', 'GTC', 'IOC', 'FOK', 'GTD');
        CREATE TYPE security_id_source_enum AS ENUM ('ISIN', 'FIGI', 'CUSIP');
        CREATE TYPE short_sale_enum AS ENUM ('SELL_SHORT', 'SELL_SHORT_EXEMPT');
        CREATE TYPE request_kind_enum AS ENUM ('CANCEL', 'REPLACE');

        -- Tables ---------------------------------------------------------------------------------------------------
        ALTER TABLE orders
            ALTER COLUMN filled_notional TYPE numeric(38,8),
            ADD COLUMN excess_quantity bigint NOT NULL DEFAULT 0,
            ADD COLUMN stop_price numeric(18,8),
            ADD COLUMN time_in_force time_in_force_enum,
            ADD COLUMN account varchar(64),
            ADD COLUMN labels jsonb,
            ADD COLUMN parent_order_id varchar(64),
            ADD COLUMN currency varchar(3),
            ADD COLUMN security_id varchar(64),
            ADD COLUMN security_id_source security_id_source_enum,
            ADD COLUMN short_sale short_sale_enum,
            ADD COLUMN exempt_from_cancel_timer boolean NOT NULL DEFAULT false,
            ADD COLUMN at_venue boolean NOT NULL DEFAULT false,
            ADD COLUMN closed_as order_status_enum,
            ADD COLUMN status_reason text,
            ADD COLUMN pending_kind request_kind_enum,
            ADD COLUMN pending_key varchar(64),
            ADD COLUMN pending_sequence bigint,
            ADD COLUMN pending_terms jsonb,
            ADD COLUMN expiry_requested boolean NOT NULL DEFAULT false;
        COMMENT ON COLUMN orders.excess_quantity IS 'Shares filled beyond the quantity';
        COMMENT ON COLUMN orders.stop_price IS 'Price that triggers a STOP_LIMIT order';
        COMMENT ON COLUMN orders.time_in_force IS 'FIX tag 59; null: not stated';
        COMMENT ON COLUMN orders.account IS 'FIX tag 1';
        COMMENT ON COLUMN orders.labels IS 'Up to eight keys with values, chosen by the desk';
        COMMENT ON COLUMN orders.parent_order_id IS 'The order that this one is a part of, in the desk''s own system';
        COMMENT ON COLUMN orders.currency IS 'ISO 4217';
        COMMENT ON COLUMN orders.security_id IS 'FIX tag 48';
        COMMENT ON COLUMN orders.security_id_source IS 'FIX tag 22';
        COMMENT ON COLUMN orders.short_sale IS 'FIX tag 54, values 5 and 6';
        COMMENT ON COLUMN orders.exempt_from_cancel_timer IS 'The trader''s cancel timer leaves the order open';
        COMMENT ON COLUMN orders.at_venue IS 'A gateway has the order: cancels and replaces wait for its answer';
        COMMENT ON COLUMN orders.closed_as IS 'What closed the order other than its fills: CANCELLED or REJECTED';
        COMMENT ON COLUMN orders.status_reason IS 'Why the order was closed';
        COMMENT ON COLUMN orders.pending_kind IS 'The request that waits for the venue''s answer';
        COMMENT ON COLUMN orders.pending_key IS 'Its key';
        COMMENT ON COLUMN orders.pending_sequence IS 'Number of the event that recorded it';
        COMMENT ON COLUMN orders.pending_terms IS 'The terms that it asks for';
        COMMENT ON COLUMN orders.expiry_requested IS 'The blotter has asked the venue to cancel the expired order';

        ALTER TABLE execution_logs
            ALTER COLUMN filled_notional TYPE numeric(38,8),
            ADD COLUMN leaf_version smallint NOT NULL DEFAULT 1,
            ADD COLUMN excess_quantity bigint NOT NULL DEFAULT 0,
            ADD COLUMN stop_price numeric(18,8),
            ADD COLUMN time_in_force time_in_force_enum,
            ADD COLUMN account varchar(64),
            ADD COLUMN labels jsonb,
            ADD COLUMN parent_order_id varchar(64),
            ADD COLUMN currency varchar(3),
            ADD COLUMN security_id varchar(64),
            ADD COLUMN security_id_source security_id_source_enum,
            ADD COLUMN short_sale short_sale_enum,
            ADD COLUMN exempt_from_cancel_timer boolean NOT NULL DEFAULT false,
            ADD COLUMN at_venue boolean NOT NULL DEFAULT false,
            ADD COLUMN status_reason text,
            ADD COLUMN pending_kind request_kind_enum,
            ADD COLUMN pending_key varchar(64),
            ADD COLUMN pending_terms jsonb,
            ADD COLUMN request_key varchar(64),
            ADD COLUMN request_digest bytea,
            ADD COLUMN answered_key varchar(64),
            ADD COLUMN terms jsonb,
            ADD COLUMN trade_date date,
            ADD COLUMN ref_execution_id varchar(64);
        COMMENT ON COLUMN execution_logs.leaf_version IS 'Version of the leaf in the ledger';
        COMMENT ON COLUMN execution_logs.request_key IS 'Key of the request that the event records';
        COMMENT ON COLUMN execution_logs.request_digest IS 'SHA-256 of what was requested';
        COMMENT ON COLUMN execution_logs.answered_key IS 'Key of the request that the event settles';
        COMMENT ON COLUMN execution_logs.terms IS 'The terms that the event asks for or sets';
        COMMENT ON COLUMN execution_logs.trade_date IS 'Trade date of the fill or correction (FIX tag 75)';
        COMMENT ON COLUMN execution_logs.ref_execution_id IS 'The fill that a correction is about (FIX tag 19)';
        CREATE UNIQUE INDEX uq_execution_logs_request_key ON execution_logs (trader_id, request_key)
            WHERE request_key IS NOT NULL;

        ALTER TABLE fills ADD COLUMN trade_date date;
        COMMENT ON COLUMN fills.trade_date IS 'Trade date (FIX tag 75)';

        CREATE TABLE fill_corrections (
            trader_id uuid NOT NULL,
            id uuid NOT NULL DEFAULT gen_random_uuid(),
            order_id uuid NOT NULL,
            fill_id uuid NOT NULL,
            sequence bigint NOT NULL,
            execution_id varchar(64) NOT NULL,
            trade_date date NOT NULL,
            venue varchar(50) NOT NULL,
            timestamp timestamptz NOT NULL,
            quantity integer NOT NULL,
            price numeric(18,8),
            commission numeric(18,8) NOT NULL,
            reason text,
            created_at timestamptz NOT NULL,
            CONSTRAINT fill_corrections_pkey PRIMARY KEY (trader_id, id),
            CONSTRAINT uq_fill_corrections_execution_id UNIQUE (trader_id, venue, trade_date, execution_id),
            CONSTRAINT uq_fill_corrections_fill UNIQUE (trader_id, fill_id, sequence),
            CONSTRAINT fk_fill_corrections_fill FOREIGN KEY (trader_id, fill_id) REFERENCES fills (trader_id, id),
            CONSTRAINT fk_fill_corrections_log FOREIGN KEY (trader_id, order_id, sequence)
                REFERENCES execution_logs (trader_id, order_id, sequence) DEFERRABLE INITIALLY DEFERRED,
            CONSTRAINT ck_fill_corrections_amounts CHECK (
                (quantity = 0) = (price IS NULL) AND quantity >= 0 AND coalesce(price > 0 AND price <> 'NaN', true)
                AND commission >= 0 AND commission <> 'NaN')
        );
        COMMENT ON TABLE fill_corrections IS 'Corrections and busts of fills: the newest of a fill is what stands';
        COMMENT ON COLUMN fill_corrections.sequence IS 'Number of the event that recorded the correction';
        COMMENT ON COLUMN fill_corrections.execution_id IS 'The venue''s id of the correction itself (FIX ExecID)';
        COMMENT ON COLUMN fill_corrections.quantity IS 'Shares that stand; 0: the fill is busted';

        CREATE TABLE cancel_timers (
            trader_id uuid NOT NULL,
            timeout interval NOT NULL,
            fires_at timestamptz NOT NULL,
            set_at timestamptz NOT NULL,
            actor varchar(100) NOT NULL,
            request_id varchar(64) NOT NULL,
            CONSTRAINT cancel_timers_pkey PRIMARY KEY (trader_id),
            CONSTRAINT cancel_timers_trader_id_fkey FOREIGN KEY (trader_id) REFERENCES traders (id)
        );
        COMMENT ON TABLE cancel_timers IS 'When a trader''s open orders are cancelled unless the timer is set again';
        CREATE INDEX idx_cancel_timers_fires_at ON cancel_timers (fires_at);

        DO $$
        DECLARE
            v_table text;
            v_column text;
        BEGIN
            FOR v_table, v_column IN
                SELECT * FROM (VALUES
                    ('orders', 'account'), ('orders', 'labels'), ('orders', 'parent_order_id'),
                    ('orders', 'pending_key'), ('orders', 'pending_terms'), ('orders', 'status_reason'),
                    ('orders', 'security_id'),
                    ('execution_logs', 'account'), ('execution_logs', 'labels'), ('execution_logs', 'parent_order_id'),
                    ('execution_logs', 'pending_key'), ('execution_logs', 'pending_terms'),
                    ('execution_logs', 'status_reason'), ('execution_logs', 'security_id'),
                    ('execution_logs', 'request_key'), ('execution_logs', 'answered_key'), ('execution_logs', 'terms'),
                    ('execution_logs', 'ref_execution_id'),
                    ('fill_corrections', 'trader_id'), ('fill_corrections', 'id'), ('fill_corrections', 'order_id'),
                    ('fill_corrections', 'fill_id'), ('fill_corrections', 'execution_id'),
                    ('fill_corrections', 'reason'), ('cancel_timers', 'trader_id'), ('cancel_timers', 'actor'),
                    ('cancel_timers', 'request_id')) AS ids
            LOOP
                EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET STATISTICS 0', v_table, v_column);
            END LOOP;
        END $$;
    """)


def downgrade() -> None:
    """Refuse what the older schema cannot hold; then drop the tables and columns, and create the old enumerations."""
    op.run_sql("""
        SET LOCAL lock_timeout = '5s';
        LOCK TABLE orders, fills, execution_logs, fill_corrections, cancel_timers IN ACCESS EXCLUSIVE MODE;

        -- The policies hide every row from the owner.
        ALTER TABLE orders NO FORCE ROW LEVEL SECURITY;
        ALTER TABLE execution_logs NO FORCE ROW LEVEL SECURITY;
        DO $$
        DECLARE
            v_found text;
        BEGIN
            SELECT string_agg(format('%s (%s)', kind, number), ', ' ORDER BY place) INTO v_found FROM (VALUES
                (1, 'corrections of fills', (SELECT count(*) FROM fill_corrections)),
                (2, 'running cancel timers', (SELECT count(*) FROM cancel_timers)),
                (3, 'STOP_LIMIT orders', (SELECT count(*) FROM orders WHERE order_type = 'STOP_LIMIT')),
                (4, 'events with an action that it does not know', (
                    SELECT count(*) FROM execution_logs
                    WHERE action IN ('CANCEL_REQUESTED', 'REPLACE_REQUESTED', 'REPLACED', 'CANCEL_REFUSED',
                        'REPLACE_REFUSED', 'RESTATED', 'DONE_FOR_DAY', 'FILL_CORRECTED', 'FILL_BUSTED')))
            ) AS kinds (place, kind, number)
            WHERE number > 0;
            IF v_found IS NOT NULL THEN
                RAISE EXCEPTION 'Cannot downgrade: revision 018 cannot hold %.', v_found
                    USING ERRCODE = 'object_not_in_prerequisite_state';
            END IF;
        END $$;
        ALTER TABLE orders FORCE ROW LEVEL SECURITY;
        ALTER TABLE execution_logs FORCE ROW LEVEL SECURITY;

        DROP TABLE cancel_timers;
        DROP TABLE fill_corrections;
        ALTER TABLE fills DROP COLUMN trade_date;

        -- A value cannot be removed from an enumeration. What names its type is dropped, and created again as it was.
        DROP POLICY execution_logs_trader_logs_own ON execution_logs;
        DROP POLICY execution_logs_execution_logs_named ON execution_logs;
        ALTER TABLE orders
            DROP CONSTRAINT ck_orders_limit_requires_price,
            DROP CONSTRAINT ck_orders_market_has_no_price;
        DO $$
        DECLARE
            v_submit text := pg_get_functiondef('submit_order'::regproc);
            v_report text := pg_get_functiondef('report_execution'::regproc);
        BEGIN
            DROP FUNCTION submit_order, report_execution;
            ALTER TYPE action_enum RENAME TO action_enum_of_019;
            ALTER TYPE order_type_enum RENAME TO order_type_enum_of_019;
            CREATE TYPE action_enum AS ENUM (
                'SUBMITTED', 'APPROVED', 'EXECUTED', 'FILLED', 'REJECTED', 'CANCELLED', 'RECOVERED');
            CREATE TYPE order_type_enum AS ENUM ('MARKET', 'LIMIT', 'STOP');
            ALTER TABLE orders
                ALTER COLUMN order_type TYPE order_type_enum USING order_type::text::order_type_enum,
                ALTER COLUMN filled_notional TYPE numeric(28,8),
                DROP COLUMN excess_quantity,
                DROP COLUMN stop_price,
                DROP COLUMN time_in_force,
                DROP COLUMN account,
                DROP COLUMN labels,
                DROP COLUMN parent_order_id,
                DROP COLUMN currency,
                DROP COLUMN security_id,
                DROP COLUMN security_id_source,
                DROP COLUMN short_sale,
                DROP COLUMN exempt_from_cancel_timer,
                DROP COLUMN at_venue,
                DROP COLUMN closed_as,
                DROP COLUMN status_reason,
                DROP COLUMN pending_kind,
                DROP COLUMN pending_key,
                DROP COLUMN pending_sequence,
                DROP COLUMN pending_terms,
                DROP COLUMN expiry_requested;
            ALTER TABLE execution_logs
                ALTER COLUMN action TYPE action_enum USING action::text::action_enum,
                ALTER COLUMN order_type TYPE order_type_enum USING order_type::text::order_type_enum,
                ALTER COLUMN filled_notional TYPE numeric(28,8),
                DROP COLUMN leaf_version,
                DROP COLUMN excess_quantity,
                DROP COLUMN stop_price,
                DROP COLUMN time_in_force,
                DROP COLUMN account,
                DROP COLUMN labels,
                DROP COLUMN parent_order_id,
                DROP COLUMN currency,
                DROP COLUMN security_id,
                DROP COLUMN security_id_source,
                DROP COLUMN short_sale,
                DROP COLUMN exempt_from_cancel_timer,
                DROP COLUMN at_venue,
                DROP COLUMN status_reason,
                DROP COLUMN pending_kind,
                DROP COLUMN pending_key,
                DROP COLUMN pending_terms,
                DROP COLUMN request_key,
                DROP COLUMN request_digest,
                DROP COLUMN answered_key,
                DROP COLUMN terms,
                DROP COLUMN trade_date,
                DROP COLUMN ref_execution_id;
            EXECUTE v_submit;
            EXECUTE v_report;
        END $$;
        DROP TYPE action_enum_of_019, order_type_enum_of_019, time_in_force_enum, security_id_source_enum,
            short_sale_enum, request_kind_enum;
        ALTER TABLE orders
            ADD CONSTRAINT ck_orders_limit_requires_price CHECK (order_type = 'MARKET' OR price IS NOT NULL),
            ADD CONSTRAINT ck_orders_market_has_no_price CHECK (order_type <> 'MARKET' OR price IS NULL);
        COMMENT ON FUNCTION submit_order IS
            'Enter an order. APPLIED, REPLAYED, CLIENT_ORDER_ID_REUSED, EXPIRE_TIME_PAST or VALID';
        COMMENT ON FUNCTION report_execution IS
            'Record a report. APPLIED, REPLAYED, OVERFILL, ORDER_CLOSED, ORDER_NOT_FOUND, REPORT_ID_REUSED or '
            'EXECUTION_ID_REUSED';
        REVOKE ALL ON FUNCTION submit_order, report_execution FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION submit_order TO blotter_trader;
        GRANT EXECUTE ON FUNCTION report_execution TO blotter_execution;
        CREATE POLICY execution_logs_trader_logs_own ON execution_logs FOR INSERT TO blotter_trader
            WITH CHECK (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid
                        AND action IN ('SUBMITTED', 'CANCELLED'));
        CREATE POLICY execution_logs_execution_logs_named ON execution_logs FOR INSERT TO blotter_execution
            WITH CHECK (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid
                        AND action <> 'SUBMITTED');
    """)
