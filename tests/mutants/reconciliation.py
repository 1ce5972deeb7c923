"""Mutants of what compares the record with itself, and of the flat export."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

RECONCILIATION = "service/repositories/reconciliation_checks.py"
RUN = "service/repositories/reconciliation.py"
CAT = "service/servicers/cat.py"

COMPARED = ("tests/ledger/test_reconciliation.py", "tests/ledger/test_audit_calls.py -k reported")
FLAT = ("tests/ledger/test_cat.py",)

MUTANTS = (
    *(
        Mutant(RUN, old, new, COMPARED)
        for old, new in (
            ("if content_digest(NewOrder(*terms)) != digest:", "if False:"),
            (') AS o {FIRST_LOG_OF_ORDER}', ') AS o {_LOG_OF_ORDER}'),
        )
    ),
    # Orders and their logs.
    *(
        Mutant(RECONCILIATION, old, new, COMPARED)
        for old, new in (
            ('"security_id", "security_id_source", "short_sale", "exempt_from_cancel_timer",\n', "\n"),
            ('"client_order_id", "symbol", "side", "order_type", "account", "labels",', '"client_order_id",'),
            ("\"status\", *_FILLED, *_PENDING)", "\"status\", *_FILLED)"),
            ('_SINCE_VERSION_2 = ("at_venue", "status_reason")', '_SINCE_VERSION_2 = ("at_venue", "at_venue")'),
            ('_OF_HISTORY = ("closed_as", "at_venue", "expiry_requested")', '_OF_HISTORY = ("closed_as", "at_venue")'),
            ('_OF_HISTORY = ("closed_as", "at_venue", "expiry_requested")', '_OF_HISTORY = ("at_venue", "expiry_requested")'),
            ('_OF_HISTORY = ("closed_as", "at_venue", "expiry_requested")', '_OF_HISTORY = ("closed_as", "expiry_requested")'),
            ('("pending_sequence", "status_reason")', '("status_reason",)'),
            ('("pending_sequence", "status_reason")', '("pending_sequence",)'),
            ("OR action = 'DONE_FOR_DAY' AND {_ENDS_WITH_THE_DAY.format(\"\")})", ")"),
            ("OR action = 'DONE_FOR_DAY' AND {_ENDS_WITH_THE_DAY.format(\"\")})", "OR action = 'DONE_FOR_DAY')"),
            ("'REJECTED') AND NOT refused\n", "'REJECTED')\n"),
            ("o.excess_quantity > 0", "o.excess_quantity < 0"),
            ("'FILLED' WHEN {1} THEN {2}", "'FILLED' WHEN false THEN {2}"),
        )
    ),
    # Fills and corrections.
    *(
        Mutant(RECONCILIATION, old, new, COMPARED)
        for old, new in (
            ("ELSE (l.timestamp AT TIME ZONE 'UTC')::date END", "ELSE f.trade_date END"),
            ("CASE WHEN l.leaf_version > 1 THEN l.trade_date\n", "CASE WHEN l.leaf_version > 1 THEN f.trade_date\n"),
            ("AND sequence < c.sequence AND execution_id = l.ref_execution_id", "AND sequence < c.sequence"),
            ("l.action IN ('FILL_CORRECTED', 'FILL_BUSTED') AND c.id IS NULL", "false"),
            ("<= (f.id, {LAST})\n                ORDER BY fill_id DESC, sequence DESC LIMIT 1",
             ">= (f.id, {FIRST})\n                ORDER BY fill_id, sequence LIMIT 1"),
            ("(o.filled_quantity + o.excess_quantity, o.filled_notional)", "(o.filled_quantity, o.filled_notional)"),
        )
    ),
    # Each log and the one before it.
    *(
        Mutant(RECONCILIATION, old, new, COMPARED)
        for old, new in (
            ("AND (order_id, sequence) < (l.order_id, l.sequence)", "AND (order_id, sequence) <= (l.order_id, l.sequence)"),
            ("(fill_id, sequence) < (f.id, l.sequence)", "(fill_id, sequence) <= (f.id, l.sequence)"),
            ("- coalesce(stood.quantity, 0) ELSE 0 END AS shares", "ELSE 0 END AS shares"),
            ("- coalesce(stood.notional, 0)\n", "\n"),
            ("greatest((l.terms -> 'quantity')::numeric, p.filled_quantity)", "(l.terms -> 'quantity')::numeric"),
            ("greatest((l.terms -> 'quantity')::numeric, p.filled_quantity)", "l.quantity"),
            ("CASE l.order_type WHEN 'MARKET' THEN 'price' ELSE '' END", "''"),
            ("IS DISTINCT FROM {_json_terms(\"p\")} || ({_NEW_TERMS})", "IS NULL"),
            ("\"p.id IS NOT NULL AND l.quantity IS DISTINCT FROM expected.quantity\"", "\"false\""),
            ("(p.id IS NULL) IS DISTINCT FROM (l.action = 'SUBMITTED')", "false"),
            ("l.leaf_version > 1 AND l.status::text IS DISTINCT FROM", "NULL IS DISTINCT FROM"),
            ("OR l.{_MAKES_AT_VENUE})", ")"),
            ("p.leaf_version > 1 AND l.at_venue IS DISTINCT FROM", "l.at_venue IS DISTINCT FROM"),
            ("IS DISTINCT FROM ('CANCEL', l.request_key, NULL)", "IS NULL"),
            ("IS DISTINCT FROM ('REPLACE', l.request_key, l.terms)", "IS NULL"),
            ("OR l.answered_key IS DISTINCT FROM p.pending_key", ""),
            ("OR l.answered_key IS NOT NULL END", "END"),
            ("WHEN l.action = 'DONE_FOR_DAY' THEN {_ENDS_WITH_THE_DAY.format(\"l.\")}", "WHEN l.action = 'DONE_FOR_DAY' THEN true"),
            ("OR l.leaf_version NOT IN (1, 2)", ""),
        )
    ),
    # The flat export.
    *(
        Mutant(CAT, old, new, FLAT)
        for old, new in (
            ('"CANCEL_REQUESTED": "MEOCR"', '"CANCEL_REQUESTED": "MEOC"'),
            ('"REPLACED": "MEOM", ', ""),
            ('"DONE_FOR_DAY" if leaf["status"] == "CANCELLED"', '"DONE_FOR_DAY"'),
            ('"RESTATED" if leaf["terms"]', '"RESTATED"'),
            ('left if kind == "MEOC" else None', 'left if action == "CANCELLED" else None'),
            ('action == "FILL_BUSTED" and not refused', "trade and not refused"),
            ('SHORT_SALES.get(leaf.get("short_sale") or "", SIDES[leaf["side"]])', 'SIDES[leaf["side"]]'),
            ('stated == "GTD" or (stated is None and leaf["expires_at"])', 'stated == "GTD"'),
            ('stated == "GTD" or (stated is None and leaf["expires_at"])', 'stated is None and leaf["expires_at"]'),
            ('NOT_STATED = {1: "GTC", 2: "DAY"}', 'NOT_STATED = {1: "DAY", 2: "DAY"}'),
            ("ensure_ascii=False, sort_keys=True)", "sort_keys=True)"),
        )
    ),
    Mutant(CAT, '"" if refused else _type(leaf)', "_type(leaf)", FLAT,
           explained="a refused report has the action REJECTED, which has no type"),
)  # fmt: skip
