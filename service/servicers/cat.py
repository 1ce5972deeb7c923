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

TYPES = {"SUBMITTED": "MENO", "EXECUTED": "MEOR", "RECOVERED": "MEOR", "FILLED": "MEOT", "CANCELLED": "MEOC"}
ORDER_TYPES = {"MARKET": "MKT", "LIMIT": "LMT", "STOP": "STP"}
SIDES = {"BUY": "B", "SELL": "SL"}

COLUMNS = (
    "position", "type", "action", "firmROEID", "orderKeyDate", "orderID", "clientOrderID", "firmDesignatedID", "symbol",
    "eventTimestamp", "recordTimestamp", "side", "orderType", "price", "quantity", "timeInForce", "expireTimestamp",
    "venue", "tradeID", "tradeQuantity", "tradePrice", "commission", "cancelQuantity", "leavesQty", "status", "refused",
    "routeRejectedFlag", "resultCode", "reason", "initiator", "requestID", "reportID", "sequence",
    "login", "stopLoss", "takeProfit", "retryAttempt",
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
    """Return the record of one leaf, without the fields that its event does not have."""
    action, refused = leaf["action"], leaf["refused"]
    left = leaf["quantity"] - leaf["filled_quantity"]
    trade = action == "FILLED"
    values = {
        "position": position,
        "type": "" if refused else TYPES.get(action, ""),
        "action": action,
        "firmROEID": leaf["id"],
        "orderKeyDate": _stamp(leaf["order_created_at"]),
        "orderID": leaf["order_id"],
        "clientOrderID": leaf["client_order_id"],
        "firmDesignatedID": leaf["trader_id"],
        "symbol": leaf["symbol"],
        "eventTimestamp": _stamp(leaf["timestamp"]),
        "recordTimestamp": _stamp(leaf["created_at"]),
        "side": SIDES[leaf["side"]],
        "orderType": ORDER_TYPES[leaf["order_type"]],
        "price": leaf["price"],
        "quantity": leaf["quantity"],
        "timeInForce": "GTT" if leaf["expires_at"] else "GTC",
        "expireTimestamp": _stamp(leaf["expires_at"]),
        "venue": leaf["venue"],
        "tradeID": leaf["execution_id"] if trade else None,
        "tradeQuantity": leaf["fill_quantity"] if trade else None,
        "tradePrice": leaf["fill_price"] if trade else None,
        "commission": leaf["fill_commission"] if trade else None,
        "cancelQuantity": left if action == "CANCELLED" else None,
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
    }
    return {name: value for name, value in values.items() if value is not None}


def _stamp(time: str | None) -> str | None:
    """Return a UTC time in CAT's format, such as 20121206T130548.571253."""
    return None if time is None else time.replace("-", "").replace(":", "").removesuffix("Z")


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
