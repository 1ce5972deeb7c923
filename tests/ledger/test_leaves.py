"""A leaf has the values of its log: compared column by column with plain Python, for each kind of event."""

import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
from google.protobuf.timestamp_pb2 import Timestamp
from psycopg.rows import dict_row

from blotter.orders.v1 import execution_report_pb2 as reports_pb
from service.repositories.append import LedgerWriter
from tests.conftest import Database
from tests.ledger.test_appending import all_of
from tests.rpc.errors import refused
from tests.serving import EXECUTION, report_request, serving


def plain(name: str, value: Any) -> Any:
    """The value as JSON has it: decimals and large integers as text, times with six digits in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or (isinstance(value, (bool, int)) and name != "sequence") else str(value)


async def test_each_column_of_a_log_is_in_its_leaf(database: Database, writer: LedgerWriter) -> None:
    async with serving(database) as blotter:
        order = await blotter.submit(
            stop_loss="584.5", take_profit="600.25", expire_time=Timestamp(seconds=4_000_000_000)
        )
        await blotter.report(order, executed=reports_pb.ExecutedReport(error_code="TIMEOUT", reason='no "answer"'))
        await blotter.fill(order, 40, "585.12345678", commission="0.25")
        overfill = reports_pb.FillReport(execution_id=uuid4().hex, quantity=61, price="1")
        await refused(blotter.orders.ReportExecution(report_request(order, fill=overfill), metadata=EXECUTION))
    with psycopg.connect(database.conninfo("postgres"), row_factory=dict_row) as superuser:
        # Sessions with another time zone and another form of dates write the same leaf.
        superuser.execute("ALTER ROLE postgres SET timezone = 'Asia/Kolkata'")
        superuser.execute("ALTER ROLE postgres SET datestyle = 'German'")
        superuser.commit()
        try:
            async with LedgerWriter.connected(database.conninfo("postgres"), None) as elsewhere:
                assert await all_of(elsewhere, await elsewhere.edge()) == 4
        finally:
            superuser.execute("ALTER ROLE postgres RESET ALL")
        logs = superuser.execute("SELECT * FROM execution_logs ORDER BY sequence").fetchall()
        hashes = superuser.execute("SELECT leaf, leaf_hash FROM ledger_entries").fetchall()
    assert all(hashlib.sha256(b"\0" + row["leaf"]).digest() == row["leaf_hash"] for row in hashes)
    leaves = [json.loads(leaf) for leaf in await writer.leaves(0, 4)]
    for leaf, log in zip(leaves, logs, strict=True):
        expected = {name: plain(name, value) for name, value in log.items() if name not in {"xid", "previous_sequence"}}
        assert leaf == expected | {"type": "execution_log", "version": 1}
    assert any(leaf["reason"] for leaf in leaves)
    assert any(leaf["fill_commission"] for leaf in leaves)
