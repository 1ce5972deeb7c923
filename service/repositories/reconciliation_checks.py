"""The checks of reconciliation.

Each check is one statement, which sees one snapshot: a transaction under way is no discrepancy. A check names its kind,
and returns trader_id, order_id, log_id, fill_id, sequence, position and a detail of each discrepancy.
"""

from __future__ import annotations

from collections.abc import Sequence

from service.domain.discrepancies import DiscrepancyKind

FIRST, LAST = 1 - (1 << 63), (1 << 63) - 1
"""All sequences, also those that a change by hand put outside of 1, 2, 3, ..."""

_RECORDED = (
    "(%(recorded_from)s::timestamptz IS NULL OR {time} >= %(recorded_from)s) "
    "AND (%(recorded_to)s::timestamptz IS NULL OR {time} < %(recorded_to)s)"
)
ORDERS = "o.trader_id = %(trader_id)s AND " + _RECORDED.format(time="o.created_at")
_RANGE = "{0}.trader_id = %(trader_id)s AND {0}.sequence > %(after)s AND {0}.sequence <= %(upto)s AND "
LOGS = _RANGE.format("l") + _RECORDED.format(time="l.created_at")
FILLS = _RANGE.format("f") + _RECORDED.format(time="f.created_at")

CORRECTIONS = _RANGE.format("c") + _RECORDED.format(time="c.created_at")

_ENTERED = (
    "client_order_id", "symbol", "side", "order_type", "account", "labels", "parent_order_id", "currency",
    "security_id", "security_id_source", "short_sale", "exempt_from_cancel_timer",
)  # fmt: skip
"""The columns that no event changes."""
_PRICES = ("price", "stop_price", "stop_loss", "take_profit")
_TERMS = ("quantity", *_PRICES, "expires_at", "time_in_force")
"""The columns that a replace or a restatement changes."""
_PENDING = ("pending_kind", "pending_key", "pending_terms")
_FILLED = ("filled_quantity", "excess_quantity", "filled_notional")
_COMPARED = (*_ENTERED, *_TERMS, "status", *_FILLED, *_PENDING)
_SINCE_VERSION_2 = ("at_venue", "status_reason")
"""Columns that the logs of older servers do not have, and that their orders got from the logs' actions."""


def columns_of(table: str, names: Sequence[str]) -> str:
    """Return the columns of a table, separated by commas."""
    return ", ".join(f"{table}.{name}" for name in names)


def _differing(one: str, other: str, names: Sequence[str]) -> str:
    return ", ".join(f"CASE WHEN {one}.{name} IS DISTINCT FROM {other}.{name} THEN '{name}' END" for name in names)


