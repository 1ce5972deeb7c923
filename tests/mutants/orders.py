"""Mutants of the functions and guards of orders: revisions 006, 007, 009, 011."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

R006 = "alembic/versions/006_wall_off_the_trail.py"
R007 = "alembic/versions/007_guard_the_lifecycle.py"
R009 = "alembic/versions/009_write_through_functions.py"
R016 = "alembic/versions/016_close_what_raw_sql_could_do.py"
R011 = "alembic/versions/011_cancel_in_portions.py"

ROWS = ("tests/isolation/test_append_only.py -k row_trigger_alone",)
TRUNCATE = ("tests/isolation/test_append_only.py -k truncate_trigger_alone",)
REJECTED = ("tests/isolation/test_lifecycle.py -k lifecycle_allows and REJECTED-none",)
CANCELLED = ("tests/isolation/test_lifecycle.py -k lifecycle_allows and CANCELLED-some",)
COMPLETE = ("tests/isolation/test_lifecycle.py -k lifecycle_allows and PARTIAL-rest",)
PARTIAL = ("tests/isolation/test_lifecycle.py -k lifecycle_allows and PENDING-some",)
FILLS = (
    "tests/isolation/test_logins.py -k exactly_a_fill", "tests/isolation/test_logins.py -k another_order",
    "tests/isolation/test_logins.py -k counted_once", "tests/isolation/test_logins.py -k leaves_its_order",
    "tests/isolation/test_guards.py -k cannot_share",
)  # fmt: skip
OLD = ("tests/isolation/test_guards.py -k old_log",)
STATE = ("tests/isolation/test_log_state.py", "tests/isolation/test_guards.py -k without_the_order")
CONTRADICTING = (
    "tests/isolation/test_false_records.py -k contradicts",
    "tests/isolation/test_guards.py -k did_not_happen",
)
FIRST = ("tests/isolation/test_guards.py -k first_log",)
SOURCE = ("tests/isolation/test_false_records.py -k another_transaction",)
BACK = ("tests/isolation/test_guards.py -k set_back and postgres",)
REPORTED = ("tests/rpc/test_lifecycle.py -k each_report",)
LATE = ("tests/rpc/test_lifecycle.py -k late_fill",)
OVERFILL = ("tests/rpc/test_lifecycle.py -k overfill",)
TWICE = (
    "tests/isolation/test_functions.py -k one_venue",
    "tests/rpc/test_lifecycle.py -k comes_twice",
    "tests/rpc/test_idempotency.py -k report_id",
)
CANCEL = ("tests/isolation/test_functions.py -k cancel", "tests/rpc/test_lifecycle.py -k repeated")
ALL = ("tests/isolation/test_functions.py -k oldest", "tests/rpc/test_lifecycle.py -k cancel_all")
CONTENT = ("tests/rpc/test_idempotency.py -k key_is_not_used",)
RACES = ("tests/isolation/test_functions.py -k one_lock", "tests/rpc/test_idempotency.py -k fifty")
FOREIGN = ("tests/isolation/test_keys.py -k cancel_reveals", "tests/rpc/test_lifecycle.py -k anothers_order")
DISABLED = ("tests/rpc/test_disabled_traders.py",)
WORDS = ("tests/isolation/test_raw_words.py",)
EXPIRY = (
    "tests/isolation/test_functions.py -k oldest",
    "tests/isolation/test_raw_words.py -k due",
    "tests/rpc/test_idempotency.py -k expired",
)

MUTANTS = (
    # 006: each wall of the trail alone.
    Mutant(R006, "BEFORE UPDATE OR DELETE ON execution_logs", "BEFORE UPDATE ON execution_logs", ROWS),
    Mutant(R006, "BEFORE UPDATE OR DELETE ON execution_logs", "BEFORE DELETE ON execution_logs", ROWS),
    Mutant(R006, "BEFORE UPDATE OR DELETE ON fills", "BEFORE UPDATE ON fills", ROWS),
    Mutant(R006, "BEFORE UPDATE OR DELETE ON fills", "BEFORE DELETE ON fills", ROWS),
    Mutant(R006, "BEFORE TRUNCATE ON execution_logs", "AFTER INSERT ON execution_logs", TRUNCATE),
    Mutant(R006, "BEFORE TRUNCATE ON fills", "AFTER INSERT ON fills", TRUNCATE),
    # 007: an order's own guard.
    Mutant(R016, "NEW.created_at := clock_timestamp();", "", ("tests/isolation/test_log_state.py", "tests/isolation/test_logins.py -k times")),
    Mutant(R007, "greatest(clock_timestamp(), OLD.updated_at)", "clock_timestamp()", ("tests/isolation/test_log_state.py", "tests/isolation/test_logins.py -k times")),
    Mutant(R007, "NEW.last_sequence <= OLD.last_sequence", "NEW.last_sequence < OLD.last_sequence", OLD),
    Mutant(R007, "NEW.last_sequence <= OLD.last_sequence", "false", OLD),
    *(
        Mutant(R007, f"NEW.{column}, ", "", (f"tests/isolation/test_lifecycle.py -k terms and {column}",))
        for column in ("client_order_id", "request_digest", "symbol", "side", "stop_loss", "take_profit", "expires_at")
    ),
    Mutant(R007, "WHEN NEW.filled_quantity = NEW.quantity THEN NEW.status = 'FILLED'",
           "WHEN NEW.filled_quantity > NEW.quantity THEN NEW.status = 'FILLED'", COMPLETE),
    Mutant(R007, "WHEN OLD.status IN ('REJECTED', 'CANCELLED') THEN NEW.status = OLD.status", "", REJECTED),
    Mutant(R007, "WHEN OLD.status IN ('REJECTED', 'CANCELLED')", "WHEN OLD.status IN ('REJECTED')", CANCELLED),
    Mutant(R007, "WHEN OLD.status IN ('REJECTED', 'CANCELLED')", "WHEN OLD.status IN ('CANCELLED')", REJECTED),
    Mutant(R007, "THEN NEW.filled_quantity = OLD.filled_quantity", "THEN true", PARTIAL),
    Mutant(R007, "CASE WHEN NEW.filled_quantity > 0", "CASE WHEN NEW.filled_quantity >= 0", ("tests/isolation/test_lifecycle.py -k lifecycle_allows and PENDING-none",)),
    Mutant(R007, "AND quantity_filled = NEW.filled_quantity - OLD.filled_quantity", "", FILLS),
    Mutant(R007, "AND quantity_filled * price_at_fill = NEW.filled_notional - OLD.filled_notional", "", FILLS),
    Mutant(R007, "AND sequence = NEW.last_sequence", "", FILLS),
    Mutant(R007, "IF NOT FOUND THEN\n                    v_broken := 'orders_are_filled_by_fills';", "IF false THEN\n",
           FILLS),
    Mutant(R007, "SELECT greatest(created_at, OLD.updated_at) INTO NEW.updated_at",
           "SELECT clock_timestamp() INTO NEW.updated_at", ("tests/rpc/test_lifecycle.py -k one_time",)),
    Mutant(R007, "BEFORE UPDATE ON orders FOR EACH ROW", "AFTER UPDATE ON orders FOR EACH ROW", ("tests/isolation/test_log_state.py", "tests/isolation/test_logins.py -k times")),
    # 007: a log takes the state of its order.
    Mutant(R007, "WHERE trader_id = NEW.trader_id AND id = NEW.order_id AND last_sequence = NEW.sequence;",
           "WHERE trader_id = NEW.trader_id AND id = NEW.order_id;", STATE),
    Mutant(R007, "NEW.status := v_order.status;", "", STATE),
    Mutant(R007, "NEW.created_at := v_order.updated_at;", "", STATE),
    *(
        Mutant(R007, f"NEW.{column} := v_order.{column};", "", STATE)
        for column in ("symbol", "quantity", "price", "stop_loss", "expires_at", "filled_quantity", "filled_notional")
    ),
    Mutant(R007, "NEW.timestamp := v_fill.timestamp;", "", ("tests/isolation/test_log_state.py",)),
    Mutant(R007, "NEW.venue := v_fill.venue;", "", ("tests/isolation/test_log_state.py",)),
    Mutant(R007, "NEW.fill_price := v_fill.price_at_fill;", "", ("tests/isolation/test_log_state.py",)),
    Mutant(R007, "NEW.fill_commission := v_fill.commission;", "", ("tests/isolation/test_log_state.py",)),
    Mutant(R007, "IF (NEW.action = 'SUBMITTED') <> v_first", "IF false", FIRST),
    Mutant(R007, "OR (NEW.action = 'SUBMITTED' AND NEW.status <> 'PENDING')", "", ("tests/isolation/test_lifecycle.py -k begins",)),
    Mutant(R007, "(NEW.refused OR NEW.action::text <> CASE", "(NEW.action::text <> CASE", CONTRADICTING),
    Mutant(R007, "OR (NEW.action = 'FILLED') <> (v_fill.id IS NOT NULL)", "", CONTRADICTING),
    Mutant(R007, "OR (NEW.action = 'CANCELLED' AND NEW.status <> 'CANCELLED')", "", CONTRADICTING),
    Mutant(R007, "(NEW.status <> 'REJECTED' OR v_status = 'REJECTED')", "NEW.status <> 'REJECTED'", ("tests/isolation/test_false_records.py -k once",)),
    Mutant(R007, "OR (NEW.refused AND NEW.action <> 'REJECTED')", "", CONTRADICTING),
    Mutant(R007, "OR (NEW.fill_quantity IS NOT NULL AND NEW.action <> 'FILLED' AND NOT NEW.refused)", "", STATE),
    Mutant(R007, "ELSIF NEW.filled_quantity <> coalesce(v_filled_quantity, 0) + coalesce(v_fill.quantity_filled, 0)\n"
           "               OR ", "ELSIF ", FILLS + SOURCE,
           explained="the notional of the same condition, and orders_guard before it, refuse the same changes"),
    Mutant(R007, "OR NEW.filled_notional <> coalesce(v_filled_notional, 0)", "OR false AND 0 <> 0", FILLS + SOURCE,
           explained="the quantity of the same condition, and orders_guard before it, refuse the same changes"),
    Mutant(R007, "AND last_sequence >= NEW.sequence)", ")", ("tests/isolation/test_guards.py -k not_advanced",)),
    # 007: fills and the counter.
    Mutant(R016, "PERFORM FROM trader_sequences WHERE trader_id = NEW.trader_id FOR NO KEY UPDATE;", "", SOURCE),
    Mutant(R016, "WHERE trader_id = NEW.trader_id AND sequence = NEW.sequence) THEN\n                RAISE EXCEPTION "
           "'Refused by fills_precede_their_log.'", "WHERE false) THEN\n                RAISE EXCEPTION 'x'",
           ("tests/isolation/test_logins.py -k already_written", "tests/isolation/test_false_records.py -k another_transaction")),
    Mutant(R007, "AND NEW.trader_id = OLD.trader_id", "", ("tests/isolation/test_guards.py -k given_to_another",)),
    Mutant(R007, "AND NEW.last_sequence > coalesce(OLD.last_sequence, 0)", "", BACK),
    Mutant(R007, "NEW.last_sequence > coalesce(OLD.last_sequence, 0)",
           "NEW.last_sequence >= coalesce(OLD.last_sequence, 0)", BACK),
    Mutant(R007, "BEFORE UPDATE OR DELETE ON trader_sequences", "BEFORE UPDATE ON trader_sequences", ("tests/isolation/test_guards.py -k counter_is_not_removed",)),
    Mutant(R007, "BEFORE TRUNCATE ON trader_sequences", "AFTER INSERT ON trader_sequences", ("tests/isolation/test_guards.py -k counter_is_not_removed",)),
    # 009: what the functions decide.
    Mutant(R009, "FROM trader_sequences WHERE trader_id = p_trader_id FOR NO KEY UPDATE;",
           "FROM trader_sequences WHERE trader_id = p_trader_id;", RACES),
    Mutant(R009, "ON CONFLICT (trader_id) DO NOTHING", "", RACES),
    Mutant(R016, "WHERE trader_id = p_trader_id AND client_order_id = p_client_order_id;\n            IF FOUND THEN",
           "WHERE client_order_id = p_client_order_id;\n            IF FOUND THEN", FOREIGN,
           explained="the policy of the trader's login shows that login's own rows only; the condition is for the plan"),
    Mutant(R016, "WHEN recorded.request_digest = p_request_digest", "WHEN true", CONTENT),
    Mutant(R016, "IF NEW.expires_at <= NEW.created_at THEN", "IF false THEN",
           ("tests/isolation/test_raw_words.py -k expir",)),
    Mutant(R016, "ELSIF p_validate_only THEN", "ELSIF false THEN", ("tests/rpc/test_lifecycle.py -k validate_only",)),
    Mutant(R016, "IF NOT p_validate_only THEN", "IF true THEN",
           ("tests/rpc/test_lifecycle.py -k validate_only", "tests/isolation/test_keys.py -k dry")),
    Mutant(R016, "UPDATE trader_sequences SET last_sequence = v_sequence WHERE trader_id = p_trader_id;", "",
           ("tests/rpc/test_lifecycle.py -k submitted",)),
    Mutant(R009, "PERFORM FROM orders WHERE trader_id = p_trader_id AND id = v_order_id;\n            IF NOT FOUND",
           "PERFORM FROM orders WHERE trader_id = p_trader_id AND id = v_order_id;\n            IF false", FOREIGN),
    Mutant(R009, "IF recorded.status IN ('PENDING', 'PARTIAL') THEN", "IF recorded.status IN ('PENDING') THEN", CANCEL),
    Mutant(R009, "v_sequence := lock_trader_sequence(p_trader_id) + 1;\n            SELECT orders.* INTO recorded FROM "
           "orders WHERE trader_id = p_trader_id AND id = v_order_id;", "SELECT orders.* INTO recorded FROM orders "
           "WHERE trader_id = p_trader_id AND id = v_order_id;\n"
           "            v_sequence := lock_trader_sequence(p_trader_id) + 1;", RACES),
    Mutant(R009, "AND order_id = v_order_id AND action = 'CANCELLED') THEN", "AND order_id = v_order_id) THEN", CANCEL),
    Mutant(R009, "WHEN v_log.report_digest <> p_report_digest THEN 'REPORT_ID_REUSED'", "", TWICE),
    Mutant(R009, "WHEN v_log.refused THEN v_log.error_code", "", OVERFILL),
    Mutant(R009, "AND venue = p_venue AND execution_id = p_execution_id;", "AND execution_id = p_execution_id;",
           TWICE),
    Mutant(R009, "(v_fill.order_id, v_fill.timestamp, v_fill.quantity_filled, v_fill.price_at_fill,\n"
           "                              v_fill.commission)\n"
           "                             = (p_order_id, p_timestamp, p_quantity, p_price, p_commission)",
           "(v_fill.order_id, v_fill.timestamp, v_fill.quantity_filled, v_fill.price_at_fill)\n"
           "                             = (p_order_id, p_timestamp, p_quantity, p_price)",
           ("tests/rpc/test_forgery.py -k commission",)),
    Mutant(R009, "(v_fill.order_id, v_fill.timestamp, v_fill.quantity_filled, v_fill.price_at_fill,\n"
           "                              v_fill.commission)\n"
           "                             = (p_order_id, p_timestamp, p_quantity, p_price, p_commission)",
           "(v_fill.timestamp, v_fill.quantity_filled, v_fill.price_at_fill, v_fill.commission)\n"
           "                             = (p_timestamp, p_quantity, p_price, p_commission)", TWICE),
    Mutant(R009, "p_quantity > recorded.quantity - recorded.filled_quantity THEN 'OVERFILL'",
           "p_quantity >= recorded.quantity - recorded.filled_quantity THEN 'OVERFILL'", LATE),
    Mutant(R009, "p_quantity > recorded.quantity - recorded.filled_quantity THEN 'OVERFILL'",
           "p_quantity > recorded.quantity THEN 'OVERFILL'", OVERFILL),
    Mutant(R009, "WHEN p_action IN ('APPROVED', 'REJECTED') AND", "WHEN p_action IN ('APPROVED') AND", REPORTED),
    Mutant(R009, "WHEN p_action IN ('APPROVED', 'REJECTED') AND", "WHEN p_action IN ('REJECTED') AND", REPORTED),
    Mutant(R009, "recorded.status IN ('FILLED', 'REJECTED') THEN 'ORDER_CLOSED'",
           "recorded.status IN ('FILLED') THEN 'ORDER_CLOSED'", REPORTED),
    Mutant(R009, "recorded.status IN ('FILLED', 'REJECTED') THEN 'ORDER_CLOSED'",
           "recorded.status IN ('FILLED', 'REJECTED', 'CANCELLED') THEN 'ORDER_CLOSED'", REPORTED),
    Mutant(R009, "v_reason := concat_ws(': ', format('%s refused', p_action), p_reason);", "", ("tests/isolation/test_functions.py -k refused",)),
    Mutant(R009, "IF recorded.status IN ('REJECTED', 'CANCELLED') THEN\n                    v_reason := 'LATE_FILL';",
           "IF false THEN\n                    v_reason := 'LATE_FILL';", LATE),
    Mutant(R009, "WHEN filled_quantity + p_quantity = quantity THEN 'FILLED'", "", LATE),
    Mutant(R009, "WHEN status IN ('REJECTED', 'CANCELLED') THEN status\n", "\n", REPORTED),
    Mutant(R009, "THEN p_quantity * p_price ELSE 0 END", "THEN p_price ELSE 0 END", LATE),
    Mutant(R009, "v_refusal IS NOT NULL, p_timestamp, v_reason", "false, p_timestamp, v_reason", OVERFILL),
    Mutant(R009, "coalesce(v_refusal, p_error_code)", "p_error_code", OVERFILL),
    # 011: cancelling in portions.
    Mutant(R011, "WHERE trader_id = p_trader_id AND status IN ('PENDING', 'PARTIAL')",
           "WHERE trader_id = p_trader_id AND status IN ('PENDING')", ALL),
    Mutant(R011, "AND (p_symbol IS NULL OR symbol = p_symbol)", "", ALL),
    Mutant(R011, "AND (NOT p_expired_only OR expires_at <= clock_timestamp())", "", EXPIRY),
    Mutant(R011, "expires_at <= clock_timestamp()", "true", EXPIRY),
    Mutant(R011, "expires_at <= clock_timestamp()", "expires_at > clock_timestamp()", EXPIRY),
    Mutant(R011, "ORDER BY created_at, id LIMIT p_most", "ORDER BY created_at, id", ALL),
    Mutant(R011, "ORDER BY created_at, id LIMIT p_most", "LIMIT p_most", ALL),
    Mutant(R011, "v_sequence + cardinality(v_order_ids)", "v_sequence + cardinality(v_order_ids) + 1",
           ALL),
    Mutant(R011, "'CANCELLED', p_reason, p_actor, p_request_id);", "'CANCELLED', NULL, p_actor, p_request_id);", EXPIRY),
    Mutant(R011, "v_sequence bigint := lock_trader_sequence(p_trader_id);", "v_sequence bigint := (SELECT coalesce("
           "last_sequence, 0) FROM trader_sequences WHERE trader_id = p_trader_id);", ("tests/isolation/test_functions.py -k waits_for_the_lock",)),
    # 016: words, one time, checkpoints, disabled traders.
    *(
        Mutant(R016, old, new, WORDS)
        for old, new in (
            ("upper(btrim(v_plain))", "v_plain"),
            ("upper(btrim(v_plain))", "upper(v_plain)"),
            ("v_actor text := lower(NEW.actor);", "v_actor text := NEW.actor;"),
            ("OR NEW.reason ~ 'INVISIBLE'", ""),
            ("OR NEW.venue ~ 'INVISIBLE' THEN", "THEN"),
            ("IF NEW.actor !~ '^[!-~]([ -~]*[!-~])?$' OR NEW.request_id !~ '^[!-~]+$' OR NEW.error_code", "IF NEW.request_id !~ '^[!-~]+$' OR NEW.error_code"),
            ("OR NEW.request_id !~ '^[!-~]+$' OR NEW.error_code", "OR NEW.error_code"),
            ("OR NEW.execution_id !~ '^[!-~]+$' ", ""),
            ("AND NEW.login IS DISTINCT FROM 'blotter_' || v_actor THEN", "AND false THEN"),
            ("ELSIF (v_actor = 'blotter') <> v_expired\n               OR ", "ELSIF "),
            ("NEW.action = 'CANCELLED' AND NEW.login = 'blotter_execution'", "NEW.action = 'CANCELLED'"),
            ("AND NEW.expires_at <= NEW.created_at, false)", ", false)"),
            ("ELSIF coalesce(v_reason = 'LATE_FILL', false) <> v_late THEN", "ELSIF false THEN"),
            ("AND action IN ('CANCELLED', 'REJECTED') AND NOT refused);", "AND action IN ('CANCELLED', 'REJECTED'));"),
            ("AND created_at = NEW.created_at) THEN", ") THEN"),
            ("OR lower(NEW.actor) IN ('blotter', 'trader', 'execution', 'sequencer') THEN", "THEN"),
            ("IF NEW.venue ~ 'INVISIBLE' THEN", "IF false THEN"),
            ("IF NEW.symbol !~ '^[!-~]([ -~]*[!-~])?$' THEN", "IF false THEN"),
            ("NEW.created_at := greatest(clock_timestamp(), (", "NEW.created_at := coalesce(clock_timestamp(), ("),
            ("IF NOT EXISTS (SELECT FROM ledger_head WHERE size >= NEW.size) THEN", "IF false THEN"),
            ("WHERE size >= NEW.size) THEN", "WHERE size > NEW.size) THEN"),
            ("SET search_path = pg_catalog, public, pg_temp", "SET search_path = pg_temp, pg_catalog, public"),
        )
    ),
    Mutant(R016, "CREATE UNIQUE INDEX uq_traders_name", "CREATE INDEX uq_traders_name", DISABLED),
    Mutant(R016, "IF v_disabled_at IS NOT NULL AND current_user = 'blotter_trader' THEN", "IF false THEN", DISABLED),
    Mutant(R016, "IF v_disabled_at IS NOT NULL AND current_user = 'blotter_trader' THEN",
           "IF v_disabled_at IS NOT NULL THEN", DISABLED),
    Mutant(R016, "SET STATISTICS 0', v_table", "SET STATISTICS -1', v_table", ("tests/isolation/test_statistics.py",)),
)  # fmt: skip
