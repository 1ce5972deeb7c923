"""Leaves of the ledger as flat records modelled on the events of the Consolidated Audit Trail (docs/cat-export.md).

A field has CAT's name where CAT defines one. These records carry no proofs; a bundle does.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from blotter.audit.v1 import ledger_pb2

TYPES = {
    "SUBMITTED": "MENO", "EXECUTED": "MEOR", "RECOVERED": "MEOR", "REPLACED": "MEOM", "FILLED": "MEOT",
    "FILL_CORRECTED": "MEOT", "FILL_BUSTED": "MEOT", "CANCELLED": "MEOC", "CANCEL_REQUESTED": "MEOCR",
    "REPLACE_REQUESTED": "MEOMR",
}  # fmt: skip
ORDER_TYPES = {"MARKET": "MKT", "LIMIT": "LMT", "STOP": "STP", "STOP_LIMIT": "STL"}
SIDES = {"BUY": "B", "SELL": "SL"}
SHORT_SALES = {"SELL_SHORT": "SS", "SELL_SHORT_EXEMPT": "SX"}
TRADES = {"FILLED", "FILL_CORRECTED", "FILL_BUSTED"}
NOT_STATED = {1: "GTC", 2: "DAY"}
"""The time in force of an order without one and without an expiry, by the version of the leaf. Version 1 had none."""

COLUMNS = (
    "position", "type", "action", "firmROEID", "orderKeyDate", "orderID", "clientOrderID", "firmDesignatedID", "symbol",
    "eventTimestamp", "recordTimestamp", "side", "orderType", "price", "quantity", "timeInForce", "expireTimestamp",
    "venue", "tradeID", "tradeQuantity", "tradePrice", "commission", "cancelQuantity", "leavesQty", "status", "refused",
    "routeRejectedFlag", "resultCode", "reason", "initiator", "requestID", "reportID", "sequence",
    "login", "stopLoss", "takeProfit", "retryAttempt",
    "stopPrice", "filledQty", "excessQty", "tradeDate", "priorTradeID", "cancelFlag", "cancelTimestamp",
    "requestKey", "answeredKey", "terms", "pendingKind", "pendingKey", "statusReason", "account", "labels",
    "parentOrderID", "currency", "securityID", "securityIDSource", "atVenue", "cancelTimerExempt",
)  # fmt: skip


def head(form: int) -> str:
    """Return the header: the column names for CSV, nothing for JSON."""
    return ",".join(COLUMNS) + "\r\n" if form == ledger_pb2.EXPORT_FORMAT_CAT_CSV else ""


def lines(form: int, start: int, leaves: Sequence[bytes]) -> str:
    """Return the records of the leaves, the first of which is at position `start`. Omits the ledger's own leaves."""
    found = enumerate(map(json.loads, leaves), start)
    records = [record(position, leaf) for position, leaf in found if leaf["type"] == "execution_log"]
    if form == ledger_pb2.EXPORT_FORMAT_CAT_JSON:
        return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="")
    writer.writerows({name: _plain(value) for name, value in one.items()} for one in records)
    return text.getvalue()


def record(position: int, leaf: dict[str, Any]) -> dict[str, Any]:
    """Return the record of one leaf of either version, without the fields that its event does not have."""
    action, refused = leaf["action"], leaf["refused"]
    left = leaf["quantity"] - leaf["filled_quantity"]
    excess = leaf.get("excess_quantity")
    trade = action in TRADES and not refused
    busted = action == "FILL_BUSTED" and not refused
    kind = "" if refused else _type(leaf)
    values = {
        "position": position,
        "type": kind,
        "action": action,
        "firmROEID": leaf["id"],
        "orderKeyDate": _stamp(leaf["order_created_at"]),
        "orderID": leaf["order_id"],
        "clientOrderID": leaf["client_order_id"],
        "firmDesignatedID": leaf["trader_id"],
        "symbol": leaf["symbol"],
        "eventTimestamp": _stamp(leaf["timestamp"]),
        "recordTimestamp": _stamp(leaf["created_at"]),
        "side": SHORT_SALES.get(leaf.get("short_sale") or "", SIDES[leaf["side"]]),
        "orderType": ORDER_TYPES[leaf["order_type"]],
        "price": leaf["price"],
        "quantity": leaf["quantity"],
        "timeInForce": _time_in_force(leaf),
        "expireTimestamp": _stamp(leaf["expires_at"]),
        "venue": leaf["venue"],
        "tradeID": leaf["execution_id"] if trade else None,
        "tradeQuantity": leaf["fill_quantity"] if trade else None,
        "tradePrice": leaf["fill_price"] if trade else None,
        "commission": leaf["fill_commission"] if trade else None,
        "cancelQuantity": left if kind == "MEOC" else None,
        "leavesQty": left if leaf["status"] in {"PENDING", "PARTIAL"} else 0,
        "status": leaf["status"],
        "refused": refused,
        "routeRejectedFlag": True if action == "EXECUTED" and leaf["error_code"] else None,
        "resultCode": leaf["error_code"],
        "reason": leaf["reason"],
        "initiator": leaf["actor"],
        "requestID": leaf["request_id"],
        "reportID": leaf["report_id"],
        "sequence": leaf["sequence"],
        "login": leaf["login"],
        "stopLoss": leaf["stop_loss"],
        "takeProfit": leaf["take_profit"],
        "retryAttempt": leaf["retry_attempt"],
        "filledQty": leaf["filled_quantity"],
        "cancelFlag": True if busted else None,
        "cancelTimestamp": _stamp(leaf["timestamp"]) if busted else None,
        "stopPrice": leaf.get("stop_price"),
        "excessQty": None if excess is None else int(excess),  # a bigint, which leaves hold as text
        "tradeDate": leaf.get("trade_date"),
        "priorTradeID": leaf.get("ref_execution_id"),
        "requestKey": leaf.get("request_key"),
        "answeredKey": leaf.get("answered_key"),
        "terms": leaf.get("terms"),
        "pendingKind": leaf.get("pending_kind"),
        "pendingKey": leaf.get("pending_key"),
        "statusReason": leaf.get("status_reason"),
        "account": leaf.get("account"),
        "labels": leaf.get("labels"),
        "parentOrderID": leaf.get("parent_order_id"),
        "currency": leaf.get("currency"),
        "securityID": leaf.get("security_id"),
        "securityIDSource": leaf.get("security_id_source"),
        "atVenue": leaf.get("at_venue"),
        "cancelTimerExempt": leaf.get("exempt_from_cancel_timer"),
    }
    return {name: value for name, value in values.items() if value is not None}


def _type(leaf: dict[str, Any]) -> str:
    """Return CAT's name of the event, or an empty text if CAT has none."""
    match leaf["action"]:
        case "DONE_FOR_DAY" if leaf["status"] == "CANCELLED":
            return "MEOC"  # the order ended; that of an order which goes on tomorrow is no event of CAT
        case "RESTATED" if leaf["terms"]:
            return "MEOM"
        case action:
            return TYPES.get(action, "")


def _time_in_force(leaf: dict[str, Any]) -> str:
    """Return CAT's code. An expiry is a time here, not a date, for which CAT has GTT."""
    stated: str | None = leaf.get("time_in_force")
    if stated == "GTD" or (stated is None and leaf["expires_at"]):
        return "GTT"
    return stated or NOT_STATED[leaf["version"]]


def _stamp(time: str | None) -> str | None:
    """Return a UTC time in CAT's format, such as 20121206T130548.571253."""
    return None if time is None else time.replace("-", "").replace(":", "").removesuffix("Z")


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return str(value)
