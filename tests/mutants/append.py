"""Mutants of the ledger's functions, guards and walls: revisions 013, 015, 020 and 024."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

R013 = "alembic/versions/013_add_the_ledger.py"
R015 = "alembic/versions/015_append_in_bounded_steps.py"
R020 = "alembic/versions/020_write_as_one_role.py"
R024 = "alembic/versions/024_check_the_ledger_by_statement.py"

SLOW = ("tests/ledger/test_steps.py -k any_order", "tests/ledger/test_appending.py -k interleaved")
PORTIONS = ("tests/ledger/test_steps.py -k step_takes or any_order", "tests/ledger/test_appending.py -k portions")
TWO = (
    "tests/ledger/test_appending.py -k two_sequencers",
    "tests/ledger/test_crashes.py -k forced",
)
COPY = (
    "tests/ledger/test_appending.py -k copy",
    "tests/ledger/test_appending.py -k hints",
    "tests/ledger/test_crashes.py -k restored",
)
LEAVES = ("tests/ledger/test_steps.py -k own_trader",)
LEAF = ("tests/ledger/test_leaves.py", "tests/ledger/test_appending.py -k canonical")
NOTES = ("tests/ledger/test_appending.py -k note", "tests/ledger/test_checkpoints.py -k rotate")
DAMAGE = (
    "tests/ledger/test_steps.py -k may_not_write", "tests/ledger/test_steps.py -k head_cannot",
    "tests/ledger/test_appending.py -k damage", "tests/isolation/test_raw_words.py -k checkpoint",
)  # fmt: skip

WALLS = ("tests/isolation/test_ledger_walls.py",)

MUTANTS = (
    # 013: what a leaf holds, and the walls.
    Mutant(R013, "DEFAULT pg_current_xact_id()::text::bigint", "DEFAULT 0", SLOW),
    Mutant(R013, "sha256('\\\\x00'::bytea || leaf)", "sha256(leaf)", LEAF),
    Mutant(R013, "to_json(p_text)::text, 'null'", "'\"' || p_text || '\"', 'null'", LEAF),
    Mutant(R013, "HH24:MI:SS.US", "HH24:MI:SS.MS", LEAF),
    Mutant(R013, "AT TIME ZONE 'UTC'", "", LEAF),
    Mutant(R013, "trim_scale(p_value)::text", "p_value::text", LEAF),
    # 020: the leaves of both versions.
    *(
        Mutant(R020, f"canonical_json(p_log.{column})", "'null'", LEAF, nth)
        for column in ("actor", "client_order_id", "error_code", "execution_id", "login", "reason", "report_id", "venue")
        for nth in (1, 2)
    ),
    *(
        Mutant(R020, f"canonical_time(p_log.{column})", "'null'", LEAF, nth)
        for column in ("created_at", "expires_at")
        for nth in (1, 2)
    ),
    *(Mutant(R020, "encode(p_log.report_digest, 'hex')", "''", LEAF, nth) for nth in (1, 2)),
    Mutant(R020, "encode(p_log.request_digest, 'hex')", "''", LEAF),
    *(
        Mutant(R020, f"canonical_json(p_log.{column})", "'null'", LEAF)
        for column in (
            "account", "answered_key", "currency", "parent_order_id", "pending_key", "pending_kind::text",
            "ref_execution_id", "request_key", "security_id", "security_id_source::text", "short_sale::text",
            "status_reason", "time_in_force::text",
        )
    ),
    *(
        Mutant(R020, f"coalesce(canonical_object(p_log.{column}), 'null')", "'null'", LEAF)
        for column in ("labels", "pending_terms", "terms")
    ),
    Mutant(R020, "canonical_decimal(p_log.stop_price)", "'null'", LEAF),
    Mutant(R020, "to_char(p_log.trade_date::timestamp, 'YYYY-MM-DD')", "p_log.trade_date::text", LEAF),
    Mutant(R020, "p_log.excess_quantity::text", "'0'", LEAF),
    Mutant(R020, "p_log.exempt_from_cancel_timer::text", "'false'", LEAF),
    Mutant(R020, "p_log.at_venue::text", "'false'", LEAF),
    Mutant(R020, "ORDER BY key COLLATE \"C\"", "ORDER BY key DESC", LEAF),
    Mutant(R020, "WHEN 'string' THEN canonical_json(value #>> '{}') ELSE value::text END", "ELSE value::text END", LEAF,
           explained="the text of a JSON string is canonical too"),
    Mutant(R013, "NEW.size >= OLD.size\n", "true\n", DAMAGE,
           explained="an entry stands at any smaller size, which the last condition refuses"),
    Mutant(R013, "AND (NEW.size = OLD.size OR EXISTS (SELECT FROM ledger_entries WHERE position = NEW.size - 1))", "",
           DAMAGE),
    Mutant(R013, "AND NOT EXISTS (SELECT FROM ledger_entries WHERE position = NEW.size) THEN", "THEN", DAMAGE),
    Mutant(R013, "BEFORE UPDATE OR DELETE ON ledger_head", "BEFORE UPDATE ON ledger_head", DAMAGE),
    Mutant(R013, "BEFORE TRUNCATE ON ledger_head", "AFTER INSERT ON ledger_head", DAMAGE),
    Mutant(R013, "system_identifier || '/' ||", "", ("tests/ledger/test_steps.py -k incarnation",)),
    Mutant(R013, "|| '/' || (SELECT oid FROM pg_database WHERE datname = current_database())", "|| ''",
           ("tests/ledger/test_steps.py -k incarnation",)),
    Mutant(R013, "PERFORM FROM ledger_head WHERE size = p_size FOR UPDATE;", "PERFORM FROM ledger_head FOR UPDATE;",
           ("tests/ledger/test_steps.py -k another_size",)),
    Mutant(R013, "UPDATE ledger_head SET size = p_size + 1;", "", NOTES),
    Mutant(R013, "incarnation = ledger_incarnation(), next_xid = NULL, open_xids = '{}'",
           "incarnation = ledger_incarnation()", COPY),
    Mutant(R013, "AS RESTRICTIVE FOR UPDATE USING (false)", "AS RESTRICTIVE FOR UPDATE USING (true)", WALLS),
    Mutant(R013, "AS RESTRICTIVE FOR DELETE USING (false)", "AS RESTRICTIVE FOR DELETE USING (true)", WALLS),
    Mutant(R013, "{table}_refuse_change BEFORE UPDATE OR DELETE ON", "{table}_refuse_change BEFORE UPDATE ON", WALLS),
    Mutant(R013, "{table}_refuse_change BEFORE UPDATE OR DELETE ON", "{table}_refuse_change BEFORE DELETE ON", WALLS),
    Mutant(R013, "{table}_refuse_truncate BEFORE TRUNCATE ON", "{table}_refuse_truncate AFTER INSERT ON", WALLS),
    # 015: which traders have news.
    Mutant(R015, "WHERE xid <> ALL (v_running)", "", SLOW,
           explained="looks at transactions that are still open as well, whose logs cannot be seen: costs, and finds the same"),
    Mutant(R015, "SELECT xid AS low, xid + 1 AS high FROM unnest(p_head.open_xids) AS xid WHERE xid <> ALL (v_running)",
           "SELECT 0::bigint AS low, 0::bigint AS high WHERE false", SLOW),
    Mutant(R015, "SELECT bound + 1 AS low", "SELECT bound + 2 AS low", SLOW),
    Mutant(R015, "lead(bound, 1, before_xid)", "lead(bound, 1, before_xid - 1)", SLOW),
    Mutant(R015, "array_prepend(p_head.next_xid - 1, v_running)", "array_prepend(p_head.next_xid, v_running)", SLOW),
    Mutant(R015, "WHERE bound >= p_head.next_xid - 1", "WHERE bound > p_head.next_xid", SLOW),
    Mutant(R015, "ORDER BY low\n", "\n", ("tests/ledger/test_steps.py -k search_takes",)),
    Mutant(R015, "v_xid := v_range.low - 1;", "v_xid := v_range.low;", SLOW),
    Mutant(R015, "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'00000000-0000-0000-0000-000000000000'", SLOW,
           explained="starts one transaction earlier, below the range: reads more, finds the same"),
    Mutant(R015, "AND xid < v_range.high\n", "AND xid <= v_range.high\n", SLOW,
           explained="a log of the transaction at the upper bound is of a running one, which cannot be seen, or of the "
           "next range, where the same trader is found again"),
    Mutant(R015, "ORDER BY xid, trader_id LIMIT 1;\n                    EXIT", "LIMIT 1;\n                    EXIT", SLOW,
           explained="no plan may scan the table, and the index has this order"),
    Mutant(R015, "cardinality(traders) >= p_most AND v_next.xid > v_xid", "false", ("tests/ledger/test_steps.py -k search_takes",)),
    Mutant(R015, "cardinality(traders) >= p_most AND v_next.xid > v_xid", "cardinality(traders) >= p_most", ("tests/ledger/test_steps.py -k search_takes",)),
    Mutant(R015, "before_xid := v_next.xid;  --", "before_xid := before_xid;  --", ("tests/ledger/test_steps.py -k search_takes",)),
    Mutant(R015, "before_xid := v_next.xid;  --", "before_xid := v_next.xid + 1;  --", ("tests/ledger/test_steps.py -k search_takes",)),
    Mutant(R015, "v_trader_id := v_next.trader_id;\n", "\n", SLOW),
    # 024: a step.
    Mutant(R024, "IF v_head.size IS DISTINCT FROM p_size THEN", "IF false THEN", TWO),
    Mutant(R024, "ELSIF v_head.incarnation <> v_incarnation\n           OR", "ELSIF", COPY),
    Mutant(R024, "OR v_head.next_xid > pg_snapshot_xmax(v_now)::text::bigint THEN", "THEN", COPY),
    Mutant(R024, "FROM ledger_head FOR UPDATE;", "FROM ledger_head;", TWO),
    Mutant(R024, "IF v_locked IS DISTINCT FROM v_head THEN", "IF false THEN", TWO),
    Mutant(R024, "IF v_locked IS DISTINCT FROM v_head THEN", "IF v_locked.size IS DISTINCT FROM v_head.size THEN", ("tests/ledger/test_steps.py -k changed_while",)),
    Mutant(R024, "IF v_news.traders = '{}' THEN\n                RETURN;", "IF false THEN\n                RETURN;",
           ("tests/ledger/test_steps.py -k without_news",)),
    Mutant(R024, "ORDER BY ledger_entries.trader_id DESC, sequence DESC LIMIT 1), 0) AS after_sequence",
           "ORDER BY ledger_entries.trader_id DESC, sequence LIMIT 1), 0) AS after_sequence", SLOW),
    Mutant(R024, "AND sequence > after_sequence\n                ORDER", "AND sequence > after_sequence + 1\n"
           "                ORDER", SLOW),
    Mutant(R024, "LIMIT p_most) AS missing;", ") AS missing;", PORTIONS),
    Mutant(R024, "greatest(p_most / greatest(cardinality(v_traders), 1), 1)", "p_most", PORTIONS),
    Mutant(R024, "greatest(p_most / greatest(cardinality(v_traders), 1), 1)", "1", ("tests/ledger/test_steps.py -k all_that_one_trader",)),
    Mutant(R024, "max(log.xid) OVER (\n                PARTITION BY log.trader_id ORDER BY log.sequence) AS xid",
           "log.xid AS xid", ("tests/ledger/test_steps.py -k lower_transaction_id",)),
    Mutant(R024, "AND sequence > after_sequence\n                ORDER BY execution_logs.trader_id, sequence LIMIT "
           "v_share", "AND sequence >= after_sequence\n                ORDER BY execution_logs.trader_id, sequence "
           "LIMIT v_share", SLOW),
    Mutant(R024, "sequence LIMIT v_share) AS log", "sequence) AS log", PORTIONS),
    Mutant(R024, "row_number() OVER (ORDER BY xid, trader_id, sequence)",
           "row_number() OVER (ORDER BY trader_id, sequence)", ("tests/ledger/test_steps.py -k order_of_their_transactions",)),
    Mutant(R024, "row_number() OVER (ORDER BY xid, trader_id, sequence)",
           "row_number() OVER (ORDER BY xid, sequence DESC, trader_id)", SLOW),
    Mutant(R024, "IF cardinality(v_traders) >= p_most OR EXISTS", "IF EXISTS", PORTIONS),
    Mutant(R024, "IF cardinality(v_traders) >= p_most OR EXISTS", "IF cardinality(v_traders) > p_most OR EXISTS", PORTIONS),
    Mutant(R024, "AND sequence > after_sequence + v_share", "AND false", PORTIONS),
    Mutant(R024, "AND sequence > after_sequence + v_share", "AND sequence > after_sequence + v_share + 1", PORTIONS),
    Mutant(R024, "next_xid = greatest(v_head.next_xid, v_news.before_xid),",
           "next_xid = pg_snapshot_xmax(v_now)::text::bigint,", PORTIONS),
    Mutant(R024, "SELECT xid FROM unnest(v_head.open_xids) AS xid WHERE xid >= v_news.before_xid\n"
           "                    UNION\n", "", ("tests/ledger/test_steps.py -k not_looked_at",)),
    Mutant(R024, "UNION\n                    SELECT xid::text::bigint FROM pg_snapshot_xip(v_now) AS xid\n"
           "                    WHERE xid::text::bigint < greatest(v_head.next_xid, v_news.before_xid)", "", SLOW),
    Mutant(R024, "WHERE xid::text::bigint < greatest(v_head.next_xid, v_news.before_xid)", "WHERE false", SLOW),
    # 024: the entries' own guards.
    Mutant(R024, "added.position > 0 AND before.position IS NULL", "false", DAMAGE),
    Mutant(R024, "WHERE position = added.position - 1 LIMIT 1", "LIMIT 1", DAMAGE),
    Mutant(R024, "WHEN log.leaf IS NULL THEN", "WHEN false THEN", DAMAGE),
    Mutant(R024, "added.sequence > 1 AND previous.sequence IS NULL", "false", DAMAGE),
    Mutant(R024, "WHERE trader_id = added.trader_id AND sequence = added.sequence - 1 LIMIT 1",
           "WHERE sequence = added.sequence - 1 LIMIT 1", DAMAGE),
    Mutant(R024, "WHEN added.leaf <> log.leaf THEN", "WHEN false THEN", DAMAGE),
    Mutant(R024, "WHERE trader_id = added.trader_id AND sequence = added.sequence LIMIT 1",
           "WHERE sequence = added.sequence LIMIT 1", DAMAGE),
    Mutant(R024, ") AS checked WHERE broken IS NOT NULL LIMIT 1", ") AS checked LIMIT 1", DAMAGE),
    Mutant(R024, "EACH ROW WHEN (NEW.kind <> 'EXECUTION_LOG')", "EACH ROW WHEN (NEW.kind = 'KEYS')", NOTES),
    Mutant(R024, "ORDER BY key COLLATE \"C\"", "ORDER BY key DESC", NOTES),
    Mutant(R024, "canonical_json(v_note ->> 'origin')", "(v_note ->> 'origin')", NOTES),
    Mutant(R024, "',\"type\":\"' || lower(NEW.kind)", "',\"type\":\"' || (v_note ->> 'type')", NOTES),
)  # fmt: skip
