-- The schema that the revisions in alembic/versions build, as pg_dump of PostgreSQL 18 prints it.
-- Generated: change a revision, not this file, and run `make schema`. A test compares the two.
-- Loads into an empty database as blotter_owner, with the logins of sql/roles.sql there.
--
-- The revisions also do one thing that pg_dump omits: nobody may create schemas or temporary
-- tables in the database (REVOKE CREATE, TEMPORARY ON DATABASE ... FROM PUBLIC).

SET check_function_bodies = false;

CREATE TYPE public.action_enum AS ENUM (
    'SUBMITTED',
    'APPROVED',
    'EXECUTED',
    'FILLED',
    'REJECTED',
    'CANCELLED',
    'RECOVERED',
    'CANCEL_REQUESTED',
    'REPLACE_REQUESTED',
    'REPLACED',
    'CANCEL_REFUSED',
    'REPLACE_REFUSED',
    'RESTATED',
    'DONE_FOR_DAY',
    'FILL_CORRECTED',
    'FILL_BUSTED'
);

CREATE TYPE public.order_side_enum AS ENUM (
    'BUY',
    'SELL'
);

CREATE TYPE public.order_status_enum AS ENUM (
    'PENDING',
    'FILLED',
    'PARTIAL',
    'REJECTED',
    'CANCELLED'
);

CREATE TYPE public.order_type_enum AS ENUM (
    'MARKET',
    'LIMIT',
    'STOP',
    'STOP_LIMIT'
);

CREATE TYPE public.request_kind_enum AS ENUM (
    'CANCEL',
    'REPLACE'
);

CREATE TYPE public.security_id_source_enum AS ENUM (
    'ISIN',
    'FIGI',
    'CUSIP'
);

CREATE TYPE public.short_sale_enum AS ENUM (
    'SELL_SHORT',
    'SELL_SHORT_EXEMPT'
);

CREATE TYPE public.time_in_force_enum AS ENUM (
    'DAY',
    'GTC',
    'IOC',
    'FOK',
    'GTD'
);

