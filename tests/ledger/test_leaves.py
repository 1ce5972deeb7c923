"""A leaf has the values of its log: compared with plain Python, for each kind of event and both versions."""

import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import rfc8785
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2, order_service_pb2, request_pb2, terms_pb2
from service.repositories.append import LedgerWriter
from service.servicers import cat
from tests.conftest import Database
from tests.ledger.test_appending import all_of
from tests.paths import ROOT
from tests.rpc.errors import refused
from tests.serving import EXECUTION, Blotter, as_trader, report_request, serving

STRINGS = {"sequence", "excess_quantity"}
"""Integers of 64 bits."""


def plain(name: str, value: Any) -> Any:
    """The value as JSON has it: decimals, dates and large integers as text, times with six digits in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or (isinstance(value, (bool, int, dict)) and name not in STRINGS) else str(value)


def leaf_of(log: dict[str, Any]) -> bytes:
    """The leaf of a row of execution_logs: RFC 8785 by another implementation."""
    left_out = {"xid", "previous_sequence", "leaf_version"}
    if log["leaf_version"] == 1:
        left_out |= VERSION_2
    members = {name: plain(name, value) for name, value in log.items() if name not in left_out}
    return rfc8785.dumps(members | {"type": "execution_log", "version": log["leaf_version"]})


VERSION_2 = {
    "excess_quantity", "stop_price", "time_in_force", "account", "labels", "parent_order_id", "currency", "security_id",
    "security_id_source", "short_sale", "exempt_from_cancel_timer", "at_venue", "status_reason", "pending_kind",
    "pending_key", "pending_terms", "request_key", "request_digest", "answered_key", "terms", "trade_date",
    "ref_execution_id",
}  # fmt: skip
"""The names that version 1 does not have."""


async def everything(blotter: Blotter) -> None:
    """Events of every kind, with every column set in one of them: two orders, 20 events."""
    terms = terms_pb2.OrderTerms

    async def replace(order: order_pb2.Order, paths: list[str], changed: terms_pb2.OrderTerms) -> None:
        request = request_pb2.ReplaceOrderRequest(
            order_id=order.order_id,
            request_key="replace-" + "-".join(paths),
            terms=changed,
            update_mask=FieldMask(paths=paths),
        )
        await blotter.orders.ReplaceOrder(request, metadata=as_trader(order.trader_id))

    async def cancel(order: order_pb2.Order) -> None:
        request = order_service_pb2.CancelOrderRequest(order_id=order.order_id, reason="\u00a7 12, changed my mind")
        await blotter.orders.CancelOrder(request, metadata=as_trader(order.trader_id))

    order = await blotter.submit(
        side=order_pb2.SIDE_SELL,
        order_type=order_pb2.ORDER_TYPE_STOP_LIMIT,
        stop_price="590.5",
        stop_loss="600.25",
        take_profit="571.125",
        expire_time=Timestamp(seconds=4_000_000_000),
        time_in_force=terms_pb2.TIME_IN_FORCE_GTD,
        account="A-1",
        labels={"strategy": 'a "quoted" \u00e9\u2713', "book": "7", "b": "\\"},
        parent_order_id="P-1",
        currency="USD",
        security_id="US0378331005",
        security_id_source=order_pb2.SECURITY_ID_SOURCE_ISIN,
        short_sale=order_pb2.SHORT_SALE_SELL_SHORT_EXEMPT,
        exempt_from_cancel_timer=True,
    )
    await replace(order, ["take_profit"], terms(take_profit="571.5"))
    await blotter.report(order, executed=reports_pb.ExecutedReport(error_code="TIMEOUT", reason='no "answer"'))
    await blotter.report(order, recovered=reports_pb.RecoveredReport(retry_attempt=2))
    await blotter.fill(order, 40, "585.12345678", commission="0.25", execution_id="E-1")
    time = Timestamp(seconds=4_100_000_000, nanos=1000)
    paths = ["quantity", "price", "take_profit", "expire_time"]
    await replace(order, paths, terms(quantity=90, price="586", expire_time=time))
    await blotter.report(order, replaced=reports_pb.ReplacedReport())
    corrected = reports_pb.FillCorrectedReport(
        execution_id="E-2", ref_execution_id="E-1", quantity=35, price="585.1", commission="0.2", reason="typo"
    )
    await blotter.report(order, fill_corrected=corrected, trade_date="2012-06-21")
    await blotter.report(
        order,
        fill_busted=reports_pb.FillBustedReport(execution_id="E-3", ref_execution_id="E-2", reason="erroneous"),
        trade_date="2012-06-22",
    )
    await blotter.report(order, restated=reports_pb.RestatedReport(quantity=80, price="586.5"))
    await replace(order, ["time_in_force", "expire_time"], terms(time_in_force=terms_pb2.TIME_IN_FORCE_DAY))
    refusal = reports_pb.ReplaceRefusedReport(refusal_reason=reports_pb.REFUSAL_REASON_BROKER_OPTION, reason="no")
    await blotter.report(order, replace_refused=refusal)
    await cancel(order)
    late = reports_pb.CancelRefusedReport(refusal_reason=reports_pb.REFUSAL_REASON_TOO_LATE_TO_CANCEL)
    await blotter.report(order, cancel_refused=late)
    await blotter.report(order, done_for_day=reports_pb.DoneForDayReport(reason="closed"))
    await blotter.fill(order, 2_000_000_000, "0.00000001")
    other = await blotter.submit()
    await blotter.report(other, approved=reports_pb.ApprovedReport())
    await cancel(other)
    await refused(
        blotter.orders.ReportExecution(report_request(other, replaced=reports_pb.ReplacedReport()), metadata=EXECUTION)
    )


async def test_each_column_of_a_log_is_in_its_leaf(database: Database, writer: LedgerWriter) -> None:
    async with serving(database) as blotter:
        await everything(blotter)
    with psycopg.connect(database.conninfo("postgres"), row_factory=dict_row) as superuser:
        assert await all_of(writer, await writer.edge()) == 20
        logs = superuser.execute("SELECT * FROM execution_logs ORDER BY sequence").fetchall()
        # Sessions with another time zone and other forms of dates and numbers write the same leaf.
        for setting in ("timezone = 'Asia/Kolkata'", "datestyle = 'German'", "extra_float_digits = -5"):
            superuser.execute(f"SET {setting}".encode())
        made = "SELECT execution_log_leaf(l) AS leaf FROM execution_logs AS l ORDER BY sequence"
        elsewhere = [row["leaf"] for row in superuser.execute(made)]
        hashes = superuser.execute("SELECT leaf, leaf_hash FROM ledger_entries").fetchall()
        actions = {
            row["label"] for row in superuser.execute("SELECT unnest(enum_range(NULL::action_enum))::text AS label")
        }
    assert all(hashlib.sha256(b"\0" + row["leaf"]).digest() == row["leaf_hash"] for row in hashes)
    leaves = await writer.leaves(0, 20)
    assert leaves == elsewhere == [leaf_of(log) for log in logs]
    columns = set(logs[0]) - {"xid", "previous_sequence", "leaf_version"}
    assert {name for name in columns if all(log[name] is None for log in logs)} == set(), "each has a value in one log"
    assert {log["action"] for log in logs} == actions
    records = [cat.record(position, json.loads(leaf)) for position, leaf in enumerate(leaves)]
    types = {record["type"] for record in records}
    assert types == {"MENO", "MEOR", "MEOT", "MEOC", "MEOM", "MEOCR", "MEOMR", ""}
    assert set().union(*records) == set(cat.COLUMNS), "each column has a value in one record"


def test_a_log_of_version_1_has_the_leaf_that_0_2_0_signed(database: Database) -> None:
    """Rows of before the lifecycle had requests keep their leaves: those of a kept bundle, made again, are the same."""
    lines = (ROOT / "tests" / "ledger" / "exported" / "trail.bundle").read_bytes().splitlines()
    kept = [leaf for leaf in lines if b'"type":"execution_log"' in leaf]
    with psycopg.connect(database.conninfo("postgres"), row_factory=dict_row) as superuser:
        superuser.execute("SET session_replication_role = replica")
        for leaf in kept:
            members = json.loads(leaf)
            if members["report_digest"]:
                members["report_digest"] = "\\x" + members["report_digest"]
            names = sql.SQL(", ").join(map(sql.Identifier, members.keys() - {"type", "version"}))
            superuser.execute(
                sql.SQL(
                    "INSERT INTO execution_logs (leaf_version, {0}) "
                    "SELECT 1, {0} FROM jsonb_populate_record(NULL::execution_logs, %s)"
                ).format(names),
                [Jsonb(members)],
            )
        logs = superuser.execute("SELECT *, execution_log_leaf(l) AS leaf FROM execution_logs AS l").fetchall()
    assert len(logs) == 64
    made = {log.pop("leaf") for log in logs}
    assert made == set(kept)
    assert made == {leaf_of(log) for log in logs}
