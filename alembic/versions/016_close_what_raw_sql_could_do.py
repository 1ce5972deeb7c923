"""Prevent abuse of raw SQL by a login: reserved words, temporary tables, early checkpoints; disable traders.

Why: the list below states the reason and the cost of each change. Servers of revision 015 keep serving: no column or
function that they use changes its type or signature. No call is answered while the revision runs: it locks the tables
first, and calls wait for its end. It waits five seconds for each lock and then fails without a change; run it again
when the long transaction that blocked it has ended. No table is rewritten or read but traders. Existing rows, such as a
log with the actor "Zoë", are neither checked nor changed: the rules are in triggers, which apply to new rows only.

- Any login could write names that are reserved for the service. Actors and request ids are printable ASCII. The actor
  "blotter" is accepted only together with the reason EXPIRED, and only where the execution login cancels an order past
  its expiry; the reason LATE_FILL only for a fill after a cancel or reject; the actors "trader", "execution",
  "compliance" and "sequencer" only from their own logins. Control, direction and invisible characters are refused in
  words. The cost is one trigger call per log.
- A temporary table named "orders" was read before the real one where the privilege TEMPORARY was restored (as a plain
  dump and restore does). Functions set their search_path, with pg_temp last, which each call sets and resets. The
  functions that make leaves (canonical_* and execution_log_leaf) do not, because they would no longer be inlined and
  they read no table.
- With statistics of ids a trader's login could find the ids of others by the row estimates of EXPLAIN, because
  comparisons of uuid and text are leakproof. No statistics of ids are kept. Every query of the service names its trader
  and uses an index that begins with it, so the plans do not change. Before PostgreSQL 18, sql/harden.sql, which a
  superuser runs, removes existing statistics.
- Every role could connect to the database. Now only the five logins, the owner and superusers can: another login of the
  operator, for monitoring or backups, needs GRANT CONNECT.
- A checkpoint beyond the end of the ledger made every later proof fail. It is refused. A tile that does not match the
  entries stopped the ledger permanently. It is refused: each full tile is computed again from the entries or tiles
  below it, which is one read of 256 rows and 255 hashes for 256 entries.
- The time of normalize() grows with the square of its text, and it cannot be interrupted: with a long text a backend
  could not be terminated while it held locks. It is called only for reasons with characters outside ASCII, of at most
  600 characters; sql/harden.sql revokes it from the logins.
- A report could be recorded as refused with an arbitrary code, which was then returned for its repetition.
- An order could expire between its check and its timestamp, which violated a constraint and failed the whole batch. The
  trigger that sets the order's timestamp now reads the clock once; an order that has expired by then is not entered.
- After the clock had been set back, a fill and its log had different times. The fill takes the later of the clock and
  its order's last change, and a log of a fill with another time is refused.
- Traders could have the same name, and a trader could not be disabled. Names are unique regardless of case. Of traders
  with the same name the one registered first keeps it; the others get their id appended, since after a failed upgrade
  they could not be renamed. The trail refers to ids and is not affected. act_as accepts no call of a disabled trader;
  gateways still report on the trader's orders, which still expire.

A downgrade does not restore the names, and loses which traders are disabled.

Revision: 016
Follows: 015
"""

from __future__ import annotations

from alembic import op

revision = "016"
down_revision = "015"
branch_labels = None
depends_on = None

# Control characters, and invisible characters that change the display: soft hyphen, zero width, direction, separators.
INVISIBLE = (
    r"[\u0001-\u001f\u007f-\u009f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680\u17b4"
    r"\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
    r"\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e01ef]"
)