CREATE FUNCTION public.act_as(p_trader_id uuid, p_desk_id uuid DEFAULT NULL::uuid, p_identity text DEFAULT NULL::text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    DECLARE
        v_disabled_at timestamptz;
        v_known boolean;
    BEGIN
        PERFORM set_config('app.trader_id', coalesce(p_trader_id::text, ''), true),
            set_config('app.desk_id', coalesce(p_desk_id::text, ''), true),
            set_config('app.identity', coalesce(p_identity, ''), true);
        IF NOT identity_is_signed() THEN
            RAISE EXCEPTION 'The identity is not signed with a key in use, or its signature has expired.'
                USING ERRCODE = 'insufficient_privilege', CONSTRAINT = 'identity_is_signed';
        END IF;
        IF p_desk_id IS NOT NULL THEN
            RETURN EXISTS (SELECT FROM desks WHERE id = p_desk_id);
        ELSIF p_trader_id IS NULL THEN
            RETURN true;
        END IF;
        SELECT disabled_at INTO v_disabled_at FROM traders WHERE id = p_trader_id;
        v_known := FOUND;
        IF v_disabled_at IS NOT NULL AND current_user = 'blotter_trader' THEN
            -- An error, because after a returned value the rest of the message would still run.
            RAISE EXCEPTION 'Refused by traders_are_enabled.' USING
                ERRCODE = 'check_violation', CONSTRAINT = 'traders_are_enabled', TABLE = 'traders';
        END IF;
        RETURN v_known;
    END $$;

COMMENT ON FUNCTION public.act_as(p_trader_id uuid, p_desk_id uuid, p_identity text) IS 'Set the trader or the desk of the transaction; returns false for an unknown one; refuses a disabled trader';

CREATE FUNCTION public.acting_trader() RETURNS uuid
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    DECLARE
        v_trader_id text := nullif(current_setting('app.trader_id', true), '');
    BEGIN
        IF v_trader_id IS NULL THEN
            RAISE EXCEPTION 'No trader is named: call act_as() in the same transaction.'
                USING ERRCODE = 'insufficient_privilege';
        ELSIF NOT identity_is_signed() THEN
            RAISE EXCEPTION 'The identity is not signed with a key in use, or its signature has expired.'
                USING ERRCODE = 'insufficient_privilege', CONSTRAINT = 'identity_is_signed';
        END IF;
        RETURN v_trader_id;
    END $$;

COMMENT ON FUNCTION public.acting_trader() IS 'The trader that act_as() named for the transaction; an error without one';

CREATE FUNCTION public.append_note_to_ledger(p_size bigint, p_kind text, p_leaf bytea) RETURNS TABLE(entry_position bigint, entry_hash bytea)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
        BEGIN
            PERFORM FROM ledger_head WHERE size = p_size FOR UPDATE;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'The ledger has not % entries.', p_size
                    USING ERRCODE = 'serialization_failure', CONSTRAINT = 'ledger_head_is_as_expected';
            END IF;
            RETURN QUERY INSERT INTO ledger_entries (position, kind, leaf) VALUES (p_size, p_kind, p_leaf)
                RETURNING position, leaf_hash;
            UPDATE ledger_head SET size = p_size + 1;
        END $$;

COMMENT ON FUNCTION public.append_note_to_ledger(p_size bigint, p_kind text, p_leaf bytea) IS 'Append what is recorded of the ledger itself: KEYS or BASELINE';

CREATE FUNCTION public.append_to_ledger(p_size bigint, p_most integer) RETURNS TABLE(entry_position bigint, entry_hash bytea)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    DECLARE
        v_incarnation text := ledger_incarnation();
        v_head ledger_head;
        v_locked ledger_head;
        v_now pg_snapshot;
        v_news record;
        v_traders uuid[];
        v_after bigint[];
        v_share bigint;
        v_appended bigint;
    BEGIN
        SELECT ledger_head.* INTO v_head FROM ledger_head;
        -- After the head, so that it cannot be ahead; before the logs, so that what commits in between comes again.
        v_now := pg_current_snapshot();
        IF v_head.size IS DISTINCT FROM p_size THEN
            RAISE EXCEPTION 'The ledger has % entries, not %.', v_head.size, p_size
                USING ERRCODE = 'serialization_failure', CONSTRAINT = 'ledger_head_is_as_expected';
        ELSIF v_head.incarnation <> v_incarnation
           OR v_head.next_xid > pg_snapshot_xmax(v_now)::text::bigint THEN
            RAISE EXCEPTION 'The ledger belongs to another database.'
                USING ERRCODE = 'object_not_in_prerequisite_state', CONSTRAINT = 'ledger_head_is_of_this_database';
        END IF;
        IF v_head.next_xid IS NULL THEN
            -- At first, and after a rebaseline: all traders.
            SELECT ARRAY(SELECT trader_id FROM trader_sequences) AS traders,
                pg_snapshot_xmax(v_now)::text::bigint AS before_xid INTO v_news;
        ELSE
            SELECT * INTO v_news FROM traders_with_news(v_head, v_now, p_most);
            -- Without news nothing is locked or written.
            IF v_news.traders = '{}' THEN
                RETURN;
            END IF;
        END IF;
        SELECT ledger_head.* INTO v_locked FROM ledger_head FOR UPDATE;
        IF v_locked IS DISTINCT FROM v_head THEN
            RAISE EXCEPTION 'The ledger has % entries, not %.', v_locked.size, p_size
                USING ERRCODE = 'serialization_failure', CONSTRAINT = 'ledger_head_is_as_expected';
        END IF;

        -- The ledger first, then the logs: no statement joins the two.
        SELECT coalesce(array_agg(trader_id), '{}'), coalesce(array_agg(after_sequence), '{}')
        INTO v_traders, v_after FROM (
            SELECT trader_id, coalesce((
                SELECT sequence FROM ledger_entries WHERE ledger_entries.trader_id = hinted.trader_id
                ORDER BY ledger_entries.trader_id DESC, sequence DESC LIMIT 1), 0) AS after_sequence
            FROM (SELECT DISTINCT unnest(v_news.traders) AS trader_id) AS hinted) AS kept;
        SELECT coalesce(array_agg(trader_id), '{}'), coalesce(array_agg(after_sequence), '{}')
        INTO v_traders, v_after FROM (
            SELECT trader_id, after_sequence FROM unnest(v_traders, v_after) AS hinted (trader_id, after_sequence)
            CROSS JOIN LATERAL (
                SELECT FROM execution_logs
                WHERE execution_logs.trader_id = hinted.trader_id AND sequence > after_sequence
                ORDER BY execution_logs.trader_id, sequence LIMIT 1) AS news
            LIMIT p_most) AS missing;
        -- The same share for all, so that nobody waits until another's backlog is done.
        v_share := greatest(p_most / greatest(cardinality(v_traders), 1), 1);

        RETURN QUERY
        WITH found AS (
            SELECT log.trader_id, log.sequence, log.leaf, max(log.xid) OVER (
                PARTITION BY log.trader_id ORDER BY log.sequence) AS xid
            FROM unnest(v_traders, v_after) AS missing (trader_id, after_sequence) CROSS JOIN LATERAL (
                SELECT trader_id, sequence, coalesce(xid, 0) AS xid, execution_log_leaf(execution_logs) AS leaf
                FROM execution_logs
                WHERE execution_logs.trader_id = missing.trader_id AND sequence > after_sequence
                ORDER BY execution_logs.trader_id, sequence LIMIT v_share) AS log
        )
        INSERT INTO ledger_entries (position, kind, trader_id, sequence, leaf)
        SELECT p_size - 1 + row_number() OVER (ORDER BY xid, trader_id, sequence), 'EXECUTION_LOG', trader_id,
               sequence, leaf
        FROM found ORDER BY 1
        RETURNING position, leaf_hash;
        GET DIAGNOSTICS v_appended = ROW_COUNT;

        IF cardinality(v_traders) >= p_most OR EXISTS (
                SELECT FROM unnest(v_traders, v_after) AS missing (trader_id, after_sequence) CROSS JOIN LATERAL (
                    SELECT FROM execution_logs
                    WHERE execution_logs.trader_id = missing.trader_id AND sequence > after_sequence + v_share
                    ORDER BY execution_logs.trader_id, sequence LIMIT 1) AS rest) THEN
            -- There is more: the hints stay, and bring it again.
            UPDATE ledger_head SET size = p_size + v_appended, incarnation = v_incarnation;
        ELSE
            UPDATE ledger_head SET
                size = p_size + v_appended,
                incarnation = v_incarnation,
                next_xid = greatest(v_head.next_xid, v_news.before_xid),
                open_xids = ARRAY(
                    SELECT xid FROM unnest(v_head.open_xids) AS xid WHERE xid >= v_news.before_xid
                    UNION
                    SELECT xid::text::bigint FROM pg_snapshot_xip(v_now) AS xid
                    WHERE xid::text::bigint < greatest(v_head.next_xid, v_news.before_xid));
        END IF;
    END $$;

COMMENT ON FUNCTION public.append_to_ledger(p_size bigint, p_most integer) IS 'Append what was committed since the last call; the new entries';

CREATE TABLE public.execution_logs (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    order_id uuid NOT NULL,
    trader_id uuid NOT NULL,
    action public.action_enum NOT NULL,
    status public.order_status_enum NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    reason text,
    retry_attempt integer DEFAULT 0 NOT NULL,
    error_code character varying(50),
    created_at timestamp with time zone NOT NULL,
    report_id character varying(64),
    report_digest bytea,
    sequence bigint NOT NULL,
    previous_sequence bigint GENERATED ALWAYS AS (NULLIF((sequence - 1), 0)) STORED,
    refused boolean DEFAULT false NOT NULL,
    actor character varying(100) NOT NULL,
    request_id character varying(64) NOT NULL,
    client_order_id character varying(64) NOT NULL,
    symbol character varying(22) NOT NULL,
    side public.order_side_enum NOT NULL,
    order_type public.order_type_enum NOT NULL,
    quantity integer NOT NULL,
    price numeric(18,8),
    stop_loss numeric(18,8),
    take_profit numeric(18,8),
    expires_at timestamp with time zone,
    order_created_at timestamp with time zone NOT NULL,
    filled_quantity integer NOT NULL,
    filled_notional numeric(38,8) NOT NULL,
    venue character varying(50),
    fill_id uuid,
    execution_id character varying(64),
    fill_quantity integer,
    fill_price numeric(18,8),
    fill_commission numeric(18,8),
    login text DEFAULT SESSION_USER,
    xid bigint DEFAULT ((pg_current_xact_id())::text)::bigint,
    leaf_version smallint DEFAULT 2 NOT NULL,
    excess_quantity bigint DEFAULT 0 NOT NULL,
    stop_price numeric(18,8),
    time_in_force public.time_in_force_enum,
    account character varying(64),
    labels jsonb,
    parent_order_id character varying(64),
    currency character varying(3),
    security_id character varying(64),
    security_id_source public.security_id_source_enum,
    short_sale public.short_sale_enum,
    exempt_from_cancel_timer boolean DEFAULT false NOT NULL,
    at_venue boolean DEFAULT false NOT NULL,
    status_reason text,
    pending_kind public.request_kind_enum,
    pending_key character varying(64),
    pending_terms jsonb,
    request_key character varying(64),
    request_digest bytea,
    answered_key character varying(64),
    terms jsonb,
    trade_date date,
    ref_execution_id character varying(64)
);
ALTER TABLE ONLY public.execution_logs ALTER COLUMN id SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN order_id SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN trader_id SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN reason SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN report_id SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN actor SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN request_id SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN client_order_id SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN fill_id SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN execution_id SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN account SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN labels SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN parent_order_id SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN security_id SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN status_reason SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN pending_key SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN pending_terms SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN request_key SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN answered_key SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN terms SET STATISTICS 0;
ALTER TABLE ONLY public.execution_logs ALTER COLUMN ref_execution_id SET STATISTICS 0;

ALTER TABLE ONLY public.execution_logs FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.execution_logs IS 'Append-only audit trail';

COMMENT ON COLUMN public.execution_logs.id IS 'Unique log identifier';

COMMENT ON COLUMN public.execution_logs.action IS 'What happened';

COMMENT ON COLUMN public.execution_logs.status IS 'Status of the order after the event';

COMMENT ON COLUMN public.execution_logs."timestamp" IS 'When it happened';

COMMENT ON COLUMN public.execution_logs.reason IS 'Error or action reason';

COMMENT ON COLUMN public.execution_logs.retry_attempt IS 'Retry count';

COMMENT ON COLUMN public.execution_logs.error_code IS 'Exchange error code';

COMMENT ON COLUMN public.execution_logs.created_at IS 'When it was recorded';

COMMENT ON COLUMN public.execution_logs.report_id IS 'The gateway''s id of the report';

COMMENT ON COLUMN public.execution_logs.report_digest IS 'SHA-256 of what was reported';

COMMENT ON COLUMN public.execution_logs.sequence IS 'Number among the trader''s events: dense, in commit order';

COMMENT ON COLUMN public.execution_logs.refused IS 'The report was refused; the order is unchanged';

COMMENT ON COLUMN public.execution_logs.actor IS 'Who acted';

COMMENT ON COLUMN public.execution_logs.login IS 'The database login that wrote the log';

COMMENT ON COLUMN public.execution_logs.xid IS 'The transaction that wrote the log';

COMMENT ON COLUMN public.execution_logs.leaf_version IS 'Version of the leaf in the ledger';

COMMENT ON COLUMN public.execution_logs.request_key IS 'Key of the request that the event records';

COMMENT ON COLUMN public.execution_logs.request_digest IS 'SHA-256 of what was requested';

COMMENT ON COLUMN public.execution_logs.answered_key IS 'Key of the request that the event settles';

COMMENT ON COLUMN public.execution_logs.terms IS 'The terms that the event asks for or sets';

COMMENT ON COLUMN public.execution_logs.trade_date IS 'Trade date of the fill or correction (FIX tag 75)';

COMMENT ON COLUMN public.execution_logs.ref_execution_id IS 'The fill that a correction is about (FIX tag 19)';

CREATE TABLE public.orders (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    trader_id uuid NOT NULL,
    symbol character varying(22) NOT NULL,
    side public.order_side_enum NOT NULL,
    quantity integer NOT NULL,
    order_type public.order_type_enum NOT NULL,
    price numeric(18,8),
    stop_loss numeric(18,8),
    take_profit numeric(18,8),
    status public.order_status_enum DEFAULT 'PENDING'::public.order_status_enum NOT NULL,
    filled_quantity integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    filled_notional numeric(38,8) DEFAULT 0 NOT NULL,
    client_order_id character varying(64) NOT NULL,
    request_digest bytea NOT NULL,
    last_sequence bigint NOT NULL,
    excess_quantity bigint DEFAULT 0 NOT NULL,
    stop_price numeric(18,8),
    time_in_force public.time_in_force_enum,
    account character varying(64),
    labels jsonb,
    parent_order_id character varying(64),
    currency character varying(3),
    security_id character varying(64),
    security_id_source public.security_id_source_enum,
    short_sale public.short_sale_enum,
    exempt_from_cancel_timer boolean DEFAULT false NOT NULL,
    at_venue boolean DEFAULT false NOT NULL,
    closed_as public.order_status_enum,
    status_reason text,
    pending_kind public.request_kind_enum,
    pending_key character varying(64),
    pending_sequence bigint,
    pending_terms jsonb,
    expiry_requested boolean DEFAULT false NOT NULL,
    CONSTRAINT ck_orders_filled_lte_quantity CHECK ((filled_quantity <= quantity)),
    CONSTRAINT ck_orders_filled_quantity_nonnegative CHECK ((filled_quantity >= 0)),
    CONSTRAINT ck_orders_limit_requires_price CHECK (((order_type = 'MARKET'::public.order_type_enum) OR (price IS NOT NULL))),
    CONSTRAINT ck_orders_price_positive CHECK (((price IS NULL) OR (price > (0)::numeric))),
    CONSTRAINT ck_orders_quantity_positive CHECK ((quantity > 0))
);
ALTER TABLE ONLY public.orders ALTER COLUMN id SET STATISTICS 0;
ALTER TABLE ONLY public.orders ALTER COLUMN trader_id SET STATISTICS 0;
ALTER TABLE ONLY public.orders ALTER COLUMN client_order_id SET STATISTICS 0;
ALTER TABLE ONLY public.orders ALTER COLUMN account SET STATISTICS 0;
ALTER TABLE ONLY public.orders ALTER COLUMN labels SET STATISTICS 0;
ALTER TABLE ONLY public.orders ALTER COLUMN parent_order_id SET STATISTICS 0;
ALTER TABLE ONLY public.orders ALTER COLUMN security_id SET STATISTICS 0;
ALTER TABLE ONLY public.orders ALTER COLUMN status_reason SET STATISTICS 0;
ALTER TABLE ONLY public.orders ALTER COLUMN pending_key SET STATISTICS 0;
ALTER TABLE ONLY public.orders ALTER COLUMN pending_terms SET STATISTICS 0;

ALTER TABLE ONLY public.orders FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.orders IS 'Order requests with their lifecycle';

COMMENT ON COLUMN public.orders.id IS 'Unique order identifier';

COMMENT ON COLUMN public.orders.symbol IS 'Stock symbol';

COMMENT ON COLUMN public.orders.side IS 'Buy or sell';

COMMENT ON COLUMN public.orders.quantity IS 'Shares ordered';

COMMENT ON COLUMN public.orders.price IS 'Limit or stop price';

COMMENT ON COLUMN public.orders.stop_loss IS 'Risk management';

COMMENT ON COLUMN public.orders.take_profit IS 'Risk management';

COMMENT ON COLUMN public.orders.filled_quantity IS 'Shares filled so far';

COMMENT ON COLUMN public.orders.created_at IS 'When the order was entered';

COMMENT ON COLUMN public.orders.updated_at IS 'When the order last changed';

COMMENT ON COLUMN public.orders.expires_at IS 'When the order expires';

COMMENT ON COLUMN public.orders.client_order_id IS 'The trader''s own id (FIX ClOrdID)';

COMMENT ON COLUMN public.orders.request_digest IS 'SHA-256 of what was asked for';

COMMENT ON COLUMN public.orders.last_sequence IS 'Number of the order''s last event';

COMMENT ON COLUMN public.orders.excess_quantity IS 'Shares filled beyond the quantity';

COMMENT ON COLUMN public.orders.stop_price IS 'Price that triggers a STOP_LIMIT order';

COMMENT ON COLUMN public.orders.time_in_force IS 'FIX tag 59; null: not stated';

COMMENT ON COLUMN public.orders.account IS 'FIX tag 1';

COMMENT ON COLUMN public.orders.labels IS 'Up to eight keys with values, chosen by the desk';

COMMENT ON COLUMN public.orders.parent_order_id IS 'The order that this one is a part of, in the desk''s own system';

COMMENT ON COLUMN public.orders.currency IS 'ISO 4217';

COMMENT ON COLUMN public.orders.security_id IS 'FIX tag 48';

COMMENT ON COLUMN public.orders.security_id_source IS 'FIX tag 22';

COMMENT ON COLUMN public.orders.short_sale IS 'FIX tag 54, values 5 and 6';

COMMENT ON COLUMN public.orders.exempt_from_cancel_timer IS 'The trader''s cancel timer leaves the order open';

COMMENT ON COLUMN public.orders.at_venue IS 'A gateway has the order: cancels and replaces wait for its answer';

COMMENT ON COLUMN public.orders.closed_as IS 'What closed the order other than its fills: CANCELLED or REJECTED';

COMMENT ON COLUMN public.orders.status_reason IS 'Why the order was closed';

COMMENT ON COLUMN public.orders.pending_kind IS 'The request that waits for the venue''s answer';

COMMENT ON COLUMN public.orders.pending_key IS 'Its key';

COMMENT ON COLUMN public.orders.pending_sequence IS 'Number of the event that recorded it';

COMMENT ON COLUMN public.orders.pending_terms IS 'The terms that it asks for';

COMMENT ON COLUMN public.orders.expiry_requested IS 'The blotter has asked the venue to cancel the expired order';

CREATE FUNCTION public.apply_event(INOUT state public.orders, INOUT event public.execution_logs, p_quantity bigint, p_notional numeric, OUT refusal text) RETURNS record
    LANGUAGE plpgsql STABLE
    AS $$
    DECLARE
        v_open boolean := state.status IN ('PENDING', 'PARTIAL');
        v_excess bigint := state.excess_quantity;
        v_total bigint;
        v_closes order_status_enum;
        v_reason text := event.reason;
        v_answered boolean := false;
    BEGIN
        CASE event.action
        WHEN 'SUBMITTED' THEN
            refusal := terms_violation(state);
        WHEN 'APPROVED' THEN
            IF NOT v_open THEN
                refusal := 'ORDER_CLOSED';
            END IF;
        WHEN 'EXECUTED', 'RECOVERED', 'FILLED' THEN
            state.at_venue := true;
        WHEN 'FILL_CORRECTED', 'FILL_BUSTED' THEN
            NULL;
        WHEN 'REJECTED' THEN
            IF v_open THEN
                v_closes := 'REJECTED';
            ELSE
                refusal := 'ORDER_CLOSED';
            END IF;
        WHEN 'CANCELLED' THEN
            IF state.closed_as = 'REJECTED' THEN
                refusal := 'ORDER_CLOSED';
            ELSIF state.closed_as IS NULL THEN
                v_closes := 'CANCELLED';
                IF state.pending_kind = 'CANCEL' THEN
                    -- Why the blotter asked for it is why it is cancelled, whatever the venue adds.
                    SELECT CASE WHEN reason IN ('EXPIRED', 'DISCONNECTED') THEN reason ELSE coalesce(v_reason, reason)
                           END INTO v_reason
                    FROM execution_logs WHERE trader_id = state.trader_id AND sequence = state.pending_sequence;
                END IF;
            END IF;
        WHEN 'CANCEL_REQUESTED' THEN
            IF NOT v_open THEN
                refusal := 'ORDER_CLOSED';
            ELSIF state.pending_kind IS NOT NULL THEN
                refusal := 'REQUEST_PENDING';
            ELSIF state.at_venue THEN
                state.pending_kind := 'CANCEL';
            ELSE
                event.action := 'CANCELLED';
                v_closes := 'CANCELLED';
            END IF;
        WHEN 'REPLACE_REQUESTED' THEN
            IF state.closed_as IS NOT NULL THEN
                refusal := 'ORDER_CLOSED';
            ELSIF state.pending_kind IS NOT NULL THEN
                refusal := 'REQUEST_PENDING';
            ELSIF event.terms ? 'expires_at' AND (event.terms ->> 'expires_at')::timestamptz <= event.created_at THEN
                refusal := 'EXPIRE_TIME_PAST';
            ELSE
                refusal := terms_violation(with_terms(state, event.terms));
            END IF;
            IF refusal IS NOT NULL THEN
                NULL;
            ELSIF state.at_venue THEN
                state.pending_kind := 'REPLACE';
                state.pending_terms := event.terms;
            ELSE
                event.action := 'REPLACED';
                state := with_terms(state, event.terms);
            END IF;
        WHEN 'REPLACED' THEN
            IF state.pending_kind IS DISTINCT FROM 'REPLACE' OR event.answered_key <> state.pending_key THEN
                refusal := 'REQUEST_NOT_PENDING';
            ELSE
                event.terms := state.pending_terms;
                state := with_terms(state, event.terms);
                v_answered := true;
            END IF;
        WHEN 'CANCEL_REFUSED' THEN
            v_answered := state.pending_kind = 'CANCEL' AND coalesce(event.answered_key = state.pending_key, true);
        WHEN 'REPLACE_REFUSED' THEN
            v_answered := state.pending_kind = 'REPLACE' AND coalesce(event.answered_key = state.pending_key, true);
        WHEN 'RESTATED' THEN
            state.at_venue := true;
            state := with_terms(state, CASE state.order_type WHEN 'MARKET' THEN event.terms - 'price'
                                                             ELSE event.terms END);
        WHEN 'DONE_FOR_DAY' THEN
            state.at_venue := true;
            -- As in FIX, an order without a time in force is a day order. A filled one is closed too: a bust does not
            -- open it again.
            IF state.closed_as IS NULL AND (state.time_in_force NOT IN ('GTC', 'GTD')
                           OR state.time_in_force IS NULL AND state.expires_at IS NULL) THEN
                v_closes := 'CANCELLED';
                v_reason := 'DONE_FOR_DAY';
            END IF;
        END CASE;
        IF refusal IS NOT NULL THEN
            RETURN;
        END IF;

        IF v_closes IS NOT NULL THEN
            state.closed_as := v_closes;
            state.status_reason := v_reason;
            v_answered := state.pending_kind IS NOT NULL;
        END IF;
        IF event.action IN ('CANCEL_REQUESTED', 'REPLACE_REQUESTED') THEN
            IF event.request_key IS NULL THEN
                event.request_key := gen_random_uuid()::text;
                event.request_digest := sha256(convert_to(event.request_key, 'UTF8'));
            END IF;
            state.pending_key := event.request_key;
            state.pending_sequence := event.sequence;
        ELSIF v_answered THEN
            event.answered_key := state.pending_key;
            state.pending_kind := NULL;
            state.pending_key := NULL;
            state.pending_sequence := NULL;
            state.pending_terms := NULL;
        ELSE
            event.answered_key := NULL;  -- the report named a request that is not pending
        END IF;
        v_total := state.filled_quantity + state.excess_quantity + p_quantity;
        state.filled_notional := state.filled_notional + p_notional;
        state.filled_quantity := least(v_total, state.quantity);
        state.excess_quantity := v_total - state.filled_quantity;
        IF event.action = 'FILLED' THEN
            event.reason := CASE WHEN state.excess_quantity > v_excess THEN 'OVERFILL'
                                 WHEN state.closed_as IS NOT NULL THEN 'LATE_FILL' END;
        END IF;
        state.status := order_status(state.quantity, state.filled_quantity, state.closed_as);
        state.last_sequence := event.sequence;
        state.updated_at := event.created_at;
    END $$;

COMMENT ON FUNCTION public.apply_event(INOUT state public.orders, INOUT event public.execution_logs, p_quantity bigint, p_notional numeric, OUT refusal text) IS 'The lifecycle: order and event as they are after the event, or its refusal. A request takes effect at once while the order is with the desk alone';

CREATE FUNCTION public.cancel_open_orders(p_symbol text, p_reason text, p_actor text, p_request_id text, p_most integer) RETURNS TABLE(order_id uuid, requested boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    DECLARE
        v_trader_id uuid := acting_trader();
        -- The lock comes first: what is read after it, nobody else changes.
        v_sequence bigint := lock_sequence();
    BEGIN
        RETURN QUERY SELECT * FROM cancel_orders(ARRAY(
            SELECT id FROM orders
            WHERE trader_id = v_trader_id AND status IN ('PENDING', 'PARTIAL') AND pending_kind IS NULL
              AND (p_symbol IS NULL OR symbol = p_symbol)
            ORDER BY created_at, id LIMIT p_most), v_sequence, p_reason, p_actor, p_request_id);
    END $$;

COMMENT ON FUNCTION public.cancel_open_orders(p_symbol text, p_reason text, p_actor text, p_request_id text, p_most integer) IS 'Cancel the trader''s open orders, the oldest so many; those with a pending request stay';

CREATE FUNCTION public.cancel_order(p_order_id uuid, p_client_order_id text, p_request_key text, p_request_digest bytea, p_reason text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    DECLARE
        v_result record;
    BEGIN
        v_result := request_order('CANCEL_REQUESTED', p_order_id, p_client_order_id, p_request_key, p_request_digest,
                                  NULL, NULL, p_reason, p_actor, p_request_id);
        outcome := v_result.outcome;
        recorded := v_result.recorded;
    END $$;

COMMENT ON FUNCTION public.cancel_order(p_order_id uuid, p_client_order_id text, p_request_key text, p_request_digest bytea, p_reason text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) IS 'Cancel an order, or ask its venue to. APPLIED, REPLAYED, ORDER_NOT_FOUND, ORDER_CLOSED, REQUEST_PENDING or REQUEST_KEY_REUSED';

CREATE FUNCTION public.cancel_orders(p_order_ids uuid[], p_sequence bigint, p_reason text, p_actor text, p_request_id text) RETURNS TABLE(order_id uuid, requested boolean)
    LANGUAGE plpgsql
    AS $$
    DECLARE
        v_trader_id uuid := acting_trader();
        v_state orders;
        v_event execution_logs;
        v_result record;
    BEGIN
        FOREACH order_id IN ARRAY p_order_ids LOOP
            SELECT orders.* INTO v_state FROM orders WHERE trader_id = v_trader_id AND id = order_id;
            IF p_reason = 'EXPIRED' THEN
                v_state.expiry_requested := true;  -- the blotter asks once
            END IF;
            p_sequence := p_sequence + 1;
            v_event := NULL;
            v_event.action := 'CANCEL_REQUESTED';
            v_event.sequence := p_sequence;
            v_event.created_at := greatest(clock_timestamp(), v_state.updated_at);
            v_event.reason := p_reason;
            v_event.actor := p_actor;
            v_event.request_id := p_request_id;
            v_result := record_event(v_state, v_event, 0, 0, NULL);
            requested := (v_result.recorded).pending_kind IS NOT NULL;
            RETURN NEXT;
        END LOOP;
    END $$;

COMMENT ON FUNCTION public.cancel_orders(p_order_ids uuid[], p_sequence bigint, p_reason text, p_actor text, p_request_id text) IS 'Cancel open orders without a pending request, or ask their venue to; p_sequence is the last number given out';

CREATE FUNCTION public.canonical_decimal(p_value numeric) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
            SELECT coalesce('"' || trim_scale(p_value)::text || '"', 'null')
        $$;

CREATE FUNCTION public.canonical_json(p_text text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
            -- The escapes of to_json are those of RFC 8785: the short ones, \u00xx in lower case, and nothing else.
            SELECT coalesce(to_json(p_text)::text, 'null')
        $$;

CREATE FUNCTION public.canonical_object(p_object jsonb) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
    AS $$
        -- Names are ASCII: the order of their bytes is that of RFC 8785.
        SELECT '{' || coalesce(string_agg(canonical_json(key) || ':' || CASE jsonb_typeof(value)
            WHEN 'string' THEN canonical_json(value #>> '{}') ELSE value::text END, ',' ORDER BY key COLLATE "C"), '')
            || '}'
        FROM jsonb_each(p_object)
    $$;

COMMENT ON FUNCTION public.canonical_object(p_object jsonb) IS 'An object of strings, integers and nulls as RFC 8785 has it';

CREATE FUNCTION public.canonical_terms(p_terms jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $$
    DECLARE
        v_terms jsonb := '{}';
        v_name text;
        v_value text;
        v_canonical jsonb;
        v_valid boolean;
        v_number numeric(18,8);
        v_time timestamptz;
    BEGIN
        FOR v_name, v_value IN SELECT key, value #>> '{}' FROM jsonb_each(p_terms) LOOP
            v_canonical := 'null';
            v_valid := true;
            IF v_name = 'quantity' THEN
                v_canonical := to_jsonb(v_value::integer);
                v_valid := v_value::integer > 0;
            ELSIF v_name IN ('price', 'stop_price', 'stop_loss', 'take_profit') THEN
                v_number := v_value;
                v_canonical := to_jsonb(trim_scale(v_number)::text);
                v_valid := coalesce(v_number > 0 AND v_number <> 'NaN', true);
            ELSIF v_name = 'expires_at' THEN
                v_time := v_value;
                v_canonical := to_jsonb(to_char(v_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'));
                v_valid := coalesce(v_time >= '0001-01-01 00:00+00' AND v_time < '10000-01-01 00:00+00', true);
            ELSIF v_name = 'time_in_force' THEN
                v_canonical := to_jsonb(v_value::time_in_force_enum);
            ELSE
                v_valid := false;
            END IF;
            IF NOT coalesce(v_valid, false) THEN
                RAISE EXCEPTION 'An order cannot have the term %.', left(v_name, 20) USING ERRCODE = 'check_violation',
                    CONSTRAINT = 'terms_are_replaceable';
            END IF;
            v_terms := v_terms || jsonb_build_object(v_name, v_canonical);
        END LOOP;
        RETURN nullif(v_terms, '{}');
    END $$;

COMMENT ON FUNCTION public.canonical_terms(p_terms jsonb) IS 'The terms of a request, each in its one spelling';

CREATE FUNCTION public.canonical_time(p_time timestamp with time zone) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
            SELECT coalesce('"' || to_char(p_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', 'null')
        $$;

CREATE FUNCTION public.database_condition(OUT oldest_transaction_seconds double precision, OUT xmin_age bigint, OUT counter_table_bytes bigint, OUT counter_dead_rows bigint) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    BEGIN
        IF pg_has_role('pg_read_all_stats', 'USAGE') THEN
            SELECT coalesce(max(date_part('epoch', clock_timestamp() - xact_start))
                        FILTER (WHERE backend_type = 'client backend'), 0),
                coalesce(max(age(backend_xmin)), 0)
            INTO oldest_transaction_seconds, xmin_age
            FROM pg_stat_activity
            WHERE pid <> pg_backend_pid() AND (datname = current_database() OR backend_type = 'walsender');
            SELECT greatest(xmin_age, (SELECT max(age(xmin)) FROM pg_replication_slots),
                (SELECT max(age(transaction)) FROM pg_prepared_xacts WHERE database = current_database()))
            INTO xmin_age;
        END IF;
        counter_table_bytes := pg_table_size('trader_sequences');
        counter_dead_rows := pg_stat_get_dead_tuples('trader_sequences'::regclass);
    END $$;

COMMENT ON FUNCTION public.database_condition(OUT oldest_transaction_seconds double precision, OUT xmin_age bigint, OUT counter_table_bytes bigint, OUT counter_dead_rows bigint) IS 'What holds back VACUUM, and the bloat of the counters; null: not visible without sql/harden.sql';

CREATE FUNCTION public.desk_traders() RETURNS uuid[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    DECLARE
        v_desk_id uuid := CASE WHEN identity_is_signed() THEN nullif(current_setting('app.desk_id', true), '') END;
    BEGIN
        RETURN ARRAY(SELECT id FROM traders WHERE desk_id = v_desk_id);
    END $$;

COMMENT ON FUNCTION public.desk_traders() IS 'The traders of the desk of the transaction; none if its identity is not signed';

CREATE FUNCTION public.execution_log_leaf(p_log public.execution_logs) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
        -- Names in the order of RFC 8785; integers of 64 bits and decimals as strings.
        SELECT convert_to(CASE p_log.leaf_version
            WHEN 1 THEN
                '{"action":"' || p_log.action::text
                || '","actor":' || canonical_json(p_log.actor)
                || ',"client_order_id":' || canonical_json(p_log.client_order_id)
                || ',"created_at":' || canonical_time(p_log.created_at)
                || ',"error_code":' || canonical_json(p_log.error_code)
                || ',"execution_id":' || canonical_json(p_log.execution_id)
                || ',"expires_at":' || canonical_time(p_log.expires_at)
                || ',"fill_commission":' || canonical_decimal(p_log.fill_commission)
                || ',"fill_id":' || canonical_json(p_log.fill_id::text)
                || ',"fill_price":' || canonical_decimal(p_log.fill_price)
                || ',"fill_quantity":' || coalesce(p_log.fill_quantity::text, 'null')
                || ',"filled_notional":' || canonical_decimal(p_log.filled_notional)
                || ',"filled_quantity":' || p_log.filled_quantity::text
                || ',"id":"' || p_log.id::text
                || '","login":' || canonical_json(p_log.login)
                || ',"order_created_at":' || canonical_time(p_log.order_created_at)
                || ',"order_id":"' || p_log.order_id::text
                || '","order_type":"' || p_log.order_type::text
                || '","price":' || canonical_decimal(p_log.price)
                || ',"quantity":' || p_log.quantity::text
                || ',"reason":' || canonical_json(p_log.reason)
                || ',"refused":' || p_log.refused::text
                || ',"report_digest":' || coalesce('"' || encode(p_log.report_digest, 'hex') || '"', 'null')
                || ',"report_id":' || canonical_json(p_log.report_id)
                || ',"request_id":' || canonical_json(p_log.request_id)
                || ',"retry_attempt":' || p_log.retry_attempt::text
                || ',"sequence":"' || p_log.sequence::text
                || '","side":"' || p_log.side::text
                || '","status":"' || p_log.status::text
                || '","stop_loss":' || canonical_decimal(p_log.stop_loss)
                || ',"symbol":' || canonical_json(p_log.symbol)
                || ',"take_profit":' || canonical_decimal(p_log.take_profit)
                || ',"timestamp":' || canonical_time(p_log.timestamp)
                || ',"trader_id":"' || p_log.trader_id::text
                || '","type":"execution_log","venue":' || canonical_json(p_log.venue)
                || ',"version":1}'
            ELSE
                '{"account":' || canonical_json(p_log.account)
                || ',"action":' || '"' || p_log.action::text || '"'
                || ',"actor":' || canonical_json(p_log.actor)
                || ',"answered_key":' || canonical_json(p_log.answered_key)
                || ',"at_venue":' || p_log.at_venue::text
                || ',"client_order_id":' || canonical_json(p_log.client_order_id)
                || ',"created_at":' || canonical_time(p_log.created_at)
                || ',"currency":' || canonical_json(p_log.currency)
                || ',"error_code":' || canonical_json(p_log.error_code)
                || ',"excess_quantity":' || '"' || p_log.excess_quantity::text || '"'
                || ',"execution_id":' || canonical_json(p_log.execution_id)
                || ',"exempt_from_cancel_timer":' || p_log.exempt_from_cancel_timer::text
                || ',"expires_at":' || canonical_time(p_log.expires_at)
                || ',"fill_commission":' || canonical_decimal(p_log.fill_commission)
                || ',"fill_id":' || canonical_json(p_log.fill_id::text)
                || ',"fill_price":' || canonical_decimal(p_log.fill_price)
                || ',"fill_quantity":' || coalesce(p_log.fill_quantity::text, 'null')
                || ',"filled_notional":' || canonical_decimal(p_log.filled_notional)
                || ',"filled_quantity":' || p_log.filled_quantity::text
                || ',"id":' || '"' || p_log.id::text || '"'
                || ',"labels":' || coalesce(canonical_object(p_log.labels), 'null')
                || ',"login":' || canonical_json(p_log.login)
                || ',"order_created_at":' || canonical_time(p_log.order_created_at)
                || ',"order_id":' || '"' || p_log.order_id::text || '"'
                || ',"order_type":' || '"' || p_log.order_type::text || '"'
                || ',"parent_order_id":' || canonical_json(p_log.parent_order_id)
                || ',"pending_key":' || canonical_json(p_log.pending_key)
                || ',"pending_kind":' || canonical_json(p_log.pending_kind::text)
                || ',"pending_terms":' || coalesce(canonical_object(p_log.pending_terms), 'null')
                || ',"price":' || canonical_decimal(p_log.price)
                || ',"quantity":' || p_log.quantity::text
                || ',"reason":' || canonical_json(p_log.reason)
                || ',"ref_execution_id":' || canonical_json(p_log.ref_execution_id)
                || ',"refused":' || p_log.refused::text
                || ',"report_digest":' || coalesce('"' || encode(p_log.report_digest, 'hex') || '"', 'null')
                || ',"report_id":' || canonical_json(p_log.report_id)
                || ',"request_digest":' || coalesce('"' || encode(p_log.request_digest, 'hex') || '"', 'null')
                || ',"request_id":' || canonical_json(p_log.request_id)
                || ',"request_key":' || canonical_json(p_log.request_key)
                || ',"retry_attempt":' || p_log.retry_attempt::text
                || ',"security_id":' || canonical_json(p_log.security_id)
                || ',"security_id_source":' || canonical_json(p_log.security_id_source::text)
                || ',"sequence":' || '"' || p_log.sequence::text || '"'
                || ',"short_sale":' || canonical_json(p_log.short_sale::text)
                || ',"side":' || '"' || p_log.side::text || '"'
                || ',"status":' || '"' || p_log.status::text || '"'
                || ',"status_reason":' || canonical_json(p_log.status_reason)
                || ',"stop_loss":' || canonical_decimal(p_log.stop_loss)
                || ',"stop_price":' || canonical_decimal(p_log.stop_price)
                || ',"symbol":' || canonical_json(p_log.symbol)
                || ',"take_profit":' || canonical_decimal(p_log.take_profit)
                || ',"terms":' || coalesce(canonical_object(p_log.terms), 'null')
                || ',"time_in_force":' || canonical_json(p_log.time_in_force::text)
                || ',"timestamp":' || canonical_time(p_log.timestamp)
                || ',"trade_date":' || canonical_json(to_char(p_log.trade_date::timestamp, 'YYYY-MM-DD'))
                || ',"trader_id":' || '"' || p_log.trader_id::text || '"'
                || ',"type":' || '"execution_log"'
                || ',"venue":' || canonical_json(p_log.venue)
                || ',"version":' || '2' || '}'
            END, 'UTF8')
    $$;

COMMENT ON FUNCTION public.execution_log_leaf(p_log public.execution_logs) IS 'The leaf of an execution log: canonical JSON';

CREATE FUNCTION public.expire_orders(p_request_id text, p_most integer) RETURNS TABLE(order_id uuid, requested boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    DECLARE
        v_trader_id uuid := acting_trader();
        v_sequence bigint := lock_sequence_at_once();
        v_now timestamptz := clock_timestamp();
    BEGIN
        RETURN QUERY SELECT * FROM cancel_orders(ARRAY(
            SELECT id FROM orders
            WHERE trader_id = v_trader_id AND status IN ('PENDING', 'PARTIAL') AND pending_kind IS NULL
              AND NOT expiry_requested AND expires_at <= v_now
            ORDER BY created_at, id LIMIT p_most), v_sequence, 'EXPIRED', 'blotter', p_request_id);
    END $$;

COMMENT ON FUNCTION public.expire_orders(p_request_id text, p_most integer) IS 'Cancel the trader''s orders past their expiry, or ask their venue to, once';

CREATE FUNCTION public.find_order(p_key text) RETURNS uuid
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    DECLARE
        v_trader_id uuid := acting_trader();
        v_order_id uuid;
    BEGIN
        SELECT id INTO v_order_id FROM orders WHERE trader_id = v_trader_id AND client_order_id = p_key;
        IF NOT FOUND THEN
            SELECT order_id INTO v_order_id FROM execution_logs WHERE trader_id = v_trader_id AND request_key = p_key;
        END IF;
        RETURN v_order_id;
    END $$;

COMMENT ON FUNCTION public.find_order(p_key text) IS 'The acting trader''s order with this client_order_id or request key';

CREATE FUNCTION public.fire_cancel_timer(p_request_id text, p_most integer) RETURNS TABLE(order_id uuid, requested boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    DECLARE
        v_trader_id uuid := acting_trader();
        v_sequence bigint := lock_sequence_at_once();
        v_fires_at timestamptz;
        v_order_ids uuid[];
    BEGIN
        SELECT fires_at INTO v_fires_at FROM cancel_timers
        WHERE trader_id = v_trader_id AND fires_at <= clock_timestamp() FOR UPDATE NOWAIT;
        IF NOT FOUND THEN
            RETURN;
        END IF;
        -- Of the orders that were open when the timer ran out, those that it has not asked to be cancelled yet.
        v_order_ids := ARRAY(
            SELECT id FROM orders
            WHERE trader_id = v_trader_id AND status IN ('PENDING', 'PARTIAL') AND pending_kind IS NULL
              AND NOT exempt_from_cancel_timer AND created_at <= v_fires_at
              -- The comparison of rows makes the index the only way to plan it: without statistics of ids, a plan for
              -- equal ids may read all logs of the trader.
              AND (updated_at < v_fires_at OR NOT EXISTS (
                SELECT FROM execution_logs AS log
                WHERE log.trader_id = v_trader_id AND (log.order_id, log.sequence) >= (orders.id, 0)
                  AND log.order_id = orders.id
                  AND log.action = 'CANCEL_REQUESTED' AND log.reason = 'DISCONNECTED' AND log.created_at >= v_fires_at))
            ORDER BY created_at, id LIMIT p_most);
        -- An order with another pending request comes again, when the venue has answered.
        IF cardinality(v_order_ids) < p_most AND NOT EXISTS (
                SELECT FROM orders
                WHERE trader_id = v_trader_id AND status IN ('PENDING', 'PARTIAL') AND pending_kind IS NOT NULL
                  AND NOT exempt_from_cancel_timer AND created_at <= v_fires_at
                  AND (SELECT log.reason FROM execution_logs AS log
                       WHERE log.trader_id = v_trader_id AND log.sequence = orders.pending_sequence)
                      IS DISTINCT FROM 'DISCONNECTED') THEN
            DELETE FROM cancel_timers WHERE trader_id = v_trader_id;
        END IF;
        RETURN QUERY SELECT * FROM cancel_orders(v_order_ids, v_sequence, 'DISCONNECTED', 'blotter', p_request_id);
    END $$;

COMMENT ON FUNCTION public.fire_cancel_timer(p_request_id text, p_most integer) IS 'Cancel the open orders of a trader whose cancel timer has run out, or ask their venue to';

CREATE FUNCTION public.get_order(p_order_id uuid, p_client_order_id text) RETURNS SETOF public.orders
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.get_order(p_order_id uuid, p_client_order_id text) IS 'The order of an id or a client_order_id, if the caller may see it';

CREATE FUNCTION public.guard_access_words() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
        BEGIN
            IF NEW.actor !~ '^[!-~]([ -~]*[!-~])?$' OR NEW.request_id !~ '^[!-~]+$' OR NEW.method !~ '^[!-~]+$'
               OR lower(NEW.actor) IN ('blotter', 'trader', 'execution', 'sequencer') THEN
                RAISE EXCEPTION 'Refused by audit_accesses_words_are_visible.' USING
                    ERRCODE = 'check_violation', CONSTRAINT = 'audit_accesses_words_are_visible',
                    TABLE = 'audit_accesses';
            END IF;
            RETURN NEW;
        END $_$;

CREATE FUNCTION public.guard_fill() RETURNS trigger
    LANGUAGE plpgsql
    AS $_$
    BEGIN
        IF NEW.venue ~ '[\u0001-\u001f\u007f-\u009f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]' OR length(NEW.venue) = 0 OR NEW.execution_id !~ '^[!-~]+$'
           OR NEW.timestamp < '0001-01-01 00:00+00' OR NEW.timestamp >= '10000-01-01 00:00+00'
           OR NEW.trade_date < '0001-01-01' OR NEW.trade_date >= '10000-01-01' THEN
            RAISE EXCEPTION 'Refused by fills_words_are_visible.' USING ERRCODE = 'check_violation',
                CONSTRAINT = 'fills_words_are_visible', TABLE = TG_TABLE_NAME;
        END IF;
        RETURN NEW;
    END $_$;

CREATE FUNCTION public.guard_ledger_checkpoint() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
        BEGIN
            IF NOT EXISTS (SELECT FROM ledger_head WHERE size >= NEW.size) THEN
                RAISE EXCEPTION 'Refused by ledger_checkpoints_cover_entries.' USING
                    ERRCODE = 'check_violation', CONSTRAINT = 'ledger_checkpoints_cover_entries',
                    TABLE = 'ledger_checkpoints';
            END IF;
            RETURN NEW;
        END $$;

CREATE FUNCTION public.guard_ledger_entries() RETURNS trigger
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    DECLARE
        v_broken text;
    BEGIN
        SELECT broken INTO v_broken FROM (
            SELECT CASE
                WHEN added.position > 0 AND before.position IS NULL THEN 'ledger_entries_follow_without_gap'
                WHEN added.kind <> 'EXECUTION_LOG' THEN NULL
                WHEN log.leaf IS NULL THEN 'ledger_entries_record_logs'
                WHEN added.sequence > 1 AND previous.sequence IS NULL THEN 'ledger_entries_follow_sequences'
                WHEN added.leaf <> log.leaf THEN 'ledger_entries_hold_the_leaves_of_logs'
            END AS broken
            FROM added
            LEFT JOIN LATERAL (
                SELECT position FROM ledger_entries WHERE position = added.position - 1 LIMIT 1
            ) AS before ON true
            LEFT JOIN LATERAL (
                SELECT sequence FROM ledger_entries
                WHERE trader_id = added.trader_id AND sequence = added.sequence - 1 LIMIT 1
            ) AS previous ON true
            LEFT JOIN LATERAL (
                SELECT execution_log_leaf(execution_logs) AS leaf FROM execution_logs
                WHERE trader_id = added.trader_id AND sequence = added.sequence LIMIT 1
            ) AS log ON true
        ) AS checked WHERE broken IS NOT NULL LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'Refused by %.', v_broken
                USING ERRCODE = 'check_violation', CONSTRAINT = v_broken, TABLE = 'ledger_entries';
        END IF;
        RETURN NULL;
    END $$;

CREATE FUNCTION public.guard_ledger_entry() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    DECLARE
        v_note jsonb := convert_from(NEW.leaf, 'UTF8')::jsonb;
    BEGIN
        -- Written anew from its values, in the order of RFC 8785: a note can say nothing but these.
        NEW.leaf := convert_to(CASE NEW.kind
            WHEN 'KEYS' THEN
                '{"keys":[' || (
                    SELECT string_agg(canonical_json(key), ',' ORDER BY key COLLATE "C")
                    FROM jsonb_array_elements_text(v_note -> 'keys') AS key)
                || '],"origin":' || canonical_json(v_note ->> 'origin')
            WHEN 'BASELINE' THEN
                '{"incarnation":' || canonical_json(v_note ->> 'incarnation')
                || ',"replaced":' || canonical_json(v_note ->> 'replaced')
            END || ',"time":' || canonical_time(clock_timestamp()) || ',"type":"' || lower(NEW.kind)
            || '","version":1}', 'UTF8');
        RETURN NEW;
    END $$;

CREATE FUNCTION public.guard_ledger_head() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
        BEGIN
            IF TG_OP = 'UPDATE' AND NEW.size >= OLD.size
               AND (NEW.size = OLD.size OR EXISTS (SELECT FROM ledger_entries WHERE position = NEW.size - 1))
               AND NOT EXISTS (SELECT FROM ledger_entries WHERE position = NEW.size) THEN
                RETURN NEW;
            END IF;
            RAISE EXCEPTION 'Refused by ledger_head_counts_the_entries.' USING
                ERRCODE = 'check_violation', CONSTRAINT = 'ledger_head_counts_the_entries', TABLE = 'ledger_head';
        END $$;

CREATE FUNCTION public.guard_ledger_tile() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
        DECLARE
            v_hashes bytea;
            v_count integer := 256;
        BEGIN
            IF NEW.level = 0 THEN
                SELECT string_agg(leaf_hash, '' ORDER BY position) INTO v_hashes FROM ledger_entries
                WHERE position BETWEEN NEW.tile_index * 256 AND NEW.tile_index * 256 + 255;
            ELSE
                SELECT string_agg(root, '' ORDER BY tile_index) INTO v_hashes FROM ledger_tiles
                WHERE level = NEW.level - 1
                  AND tile_index BETWEEN NEW.tile_index * 256 AND NEW.tile_index * 256 + 255;
            END IF;
            IF v_hashes = NEW.hashes THEN
                WHILE v_count > 1 LOOP
                    v_count := v_count / 2;
                    SELECT string_agg(sha256(''::bytea || substr(v_hashes, pair * 64 + 1, 64)), '' ORDER BY pair)
                    INTO v_hashes FROM generate_series(0, v_count - 1) AS pair;
                END LOOP;
            END IF;
            IF v_hashes IS DISTINCT FROM NEW.root THEN
                RAISE EXCEPTION 'Refused by ledger_tiles_are_of_the_entries.' USING
                    ERRCODE = 'check_violation', CONSTRAINT = 'ledger_tiles_are_of_the_entries',
                    TABLE = 'ledger_tiles';
            END IF;
            RETURN NEW;
        END $$;

CREATE FUNCTION public.guard_log() RETURNS trigger
    LANGUAGE plpgsql
    AS $_$
    DECLARE
        v_actor text := lower(NEW.actor);
        v_reason text;
        v_broken text;
    BEGIN
        IF length(NEW.reason) > 600 THEN
            v_broken := 'execution_logs_reason_is_readable';
        ELSIF NEW.reason IS NOT NULL THEN
            v_reason := CASE WHEN NEW.reason ~ '^[ -~]*$' THEN NEW.reason ELSE public.nfkc(NEW.reason) END;
            v_reason := upper(btrim(v_reason));
        END IF;
        IF v_broken IS NOT NULL THEN
            NULL;
        ELSIF NEW.actor !~ '^[!-~]([ -~]*[!-~])?$' OR NEW.request_id !~ '^[!-~]+$' OR NEW.error_code !~ '^[!-~]+$'
           OR NEW.execution_id !~ '^[!-~]+$' OR NEW.ref_execution_id !~ '^[!-~]+$' OR NEW.request_key !~ '^[!-~]+$'
           OR NEW.answered_key !~ '^[!-~]+$' OR NEW.report_id !~ '^[!-~]+$'
           OR NEW.reason ~ '[\u0001-\u001f\u007f-\u009f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]' OR NEW.venue ~ '[\u0001-\u001f\u007f-\u009f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]' THEN
            v_broken := 'execution_logs_words_are_visible';
        ELSIF v_actor IN ('trader', 'execution', 'compliance', 'sequencer')
           AND NEW.login IS DISTINCT FROM 'blotter_' || v_actor THEN
            v_broken := 'execution_logs_actor_is_the_login';
        ELSIF v_actor = 'blotter' AND NOT coalesce(
                v_reason IN ('EXPIRED', 'DISCONNECTED') AND NEW.report_id IS NULL AND NEW.login = 'blotter_execution'
                AND NEW.action IN ('CANCELLED', 'CANCEL_REQUESTED'), false) THEN
            v_broken := 'execution_logs_blotter_only_cancels';
        ELSIF v_reason = 'EXPIRED' AND NOT coalesce(
                v_actor = 'blotter' AND NEW.expires_at <= NEW.created_at
                -- A venue may report that it has let the order expire (FIX tag 39, value C).
                OR NEW.report_id IS NOT NULL AND NEW.action = 'CANCELLED' AND NEW.reason = 'EXPIRED', false) THEN
            v_broken := 'execution_logs_expire_what_is_due';
        ELSIF v_reason = 'DISCONNECTED' AND v_actor <> 'blotter' OR v_reason = 'DONE_FOR_DAY'
           OR v_reason IN ('LATE_FILL', 'OVERFILL') AND (NEW.action <> 'FILLED' OR NEW.refused) THEN
            v_broken := 'execution_logs_reasons_are_reserved';
        ELSIF NEW.refused AND (NEW.action <> 'REJECTED' OR NEW.report_id IS NULL
                OR coalesce(NEW.error_code NOT IN ('ORDER_CLOSED', 'REQUEST_NOT_PENDING', 'FILL_NOT_FOUND'), true)) THEN
            -- The repetition of the report is answered with this code.
            v_broken := 'execution_logs_refused_has_a_code_of_ours';
        ELSIF (NEW.report_id IS NULL) <> (NEW.report_digest IS NULL) OR length(NEW.report_digest) <> 32
           OR (NEW.request_key IS NULL) <> (NEW.request_digest IS NULL) OR length(NEW.request_digest) <> 32 THEN
            v_broken := 'execution_logs_keys_have_digests';
        ELSIF NEW.timestamp < '0001-01-01 00:00+00' OR NEW.timestamp >= '10000-01-01 00:00+00'
           OR NEW.trade_date < '0001-01-01' OR NEW.trade_date >= '10000-01-01' THEN
            v_broken := 'execution_logs_timestamp_is_a_date';
        ELSIF 'NaN' IN (NEW.fill_price, NEW.fill_commission) OR NEW.fill_price <= 0 OR NEW.fill_commission < 0
           OR NEW.fill_quantity < 0 OR (NEW.fill_quantity = 0) <> (NEW.fill_price IS NULL)
           OR NEW.action = 'FILL_BUSTED' AND NEW.fill_quantity <> 0
           OR NEW.action IN ('FILLED', 'FILL_CORRECTED') AND NEW.fill_quantity = 0
           OR NEW.retry_attempt < 0 OR NEW.sequence < 1 THEN
            v_broken := 'execution_logs_amounts_are_possible';
        END IF;
        IF v_broken IS NOT NULL THEN
            RAISE EXCEPTION 'Refused by %.', v_broken
                USING ERRCODE = 'check_violation', CONSTRAINT = v_broken, TABLE = 'execution_logs';
        END IF;
        RETURN NEW;
    END $_$;

CREATE FUNCTION public.guard_order() RETURNS trigger
    LANGUAGE plpgsql
    AS $_$
    DECLARE
        v_broken text;
    BEGIN
        IF TG_OP = 'INSERT' THEN
            IF NEW.symbol !~ '^[!-~]([ -~]*[!-~])?$' THEN
                -- Not for updates: an older order must stay fillable with any symbol.
                v_broken := 'orders_symbol_is_printable';
            ELSIF NEW.client_order_id !~ '^[!-~]+$' THEN
                v_broken := 'ck_orders_client_order_id_printable';
            ELSIF length(NEW.request_digest) <> 32 THEN
                v_broken := 'ck_orders_request_digest_sha256';
            ELSIF NEW.account !~ '^[!-~]([ -~]*[!-~])?$' OR NEW.parent_order_id !~ '^[!-~]+$'
               OR NEW.currency !~ '^[A-Z]{3}$' OR NEW.security_id !~ '^[!-~]+$'
               OR (NEW.security_id IS NULL) <> (NEW.security_id_source IS NULL) THEN
                v_broken := 'orders_attributes_are_printable';
            ELSIF NEW.labels IS NOT NULL THEN
                IF jsonb_typeof(NEW.labels) <> 'object' OR (
                        SELECT count(*) NOT BETWEEN 1 AND 8 OR bool_or(
                            key !~ '^[a-z0-9_.-]{1,32}$' OR jsonb_typeof(value) <> 'string'
                            OR length(value #>> '{}') NOT BETWEEN 1 AND 64 OR value #>> '{}' ~ '[\u0001-\u001f\u007f-\u009f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]')
                        FROM jsonb_each(NEW.labels)) THEN
                    v_broken := 'orders_labels_are_few_and_short';
                END IF;
            END IF;
        ELSIF NEW.last_sequence <= OLD.last_sequence THEN
            v_broken := 'orders_change_with_an_event';
        ELSIF (NEW.trader_id, NEW.id, NEW.client_order_id, NEW.request_digest, NEW.symbol, NEW.side, NEW.order_type,
               NEW.created_at, NEW.account, NEW.labels, NEW.parent_order_id, NEW.currency, NEW.security_id,
               NEW.security_id_source, NEW.short_sale, NEW.exempt_from_cancel_timer)
              IS DISTINCT FROM
              (OLD.trader_id, OLD.id, OLD.client_order_id, OLD.request_digest, OLD.symbol, OLD.side, OLD.order_type,
               OLD.created_at, OLD.account, OLD.labels, OLD.parent_order_id, OLD.currency, OLD.security_id,
               OLD.security_id_source, OLD.short_sale, OLD.exempt_from_cancel_timer) THEN
            v_broken := 'orders_keep_what_they_are';
        END IF;
        IF v_broken IS NOT NULL THEN
            NULL;
        ELSIF NEW.status <> public.order_status(NEW.quantity, NEW.filled_quantity, NEW.closed_as) THEN
            v_broken := 'orders_status_fits_fills';
        ELSIF (NEW.filled_notional > 0) <> (NEW.filled_quantity > 0) OR NEW.excess_quantity < 0
           OR NEW.excess_quantity > 0 AND NEW.filled_quantity < NEW.quantity THEN
            v_broken := 'orders_notional_with_fills';
        ELSIF (NEW.pending_kind IS NULL) <> (NEW.pending_key IS NULL)
           OR (NEW.pending_kind IS NULL) <> (NEW.pending_sequence IS NULL) THEN
            v_broken := 'orders_pending_request_is_complete';
        END IF;
        IF v_broken IS NOT NULL THEN
            RAISE EXCEPTION 'Refused by %.', v_broken
                USING ERRCODE = 'check_violation', CONSTRAINT = v_broken, TABLE = 'orders';
        END IF;
        RETURN NEW;
    END $_$;

CREATE FUNCTION public.guard_sequence() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
        BEGIN
            IF TG_OP = 'UPDATE' AND NEW.trader_id = OLD.trader_id
               AND NEW.last_sequence > coalesce(OLD.last_sequence, 0) THEN
                RETURN NEW;
            END IF;
            RAISE EXCEPTION 'Refused by trader_sequences_only_grow.' USING
                ERRCODE = 'check_violation', CONSTRAINT = 'trader_sequences_only_grow', TABLE = 'trader_sequences';
        END $$;

CREATE FUNCTION public.identity_is_signed() RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
    AS $$
    DECLARE
        v_identity pg_catalog.text := pg_catalog.current_setting('app.identity', true);
        v_trader_id pg_catalog.text := pg_catalog.current_setting('app.trader_id', true);
        v_desk_id pg_catalog.text := pg_catalog.current_setting('app.desk_id', true);
        v_signed pg_catalog.text := pg_catalog.substr(v_identity, 65);
        v_text pg_catalog.text := session_user OPERATOR(pg_catalog.||) '|'
            OPERATOR(pg_catalog.||) v_trader_id OPERATOR(pg_catalog.||) '|'
            OPERATOR(pg_catalog.||) v_desk_id OPERATOR(pg_catalog.||) '|'
            OPERATOR(pg_catalog.||) v_signed;
        v_inner_pad pg_catalog.bytea;
        v_outer_pad pg_catalog.bytea;
    BEGIN
        IF pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.<>) 'read committed' THEN
            -- The snapshot may be older than a key, or than its retirement.
            RETURN false;
        END IF;
        SELECT inner_pad, outer_pad INTO v_inner_pad, v_outer_pad FROM public.identity_keys
        WHERE id::pg_catalog.text OPERATOR(pg_catalog.=) pg_catalog.split_part(v_signed, '|', 1)
          AND retired_at IS NULL;
        IF NOT FOUND THEN
            -- Without a key in use the deployment does not sign identities.
            RETURN NOT EXISTS (SELECT FROM public.identity_keys WHERE retired_at IS NULL);
        END IF;
        IF pg_catalog.octet_length(v_identity) OPERATOR(pg_catalog.>) 4096
                OR v_trader_id OPERATOR(pg_catalog.~) '[^0-9a-f-]' OR v_desk_id OPERATOR(pg_catalog.~) '[^0-9a-f-]' THEN
            -- A separator in one of the settings would let a signature name another desk, or another expiry.
            RETURN false;
        END IF;
        -- A setting that was never set is NULL, and so is the comparison. The expiry is read once the MAC is right.
        RETURN coalesce(CASE WHEN pg_catalog.encode(pg_catalog.sha256(v_outer_pad OPERATOR(pg_catalog.||)
                pg_catalog.sha256(v_inner_pad OPERATOR(pg_catalog.||) pg_catalog.convert_to(v_text, 'UTF8'))), 'hex')
                OPERATOR(pg_catalog.=) pg_catalog.substr(v_identity, 1, 64)
            THEN pg_catalog.split_part(v_signed, '|', 2)::pg_catalog.float8 OPERATOR(pg_catalog.>)
                pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) END, false);
    END $$;

COMMENT ON FUNCTION public.identity_is_signed() IS 'Whether app.identity is the signature of session_user, app.trader_id and app.desk_id, and is not expired';

CREATE FUNCTION public.ledger_incarnation() RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
            SELECT system_identifier || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())
            FROM pg_control_system()
        $$;

COMMENT ON FUNCTION public.ledger_incarnation() IS 'What tells this database from any copy of it';

CREATE FUNCTION public.lock_sequence() RETURNS bigint
    LANGUAGE plpgsql
    AS $$
    DECLARE
        v_trader_id uuid := current_setting('app.trader_id', true);
        v_last bigint;
    BEGIN
        SELECT coalesce(last_sequence, 0) INTO v_last
        FROM trader_sequences WHERE trader_id = v_trader_id FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            INSERT INTO trader_sequences (trader_id) VALUES (v_trader_id) ON CONFLICT (trader_id) DO NOTHING;
            SELECT coalesce(last_sequence, 0) INTO v_last
            FROM trader_sequences WHERE trader_id = v_trader_id FOR NO KEY UPDATE;
        END IF;
        RETURN v_last;
    END $$;

COMMENT ON FUNCTION public.lock_sequence() IS 'Lock the acting trader''s counter until commit; return the last number';

CREATE FUNCTION public.lock_sequence_at_once() RETURNS bigint
    LANGUAGE plpgsql
    AS $$
    DECLARE
        v_trader_id uuid := current_setting('app.trader_id', true);
        v_last bigint;
    BEGIN
        SELECT coalesce(last_sequence, 0) INTO v_last
        FROM trader_sequences WHERE trader_id = v_trader_id FOR NO KEY UPDATE NOWAIT;
        IF NOT FOUND THEN
            -- The trader's first order may be about to be committed: its transaction has the row.
            INSERT INTO trader_sequences (trader_id) VALUES (v_trader_id) ON CONFLICT (trader_id) DO NOTHING;
            SELECT coalesce(last_sequence, 0) INTO v_last
            FROM trader_sequences WHERE trader_id = v_trader_id FOR NO KEY UPDATE;
        END IF;
        RETURN v_last;
    END $$;

COMMENT ON FUNCTION public.lock_sequence_at_once() IS 'As lock_sequence; an error if another transaction holds the lock';

CREATE FUNCTION public.nfkc(p_text text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
        BEGIN
            RETURN CASE WHEN length(p_text) <= 600 THEN normalize(p_text, NFKC) END;
        END $$;

COMMENT ON FUNCTION public.nfkc(p_text text) IS 'The text in normalization form NFKC; null for one of more than 600 characters';

CREATE FUNCTION public.order_requests(p_order_id uuid, p_client_order_id text, p_before bigint, p_limit bigint) RETURNS TABLE(request_key character varying, action public.action_enum, terms jsonb, reason text, sequence bigint, created_at timestamp with time zone, answer_action public.action_enum, answer_sequence bigint, answered_at timestamp with time zone, answer_reason text, answer_code character varying)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.order_requests(p_order_id uuid, p_client_order_id text, p_before bigint, p_limit bigint) IS 'The requests on an order and how they were answered, newest first';

CREATE FUNCTION public.order_status(p_quantity integer, p_filled_quantity integer, p_closed_as public.order_status_enum) RETURNS public.order_status_enum
    LANGUAGE plpgsql IMMUTABLE
    AS $$
    BEGIN
        IF p_filled_quantity = p_quantity THEN
            RETURN 'FILLED';
        ELSIF p_closed_as IS NOT NULL THEN
            RETURN p_closed_as;
        ELSIF p_filled_quantity > 0 THEN
            RETURN 'PARTIAL';
        END IF;
        RETURN 'PENDING';
    END $$;

COMMENT ON FUNCTION public.order_status(p_quantity integer, p_filled_quantity integer, p_closed_as public.order_status_enum) IS 'The status that follows from the quantities and from what closed the order';

CREATE FUNCTION public.probe_writing() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    BEGIN
        UPDATE trader_sequences SET last_sequence = last_sequence WHERE trader_id IS NULL;
        UPDATE orders SET last_sequence = last_sequence WHERE trader_id IS NULL;
        INSERT INTO execution_logs (trader_id) SELECT NULL WHERE false;
    END $$;

COMMENT ON FUNCTION public.probe_writing() IS 'Take the locks that a write needs, and write nothing';

CREATE FUNCTION public.rebaseline_ledger() RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
            UPDATE ledger_head SET incarnation = ledger_incarnation(), next_xid = NULL, open_xids = '{}'
        $$;

COMMENT ON FUNCTION public.rebaseline_ledger() IS 'Let the ledger go on in this database, which is a copy of another';

CREATE FUNCTION public.record_event(p_state public.orders, p_event public.execution_logs, p_quantity bigint, p_notional numeric, p_refusal text, OUT outcome text, OUT recorded public.orders) RETURNS record
    LANGUAGE plpgsql
    AS $$
    DECLARE
        v_result record;
        v_event execution_logs;
    BEGIN
        outcome := p_refusal;
        IF outcome IS NULL THEN
            v_result := apply_event(p_state, p_event, p_quantity, p_notional);
            outcome := v_result.refusal;
        END IF;
        IF outcome IS NULL THEN
            outcome := 'APPLIED';
            recorded := v_result.state;
            v_event := v_result.event;
        ELSIF p_event.report_id IS NULL THEN
            -- A refused call writes nothing; a refused report is recorded.
            recorded := p_state;
            RETURN;
        ELSE
            recorded := p_state;
            recorded.last_sequence := p_event.sequence;
            recorded.updated_at := p_event.created_at;
            v_event := p_event;
            v_event.action := 'REJECTED';
            v_event.refused := true;
            v_event.answered_key := NULL;
            v_event.error_code := outcome;
            -- Cut where the prefix made it too long. A reason that is too long itself is refused with the log.
            v_event.reason := left(concat_ws(': ', p_event.action || ' refused' || coalesce(
                                       ' for ' || p_event.answered_key, ''), p_event.reason),
                                   greatest(600, length(p_event.reason)));
        END IF;

        IF v_event.action = 'SUBMITTED' THEN
            INSERT INTO orders VALUES (recorded.*);
        ELSE
            UPDATE orders SET
                quantity = recorded.quantity, price = recorded.price, stop_price = recorded.stop_price,
                stop_loss = recorded.stop_loss, take_profit = recorded.take_profit,
                time_in_force = recorded.time_in_force, expires_at = recorded.expires_at, status = recorded.status,
                filled_quantity = recorded.filled_quantity, filled_notional = recorded.filled_notional,
                excess_quantity = recorded.excess_quantity, at_venue = recorded.at_venue,
                closed_as = recorded.closed_as, status_reason = recorded.status_reason,
                pending_kind = recorded.pending_kind, pending_key = recorded.pending_key,
                pending_sequence = recorded.pending_sequence, pending_terms = recorded.pending_terms,
                expiry_requested = recorded.expiry_requested, updated_at = recorded.updated_at,
                last_sequence = recorded.last_sequence
            WHERE trader_id = recorded.trader_id AND id = recorded.id;
        END IF;
        UPDATE trader_sequences SET last_sequence = recorded.last_sequence WHERE trader_id = recorded.trader_id;
        INSERT INTO execution_logs (
            trader_id, order_id, sequence, action, refused, timestamp, created_at, reason, error_code, retry_attempt,
            actor, request_id, report_id, report_digest, request_key, request_digest, answered_key, terms,
            venue, fill_id, execution_id, trade_date, ref_execution_id, fill_quantity, fill_price, fill_commission,
            status, client_order_id, symbol, side, order_type, quantity, price, stop_price, stop_loss, take_profit,
            time_in_force, expires_at, order_created_at, filled_quantity, filled_notional, excess_quantity,
            account, labels, parent_order_id, currency, security_id, security_id_source, short_sale,
            exempt_from_cancel_timer, at_venue, status_reason, pending_kind, pending_key, pending_terms)
        VALUES (
            recorded.trader_id, recorded.id, v_event.sequence, v_event.action, coalesce(v_event.refused, false),
            coalesce(v_event.timestamp, v_event.created_at), v_event.created_at, v_event.reason, v_event.error_code,
            coalesce(v_event.retry_attempt, 0), v_event.actor, v_event.request_id, v_event.report_id,
            v_event.report_digest, v_event.request_key, v_event.request_digest, v_event.answered_key, v_event.terms,
            v_event.venue, v_event.fill_id, v_event.execution_id, v_event.trade_date, v_event.ref_execution_id,
            v_event.fill_quantity, v_event.fill_price, v_event.fill_commission,
            recorded.status, recorded.client_order_id, recorded.symbol, recorded.side, recorded.order_type,
            recorded.quantity, recorded.price, recorded.stop_price, recorded.stop_loss, recorded.take_profit,
            recorded.time_in_force, recorded.expires_at, recorded.created_at, recorded.filled_quantity,
            recorded.filled_notional, recorded.excess_quantity, recorded.account, recorded.labels,
            recorded.parent_order_id, recorded.currency, recorded.security_id, recorded.security_id_source,
            recorded.short_sale, recorded.exempt_from_cancel_timer, recorded.at_venue, recorded.status_reason,
            recorded.pending_kind, recorded.pending_key, recorded.pending_terms);
    END $$;

COMMENT ON FUNCTION public.record_event(p_state public.orders, p_event public.execution_logs, p_quantity bigint, p_notional numeric, p_refusal text, OUT outcome text, OUT recorded public.orders) IS 'Apply an event and write order, counter and log';

CREATE FUNCTION public.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
        BEGIN
            RAISE EXCEPTION 'Table % is append-only: % is refused.', TG_TABLE_NAME, TG_OP
                USING ERRCODE = 'insufficient_privilege', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
        END $$;

CREATE FUNCTION public.replace_order(p_order_id uuid, p_client_order_id text, p_request_key text, p_request_digest bytea, p_terms jsonb, p_expected_sequence bigint, p_reason text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    DECLARE
        v_result record;
    BEGIN
        IF p_request_key IS NULL OR coalesce(p_terms, '{}') = '{}' THEN
            RAISE EXCEPTION 'A replace has a key and terms.' USING ERRCODE = 'check_violation',
                CONSTRAINT = 'replaces_have_key_and_terms';
        END IF;
        v_result := request_order('REPLACE_REQUESTED', p_order_id, p_client_order_id, p_request_key, p_request_digest,
                                  p_terms, p_expected_sequence, p_reason, p_actor, p_request_id);
        outcome := v_result.outcome;
        recorded := v_result.recorded;
    END $$;

COMMENT ON FUNCTION public.replace_order(p_order_id uuid, p_client_order_id text, p_request_key text, p_request_digest bytea, p_terms jsonb, p_expected_sequence bigint, p_reason text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) IS 'Replace terms of an order, or ask its venue to. APPLIED, REPLAYED, ORDER_NOT_FOUND, ORDER_CLOSED, ORDER_CHANGED, REQUEST_PENDING, REQUEST_KEY_REUSED, EXPIRE_TIME_PAST or a violation of the terms';

CREATE FUNCTION public.report_execution(p_order_id uuid, p_report_id text, p_report_digest bytea, p_action public.action_enum, p_timestamp timestamp with time zone, p_venue text, p_reason text, p_error_code text, p_retry_attempt integer, p_execution_id text, p_trade_date date, p_ref_execution_id text, p_ref_trade_date date, p_quantity integer, p_price numeric, p_commission numeric, p_request_key text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    DECLARE
        v_trader_id uuid := acting_trader();
        v_event execution_logs;
        v_result record;
        v_log record;
        v_fill fills;
        v_correction fill_corrections;
        v_standing record;
        v_quantity bigint := 0;
        v_notional numeric := 0;
    BEGIN
        IF p_action IN ('SUBMITTED', 'CANCEL_REQUESTED', 'REPLACE_REQUESTED') OR p_report_id IS NULL THEN
            RAISE EXCEPTION 'A report has an id, and is not of %.', p_action USING
                ERRCODE = 'check_violation', CONSTRAINT = 'reports_are_of_venues', TABLE = 'execution_logs';
        END IF;
        PERFORM FROM orders WHERE trader_id = v_trader_id AND id = p_order_id;
        IF NOT FOUND THEN
            outcome := 'ORDER_NOT_FOUND';
            RETURN;
        END IF;
        v_event.sequence := lock_sequence() + 1;
        SELECT orders.* INTO recorded FROM orders WHERE trader_id = v_trader_id AND id = p_order_id;
        SELECT report_digest, refused, error_code INTO v_log FROM execution_logs
        WHERE trader_id = v_trader_id AND report_id = p_report_id;
        IF FOUND THEN
            outcome := CASE
                WHEN v_log.report_digest <> p_report_digest THEN 'REPORT_ID_REUSED'
                WHEN v_log.refused THEN v_log.error_code
                ELSE 'REPLAYED' END;
            RETURN;
        END IF;

        v_event.action := p_action;
        v_event.created_at := greatest(clock_timestamp(), recorded.updated_at);
        v_event.timestamp := coalesce(p_timestamp, v_event.created_at);
        v_event.venue := p_venue;
        v_event.reason := p_reason;
        v_event.error_code := p_error_code;
        v_event.retry_attempt := p_retry_attempt;
        v_event.report_id := p_report_id;
        v_event.report_digest := p_report_digest;
        IF p_action IN ('CANCELLED', 'REPLACED', 'CANCEL_REFUSED', 'REPLACE_REFUSED') THEN
            v_event.answered_key := p_request_key;
        END IF;
        v_event.actor := p_actor;
        v_event.request_id := p_request_id;

        IF p_action IN ('FILLED', 'FILL_CORRECTED', 'FILL_BUSTED') THEN
            v_event.execution_id := p_execution_id;
            v_event.trade_date := coalesce(p_trade_date, (v_event.timestamp AT TIME ZONE 'UTC')::date);
            v_event.ref_execution_id := CASE WHEN p_action <> 'FILLED' THEN p_ref_execution_id END;
            v_event.fill_quantity := CASE p_action WHEN 'FILL_BUSTED' THEN 0 ELSE p_quantity END;
            v_event.fill_price := CASE p_action WHEN 'FILL_BUSTED' THEN NULL ELSE p_price END;
            v_event.fill_commission := CASE p_action WHEN 'FILL_BUSTED' THEN 0 ELSE coalesce(p_commission, 0) END;
            SELECT fills.* INTO v_fill FROM fills
            WHERE trader_id = v_trader_id AND venue = p_venue AND trade_date = v_event.trade_date
              AND execution_id = p_execution_id;
            IF FOUND THEN
                outcome := CASE
                    WHEN p_action = 'FILLED'
                         AND (v_fill.order_id, v_fill.timestamp, v_fill.quantity_filled, v_fill.price_at_fill,
                              v_fill.commission)
                             = (p_order_id, v_event.timestamp, p_quantity, v_event.fill_price, v_event.fill_commission)
                    THEN 'REPLAYED' ELSE 'EXECUTION_ID_REUSED' END;
                RETURN;
            END IF;
            SELECT fill_corrections.* INTO v_correction FROM fill_corrections
            WHERE trader_id = v_trader_id AND venue = p_venue AND trade_date = v_event.trade_date
              AND execution_id = p_execution_id;
            IF FOUND THEN
                outcome := CASE
                    WHEN p_action <> 'FILLED' AND (v_correction.order_id, v_correction.quantity,
                             v_correction.price, v_correction.commission, p_ref_execution_id)
                         IS NOT DISTINCT FROM (p_order_id, v_event.fill_quantity, v_event.fill_price,
                             v_event.fill_commission, (
                             SELECT ref_execution_id FROM execution_logs
                             WHERE trader_id = v_trader_id AND sequence = v_correction.sequence))
                    THEN 'REPLAYED' ELSE 'EXECUTION_ID_REUSED' END;
                RETURN;
            END IF;
        END IF;
        IF p_action = 'FILLED' THEN
            v_event.fill_id := gen_random_uuid();
            v_quantity := p_quantity;
            v_notional := v_event.fill_quantity * v_event.fill_price;  -- of the price as it is stored
        ELSIF p_action IN ('FILL_CORRECTED', 'FILL_BUSTED') THEN
            -- The newest one where the trade date is not stated.
            SELECT fills.* INTO v_fill FROM fills
            WHERE trader_id = v_trader_id AND order_id = p_order_id AND venue = p_venue AND id IN (
                SELECT id FROM fills
                WHERE trader_id = v_trader_id AND order_id = p_order_id AND venue = p_venue
                  AND execution_id = p_ref_execution_id AND (p_ref_trade_date IS NULL OR trade_date = p_ref_trade_date)
                UNION ALL
                SELECT fill_id FROM fill_corrections
                WHERE trader_id = v_trader_id AND order_id = p_order_id AND venue = p_venue
                  AND execution_id = p_ref_execution_id AND (p_ref_trade_date IS NULL OR trade_date = p_ref_trade_date))
            ORDER BY EXISTS (
                SELECT FROM fill_corrections AS bust
                WHERE bust.trader_id = v_trader_id AND bust.fill_id = fills.id AND bust.quantity = 0), sequence DESC
            LIMIT 1;
            SELECT quantity, price INTO v_standing FROM (
                SELECT quantity, price, sequence FROM fill_corrections
                WHERE trader_id = v_trader_id AND fill_id = v_fill.id
                UNION ALL
                SELECT v_fill.quantity_filled, v_fill.price_at_fill, 0) AS known
            ORDER BY sequence DESC LIMIT 1;
            IF v_fill.id IS NULL OR v_standing.quantity = 0 THEN
                outcome := 'FILL_NOT_FOUND';
            END IF;
            v_event.fill_id := v_fill.id;
            v_quantity := v_event.fill_quantity - v_standing.quantity;
            v_notional := coalesce(v_event.fill_quantity * v_event.fill_price, 0)
                          - v_standing.quantity * v_standing.price;
        ELSIF p_action = 'RESTATED' THEN
            v_event.terms := canonical_terms(jsonb_strip_nulls(
                jsonb_build_object('quantity', p_quantity, 'price', p_price::text)));
        END IF;

        v_result := record_event(recorded, v_event, v_quantity, v_notional, outcome);
        outcome := v_result.outcome;
        recorded := v_result.recorded;
        IF outcome <> 'APPLIED' THEN
            RETURN;
        ELSIF p_action = 'FILLED' THEN
            INSERT INTO fills (trader_id, id, order_id, sequence, execution_id, trade_date, venue, timestamp,
                               quantity_filled, price_at_fill, commission, created_at)
            VALUES (v_trader_id, v_event.fill_id, p_order_id, v_event.sequence, p_execution_id, v_event.trade_date,
                    p_venue, v_event.timestamp, p_quantity, p_price, v_event.fill_commission, v_event.created_at);
        ELSIF p_action IN ('FILL_CORRECTED', 'FILL_BUSTED') THEN
            INSERT INTO fill_corrections (trader_id, order_id, fill_id, sequence, execution_id, trade_date, venue,
                                          timestamp, quantity, price, commission, reason, created_at)
            VALUES (v_trader_id, p_order_id, v_event.fill_id, v_event.sequence, p_execution_id, v_event.trade_date,
                    p_venue, v_event.timestamp, v_event.fill_quantity, v_event.fill_price, v_event.fill_commission,
                    p_reason, v_event.created_at);
        END IF;
    END $$;

COMMENT ON FUNCTION public.report_execution(p_order_id uuid, p_report_id text, p_report_digest bytea, p_action public.action_enum, p_timestamp timestamp with time zone, p_venue text, p_reason text, p_error_code text, p_retry_attempt integer, p_execution_id text, p_trade_date date, p_ref_execution_id text, p_ref_trade_date date, p_quantity integer, p_price numeric, p_commission numeric, p_request_key text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) IS 'Record a report. APPLIED, REPLAYED, ORDER_NOT_FOUND, ORDER_CLOSED, REQUEST_NOT_PENDING, FILL_NOT_FOUND, REPORT_ID_REUSED, EXECUTION_ID_REUSED or an old OVERFILL';

CREATE FUNCTION public.request_order(p_action public.action_enum, p_order_id uuid, p_client_order_id text, p_request_key text, p_request_digest bytea, p_terms jsonb, p_expected_sequence bigint, p_reason text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) RETURNS record
    LANGUAGE plpgsql
    AS $$
    DECLARE
        v_trader_id uuid := acting_trader();
        v_order_id uuid := coalesce(p_order_id, find_order(p_client_order_id));
        v_event execution_logs;
        v_known record;
        v_result record;
    BEGIN
        PERFORM FROM orders WHERE trader_id = v_trader_id AND id = v_order_id;
        IF NOT FOUND THEN
            outcome := 'ORDER_NOT_FOUND';
            RETURN;
        END IF;
        v_event.sequence := lock_sequence() + 1;
        SELECT orders.* INTO recorded FROM orders WHERE trader_id = v_trader_id AND id = v_order_id;
        IF p_request_key IS NOT NULL THEN
            SELECT order_id, request_digest INTO v_known FROM execution_logs
            WHERE trader_id = v_trader_id AND request_key = p_request_key;
            IF FOUND THEN
                outcome := CASE WHEN v_known.order_id = v_order_id AND v_known.request_digest = p_request_digest
                    THEN 'REPLAYED' ELSE 'REQUEST_KEY_REUSED' END;
                RETURN;
            END IF;
            PERFORM FROM orders WHERE trader_id = v_trader_id AND client_order_id = p_request_key;
            IF FOUND THEN
                outcome := 'REQUEST_KEY_REUSED';
                RETURN;
            END IF;
        END IF;
        IF p_action = 'CANCEL_REQUESTED' AND (
                -- A late fill may have completed it since: the cancel was done all the same.
                recorded.closed_as = 'CANCELLED' OR p_request_key IS NULL AND recorded.pending_kind = 'CANCEL') THEN
            outcome := 'REPLAYED';
            RETURN;
        ELSIF p_expected_sequence <> recorded.last_sequence
              -- These say more to the caller, and come from apply_event.
              AND recorded.closed_as IS NULL AND recorded.pending_kind IS NULL THEN
            outcome := 'ORDER_CHANGED';
            RETURN;
        END IF;
        v_event.action := p_action;
        v_event.created_at := greatest(clock_timestamp(), recorded.updated_at);
        v_event.request_key := coalesce(p_request_key, gen_random_uuid()::text);
        v_event.request_digest := coalesce(p_request_digest, CASE WHEN p_request_key IS NULL THEN
            sha256(convert_to(v_event.request_key, 'UTF8')) END);
        v_event.terms := canonical_terms(p_terms);
        v_event.reason := p_reason;
        v_event.actor := p_actor;
        v_event.request_id := p_request_id;
        v_result := record_event(recorded, v_event, 0, 0, NULL);
        outcome := v_result.outcome;
        recorded := v_result.recorded;
    END $$;

COMMENT ON FUNCTION public.request_order(p_action public.action_enum, p_order_id uuid, p_client_order_id text, p_request_key text, p_request_digest bytea, p_terms jsonb, p_expected_sequence bigint, p_reason text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) IS 'Cancel or replace an order, or record the request while a venue has it';

CREATE FUNCTION public.schema_compatibility(OUT serves_from text, OUT release text, OUT policies_and_grants text) RETURNS record
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
        SELECT '021', '0.3.0', '7e4e6ff6e2f503f29a296c97a3b4bcbd61e3aaf11b84e05d6869cf6e32af877b'
    $$;

COMMENT ON FUNCTION public.schema_compatibility(OUT serves_from text, OUT release text, OUT policies_and_grants text) IS 'The revision that a server must at least know to serve this schema, the first release that knows it, and the digest of the policies and grants of the logins';

CREATE TABLE public.cancel_timers (
    trader_id uuid NOT NULL,
    timeout interval NOT NULL,
    fires_at timestamp with time zone NOT NULL,
    set_at timestamp with time zone NOT NULL,
    actor character varying(100) NOT NULL,
    request_id character varying(64) NOT NULL
);
ALTER TABLE ONLY public.cancel_timers ALTER COLUMN trader_id SET STATISTICS 0;
ALTER TABLE ONLY public.cancel_timers ALTER COLUMN actor SET STATISTICS 0;
ALTER TABLE ONLY public.cancel_timers ALTER COLUMN request_id SET STATISTICS 0;

ALTER TABLE ONLY public.cancel_timers FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.cancel_timers IS 'When a trader''s open orders are cancelled unless the timer is set again';

CREATE FUNCTION public.set_cancel_timer(p_timeout interval, p_actor text, p_request_id text) RETURNS public.cancel_timers
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
    DECLARE
        v_timer cancel_timers;
        v_now timestamptz := clock_timestamp();
    BEGIN
        -- Intervals compare with months of 30 days: only the time that they mean now counts.
        p_timeout := make_interval(secs => extract(epoch FROM (v_now + p_timeout) - v_now)::double precision);
        IF p_timeout < interval '0' OR p_timeout > interval '1 day' THEN
            RAISE EXCEPTION 'A cancel timer runs for at most a day.' USING ERRCODE = 'check_violation',
                CONSTRAINT = 'cancel_timers_run_for_a_day', TABLE = 'cancel_timers';
        ELSIF p_actor !~ '^[!-~]([ -~]*[!-~])?$' OR p_request_id !~ '^[!-~]+$'
           OR lower(p_actor) IN ('blotter', 'execution', 'compliance', 'sequencer') THEN
            RAISE EXCEPTION 'Refused by cancel_timers_words_are_visible.' USING ERRCODE = 'check_violation',
                CONSTRAINT = 'cancel_timers_words_are_visible', TABLE = 'cancel_timers';
        ELSIF p_timeout = interval '0' THEN
            DELETE FROM cancel_timers WHERE trader_id = acting_trader();
        ELSE
            INSERT INTO cancel_timers (trader_id, timeout, fires_at, set_at, actor, request_id)
            VALUES (acting_trader(), p_timeout, v_now + p_timeout, v_now, p_actor, p_request_id)
            ON CONFLICT (trader_id) DO UPDATE SET
                timeout = excluded.timeout, fires_at = excluded.fires_at, set_at = excluded.set_at,
                actor = excluded.actor, request_id = excluded.request_id
            RETURNING * INTO v_timer;
        END IF;
        RETURN v_timer;
    END $_$;

COMMENT ON FUNCTION public.set_cancel_timer(p_timeout interval, p_actor text, p_request_id text) IS 'Start the acting trader''s cancel timer anew; 0 switches it off';

CREATE FUNCTION public.signed_trader() RETURNS uuid
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    BEGIN
        RETURN CASE WHEN identity_is_signed() THEN nullif(current_setting('app.trader_id', true), '')::uuid END;
    END $$;

COMMENT ON FUNCTION public.signed_trader() IS 'The trader of the transaction; null if its identity is not signed';

CREATE FUNCTION public.submit_order(p_client_order_id text, p_request_digest bytea, p_symbol text, p_side public.order_side_enum, p_order_type public.order_type_enum, p_quantity integer, p_price numeric, p_stop_price numeric, p_stop_loss numeric, p_take_profit numeric, p_time_in_force public.time_in_force_enum, p_expires_at timestamp with time zone, p_account text, p_labels jsonb, p_parent_order_id text, p_currency text, p_security_id text, p_security_id_source public.security_id_source_enum, p_short_sale public.short_sale_enum, p_exempt_from_cancel_timer boolean, p_validate_only boolean, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    DECLARE
        v_trader_id uuid := acting_trader();
        v_state orders;
        v_event execution_logs;
        v_result record;
    BEGIN
        IF NOT p_validate_only THEN
            v_event.sequence := lock_sequence() + 1;
        END IF;
        SELECT orders.* INTO recorded FROM orders
        WHERE trader_id = v_trader_id AND client_order_id = p_client_order_id;
        IF FOUND THEN
            outcome := CASE WHEN recorded.request_digest = p_request_digest
                THEN 'REPLAYED' ELSE 'CLIENT_ORDER_ID_REUSED' END;
            RETURN;
        END IF;
        PERFORM FROM execution_logs WHERE trader_id = v_trader_id AND request_key = p_client_order_id;
        IF FOUND THEN
            outcome := 'CLIENT_ORDER_ID_REUSED';
            RETURN;
        END IF;
        v_event.created_at := clock_timestamp();
        IF p_expires_at <= v_event.created_at THEN
            outcome := 'EXPIRE_TIME_PAST';
            RETURN;
        END IF;
        v_state.id := gen_random_uuid();
        v_state.trader_id := v_trader_id;
        v_state.client_order_id := p_client_order_id;
        v_state.request_digest := p_request_digest;
        v_state.symbol := p_symbol;
        v_state.side := p_side;
        v_state.order_type := p_order_type;
        v_state.quantity := p_quantity;
        v_state.price := p_price;
        v_state.stop_price := p_stop_price;
        v_state.stop_loss := p_stop_loss;
        v_state.take_profit := p_take_profit;
        v_state.time_in_force := p_time_in_force;
        v_state.expires_at := p_expires_at;
        v_state.account := p_account;
        v_state.labels := p_labels;
        v_state.parent_order_id := p_parent_order_id;
        v_state.currency := p_currency;
        v_state.security_id := p_security_id;
        v_state.security_id_source := p_security_id_source;
        v_state.short_sale := p_short_sale;
        v_state.exempt_from_cancel_timer := coalesce(p_exempt_from_cancel_timer, false);
        v_state.status := 'PENDING';
        v_state.filled_quantity := 0;
        v_state.filled_notional := 0;
        v_state.excess_quantity := 0;
        v_state.at_venue := false;
        v_state.expiry_requested := false;
        v_state.created_at := v_event.created_at;
        IF p_validate_only THEN
            outcome := coalesce(terms_violation(v_state), 'VALID');
            RETURN;
        END IF;
        v_event.action := 'SUBMITTED';
        v_event.actor := p_actor;
        v_event.request_id := p_request_id;
        v_result := record_event(v_state, v_event, 0, 0, NULL);
        outcome := v_result.outcome;
        recorded := v_result.recorded;
    END $$;

COMMENT ON FUNCTION public.submit_order(p_client_order_id text, p_request_digest bytea, p_symbol text, p_side public.order_side_enum, p_order_type public.order_type_enum, p_quantity integer, p_price numeric, p_stop_price numeric, p_stop_loss numeric, p_take_profit numeric, p_time_in_force public.time_in_force_enum, p_expires_at timestamp with time zone, p_account text, p_labels jsonb, p_parent_order_id text, p_currency text, p_security_id text, p_security_id_source public.security_id_source_enum, p_short_sale public.short_sale_enum, p_exempt_from_cancel_timer boolean, p_validate_only boolean, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) IS 'Enter an order. APPLIED, REPLAYED, VALID, CLIENT_ORDER_ID_REUSED, EXPIRE_TIME_PAST or a violation of its terms';

CREATE FUNCTION public.submit_orders(p_orders jsonb, OUT outcome text, OUT recorded public.orders) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.submit_orders(p_orders jsonb, OUT outcome text, OUT recorded public.orders) IS 'Enter orders, as submit_order() does one after the other';

CREATE FUNCTION public.terms_violation(p_order public.orders) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    AS $$
    BEGIN
        IF p_order.order_type = 'MARKET' AND p_order.price IS NOT NULL THEN
            RETURN 'PRICE_NOT_ALLOWED';
        ELSIF p_order.order_type <> 'MARKET' AND p_order.price IS NULL THEN
            RETURN 'PRICE_REQUIRED';
        ELSIF p_order.order_type = 'STOP_LIMIT' AND p_order.stop_price IS NULL THEN
            RETURN 'STOP_PRICE_REQUIRED';
        ELSIF p_order.order_type <> 'STOP_LIMIT' AND p_order.stop_price IS NOT NULL THEN
            RETURN 'STOP_PRICE_NOT_ALLOWED';
        ELSIF p_order.side = 'BUY' AND p_order.stop_loss >= p_order.price
           OR p_order.side = 'SELL' AND p_order.stop_loss <= p_order.price THEN
            RETURN 'STOP_LOSS_BEYOND_PRICE';
        ELSIF p_order.side = 'BUY' AND p_order.take_profit <= p_order.price
           OR p_order.side = 'SELL' AND p_order.take_profit >= p_order.price THEN
            RETURN 'TAKE_PROFIT_BEYOND_PRICE';
        ELSIF p_order.side = 'BUY' AND p_order.stop_loss >= p_order.take_profit
           OR p_order.side = 'SELL' AND p_order.stop_loss <= p_order.take_profit THEN
            RETURN 'STOP_LOSS_BEYOND_TAKE_PROFIT';
        ELSIF p_order.time_in_force = 'GTD' AND p_order.expires_at IS NULL THEN
            RETURN 'EXPIRE_TIME_REQUIRED';
        ELSIF p_order.time_in_force <> 'GTD' AND p_order.expires_at IS NOT NULL THEN
            RETURN 'EXPIRE_TIME_NOT_ALLOWED';
        ELSIF p_order.expires_at >= '10000-01-01 00:00+00' THEN
            RETURN 'EXPIRE_TIME_NOT_ALLOWED';
        ELSIF 'NaN' IN (p_order.price, p_order.stop_price, p_order.stop_loss, p_order.take_profit)
           OR p_order.price <= 0 OR p_order.stop_price <= 0 OR p_order.stop_loss <= 0 OR p_order.take_profit <= 0 THEN
            RETURN 'PRICE_NOT_ALLOWED';
        ELSIF p_order.short_sale IS NOT NULL AND p_order.side <> 'SELL' THEN
            RETURN 'SHORT_SALE_OF_A_BUY';
        END IF;
        RETURN NULL;
    END $$;

COMMENT ON FUNCTION public.terms_violation(p_order public.orders) IS 'The first rule of an order''s terms that they break, or null';

CREATE TABLE public.ledger_head (
    id boolean DEFAULT true NOT NULL,
    size bigint DEFAULT 0 NOT NULL,
    incarnation text,
    next_xid bigint,
    open_xids bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    CONSTRAINT ck_ledger_head_id CHECK (id),
    CONSTRAINT ck_ledger_head_size CHECK ((size >= 0))
);

ALTER TABLE ONLY public.ledger_head FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.ledger_head IS 'Where the sequencer stands; one row';

COMMENT ON COLUMN public.ledger_head.size IS 'Number of entries';

COMMENT ON COLUMN public.ledger_head.incarnation IS 'The database this ledger grows in: system identifier and oid';

COMMENT ON COLUMN public.ledger_head.next_xid IS 'Transactions below it have been looked at; null: none has';

COMMENT ON COLUMN public.ledger_head.open_xids IS 'Those below next_xid that were still open then';

CREATE FUNCTION public.traders_with_news(p_head public.ledger_head, p_now pg_snapshot, p_most integer, OUT traders uuid[], OUT before_xid bigint) RETURNS record
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
        DECLARE
            v_running bigint[] := ARRAY(SELECT xid::text::bigint FROM pg_snapshot_xip(p_now) AS xid);
            v_range record;
            v_xid bigint;
            v_trader_id uuid;
            v_next record;
        BEGIN
            traders := '{}';
            before_xid := pg_snapshot_xmax(p_now)::text::bigint;
            -- What has ended since the last step: single transactions of those that were open then, and the ranges
            -- between those that are open now.
            FOR v_range IN
                SELECT xid AS low, xid + 1 AS high FROM unnest(p_head.open_xids) AS xid WHERE xid <> ALL (v_running)
                UNION ALL
                SELECT low, high FROM (
                    SELECT bound + 1 AS low, lead(bound, 1, before_xid) OVER (ORDER BY bound) AS high
                    FROM unnest(array_prepend(p_head.next_xid - 1, v_running)) AS bound
                    WHERE bound >= p_head.next_xid - 1) AS gaps
                WHERE low < high
                ORDER BY low
            LOOP
                v_xid := v_range.low - 1;
                v_trader_id := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
                LOOP
                    SELECT xid, trader_id INTO v_next FROM execution_logs
                    WHERE (xid, trader_id) > (v_xid, v_trader_id) AND xid < v_range.high
                    ORDER BY xid, trader_id LIMIT 1;
                    EXIT WHEN NOT FOUND;
                    IF cardinality(traders) >= p_most AND v_next.xid > v_xid THEN
                        before_xid := v_next.xid;  -- enough for one step, and no transaction is looked at in part
                        RETURN;
                    END IF;
                    v_xid := v_next.xid;
                    v_trader_id := v_next.trader_id;
                    traders := traders || v_trader_id;
                END LOOP;
            END LOOP;
        END $$;

COMMENT ON FUNCTION public.traders_with_news(p_head public.ledger_head, p_now pg_snapshot, p_most integer, OUT traders uuid[], OUT before_xid bigint) IS 'Traders of logs that were committed since the head was written, before a transaction id';

CREATE FUNCTION public.with_terms(p_order public.orders, p_terms jsonb) RETURNS public.orders
    LANGUAGE plpgsql STABLE
    AS $$
    BEGIN
        IF p_terms ? 'quantity' THEN
            -- Below what is filled, the quantity becomes what is filled.
            p_order.quantity := greatest((p_terms ->> 'quantity')::integer, p_order.filled_quantity);
        END IF;
        IF p_terms ? 'price' THEN
            p_order.price := p_terms ->> 'price';
        END IF;
        IF p_terms ? 'stop_price' THEN
            p_order.stop_price := p_terms ->> 'stop_price';
        END IF;
        IF p_terms ? 'stop_loss' THEN
            p_order.stop_loss := p_terms ->> 'stop_loss';
        END IF;
        IF p_terms ? 'take_profit' THEN
            p_order.take_profit := p_terms ->> 'take_profit';
        END IF;
        IF p_terms ? 'time_in_force' THEN
            p_order.time_in_force := p_terms ->> 'time_in_force';
        END IF;
        IF p_terms ? 'expires_at' THEN
            p_order.expires_at := p_terms ->> 'expires_at';
            p_order.expiry_requested := false;
        END IF;
        RETURN p_order;
    END $$;

COMMENT ON FUNCTION public.with_terms(p_order public.orders, p_terms jsonb) IS 'The order with the terms that are given';

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);

CREATE TABLE public.audit_accesses (
    id bigint NOT NULL,
    accessed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    login text DEFAULT CURRENT_USER NOT NULL,
    actor character varying(100) NOT NULL,
    request_id character varying(64) NOT NULL,
    method text NOT NULL,
    request jsonb NOT NULL
);

ALTER TABLE ONLY public.audit_accesses FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.audit_accesses IS 'Reads by compliance';

COMMENT ON COLUMN public.audit_accesses.login IS 'The database login that read';

COMMENT ON COLUMN public.audit_accesses.actor IS 'Who read, as the caller says';

COMMENT ON COLUMN public.audit_accesses.method IS 'The RPC';

COMMENT ON COLUMN public.audit_accesses.request IS 'What was asked for, filters included';

ALTER TABLE public.audit_accesses ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.audit_accesses_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.desks (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name character varying(100) NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_desks_name_not_empty CHECK ((length((name)::text) > 0))
);
ALTER TABLE ONLY public.desks ALTER COLUMN id SET STATISTICS 0;
ALTER TABLE ONLY public.desks ALTER COLUMN name SET STATISTICS 0;

ALTER TABLE ONLY public.desks FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.desks IS 'Groups of traders whose orders a supervisor reads';

CREATE TABLE public.fill_corrections (
    trader_id uuid NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    order_id uuid NOT NULL,
    fill_id uuid NOT NULL,
    sequence bigint NOT NULL,
    execution_id character varying(64) NOT NULL,
    trade_date date NOT NULL,
    venue character varying(50) NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    quantity integer NOT NULL,
    price numeric(18,8),
    commission numeric(18,8) NOT NULL,
    reason text,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT ck_fill_corrections_amounts CHECK ((((quantity = 0) = (price IS NULL)) AND (quantity >= 0) AND COALESCE(((price > (0)::numeric) AND (price <> 'NaN'::numeric)), true) AND (commission >= (0)::numeric) AND (commission <> 'NaN'::numeric)))
);
ALTER TABLE ONLY public.fill_corrections ALTER COLUMN trader_id SET STATISTICS 0;
ALTER TABLE ONLY public.fill_corrections ALTER COLUMN id SET STATISTICS 0;
ALTER TABLE ONLY public.fill_corrections ALTER COLUMN order_id SET STATISTICS 0;
ALTER TABLE ONLY public.fill_corrections ALTER COLUMN fill_id SET STATISTICS 0;
ALTER TABLE ONLY public.fill_corrections ALTER COLUMN execution_id SET STATISTICS 0;
ALTER TABLE ONLY public.fill_corrections ALTER COLUMN reason SET STATISTICS 0;

ALTER TABLE ONLY public.fill_corrections FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.fill_corrections IS 'Corrections and busts of fills: the newest of a fill is what stands';

COMMENT ON COLUMN public.fill_corrections.sequence IS 'Number of the event that recorded the correction';

COMMENT ON COLUMN public.fill_corrections.execution_id IS 'The venue''s id of the correction itself (FIX ExecID)';

COMMENT ON COLUMN public.fill_corrections.quantity IS 'Shares that stand; 0: the fill is busted';

CREATE TABLE public.fills (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    order_id uuid NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    quantity_filled integer NOT NULL,
    price_at_fill numeric(18,8) NOT NULL,
    venue character varying(50) NOT NULL,
    commission numeric(18,8) DEFAULT '0'::numeric NOT NULL,
    created_at timestamp with time zone NOT NULL,
    trader_id uuid NOT NULL,
    execution_id character varying(64) NOT NULL,
    sequence bigint NOT NULL,
    trade_date date NOT NULL,
    CONSTRAINT ck_fills_amounts_are_numbers CHECK ((('NaN'::numeric <> price_at_fill) AND ('NaN'::numeric <> commission))),
    CONSTRAINT ck_fills_commission_nonnegative CHECK ((commission >= (0)::numeric)),
    CONSTRAINT ck_fills_price_positive CHECK ((price_at_fill > (0)::numeric)),
    CONSTRAINT ck_fills_quantity_positive CHECK ((quantity_filled > 0))
);
ALTER TABLE ONLY public.fills ALTER COLUMN id SET STATISTICS 0;
ALTER TABLE ONLY public.fills ALTER COLUMN order_id SET STATISTICS 0;
ALTER TABLE ONLY public.fills ALTER COLUMN trader_id SET STATISTICS 0;
ALTER TABLE ONLY public.fills ALTER COLUMN execution_id SET STATISTICS 0;

ALTER TABLE ONLY public.fills FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.fills IS 'Fill events of orders';

COMMENT ON COLUMN public.fills.id IS 'Unique fill identifier';

COMMENT ON COLUMN public.fills."timestamp" IS 'When the fill happened';

COMMENT ON COLUMN public.fills.quantity_filled IS 'Shares filled';

COMMENT ON COLUMN public.fills.price_at_fill IS 'Price per share';

COMMENT ON COLUMN public.fills.venue IS 'Exchange name';

COMMENT ON COLUMN public.fills.created_at IS 'When the fill was recorded';

COMMENT ON COLUMN public.fills.execution_id IS 'The venue''s id of the fill (FIX ExecID)';

COMMENT ON COLUMN public.fills.sequence IS 'Number of the event that recorded the fill';

COMMENT ON COLUMN public.fills.trade_date IS 'Trade date (FIX tag 75)';

CREATE TABLE public.identity_keys (
    id smallint NOT NULL,
    inner_pad bytea NOT NULL,
    outer_pad bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    retired_at timestamp with time zone,
    CONSTRAINT ck_identity_keys_pads CHECK (((octet_length(inner_pad) = 64) AND (octet_length(outer_pad) = 64)))
);

ALTER TABLE ONLY public.identity_keys FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.identity_keys IS 'The keys that sign the identity of a transaction; none: it is not signed';

COMMENT ON COLUMN public.identity_keys.inner_pad IS 'The key, filled up to 64 bytes with 0, XOR 0x36 (RFC 2104)';

COMMENT ON COLUMN public.identity_keys.outer_pad IS 'The key, filled up to 64 bytes with 0, XOR 0x5c (RFC 2104)';

COMMENT ON COLUMN public.identity_keys.retired_at IS 'Since when its signatures are refused';

CREATE TABLE public.ledger_checkpoints (
    size bigint NOT NULL,
    root_hash bytea NOT NULL,
    note text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT ck_ledger_checkpoints_root_hash CHECK ((octet_length(root_hash) = 32)),
    CONSTRAINT ck_ledger_checkpoints_size CHECK ((size >= 0))
);

ALTER TABLE ONLY public.ledger_checkpoints FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.ledger_checkpoints IS 'Signed heads of the tree (C2SP tlog-checkpoint)';

CREATE TABLE public.ledger_cosignatures (
    size bigint NOT NULL,
    witness text NOT NULL,
    signature text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

ALTER TABLE ONLY public.ledger_cosignatures FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.ledger_cosignatures IS 'What witnesses signed (C2SP tlog-cosignature)';

COMMENT ON COLUMN public.ledger_cosignatures.signature IS 'The signature line of the note';

CREATE TABLE public.ledger_entries (
    "position" bigint NOT NULL,
    kind text NOT NULL,
    trader_id uuid,
    sequence bigint,
    leaf bytea NOT NULL,
    leaf_hash bytea GENERATED ALWAYS AS (sha256(('\x00'::bytea || leaf))) STORED NOT NULL,
    CONSTRAINT ck_ledger_entries_kind CHECK (
CASE kind
    WHEN 'EXECUTION_LOG'::text THEN ((trader_id IS NOT NULL) AND (sequence IS NOT NULL))
    WHEN 'KEYS'::text THEN ((trader_id IS NULL) AND (sequence IS NULL))
    WHEN 'BASELINE'::text THEN ((trader_id IS NULL) AND (sequence IS NULL))
    ELSE false
END),
    CONSTRAINT ck_ledger_entries_leaf CHECK (((octet_length(leaf) >= 1) AND (octet_length(leaf) <= 65535))),
    CONSTRAINT ck_ledger_entries_position CHECK (("position" >= 0))
);

ALTER TABLE ONLY public.ledger_entries FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.ledger_entries IS 'The leaves of the Merkle tree';

COMMENT ON COLUMN public.ledger_entries."position" IS 'Index in the tree, from 0, without a gap';

COMMENT ON COLUMN public.ledger_entries.kind IS 'What the leaf records: EXECUTION_LOG, KEYS or BASELINE';

COMMENT ON COLUMN public.ledger_entries.leaf IS 'The bytes that are hashed: canonical JSON (RFC 8785)';

COMMENT ON COLUMN public.ledger_entries.leaf_hash IS 'SHA-256(0x00 || leaf)';

CREATE TABLE public.ledger_tiles (
    level smallint NOT NULL,
    tile_index bigint NOT NULL,
    hashes bytea NOT NULL,
    root bytea NOT NULL,
    CONSTRAINT ck_ledger_tiles_hashes CHECK ((octet_length(hashes) = 8192)),
    CONSTRAINT ck_ledger_tiles_level CHECK (((level >= 0) AND (level <= 7))),
    CONSTRAINT ck_ledger_tiles_root CHECK ((octet_length(root) = 32)),
    CONSTRAINT ck_ledger_tiles_tile_index CHECK ((tile_index >= 0))
);
ALTER TABLE ONLY public.ledger_tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;

ALTER TABLE ONLY public.ledger_tiles FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.ledger_tiles IS 'Full tiles of the tree, 256 hashes each (C2SP tlog-tiles)';

COMMENT ON COLUMN public.ledger_tiles.root IS 'The root over the 256 hashes: a hash of the level above';

CREATE TABLE public.principals (
    issuer character varying(500) NOT NULL,
    subject character varying(2000) NOT NULL,
    kind text NOT NULL,
    trader_id uuid,
    desk_id uuid,
    actor character varying(100),
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    disabled_at timestamp with time zone,
    CONSTRAINT ck_principals_actor_printable CHECK (((actor)::text ~ '^[!-~]([ -~]*[!-~])?$'::text)),
    CONSTRAINT ck_principals_desk_of_kind CHECK (((kind = 'desk'::text) = (desk_id IS NOT NULL))),
    CONSTRAINT ck_principals_kind CHECK ((kind = ANY (ARRAY['trader'::text, 'execution'::text, 'compliance'::text, 'desk'::text]))),
    CONSTRAINT ck_principals_names_visible CHECK ((((issuer)::text ~ '^[^[:cntrl:][:space:]]+$'::text) AND ((subject)::text ~ '^[^[:cntrl:]]+$'::text))),
    CONSTRAINT ck_principals_trader_of_kind CHECK (((kind = 'trader'::text) = (trader_id IS NOT NULL)))
);
ALTER TABLE ONLY public.principals ALTER COLUMN subject SET STATISTICS 0;
ALTER TABLE ONLY public.principals ALTER COLUMN trader_id SET STATISTICS 0;
ALTER TABLE ONLY public.principals ALTER COLUMN desk_id SET STATISTICS 0;

ALTER TABLE ONLY public.principals FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.principals IS 'What the subjects of tokens and certificates may call as';

COMMENT ON COLUMN public.principals.issuer IS 'The issuer of the tokens (iss), or mtls for certificates';

COMMENT ON COLUMN public.principals.subject IS 'The subject of the tokens (sub), or the name in the certificate';

COMMENT ON COLUMN public.principals.actor IS 'The actor that logs record; null: the one of the token, or the subject';

COMMENT ON COLUMN public.principals.disabled_at IS 'Since when its calls are refused';

CREATE TABLE public.trader_sequences (
    trader_id uuid NOT NULL,
    last_sequence bigint
)
WITH (fillfactor='50');
ALTER TABLE ONLY public.trader_sequences ALTER COLUMN trader_id SET STATISTICS 0;

ALTER TABLE ONLY public.trader_sequences FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.trader_sequences IS 'Number of each trader''s last event; locked first by every writer';

CREATE TABLE public.traders (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name character varying(100) NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    disabled_at timestamp with time zone,
    desk_id uuid,
    CONSTRAINT ck_traders_name_not_empty CHECK ((length((name)::text) > 0))
);
ALTER TABLE ONLY public.traders ALTER COLUMN id SET STATISTICS 0;
ALTER TABLE ONLY public.traders ALTER COLUMN name SET STATISTICS 0;
ALTER TABLE ONLY public.traders ALTER COLUMN desk_id SET STATISTICS 0;

ALTER TABLE ONLY public.traders FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.traders IS 'Traders known to the blotter';

COMMENT ON COLUMN public.traders.id IS 'Unique trader identifier';

COMMENT ON COLUMN public.traders.name IS 'Name of the trader or desk';

COMMENT ON COLUMN public.traders.created_at IS 'When registered';

COMMENT ON COLUMN public.traders.disabled_at IS 'Since when the trader''s own calls are refused';

COMMENT ON COLUMN public.traders.desk_id IS 'The desk that the trader belongs to';

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

ALTER TABLE ONLY public.audit_accesses
    ADD CONSTRAINT audit_accesses_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.cancel_timers
    ADD CONSTRAINT cancel_timers_pkey PRIMARY KEY (trader_id);

ALTER TABLE ONLY public.desks
    ADD CONSTRAINT desks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.execution_logs
    ADD CONSTRAINT execution_logs_pkey PRIMARY KEY (trader_id, id);

ALTER TABLE ONLY public.fill_corrections
    ADD CONSTRAINT fill_corrections_pkey PRIMARY KEY (trader_id, id);

ALTER TABLE ONLY public.fills
    ADD CONSTRAINT fills_pkey PRIMARY KEY (trader_id, id);

ALTER TABLE ONLY public.identity_keys
    ADD CONSTRAINT identity_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.ledger_checkpoints
    ADD CONSTRAINT ledger_checkpoints_pkey PRIMARY KEY (size);

ALTER TABLE ONLY public.ledger_cosignatures
    ADD CONSTRAINT ledger_cosignatures_pkey PRIMARY KEY (size, witness);

ALTER TABLE ONLY public.ledger_entries
    ADD CONSTRAINT ledger_entries_pkey PRIMARY KEY ("position");

ALTER TABLE ONLY public.ledger_head
    ADD CONSTRAINT ledger_head_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.ledger_tiles
    ADD CONSTRAINT ledger_tiles_pkey PRIMARY KEY (level, tile_index);

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (trader_id, id);

ALTER TABLE ONLY public.principals
    ADD CONSTRAINT principals_pkey PRIMARY KEY (issuer, subject);

ALTER TABLE ONLY public.trader_sequences
    ADD CONSTRAINT trader_sequences_pkey PRIMARY KEY (trader_id);

ALTER TABLE ONLY public.traders
    ADD CONSTRAINT traders_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.execution_logs
    ADD CONSTRAINT uq_execution_logs_order_sequence UNIQUE (trader_id, order_id, sequence);

ALTER TABLE ONLY public.execution_logs
    ADD CONSTRAINT uq_execution_logs_sequence UNIQUE (trader_id, sequence);

ALTER TABLE ONLY public.fill_corrections
    ADD CONSTRAINT uq_fill_corrections_execution_id UNIQUE (trader_id, venue, trade_date, execution_id);

ALTER TABLE ONLY public.fill_corrections
    ADD CONSTRAINT uq_fill_corrections_fill UNIQUE (trader_id, fill_id, sequence);

ALTER TABLE ONLY public.fills
    ADD CONSTRAINT uq_fills_execution_id UNIQUE (trader_id, venue, trade_date, execution_id);

ALTER TABLE ONLY public.fills
    ADD CONSTRAINT uq_fills_sequence UNIQUE (trader_id, order_id, sequence);

ALTER TABLE ONLY public.ledger_entries
    ADD CONSTRAINT uq_ledger_entries_sequence UNIQUE (trader_id, sequence);

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT uq_orders_client_order_id UNIQUE (trader_id, client_order_id);

CREATE INDEX idx_audit_accesses_accessed_at ON public.audit_accesses USING btree (accessed_at, id);

CREATE INDEX idx_cancel_timers_fires_at ON public.cancel_timers USING btree (fires_at);

CREATE INDEX idx_execution_logs_action ON public.execution_logs USING btree (action);

CREATE INDEX idx_execution_logs_id ON public.execution_logs USING btree (id);

CREATE INDEX idx_execution_logs_order ON public.execution_logs USING btree (order_id);

CREATE INDEX idx_execution_logs_timestamp ON public.execution_logs USING btree ("timestamp", trader_id, sequence);

CREATE INDEX idx_execution_logs_trader_timestamp ON public.execution_logs USING btree (trader_id, "timestamp" DESC);

CREATE INDEX idx_execution_logs_xid_trader ON public.execution_logs USING btree (xid, trader_id);

CREATE INDEX idx_fills_order ON public.fills USING btree (order_id);

CREATE INDEX idx_fills_timestamp ON public.fills USING btree ("timestamp" DESC);

CREATE INDEX idx_ledger_entries_notes ON public.ledger_entries USING btree (kind, "position") WHERE (kind <> 'EXECUTION_LOG'::text);

CREATE INDEX idx_orders_expiring ON public.orders USING btree (expires_at) WHERE ((status = ANY (ARRAY['PENDING'::public.order_status_enum, 'PARTIAL'::public.order_status_enum])) AND (pending_kind IS NULL) AND (NOT expiry_requested));

CREATE INDEX idx_orders_id ON public.orders USING btree (id);

CREATE INDEX idx_orders_open ON public.orders USING btree (trader_id, created_at) WHERE (status = ANY (ARRAY['PENDING'::public.order_status_enum, 'PARTIAL'::public.order_status_enum]));

CREATE INDEX idx_orders_status ON public.orders USING btree (status);

CREATE INDEX idx_orders_trader_created ON public.orders USING btree (trader_id, created_at DESC);

CREATE INDEX idx_orders_trader_status ON public.orders USING btree (trader_id, status);

CREATE INDEX idx_orders_trader_updated ON public.orders USING btree (trader_id, updated_at DESC);

CREATE INDEX idx_traders_desk ON public.traders USING btree (desk_id) WHERE (desk_id IS NOT NULL);

CREATE UNIQUE INDEX uq_desks_name ON public.desks USING btree (lower((name)::text));

CREATE UNIQUE INDEX uq_execution_logs_report_id ON public.execution_logs USING btree (trader_id, report_id) WHERE (report_id IS NOT NULL);

CREATE UNIQUE INDEX uq_execution_logs_request_key ON public.execution_logs USING btree (trader_id, request_key) WHERE (request_key IS NOT NULL);

CREATE UNIQUE INDEX uq_traders_name ON public.traders USING btree (lower((name)::text));

CREATE TRIGGER audit_accesses_refuse_change BEFORE DELETE OR UPDATE ON public.audit_accesses FOR EACH ROW EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER audit_accesses_refuse_truncate BEFORE TRUNCATE ON public.audit_accesses FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER audit_accesses_words BEFORE INSERT ON public.audit_accesses FOR EACH ROW EXECUTE FUNCTION public.guard_access_words();

CREATE TRIGGER execution_logs_guard BEFORE INSERT ON public.execution_logs FOR EACH ROW EXECUTE FUNCTION public.guard_log();

CREATE TRIGGER execution_logs_refuse_change BEFORE DELETE OR UPDATE ON public.execution_logs FOR EACH ROW EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER execution_logs_refuse_truncate BEFORE TRUNCATE ON public.execution_logs FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER fill_corrections_guard BEFORE INSERT ON public.fill_corrections FOR EACH ROW EXECUTE FUNCTION public.guard_fill();

CREATE TRIGGER fill_corrections_refuse_change BEFORE DELETE OR UPDATE ON public.fill_corrections FOR EACH ROW EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER fill_corrections_refuse_truncate BEFORE TRUNCATE ON public.fill_corrections FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER fills_guard BEFORE INSERT ON public.fills FOR EACH ROW EXECUTE FUNCTION public.guard_fill();

CREATE TRIGGER fills_refuse_change BEFORE DELETE OR UPDATE ON public.fills FOR EACH ROW EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER fills_refuse_truncate BEFORE TRUNCATE ON public.fills FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER ledger_checkpoints_guard BEFORE INSERT ON public.ledger_checkpoints FOR EACH ROW EXECUTE FUNCTION public.guard_ledger_checkpoint();

CREATE TRIGGER ledger_checkpoints_refuse_change BEFORE DELETE OR UPDATE ON public.ledger_checkpoints FOR EACH ROW EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER ledger_checkpoints_refuse_truncate BEFORE TRUNCATE ON public.ledger_checkpoints FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER ledger_cosignatures_refuse_change BEFORE DELETE OR UPDATE ON public.ledger_cosignatures FOR EACH ROW EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER ledger_cosignatures_refuse_truncate BEFORE TRUNCATE ON public.ledger_cosignatures FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER ledger_entries_guard BEFORE INSERT ON public.ledger_entries FOR EACH ROW WHEN ((new.kind <> 'EXECUTION_LOG'::text)) EXECUTE FUNCTION public.guard_ledger_entry();

CREATE TRIGGER ledger_entries_guard_all AFTER INSERT ON public.ledger_entries REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION public.guard_ledger_entries();

CREATE TRIGGER ledger_entries_refuse_change BEFORE DELETE OR UPDATE ON public.ledger_entries FOR EACH ROW EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER ledger_entries_refuse_truncate BEFORE TRUNCATE ON public.ledger_entries FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER ledger_head_guard BEFORE DELETE OR UPDATE ON public.ledger_head FOR EACH ROW EXECUTE FUNCTION public.guard_ledger_head();

CREATE TRIGGER ledger_head_guard_truncate BEFORE TRUNCATE ON public.ledger_head FOR EACH STATEMENT EXECUTE FUNCTION public.guard_ledger_head();

CREATE TRIGGER ledger_tiles_guard AFTER INSERT ON public.ledger_tiles FOR EACH ROW EXECUTE FUNCTION public.guard_ledger_tile();

CREATE TRIGGER ledger_tiles_refuse_change BEFORE DELETE OR UPDATE ON public.ledger_tiles FOR EACH ROW EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER ledger_tiles_refuse_truncate BEFORE TRUNCATE ON public.ledger_tiles FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER orders_guard BEFORE INSERT OR UPDATE ON public.orders FOR EACH ROW EXECUTE FUNCTION public.guard_order();

CREATE TRIGGER trader_sequences_guard BEFORE DELETE OR UPDATE ON public.trader_sequences FOR EACH ROW EXECUTE FUNCTION public.guard_sequence();

CREATE TRIGGER trader_sequences_guard_truncate BEFORE TRUNCATE ON public.trader_sequences FOR EACH STATEMENT EXECUTE FUNCTION public.guard_sequence();

ALTER TABLE ONLY public.cancel_timers
    ADD CONSTRAINT cancel_timers_trader_id_fkey FOREIGN KEY (trader_id) REFERENCES public.traders(id);

ALTER TABLE ONLY public.execution_logs
    ADD CONSTRAINT fk_execution_logs_follow_without_gap FOREIGN KEY (trader_id, previous_sequence) REFERENCES public.execution_logs(trader_id, sequence);

ALTER TABLE ONLY public.execution_logs
    ADD CONSTRAINT fk_execution_logs_order_id FOREIGN KEY (trader_id, order_id) REFERENCES public.orders(trader_id, id);

ALTER TABLE ONLY public.fill_corrections
    ADD CONSTRAINT fk_fill_corrections_fill FOREIGN KEY (trader_id, fill_id) REFERENCES public.fills(trader_id, id);

ALTER TABLE ONLY public.fill_corrections
    ADD CONSTRAINT fk_fill_corrections_log FOREIGN KEY (trader_id, order_id, sequence) REFERENCES public.execution_logs(trader_id, order_id, sequence) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.fills
    ADD CONSTRAINT fk_fills_log FOREIGN KEY (trader_id, order_id, sequence) REFERENCES public.execution_logs(trader_id, order_id, sequence) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.fills
    ADD CONSTRAINT fk_fills_order_id FOREIGN KEY (trader_id, order_id) REFERENCES public.orders(trader_id, id);

ALTER TABLE ONLY public.ledger_cosignatures
    ADD CONSTRAINT fk_ledger_cosignatures_size FOREIGN KEY (size) REFERENCES public.ledger_checkpoints(size);

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT fk_orders_last_log FOREIGN KEY (trader_id, id, last_sequence) REFERENCES public.execution_logs(trader_id, order_id, sequence) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.principals
    ADD CONSTRAINT fk_principals_desk_id FOREIGN KEY (desk_id) REFERENCES public.desks(id);

ALTER TABLE ONLY public.principals
    ADD CONSTRAINT fk_principals_trader_id FOREIGN KEY (trader_id) REFERENCES public.traders(id);

ALTER TABLE ONLY public.trader_sequences
    ADD CONSTRAINT fk_trader_sequences_last_log FOREIGN KEY (trader_id, last_sequence) REFERENCES public.execution_logs(trader_id, sequence) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.trader_sequences
    ADD CONSTRAINT fk_trader_sequences_trader_id FOREIGN KEY (trader_id) REFERENCES public.traders(id);

ALTER TABLE ONLY public.traders
    ADD CONSTRAINT fk_traders_desk_id FOREIGN KEY (desk_id) REFERENCES public.desks(id);

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_trader_id_fkey FOREIGN KEY (trader_id) REFERENCES public.traders(id);

ALTER TABLE public.audit_accesses ENABLE ROW LEVEL SECURITY;

CREATE POLICY audit_accesses_compliance_reads_all ON public.audit_accesses FOR SELECT TO blotter_compliance USING (true);

CREATE POLICY audit_accesses_compliance_records ON public.audit_accesses FOR INSERT TO blotter_compliance WITH CHECK (true);

CREATE POLICY audit_accesses_compliance_signed ON public.audit_accesses AS RESTRICTIVE TO blotter_compliance USING (( SELECT public.identity_is_signed() AS identity_is_signed));

CREATE POLICY audit_accesses_immutable_delete ON public.audit_accesses AS RESTRICTIVE FOR DELETE USING (false);

CREATE POLICY audit_accesses_immutable_update ON public.audit_accesses AS RESTRICTIVE FOR UPDATE USING (false);

ALTER TABLE public.cancel_timers ENABLE ROW LEVEL SECURITY;

CREATE POLICY cancel_timers_compliance_reads_all ON public.cancel_timers FOR SELECT TO blotter_compliance USING (true);

CREATE POLICY cancel_timers_compliance_signed ON public.cancel_timers AS RESTRICTIVE FOR SELECT TO blotter_compliance USING (( SELECT public.identity_is_signed() AS identity_is_signed));

CREATE POLICY cancel_timers_execution_reads_all ON public.cancel_timers FOR SELECT TO blotter_execution USING (true);

CREATE POLICY cancel_timers_execution_signed ON public.cancel_timers AS RESTRICTIVE FOR SELECT TO blotter_execution USING (( SELECT public.identity_is_signed() AS identity_is_signed));

CREATE POLICY cancel_timers_trader_isolation ON public.cancel_timers FOR SELECT TO blotter_trader USING ((trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid));

CREATE POLICY cancel_timers_trader_signed ON public.cancel_timers AS RESTRICTIVE FOR SELECT TO blotter_trader USING ((trader_id = ( SELECT public.signed_trader() AS signed_trader)));

CREATE POLICY cancel_timers_writer_named ON public.cancel_timers TO blotter_writer USING (((CURRENT_USER = 'blotter_writer'::name) AND (trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid)));

ALTER TABLE public.desks ENABLE ROW LEVEL SECURITY;

CREATE POLICY desks_desk_isolation ON public.desks FOR SELECT TO blotter_desk USING ((id = (NULLIF(current_setting('app.desk_id'::text, true), ''::text))::uuid));

CREATE POLICY desks_execution_reads_all ON public.desks FOR SELECT TO blotter_execution USING (true);

CREATE POLICY desks_owner_registers ON public.desks TO blotter_owner USING (true);

ALTER TABLE public.execution_logs ENABLE ROW LEVEL SECURITY;

CREATE POLICY execution_logs_compliance_reads_all ON public.execution_logs FOR SELECT TO blotter_compliance USING (true);

CREATE POLICY execution_logs_compliance_signed ON public.execution_logs AS RESTRICTIVE FOR SELECT TO blotter_compliance USING (( SELECT public.identity_is_signed() AS identity_is_signed));

CREATE POLICY execution_logs_desk_isolation ON public.execution_logs FOR SELECT TO blotter_desk USING ((trader_id = ANY (( SELECT public.desk_traders() AS desk_traders)::uuid[])));

CREATE POLICY execution_logs_execution_reads_all ON public.execution_logs FOR SELECT TO blotter_execution USING (true);

CREATE POLICY execution_logs_execution_signed ON public.execution_logs AS RESTRICTIVE FOR SELECT TO blotter_execution USING (( SELECT public.identity_is_signed() AS identity_is_signed));

CREATE POLICY execution_logs_immutable ON public.execution_logs AS RESTRICTIVE FOR UPDATE USING (false);

CREATE POLICY execution_logs_immutable_delete ON public.execution_logs AS RESTRICTIVE FOR DELETE USING (false);

CREATE POLICY execution_logs_sequencer_reads_all ON public.execution_logs FOR SELECT TO blotter_sequencer USING (true);

CREATE POLICY execution_logs_trader_isolation ON public.execution_logs FOR SELECT TO blotter_trader USING ((trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid));

CREATE POLICY execution_logs_trader_signed ON public.execution_logs AS RESTRICTIVE FOR SELECT TO blotter_trader USING ((trader_id = ( SELECT public.signed_trader() AS signed_trader)));

CREATE POLICY execution_logs_writer_named ON public.execution_logs TO blotter_writer USING (((CURRENT_USER = 'blotter_writer'::name) AND (trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid)));

ALTER TABLE public.fill_corrections ENABLE ROW LEVEL SECURITY;

CREATE POLICY fill_corrections_compliance_reads_all ON public.fill_corrections FOR SELECT TO blotter_compliance USING (true);

CREATE POLICY fill_corrections_compliance_signed ON public.fill_corrections AS RESTRICTIVE FOR SELECT TO blotter_compliance USING (( SELECT public.identity_is_signed() AS identity_is_signed));

CREATE POLICY fill_corrections_desk_isolation ON public.fill_corrections FOR SELECT TO blotter_desk USING ((trader_id = ANY (( SELECT public.desk_traders() AS desk_traders)::uuid[])));

CREATE POLICY fill_corrections_execution_reads_all ON public.fill_corrections FOR SELECT TO blotter_execution USING (true);

CREATE POLICY fill_corrections_execution_signed ON public.fill_corrections AS RESTRICTIVE FOR SELECT TO blotter_execution USING (( SELECT public.identity_is_signed() AS identity_is_signed));

CREATE POLICY fill_corrections_immutable_delete ON public.fill_corrections AS RESTRICTIVE FOR DELETE USING (false);

CREATE POLICY fill_corrections_immutable_update ON public.fill_corrections AS RESTRICTIVE FOR UPDATE USING (false);

CREATE POLICY fill_corrections_trader_isolation ON public.fill_corrections FOR SELECT TO blotter_trader USING ((trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid));

CREATE POLICY fill_corrections_trader_signed ON public.fill_corrections AS RESTRICTIVE FOR SELECT TO blotter_trader USING ((trader_id = ( SELECT public.signed_trader() AS signed_trader)));

CREATE POLICY fill_corrections_writer_named ON public.fill_corrections TO blotter_writer USING (((CURRENT_USER = 'blotter_writer'::name) AND (trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid)));

ALTER TABLE public.fills ENABLE ROW LEVEL SECURITY;

CREATE POLICY fills_compliance_reads_all ON public.fills FOR SELECT TO blotter_compliance USING (true);

CREATE POLICY fills_compliance_signed ON public.fills AS RESTRICTIVE FOR SELECT TO blotter_compliance USING (( SELECT public.identity_is_signed() AS identity_is_signed));

CREATE POLICY fills_desk_isolation ON public.fills FOR SELECT TO blotter_desk USING ((trader_id = ANY (( SELECT public.desk_traders() AS desk_traders)::uuid[])));

CREATE POLICY fills_execution_reads_all ON public.fills FOR SELECT TO blotter_execution USING (true);

CREATE POLICY fills_execution_signed ON public.fills AS RESTRICTIVE FOR SELECT TO blotter_execution USING (( SELECT public.identity_is_signed() AS identity_is_signed));

CREATE POLICY fills_trader_isolation ON public.fills FOR SELECT TO blotter_trader USING ((trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid));

CREATE POLICY fills_trader_signed ON public.fills AS RESTRICTIVE FOR SELECT TO blotter_trader USING ((trader_id = ( SELECT public.signed_trader() AS signed_trader)));

CREATE POLICY fills_writer_named ON public.fills TO blotter_writer USING (((CURRENT_USER = 'blotter_writer'::name) AND (trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid)));

ALTER TABLE public.identity_keys ENABLE ROW LEVEL SECURITY;

CREATE POLICY identity_keys_owner_registers ON public.identity_keys TO blotter_owner USING (true);

CREATE POLICY identity_keys_writer_verifies ON public.identity_keys FOR SELECT TO blotter_writer USING ((CURRENT_USER = 'blotter_writer'::name));

ALTER TABLE public.ledger_checkpoints ENABLE ROW LEVEL SECURITY;

CREATE POLICY ledger_checkpoints_compliance_reads_all ON public.ledger_checkpoints FOR SELECT TO blotter_compliance USING (true);

CREATE POLICY ledger_checkpoints_execution_reads_all ON public.ledger_checkpoints FOR SELECT TO blotter_execution USING (true);

CREATE POLICY ledger_checkpoints_immutable_delete ON public.ledger_checkpoints AS RESTRICTIVE FOR DELETE USING (false);

CREATE POLICY ledger_checkpoints_immutable_update ON public.ledger_checkpoints AS RESTRICTIVE FOR UPDATE USING (false);

CREATE POLICY ledger_checkpoints_sequencer_writes ON public.ledger_checkpoints TO blotter_sequencer USING (true);

ALTER TABLE public.ledger_cosignatures ENABLE ROW LEVEL SECURITY;

CREATE POLICY ledger_cosignatures_compliance_reads_all ON public.ledger_cosignatures FOR SELECT TO blotter_compliance USING (true);

CREATE POLICY ledger_cosignatures_execution_reads_all ON public.ledger_cosignatures FOR SELECT TO blotter_execution USING (true);

CREATE POLICY ledger_cosignatures_immutable_delete ON public.ledger_cosignatures AS RESTRICTIVE FOR DELETE USING (false);

CREATE POLICY ledger_cosignatures_immutable_update ON public.ledger_cosignatures AS RESTRICTIVE FOR UPDATE USING (false);

CREATE POLICY ledger_cosignatures_sequencer_writes ON public.ledger_cosignatures TO blotter_sequencer USING (true);

ALTER TABLE public.ledger_entries ENABLE ROW LEVEL SECURITY;

CREATE POLICY ledger_entries_compliance_reads_all ON public.ledger_entries FOR SELECT TO blotter_compliance USING (true);

CREATE POLICY ledger_entries_compliance_signed ON public.ledger_entries AS RESTRICTIVE FOR SELECT TO blotter_compliance USING (( SELECT public.identity_is_signed() AS identity_is_signed));

CREATE POLICY ledger_entries_desk_isolation ON public.ledger_entries FOR SELECT TO blotter_desk USING ((trader_id = ANY (( SELECT public.desk_traders() AS desk_traders)::uuid[])));

CREATE POLICY ledger_entries_execution_reads_all ON public.ledger_entries FOR SELECT TO blotter_execution USING (true);

CREATE POLICY ledger_entries_execution_signed ON public.ledger_entries AS RESTRICTIVE FOR SELECT TO blotter_execution USING (( SELECT public.identity_is_signed() AS identity_is_signed));

CREATE POLICY ledger_entries_immutable_delete ON public.ledger_entries AS RESTRICTIVE FOR DELETE USING (false);

CREATE POLICY ledger_entries_immutable_update ON public.ledger_entries AS RESTRICTIVE FOR UPDATE USING (false);

CREATE POLICY ledger_entries_sequencer_writes ON public.ledger_entries TO blotter_sequencer USING (true);

ALTER TABLE public.ledger_head ENABLE ROW LEVEL SECURITY;

CREATE POLICY ledger_head_compliance_reads_all ON public.ledger_head FOR SELECT TO blotter_compliance USING (true);

CREATE POLICY ledger_head_desk_reads ON public.ledger_head FOR SELECT TO blotter_desk USING (true);

CREATE POLICY ledger_head_execution_reads_all ON public.ledger_head FOR SELECT TO blotter_execution USING (true);

CREATE POLICY ledger_head_sequencer_writes ON public.ledger_head TO blotter_sequencer USING (true);

ALTER TABLE public.ledger_tiles ENABLE ROW LEVEL SECURITY;

CREATE POLICY ledger_tiles_compliance_reads_all ON public.ledger_tiles FOR SELECT TO blotter_compliance USING (true);

CREATE POLICY ledger_tiles_execution_reads_all ON public.ledger_tiles FOR SELECT TO blotter_execution USING (true);

CREATE POLICY ledger_tiles_immutable_delete ON public.ledger_tiles AS RESTRICTIVE FOR DELETE USING (false);

CREATE POLICY ledger_tiles_immutable_update ON public.ledger_tiles AS RESTRICTIVE FOR UPDATE USING (false);

CREATE POLICY ledger_tiles_sequencer_writes ON public.ledger_tiles TO blotter_sequencer USING (true);

ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY;

CREATE POLICY orders_compliance_reads_all ON public.orders FOR SELECT TO blotter_compliance USING (true);

CREATE POLICY orders_compliance_signed ON public.orders AS RESTRICTIVE FOR SELECT TO blotter_compliance USING (( SELECT public.identity_is_signed() AS identity_is_signed));

CREATE POLICY orders_desk_isolation ON public.orders FOR SELECT TO blotter_desk USING ((trader_id = ANY (( SELECT public.desk_traders() AS desk_traders)::uuid[])));

CREATE POLICY orders_execution_reads_all ON public.orders FOR SELECT TO blotter_execution USING (true);

CREATE POLICY orders_execution_signed ON public.orders AS RESTRICTIVE FOR SELECT TO blotter_execution USING (( SELECT public.identity_is_signed() AS identity_is_signed));

CREATE POLICY orders_trader_isolation ON public.orders FOR SELECT TO blotter_trader USING ((trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid));

CREATE POLICY orders_trader_signed ON public.orders AS RESTRICTIVE FOR SELECT TO blotter_trader USING ((trader_id = ( SELECT public.signed_trader() AS signed_trader)));

CREATE POLICY orders_writer_named ON public.orders TO blotter_writer USING (((CURRENT_USER = 'blotter_writer'::name) AND (trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid)));

ALTER TABLE public.principals ENABLE ROW LEVEL SECURITY;

CREATE POLICY principals_execution_reads_all ON public.principals FOR SELECT TO blotter_execution USING (true);

CREATE POLICY principals_execution_signed ON public.principals AS RESTRICTIVE FOR SELECT TO blotter_execution USING (( SELECT public.identity_is_signed() AS identity_is_signed));

CREATE POLICY principals_owner_registers ON public.principals TO blotter_owner USING (true);

ALTER TABLE public.trader_sequences ENABLE ROW LEVEL SECURITY;

CREATE POLICY trader_sequences_compliance_reads_all ON public.trader_sequences FOR SELECT TO blotter_compliance USING (true);

CREATE POLICY trader_sequences_compliance_signed ON public.trader_sequences AS RESTRICTIVE FOR SELECT TO blotter_compliance USING (( SELECT public.identity_is_signed() AS identity_is_signed));

CREATE POLICY trader_sequences_execution_reads_all ON public.trader_sequences FOR SELECT TO blotter_execution USING (true);

CREATE POLICY trader_sequences_execution_signed ON public.trader_sequences AS RESTRICTIVE FOR SELECT TO blotter_execution USING (( SELECT public.identity_is_signed() AS identity_is_signed));

CREATE POLICY trader_sequences_sequencer_reads_all ON public.trader_sequences FOR SELECT TO blotter_sequencer USING (true);

CREATE POLICY trader_sequences_trader_isolation ON public.trader_sequences FOR SELECT TO blotter_trader USING ((trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid));

CREATE POLICY trader_sequences_trader_signed ON public.trader_sequences AS RESTRICTIVE FOR SELECT TO blotter_trader USING ((trader_id = ( SELECT public.signed_trader() AS signed_trader)));

CREATE POLICY trader_sequences_writer_named ON public.trader_sequences TO blotter_writer USING (((CURRENT_USER = 'blotter_writer'::name) AND (trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid)));

ALTER TABLE public.traders ENABLE ROW LEVEL SECURITY;

CREATE POLICY traders_compliance_reads_all ON public.traders FOR SELECT TO blotter_compliance USING (true);

CREATE POLICY traders_desk_isolation ON public.traders FOR SELECT TO blotter_desk USING ((desk_id = (NULLIF(current_setting('app.desk_id'::text, true), ''::text))::uuid));

CREATE POLICY traders_execution_reads_all ON public.traders FOR SELECT TO blotter_execution USING (true);

CREATE POLICY traders_owner_registers ON public.traders TO blotter_owner USING (true);

CREATE POLICY traders_trader_isolation ON public.traders FOR SELECT TO blotter_trader USING ((id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid));

REVOKE USAGE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO blotter_trader;
GRANT USAGE ON SCHEMA public TO blotter_execution;
GRANT USAGE ON SCHEMA public TO blotter_compliance;
GRANT USAGE ON SCHEMA public TO blotter_sequencer;
GRANT USAGE ON SCHEMA public TO blotter_writer;
GRANT USAGE ON SCHEMA public TO blotter_desk;

REVOKE ALL ON FUNCTION public.act_as(p_trader_id uuid, p_desk_id uuid, p_identity text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.act_as(p_trader_id uuid, p_desk_id uuid, p_identity text) TO blotter_trader;
GRANT ALL ON FUNCTION public.act_as(p_trader_id uuid, p_desk_id uuid, p_identity text) TO blotter_execution;
GRANT ALL ON FUNCTION public.act_as(p_trader_id uuid, p_desk_id uuid, p_identity text) TO blotter_compliance;
GRANT ALL ON FUNCTION public.act_as(p_trader_id uuid, p_desk_id uuid, p_identity text) TO blotter_desk;

REVOKE ALL ON FUNCTION public.acting_trader() FROM PUBLIC;
GRANT ALL ON FUNCTION public.acting_trader() TO blotter_writer;
GRANT ALL ON FUNCTION public.acting_trader() TO blotter_trader;

REVOKE ALL ON FUNCTION public.append_note_to_ledger(p_size bigint, p_kind text, p_leaf bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION public.append_note_to_ledger(p_size bigint, p_kind text, p_leaf bytea) TO blotter_sequencer;

REVOKE ALL ON FUNCTION public.append_to_ledger(p_size bigint, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.append_to_ledger(p_size bigint, p_most integer) TO blotter_sequencer;

GRANT SELECT ON TABLE public.execution_logs TO blotter_trader;
GRANT SELECT ON TABLE public.execution_logs TO blotter_execution;
GRANT SELECT ON TABLE public.execution_logs TO blotter_compliance;
GRANT SELECT ON TABLE public.execution_logs TO blotter_sequencer;
GRANT SELECT,INSERT ON TABLE public.execution_logs TO blotter_writer;
GRANT SELECT ON TABLE public.execution_logs TO blotter_desk;

GRANT SELECT ON TABLE public.orders TO blotter_trader;
GRANT SELECT ON TABLE public.orders TO blotter_execution;
GRANT SELECT ON TABLE public.orders TO blotter_compliance;
GRANT SELECT,INSERT,UPDATE ON TABLE public.orders TO blotter_writer;
GRANT SELECT ON TABLE public.orders TO blotter_desk;

REVOKE ALL ON FUNCTION public.apply_event(INOUT state public.orders, INOUT event public.execution_logs, p_quantity bigint, p_notional numeric, OUT refusal text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.apply_event(INOUT state public.orders, INOUT event public.execution_logs, p_quantity bigint, p_notional numeric, OUT refusal text) TO blotter_writer;

REVOKE ALL ON FUNCTION public.cancel_open_orders(p_symbol text, p_reason text, p_actor text, p_request_id text, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.cancel_open_orders(p_symbol text, p_reason text, p_actor text, p_request_id text, p_most integer) TO blotter_trader;

REVOKE ALL ON FUNCTION public.cancel_order(p_order_id uuid, p_client_order_id text, p_request_key text, p_request_digest bytea, p_reason text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) FROM PUBLIC;
GRANT ALL ON FUNCTION public.cancel_order(p_order_id uuid, p_client_order_id text, p_request_key text, p_request_digest bytea, p_reason text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) TO blotter_trader;

REVOKE ALL ON FUNCTION public.cancel_orders(p_order_ids uuid[], p_sequence bigint, p_reason text, p_actor text, p_request_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.cancel_orders(p_order_ids uuid[], p_sequence bigint, p_reason text, p_actor text, p_request_id text) TO blotter_writer;

REVOKE ALL ON FUNCTION public.canonical_decimal(p_value numeric) FROM PUBLIC;
GRANT ALL ON FUNCTION public.canonical_decimal(p_value numeric) TO blotter_sequencer;
GRANT ALL ON FUNCTION public.canonical_decimal(p_value numeric) TO blotter_compliance;

REVOKE ALL ON FUNCTION public.canonical_json(p_text text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.canonical_json(p_text text) TO blotter_sequencer;
GRANT ALL ON FUNCTION public.canonical_json(p_text text) TO blotter_compliance;

REVOKE ALL ON FUNCTION public.canonical_object(p_object jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.canonical_object(p_object jsonb) TO blotter_sequencer;
GRANT ALL ON FUNCTION public.canonical_object(p_object jsonb) TO blotter_compliance;

REVOKE ALL ON FUNCTION public.canonical_terms(p_terms jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.canonical_terms(p_terms jsonb) TO blotter_writer;

REVOKE ALL ON FUNCTION public.canonical_time(p_time timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.canonical_time(p_time timestamp with time zone) TO blotter_sequencer;
GRANT ALL ON FUNCTION public.canonical_time(p_time timestamp with time zone) TO blotter_compliance;

REVOKE ALL ON FUNCTION public.database_condition(OUT oldest_transaction_seconds double precision, OUT xmin_age bigint, OUT counter_table_bytes bigint, OUT counter_dead_rows bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.database_condition(OUT oldest_transaction_seconds double precision, OUT xmin_age bigint, OUT counter_table_bytes bigint, OUT counter_dead_rows bigint) TO blotter_execution;

REVOKE ALL ON FUNCTION public.desk_traders() FROM PUBLIC;
GRANT ALL ON FUNCTION public.desk_traders() TO blotter_desk;

REVOKE ALL ON FUNCTION public.execution_log_leaf(p_log public.execution_logs) FROM PUBLIC;
GRANT ALL ON FUNCTION public.execution_log_leaf(p_log public.execution_logs) TO blotter_sequencer;
GRANT ALL ON FUNCTION public.execution_log_leaf(p_log public.execution_logs) TO blotter_compliance;

REVOKE ALL ON FUNCTION public.expire_orders(p_request_id text, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.expire_orders(p_request_id text, p_most integer) TO blotter_execution;

REVOKE ALL ON FUNCTION public.find_order(p_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.find_order(p_key text) TO blotter_writer;
GRANT ALL ON FUNCTION public.find_order(p_key text) TO blotter_trader;

REVOKE ALL ON FUNCTION public.fire_cancel_timer(p_request_id text, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.fire_cancel_timer(p_request_id text, p_most integer) TO blotter_execution;

REVOKE ALL ON FUNCTION public.get_order(p_order_id uuid, p_client_order_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_order(p_order_id uuid, p_client_order_id text) TO blotter_trader;
GRANT ALL ON FUNCTION public.get_order(p_order_id uuid, p_client_order_id text) TO blotter_desk;

REVOKE ALL ON FUNCTION public.guard_fill() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.guard_log() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.guard_order() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.identity_is_signed() FROM PUBLIC;
GRANT ALL ON FUNCTION public.identity_is_signed() TO blotter_trader;
GRANT ALL ON FUNCTION public.identity_is_signed() TO blotter_execution;
GRANT ALL ON FUNCTION public.identity_is_signed() TO blotter_compliance;
GRANT ALL ON FUNCTION public.identity_is_signed() TO blotter_desk;

REVOKE ALL ON FUNCTION public.ledger_incarnation() FROM PUBLIC;
GRANT ALL ON FUNCTION public.ledger_incarnation() TO blotter_sequencer;

REVOKE ALL ON FUNCTION public.lock_sequence() FROM PUBLIC;
GRANT ALL ON FUNCTION public.lock_sequence() TO blotter_writer;

REVOKE ALL ON FUNCTION public.lock_sequence_at_once() FROM PUBLIC;
GRANT ALL ON FUNCTION public.lock_sequence_at_once() TO blotter_writer;

REVOKE ALL ON FUNCTION public.nfkc(p_text text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.nfkc(p_text text) TO blotter_writer;

REVOKE ALL ON FUNCTION public.order_requests(p_order_id uuid, p_client_order_id text, p_before bigint, p_limit bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.order_requests(p_order_id uuid, p_client_order_id text, p_before bigint, p_limit bigint) TO blotter_trader;
GRANT ALL ON FUNCTION public.order_requests(p_order_id uuid, p_client_order_id text, p_before bigint, p_limit bigint) TO blotter_desk;

REVOKE ALL ON FUNCTION public.order_status(p_quantity integer, p_filled_quantity integer, p_closed_as public.order_status_enum) FROM PUBLIC;
GRANT ALL ON FUNCTION public.order_status(p_quantity integer, p_filled_quantity integer, p_closed_as public.order_status_enum) TO blotter_writer;

REVOKE ALL ON FUNCTION public.probe_writing() FROM PUBLIC;
GRANT ALL ON FUNCTION public.probe_writing() TO blotter_execution;

REVOKE ALL ON FUNCTION public.rebaseline_ledger() FROM PUBLIC;
GRANT ALL ON FUNCTION public.rebaseline_ledger() TO blotter_sequencer;

REVOKE ALL ON FUNCTION public.record_event(p_state public.orders, p_event public.execution_logs, p_quantity bigint, p_notional numeric, p_refusal text, OUT outcome text, OUT recorded public.orders) FROM PUBLIC;
GRANT ALL ON FUNCTION public.record_event(p_state public.orders, p_event public.execution_logs, p_quantity bigint, p_notional numeric, p_refusal text, OUT outcome text, OUT recorded public.orders) TO blotter_writer;

REVOKE ALL ON FUNCTION public.replace_order(p_order_id uuid, p_client_order_id text, p_request_key text, p_request_digest bytea, p_terms jsonb, p_expected_sequence bigint, p_reason text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) FROM PUBLIC;
GRANT ALL ON FUNCTION public.replace_order(p_order_id uuid, p_client_order_id text, p_request_key text, p_request_digest bytea, p_terms jsonb, p_expected_sequence bigint, p_reason text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) TO blotter_trader;

REVOKE ALL ON FUNCTION public.report_execution(p_order_id uuid, p_report_id text, p_report_digest bytea, p_action public.action_enum, p_timestamp timestamp with time zone, p_venue text, p_reason text, p_error_code text, p_retry_attempt integer, p_execution_id text, p_trade_date date, p_ref_execution_id text, p_ref_trade_date date, p_quantity integer, p_price numeric, p_commission numeric, p_request_key text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) FROM PUBLIC;
GRANT ALL ON FUNCTION public.report_execution(p_order_id uuid, p_report_id text, p_report_digest bytea, p_action public.action_enum, p_timestamp timestamp with time zone, p_venue text, p_reason text, p_error_code text, p_retry_attempt integer, p_execution_id text, p_trade_date date, p_ref_execution_id text, p_ref_trade_date date, p_quantity integer, p_price numeric, p_commission numeric, p_request_key text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) TO blotter_execution;

REVOKE ALL ON FUNCTION public.request_order(p_action public.action_enum, p_order_id uuid, p_client_order_id text, p_request_key text, p_request_digest bytea, p_terms jsonb, p_expected_sequence bigint, p_reason text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) FROM PUBLIC;
GRANT ALL ON FUNCTION public.request_order(p_action public.action_enum, p_order_id uuid, p_client_order_id text, p_request_key text, p_request_digest bytea, p_terms jsonb, p_expected_sequence bigint, p_reason text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) TO blotter_writer;

REVOKE ALL ON FUNCTION public.schema_compatibility(OUT serves_from text, OUT release text, OUT policies_and_grants text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.schema_compatibility(OUT serves_from text, OUT release text, OUT policies_and_grants text) TO blotter_trader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.cancel_timers TO blotter_writer;
GRANT SELECT ON TABLE public.cancel_timers TO blotter_trader;
GRANT SELECT ON TABLE public.cancel_timers TO blotter_execution;
GRANT SELECT ON TABLE public.cancel_timers TO blotter_compliance;

REVOKE ALL ON FUNCTION public.set_cancel_timer(p_timeout interval, p_actor text, p_request_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.set_cancel_timer(p_timeout interval, p_actor text, p_request_id text) TO blotter_trader;

REVOKE ALL ON FUNCTION public.signed_trader() FROM PUBLIC;
GRANT ALL ON FUNCTION public.signed_trader() TO blotter_trader;

REVOKE ALL ON FUNCTION public.submit_order(p_client_order_id text, p_request_digest bytea, p_symbol text, p_side public.order_side_enum, p_order_type public.order_type_enum, p_quantity integer, p_price numeric, p_stop_price numeric, p_stop_loss numeric, p_take_profit numeric, p_time_in_force public.time_in_force_enum, p_expires_at timestamp with time zone, p_account text, p_labels jsonb, p_parent_order_id text, p_currency text, p_security_id text, p_security_id_source public.security_id_source_enum, p_short_sale public.short_sale_enum, p_exempt_from_cancel_timer boolean, p_validate_only boolean, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) FROM PUBLIC;
GRANT ALL ON FUNCTION public.submit_order(p_client_order_id text, p_request_digest bytea, p_symbol text, p_side public.order_side_enum, p_order_type public.order_type_enum, p_quantity integer, p_price numeric, p_stop_price numeric, p_stop_loss numeric, p_take_profit numeric, p_time_in_force public.time_in_force_enum, p_expires_at timestamp with time zone, p_account text, p_labels jsonb, p_parent_order_id text, p_currency text, p_security_id text, p_security_id_source public.security_id_source_enum, p_short_sale public.short_sale_enum, p_exempt_from_cancel_timer boolean, p_validate_only boolean, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) TO blotter_trader;

REVOKE ALL ON FUNCTION public.submit_orders(p_orders jsonb, OUT outcome text, OUT recorded public.orders) FROM PUBLIC;
GRANT ALL ON FUNCTION public.submit_orders(p_orders jsonb, OUT outcome text, OUT recorded public.orders) TO blotter_trader;

REVOKE ALL ON FUNCTION public.terms_violation(p_order public.orders) FROM PUBLIC;
GRANT ALL ON FUNCTION public.terms_violation(p_order public.orders) TO blotter_writer;

GRANT SELECT ON TABLE public.ledger_head TO blotter_execution;
GRANT SELECT ON TABLE public.ledger_head TO blotter_compliance;
GRANT SELECT ON TABLE public.ledger_head TO blotter_sequencer;
GRANT SELECT ON TABLE public.ledger_head TO blotter_desk;

GRANT INSERT(id) ON TABLE public.ledger_head TO blotter_sequencer;

GRANT UPDATE(size) ON TABLE public.ledger_head TO blotter_sequencer;

GRANT UPDATE(incarnation) ON TABLE public.ledger_head TO blotter_sequencer;

GRANT UPDATE(next_xid) ON TABLE public.ledger_head TO blotter_sequencer;

GRANT UPDATE(open_xids) ON TABLE public.ledger_head TO blotter_sequencer;

REVOKE ALL ON FUNCTION public.traders_with_news(p_head public.ledger_head, p_now pg_snapshot, p_most integer, OUT traders uuid[], OUT before_xid bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.traders_with_news(p_head public.ledger_head, p_now pg_snapshot, p_most integer, OUT traders uuid[], OUT before_xid bigint) TO blotter_sequencer;

REVOKE ALL ON FUNCTION public.with_terms(p_order public.orders, p_terms jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.with_terms(p_order public.orders, p_terms jsonb) TO blotter_writer;

GRANT SELECT ON TABLE public.alembic_version TO blotter_trader;
GRANT SELECT ON TABLE public.alembic_version TO blotter_execution;
GRANT SELECT ON TABLE public.alembic_version TO blotter_compliance;
GRANT SELECT ON TABLE public.alembic_version TO blotter_sequencer;
GRANT SELECT ON TABLE public.alembic_version TO blotter_desk;

GRANT SELECT ON TABLE public.audit_accesses TO blotter_compliance;

GRANT INSERT(actor) ON TABLE public.audit_accesses TO blotter_compliance;

GRANT INSERT(request_id) ON TABLE public.audit_accesses TO blotter_compliance;

GRANT INSERT(method) ON TABLE public.audit_accesses TO blotter_compliance;

GRANT INSERT(request) ON TABLE public.audit_accesses TO blotter_compliance;

GRANT SELECT ON TABLE public.desks TO blotter_execution;
GRANT SELECT ON TABLE public.desks TO blotter_desk;

GRANT SELECT,INSERT ON TABLE public.fill_corrections TO blotter_writer;
GRANT SELECT ON TABLE public.fill_corrections TO blotter_trader;
GRANT SELECT ON TABLE public.fill_corrections TO blotter_execution;
GRANT SELECT ON TABLE public.fill_corrections TO blotter_compliance;
GRANT SELECT ON TABLE public.fill_corrections TO blotter_desk;

GRANT SELECT ON TABLE public.fills TO blotter_trader;
GRANT SELECT ON TABLE public.fills TO blotter_execution;
GRANT SELECT ON TABLE public.fills TO blotter_compliance;
GRANT SELECT,INSERT ON TABLE public.fills TO blotter_writer;
GRANT SELECT ON TABLE public.fills TO blotter_desk;

GRANT SELECT ON TABLE public.identity_keys TO blotter_writer;

GRANT SELECT ON TABLE public.ledger_checkpoints TO blotter_execution;
GRANT SELECT ON TABLE public.ledger_checkpoints TO blotter_compliance;
GRANT SELECT ON TABLE public.ledger_checkpoints TO blotter_sequencer;

GRANT INSERT(size) ON TABLE public.ledger_checkpoints TO blotter_sequencer;

GRANT INSERT(root_hash) ON TABLE public.ledger_checkpoints TO blotter_sequencer;

GRANT INSERT(note) ON TABLE public.ledger_checkpoints TO blotter_sequencer;

GRANT SELECT ON TABLE public.ledger_cosignatures TO blotter_execution;
GRANT SELECT ON TABLE public.ledger_cosignatures TO blotter_compliance;
GRANT SELECT ON TABLE public.ledger_cosignatures TO blotter_sequencer;

GRANT INSERT(size) ON TABLE public.ledger_cosignatures TO blotter_sequencer;

GRANT INSERT(witness) ON TABLE public.ledger_cosignatures TO blotter_sequencer;

GRANT INSERT(signature) ON TABLE public.ledger_cosignatures TO blotter_sequencer;

GRANT SELECT ON TABLE public.ledger_entries TO blotter_execution;
GRANT SELECT ON TABLE public.ledger_entries TO blotter_compliance;
GRANT SELECT ON TABLE public.ledger_entries TO blotter_sequencer;
GRANT SELECT ON TABLE public.ledger_entries TO blotter_desk;

GRANT INSERT("position") ON TABLE public.ledger_entries TO blotter_sequencer;

GRANT INSERT(kind) ON TABLE public.ledger_entries TO blotter_sequencer;

GRANT INSERT(trader_id) ON TABLE public.ledger_entries TO blotter_sequencer;

GRANT INSERT(sequence) ON TABLE public.ledger_entries TO blotter_sequencer;

GRANT INSERT(leaf) ON TABLE public.ledger_entries TO blotter_sequencer;

GRANT SELECT ON TABLE public.ledger_tiles TO blotter_execution;
GRANT SELECT ON TABLE public.ledger_tiles TO blotter_compliance;
GRANT SELECT ON TABLE public.ledger_tiles TO blotter_sequencer;

GRANT INSERT(level) ON TABLE public.ledger_tiles TO blotter_sequencer;

GRANT INSERT(tile_index) ON TABLE public.ledger_tiles TO blotter_sequencer;

GRANT INSERT(hashes) ON TABLE public.ledger_tiles TO blotter_sequencer;

GRANT INSERT(root) ON TABLE public.ledger_tiles TO blotter_sequencer;

GRANT SELECT ON TABLE public.principals TO blotter_execution;

GRANT SELECT ON TABLE public.trader_sequences TO blotter_trader;
GRANT SELECT ON TABLE public.trader_sequences TO blotter_execution;
GRANT SELECT ON TABLE public.trader_sequences TO blotter_compliance;
GRANT SELECT ON TABLE public.trader_sequences TO blotter_sequencer;
GRANT SELECT,INSERT,UPDATE ON TABLE public.trader_sequences TO blotter_writer;

GRANT SELECT ON TABLE public.traders TO blotter_trader;
GRANT SELECT ON TABLE public.traders TO blotter_execution;
GRANT SELECT ON TABLE public.traders TO blotter_compliance;
GRANT SELECT ON TABLE public.traders TO blotter_desk;
