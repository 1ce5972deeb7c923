"""Add the ledger: every execution log becomes a leaf of one Merkle tree, under a contiguous position.

Why: dense sequences show that a trader's event is missing; they do not show that one was altered, and the newest can be
cut off. A tree whose signed heads are held elsewhere shows both (RFC 6962; C2SP tlog-checkpoint). Callers that see all
traders also need one order over all of them, without a gap: the position.

- `execution_logs.xid` tells the sequencer what was committed since it last looked. A time or a serial number would
  lose the rows of slow transactions, and the oldest running transaction's id would stall on any idle one. The sequencer
  keeps the bounds of a snapshot instead: ids that were open then are looked at again, alone. Ids only tell which
  traders to look at; what is appended is decided by the dense sequences, so nothing is ever doubled.
- `ledger_entries` keeps the very bytes that are hashed (canonical JSON, RFC 8785). The leaf of a log is made here, from
  the log, whoever inserts the entry; positions and each trader's sequences follow without a gap.
- `ledger_tiles` keeps full tiles of 256 hashes and the root over each, so that a proof reads one tile a level and the
  right edge needs no other rows (C2SP tlog-tiles).
- `ledger_checkpoints` and `ledger_cosignatures` keep what was signed and what witnesses signed.
- `ledger_head` is the one row that the sequencer locks: two at once wait for each other, and the second finds that the
  size is not what it thought. It names the database it belongs to, because transaction ids mean nothing in a copy that
  was restored elsewhere: there the sequencer refuses to go on until somebody says so on purpose.

No writer of orders touches any of these tables, so none waits for the sequencer.

Revision: 013
Follows: 012
"""

from __future__ import annotations

from alembic import op

revision = "013"
down_revision = "012"
branch_labels = None
depends_on = None

TABLES = ("ledger_entries", "ledger_tiles", "ledger_checkpoints", "ledger_cosignatures", "ledger_head")


