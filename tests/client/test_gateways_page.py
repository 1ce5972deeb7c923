"""docs/gateways.md names every report, refusal reason, status and event of the contract."""

from __future__ import annotations

import re

from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter_client import Action, OrderStatus, RefusalReason
from tests.paths import ROOT

SECTIONS = dict(
    re.findall(
        r"^## (.+?)\n(.*?)(?=^## |\Z)", (ROOT / "docs" / "gateways.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
)
REPORTS = {field.name for field in reports_pb.ReportExecutionRequest.DESCRIPTOR.oneofs_by_name["report"].fields}


def rows(section: str) -> list[list[str]]:
    """Return the cells of a section's tables."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in SECTIONS[section].splitlines()
        if line.startswith("|") and not line.startswith("|---")
    ]


def test_every_report_is_explained() -> None:
    named = {report for _, report, _ in rows("What to report")[1:]}
    assert {report for cell in named for report in re.findall(r"`(\w+)`", cell)} >= REPORTS


def test_every_report_but_the_gateways_own_comes_from_a_fix_message() -> None:
    mapped = {report for row in rows("FIX to reports") for report in re.findall(r"`([a-z_]+)`", row[-1])}
    assert mapped >= REPORTS - {"approved", "executed"}


def test_refusal_reasons_have_the_values_of_the_contract() -> None:
    shown: dict[str, str] = {}
    for row in rows("FIX to reports"):
        if len(row) == 5:
            pairs = ((row[0], row[1]), (row[3], row[4]))
            shown |= {reason: value.strip("`") for value, reason in pairs if value.startswith("`")}
    proto = (ROOT / "protos" / "blotter" / "orders" / "v1" / "execution_report.proto").read_text("utf-8")
    contract = {reason: value for value, reason in re.findall(r"\((\d+)\)\.\n  REFUSAL_REASON_(\w+) =", proto)}
    assert shown == contract
    assert set(shown) == {reason.name for reason in RefusalReason}


def test_every_status_and_every_event_is_mapped_to_fix() -> None:
    left = " ".join(row[0] for row in rows("Blotter to FIX"))
    assert set(re.findall(r"[A-Z_]{4,}", left)) >= {item.name for item in (*OrderStatus, *Action)}
