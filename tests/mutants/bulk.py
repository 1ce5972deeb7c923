"""Mutants of the submit in bulk: revision 022."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

R022 = "alembic/versions/022_submit_in_bulk.py"

BULK = ("tests/isolation/test_submit_in_bulk.py",)

MUTANTS = (
    *(
        Mutant(R022, old, new, BULK)
        for old, new in (
            ("IF p_orders IS NULL OR ", "IF "),
            ("> 10000 THEN", "> 10001 THEN"),
            ("> 10000 THEN", "> 9999 THEN"),
            ("PARTITION BY client_order_id ORDER BY number", "ORDER BY number"),
            ("v_place := v_places[v_item.previous];", "v_place := NULL;"),
            ("v_places[v_item.number] := v_place;", ""),
            ("v_place := cardinality(v_entered);", ""),
            ("THEN 'REPLAYED' ELSE 'CLIENT_ORDER_ID_REUSED' END", "THEN 'REPLAYED' ELSE 'REPLAYED' END"),
            ("ELSIF v_item.requested_with IS NOT NULL THEN", "ELSIF false THEN"),
            ("ELSIF v_item.expires_at <= v_state.created_at THEN", "ELSIF false THEN"),
            ("outcome := terms_violation(v_state);", "outcome := NULL;"),
            ("coalesce(v_item.exempt_from_cancel_timer, false)", "v_item.exempt_from_cancel_timer"),
            ("v_state.last_sequence := NULL;", ""),
            ("v_state.updated_at := NULL;", ""),
            ("v_state.updated_at := v_state.created_at;", "v_state.updated_at := clock_timestamp();"),
            ("v_state.status := order_status(v_state.quantity, 0, NULL);", ""),
            ("v_actor varchar(100);", "v_actor varchar;"),
            ("v_request_id varchar(64);", "v_request_id varchar;"),
            ("v_actor := v_item.actor;", "v_actor := 'desk';"),
            ("v_request_id := v_item.request_id;", "v_request_id := 'r';"),
            ("v_last := v_last - cardinality(v_entered);", "v_last := v_last - cardinality(v_entered) + 1;"),
            ("UPDATE trader_sequences SET last_sequence = v_last WHERE trader_id = v_trader_id;", ""),
            ("IF v_entered = '{}' THEN", "IF false THEN"),
            ("v_last := lock_sequence();", "v_last := (SELECT coalesce(max(sequence), 0) FROM execution_logs);"),
        )
    ),
    Mutant(R022, "ORDER BY item.number\n", "ORDER BY item.number DESC\n", BULK),
    Mutant(R022, "WHERE trader_id = v_trader_id AND orders.client_order_id", "WHERE orders.client_order_id", BULK,
           explained="the policy of blotter_writer shows no other trader's orders: the condition is for the index"),
)  # fmt: skip