def upgrade() -> None:
    """Create tables, functions, walls and grants."""
    op.run_sql("""
        ALTER TABLE execution_logs ADD COLUMN xid bigint;
        ALTER TABLE execution_logs ALTER COLUMN xid SET DEFAULT pg_current_xact_id()::text::bigint;
        COMMENT ON COLUMN execution_logs.xid IS 'The transaction that wrote the log';
        CREATE INDEX idx_execution_logs_xid ON execution_logs (xid);

        CREATE TABLE ledger_entries (
            position bigint PRIMARY KEY,
            kind text NOT NULL,
            trader_id uuid,
            sequence bigint,
            leaf bytea NOT NULL,
            leaf_hash bytea NOT NULL GENERATED ALWAYS AS (sha256('\\x00'::bytea || leaf)) STORED,
            CONSTRAINT uq_ledger_entries_sequence UNIQUE (trader_id, sequence),
            CONSTRAINT ck_ledger_entries_position CHECK (position >= 0),
            CONSTRAINT ck_ledger_entries_kind CHECK (
                CASE kind WHEN 'EXECUTION_LOG' THEN trader_id IS NOT NULL AND sequence IS NOT NULL
                    WHEN 'KEYS' THEN trader_id IS NULL AND sequence IS NULL
                    WHEN 'BASELINE' THEN trader_id IS NULL AND sequence IS NULL
                    ELSE false END),
            CONSTRAINT ck_ledger_entries_leaf CHECK (octet_length(leaf) BETWEEN 1 AND 65535)
        );
        COMMENT ON TABLE ledger_entries IS 'The leaves of the Merkle tree';
        COMMENT ON COLUMN ledger_entries.position IS 'Index in the tree, from 0, without a gap';
        COMMENT ON COLUMN ledger_entries.kind IS 'What the leaf records: EXECUTION_LOG, KEYS or BASELINE';
        COMMENT ON COLUMN ledger_entries.leaf IS 'The bytes that are hashed: canonical JSON (RFC 8785)';
        COMMENT ON COLUMN ledger_entries.leaf_hash IS 'SHA-256(0x00 || leaf)';

        CREATE INDEX idx_ledger_entries_notes ON ledger_entries (kind, position) WHERE kind <> 'EXECUTION_LOG';

        CREATE TABLE ledger_tiles (
            level smallint NOT NULL,
            tile_index bigint NOT NULL,
            hashes bytea NOT NULL,
            root bytea NOT NULL,
            CONSTRAINT ledger_tiles_pkey PRIMARY KEY (level, tile_index),
            CONSTRAINT ck_ledger_tiles_level CHECK (level BETWEEN 0 AND 7),
            CONSTRAINT ck_ledger_tiles_tile_index CHECK (tile_index >= 0),
            CONSTRAINT ck_ledger_tiles_hashes CHECK (octet_length(hashes) = 8192),
            CONSTRAINT ck_ledger_tiles_root CHECK (octet_length(root) = 32)
        );
        COMMENT ON TABLE ledger_tiles IS 'Full tiles of the tree, 256 hashes each (C2SP tlog-tiles)';
        COMMENT ON COLUMN ledger_tiles.root IS 'The root over the 256 hashes: a hash of the level above';
        ALTER TABLE ledger_tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;  -- hashes do not compress

        CREATE TABLE ledger_checkpoints (
            size bigint PRIMARY KEY,
            root_hash bytea NOT NULL,
            note text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            CONSTRAINT ck_ledger_checkpoints_size CHECK (size >= 0),
            CONSTRAINT ck_ledger_checkpoints_root_hash CHECK (octet_length(root_hash) = 32)
        );
        COMMENT ON TABLE ledger_checkpoints IS 'Signed heads of the tree (C2SP tlog-checkpoint)';

        CREATE TABLE ledger_cosignatures (
            size bigint NOT NULL,
            witness text NOT NULL,
            signature text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            CONSTRAINT ledger_cosignatures_pkey PRIMARY KEY (size, witness),
            CONSTRAINT fk_ledger_cosignatures_size FOREIGN KEY (size) REFERENCES ledger_checkpoints (size)
        );
        COMMENT ON TABLE ledger_cosignatures IS 'What witnesses signed (C2SP tlog-cosignature)';
        COMMENT ON COLUMN ledger_cosignatures.signature IS 'The signature line of the note';

        CREATE TABLE ledger_head (
            id boolean PRIMARY KEY DEFAULT true,
            size bigint NOT NULL DEFAULT 0,
            incarnation text,
            next_xid bigint,
            open_xids bigint[] NOT NULL DEFAULT '{}',
            CONSTRAINT ck_ledger_head_id CHECK (id),
            CONSTRAINT ck_ledger_head_size CHECK (size >= 0)
        );
        COMMENT ON TABLE ledger_head IS 'Where the sequencer stands; one row';
        COMMENT ON COLUMN ledger_head.size IS 'Number of entries';
        COMMENT ON COLUMN ledger_head.incarnation IS 'The database this ledger grows in: system identifier and oid';
        COMMENT ON COLUMN ledger_head.next_xid IS 'Transactions below it have been looked at; null: none has';
        COMMENT ON COLUMN ledger_head.open_xids IS 'Those below next_xid that were still open then';

        CREATE FUNCTION canonical_json(p_text text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
            -- The escapes of to_json are those of RFC 8785: the short ones, \\u00xx in lower case, and nothing else.
            SELECT coalesce(to_json(p_text)::text, 'null')
        $$;
        CREATE FUNCTION canonical_time(p_time timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
            SELECT coalesce('"' || to_char(p_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', 'null')
        $$;
        CREATE FUNCTION canonical_decimal(p_value numeric) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
            SELECT coalesce('"' || trim_scale(p_value)::text || '"', 'null')
        $$;

        CREATE FUNCTION execution_log_leaf(p_log execution_logs) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
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
        COMMENT ON FUNCTION execution_log_leaf IS 'The leaf of an execution log: canonical JSON';

        CREATE FUNCTION guard_ledger_entry() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            v_broken text;
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
            END IF;
            IF v_broken IS NOT NULL THEN
                RAISE EXCEPTION 'Refused by %.', v_broken
                    USING ERRCODE = 'check_violation', CONSTRAINT = v_broken, TABLE = 'ledger_entries';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER ledger_entries_guard BEFORE INSERT ON ledger_entries
            FOR EACH ROW EXECUTE FUNCTION guard_ledger_entry();

        CREATE FUNCTION guard_ledger_head() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'UPDATE' AND NEW.size >= OLD.size
               AND (NEW.size = OLD.size OR EXISTS (SELECT FROM ledger_entries WHERE position = NEW.size - 1))
               AND NOT EXISTS (SELECT FROM ledger_entries WHERE position = NEW.size) THEN
                RETURN NEW;
            END IF;
            RAISE EXCEPTION 'Refused by ledger_head_counts_the_entries.' USING
                ERRCODE = 'check_violation', CONSTRAINT = 'ledger_head_counts_the_entries', TABLE = 'ledger_head';
        END $$;
        CREATE TRIGGER ledger_head_guard BEFORE UPDATE OR DELETE ON ledger_head
            FOR EACH ROW EXECUTE FUNCTION guard_ledger_head();
        CREATE TRIGGER ledger_head_guard_truncate BEFORE TRUNCATE ON ledger_head
            FOR EACH STATEMENT EXECUTE FUNCTION guard_ledger_head();

        CREATE FUNCTION ledger_incarnation() RETURNS text LANGUAGE sql STABLE AS $$
            SELECT system_identifier || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())
            FROM pg_control_system()
        $$;
        COMMENT ON FUNCTION ledger_incarnation IS 'What tells this database from any copy of it';

        CREATE FUNCTION append_to_ledger(p_size bigint, p_most integer)
        RETURNS TABLE (entry_position bigint, entry_hash bytea) LANGUAGE plpgsql AS $$
        DECLARE
            v_head ledger_head;
            v_now pg_snapshot;
            v_to bigint;
            v_cut bigint;
            v_open bigint[];
            v_appended bigint;
        BEGIN
            -- Without news, nothing is locked: this is called some 50 times a second.
            SELECT ledger_head.* INTO v_head FROM ledger_head;
            IF v_head.size = p_size AND v_head.incarnation = ledger_incarnation() AND v_head.next_xid IS NOT NULL
               AND NOT EXISTS (SELECT FROM execution_logs WHERE xid >= v_head.next_xid)
               AND NOT EXISTS (SELECT FROM execution_logs WHERE xid = ANY (v_head.open_xids)) THEN
                RETURN;
            END IF;
            SELECT ledger_head.* INTO v_head FROM ledger_head FOR UPDATE;
            IF v_head.size IS DISTINCT FROM p_size THEN
                RAISE EXCEPTION 'The ledger has % entries, not %.', v_head.size, p_size
                    USING ERRCODE = 'serialization_failure', CONSTRAINT = 'ledger_head_is_as_expected';
            ELSIF v_head.incarnation <> ledger_incarnation() THEN
                RAISE EXCEPTION 'The ledger belongs to another database.'
                    USING ERRCODE = 'object_not_in_prerequisite_state', CONSTRAINT = 'ledger_head_is_of_this_database';
            END IF;
            -- Taken before the rows are read: what commits in between is looked at again the next time.
            v_now := pg_current_snapshot();
            v_open := ARRAY(SELECT xid::text::bigint FROM pg_snapshot_xip(v_now) AS xid);
            v_to := pg_snapshot_xmax(v_now)::text::bigint;
            IF v_head.next_xid IS NOT NULL THEN
                -- A transaction is looked at as a whole, however many events it has.
                SELECT xid INTO v_cut FROM execution_logs WHERE xid >= v_head.next_xid AND xid < v_to
                ORDER BY xid OFFSET p_most - 1 LIMIT 1;
                IF FOUND THEN
                    v_to := v_cut + 1;
                END IF;
            END IF;

            RETURN QUERY
            WITH hinted AS (
                SELECT trader_id, max(sequence) AS last_sequence FROM execution_logs
                WHERE v_head.next_xid IS NOT NULL AND xid >= v_head.next_xid AND xid < v_to
                GROUP BY trader_id
                UNION ALL
                SELECT trader_id, max(sequence) FROM execution_logs
                WHERE v_head.next_xid IS NOT NULL AND xid = ANY (v_head.open_xids)
                GROUP BY trader_id
                UNION ALL
                SELECT trader_id, last_sequence FROM trader_sequences WHERE v_head.next_xid IS NULL
            ), missing AS (
                SELECT trader_id, coalesce((
                        SELECT sequence FROM ledger_entries WHERE ledger_entries.trader_id = hinted.trader_id
                        ORDER BY ledger_entries.trader_id DESC, sequence DESC LIMIT 1), 0) AS after_sequence,
                    max(last_sequence) AS last_sequence
                FROM hinted GROUP BY trader_id
            ), found AS (
                SELECT log.trader_id, log.sequence, max(coalesce(log.xid, 0)) OVER (
                    PARTITION BY log.trader_id ORDER BY log.sequence) AS xid
                FROM missing CROSS JOIN LATERAL (
                    SELECT trader_id, sequence, xid FROM execution_logs
                    WHERE execution_logs.trader_id = missing.trader_id
                      AND sequence > after_sequence AND sequence <= missing.last_sequence
                    ORDER BY execution_logs.trader_id, sequence) AS log
                -- All that was hinted at, because the hint will not come again; of all there is, a portion.
                ORDER BY log.trader_id, log.sequence LIMIT CASE WHEN v_head.next_xid IS NULL THEN p_most END
            )
            INSERT INTO ledger_entries (position, kind, trader_id, sequence, leaf)
            SELECT p_size - 1 + row_number() OVER (ORDER BY xid, trader_id, sequence), 'EXECUTION_LOG', trader_id,
                   sequence, ''
            FROM found ORDER BY 1
            RETURNING position, leaf_hash;
            GET DIAGNOSTICS v_appended = ROW_COUNT;

            UPDATE ledger_head SET
                size = p_size + v_appended,
                incarnation = ledger_incarnation(),
                next_xid = CASE WHEN v_head.next_xid IS NULL AND v_appended > 0 THEN NULL ELSE v_to END,
                open_xids = ARRAY(SELECT xid FROM unnest(v_open) AS xid WHERE xid < v_to);
        END $$;
        COMMENT ON FUNCTION append_to_ledger IS 'Append what was committed since the last call; the new entries';
    """)
    op.run_sql("""
        CREATE FUNCTION append_note_to_ledger(p_size bigint, p_kind text, p_leaf bytea)
        RETURNS TABLE (entry_position bigint, entry_hash bytea) LANGUAGE plpgsql AS $$
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
        COMMENT ON FUNCTION append_note_to_ledger IS 'Append what is recorded of the ledger itself: KEYS or BASELINE';

        CREATE FUNCTION rebaseline_ledger() RETURNS void LANGUAGE sql AS $$
            UPDATE ledger_head SET incarnation = ledger_incarnation(), next_xid = NULL, open_xids = '{}'
        $$;
        COMMENT ON FUNCTION rebaseline_ledger IS 'Let the ledger go on in this database, which is a copy of another';

        REVOKE ALL ON FUNCTION canonical_json, canonical_time, canonical_decimal, execution_log_leaf,
            ledger_incarnation, append_to_ledger, append_note_to_ledger, rebaseline_ledger FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION canonical_json, canonical_time, canonical_decimal, execution_log_leaf
            TO blotter_sequencer, blotter_compliance;
        GRANT EXECUTE ON FUNCTION ledger_incarnation, append_to_ledger, append_note_to_ledger, rebaseline_ledger
            TO blotter_sequencer;

        CREATE POLICY execution_logs_sequencer_reads_all ON execution_logs FOR SELECT TO blotter_sequencer USING (true);
        CREATE POLICY trader_sequences_sequencer_reads_all ON trader_sequences FOR SELECT TO blotter_sequencer
            USING (true);
        GRANT SELECT ON execution_logs, trader_sequences TO blotter_sequencer;
    """)
    for table in TABLES:
        op.run_sql(f"""
            ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
            ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
            CREATE POLICY {table}_sequencer_writes ON {table} TO blotter_sequencer USING (true);
            CREATE POLICY {table}_execution_reads_all ON {table} FOR SELECT TO blotter_execution USING (true);
            CREATE POLICY {table}_compliance_reads_all ON {table} FOR SELECT TO blotter_compliance USING (true);
            GRANT SELECT ON {table} TO blotter_execution, blotter_compliance, blotter_sequencer;
        """)
    for table in TABLES[:-1]:
        op.run_sql(f"""
            CREATE POLICY {table}_immutable_update ON {table} AS RESTRICTIVE FOR UPDATE USING (false);
            CREATE POLICY {table}_immutable_delete ON {table} AS RESTRICTIVE FOR DELETE USING (false);
            CREATE TRIGGER {table}_refuse_change BEFORE UPDATE OR DELETE ON {table}
                FOR EACH ROW EXECUTE FUNCTION refuse_change();
            CREATE TRIGGER {table}_refuse_truncate BEFORE TRUNCATE ON {table}
                FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
        """)
    op.run_sql("""
        GRANT INSERT (position, kind, trader_id, sequence, leaf) ON ledger_entries TO blotter_sequencer;
        GRANT INSERT (level, tile_index, hashes, root) ON ledger_tiles TO blotter_sequencer;
        GRANT INSERT (size, root_hash, note) ON ledger_checkpoints TO blotter_sequencer;
        GRANT INSERT (size, witness, signature) ON ledger_cosignatures TO blotter_sequencer;
        GRANT INSERT (id) ON ledger_head TO blotter_sequencer;
        GRANT UPDATE (size, incarnation, next_xid, open_xids) ON ledger_head TO blotter_sequencer;
    """)


def downgrade() -> None:
    """Drop all of it: the tree can be built anew, but its signed heads are gone."""
    op.run_sql("""
        REVOKE SELECT ON execution_logs, trader_sequences FROM blotter_sequencer;
        DROP POLICY trader_sequences_sequencer_reads_all ON trader_sequences;
        DROP POLICY execution_logs_sequencer_reads_all ON execution_logs;
        DROP FUNCTION rebaseline_ledger, append_note_to_ledger, append_to_ledger, ledger_incarnation;
        DROP TABLE ledger_head, ledger_cosignatures, ledger_checkpoints, ledger_tiles, ledger_entries;
        DROP FUNCTION guard_ledger_head, guard_ledger_entry, execution_log_leaf, canonical_decimal, canonical_time,
            canonical_json;
        DROP INDEX idx_execution_logs_xid;
        ALTER TABLE execution_logs DROP COLUMN xid;
    """)