def upgrade() -> None:
    """Add the guards, replace four functions, pin the search path, drop statistics of ids, extend traders."""
    op.run_sql(
        """
        -- Locks ----------------------------------------------------------------------------------------------------
        -- First, and in the order in which writers and the sequencer lock: a transaction under way can complete, and a
        -- new one waits for the lock on traders without holding another. audit_accesses comes after traders, because
        -- compliance's transactions also begin with act_as. Of the ledger only the changed tables are locked: an append
        -- locks its entries and its head in one order, a rebaseline in the other.
        SET LOCAL lock_timeout = '5s';
        LOCK TABLE ledger_tiles, ledger_checkpoints IN SHARE ROW EXCLUSIVE MODE;
        LOCK TABLE traders IN ACCESS EXCLUSIVE MODE;
        LOCK TABLE trader_sequences, orders, fills, execution_logs, audit_accesses IN SHARE ROW EXCLUSIVE MODE;

        -- The database ---------------------------------------------------------------------------------------------
        DO $$ BEGIN
            EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO blotter_owner, blotter_trader, blotter_execution,'
                ' blotter_compliance, blotter_sequencer', current_database());
        END $$;

        -- Text -----------------------------------------------------------------------------------------------------
        -- With the owner's rights, because sql/harden.sql revokes normalize() from the logins.
        CREATE FUNCTION nfkc(p_text text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT SECURITY DEFINER AS $$
        BEGIN
            RETURN CASE WHEN length(p_text) <= 600 THEN normalize(p_text, NFKC) END;
        END $$;
        COMMENT ON FUNCTION nfkc IS 'The text in normalization form NFKC; null for one of more than 600 characters';
        REVOKE EXECUTE ON FUNCTION nfkc FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION nfkc TO blotter_trader, blotter_execution;

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
        -- Triggers fire in the order of their names: the state has been copied before.
        CREATE TRIGGER execution_logs_words BEFORE INSERT ON execution_logs
            FOR EACH ROW EXECUTE FUNCTION guard_log_words();

        CREATE FUNCTION guard_access_words() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.actor !~ '^[!-~]([ -~]*[!-~])?$' OR NEW.request_id !~ '^[!-~]+$' OR NEW.method !~ '^[!-~]+$'
               OR lower(NEW.actor) IN ('blotter', 'trader', 'execution', 'sequencer') THEN
                RAISE EXCEPTION 'Refused by audit_accesses_words_are_visible.' USING
                    ERRCODE = 'check_violation', CONSTRAINT = 'audit_accesses_words_are_visible',
                    TABLE = 'audit_accesses';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER audit_accesses_words BEFORE INSERT ON audit_accesses
            FOR EACH ROW EXECUTE FUNCTION guard_access_words();

        -- One time -------------------------------------------------------------------------------------------------
        CREATE OR REPLACE FUNCTION guard_fill() RETURNS trigger LANGUAGE plpgsql AS $$
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

        CREATE OR REPLACE FUNCTION stamp_order() RETURNS trigger LANGUAGE plpgsql AS $$
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

        CREATE OR REPLACE FUNCTION submit_order(
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

        -- The ledger -----------------------------------------------------------------------------------------------
        CREATE FUNCTION guard_ledger_checkpoint() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT EXISTS (SELECT FROM ledger_head WHERE size >= NEW.size) THEN
                RAISE EXCEPTION 'Refused by ledger_checkpoints_cover_entries.' USING
                    ERRCODE = 'check_violation', CONSTRAINT = 'ledger_checkpoints_cover_entries',
                    TABLE = 'ledger_checkpoints';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER ledger_checkpoints_guard BEFORE INSERT ON ledger_checkpoints
            FOR EACH ROW EXECUTE FUNCTION guard_ledger_checkpoint();

        CREATE FUNCTION guard_ledger_tile() RETURNS trigger LANGUAGE plpgsql AS $$
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
                    SELECT string_agg(sha256('\x01'::bytea || substr(v_hashes, pair * 64 + 1, 64)), '' ORDER BY pair)
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
        CREATE TRIGGER ledger_tiles_guard AFTER INSERT ON ledger_tiles
            FOR EACH ROW EXECUTE FUNCTION guard_ledger_tile();

        -- Traders --------------------------------------------------------------------------------------------------
        UPDATE traders SET name = left(name, 61) || ' (' || id || ')'
        FROM (SELECT id AS repeated, row_number() OVER (PARTITION BY lower(name) ORDER BY created_at, id) AS number
              FROM traders) AS names
        WHERE id = repeated AND number > 1;
        CREATE UNIQUE INDEX uq_traders_name ON traders (lower(name));
        ALTER TABLE traders ADD COLUMN disabled_at timestamptz;
        COMMENT ON COLUMN traders.disabled_at IS 'Since when the trader''s own calls are refused';

        CREATE OR REPLACE FUNCTION act_as(p_trader_id uuid) RETURNS boolean LANGUAGE plpgsql AS $$
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
        COMMENT ON FUNCTION act_as IS
            'Set the trader of the transaction; returns false for an unknown trader; refuses a disabled one';

        -- The search path ------------------------------------------------------------------------------------------
        DO $$
        DECLARE
            v_function regprocedure;
        BEGIN
            FOR v_function IN
                SELECT oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace
                  AND proowner = current_user::regrole  -- not those of extensions
                  AND proname <> ALL ('{canonical_json,canonical_time,canonical_decimal,execution_log_leaf}')
            LOOP
                EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, public, pg_temp', v_function);
            END LOOP;
        END $$;

        -- Statistics -----------------------------------------------------------------------------------------------
        DO $$
        DECLARE
            v_table text;
            v_column text;
        BEGIN
            FOR v_table, v_column IN
                SELECT * FROM (VALUES
                    ('traders', 'id'), ('traders', 'name'),
                    ('trader_sequences', 'trader_id'),
                    ('orders', 'trader_id'), ('orders', 'id'), ('orders', 'client_order_id'),
                    ('fills', 'trader_id'), ('fills', 'id'), ('fills', 'order_id'), ('fills', 'execution_id'),
                    ('execution_logs', 'trader_id'), ('execution_logs', 'id'), ('execution_logs', 'order_id'),
                    ('execution_logs', 'client_order_id'), ('execution_logs', 'fill_id'),
                    ('execution_logs', 'execution_id'), ('execution_logs', 'report_id'), ('execution_logs', 'actor'),
                    ('execution_logs', 'request_id'), ('execution_logs', 'reason')) AS ids
            LOOP
                EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET STATISTICS 0', v_table, v_column);
                IF current_setting('server_version_num')::integer >= 180000 THEN
                    EXECUTE format('SELECT pg_clear_attribute_stats(%L, %L, %L, false)', 'public', v_table, v_column);
                END IF;
            END LOOP;
        END $$;
    """.replace("INVISIBLE", INVISIBLE)
    )


