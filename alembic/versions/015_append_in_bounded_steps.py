"""Append in steps that cost the same whatever the size of ledger or transaction; let notes say only their kind.

Why, each seen:
- The sequencer looks some 50 times a second whether there is anything new. "NOT EXISTS ... xid >= n" is planned as a
  scan of the whole table, since any row is presumed to do: at 20,000 logs a look took 16 ms, at ten million it would
  take seconds. Now each look is some probes of one index, on (xid, trader_id), and no plan may scan a table.
- A transaction of 1.2 million orders had to be appended at once, ran into the statement timeout, and stopped the ledger
  for everybody for ever. Now a step appends at most so many entries, the same share for each trader that has new ones;
  the hints stay as they are until all are done. What is appended was always decided by the dense sequences alone.
- While that transaction was open, each look read all its invisible rows. Now a look reads rows of transactions that
  have ended, and finds the next trader of a large one by one probe.
- The sequencer's login could add a note of kind KEYS that read like an execution log, and anything that is no JSON.
  Now the database writes notes as well, from their values; what else was in them is not kept.
- A receipt asked for by the log's id read an index of all traders: the id has an index of its own.
- Hints from beyond the newest transaction stopped the ledger without a word: they are refused like another database's.

Revision: 015
Follows: 014
"""

from __future__ import annotations

from alembic import op

revision = "015"
down_revision = "014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the functions, and the index that they read."""
    op.run_sql("""
        CREATE INDEX idx_execution_logs_xid_trader ON execution_logs (xid, trader_id);
        DROP INDEX idx_execution_logs_xid;
        CREATE INDEX idx_execution_logs_id ON execution_logs (id);
        -- What it calls is STABLE: declared otherwise it is not inlined, and a leaf takes four times as long.
        ALTER FUNCTION canonical_json STABLE;

        CREATE FUNCTION traders_with_news(
            p_head ledger_head, p_now pg_snapshot, p_most integer, OUT traders uuid[], OUT before_xid bigint
        ) LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
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
        COMMENT ON FUNCTION traders_with_news IS
            'Traders of logs that were committed since the head was written, before a transaction id';
        REVOKE ALL ON FUNCTION traders_with_news FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION traders_with_news TO blotter_sequencer;

        CREATE OR REPLACE FUNCTION append_to_ledger(p_size bigint, p_most integer)
        RETURNS TABLE (entry_position bigint, entry_hash bytea) LANGUAGE plpgsql SET enable_seqscan = off AS $$
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

        CREATE OR REPLACE FUNCTION guard_ledger_entry() RETURNS trigger LANGUAGE plpgsql AS $$
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
    """)


def downgrade() -> None:
    """Put revision 013's functions and index back."""
    op.run_sql("""
        CREATE OR REPLACE FUNCTION append_to_ledger(p_size bigint, p_most integer)
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
        ALTER FUNCTION append_to_ledger RESET enable_seqscan;

        CREATE OR REPLACE FUNCTION guard_ledger_entry() RETURNS trigger LANGUAGE plpgsql AS $$
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

        DROP FUNCTION traders_with_news;
        ALTER FUNCTION canonical_json IMMUTABLE;
        DROP INDEX idx_execution_logs_id;
        CREATE INDEX idx_execution_logs_xid ON execution_logs (xid);
        DROP INDEX idx_execution_logs_xid_trader;
    """)
