"""The flat export of leaves of both versions: CAT's event types, and the fields of requests and corrections."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from blotter.audit.v1 import ledger_pb2
from service.servicers import cat
from tests.paths import ROOT

KEPT = ROOT / "tests" / "ledger" / "exported" / "trail.bundle"

NEW_COLUMNS: dict[str, Any] = {
    "version": 2,
    "excess_quantity": "0",
    "stop_price": None,
    "time_in_force": None,
    "account": None,
    "labels": None,
    "parent_order_id": None,
    "currency": None,
    "security_id": None,
    "security_id_source": None,
    "short_sale": None,
    "exempt_from_cancel_timer": False,
    "at_venue": False,
    "status_reason": None,
    "pending_kind": None,
    "pending_key": None,
    "pending_terms": None,
    "request_key": None,
    "request_digest": None,
    "answered_key": None,
    "terms": None,
    "trade_date": None,
    "ref_execution_id": None,
}


def kept() -> list[dict[str, Any]]:
    """The logs' leaves of a bundle of 0.2.0."""
    lines = KEPT.read_text(encoding="utf-8").splitlines()
    leaves = [json.loads(line) for line in lines if line.startswith("{")]
    return [leaf for leaf in leaves if leaf["type"] == "execution_log"]


def as_version_2(leaf: dict[str, Any], action: str, **changes: Any) -> dict[str, Any]:
    """The leaf with the columns of version 2."""
    return leaf | NEW_COLUMNS | {"action": action} | changes


def exported(leaf: dict[str, Any]) -> dict[str, str]:
    """The record of the leaf, from a CSV file."""
    form = ledger_pb2.EXPORT_FORMAT_CAT_CSV
    [row] = csv.DictReader(io.StringIO(cat.head(form) + cat.lines(form, 7, [json.dumps(leaf).encode()])))
    return row


def test_leaves_of_version_1_are_exported_as_before() -> None:
    rows = [exported(leaf) for leaf in kept()]
    assert {row["type"] for row in rows} >= {"MENO", "MEOT", "MEOC", ""}
    assert {row["timeInForce"] for row in rows} <= {"GTC", "GTT"}
    for name in ("account", "requestKey", "terms", "atVenue", "tradeDate", "excessQty"):
        assert {row[name] for row in rows} == {""}
    for leaf, row in zip(kept(), rows, strict=True):
        open_ = leaf["status"] in {"PENDING", "PARTIAL"}
        assert row["leavesQty"] == str(leaf["quantity"] - leaf["filled_quantity"] if open_ else 0)


@pytest.mark.parametrize(
    ("action", "changes", "type_"),
    [
        ("CANCEL_REQUESTED", {"pending_kind": "CANCEL"}, "MEOCR"),
        ("REPLACE_REQUESTED", {"terms": {"quantity": 70}}, "MEOMR"),
        ("REPLACED", {"terms": {"quantity": 70}}, "MEOM"),
        ("RESTATED", {"terms": {"quantity": 70}}, "MEOM"),
        ("RESTATED", {}, ""),
        ("CANCEL_REFUSED", {}, ""),
        ("REPLACE_REFUSED", {}, ""),
        ("DONE_FOR_DAY", {}, ""),
        ("DONE_FOR_DAY", {"status": "CANCELLED"}, "MEOC"),
        ("DONE_FOR_DAY", {"status": "FILLED"}, ""),
        ("CANCELLED", {"status": "CANCELLED"}, "MEOC"),
        ("FILL_CORRECTED", {}, "MEOT"),
        ("FILL_BUSTED", {}, "MEOT"),
        ("REJECTED", {"refused": True}, ""),
    ],
)
def test_each_action_of_the_lifecycle_has_cat_s_type(action: str, changes: dict[str, Any], type_: str) -> None:
    row = exported(as_version_2(kept()[0], action, **changes))
    assert (row["type"], row["action"]) == (type_, action)
    assert bool(row["cancelQuantity"]) == (type_ == "MEOC")


def test_a_bust_is_a_trade_that_is_cancelled_and_a_correction_is_one_that_stands() -> None:
    leaf = next(leaf for leaf in kept() if leaf["action"] == "FILLED")
    about = {"execution_id": "C-1", "ref_execution_id": "E-1", "trade_date": "2026-01-05"}
    corrected = exported(as_version_2(leaf, "FILL_CORRECTED", **about, fill_quantity=30, fill_price="9.5"))
    assert (corrected["tradeID"], corrected["priorTradeID"], corrected["tradeDate"]) == ("C-1", "E-1", "2026-01-05")
    assert (corrected["tradeQuantity"], corrected["tradePrice"]) == ("30", "9.5")
    assert (corrected["cancelFlag"], corrected["cancelTimestamp"]) == ("", "")
    busted = exported(as_version_2(leaf, "FILL_BUSTED", **about, fill_quantity=0, fill_price=None))
    assert (busted["cancelFlag"], busted["cancelTimestamp"]) == ("true", busted["eventTimestamp"])
    assert (busted["tradeID"], busted["priorTradeID"], busted["tradePrice"]) == ("C-1", "E-1", "")


def test_what_the_desk_filed_the_order_under_is_exported() -> None:
    leaf = as_version_2(
        kept()[0],
        "REPLACE_REQUESTED",
        side="SELL",
        short_sale="SELL_SHORT_EXEMPT",
        order_type="STOP_LIMIT",
        stop_price="9.25",
        account="A-1",
        labels={"book": "7", "desk": "\u00e9"},
        parent_order_id="P",
        currency="USD",
        security_id="US0378331005",
        security_id_source="ISIN",
        exempt_from_cancel_timer=True,
        at_venue=True,
        request_key="K",
        pending_key="K",
        pending_kind="REPLACE",
        terms={"price": None, "quantity": 70},
        excess_quantity="5",
    )
    row = exported(leaf)
    expected = {
        "side": "SX",
        "orderType": "STL",
        "stopPrice": "9.25",
        "account": "A-1",
        "labels": '{"book": "7", "desk": "\u00e9"}',
        "parentOrderID": "P",
        "currency": "USD",
        "securityID": "US0378331005",
        "securityIDSource": "ISIN",
        "cancelTimerExempt": "true",
        "atVenue": "true",
        "requestKey": "K",
        "pendingKey": "K",
        "pendingKind": "REPLACE",
        "terms": '{"price": null, "quantity": 70}',
        "excessQty": "5",
        "timeInForce": "DAY",
    }
    assert {name: row[name] for name in expected} == expected
    line = cat.lines(ledger_pb2.EXPORT_FORMAT_CAT_JSON, 7, [json.dumps(leaf).encode()])
    assert json.loads(line)["labels"] == {"book": "7", "desk": "\u00e9"}
    assert json.loads(line)["excessQty"] == 5


@pytest.mark.parametrize(
    ("stated", "expires_at", "code"),
    [
        ("DAY", None, "DAY"),
        ("GTC", None, "GTC"),
        ("IOC", None, "IOC"),
        ("FOK", None, "FOK"),
        ("GTD", "2026-01-05T12:00:00.000000Z", "GTT"),
        (None, "2026-01-05T12:00:00.000000Z", "GTT"),
        (None, None, "DAY"),
    ],
)
def test_the_time_in_force_is_cat_s(stated: str | None, expires_at: str | None, code: str) -> None:
    leaf = as_version_2(kept()[0], "SUBMITTED", time_in_force=stated, expires_at=expires_at)
    assert exported(leaf)["timeInForce"] == code
