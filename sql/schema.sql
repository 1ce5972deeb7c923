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
    'RECOVERED'
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
    'STOP'
);

CREATE FUNCTION public.act_as(p_trader_id uuid) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
        DECLARE
            v_disabled_at timestamptz;
            v_known boolean;
        BEGIN
            PERFORM set_config('app.trader_id', coalesce(p_trader_id::text, ''), true);
            IF p_trader_id IS NULL THEN
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

COMMENT ON FUNCTION public.act_as(p_trader_id uuid) IS 'Set the trader of the transaction; returns false for an unknown trader; refuses a disabled one';

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
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
        DECLARE
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
            ELSIF v_head.incarnation <> ledger_incarnation()
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

            SELECT coalesce(array_agg(trader_id), '{}'), coalesce(array_agg(after_sequence), '{}')
            INTO v_traders, v_after FROM (
                SELECT trader_id, after_sequence FROM (SELECT DISTINCT unnest(v_news.traders) AS trader_id) AS hinted
                CROSS JOIN LATERAL (SELECT coalesce((
                    SELECT sequence FROM ledger_entries WHERE ledger_entries.trader_id = hinted.trader_id
                    ORDER BY ledger_entries.trader_id DESC, sequence DESC LIMIT 1), 0) AS after_sequence) AS kept
                CROSS JOIN LATERAL (
                    SELECT FROM execution_logs
                    WHERE execution_logs.trader_id = hinted.trader_id AND sequence > after_sequence
                    ORDER BY execution_logs.trader_id, sequence LIMIT 1) AS news
                LIMIT p_most) AS missing;
            -- The same share for all, so that nobody waits until another's backlog is done.
            v_share := greatest(p_most / greatest(cardinality(v_traders), 1), 1);

            RETURN QUERY
            WITH found AS (
                SELECT log.trader_id, log.sequence, max(log.xid) OVER (
                    PARTITION BY log.trader_id ORDER BY log.sequence) AS xid
                FROM unnest(v_traders, v_after) AS missing (trader_id, after_sequence) CROSS JOIN LATERAL (
                    SELECT trader_id, sequence, coalesce(xid, 0) AS xid FROM execution_logs
                    WHERE execution_logs.trader_id = missing.trader_id AND sequence > after_sequence
                    ORDER BY execution_logs.trader_id, sequence LIMIT v_share) AS log
            )
            INSERT INTO ledger_entries (position, kind, trader_id, sequence, leaf)
            SELECT p_size - 1 + row_number() OVER (ORDER BY xid, trader_id, sequence), 'EXECUTION_LOG', trader_id,
                   sequence, ''
            FROM found ORDER BY 1
            RETURNING position, leaf_hash;
            GET DIAGNOSTICS v_appended = ROW_COUNT;

            IF cardinality(v_traders) >= p_most OR EXISTS (
                    SELECT FROM unnest(v_traders, v_after) AS missing (trader_id, after_sequence) CROSS JOIN LATERAL (
                        SELECT FROM execution_logs
                        WHERE execution_logs.trader_id = missing.trader_id AND sequence > after_sequence + v_share
                        ORDER BY execution_logs.trader_id, sequence LIMIT 1) AS rest) THEN
                -- There is more: the hints stay, and bring it again.
                UPDATE ledger_head SET size = p_size + v_appended, incarnation = ledger_incarnation();
            ELSE
                UPDATE ledger_head SET
                    size = p_size + v_appended,
                    incarnation = ledger_incarnation(),
                    next_xid = greatest(v_head.next_xid, v_news.before_xid),
                    open_xids = ARRAY(
                        SELECT xid FROM unnest(v_head.open_xids) AS xid WHERE xid >= v_news.before_xid
                        UNION
                        SELECT xid::text::bigint FROM pg_snapshot_xip(v_now) AS xid
                        WHERE xid::text::bigint < greatest(v_head.next_xid, v_news.before_xid));
            END IF;
        END $$;

COMMENT ON FUNCTION public.append_to_ledger(p_size bigint, p_most integer) IS 'Append what was committed since the last call; the new entries';