# A log of an order is looked up by a comparison of rows and in the order of the columns of a unique index. With
# `order_id = ... ORDER BY sequence` the planner may take the index of (trader_id, sequence) instead, in particular
# without statistics, and read all logs of the trader for each one.
_LOG_OF_ORDER = f"""
    LEFT JOIN LATERAL (
        SELECT * FROM execution_logs WHERE trader_id = o.trader_id AND (order_id, sequence) <= (o.id, {LAST})
        ORDER BY order_id DESC, sequence DESC LIMIT 1
    ) AS l ON l.order_id = o.id
"""
FIRST_LOG_OF_ORDER = f"""
    LEFT JOIN LATERAL (
        SELECT * FROM execution_logs WHERE trader_id = o.trader_id AND (order_id, sequence) >= (o.id, {FIRST})
        ORDER BY order_id, sequence LIMIT 1
    ) AS l ON l.order_id = o.id
"""
_LOG_BEFORE = """
    LEFT JOIN LATERAL (
        SELECT * FROM execution_logs
        WHERE trader_id = l.trader_id AND (order_id, sequence) < (l.order_id, l.sequence)
        ORDER BY order_id DESC, sequence DESC LIMIT 1
    ) AS p ON p.order_id = l.order_id
"""
_MAKES_AT_VENUE = "action IN ('EXECUTED', 'RECOVERED', 'FILLED', 'RESTATED', 'DONE_FOR_DAY')"
_ENDS_WITH_THE_DAY = "NOT coalesce({0}time_in_force IN ('GTC', 'GTD'), {0}expires_at IS NOT NULL)"
_CLOSES = f"""
    (action IN ('CANCELLED', 'REJECTED') AND NOT refused
     OR action = 'DONE_FOR_DAY' AND {_ENDS_WITH_THE_DAY.format("")})
"""
_HISTORY = f"""
    CROSS JOIN LATERAL (
        SELECT (array_agg(CASE action WHEN 'REJECTED' THEN 'REJECTED'::order_status_enum ELSE 'CANCELLED' END
                   ORDER BY sequence) FILTER (WHERE {_CLOSES}))[1] AS closed_as,
               (array_agg(reason ORDER BY sequence) FILTER (WHERE {_CLOSES}))[1] AS reason,
               coalesce(bool_or({_MAKES_AT_VENUE}), false) AS at_venue,
               max(sequence) FILTER (WHERE action IN ('CANCEL_REQUESTED', 'REPLACE_REQUESTED')) AS requested,
               -- A later expiry may be asked for again.
               coalesce((array_agg(reason = 'EXPIRED' ORDER BY sequence DESC) FILTER (WHERE leaf_version > 1 AND (
                   actor = 'blotter' AND reason = 'EXPIRED' OR action = 'REPLACED' AND terms ? 'expires_at')))[1],
                   false) AS expiry_requested,
               max(leaf_version) AS version
        FROM execution_logs WHERE trader_id = o.trader_id AND order_id = o.id
    ) AS history CROSS JOIN LATERAL (
        SELECT CASE WHEN o.pending_kind IS NOT NULL THEN history.requested END AS pending_sequence,
               CASE WHEN history.version > 1 THEN o.status_reason ELSE history.reason END AS status_reason
    ) AS expected
"""
_OF_HISTORY = ("closed_as", "at_venue", "expiry_requested")
_EXPECTED_BY_HISTORY = ("pending_sequence", "status_reason")
_STATUS = """
    CASE WHEN {0}.filled_quantity = {0}.quantity THEN 'FILLED' WHEN {1} THEN {2}
         WHEN {0}.filled_quantity > 0 THEN 'PARTIAL' ELSE 'PENDING' END
"""
_STATUS_OF_ORDER = _STATUS.format("o", "o.closed_as IS NOT NULL", "o.closed_as::text")
_STATUS_OF_LOG = _STATUS.format("l", "l.status IN ('CANCELLED', 'REJECTED')", "l.status::text")


def _json_terms(table: str) -> str:
    """The terms of a log but its quantity, as a replace has them."""
    prices = ", ".join(f"'{name}', trim_scale({table}.{name})::text" for name in _PRICES)
    return f"""jsonb_build_object({prices}, 'time_in_force', {table}.time_in_force::text, 'expires_at',
        to_char({table}.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))"""


