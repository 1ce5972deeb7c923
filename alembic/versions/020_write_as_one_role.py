"""Write orders, fills and logs through functions of one role, which apply the lifecycle in one place.

Why: the lifecycle stood in two functions, two triggers and two checks, a submit ran fifteen inner statements, and every
login could write rows by raw SQL that the guards then had to judge. Now the functions are the only way to write. They
run with the rights of blotter_writer (SECURITY DEFINER), which can log in nowhere, owns nothing else, and is bound by
row policies to the trader that act_as() named. No function takes a trader from an argument; the grants on the functions
decide what a login may do. The logins keep SELECT.

- apply_event() is the lifecycle: it takes an order and an event, and returns both as they are after it, or the code of
  the refusal. record_event() calls it and writes the result: the order, the counter, the log. Every write goes through
  these two.
- A log is written from the values that the function holds. Nothing is read back.
- The time of an event is read once, for the order, the fill and the log.
- The checks that are not the seed's moved from constraints into the triggers orders_guard, execution_logs_guard and
  fills_guard: PostgreSQL reads the text of every CHECK again for each statement. `python -m benchmarks.write_path`
  compares the CPU of the two revisions.

What remains below the functions, with its cost for a submit, and why it stays. Their faults must not break these:

- append-only walls (grants, restrictive policies, row and TRUNCATE triggers): nothing; no statement fires them;
- the dense counter: guard_sequence (one trigger call), the unique key of sequences, the foreign keys of the counter and
  of the log to the log before it (two index probes);
- orders.last_sequence, a deferred foreign key to the log: one probe; no order changes without its log;
- the foreign keys of logs and fills to their order, of orders to their trader: one probe each; they make the row of
  another trader unreachable;
- unique keys (client_order_id, report_id, request_key, execution ids): one index insertion each; nothing counts twice;
- the seed's eight checks, and guards of terms and words: no read of a table.

Servers of release 0.2.0 cannot serve this schema: their statements call functions that trust an argument for the
trader, and the privileges of these functions are what this revision removes. Stop them, upgrade, start the new ones.
The revision needs the role blotter_writer: run sql/roles.sql of this release first, as a superuser.

The leaf of a new log has version 2: the names of version 1 and those of the new columns. Old logs keep version 1.

Tables are locked exclusively while it runs; fills and orders are rewritten once.

The downgrade refuses, by kind and number, what revision 019 cannot hold: requests, corrections, timers, the new terms
and attributes of orders, trade dates of their own, and logs whose leaves of version 2 are in the ledger. Other new logs
get leaves of version 1. It needs the rewrite of logs, with servers and sequencer stopped.

Revision: 020
Follows: 019
"""

from __future__ import annotations

from alembic import op

revision = "020"
down_revision = "019"
branch_labels = None
depends_on = None

step = "contract"  # servers of 0.2.0 write through what it takes away