CREATE FUNCTION public.cancel_open_orders(p_trader_id uuid, p_symbol text, p_expired_only boolean, p_reason text, p_actor text, p_request_id text, p_most integer DEFAULT NULL::integer) RETURNS SETOF uuid
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.cancel_open_orders(p_trader_id uuid, p_symbol text, p_expired_only boolean, p_reason text, p_actor text, p_request_id text, p_most integer) IS 'Cancel a trader''s open orders, or those past their expiry: the oldest so many, or all';

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
    filled_notional numeric(28,8) DEFAULT 0 NOT NULL,
    client_order_id character varying(64) NOT NULL,
    request_digest bytea NOT NULL,
    last_sequence bigint NOT NULL,
    CONSTRAINT ck_orders_client_order_id_printable CHECK (((client_order_id)::text ~ '^[!-~]+$'::text)),
    CONSTRAINT ck_orders_exits_on_their_side CHECK (
CASE side
    WHEN 'BUY'::public.order_side_enum THEN (COALESCE((stop_loss < price), true) AND COALESCE((price < take_profit), true) AND COALESCE((stop_loss < take_profit), true))
    ELSE (COALESCE((stop_loss > price), true) AND COALESCE((price > take_profit), true) AND COALESCE((stop_loss > take_profit), true))
END),
    CONSTRAINT ck_orders_expires_after_entry CHECK (((expires_at > created_at) AND (expires_at < '10000-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT ck_orders_filled_lte_quantity CHECK ((filled_quantity <= quantity)),
    CONSTRAINT ck_orders_filled_quantity_nonnegative CHECK ((filled_quantity >= 0)),
    CONSTRAINT ck_orders_limit_requires_price CHECK (((order_type = 'MARKET'::public.order_type_enum) OR (price IS NOT NULL))),
    CONSTRAINT ck_orders_market_has_no_price CHECK (((order_type <> 'MARKET'::public.order_type_enum) OR (price IS NULL))),
    CONSTRAINT ck_orders_notional_with_fills CHECK (((filled_notional > (0)::numeric) = (filled_quantity > 0))),
    CONSTRAINT ck_orders_price_positive CHECK (((price IS NULL) OR (price > (0)::numeric))),
    CONSTRAINT ck_orders_prices_are_numbers CHECK (((price <> 'NaN'::numeric) AND (stop_loss <> 'NaN'::numeric) AND (take_profit <> 'NaN'::numeric))),
    CONSTRAINT ck_orders_quantity_positive CHECK ((quantity > 0)),
    CONSTRAINT ck_orders_request_digest_sha256 CHECK ((length(request_digest) = 32)),
    CONSTRAINT ck_orders_status_fits_fills CHECK (
CASE status
    WHEN 'PENDING'::public.order_status_enum THEN (filled_quantity = 0)
    WHEN 'PARTIAL'::public.order_status_enum THEN ((filled_quantity > 0) AND (filled_quantity < quantity))
    WHEN 'FILLED'::public.order_status_enum THEN (filled_quantity = quantity)
    ELSE (filled_quantity < quantity)
END),
    CONSTRAINT ck_orders_stop_loss_positive CHECK ((stop_loss > (0)::numeric)),
    CONSTRAINT ck_orders_symbol_not_empty CHECK ((length((symbol)::text) > 0)),
    CONSTRAINT ck_orders_take_profit_positive CHECK ((take_profit > (0)::numeric))
);
ALTER TABLE ONLY public.orders ALTER COLUMN id SET STATISTICS 0;
ALTER TABLE ONLY public.orders ALTER COLUMN trader_id SET STATISTICS 0;
ALTER TABLE ONLY public.orders ALTER COLUMN client_order_id SET STATISTICS 0;

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

CREATE FUNCTION public.cancel_order(p_trader_id uuid, p_order_id uuid, p_client_order_id text, p_reason text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.cancel_order(p_trader_id uuid, p_order_id uuid, p_client_order_id text, p_reason text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) IS 'Cancel an open order. APPLIED, REPLAYED, ORDER_NOT_FOUND or ORDER_CLOSED';

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

CREATE FUNCTION public.canonical_time(p_time timestamp with time zone) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
            SELECT coalesce('"' || to_char(p_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', 'null')
        $$;

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
    filled_notional numeric(28,8) NOT NULL,
    venue character varying(50),
    fill_id uuid,
    execution_id character varying(64),
    fill_quantity integer,
    fill_price numeric(18,8),
    fill_commission numeric(18,8),
    login text DEFAULT CURRENT_USER,
    xid bigint DEFAULT ((pg_current_xact_id())::text)::bigint,
    CONSTRAINT ck_execution_logs_amounts_are_numbers CHECK ((('NaN'::numeric <> fill_price) AND ('NaN'::numeric <> fill_commission))),
    CONSTRAINT ck_execution_logs_reason_readable CHECK ((length(reason) <= 600)),
    CONSTRAINT ck_execution_logs_refused_has_code CHECK (((NOT refused) OR (error_code IS NOT NULL))),
    CONSTRAINT ck_execution_logs_report_id_printable CHECK (((report_id)::text ~ '^[!-~]+$'::text)),
    CONSTRAINT ck_execution_logs_report_with_digest CHECK ((((report_id IS NULL) = (report_digest IS NULL)) AND COALESCE((length(report_digest) = 32), true))),
    CONSTRAINT ck_execution_logs_retry_attempt_nonnegative CHECK ((retry_attempt >= 0)),
    CONSTRAINT ck_execution_logs_sequence_positive CHECK ((sequence > 0)),
    CONSTRAINT ck_execution_logs_timestamp_is_a_date CHECK ((("timestamp" >= '0001-01-01 00:00:00+00'::timestamp with time zone) AND ("timestamp" < '10000-01-01 00:00:00+00'::timestamp with time zone)))
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

CREATE FUNCTION public.execution_log_leaf(p_log public.execution_logs) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
            -- Names in the order of RFC 8785; integers of 64 bits and decimals as strings.
            SELECT convert_to(
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
                || ',"version":1}', 'UTF8')
        $$;

COMMENT ON FUNCTION public.execution_log_leaf(p_log public.execution_logs) IS 'The leaf of an execution log: canonical JSON';

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
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
        BEGIN
            -- Another transaction might be writing the log of that number; the lock on the counter excludes it.
            PERFORM FROM trader_sequences WHERE trader_id = NEW.trader_id FOR NO KEY UPDATE;
            IF EXISTS (SELECT FROM execution_logs WHERE trader_id = NEW.trader_id AND sequence = NEW.sequence) THEN
                RAISE EXCEPTION 'Refused by fills_precede_their_log.' USING
                    ERRCODE = 'check_violation', CONSTRAINT = 'fills_precede_their_log', TABLE = 'fills';
            END IF;
            IF NEW.venue ~ '[\u0001-\u001f\u007f-\u009f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e01ef]' THEN
                RAISE EXCEPTION 'Refused by fills_venue_is_visible.' USING
                    ERRCODE = 'check_violation', CONSTRAINT = 'fills_venue_is_visible', TABLE = 'fills';
            END IF;
            NEW.created_at := greatest(clock_timestamp(), (
                SELECT updated_at FROM orders WHERE trader_id = NEW.trader_id AND id = NEW.order_id));
            RETURN NEW;
        END $$;

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

CREATE FUNCTION public.guard_ledger_entry() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
        DECLARE
            v_broken text;
            v_note jsonb;
        BEGIN
            IF NEW.position > 0 AND NOT EXISTS (SELECT FROM ledger_entries WHERE position = NEW.position - 1) THEN
                v_broken := 'ledger_entries_follow_without_gap';
            ELSIF NEW.kind = 'EXECUTION_LOG' THEN
                SELECT execution_log_leaf(execution_logs) INTO NEW.leaf FROM execution_logs
                WHERE trader_id = NEW.trader_id AND sequence = NEW.sequence;
                IF NOT FOUND THEN
                    v_broken := 'ledger_entries_record_logs';
                ELSIF NEW.sequence > 1 AND NOT EXISTS (
                        SELECT FROM ledger_entries
                        WHERE trader_id = NEW.trader_id AND sequence = NEW.sequence - 1) THEN
                    v_broken := 'ledger_entries_follow_sequences';
                END IF;
            ELSE
                -- Written anew from its values, in the order of RFC 8785: a note can say nothing but these.
                v_note := convert_from(NEW.leaf, 'UTF8')::jsonb;
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
            END IF;
            IF v_broken IS NOT NULL THEN
                RAISE EXCEPTION 'Refused by %.', v_broken
                    USING ERRCODE = 'check_violation', CONSTRAINT = v_broken, TABLE = 'ledger_entries';
            END IF;
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

CREATE FUNCTION public.guard_log_words() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
        DECLARE
            v_actor text := lower(NEW.actor);
            -- A longer reason is refused afterwards, by the table's constraint.
            v_plain text := CASE WHEN NEW.reason ~ '^[ -~]*$' THEN NEW.reason ELSE nfkc(NEW.reason) END;
            v_reason text := upper(btrim(v_plain));
            v_expired boolean := coalesce(v_reason = 'EXPIRED', false);
            v_late boolean := false;
            v_broken text;
        BEGIN
            IF NEW.action = 'FILLED' THEN
                v_late := EXISTS (
                    SELECT FROM execution_logs
                    WHERE trader_id = NEW.trader_id AND order_id = NEW.order_id AND sequence < NEW.sequence
                      AND action IN ('CANCELLED', 'REJECTED') AND NOT refused);
                IF NOT EXISTS (SELECT FROM fills WHERE trader_id = NEW.trader_id AND id = NEW.fill_id
                               AND created_at = NEW.created_at) THEN
                    v_broken := 'execution_logs_have_the_time_of_their_fill';
                END IF;
            END IF;
            IF NEW.actor !~ '^[!-~]([ -~]*[!-~])?$' OR NEW.request_id !~ '^[!-~]+$' OR NEW.error_code !~ '^[!-~]+$'
               OR NEW.execution_id !~ '^[!-~]+$' OR NEW.reason ~ '[\u0001-\u001f\u007f-\u009f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e01ef]' OR NEW.venue ~ '[\u0001-\u001f\u007f-\u009f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e01ef]' THEN
                v_broken := 'execution_logs_words_are_visible';
            ELSIF v_actor IN ('trader', 'execution', 'compliance', 'sequencer')
               AND NEW.login IS DISTINCT FROM 'blotter_' || v_actor THEN
                v_broken := 'execution_logs_actor_is_the_login';
            ELSIF (v_actor = 'blotter') <> v_expired
               OR v_expired AND NOT coalesce(NEW.action = 'CANCELLED' AND NEW.login = 'blotter_execution'
                                             AND NEW.expires_at <= NEW.created_at, false) THEN
                v_broken := 'execution_logs_expire_what_is_due';
            ELSIF coalesce(v_reason = 'LATE_FILL', false) <> v_late THEN
                v_broken := 'execution_logs_late_fills_are_late';
            ELSIF NEW.refused AND NEW.error_code NOT IN ('OVERFILL', 'ORDER_CLOSED') THEN
                -- The repetition of the report is answered with this code.
                v_broken := 'execution_logs_refused_has_a_code_of_ours';
            END IF;
            IF v_broken IS NOT NULL THEN
                RAISE EXCEPTION 'Refused by %.', v_broken
                    USING ERRCODE = 'check_violation', CONSTRAINT = v_broken, TABLE = 'execution_logs';
            END IF;
            RETURN NEW;
        END $_$;

CREATE FUNCTION public.guard_order() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
        DECLARE
            v_broken text;
        BEGIN
            NEW.updated_at := greatest(clock_timestamp(), OLD.updated_at);
            IF NEW.last_sequence <= OLD.last_sequence THEN
                v_broken := 'orders_change_with_an_event';
            ELSIF (NEW.trader_id, NEW.id, NEW.client_order_id, NEW.request_digest, NEW.symbol, NEW.side, NEW.order_type,
                   NEW.quantity, NEW.price, NEW.stop_loss, NEW.take_profit, NEW.expires_at, NEW.created_at)
                  IS DISTINCT FROM
                  (OLD.trader_id, OLD.id, OLD.client_order_id, OLD.request_digest, OLD.symbol, OLD.side, OLD.order_type,
                   OLD.quantity, OLD.price, OLD.stop_loss, OLD.take_profit, OLD.expires_at, OLD.created_at) THEN
                v_broken := 'orders_terms_are_final';
            ELSIF NOT (CASE
                    WHEN NEW.filled_quantity = NEW.quantity THEN NEW.status = 'FILLED'
                    WHEN OLD.status IN ('REJECTED', 'CANCELLED') THEN NEW.status = OLD.status
                    WHEN NEW.status IN ('REJECTED', 'CANCELLED') THEN NEW.filled_quantity = OLD.filled_quantity
                    ELSE NEW.status = CASE WHEN NEW.filled_quantity > 0
                        THEN 'PARTIAL'::order_status_enum ELSE 'PENDING' END
                END) THEN
                v_broken := 'orders_follow_their_lifecycle';
            ELSIF (NEW.filled_quantity, NEW.filled_notional)
                  IS DISTINCT FROM (OLD.filled_quantity, OLD.filled_notional) THEN
                -- A fill, its order and its log are recorded at one time.
                SELECT greatest(created_at, OLD.updated_at) INTO NEW.updated_at FROM fills
                WHERE trader_id = NEW.trader_id AND order_id = NEW.id AND sequence = NEW.last_sequence
                  AND quantity_filled = NEW.filled_quantity - OLD.filled_quantity
                  AND quantity_filled * price_at_fill = NEW.filled_notional - OLD.filled_notional;
                IF NOT FOUND THEN
                    v_broken := 'orders_are_filled_by_fills';
                END IF;
            END IF;
            IF v_broken IS NOT NULL THEN
                RAISE EXCEPTION 'Refused by %.', v_broken
                    USING ERRCODE = 'check_violation', CONSTRAINT = v_broken, TABLE = 'orders';
            END IF;
            RETURN NEW;
        END $$;

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

CREATE FUNCTION public.ledger_incarnation() RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
            SELECT system_identifier || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())
            FROM pg_control_system()
        $$;

COMMENT ON FUNCTION public.ledger_incarnation() IS 'What tells this database from any copy of it';

CREATE FUNCTION public.lock_trader_sequence(p_trader_id uuid) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.lock_trader_sequence(p_trader_id uuid) IS 'Lock the trader''s counter until commit; return the last number';

CREATE FUNCTION public.nfkc(p_text text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
        BEGIN
            RETURN CASE WHEN length(p_text) <= 600 THEN normalize(p_text, NFKC) END;
        END $$;

COMMENT ON FUNCTION public.nfkc(p_text text) IS 'The text in normalization form NFKC; null for one of more than 600 characters';

CREATE FUNCTION public.rebaseline_ledger() RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
            UPDATE ledger_head SET incarnation = ledger_incarnation(), next_xid = NULL, open_xids = '{}'
        $$;

COMMENT ON FUNCTION public.rebaseline_ledger() IS 'Let the ledger go on in this database, which is a copy of another';

CREATE FUNCTION public.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
        BEGIN
            RAISE EXCEPTION 'Table % is append-only: % is refused.', TG_TABLE_NAME, TG_OP
                USING ERRCODE = 'insufficient_privilege', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
        END $$;

CREATE FUNCTION public.report_execution(p_trader_id uuid, p_order_id uuid, p_report_id text, p_report_digest bytea, p_action public.action_enum, p_timestamp timestamp with time zone, p_venue text, p_reason text, p_error_code text, p_retry_attempt integer, p_execution_id text, p_quantity integer, p_price numeric, p_commission numeric, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION public.report_execution(p_trader_id uuid, p_order_id uuid, p_report_id text, p_report_digest bytea, p_action public.action_enum, p_timestamp timestamp with time zone, p_venue text, p_reason text, p_error_code text, p_retry_attempt integer, p_execution_id text, p_quantity integer, p_price numeric, p_commission numeric, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) IS 'Record a report. APPLIED, REPLAYED, OVERFILL, ORDER_CLOSED, ORDER_NOT_FOUND, REPORT_ID_REUSED or EXECUTION_ID_REUSED';

CREATE FUNCTION public.schema_compatibility(OUT serves_from text, OUT release text, OUT policies_and_grants text) RETURNS record
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
            SELECT '017', '0.2.0', '2af740371e19a1bbc5618d50574a7a672c2e7cb17ba0852453f9a4c191a88ced'
        $$;

COMMENT ON FUNCTION public.schema_compatibility(OUT serves_from text, OUT release text, OUT policies_and_grants text) IS 'The revision that a server must at least know to serve this schema, the first release that knows it, and the digest of the policies and grants of the logins';

CREATE FUNCTION public.stamp_order() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
        BEGIN
            IF NEW.symbol !~ '^[!-~]([ -~]*[!-~])?$' THEN
                -- Not a constraint of the table: an older order must stay fillable with any symbol.
                RAISE EXCEPTION 'Refused by orders_symbol_is_printable.' USING
                    ERRCODE = 'check_violation', CONSTRAINT = 'orders_symbol_is_printable', TABLE = 'orders';
            END IF;
            NEW.created_at := clock_timestamp();
            NEW.updated_at := NEW.created_at;
            IF NEW.expires_at <= NEW.created_at THEN
                RETURN NULL;  -- not entered; submit_order reports it
            END IF;
            RETURN NEW;
        END $_$;

CREATE FUNCTION public.submit_order(p_trader_id uuid, p_client_order_id text, p_request_digest bytea, p_symbol text, p_side public.order_side_enum, p_order_type public.order_type_enum, p_quantity integer, p_price numeric, p_stop_loss numeric, p_take_profit numeric, p_expires_at timestamp with time zone, p_validate_only boolean, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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
            ELSIF p_validate_only THEN
                outcome := CASE WHEN p_expires_at <= clock_timestamp() THEN 'EXPIRE_TIME_PAST' ELSE 'VALID' END;
            ELSE
                INSERT INTO orders (trader_id, client_order_id, request_digest, symbol, side, order_type, quantity,
                                    price, stop_loss, take_profit, expires_at, last_sequence)
                VALUES (p_trader_id, p_client_order_id, p_request_digest, p_symbol, p_side, p_order_type, p_quantity,
                        p_price, p_stop_loss, p_take_profit, p_expires_at, v_sequence)
                RETURNING orders.* INTO recorded;
                IF NOT FOUND THEN
                    -- The trigger that stamps the order found it expired: one time for the check and the stamp.
                    outcome := 'EXPIRE_TIME_PAST';
                    RETURN;
                END IF;
                UPDATE trader_sequences SET last_sequence = v_sequence WHERE trader_id = p_trader_id;
                INSERT INTO execution_logs (trader_id, order_id, sequence, action, actor, request_id)
                VALUES (p_trader_id, recorded.id, v_sequence, 'SUBMITTED', p_actor, p_request_id);
                outcome := 'APPLIED';
            END IF;
        END $$;

COMMENT ON FUNCTION public.submit_order(p_trader_id uuid, p_client_order_id text, p_request_digest bytea, p_symbol text, p_side public.order_side_enum, p_order_type public.order_type_enum, p_quantity integer, p_price numeric, p_stop_loss numeric, p_take_profit numeric, p_expires_at timestamp with time zone, p_validate_only boolean, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) IS 'Enter an order. APPLIED, REPLAYED, CLIENT_ORDER_ID_REUSED, EXPIRE_TIME_PAST or VALID';

CREATE FUNCTION public.take_order_state() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
        DECLARE
            v_order orders;
            v_fill fills;
            v_broken text;
            v_first boolean;
            v_status order_status_enum;
            v_filled_quantity integer;
            v_filled_notional numeric;
        BEGIN
            SELECT orders.* INTO v_order FROM orders
            WHERE trader_id = NEW.trader_id AND id = NEW.order_id AND last_sequence = NEW.sequence;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'Refused by execution_logs_state_is_the_orders.' USING
                    ERRCODE = 'check_violation', TABLE = 'execution_logs',
                    CONSTRAINT = 'execution_logs_state_is_the_orders';
            END IF;
            SELECT status, filled_quantity, filled_notional INTO v_status, v_filled_quantity, v_filled_notional
            FROM execution_logs
            WHERE trader_id = NEW.trader_id AND order_id = NEW.order_id
            ORDER BY trader_id, order_id, sequence DESC LIMIT 1;
            v_first := NOT FOUND;

            NEW.status := v_order.status;
            NEW.created_at := v_order.updated_at;
            NEW.timestamp := coalesce(NEW.timestamp, v_order.updated_at);
            NEW.client_order_id := v_order.client_order_id;
            NEW.symbol := v_order.symbol;
            NEW.side := v_order.side;
            NEW.order_type := v_order.order_type;
            NEW.quantity := v_order.quantity;
            NEW.price := v_order.price;
            NEW.stop_loss := v_order.stop_loss;
            NEW.take_profit := v_order.take_profit;
            NEW.expires_at := v_order.expires_at;
            NEW.order_created_at := v_order.created_at;
            NEW.filled_quantity := v_order.filled_quantity;
            NEW.filled_notional := v_order.filled_notional;

            SELECT fills.* INTO v_fill FROM fills
            WHERE trader_id = NEW.trader_id AND order_id = NEW.order_id AND sequence = NEW.sequence;
            IF FOUND THEN
                NEW.timestamp := v_fill.timestamp;
                NEW.venue := v_fill.venue;
                NEW.fill_id := v_fill.id;
                NEW.execution_id := v_fill.execution_id;
                NEW.fill_quantity := v_fill.quantity_filled;
                NEW.fill_price := v_fill.price_at_fill;
                NEW.fill_commission := v_fill.commission;
            END IF;

            IF (NEW.action = 'SUBMITTED') <> v_first
               OR (NEW.action = 'SUBMITTED' AND NEW.status <> 'PENDING')
               -- A status changes only by the action that is named for it, PARTIAL and FILLED by a fill.
               OR (NEW.status <> v_status AND (NEW.refused OR NEW.action::text <> CASE
                    WHEN NEW.status IN ('PARTIAL', 'FILLED') THEN 'FILLED' ELSE NEW.status::text END))
               OR (NEW.action = 'FILLED') <> (v_fill.id IS NOT NULL)
               OR (NEW.action = 'CANCELLED' AND NEW.status <> 'CANCELLED')
               OR (NEW.action = 'REJECTED' AND NOT NEW.refused AND (NEW.status <> 'REJECTED' OR v_status = 'REJECTED'))
               OR (NEW.refused AND NEW.action <> 'REJECTED')
               OR (NEW.fill_quantity IS NOT NULL AND NEW.action <> 'FILLED' AND NOT NEW.refused) THEN
                v_broken := 'execution_logs_action_fits_the_state';
            ELSIF NEW.filled_quantity <> coalesce(v_filled_quantity, 0) + coalesce(v_fill.quantity_filled, 0)
               OR NEW.filled_notional <> coalesce(v_filled_notional, 0)
                                         + coalesce(v_fill.quantity_filled * v_fill.price_at_fill, 0) THEN
                v_broken := 'execution_logs_fills_change_the_order';
            ELSIF NOT EXISTS (
                    SELECT FROM trader_sequences
                    WHERE trader_id = NEW.trader_id AND last_sequence >= NEW.sequence) THEN
                v_broken := 'execution_logs_are_counted';
            END IF;
            IF v_broken IS NOT NULL THEN
                RAISE EXCEPTION 'Refused by %.', v_broken
                    USING ERRCODE = 'check_violation', CONSTRAINT = v_broken, TABLE = 'execution_logs';
            END IF;
            RETURN NEW;
        END $$;

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

CREATE TABLE public.fills (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    order_id uuid NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    quantity_filled integer NOT NULL,
    price_at_fill numeric(18,8) NOT NULL,
    venue character varying(50) NOT NULL,
    commission numeric(18,8) DEFAULT '0'::numeric NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    trader_id uuid NOT NULL,
    execution_id character varying(64) NOT NULL,
    sequence bigint NOT NULL,
    CONSTRAINT ck_fills_amounts_are_numbers CHECK ((('NaN'::numeric <> price_at_fill) AND ('NaN'::numeric <> commission))),
    CONSTRAINT ck_fills_commission_nonnegative CHECK ((commission >= (0)::numeric)),
    CONSTRAINT ck_fills_execution_id_printable CHECK (((execution_id)::text ~ '^[!-~]+$'::text)),
    CONSTRAINT ck_fills_price_positive CHECK ((price_at_fill > (0)::numeric)),
    CONSTRAINT ck_fills_quantity_positive CHECK ((quantity_filled > 0)),
    CONSTRAINT ck_fills_timestamp_is_a_date CHECK ((("timestamp" >= '0001-01-01 00:00:00+00'::timestamp with time zone) AND ("timestamp" < '10000-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT ck_fills_venue_not_empty CHECK ((length((venue)::text) > 0))
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
    CONSTRAINT ck_traders_name_not_empty CHECK ((length((name)::text) > 0))
);
ALTER TABLE ONLY public.traders ALTER COLUMN id SET STATISTICS 0;
ALTER TABLE ONLY public.traders ALTER COLUMN name SET STATISTICS 0;

ALTER TABLE ONLY public.traders FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.traders IS 'Traders known to the blotter';

COMMENT ON COLUMN public.traders.id IS 'Unique trader identifier';

COMMENT ON COLUMN public.traders.name IS 'Name of the trader or desk';

COMMENT ON COLUMN public.traders.created_at IS 'When registered';

COMMENT ON COLUMN public.traders.disabled_at IS 'Since when the trader''s own calls are refused';

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

ALTER TABLE ONLY public.audit_accesses
    ADD CONSTRAINT audit_accesses_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.execution_logs
    ADD CONSTRAINT execution_logs_pkey PRIMARY KEY (trader_id, id);

ALTER TABLE ONLY public.fills
    ADD CONSTRAINT fills_pkey PRIMARY KEY (trader_id, id);

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

ALTER TABLE ONLY public.trader_sequences
    ADD CONSTRAINT trader_sequences_pkey PRIMARY KEY (trader_id);

ALTER TABLE ONLY public.traders
    ADD CONSTRAINT traders_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.execution_logs
    ADD CONSTRAINT uq_execution_logs_order_sequence UNIQUE (trader_id, order_id, sequence);

ALTER TABLE ONLY public.execution_logs
    ADD CONSTRAINT uq_execution_logs_sequence UNIQUE (trader_id, sequence);

ALTER TABLE ONLY public.fills
    ADD CONSTRAINT uq_fills_execution_id UNIQUE (trader_id, venue, execution_id);

ALTER TABLE ONLY public.fills
    ADD CONSTRAINT uq_fills_sequence UNIQUE (trader_id, order_id, sequence);

ALTER TABLE ONLY public.ledger_entries
    ADD CONSTRAINT uq_ledger_entries_sequence UNIQUE (trader_id, sequence);

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT uq_orders_client_order_id UNIQUE (trader_id, client_order_id);

CREATE INDEX idx_audit_accesses_accessed_at ON public.audit_accesses USING btree (accessed_at, id);

CREATE INDEX idx_execution_logs_action ON public.execution_logs USING btree (action);

CREATE INDEX idx_execution_logs_id ON public.execution_logs USING btree (id);

CREATE INDEX idx_execution_logs_order ON public.execution_logs USING btree (order_id);

CREATE INDEX idx_execution_logs_timestamp ON public.execution_logs USING btree ("timestamp", trader_id, sequence);

CREATE INDEX idx_execution_logs_trader_timestamp ON public.execution_logs USING btree (trader_id, "timestamp" DESC);

CREATE INDEX idx_execution_logs_xid_trader ON public.execution_logs USING btree (xid, trader_id);

CREATE INDEX idx_fills_order ON public.fills USING btree (order_id);

CREATE INDEX idx_fills_timestamp ON public.fills USING btree ("timestamp" DESC);

CREATE INDEX idx_ledger_entries_notes ON public.ledger_entries USING btree (kind, "position") WHERE (kind <> 'EXECUTION_LOG'::text);

CREATE INDEX idx_orders_expiring ON public.orders USING btree (expires_at) WHERE (status = ANY (ARRAY['PENDING'::public.order_status_enum, 'PARTIAL'::public.order_status_enum]));

CREATE INDEX idx_orders_id ON public.orders USING btree (id);

CREATE INDEX idx_orders_open ON public.orders USING btree (trader_id, created_at) WHERE (status = ANY (ARRAY['PENDING'::public.order_status_enum, 'PARTIAL'::public.order_status_enum]));

CREATE INDEX idx_orders_status ON public.orders USING btree (status);

CREATE INDEX idx_orders_trader_created ON public.orders USING btree (trader_id, created_at DESC);

CREATE INDEX idx_orders_trader_status ON public.orders USING btree (trader_id, status);

CREATE INDEX idx_orders_trader_updated ON public.orders USING btree (trader_id, updated_at DESC);

CREATE UNIQUE INDEX uq_execution_logs_report_id ON public.execution_logs USING btree (trader_id, report_id) WHERE (report_id IS NOT NULL);

CREATE UNIQUE INDEX uq_traders_name ON public.traders USING btree (lower((name)::text));

CREATE TRIGGER audit_accesses_refuse_change BEFORE DELETE OR UPDATE ON public.audit_accesses FOR EACH ROW EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER audit_accesses_refuse_truncate BEFORE TRUNCATE ON public.audit_accesses FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER audit_accesses_words BEFORE INSERT ON public.audit_accesses FOR EACH ROW EXECUTE FUNCTION public.guard_access_words();

CREATE TRIGGER execution_logs_refuse_change BEFORE DELETE OR UPDATE ON public.execution_logs FOR EACH ROW EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER execution_logs_refuse_truncate BEFORE TRUNCATE ON public.execution_logs FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER execution_logs_take_state BEFORE INSERT ON public.execution_logs FOR EACH ROW EXECUTE FUNCTION public.take_order_state();

CREATE TRIGGER execution_logs_words BEFORE INSERT ON public.execution_logs FOR EACH ROW EXECUTE FUNCTION public.guard_log_words();

CREATE TRIGGER fills_guard BEFORE INSERT ON public.fills FOR EACH ROW EXECUTE FUNCTION public.guard_fill();

CREATE TRIGGER fills_refuse_change BEFORE DELETE OR UPDATE ON public.fills FOR EACH ROW EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER fills_refuse_truncate BEFORE TRUNCATE ON public.fills FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER ledger_checkpoints_guard BEFORE INSERT ON public.ledger_checkpoints FOR EACH ROW EXECUTE FUNCTION public.guard_ledger_checkpoint();

CREATE TRIGGER ledger_checkpoints_refuse_change BEFORE DELETE OR UPDATE ON public.ledger_checkpoints FOR EACH ROW EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER ledger_checkpoints_refuse_truncate BEFORE TRUNCATE ON public.ledger_checkpoints FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER ledger_cosignatures_refuse_change BEFORE DELETE OR UPDATE ON public.ledger_cosignatures FOR EACH ROW EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER ledger_cosignatures_refuse_truncate BEFORE TRUNCATE ON public.ledger_cosignatures FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER ledger_entries_guard BEFORE INSERT ON public.ledger_entries FOR EACH ROW EXECUTE FUNCTION public.guard_ledger_entry();

CREATE TRIGGER ledger_entries_refuse_change BEFORE DELETE OR UPDATE ON public.ledger_entries FOR EACH ROW EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER ledger_entries_refuse_truncate BEFORE TRUNCATE ON public.ledger_entries FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER ledger_head_guard BEFORE DELETE OR UPDATE ON public.ledger_head FOR EACH ROW EXECUTE FUNCTION public.guard_ledger_head();

CREATE TRIGGER ledger_head_guard_truncate BEFORE TRUNCATE ON public.ledger_head FOR EACH STATEMENT EXECUTE FUNCTION public.guard_ledger_head();

CREATE TRIGGER ledger_tiles_guard AFTER INSERT ON public.ledger_tiles FOR EACH ROW EXECUTE FUNCTION public.guard_ledger_tile();

CREATE TRIGGER ledger_tiles_refuse_change BEFORE DELETE OR UPDATE ON public.ledger_tiles FOR EACH ROW EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER ledger_tiles_refuse_truncate BEFORE TRUNCATE ON public.ledger_tiles FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER orders_guard BEFORE UPDATE ON public.orders FOR EACH ROW EXECUTE FUNCTION public.guard_order();

CREATE TRIGGER orders_stamp BEFORE INSERT ON public.orders FOR EACH ROW EXECUTE FUNCTION public.stamp_order();

CREATE TRIGGER trader_sequences_guard BEFORE DELETE OR UPDATE ON public.trader_sequences FOR EACH ROW EXECUTE FUNCTION public.guard_sequence();

CREATE TRIGGER trader_sequences_guard_truncate BEFORE TRUNCATE ON public.trader_sequences FOR EACH STATEMENT EXECUTE FUNCTION public.guard_sequence();

ALTER TABLE ONLY public.execution_logs
    ADD CONSTRAINT fk_execution_logs_follow_without_gap FOREIGN KEY (trader_id, previous_sequence) REFERENCES public.execution_logs(trader_id, sequence);

ALTER TABLE ONLY public.execution_logs
    ADD CONSTRAINT fk_execution_logs_order_id FOREIGN KEY (trader_id, order_id) REFERENCES public.orders(trader_id, id);

ALTER TABLE ONLY public.fills
    ADD CONSTRAINT fk_fills_log FOREIGN KEY (trader_id, order_id, sequence) REFERENCES public.execution_logs(trader_id, order_id, sequence) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.fills
    ADD CONSTRAINT fk_fills_order_id FOREIGN KEY (trader_id, order_id) REFERENCES public.orders(trader_id, id);

ALTER TABLE ONLY public.ledger_cosignatures
    ADD CONSTRAINT fk_ledger_cosignatures_size FOREIGN KEY (size) REFERENCES public.ledger_checkpoints(size);

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT fk_orders_last_log FOREIGN KEY (trader_id, id, last_sequence) REFERENCES public.execution_logs(trader_id, order_id, sequence) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.trader_sequences
    ADD CONSTRAINT fk_trader_sequences_last_log FOREIGN KEY (trader_id, last_sequence) REFERENCES public.execution_logs(trader_id, sequence) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.trader_sequences
    ADD CONSTRAINT fk_trader_sequences_trader_id FOREIGN KEY (trader_id) REFERENCES public.traders(id);

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_trader_id_fkey FOREIGN KEY (trader_id) REFERENCES public.traders(id);

ALTER TABLE public.audit_accesses ENABLE ROW LEVEL SECURITY;

CREATE POLICY audit_accesses_compliance_reads_all ON public.audit_accesses FOR SELECT TO blotter_compliance USING (true);

CREATE POLICY audit_accesses_compliance_records ON public.audit_accesses FOR INSERT TO blotter_compliance WITH CHECK (true);

CREATE POLICY audit_accesses_immutable_delete ON public.audit_accesses AS RESTRICTIVE FOR DELETE USING (false);

CREATE POLICY audit_accesses_immutable_update ON public.audit_accesses AS RESTRICTIVE FOR UPDATE USING (false);

ALTER TABLE public.execution_logs ENABLE ROW LEVEL SECURITY;

CREATE POLICY execution_logs_compliance_reads_all ON public.execution_logs FOR SELECT TO blotter_compliance USING (true);

CREATE POLICY execution_logs_execution_logs_named ON public.execution_logs FOR INSERT TO blotter_execution WITH CHECK (((trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid) AND (action <> 'SUBMITTED'::public.action_enum)));

CREATE POLICY execution_logs_execution_reads_all ON public.execution_logs FOR SELECT TO blotter_execution USING (true);

CREATE POLICY execution_logs_immutable ON public.execution_logs AS RESTRICTIVE FOR UPDATE USING (false);

CREATE POLICY execution_logs_immutable_delete ON public.execution_logs AS RESTRICTIVE FOR DELETE USING (false);

CREATE POLICY execution_logs_sequencer_reads_all ON public.execution_logs FOR SELECT TO blotter_sequencer USING (true);

CREATE POLICY execution_logs_trader_isolation ON public.execution_logs FOR SELECT TO blotter_trader USING ((trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid));

CREATE POLICY execution_logs_trader_logs_own ON public.execution_logs FOR INSERT TO blotter_trader WITH CHECK (((trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid) AND (action = ANY (ARRAY['SUBMITTED'::public.action_enum, 'CANCELLED'::public.action_enum]))));

ALTER TABLE public.fills ENABLE ROW LEVEL SECURITY;

CREATE POLICY fills_compliance_reads_all ON public.fills FOR SELECT TO blotter_compliance USING (true);

CREATE POLICY fills_execution_reads_all ON public.fills FOR SELECT TO blotter_execution USING (true);

CREATE POLICY fills_execution_records_named ON public.fills FOR INSERT TO blotter_execution WITH CHECK ((trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid));

CREATE POLICY fills_trader_isolation ON public.fills FOR SELECT TO blotter_trader USING ((trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid));

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

CREATE POLICY ledger_entries_execution_reads_all ON public.ledger_entries FOR SELECT TO blotter_execution USING (true);

CREATE POLICY ledger_entries_immutable_delete ON public.ledger_entries AS RESTRICTIVE FOR DELETE USING (false);

CREATE POLICY ledger_entries_immutable_update ON public.ledger_entries AS RESTRICTIVE FOR UPDATE USING (false);

CREATE POLICY ledger_entries_sequencer_writes ON public.ledger_entries TO blotter_sequencer USING (true);

ALTER TABLE public.ledger_head ENABLE ROW LEVEL SECURITY;

CREATE POLICY ledger_head_compliance_reads_all ON public.ledger_head FOR SELECT TO blotter_compliance USING (true);

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

CREATE POLICY orders_execution_reads_all ON public.orders FOR SELECT TO blotter_execution USING (true);

CREATE POLICY orders_execution_updates_named ON public.orders FOR UPDATE TO blotter_execution USING ((trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid));

CREATE POLICY orders_trader_cancels_own ON public.orders FOR UPDATE TO blotter_trader USING ((trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid)) WITH CHECK (((trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid) AND (status = 'CANCELLED'::public.order_status_enum)));

CREATE POLICY orders_trader_enters_own ON public.orders FOR INSERT TO blotter_trader WITH CHECK (((trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid) AND (status = 'PENDING'::public.order_status_enum) AND (filled_quantity = 0)));

CREATE POLICY orders_trader_isolation ON public.orders FOR SELECT TO blotter_trader USING ((trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid));

ALTER TABLE public.trader_sequences ENABLE ROW LEVEL SECURITY;

CREATE POLICY trader_sequences_compliance_reads_all ON public.trader_sequences FOR SELECT TO blotter_compliance USING (true);

CREATE POLICY trader_sequences_execution_advances_named ON public.trader_sequences FOR UPDATE TO blotter_execution USING ((trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid));

CREATE POLICY trader_sequences_execution_reads_all ON public.trader_sequences FOR SELECT TO blotter_execution USING (true);

CREATE POLICY trader_sequences_execution_starts_named ON public.trader_sequences FOR INSERT TO blotter_execution WITH CHECK ((trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid));

CREATE POLICY trader_sequences_sequencer_reads_all ON public.trader_sequences FOR SELECT TO blotter_sequencer USING (true);

CREATE POLICY trader_sequences_trader_isolation ON public.trader_sequences TO blotter_trader USING ((trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid));

ALTER TABLE public.traders ENABLE ROW LEVEL SECURITY;

CREATE POLICY traders_compliance_reads_all ON public.traders FOR SELECT TO blotter_compliance USING (true);

CREATE POLICY traders_execution_reads_all ON public.traders FOR SELECT TO blotter_execution USING (true);

CREATE POLICY traders_owner_registers ON public.traders TO blotter_owner USING (true);

CREATE POLICY traders_trader_isolation ON public.traders FOR SELECT TO blotter_trader USING ((id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid));

REVOKE USAGE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO blotter_trader;
GRANT USAGE ON SCHEMA public TO blotter_execution;
GRANT USAGE ON SCHEMA public TO blotter_compliance;
GRANT USAGE ON SCHEMA public TO blotter_sequencer;

REVOKE ALL ON FUNCTION public.act_as(p_trader_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.act_as(p_trader_id uuid) TO blotter_trader;
GRANT ALL ON FUNCTION public.act_as(p_trader_id uuid) TO blotter_execution;
GRANT ALL ON FUNCTION public.act_as(p_trader_id uuid) TO blotter_compliance;

REVOKE ALL ON FUNCTION public.append_note_to_ledger(p_size bigint, p_kind text, p_leaf bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION public.append_note_to_ledger(p_size bigint, p_kind text, p_leaf bytea) TO blotter_sequencer;

REVOKE ALL ON FUNCTION public.append_to_ledger(p_size bigint, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.append_to_ledger(p_size bigint, p_most integer) TO blotter_sequencer;

REVOKE ALL ON FUNCTION public.cancel_open_orders(p_trader_id uuid, p_symbol text, p_expired_only boolean, p_reason text, p_actor text, p_request_id text, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.cancel_open_orders(p_trader_id uuid, p_symbol text, p_expired_only boolean, p_reason text, p_actor text, p_request_id text, p_most integer) TO blotter_trader;
GRANT ALL ON FUNCTION public.cancel_open_orders(p_trader_id uuid, p_symbol text, p_expired_only boolean, p_reason text, p_actor text, p_request_id text, p_most integer) TO blotter_execution;

GRANT SELECT ON TABLE public.orders TO blotter_trader;
GRANT SELECT ON TABLE public.orders TO blotter_execution;
GRANT SELECT ON TABLE public.orders TO blotter_compliance;

GRANT INSERT(trader_id) ON TABLE public.orders TO blotter_trader;

GRANT INSERT(symbol) ON TABLE public.orders TO blotter_trader;

GRANT INSERT(side) ON TABLE public.orders TO blotter_trader;

GRANT INSERT(quantity) ON TABLE public.orders TO blotter_trader;

GRANT INSERT(order_type) ON TABLE public.orders TO blotter_trader;

GRANT INSERT(price) ON TABLE public.orders TO blotter_trader;

GRANT INSERT(stop_loss) ON TABLE public.orders TO blotter_trader;

GRANT INSERT(take_profit) ON TABLE public.orders TO blotter_trader;

GRANT UPDATE(status) ON TABLE public.orders TO blotter_trader;
GRANT UPDATE(status) ON TABLE public.orders TO blotter_execution;

GRANT UPDATE(filled_quantity) ON TABLE public.orders TO blotter_execution;

GRANT INSERT(expires_at) ON TABLE public.orders TO blotter_trader;

GRANT UPDATE(filled_notional) ON TABLE public.orders TO blotter_execution;

GRANT INSERT(client_order_id) ON TABLE public.orders TO blotter_trader;

GRANT INSERT(request_digest) ON TABLE public.orders TO blotter_trader;

GRANT INSERT(last_sequence),UPDATE(last_sequence) ON TABLE public.orders TO blotter_trader;
GRANT UPDATE(last_sequence) ON TABLE public.orders TO blotter_execution;

REVOKE ALL ON FUNCTION public.cancel_order(p_trader_id uuid, p_order_id uuid, p_client_order_id text, p_reason text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) FROM PUBLIC;
GRANT ALL ON FUNCTION public.cancel_order(p_trader_id uuid, p_order_id uuid, p_client_order_id text, p_reason text, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) TO blotter_trader;

REVOKE ALL ON FUNCTION public.canonical_decimal(p_value numeric) FROM PUBLIC;
GRANT ALL ON FUNCTION public.canonical_decimal(p_value numeric) TO blotter_sequencer;
GRANT ALL ON FUNCTION public.canonical_decimal(p_value numeric) TO blotter_compliance;

REVOKE ALL ON FUNCTION public.canonical_json(p_text text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.canonical_json(p_text text) TO blotter_sequencer;
GRANT ALL ON FUNCTION public.canonical_json(p_text text) TO blotter_compliance;

REVOKE ALL ON FUNCTION public.canonical_time(p_time timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.canonical_time(p_time timestamp with time zone) TO blotter_sequencer;
GRANT ALL ON FUNCTION public.canonical_time(p_time timestamp with time zone) TO blotter_compliance;

GRANT SELECT ON TABLE public.execution_logs TO blotter_trader;
GRANT SELECT ON TABLE public.execution_logs TO blotter_execution;
GRANT SELECT ON TABLE public.execution_logs TO blotter_compliance;
GRANT SELECT ON TABLE public.execution_logs TO blotter_sequencer;

GRANT INSERT(order_id) ON TABLE public.execution_logs TO blotter_trader;
GRANT INSERT(order_id) ON TABLE public.execution_logs TO blotter_execution;

GRANT INSERT(trader_id) ON TABLE public.execution_logs TO blotter_trader;
GRANT INSERT(trader_id) ON TABLE public.execution_logs TO blotter_execution;

GRANT INSERT(action) ON TABLE public.execution_logs TO blotter_trader;
GRANT INSERT(action) ON TABLE public.execution_logs TO blotter_execution;

GRANT INSERT("timestamp") ON TABLE public.execution_logs TO blotter_execution;

GRANT INSERT(reason) ON TABLE public.execution_logs TO blotter_trader;
GRANT INSERT(reason) ON TABLE public.execution_logs TO blotter_execution;

GRANT INSERT(retry_attempt) ON TABLE public.execution_logs TO blotter_execution;

GRANT INSERT(error_code) ON TABLE public.execution_logs TO blotter_execution;

GRANT INSERT(report_id) ON TABLE public.execution_logs TO blotter_execution;

GRANT INSERT(report_digest) ON TABLE public.execution_logs TO blotter_execution;

GRANT INSERT(sequence) ON TABLE public.execution_logs TO blotter_trader;
GRANT INSERT(sequence) ON TABLE public.execution_logs TO blotter_execution;

GRANT INSERT(refused) ON TABLE public.execution_logs TO blotter_execution;

GRANT INSERT(actor) ON TABLE public.execution_logs TO blotter_trader;
GRANT INSERT(actor) ON TABLE public.execution_logs TO blotter_execution;

GRANT INSERT(request_id) ON TABLE public.execution_logs TO blotter_trader;
GRANT INSERT(request_id) ON TABLE public.execution_logs TO blotter_execution;

GRANT INSERT(venue) ON TABLE public.execution_logs TO blotter_execution;

GRANT INSERT(execution_id) ON TABLE public.execution_logs TO blotter_execution;

GRANT INSERT(fill_quantity) ON TABLE public.execution_logs TO blotter_execution;

GRANT INSERT(fill_price) ON TABLE public.execution_logs TO blotter_execution;

GRANT INSERT(fill_commission) ON TABLE public.execution_logs TO blotter_execution;

REVOKE ALL ON FUNCTION public.execution_log_leaf(p_log public.execution_logs) FROM PUBLIC;
GRANT ALL ON FUNCTION public.execution_log_leaf(p_log public.execution_logs) TO blotter_sequencer;
GRANT ALL ON FUNCTION public.execution_log_leaf(p_log public.execution_logs) TO blotter_compliance;

REVOKE ALL ON FUNCTION public.ledger_incarnation() FROM PUBLIC;
GRANT ALL ON FUNCTION public.ledger_incarnation() TO blotter_sequencer;

REVOKE ALL ON FUNCTION public.lock_trader_sequence(p_trader_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.lock_trader_sequence(p_trader_id uuid) TO blotter_trader;
GRANT ALL ON FUNCTION public.lock_trader_sequence(p_trader_id uuid) TO blotter_execution;

REVOKE ALL ON FUNCTION public.nfkc(p_text text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.nfkc(p_text text) TO blotter_trader;
GRANT ALL ON FUNCTION public.nfkc(p_text text) TO blotter_execution;

REVOKE ALL ON FUNCTION public.rebaseline_ledger() FROM PUBLIC;
GRANT ALL ON FUNCTION public.rebaseline_ledger() TO blotter_sequencer;

REVOKE ALL ON FUNCTION public.report_execution(p_trader_id uuid, p_order_id uuid, p_report_id text, p_report_digest bytea, p_action public.action_enum, p_timestamp timestamp with time zone, p_venue text, p_reason text, p_error_code text, p_retry_attempt integer, p_execution_id text, p_quantity integer, p_price numeric, p_commission numeric, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) FROM PUBLIC;
GRANT ALL ON FUNCTION public.report_execution(p_trader_id uuid, p_order_id uuid, p_report_id text, p_report_digest bytea, p_action public.action_enum, p_timestamp timestamp with time zone, p_venue text, p_reason text, p_error_code text, p_retry_attempt integer, p_execution_id text, p_quantity integer, p_price numeric, p_commission numeric, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) TO blotter_execution;

REVOKE ALL ON FUNCTION public.schema_compatibility(OUT serves_from text, OUT release text, OUT policies_and_grants text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.schema_compatibility(OUT serves_from text, OUT release text, OUT policies_and_grants text) TO blotter_trader;

REVOKE ALL ON FUNCTION public.submit_order(p_trader_id uuid, p_client_order_id text, p_request_digest bytea, p_symbol text, p_side public.order_side_enum, p_order_type public.order_type_enum, p_quantity integer, p_price numeric, p_stop_loss numeric, p_take_profit numeric, p_expires_at timestamp with time zone, p_validate_only boolean, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) FROM PUBLIC;
GRANT ALL ON FUNCTION public.submit_order(p_trader_id uuid, p_client_order_id text, p_request_digest bytea, p_symbol text, p_side public.order_side_enum, p_order_type public.order_type_enum, p_quantity integer, p_price numeric, p_stop_loss numeric, p_take_profit numeric, p_expires_at timestamp with time zone, p_validate_only boolean, p_actor text, p_request_id text, OUT outcome text, OUT recorded public.orders) TO blotter_trader;

GRANT SELECT ON TABLE public.ledger_head TO blotter_execution;
GRANT SELECT ON TABLE public.ledger_head TO blotter_compliance;
GRANT SELECT ON TABLE public.ledger_head TO blotter_sequencer;

GRANT INSERT(id) ON TABLE public.ledger_head TO blotter_sequencer;

GRANT UPDATE(size) ON TABLE public.ledger_head TO blotter_sequencer;

GRANT UPDATE(incarnation) ON TABLE public.ledger_head TO blotter_sequencer;

GRANT UPDATE(next_xid) ON TABLE public.ledger_head TO blotter_sequencer;

GRANT UPDATE(open_xids) ON TABLE public.ledger_head TO blotter_sequencer;

REVOKE ALL ON FUNCTION public.traders_with_news(p_head public.ledger_head, p_now pg_snapshot, p_most integer, OUT traders uuid[], OUT before_xid bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.traders_with_news(p_head public.ledger_head, p_now pg_snapshot, p_most integer, OUT traders uuid[], OUT before_xid bigint) TO blotter_sequencer;

GRANT SELECT ON TABLE public.alembic_version TO blotter_trader;
GRANT SELECT ON TABLE public.alembic_version TO blotter_execution;
GRANT SELECT ON TABLE public.alembic_version TO blotter_compliance;
GRANT SELECT ON TABLE public.alembic_version TO blotter_sequencer;

GRANT SELECT ON TABLE public.audit_accesses TO blotter_compliance;

GRANT INSERT(actor) ON TABLE public.audit_accesses TO blotter_compliance;

GRANT INSERT(request_id) ON TABLE public.audit_accesses TO blotter_compliance;

GRANT INSERT(method) ON TABLE public.audit_accesses TO blotter_compliance;

GRANT INSERT(request) ON TABLE public.audit_accesses TO blotter_compliance;

GRANT SELECT ON TABLE public.fills TO blotter_trader;
GRANT SELECT ON TABLE public.fills TO blotter_execution;
GRANT SELECT ON TABLE public.fills TO blotter_compliance;

GRANT INSERT(order_id) ON TABLE public.fills TO blotter_execution;

GRANT INSERT("timestamp") ON TABLE public.fills TO blotter_execution;

GRANT INSERT(quantity_filled) ON TABLE public.fills TO blotter_execution;

GRANT INSERT(price_at_fill) ON TABLE public.fills TO blotter_execution;

GRANT INSERT(venue) ON TABLE public.fills TO blotter_execution;

GRANT INSERT(commission) ON TABLE public.fills TO blotter_execution;

GRANT INSERT(trader_id) ON TABLE public.fills TO blotter_execution;

GRANT INSERT(execution_id) ON TABLE public.fills TO blotter_execution;

GRANT INSERT(sequence) ON TABLE public.fills TO blotter_execution;

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

GRANT SELECT ON TABLE public.trader_sequences TO blotter_trader;
GRANT SELECT ON TABLE public.trader_sequences TO blotter_execution;
GRANT SELECT ON TABLE public.trader_sequences TO blotter_compliance;
GRANT SELECT ON TABLE public.trader_sequences TO blotter_sequencer;

GRANT INSERT(trader_id) ON TABLE public.trader_sequences TO blotter_trader;
GRANT INSERT(trader_id) ON TABLE public.trader_sequences TO blotter_execution;

GRANT UPDATE(last_sequence) ON TABLE public.trader_sequences TO blotter_trader;
GRANT UPDATE(last_sequence) ON TABLE public.trader_sequences TO blotter_execution;

GRANT SELECT ON TABLE public.traders TO blotter_trader;
GRANT SELECT ON TABLE public.traders TO blotter_execution;
GRANT SELECT ON TABLE public.traders TO blotter_compliance;
