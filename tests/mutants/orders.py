"""Mutants of what remains of the older guards: revisions 006, 007 and 016. Revision 020 replaces the functions."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

R006 = "alembic/versions/006_wall_off_the_trail.py"
R007 = "alembic/versions/007_guard_the_lifecycle.py"
R016 = "alembic/versions/016_close_what_raw_sql_could_do.py"

ROWS = ("tests/isolation/test_append_only.py -k row_trigger_alone",)
TRUNCATE = ("tests/isolation/test_append_only.py -k truncate_trigger_alone",)
COUNTER = ("tests/isolation/test_guards.py",)
DISABLED = ("tests/rpc/test_disabled_traders.py",)
WORDS = ("tests/isolation/test_raw_words.py",)

MUTANTS = (
    # 006: each wall of the trail alone.
    Mutant(R006, "BEFORE UPDATE OR DELETE ON execution_logs", "BEFORE UPDATE ON execution_logs", ROWS),
    Mutant(R006, "BEFORE UPDATE OR DELETE ON execution_logs", "BEFORE DELETE ON execution_logs", ROWS),
    Mutant(R006, "BEFORE UPDATE OR DELETE ON fills", "BEFORE UPDATE ON fills", ROWS),
    Mutant(R006, "BEFORE UPDATE OR DELETE ON fills", "BEFORE DELETE ON fills", ROWS),
    Mutant(R006, "BEFORE TRUNCATE ON execution_logs", "AFTER INSERT ON execution_logs", TRUNCATE),
    Mutant(R006, "BEFORE TRUNCATE ON fills", "AFTER INSERT ON fills", TRUNCATE),
    # 007: the counter.
    Mutant(R007, "AND NEW.trader_id = OLD.trader_id", "", COUNTER),
    Mutant(R007, "AND NEW.last_sequence > coalesce(OLD.last_sequence, 0)", "", COUNTER),
    Mutant(R007, "NEW.last_sequence > coalesce(OLD.last_sequence, 0)",
           "NEW.last_sequence >= coalesce(OLD.last_sequence, 0)", COUNTER),
    Mutant(R007, "BEFORE UPDATE OR DELETE ON trader_sequences", "BEFORE UPDATE ON trader_sequences", COUNTER),
    Mutant(R007, "BEFORE TRUNCATE ON trader_sequences", "AFTER INSERT ON trader_sequences", COUNTER),
    # 016: the words of compliance, checkpoints, disabled traders.
    *(
        Mutant(R016, old, new, WORDS)
        for old, new in (
            ("OR lower(NEW.actor) IN ('blotter', 'trader', 'execution', 'sequencer') THEN", "THEN"),
            ("IF NOT EXISTS (SELECT FROM ledger_head WHERE size >= NEW.size) THEN", "IF false THEN"),
            ("WHERE size >= NEW.size) THEN", "WHERE size > NEW.size) THEN"),
        )
    ),
    Mutant(R016, "CREATE UNIQUE INDEX uq_traders_name", "CREATE INDEX uq_traders_name", DISABLED),
    Mutant(R016, "IF v_disabled_at IS NOT NULL AND current_user = 'blotter_trader' THEN", "IF false THEN", DISABLED),
    Mutant(R016, "IF v_disabled_at IS NOT NULL AND current_user = 'blotter_trader' THEN",
           "IF v_disabled_at IS NOT NULL THEN", DISABLED),
    Mutant(R016, "SET STATISTICS 0', v_table", "SET STATISTICS -1', v_table", ("tests/isolation/test_statistics.py",)),
)  # fmt: skip