def downgrade() -> None:
    """Restore revision 015's functions and statistics; the names of traders stay."""
    op.run_sql("""
        SET LOCAL lock_timeout = '5s';
        LOCK TABLE traders, trader_sequences, orders, fills, execution_logs, audit_accesses,
            ledger_tiles, ledger_checkpoints IN ACCESS EXCLUSIVE MODE;

        DO $$
        DECLARE
            v_table text;
            v_column text;
        BEGIN
            FOR v_table, v_column IN
                SELECT attrelid::regclass, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
                WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attstattarget = 0
                  -- Before PostgreSQL 17 system columns and dropped ones have the target 0 too.
                  AND attnum > 0 AND NOT attisdropped
            LOOP
                EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET STATISTICS -1', v_table, v_column);
            END LOOP;
        END $$;

        DO $$
        DECLARE
            v_function regprocedure;
        BEGIN
            FOR v_function IN
                SELECT oid FROM pg_proc
                WHERE pronamespace = 'public'::regnamespace AND proowner = current_user::regrole
            LOOP
                EXECUTE format('ALTER FUNCTION %s RESET search_path', v_function);
            END LOOP;
        END $$;

        CREATE OR REPLACE FUNCTION act_as(p_trader_id uuid) RETURNS boolean LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM set_config('app.trader_id', coalesce(p_trader_id::text, ''), true);
            RETURN p_trader_id IS NULL OR EXISTS (SELECT FROM traders WHERE id = p_trader_id);
        END $$;
        COMMENT ON FUNCTION act_as IS 'Say whose rows this transaction is about; false for an unknown trader';
        ALTER TABLE traders DROP COLUMN disabled_at;
        DROP INDEX uq_traders_name;

        DROP TRIGGER ledger_tiles_guard ON ledger_tiles;
        DROP FUNCTION guard_ledger_tile();
        DROP TRIGGER ledger_checkpoints_guard ON ledger_checkpoints;
        DROP FUNCTION guard_ledger_checkpoint();

        CREATE OR REPLACE FUNCTION submit_order(
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

        CREATE OR REPLACE FUNCTION stamp_order() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.created_at := clock_timestamp();
            NEW.updated_at := NEW.created_at;
            RETURN NEW;
        END $$;

        CREATE OR REPLACE FUNCTION guard_fill() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            -- Another transaction might be writing the log of that number: whoever holds the counter is alone.
            PERFORM FROM trader_sequences WHERE trader_id = NEW.trader_id FOR NO KEY UPDATE;
            IF EXISTS (SELECT FROM execution_logs WHERE trader_id = NEW.trader_id AND sequence = NEW.sequence) THEN
                RAISE EXCEPTION 'Refused by fills_precede_their_log.' USING
                    ERRCODE = 'check_violation', CONSTRAINT = 'fills_precede_their_log', TABLE = 'fills';
            END IF;
            RETURN NEW;
        END $$;

        DROP TRIGGER execution_logs_words ON execution_logs;
        DROP FUNCTION guard_log_words();
        DROP FUNCTION nfkc(text);
        DROP TRIGGER audit_accesses_words ON audit_accesses;
        DROP FUNCTION guard_access_words();

        DO $$ BEGIN
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO PUBLIC', current_database());
            EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM blotter_trader, blotter_execution, blotter_compliance,'
                ' blotter_sequencer', current_database());
        END $$;
    """)