_CHANGES_TERMS = "l.action IN ('REPLACED', 'RESTATED') AND jsonb_typeof(l.terms) = 'object'"
_NEW_TERMS = "l.terms - 'quantity' - CASE l.order_type WHEN 'MARKET' THEN 'price' ELSE '' END"
"""A venue may restate the price of a MARKET order, which has none."""
_EXPECTED = f"""
    LEFT JOIN LATERAL (
        SELECT coalesce(c.quantity, f.quantity_filled) AS quantity,
               CASE WHEN c.id IS NULL THEN f.quantity_filled * f.price_at_fill ELSE coalesce(c.quantity * c.price, 0)
               END AS notional
        FROM fills AS f LEFT JOIN LATERAL (
            SELECT * FROM fill_corrections
            WHERE trader_id = f.trader_id AND (fill_id, sequence) < (f.id, l.sequence)
            ORDER BY fill_id DESC, sequence DESC LIMIT 1) AS c ON c.fill_id = f.id
        WHERE f.trader_id = l.trader_id AND f.id = l.fill_id AND l.action IN ('FILL_CORRECTED', 'FILL_BUSTED')
    ) AS stood ON true
    CROSS JOIN LATERAL (
        SELECT CASE WHEN l.action IN ('FILLED', 'FILL_CORRECTED', 'FILL_BUSTED')
                    THEN coalesce(l.fill_quantity, 0) - coalesce(stood.quantity, 0) ELSE 0 END AS shares,
               CASE WHEN l.action IN ('FILLED', 'FILL_CORRECTED', 'FILL_BUSTED')
                    THEN coalesce(l.fill_quantity * l.fill_price, 0) - coalesce(stood.notional, 0)
                    ELSE 0 END AS notional,
               CASE WHEN {_CHANGES_TERMS} AND jsonb_typeof(l.terms -> 'quantity') = 'number'
                    THEN greatest((l.terms -> 'quantity')::numeric, p.filled_quantity)
                    ELSE p.quantity END AS quantity
    ) AS expected
"""
_WRONG_TERMS = f"""
    CASE WHEN {_CHANGES_TERMS}
         THEN {_json_terms("l")} IS DISTINCT FROM {_json_terms("p")} || ({_NEW_TERMS})
         ELSE ({columns_of("l", _TERMS[1:])}) IS DISTINCT FROM ({columns_of("p", _TERMS[1:])}) END
"""
_SETTLES = f"""
    NOT l.refused AND CASE
        WHEN l.action IN ('REPLACED', 'REPLACE_REFUSED')
             THEN p.pending_kind = 'REPLACE' AND l.answered_key = p.pending_key
        WHEN l.action = 'CANCEL_REFUSED' THEN p.pending_kind = 'CANCEL' AND l.answered_key = p.pending_key
        WHEN l.action = 'DONE_FOR_DAY' THEN {_ENDS_WITH_THE_DAY.format("l.")}
        ELSE l.action IN ('CANCELLED', 'REJECTED') END
"""
_WRONG_PENDING = f"""
    CASE WHEN l.action = 'CANCEL_REQUESTED'
              THEN ({columns_of("l", _PENDING)}) IS DISTINCT FROM ('CANCEL', l.request_key, NULL)
         WHEN l.action = 'REPLACE_REQUESTED'
              THEN ({columns_of("l", _PENDING)}) IS DISTINCT FROM ('REPLACE', l.request_key, l.terms)
         WHEN {_SETTLES}
              THEN ({columns_of("l", _PENDING)}) IS DISTINCT FROM (NULL, NULL, NULL)
                   OR l.answered_key IS DISTINCT FROM p.pending_key
         ELSE ({columns_of("l", _PENDING)}) IS DISTINCT FROM ({columns_of("p", _PENDING)})
              OR l.answered_key IS NOT NULL END
"""
_WRONG: dict[str, str] = {
    "filled quantity": """
        (l.filled_quantity + l.excess_quantity, l.filled_notional) IS DISTINCT FROM (
            coalesce(p.filled_quantity + p.excess_quantity, 0) + expected.shares,
            coalesce(p.filled_notional, 0) + expected.notional)
        OR l.filled_quantity IS DISTINCT FROM least(l.filled_quantity + l.excess_quantity, l.quantity)
    """,
    "action": "l.leaf_version > 1 AND (p.id IS NULL) IS DISTINCT FROM (l.action = 'SUBMITTED')",
    "status": f"l.leaf_version > 1 AND l.status::text IS DISTINCT FROM {_STATUS_OF_LOG}",
    "quantity": "p.id IS NOT NULL AND l.quantity IS DISTINCT FROM expected.quantity",
    "terms": f"p.id IS NOT NULL AND {_WRONG_TERMS}",
    "entered columns": f"p.id IS NOT NULL AND ({columns_of('l', (*_ENTERED, 'order_created_at'))}) IS DISTINCT FROM "
    f"({columns_of('p', (*_ENTERED, 'order_created_at'))})",
    "at_venue": f"p.leaf_version > 1 AND l.at_venue IS DISTINCT FROM (p.at_venue OR l.{_MAKES_AT_VENUE})",
    "pending request": _WRONG_PENDING,
}

