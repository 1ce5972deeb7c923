"""Mutants of revision 020: the lifecycle, the writing functions, and the guards below them."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

R020 = "alembic/versions/020_write_as_one_role.py"

SCENARIOS = ("tests/lifecycle/test_scenarios.py",)
REQUESTS = ("tests/rpc/test_requests.py", "tests/lifecycle/test_scenarios.py")
CORRECTIONS = ("tests/rpc/test_corrections.py", "tests/lifecycle/test_scenarios.py")
TIMER = ("tests/rpc/test_cancel_timer.py",)
EXPIRY = ("tests/rpc/test_expiry.py", "tests/lifecycle/test_expiry.py")
FUNCTIONS = ("tests/isolation/test_functions.py",)
GUARDS = ("tests/isolation/test_guards.py",)
WORDS = ("tests/isolation/test_raw_words.py",)
REPEATED = ("tests/rpc/test_idempotency.py", "tests/lifecycle/test_scenarios.py")
INPUT = ("tests/rpc/test_requests.py", "tests/rpc/test_input.py")

MUTANTS = (
    # The status.
    Mutant(R020, "IF p_filled_quantity = p_quantity THEN", "IF p_filled_quantity > p_quantity THEN", SCENARIOS),
    Mutant(R020, "ELSIF p_closed_as IS NOT NULL THEN", "ELSIF false THEN", SCENARIOS),
    Mutant(R020, "ELSIF p_filled_quantity > 0 THEN", "ELSIF p_filled_quantity >= 0 THEN", SCENARIOS),
    # The events.
    Mutant(R020, "WHEN 'EXECUTED', 'RECOVERED', 'FILLED' THEN\n            state.at_venue := true;",
           "WHEN 'EXECUTED', 'RECOVERED', 'FILLED' THEN\n            NULL;", SCENARIOS),
    Mutant(R020, "IF state.closed_as = 'REJECTED' THEN", "IF false THEN", ("tests/rpc/test_lifecycle.py",)),
    Mutant(R020, "ELSIF state.closed_as IS NULL THEN\n                v_closes := 'CANCELLED';",
           "ELSIF v_open THEN\n                v_closes := 'CANCELLED';", SCENARIOS),
    Mutant(R020, "IF state.pending_kind = 'CANCEL' THEN\n", "IF false THEN\n", REQUESTS),
    Mutant(R020, "ELSIF state.pending_kind IS NOT NULL THEN\n                refusal := 'REQUEST_PENDING';",
           "ELSIF false THEN\n                refusal := 'REQUEST_PENDING';", REQUESTS),
    Mutant(R020, "ELSIF state.pending_kind IS NOT NULL THEN\n                refusal := 'REQUEST_PENDING';",
           "ELSIF false THEN\n                refusal := 'REQUEST_PENDING';", REQUESTS, nth=2),
    Mutant(R020, "ELSIF state.at_venue THEN\n                state.pending_kind := 'CANCEL';",
           "ELSIF false THEN\n                state.pending_kind := 'CANCEL';", SCENARIOS),
    Mutant(R020, "ELSIF state.at_venue THEN\n                state.pending_kind := 'REPLACE';",
           "ELSIF false THEN\n                state.pending_kind := 'REPLACE';", SCENARIOS),
    Mutant(R020, "IF state.closed_as IS NOT NULL THEN\n                refusal := 'ORDER_CLOSED';",
           "IF NOT v_open THEN\n                refusal := 'ORDER_CLOSED';", SCENARIOS),
    Mutant(R020, "IF state.closed_as IS NOT NULL THEN\n                refusal := 'ORDER_CLOSED';",
           "IF false THEN\n                refusal := 'ORDER_CLOSED';", REQUESTS),
    Mutant(R020, "(event.terms ->> 'expires_at')::timestamptz <= event.created_at THEN", "false THEN", INPUT),
    Mutant(R020, "refusal := terms_violation(with_terms(state, event.terms));", "refusal := NULL;", INPUT),
    Mutant(R020, "IF state.pending_kind IS DISTINCT FROM 'REPLACE' OR event.answered_key <> state.pending_key THEN",
           "IF state.pending_kind IS DISTINCT FROM 'REPLACE' THEN", REQUESTS),
    Mutant(R020, "IF state.pending_kind IS DISTINCT FROM 'REPLACE' OR event.answered_key <> state.pending_key THEN",
           "IF event.answered_key <> state.pending_key THEN", REQUESTS),
    Mutant(R020, "v_answered := state.pending_kind = 'CANCEL' AND coalesce(", "v_answered := coalesce(", REQUESTS),
    Mutant(R020, "v_answered := state.pending_kind = 'REPLACE' AND coalesce(", "v_answered := coalesce(", REQUESTS),
    Mutant(R020, "'CANCEL' AND coalesce(event.answered_key = state.pending_key, true);", "'CANCEL';", REQUESTS),
    Mutant(R020, "'REPLACE' AND coalesce(event.answered_key = state.pending_key, true);", "'REPLACE';", REQUESTS),
    Mutant(R020, "WHEN 'MARKET' THEN event.terms - 'price'", "WHEN 'MARKET' THEN event.terms", REQUESTS),
    Mutant(R020, "IF state.closed_as IS NULL AND (state.time_in_force NOT IN", "IF (state.time_in_force NOT IN", REQUESTS),
    Mutant(R020, "(state.time_in_force NOT IN ('GTC', 'GTD')", "(state.time_in_force NOT IN ('GTC')", SCENARIOS),
    Mutant(R020, "OR state.time_in_force IS NULL AND state.expires_at IS NULL) THEN", ") THEN", SCENARIOS),
    Mutant(R020, "OR state.time_in_force IS NULL AND state.expires_at IS NULL) THEN",
           "OR state.time_in_force IS NULL) THEN", REQUESTS),
    Mutant(R020, "v_answered := state.pending_kind IS NOT NULL;", "", SCENARIOS),
    Mutant(R020, "state.pending_terms := NULL;", "", REQUESTS),
    # The quantities.
    Mutant(R020, "state.filled_quantity := least(v_total, state.quantity);", "state.filled_quantity := v_total;",
           SCENARIOS),
    Mutant(R020, "v_total := state.filled_quantity + state.excess_quantity + p_quantity;",
           "v_total := state.filled_quantity + p_quantity;", SCENARIOS),
    Mutant(R020, "state.filled_notional := state.filled_notional + p_notional;", "", SCENARIOS),
    Mutant(R020, "CASE WHEN state.excess_quantity > v_excess THEN 'OVERFILL'",
           "CASE WHEN state.excess_quantity >= v_excess THEN 'OVERFILL'", (*REQUESTS, "tests/rpc/test_lifecycle.py")),
    Mutant(R020, "WHEN state.closed_as IS NOT NULL THEN 'LATE_FILL' END;", "END;", REQUESTS),
    Mutant(R020, "greatest((p_terms ->> 'quantity')::integer, p_order.filled_quantity)",
           "(p_terms ->> 'quantity')::integer", SCENARIOS),
    Mutant(R020, "p_order.expiry_requested := false;", "", EXPIRY),
    # The terms.
    *(
        Mutant(R020, old, new, INPUT)
        for old, new in (
            ("IF p_order.order_type = 'MARKET' AND p_order.price IS NOT NULL THEN", "IF false THEN"),
            ("ELSIF p_order.order_type = 'STOP_LIMIT' AND p_order.stop_price IS NULL THEN", "ELSIF false THEN"),
            ("ELSIF p_order.order_type <> 'STOP_LIMIT' AND p_order.stop_price IS NOT NULL THEN", "ELSIF false THEN"),
            ("p_order.side = 'BUY' AND p_order.stop_loss >= p_order.price", "false"),
            ("p_order.side = 'BUY' AND p_order.take_profit <= p_order.price", "false"),
            ("p_order.side = 'BUY' AND p_order.stop_loss >= p_order.take_profit", "false"),
            ("ELSIF p_order.time_in_force = 'GTD' AND p_order.expires_at IS NULL THEN", "ELSIF false THEN"),
            ("ELSIF p_order.time_in_force <> 'GTD' AND p_order.expires_at IS NOT NULL THEN", "ELSIF false THEN"),
        )
    ),
    # What the functions decide.
    Mutant(R020, "THEN 'REPLAYED' ELSE 'CLIENT_ORDER_ID_REUSED' END;", "THEN 'REPLAYED' ELSE 'REPLAYED' END;",
           REPEATED),
    Mutant(R020, "PERFORM FROM execution_logs WHERE trader_id = v_trader_id AND request_key = p_client_order_id;",
           "PERFORM WHERE false;", REQUESTS),
    Mutant(R020, "v_known.order_id = v_order_id AND v_known.request_digest = p_request_digest",
           "v_known.order_id = v_order_id", REQUESTS),
    Mutant(R020, "PERFORM FROM orders WHERE trader_id = v_trader_id AND client_order_id = p_request_key;",
           "PERFORM WHERE false;", REQUESTS),
    Mutant(R020, "recorded.closed_as = 'CANCELLED' OR p_request_key IS NULL", "p_request_key IS NULL", REQUESTS),
    Mutant(R020, "OR p_request_key IS NULL AND recorded.pending_kind = 'CANCEL') THEN", ") THEN", REQUESTS),
    Mutant(R020, "ELSIF p_expected_sequence <> recorded.last_sequence", "ELSIF false", REQUESTS),
    Mutant(R020, "WHEN v_log.report_digest <> p_report_digest THEN 'REPORT_ID_REUSED'", "", REPEATED),
    Mutant(R020, "AND venue = p_venue AND trade_date = v_event.trade_date\n              AND execution_id",
           "AND venue = p_venue AND execution_id", CORRECTIONS),
    Mutant(R020, "ORDER BY sequence DESC LIMIT 1;\n            IF v_fill.id IS NULL",
           "ORDER BY sequence LIMIT 1;\n            IF v_fill.id IS NULL", CORRECTIONS),
    Mutant(R020, "IF v_fill.id IS NULL OR v_standing.quantity = 0 THEN", "IF v_fill.id IS NULL THEN", CORRECTIONS),
    Mutant(R020, "SELECT fill_id FROM fill_corrections\n", "SELECT NULL::uuid FROM fill_corrections\n", CORRECTIONS),
    Mutant(R020, "AND (p_ref_trade_date IS NULL OR trade_date = p_ref_trade_date)", "", CORRECTIONS),
    # Cancels of many, expiry and timer.
    Mutant(R020, "v_state.expiry_requested := true;", "", EXPIRY),
    Mutant(R020, "AND (p_symbol IS NULL OR symbol = p_symbol)", "", (*FUNCTIONS, "tests/rpc/test_lifecycle.py")),
    Mutant(R020, "AND NOT expiry_requested AND expires_at <= v_now", "AND NOT expiry_requested", EXPIRY),
    Mutant(R020, "AND NOT exempt_from_cancel_timer AND created_at <= v_fires_at\n              -- The",
           "AND created_at <= v_fires_at\n              -- The", TIMER),
    Mutant(R020, "AND log.action = 'CANCEL_REQUESTED' AND log.reason = 'DISCONNECTED' AND log.created_at >= v_fires_at)",
           "AND false)", TIMER),
    Mutant(R020, "IS DISTINCT FROM 'DISCONNECTED') THEN", "= 'no reason') THEN", TIMER),
    Mutant(R020, "IS DISTINCT FROM 'DISCONNECTED') THEN", "IS NOT NULL) THEN", TIMER),
    Mutant(R020, "DELETE FROM cancel_timers WHERE trader_id = v_trader_id;", "", TIMER),
    # The guards.
    Mutant(R020, "ELSIF NEW.last_sequence <= OLD.last_sequence THEN", "ELSIF false THEN", GUARDS),
    Mutant(R020, "ELSIF NEW.last_sequence <= OLD.last_sequence THEN",
           "ELSIF NEW.last_sequence < OLD.last_sequence THEN", GUARDS),
    Mutant(R020, "v_broken := 'orders_keep_what_they_are';", "", GUARDS),
    Mutant(R020, "v_broken := 'orders_status_fits_fills';", "", GUARDS),
    Mutant(R020, "v_broken := 'execution_logs_words_are_visible';", "", WORDS),
    Mutant(R020, "v_broken := 'execution_logs_actor_is_the_login';", "", WORDS),
    Mutant(R020, "v_broken := 'execution_logs_blotter_only_cancels';", "", WORDS),
    Mutant(R020, "v_broken := 'execution_logs_expire_what_is_due';", "", WORDS),
    Mutant(R020, "v_broken := 'execution_logs_reasons_are_reserved';", "", WORDS),
    Mutant(R020, "v_reason := upper(btrim(v_reason));", "", WORDS),
    # The rights.
    Mutant(R020, "REVOKE INSERT, UPDATE ON orders, fills, execution_logs, trader_sequences FROM", "REVOKE REFERENCES ON"
           " orders FROM", ("tests/isolation/test_matrix.py",),
           explained="the grants were by column, which the block after it revokes"),
    Mutant(R020, "CREATE POLICY orders_writer_named ON orders TO blotter_writer\n"
           "        USING (current_user = 'blotter_writer'\n"
           "            AND trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);",
           "CREATE POLICY orders_writer_named ON orders TO blotter_writer USING (true);",
           ("tests/isolation/test_matrix.py",)),
)  # fmt: skip