# Control characters, and invisible characters that change the display: soft hyphen, zero width, direction, separators.
INVISIBLE = (
    r"[\u0001-\u001f\u007f-\u009f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680\u17b4"
    r"\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
INVISIBLE_BEFORE = INVISIBLE.replace(r"\ufff0-\ufffb", r"\ufff9-\ufffb").replace(
    r"\U000e0000-\U000e0fff", r"\U000e0000-\U000e01ef"
)

PREPARE = """
    DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'blotter_writer')
           OR NOT pg_has_role('blotter_owner', 'blotter_writer', 'MEMBER') THEN
            RAISE EXCEPTION 'The role blotter_writer is missing, or blotter_owner is not a member of it: '
                'run sql/roles.sql of this release as a superuser (blotter migrate roles prints it).';
        END IF;
    END $$;

    SET LOCAL lock_timeout = '5s';
    LOCK TABLE traders IN SHARE ROW EXCLUSIVE MODE;
    LOCK TABLE trader_sequences, orders, fills, execution_logs, fill_corrections, cancel_timers
        IN ACCESS EXCLUSIVE MODE;

    -- The old way to write --------------------------------------------------------------------------------------------
    REVOKE INSERT, UPDATE ON orders, fills, execution_logs, trader_sequences FROM blotter_trader, blotter_execution;
    DO $$
    DECLARE
        v_table text;
        v_columns text;
    BEGIN
        FOR v_table, v_columns IN
            SELECT relname, string_agg(quote_ident(attname), ', ') FROM pg_attribute
            JOIN pg_class ON pg_class.oid = attrelid
            WHERE relnamespace = 'public'::regnamespace
              AND relname IN ('orders', 'fills', 'execution_logs', 'trader_sequences') AND attacl IS NOT NULL
            GROUP BY relname
        LOOP
            EXECUTE format('REVOKE ALL (%s) ON %I FROM blotter_trader, blotter_execution', v_columns, v_table);
        END LOOP;
    END $$;
    DROP POLICY orders_trader_enters_own ON orders;
    DROP POLICY orders_trader_cancels_own ON orders;
    DROP POLICY orders_execution_updates_named ON orders;
    DROP POLICY fills_execution_records_named ON fills;
    DROP POLICY execution_logs_trader_logs_own ON execution_logs;
    DROP POLICY execution_logs_execution_logs_named ON execution_logs;
    DROP POLICY trader_sequences_trader_isolation ON trader_sequences;
    CREATE POLICY trader_sequences_trader_isolation ON trader_sequences FOR SELECT TO blotter_trader
        USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
    DROP POLICY trader_sequences_execution_starts_named ON trader_sequences;
    DROP POLICY trader_sequences_execution_advances_named ON trader_sequences;

    DROP TRIGGER orders_stamp ON orders;
    DROP TRIGGER orders_guard ON orders;
    DROP TRIGGER execution_logs_take_state ON execution_logs;
    DROP TRIGGER execution_logs_words ON execution_logs;
    DROP TRIGGER fills_guard ON fills;
    DROP FUNCTION stamp_order(), guard_order(), take_order_state(), guard_log_words(), guard_fill();
    DROP FUNCTION submit_order(uuid, text, bytea, text, order_side_enum, order_type_enum, integer, numeric, numeric,
        numeric, timestamptz, boolean, text, text);
    DROP FUNCTION cancel_order(uuid, uuid, text, text, text, text);
    DROP FUNCTION cancel_open_orders(uuid, text, boolean, text, text, text, integer);
    DROP FUNCTION report_execution(uuid, uuid, text, bytea, action_enum, timestamptz, text, text, text, integer, text,
        integer, numeric, numeric, text, text);
    DROP FUNCTION lock_trader_sequence(uuid);

    ALTER TABLE orders
        DROP CONSTRAINT ck_orders_client_order_id_printable,
        DROP CONSTRAINT ck_orders_exits_on_their_side,
        DROP CONSTRAINT ck_orders_expires_after_entry,
        DROP CONSTRAINT ck_orders_market_has_no_price,
        DROP CONSTRAINT ck_orders_notional_with_fills,
        DROP CONSTRAINT ck_orders_prices_are_numbers,
        DROP CONSTRAINT ck_orders_request_digest_sha256,
        DROP CONSTRAINT ck_orders_status_fits_fills,
        DROP CONSTRAINT ck_orders_stop_loss_positive,
        DROP CONSTRAINT ck_orders_symbol_not_empty,
        DROP CONSTRAINT ck_orders_take_profit_positive;
    ALTER TABLE execution_logs
        DROP CONSTRAINT ck_execution_logs_amounts_are_numbers,
        DROP CONSTRAINT ck_execution_logs_reason_readable,
        DROP CONSTRAINT ck_execution_logs_refused_has_code,
        DROP CONSTRAINT ck_execution_logs_report_id_printable,
        DROP CONSTRAINT ck_execution_logs_report_with_digest,
        DROP CONSTRAINT ck_execution_logs_retry_attempt_nonnegative,
        DROP CONSTRAINT ck_execution_logs_sequence_positive,
        DROP CONSTRAINT ck_execution_logs_timestamp_is_a_date;
    ALTER TABLE fills
        DROP CONSTRAINT ck_fills_amounts_are_numbers,
        DROP CONSTRAINT ck_fills_execution_id_printable,
        DROP CONSTRAINT ck_fills_timestamp_is_a_date,
        DROP CONSTRAINT ck_fills_venue_not_empty;

    -- Data ------------------------------------------------------------------------------------------------------------
    -- A change of type passes by the append-only triggers and the policies, which an UPDATE cannot.
    ALTER TABLE fills ALTER COLUMN trade_date TYPE date USING (timestamp AT TIME ZONE 'UTC')::date;
    ALTER TABLE fills
        ALTER COLUMN trade_date SET NOT NULL,
        ALTER COLUMN created_at DROP DEFAULT,
        DROP CONSTRAINT uq_fills_execution_id,
        ADD CONSTRAINT uq_fills_execution_id UNIQUE (trader_id, venue, trade_date, execution_id);

    -- What closed an order, and whether a gateway has it, stands in its logs.
    ALTER TABLE orders NO FORCE ROW LEVEL SECURITY;
    ALTER TABLE execution_logs NO FORCE ROW LEVEL SECURITY;
    UPDATE orders SET
        closed_as = closing.action, status_reason = closing.reason, at_venue = closing.at_venue
    FROM (
        SELECT o.trader_id, o.id, closed.action::text::order_status_enum AS action, closed.reason,
            EXISTS (SELECT FROM execution_logs AS l WHERE l.trader_id = o.trader_id AND l.order_id = o.id
                    AND l.action IN ('EXECUTED', 'RECOVERED', 'FILLED')) AS at_venue
        FROM orders AS o LEFT JOIN LATERAL (
            SELECT l.action, l.reason FROM execution_logs AS l
            WHERE l.trader_id = o.trader_id AND l.order_id = o.id
              AND l.action IN ('CANCELLED', 'REJECTED') AND NOT l.refused
            ORDER BY l.trader_id, l.order_id, l.sequence LIMIT 1) AS closed ON true) AS closing
    WHERE orders.trader_id = closing.trader_id AND orders.id = closing.id
      AND (closing.action IS NOT NULL OR closing.at_venue);
    ALTER TABLE orders FORCE ROW LEVEL SECURITY;
    ALTER TABLE execution_logs FORCE ROW LEVEL SECURITY;

    ALTER TABLE execution_logs
        ALTER COLUMN leaf_version SET DEFAULT 2,
        ALTER COLUMN login SET DEFAULT session_user;

    DROP INDEX idx_orders_expiring;
    CREATE INDEX idx_orders_expiring ON orders (expires_at)
        WHERE status IN ('PENDING', 'PARTIAL') AND pending_kind IS NULL AND NOT expiry_requested;
"""

GUARDS = """
    -- Guards of rows: they read no table ------------------------------------------------------------------------------
    CREATE FUNCTION guard_order() RETURNS trigger LANGUAGE plpgsql AS $$
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
                            OR length(value #>> '{}') NOT BETWEEN 1 AND 64 OR value #>> '{}' ~ 'INVISIBLE')
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
    END $$;
    CREATE TRIGGER orders_guard BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION guard_order();

    CREATE FUNCTION guard_fill() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.venue ~ 'INVISIBLE' OR length(NEW.venue) = 0 OR NEW.execution_id !~ '^[!-~]+$'
           OR NEW.timestamp < '0001-01-01 00:00+00' OR NEW.timestamp >= '10000-01-01 00:00+00'
           OR NEW.trade_date < '0001-01-01' OR NEW.trade_date >= '10000-01-01' THEN
            RAISE EXCEPTION 'Refused by fills_words_are_visible.' USING ERRCODE = 'check_violation',
                CONSTRAINT = 'fills_words_are_visible', TABLE = TG_TABLE_NAME;
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER fills_guard BEFORE INSERT ON fills FOR EACH ROW EXECUTE FUNCTION guard_fill();
    CREATE TRIGGER fill_corrections_guard BEFORE INSERT ON fill_corrections FOR EACH ROW EXECUTE FUNCTION guard_fill();
    ALTER TABLE fills ADD CONSTRAINT ck_fills_amounts_are_numbers CHECK ('NaN' NOT IN (price_at_fill, commission));

    CREATE FUNCTION guard_log() RETURNS trigger LANGUAGE plpgsql AS $$
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
           OR NEW.reason ~ 'INVISIBLE' OR NEW.venue ~ 'INVISIBLE' THEN
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
    END $$;
    CREATE TRIGGER execution_logs_guard BEFORE INSERT ON execution_logs FOR EACH ROW EXECUTE FUNCTION guard_log();

    CREATE TRIGGER fill_corrections_refuse_change BEFORE UPDATE OR DELETE ON fill_corrections
        FOR EACH ROW EXECUTE FUNCTION refuse_change();
    CREATE TRIGGER fill_corrections_refuse_truncate BEFORE TRUNCATE ON fill_corrections
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
""".replace("INVISIBLE", INVISIBLE)

LIFECYCLE = """
    -- The lifecycle ---------------------------------------------------------------------------------------------------
    CREATE FUNCTION order_status(p_quantity integer, p_filled_quantity integer, p_closed_as order_status_enum)
    RETURNS order_status_enum LANGUAGE plpgsql IMMUTABLE AS $$
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
    COMMENT ON FUNCTION order_status IS 'The status that follows from the quantities and from what closed the order';

    CREATE FUNCTION terms_violation(p_order orders) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
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
    COMMENT ON FUNCTION terms_violation IS 'The first rule of an order''s terms that they break, or null';

    CREATE FUNCTION canonical_terms(p_terms jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
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
    COMMENT ON FUNCTION canonical_terms IS 'The terms of a request, each in its one spelling';

    CREATE FUNCTION with_terms(p_order orders, p_terms jsonb) RETURNS orders LANGUAGE plpgsql STABLE AS $$
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
    COMMENT ON FUNCTION with_terms IS 'The order with the terms that are given';

    CREATE FUNCTION apply_event(
        INOUT state orders, INOUT event execution_logs, p_quantity bigint, p_notional numeric, OUT refusal text
    ) LANGUAGE plpgsql STABLE AS $$
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
    COMMENT ON FUNCTION apply_event IS 'The lifecycle: order and event as they are after the event, or its refusal.'
        ' A request takes effect at once while the order is with the desk alone';

    CREATE FUNCTION record_event(
        p_state orders, p_event execution_logs, p_quantity bigint, p_notional numeric, p_refusal text,
        OUT outcome text, OUT recorded orders
    ) LANGUAGE plpgsql AS $$
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
    COMMENT ON FUNCTION record_event IS 'Apply an event and write order, counter and log';
"""

WRITING = """
    -- What the logins call --------------------------------------------------------------------------------------------
    CREATE FUNCTION acting_trader() RETURNS uuid LANGUAGE plpgsql STABLE AS $$
    DECLARE
        v_trader_id text := nullif(current_setting('app.trader_id', true), '');
    BEGIN
        IF v_trader_id IS NULL THEN
            RAISE EXCEPTION 'No trader is named: call act_as() in the same transaction.'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN v_trader_id;
    END $$;
    COMMENT ON FUNCTION acting_trader IS 'The trader that act_as() named for the transaction; an error without one';

    CREATE FUNCTION lock_sequence() RETURNS bigint LANGUAGE plpgsql AS $$
    DECLARE
        v_trader_id uuid := acting_trader();
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
    COMMENT ON FUNCTION lock_sequence IS 'Lock the acting trader''s counter until commit; return the last number';

    -- With the caller's rights: a reader finds an order that it may see.
    CREATE FUNCTION find_order(p_key text) RETURNS uuid LANGUAGE plpgsql STABLE AS $$
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
    COMMENT ON FUNCTION find_order IS 'The acting trader''s order with this client_order_id or request key';

    CREATE FUNCTION submit_order(
        p_client_order_id text, p_request_digest bytea, p_symbol text, p_side order_side_enum,
        p_order_type order_type_enum, p_quantity integer, p_price numeric, p_stop_price numeric, p_stop_loss numeric,
        p_take_profit numeric, p_time_in_force time_in_force_enum, p_expires_at timestamptz, p_account text,
        p_labels jsonb, p_parent_order_id text, p_currency text, p_security_id text,
        p_security_id_source security_id_source_enum, p_short_sale short_sale_enum,
        p_exempt_from_cancel_timer boolean, p_validate_only boolean, p_actor text, p_request_id text,
        OUT outcome text, OUT recorded orders
    ) LANGUAGE plpgsql AS $$
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
    COMMENT ON FUNCTION submit_order IS 'Enter an order. APPLIED, REPLAYED, VALID, CLIENT_ORDER_ID_REUSED,'
        ' EXPIRE_TIME_PAST or a violation of its terms';

    CREATE FUNCTION request_order(
        p_action action_enum, p_order_id uuid, p_client_order_id text, p_request_key text, p_request_digest bytea,
        p_terms jsonb, p_expected_sequence bigint, p_reason text, p_actor text, p_request_id text,
        OUT outcome text, OUT recorded orders
    ) LANGUAGE plpgsql AS $$
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
    COMMENT ON FUNCTION request_order IS 'Cancel or replace an order, or record the request while a venue has it';

    CREATE FUNCTION cancel_order(
        p_order_id uuid, p_client_order_id text, p_request_key text, p_request_digest bytea, p_reason text,
        p_actor text, p_request_id text, OUT outcome text, OUT recorded orders
    ) LANGUAGE plpgsql AS $$
    DECLARE
        v_result record;
    BEGIN
        v_result := request_order('CANCEL_REQUESTED', p_order_id, p_client_order_id, p_request_key, p_request_digest,
                                  NULL, NULL, p_reason, p_actor, p_request_id);
        outcome := v_result.outcome;
        recorded := v_result.recorded;
    END $$;
    COMMENT ON FUNCTION cancel_order IS 'Cancel an order, or ask its venue to.'
        ' APPLIED, REPLAYED, ORDER_NOT_FOUND, ORDER_CLOSED, REQUEST_PENDING or REQUEST_KEY_REUSED';

    CREATE FUNCTION replace_order(
        p_order_id uuid, p_client_order_id text, p_request_key text, p_request_digest bytea, p_terms jsonb,
        p_expected_sequence bigint, p_reason text, p_actor text, p_request_id text,
        OUT outcome text, OUT recorded orders
    ) LANGUAGE plpgsql AS $$
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
    COMMENT ON FUNCTION replace_order IS 'Replace terms of an order, or ask its venue to. APPLIED, REPLAYED,'
        ' ORDER_NOT_FOUND, ORDER_CLOSED, ORDER_CHANGED, REQUEST_PENDING, REQUEST_KEY_REUSED, EXPIRE_TIME_PAST or a'
        ' violation of the terms';

    CREATE FUNCTION cancel_orders(
        p_order_ids uuid[], p_sequence bigint, p_reason text, p_actor text, p_request_id text
    ) RETURNS TABLE (order_id uuid, requested boolean) LANGUAGE plpgsql AS $$
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
    COMMENT ON FUNCTION cancel_orders IS
        'Cancel open orders without a pending request, or ask their venue to; p_sequence is the last number given out';

    CREATE FUNCTION cancel_open_orders(
        p_symbol text, p_reason text, p_actor text, p_request_id text, p_most integer
    ) RETURNS TABLE (order_id uuid, requested boolean) LANGUAGE plpgsql AS $$
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
    COMMENT ON FUNCTION cancel_open_orders IS
        'Cancel the trader''s open orders, the oldest so many; those with a pending request stay';

    CREATE FUNCTION lock_sequence_at_once() RETURNS bigint LANGUAGE plpgsql AS $$
    DECLARE
        v_trader_id uuid := acting_trader();
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
    COMMENT ON FUNCTION lock_sequence_at_once IS 'As lock_sequence; an error if another transaction holds the lock';

    CREATE FUNCTION expire_orders(p_request_id text, p_most integer)
    RETURNS TABLE (order_id uuid, requested boolean) LANGUAGE plpgsql AS $$
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
    COMMENT ON FUNCTION expire_orders IS 'Cancel the trader''s orders past their expiry, or ask their venue to, once';

    CREATE FUNCTION fire_cancel_timer(p_request_id text, p_most integer)
    RETURNS TABLE (order_id uuid, requested boolean) LANGUAGE plpgsql AS $$
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
    COMMENT ON FUNCTION fire_cancel_timer IS
        'Cancel the open orders of a trader whose cancel timer has run out, or ask their venue to';

    CREATE FUNCTION set_cancel_timer(p_timeout interval, p_actor text, p_request_id text)
    RETURNS cancel_timers LANGUAGE plpgsql AS $$
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
    END $$;
    COMMENT ON FUNCTION set_cancel_timer IS 'Start the acting trader''s cancel timer anew; 0 switches it off';

    CREATE FUNCTION report_execution(
        p_order_id uuid, p_report_id text, p_report_digest bytea, p_action action_enum, p_timestamp timestamptz,
        p_venue text, p_reason text, p_error_code text, p_retry_attempt integer, p_execution_id text,
        p_trade_date date, p_ref_execution_id text, p_ref_trade_date date, p_quantity integer, p_price numeric,
        p_commission numeric, p_request_key text, p_actor text, p_request_id text,
        OUT outcome text, OUT recorded orders
    ) LANGUAGE plpgsql AS $$
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
    COMMENT ON FUNCTION report_execution IS 'Record a report. APPLIED, REPLAYED, ORDER_NOT_FOUND, ORDER_CLOSED,'
        ' REQUEST_NOT_PENDING, FILL_NOT_FOUND, REPORT_ID_REUSED, EXECUTION_ID_REUSED or an old OVERFILL';

    -- The health check: takes the locks that a write needs and fails on a standby. No row matches.
    CREATE FUNCTION probe_writing() RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE trader_sequences SET last_sequence = last_sequence WHERE trader_id IS NULL;
        UPDATE orders SET last_sequence = last_sequence WHERE trader_id IS NULL;
        INSERT INTO execution_logs (trader_id) SELECT NULL WHERE false;
    END $$;
    COMMENT ON FUNCTION probe_writing IS 'Take the locks that a write needs, and write nothing';
"""

LEDGER = """
    -- The ledger ------------------------------------------------------------------------------------------------------
    CREATE FUNCTION canonical_object(p_object jsonb) RETURNS text LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
        -- Names are ASCII: the order of their bytes is that of RFC 8785.
        SELECT '{' || coalesce(string_agg(canonical_json(key) || ':' || CASE jsonb_typeof(value)
            WHEN 'string' THEN canonical_json(value #>> '{}') ELSE value::text END, ',' ORDER BY key COLLATE "C"), '')
            || '}'
        FROM jsonb_each(p_object)
    $$;
    COMMENT ON FUNCTION canonical_object IS 'An object of strings, integers and nulls as RFC 8785 has it';
    REVOKE ALL ON FUNCTION canonical_object FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION canonical_object TO blotter_sequencer, blotter_compliance;

    CREATE OR REPLACE FUNCTION execution_log_leaf(p_log execution_logs) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
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

    CREATE OR REPLACE FUNCTION append_to_ledger(p_size bigint, p_most integer)
    RETURNS TABLE (entry_position bigint, entry_hash bytea)
    LANGUAGE plpgsql SET enable_seqscan = off SET search_path = pg_catalog, public, pg_temp AS $$
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
"""

PRIVILEGES = """
    -- Privileges ------------------------------------------------------------------------------------------------------
    -- The functions that logins call set their search path. What these call inherits it, because a path of its own is
    -- set and reset by each call. The guards name the schema of what they call.
    DO $$
    DECLARE
        v_function regprocedure;
    BEGIN
        FOR v_function IN
            SELECT oid FROM pg_proc
            WHERE pronamespace = 'public'::regnamespace AND proname IN (
                'submit_order', 'cancel_order', 'replace_order', 'cancel_open_orders', 'set_cancel_timer',
                'report_execution', 'expire_orders', 'fire_cancel_timer', 'probe_writing', 'acting_trader',
                'find_order')
        LOOP
            EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, public, pg_temp', v_function);
        END LOOP;
    END $$;

    REVOKE ALL ON FUNCTION order_status, terms_violation, canonical_terms, with_terms, apply_event, record_event,
        acting_trader, lock_sequence, lock_sequence_at_once, find_order, request_order, cancel_orders, submit_order,
        cancel_order, replace_order, report_execution, cancel_open_orders, expire_orders, fire_cancel_timer,
        set_cancel_timer, probe_writing, guard_order, guard_log, guard_fill FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION order_status, terms_violation, canonical_terms, with_terms, apply_event, record_event,
        acting_trader, lock_sequence, lock_sequence_at_once, find_order, request_order, cancel_orders, nfkc
        TO blotter_writer;
    REVOKE EXECUTE ON FUNCTION nfkc FROM blotter_trader, blotter_execution;
    GRANT EXECUTE ON FUNCTION acting_trader, find_order TO blotter_trader;
    GRANT EXECUTE ON FUNCTION submit_order, cancel_order, replace_order, cancel_open_orders, set_cancel_timer
        TO blotter_trader;
    GRANT EXECUTE ON FUNCTION report_execution, expire_orders, fire_cancel_timer, probe_writing TO blotter_execution;

    ALTER FUNCTION submit_order SECURITY DEFINER;
    ALTER FUNCTION cancel_order SECURITY DEFINER;
    ALTER FUNCTION replace_order SECURITY DEFINER;
    ALTER FUNCTION cancel_open_orders SECURITY DEFINER;
    ALTER FUNCTION set_cancel_timer SECURITY DEFINER;
    ALTER FUNCTION report_execution SECURITY DEFINER;
    ALTER FUNCTION expire_orders SECURITY DEFINER;
    ALTER FUNCTION fire_cancel_timer SECURITY DEFINER;
    ALTER FUNCTION probe_writing SECURITY DEFINER;
    GRANT USAGE ON SCHEMA public TO blotter_writer;
    -- The new owner of a function needs it at that moment.
    GRANT CREATE ON SCHEMA public TO blotter_writer;
    ALTER FUNCTION submit_order OWNER TO blotter_writer;
    ALTER FUNCTION cancel_order OWNER TO blotter_writer;
    ALTER FUNCTION replace_order OWNER TO blotter_writer;
    ALTER FUNCTION cancel_open_orders OWNER TO blotter_writer;
    ALTER FUNCTION set_cancel_timer OWNER TO blotter_writer;
    ALTER FUNCTION report_execution OWNER TO blotter_writer;
    ALTER FUNCTION expire_orders OWNER TO blotter_writer;
    ALTER FUNCTION fire_cancel_timer OWNER TO blotter_writer;
    ALTER FUNCTION probe_writing OWNER TO blotter_writer;
    REVOKE CREATE ON SCHEMA public FROM blotter_writer;

    GRANT SELECT, INSERT, UPDATE ON orders, trader_sequences TO blotter_writer;
    GRANT SELECT, INSERT ON fills, fill_corrections, execution_logs TO blotter_writer;
    GRANT SELECT, INSERT, UPDATE, DELETE ON cancel_timers TO blotter_writer;
    -- Before PostgreSQL 16 the owner, as a member of the role, has its policies too: they name the current user.
    CREATE POLICY orders_writer_named ON orders TO blotter_writer
        USING (current_user = 'blotter_writer'
            AND trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
    CREATE POLICY trader_sequences_writer_named ON trader_sequences TO blotter_writer
        USING (current_user = 'blotter_writer'
            AND trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
    CREATE POLICY fills_writer_named ON fills TO blotter_writer
        USING (current_user = 'blotter_writer'
            AND trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
    CREATE POLICY execution_logs_writer_named ON execution_logs TO blotter_writer
        USING (current_user = 'blotter_writer'
            AND trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);

    ALTER TABLE fill_corrections ENABLE ROW LEVEL SECURITY;
    ALTER TABLE fill_corrections FORCE ROW LEVEL SECURITY;
    CREATE POLICY fill_corrections_writer_named ON fill_corrections TO blotter_writer
        USING (current_user = 'blotter_writer'
            AND trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
    CREATE POLICY fill_corrections_trader_isolation ON fill_corrections FOR SELECT TO blotter_trader
        USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
    CREATE POLICY fill_corrections_execution_reads_all ON fill_corrections FOR SELECT TO blotter_execution
        USING (true);
    CREATE POLICY fill_corrections_compliance_reads_all ON fill_corrections FOR SELECT TO blotter_compliance
        USING (true);
    CREATE POLICY fill_corrections_immutable_update ON fill_corrections AS RESTRICTIVE FOR UPDATE USING (false);
    CREATE POLICY fill_corrections_immutable_delete ON fill_corrections AS RESTRICTIVE FOR DELETE USING (false);
    GRANT SELECT ON fill_corrections TO blotter_trader, blotter_execution, blotter_compliance;

    ALTER TABLE cancel_timers ENABLE ROW LEVEL SECURITY;
    ALTER TABLE cancel_timers FORCE ROW LEVEL SECURITY;
    CREATE POLICY cancel_timers_writer_named ON cancel_timers TO blotter_writer
        USING (current_user = 'blotter_writer'
            AND trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
    CREATE POLICY cancel_timers_trader_isolation ON cancel_timers FOR SELECT TO blotter_trader
        USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
    CREATE POLICY cancel_timers_execution_reads_all ON cancel_timers FOR SELECT TO blotter_execution USING (true);
    CREATE POLICY cancel_timers_compliance_reads_all ON cancel_timers FOR SELECT TO blotter_compliance USING (true);
    GRANT SELECT ON cancel_timers TO blotter_trader, blotter_execution, blotter_compliance;

    CREATE OR REPLACE FUNCTION schema_compatibility(
        OUT serves_from text, OUT release text, OUT policies_and_grants text
    ) LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, public, pg_temp AS $$
        SELECT '020', '0.3.0', '82262e2cee2bb72d7e42e57d1bf294e862f7e1d78d45f8e3f9abb66a2f719347'
    $$;
"""


REFUSE = """
        SET LOCAL lock_timeout = '5s';
        LOCK TABLE traders IN SHARE ROW EXCLUSIVE MODE;
        LOCK TABLE trader_sequences, orders, fills, execution_logs, fill_corrections, cancel_timers, ledger_entries
            IN ACCESS EXCLUSIVE MODE;

        -- The policies hide every row from the owner.
        ALTER TABLE orders NO FORCE ROW LEVEL SECURITY;
        ALTER TABLE fills NO FORCE ROW LEVEL SECURITY;
        ALTER TABLE execution_logs NO FORCE ROW LEVEL SECURITY;
        ALTER TABLE fill_corrections NO FORCE ROW LEVEL SECURITY;
        ALTER TABLE cancel_timers NO FORCE ROW LEVEL SECURITY;
        ALTER TABLE ledger_entries NO FORCE ROW LEVEL SECURITY;
        DO $$
        DECLARE
            v_found text;
        BEGIN
            SELECT string_agg(format('%s (%s)', kind, number), ', ' ORDER BY place) INTO v_found FROM (VALUES
                (1, 'corrections of fills', (SELECT count(*) FROM fill_corrections)),
                (2, 'pending requests', (SELECT count(*) FROM orders WHERE pending_kind IS NOT NULL)),
                (3, 'running cancel timers', (SELECT count(*) FROM cancel_timers)),
                (4, 'orders filled beyond their quantity', (SELECT count(*) FROM orders WHERE excess_quantity > 0)),
                (5, 'STOP_LIMIT orders', (SELECT count(*) FROM orders WHERE order_type = 'STOP_LIMIT')),
                (6, 'orders with a time in force', (SELECT count(*) FROM orders WHERE time_in_force IS NOT NULL)),
                (7, 'orders with what a desk files them under or an exemption from the cancel timer', (
                    SELECT count(*) FROM orders
                    WHERE exempt_from_cancel_timer OR num_nonnulls(
                        account, labels, parent_order_id, currency, security_id, security_id_source, short_sale) > 0)),
                (8, 'fills that share their venue and execution id with one of another day', (
                    SELECT coalesce(sum(sharing), 0) FROM (
                        SELECT count(*) AS sharing FROM fills GROUP BY trader_id, venue, execution_id
                        HAVING count(*) > 1) AS shared)),
                (9, 'fills whose trade date is not the UTC date of their time', (
                    SELECT count(*) FROM fills WHERE trade_date <> (timestamp AT TIME ZONE 'UTC')::date)),
                (10, 'events with an action that it does not know', (
                    SELECT count(*) FROM execution_logs
                    WHERE action IN ('CANCEL_REQUESTED', 'REPLACE_REQUESTED', 'REPLACED', 'CANCEL_REFUSED',
                        'REPLACE_REFUSED', 'RESTATED', 'DONE_FOR_DAY', 'FILL_CORRECTED', 'FILL_BUSTED'))),
                (11, 'reports refused with a code that it does not know', (
                    SELECT count(*) FROM execution_logs
                    WHERE refused AND error_code NOT IN ('OVERFILL', 'ORDER_CLOSED'))),
                (12, 'ledger entries of version 2', (
                    SELECT count(*) FROM ledger_entries JOIN execution_logs USING (trader_id, sequence)
                    WHERE leaf_version <> 1))
            ) AS kinds (place, kind, number)
            WHERE number > 0;
            IF v_found IS NOT NULL THEN
                RAISE EXCEPTION 'Cannot downgrade: revision 019 cannot hold %.', v_found
                    USING ERRCODE = 'object_not_in_prerequisite_state';
            END IF;
        END $$;
"""

RESTORE = """
        -- What 020 created -----------------------------------------------------------------------------------------
        DROP TRIGGER orders_guard ON orders;
        DROP TRIGGER fills_guard ON fills;
        DROP TRIGGER fill_corrections_guard ON fill_corrections;
        DROP TRIGGER execution_logs_guard ON execution_logs;
        DROP TRIGGER fill_corrections_refuse_change ON fill_corrections;
        DROP TRIGGER fill_corrections_refuse_truncate ON fill_corrections;
        DROP FUNCTION guard_order, guard_fill, guard_log, submit_order, cancel_order, replace_order, report_execution,
            cancel_open_orders, expire_orders, fire_cancel_timer, set_cancel_timer, probe_writing, request_order,
            cancel_orders, find_order, lock_sequence, lock_sequence_at_once, acting_trader, record_event, apply_event,
            with_terms, canonical_terms, terms_violation, order_status;

        DROP POLICY orders_writer_named ON orders;
        DROP POLICY trader_sequences_writer_named ON trader_sequences;
        DROP POLICY fills_writer_named ON fills;
        DROP POLICY execution_logs_writer_named ON execution_logs;
        DROP POLICY fill_corrections_writer_named ON fill_corrections;
        DROP POLICY fill_corrections_trader_isolation ON fill_corrections;
        DROP POLICY fill_corrections_execution_reads_all ON fill_corrections;
        DROP POLICY fill_corrections_compliance_reads_all ON fill_corrections;
        DROP POLICY fill_corrections_immutable_update ON fill_corrections;
        DROP POLICY fill_corrections_immutable_delete ON fill_corrections;
        DROP POLICY cancel_timers_writer_named ON cancel_timers;
        DROP POLICY cancel_timers_trader_isolation ON cancel_timers;
        DROP POLICY cancel_timers_execution_reads_all ON cancel_timers;
        DROP POLICY cancel_timers_compliance_reads_all ON cancel_timers;
        ALTER TABLE fill_corrections DISABLE ROW LEVEL SECURITY;
        ALTER TABLE cancel_timers DISABLE ROW LEVEL SECURITY;
        REVOKE ALL ON fill_corrections, cancel_timers FROM blotter_trader, blotter_execution, blotter_compliance;
        REVOKE ALL ON orders, trader_sequences, fills, execution_logs, fill_corrections, cancel_timers
            FROM blotter_writer;
        REVOKE EXECUTE ON FUNCTION nfkc FROM blotter_writer;
        REVOKE USAGE ON SCHEMA public FROM blotter_writer;

        -- Columns and checks ---------------------------------------------------------------------------------------
        -- The ledger has none of these logs: they get leaves of version 1. A change of type passes by the append-only
        -- triggers.
        ALTER TABLE execution_logs ALTER COLUMN leaf_version TYPE smallint USING 1;
        ALTER TABLE execution_logs
            ALTER COLUMN leaf_version SET DEFAULT 1,
            ALTER COLUMN login SET DEFAULT current_user,
            ADD CONSTRAINT ck_execution_logs_amounts_are_numbers CHECK ('NaN' NOT IN (fill_price, fill_commission)),
            ADD CONSTRAINT ck_execution_logs_reason_readable CHECK (length(reason) <= 600),
            ADD CONSTRAINT ck_execution_logs_refused_has_code CHECK (NOT refused OR error_code IS NOT NULL),
            ADD CONSTRAINT ck_execution_logs_report_id_printable CHECK (report_id ~ '^[!-~]+$'),
            ADD CONSTRAINT ck_execution_logs_report_with_digest CHECK (
                (report_id IS NULL) = (report_digest IS NULL) AND coalesce(length(report_digest) = 32, true)),
            ADD CONSTRAINT ck_execution_logs_retry_attempt_nonnegative CHECK (retry_attempt >= 0),
            ADD CONSTRAINT ck_execution_logs_sequence_positive CHECK (sequence > 0),
            ADD CONSTRAINT ck_execution_logs_timestamp_is_a_date CHECK (
                timestamp >= '0001-01-01 00:00+00' AND timestamp < '10000-01-01 00:00+00');
        ALTER TABLE fills
            ALTER COLUMN trade_date DROP NOT NULL,
            ALTER COLUMN created_at SET DEFAULT clock_timestamp(),
            DROP CONSTRAINT uq_fills_execution_id,
            ADD CONSTRAINT uq_fills_execution_id UNIQUE (trader_id, venue, execution_id),
            ADD CONSTRAINT ck_fills_execution_id_printable CHECK (execution_id ~ '^[!-~]+$'),
            ADD CONSTRAINT ck_fills_timestamp_is_a_date CHECK (
                timestamp >= '0001-01-01 00:00+00' AND timestamp < '10000-01-01 00:00+00'),
            ADD CONSTRAINT ck_fills_venue_not_empty CHECK (length(venue) > 0);
        ALTER TABLE orders
            ADD CONSTRAINT ck_orders_client_order_id_printable CHECK (client_order_id ~ '^[!-~]+$'),
            ADD CONSTRAINT ck_orders_exits_on_their_side CHECK (CASE side
                WHEN 'BUY' THEN coalesce(stop_loss < price, true) AND coalesce(price < take_profit, true)
                    AND coalesce(stop_loss < take_profit, true)
                ELSE coalesce(stop_loss > price, true) AND coalesce(price > take_profit, true)
                    AND coalesce(stop_loss > take_profit, true) END),
            ADD CONSTRAINT ck_orders_expires_after_entry CHECK (
                expires_at > created_at AND expires_at < '10000-01-01 00:00+00'),
            ADD CONSTRAINT ck_orders_market_has_no_price CHECK (order_type <> 'MARKET' OR price IS NULL),
            ADD CONSTRAINT ck_orders_notional_with_fills CHECK ((filled_notional > 0) = (filled_quantity > 0)),
            ADD CONSTRAINT ck_orders_prices_are_numbers CHECK (
                price <> 'NaN' AND stop_loss <> 'NaN' AND take_profit <> 'NaN'),
            ADD CONSTRAINT ck_orders_request_digest_sha256 CHECK (length(request_digest) = 32),
            ADD CONSTRAINT ck_orders_status_fits_fills CHECK (CASE status
                WHEN 'PENDING' THEN filled_quantity = 0
                WHEN 'PARTIAL' THEN filled_quantity > 0 AND filled_quantity < quantity
                WHEN 'FILLED' THEN filled_quantity = quantity
                ELSE filled_quantity < quantity END),
            ADD CONSTRAINT ck_orders_stop_loss_positive CHECK (stop_loss > 0),
            ADD CONSTRAINT ck_orders_symbol_not_empty CHECK (length(symbol) > 0),
            ADD CONSTRAINT ck_orders_take_profit_positive CHECK (take_profit > 0);
        DROP INDEX idx_orders_expiring;
        CREATE INDEX idx_orders_expiring ON orders (expires_at) WHERE status IN ('PENDING', 'PARTIAL');
        ALTER TABLE orders FORCE ROW LEVEL SECURITY;
        ALTER TABLE fills FORCE ROW LEVEL SECURITY;
        ALTER TABLE execution_logs FORCE ROW LEVEL SECURITY;
        ALTER TABLE ledger_entries FORCE ROW LEVEL SECURITY;

        -- Functions and triggers -----------------------------------------------------------------------------------
        CREATE FUNCTION stamp_order() RETURNS trigger LANGUAGE plpgsql AS $$
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
        END $$;

        CREATE FUNCTION guard_order() RETURNS trigger LANGUAGE plpgsql AS $$
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

        CREATE FUNCTION take_order_state() RETURNS trigger LANGUAGE plpgsql AS $$
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

        CREATE FUNCTION guard_log_words() RETURNS trigger LANGUAGE plpgsql AS $$
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
               OR NEW.execution_id !~ '^[!-~]+$' OR NEW.reason ~ 'INVISIBLE' OR NEW.venue ~ 'INVISIBLE' THEN
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
        END $$;

        CREATE FUNCTION guard_fill() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            -- Another transaction might be writing the log of that number; the lock on the counter excludes it.
            PERFORM FROM trader_sequences WHERE trader_id = NEW.trader_id FOR NO KEY UPDATE;
            IF EXISTS (SELECT FROM execution_logs WHERE trader_id = NEW.trader_id AND sequence = NEW.sequence) THEN
                RAISE EXCEPTION 'Refused by fills_precede_their_log.' USING
                    ERRCODE = 'check_violation', CONSTRAINT = 'fills_precede_their_log', TABLE = 'fills';
            END IF;
            IF NEW.venue ~ 'INVISIBLE' THEN
                RAISE EXCEPTION 'Refused by fills_venue_is_visible.' USING
                    ERRCODE = 'check_violation', CONSTRAINT = 'fills_venue_is_visible', TABLE = 'fills';
            END IF;
            NEW.created_at := greatest(clock_timestamp(), (
                SELECT updated_at FROM orders WHERE trader_id = NEW.trader_id AND id = NEW.order_id));
            RETURN NEW;
        END $$;

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

        CREATE OR REPLACE FUNCTION execution_log_leaf(p_log execution_logs) RETURNS bytea
        LANGUAGE sql STABLE PARALLEL SAFE AS $$
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

        CREATE OR REPLACE FUNCTION append_to_ledger(p_size bigint, p_most integer)
        RETURNS TABLE (entry_position bigint, entry_hash bytea) LANGUAGE plpgsql
        SET enable_seqscan = off SET search_path = pg_catalog, public, pg_temp AS $$
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

        DROP FUNCTION canonical_object;
        CREATE OR REPLACE FUNCTION schema_compatibility(
            OUT serves_from text, OUT release text, OUT policies_and_grants text
        ) LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, public, pg_temp AS $$
            SELECT '017', '0.2.0', '2af740371e19a1bbc5618d50574a7a672c2e7cb17ba0852453f9a4c191a88ced'
        $$;

        DO $$
        DECLARE
            v_function regprocedure;
        BEGIN
            FOR v_function IN
                SELECT oid FROM pg_proc
                WHERE pronamespace = 'public'::regnamespace AND proowner = current_user::regrole AND proconfig IS NULL
                  AND proname = ANY ('{stamp_order,guard_order,take_order_state,guard_log_words,guard_fill,
                                       lock_trader_sequence,submit_order,cancel_order,cancel_open_orders,
                                       report_execution}')
            LOOP
                EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, public, pg_temp', v_function);
            END LOOP;
        END $$;

        CREATE TRIGGER orders_stamp BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION stamp_order();
        CREATE TRIGGER orders_guard BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION guard_order();
        CREATE TRIGGER execution_logs_take_state BEFORE INSERT ON execution_logs
            FOR EACH ROW EXECUTE FUNCTION take_order_state();
        CREATE TRIGGER execution_logs_words BEFORE INSERT ON execution_logs
            FOR EACH ROW EXECUTE FUNCTION guard_log_words();
        CREATE TRIGGER fills_guard BEFORE INSERT ON fills FOR EACH ROW EXECUTE FUNCTION guard_fill();

        -- Policies and privileges ----------------------------------------------------------------------------------
        REVOKE ALL ON FUNCTION lock_trader_sequence, submit_order, cancel_order, cancel_open_orders, report_execution
            FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION submit_order, cancel_order TO blotter_trader;
        GRANT EXECUTE ON FUNCTION lock_trader_sequence, cancel_open_orders, nfkc TO blotter_trader, blotter_execution;
        GRANT EXECUTE ON FUNCTION report_execution TO blotter_execution;

        CREATE POLICY orders_trader_enters_own ON orders FOR INSERT TO blotter_trader
            WITH CHECK (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid
                        AND status = 'PENDING' AND filled_quantity = 0);
        CREATE POLICY orders_trader_cancels_own ON orders FOR UPDATE TO blotter_trader
            USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid)
            WITH CHECK (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid AND status = 'CANCELLED');
        CREATE POLICY orders_execution_updates_named ON orders FOR UPDATE TO blotter_execution
            USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
        GRANT INSERT (trader_id, client_order_id, request_digest, symbol, side, order_type, quantity, price, stop_loss,
                      take_profit, expires_at, last_sequence) ON orders TO blotter_trader;
        GRANT UPDATE (status, last_sequence) ON orders TO blotter_trader;
        GRANT UPDATE (status, filled_quantity, filled_notional, last_sequence) ON orders TO blotter_execution;

        CREATE POLICY fills_execution_records_named ON fills FOR INSERT TO blotter_execution
            WITH CHECK (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
        GRANT INSERT (trader_id, order_id, sequence, execution_id, venue, timestamp, quantity_filled, price_at_fill,
                      commission) ON fills TO blotter_execution;

        CREATE POLICY execution_logs_trader_logs_own ON execution_logs FOR INSERT TO blotter_trader
            WITH CHECK (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid
                        AND action IN ('SUBMITTED', 'CANCELLED'));
        CREATE POLICY execution_logs_execution_logs_named ON execution_logs FOR INSERT TO blotter_execution
            WITH CHECK (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid
                        AND action <> 'SUBMITTED');
        GRANT INSERT (trader_id, order_id, sequence, action, reason, actor, request_id) ON execution_logs
            TO blotter_trader;
        GRANT INSERT (trader_id, order_id, sequence, action, reason, actor, request_id, timestamp, retry_attempt,
                      error_code, report_id, report_digest, refused, venue, execution_id, fill_quantity, fill_price,
                      fill_commission) ON execution_logs TO blotter_execution;

        DROP POLICY trader_sequences_trader_isolation ON trader_sequences;
        CREATE POLICY trader_sequences_trader_isolation ON trader_sequences TO blotter_trader
            USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
        CREATE POLICY trader_sequences_execution_starts_named ON trader_sequences FOR INSERT TO blotter_execution
            WITH CHECK (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
        CREATE POLICY trader_sequences_execution_advances_named ON trader_sequences FOR UPDATE TO blotter_execution
            USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
        GRANT INSERT (trader_id), UPDATE (last_sequence) ON trader_sequences TO blotter_trader, blotter_execution;
""".replace("INVISIBLE", INVISIBLE_BEFORE)


def upgrade() -> None:
    """Take the old way to write away, and create the new one."""
    op.run_sql(PREPARE + LIFECYCLE + GUARDS + WRITING + LEDGER + PRIVILEGES)


def downgrade() -> None:
    """Refuse what the older schema cannot hold; then restore the old way to write."""
    op.run_sql(REFUSE + RESTORE)