CHECKS: list[tuple[DiscrepancyKind, str]] = [
    (
        "ORDER_WITHOUT_LOG",
        f"""
        SELECT o.trader_id, o.id, NULL::uuid, NULL::uuid, o.last_sequence, NULL::bigint,
               'its newest log is ' || coalesce(l.sequence::text, 'missing')
        FROM orders AS o {_LOG_OF_ORDER}
        WHERE {ORDERS} AND l.sequence IS DISTINCT FROM o.last_sequence
        """,
    ),
    (
        "ORDER_DIFFERS_FROM_LOG",
        f"""
        SELECT o.trader_id, o.id, l.id, NULL::uuid, o.last_sequence, NULL::bigint, 'they differ in ' || concat_ws(
            ', ', {_differing("o", "l", _COMPARED)}, CASE WHEN l.leaf_version > 1 THEN nullif(concat_ws(
                ', ', {_differing("o", "l", _SINCE_VERSION_2)}), '') END,
            CASE WHEN o.created_at IS DISTINCT FROM l.order_created_at THEN 'created_at' END,
            CASE WHEN o.updated_at IS DISTINCT FROM l.created_at THEN 'updated_at' END)
        FROM orders AS o {_LOG_OF_ORDER}
        WHERE {ORDERS} AND l.sequence = o.last_sequence
          AND (({columns_of("o", _COMPARED)}, o.created_at, o.updated_at)
                  IS DISTINCT FROM ({columns_of("l", _COMPARED)}, l.order_created_at, l.created_at)
               OR l.leaf_version > 1 AND ({columns_of("o", _SINCE_VERSION_2)})
                  IS DISTINCT FROM ({columns_of("l", _SINCE_VERSION_2)}))
        """,
    ),
    (
        "ORDER_DIFFERS_FROM_LOG",
        f"""
        SELECT o.trader_id, o.id, NULL::uuid, NULL::uuid, o.last_sequence, NULL::bigint,
               'by its logs it has another ' || concat_ws(
            ', ', CASE WHEN o.status::text IS DISTINCT FROM {_STATUS_OF_ORDER} THEN 'status' END,
            {_differing("o", "history", _OF_HISTORY)}, {_differing("o", "expected", _EXPECTED_BY_HISTORY)})
        FROM orders AS o {_HISTORY}
        WHERE {ORDERS} AND (o.status::text, {columns_of("o", (*_OF_HISTORY, *_EXPECTED_BY_HISTORY))})
              IS DISTINCT FROM ({_STATUS_OF_ORDER}, {columns_of("history", _OF_HISTORY)},
                                {columns_of("expected", _EXPECTED_BY_HISTORY)})
        """,
    ),
    (
        "ORDER_OVERFILLED",
        f"""
        SELECT o.trader_id, o.id, NULL::uuid, NULL::uuid, o.last_sequence, NULL::bigint,
               'filled ' || o.excess_quantity || ' beyond its quantity of ' || o.quantity
        FROM orders AS o WHERE {ORDERS} AND o.excess_quantity > 0
        """,
    ),
    (
        "LOG_WITHOUT_ORDER",
        f"""
        SELECT l.trader_id, l.order_id, l.id, NULL::uuid, l.sequence, NULL::bigint, ''
        FROM execution_logs AS l LEFT JOIN orders AS o ON (o.trader_id, o.id) = (l.trader_id, l.order_id)
        WHERE {LOGS} AND o.id IS NULL
        """,
    ),
    (
        "FILL_DIFFERS_FROM_LOG",
        f"""
        SELECT f.trader_id, f.order_id, l.id, f.id, f.sequence, NULL::bigint,
               CASE WHEN l.id IS NULL THEN 'it has no log' ELSE 'it differs from its log' END
        FROM fills AS f LEFT JOIN execution_logs AS l ON (l.trader_id, l.sequence) = (f.trader_id, f.sequence)
        WHERE {FILLS} AND (f.order_id, f.id, f.execution_id, f.venue, f.timestamp, f.quantity_filled, f.price_at_fill,
                            f.commission, f.trade_date, 'FILLED')
              IS DISTINCT FROM (l.order_id, l.fill_id, l.execution_id, l.venue, l.timestamp, l.fill_quantity,
                                l.fill_price, l.fill_commission, CASE WHEN l.leaf_version > 1 THEN l.trade_date
                                ELSE (l.timestamp AT TIME ZONE 'UTC')::date END, l.action::text)
           -- Both have one time, unless the clock was set back: then the log has the time of the log before it.
           OR {FILLS} AND f.created_at IS DISTINCT FROM l.created_at AND NOT coalesce(
                f.created_at < l.created_at AND EXISTS (
                    SELECT FROM execution_logs WHERE trader_id = l.trader_id AND order_id = l.order_id
                      AND sequence < l.sequence AND created_at = l.created_at), false)
        """,
    ),
    (
        "LOG_WITHOUT_FILL",
        f"""
        SELECT l.trader_id, l.order_id, l.id, l.fill_id, l.sequence, NULL::bigint, ''
        FROM execution_logs AS l LEFT JOIN fills AS f ON (f.trader_id, f.sequence) = (l.trader_id, l.sequence)
        WHERE {LOGS} AND l.action = 'FILLED' AND f.id IS NULL
        """,
    ),
    (
        "CORRECTION_DIFFERS_FROM_LOG",
        f"""
        SELECT c.trader_id, c.order_id, l.id, c.fill_id, c.sequence, NULL::bigint,
               CASE WHEN l.id IS NULL THEN 'it has no log' WHEN f.id IS NULL THEN 'its order has no such fill'
                    ELSE 'it differs from its log' END
        FROM fill_corrections AS c
            LEFT JOIN execution_logs AS l ON (l.trader_id, l.sequence) = (c.trader_id, c.sequence)
            LEFT JOIN fills AS f ON (f.trader_id, f.id, f.order_id) = (c.trader_id, c.fill_id, c.order_id)
        WHERE {CORRECTIONS} AND (
            (c.order_id, c.fill_id, c.execution_id, c.trade_date, c.venue, c.timestamp, c.quantity, c.price,
                c.commission, c.reason, c.created_at,
                CASE c.quantity WHEN 0 THEN 'FILL_BUSTED' ELSE 'FILL_CORRECTED' END)
              IS DISTINCT FROM (
                l.order_id, l.fill_id, l.execution_id, l.trade_date, l.venue, l.timestamp, l.fill_quantity,
                l.fill_price, l.fill_commission, l.reason, l.created_at, l.action::text)
            OR l.ref_execution_id IS DISTINCT FROM f.execution_id AND NOT EXISTS (
                SELECT FROM fill_corrections WHERE trader_id = c.trader_id AND fill_id = c.fill_id
                    AND sequence < c.sequence AND execution_id = l.ref_execution_id))
        """,
    ),
    (
        "CORRECTION_DIFFERS_FROM_LOG",
        f"""
        SELECT l.trader_id, l.order_id, l.id, l.fill_id, l.sequence, NULL::bigint, 'the log has no correction'
        FROM execution_logs AS l LEFT JOIN fill_corrections AS c
            ON (c.trader_id, c.fill_id, c.sequence) = (l.trader_id, l.fill_id, l.sequence)
        WHERE {LOGS} AND l.action IN ('FILL_CORRECTED', 'FILL_BUSTED') AND c.id IS NULL
        """,
    ),
    (
        "FILLS_DO_NOT_ADD_UP",
        f"""
        SELECT o.trader_id, o.id, NULL::uuid, NULL::uuid, o.last_sequence, NULL::bigint,
               'the order is filled ' || o.filled_quantity + o.excess_quantity || ', its fills are ' || sums.quantity
        FROM orders AS o, LATERAL (
            SELECT coalesce(sum(stands.quantity), 0) AS quantity, coalesce(sum(stands.notional), 0) AS notional
            FROM fills AS f LEFT JOIN LATERAL (
                SELECT * FROM fill_corrections WHERE trader_id = f.trader_id AND (fill_id, sequence) <= (f.id, {LAST})
                ORDER BY fill_id DESC, sequence DESC LIMIT 1
            ) AS c ON c.fill_id = f.id CROSS JOIN LATERAL (
                SELECT coalesce(c.quantity, f.quantity_filled) AS quantity,
                       CASE WHEN c.id IS NULL THEN f.quantity_filled * f.price_at_fill
                            ELSE coalesce(c.quantity * c.price, 0) END AS notional) AS stands
            WHERE f.trader_id = o.trader_id AND f.order_id = o.id) AS sums
        WHERE {ORDERS} AND (o.filled_quantity + o.excess_quantity, o.filled_notional)
              IS DISTINCT FROM (sums.quantity, sums.notional)
        """,
    ),
    (
        "SEQUENCE_GAP",
        f"""
        SELECT l.trader_id, NULL::uuid, NULL::uuid, NULL::uuid, l.sequence - 1, NULL::bigint,
               'nothing precedes ' || l.sequence
        FROM execution_logs AS l LEFT JOIN execution_logs AS p
            ON p.trader_id = l.trader_id AND p.sequence = l.sequence - 1
        WHERE {LOGS} AND l.sequence IS DISTINCT FROM 1 AND p.id IS NULL
        """,
    ),
    (
        "COUNTER_DIFFERS",
        """
        SELECT trader_id, NULL::uuid, NULL::uuid, NULL::uuid, newest, NULL::bigint,
               'the counter is at ' || coalesce(last_sequence, 0) || ', the newest log is ' || newest
        FROM (
            SELECT traders.id AS trader_id, last_sequence, coalesce((
                SELECT max(sequence) FROM execution_logs WHERE trader_id = traders.id), 0) AS newest
            FROM traders LEFT JOIN trader_sequences ON trader_sequences.trader_id = traders.id
            WHERE traders.id = %(trader_id)s) AS counters
        WHERE coalesce(last_sequence, 0) IS DISTINCT FROM newest
        """,
    ),
    (
        "LOG_DOES_NOT_FOLLOW",
        f"""
        SELECT l.trader_id, l.order_id, l.id, l.fill_id, l.sequence, NULL::bigint,
               'unexpected after ' || coalesce('event ' || p.sequence, 'no event') || ': ' || concat_ws(', ', {
            ", ".join(f"CASE WHEN {wrong} THEN '{name}' END" for name, wrong in _WRONG.items())
        })
        FROM execution_logs AS l {_LOG_BEFORE} {_EXPECTED}
        WHERE {LOGS} AND ({" OR ".join(f"({wrong})" for wrong in _WRONG.values())})
        """,
    ),
    (
        "LOG_NOT_IN_LEDGER",
        f"""
        SELECT l.trader_id, l.order_id, l.id, NULL::uuid, l.sequence, NULL::bigint, ''
        FROM execution_logs AS l LEFT JOIN ledger_entries AS e ON (e.trader_id, e.sequence) = (l.trader_id, l.sequence)
        WHERE {LOGS} AND e.position IS NULL AND (
            l.created_at < clock_timestamp() - %(settled)s::interval
            -- A later log of the trader is in the ledger already.
            OR EXISTS (SELECT FROM ledger_entries WHERE trader_id = l.trader_id AND sequence > l.sequence))
        """,
    ),
    (
        "LOG_DIFFERS_FROM_LEDGER",
        f"""
        SELECT l.trader_id, l.order_id, l.id, NULL::uuid, l.sequence, e.position, ''
        FROM execution_logs AS l JOIN ledger_entries AS e ON (e.trader_id, e.sequence) = (l.trader_id, l.sequence)
        WHERE {LOGS} AND (e.leaf IS DISTINCT FROM execution_log_leaf(l) OR e.kind IS DISTINCT FROM 'EXECUTION_LOG'
            OR l.leaf_version NOT IN (1, 2))
        """,
    ),
    (
        "LEDGER_ENTRY_WITHOUT_LOG",
        """
        SELECT e.trader_id, NULL::uuid, NULL::uuid, NULL::uuid, e.sequence, e.position, ''
        FROM ledger_entries AS e
        LEFT JOIN execution_logs AS l ON (l.trader_id, l.sequence) = (e.trader_id, e.sequence)
        WHERE e.trader_id = %(trader_id)s AND e.sequence > %(after)s AND e.sequence <= %(upto)s AND l.id IS NULL
        """,
    ),
]

_OF_ORDERS = {
    "ORDER_WITHOUT_LOG", "ORDER_DIFFERS_FROM_LOG", "ORDER_OVERFILLED", "FILLS_DO_NOT_ADD_UP", "COUNTER_DIFFERS",
}  # fmt: skip
CHECKS_OF_ORDERS = [(kind, check) for kind, check in CHECKS if kind in _OF_ORDERS]
CHECKS_OF_RANGES = [(kind, check) for kind, check in CHECKS if kind not in _OF_ORDERS]
