"""AuditService on the ledger, over a real channel, compared with an independent computation."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from blotter.audit.v1 import audit_service_pb2 as audit_pb
from blotter.audit.v1 import inspection_pb2, ledger_pb2
from blotter.orders.v1 import order_pb2, order_service_pb2
from blotter_verifier.bundle import verify
from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.hashing import leaf_hash
from blotter_verifier.notes import Verifier, parse_note
from blotter_verifier.proofs import verify_consistency, verify_inclusion
from blotter_verifier.receipt import Receipt
from service.sequencing.keys import KeyFolder
from tests.conftest import ALICE, BOB, Database
from tests.ledger.test_appending import submit
from tests.ledger.test_checkpoints import ORIGIN, QUICK, published, until
from tests.rpc.errors import fields_of, reason_of, refused
from tests.serving import COMPLIANCE, Blotter, as_trader, serving


@asynccontextmanager
async def signing(database: Database, folder: Path, **changes: Any) -> AsyncIterator[tuple[Blotter, Verifier, Path]]:
    """A server that signs its ledger; the public key, and the checkpoint directory."""
    keys, outside = KeyFolder(folder / "keys"), folder / "outside"
    verifier = keys.generate(ORIGIN).verifier
    settings = QUICK | {"ledger_keys": keys.folder, "checkpoint_directory": outside} | changes
    async with serving(database, **settings) as blotter:
        yield blotter, verifier, outside


async def alter(database: Database, *statements: str) -> None:
    """Alter the record with all triggers off.

    The connection is asynchronous: a statement may wait for the sequencer's transaction, which runs in this event loop.
    """
    async with await psycopg.AsyncConnection.connect(database.conninfo("postgres")) as superuser:
        for statement in ("SET session_replication_role = replica", *statements):
            await superuser.execute(statement.encode())


async def traded(blotter: Blotter, outside: Path) -> list[order_pb2.Order]:
    """Three orders, one of them filled in part and cancelled; signed."""
    orders = [await blotter.submit(trader) for trader in (ALICE, BOB, ALICE)]
    await blotter.fill(orders[0], 40, "585.3301")
    await blotter.report(orders[0], cancelled={"reason": "done for the day"})
    await until(published(outside, 6))
    return orders


async def exported(blotter: Blotter, **request: Any) -> bytes:
    """The file."""
    stream = blotter.audit.ExportExecutionLogs(ledger_pb2.ExportExecutionLogsRequest(**request), metadata=COMPLIANCE)
    return b"".join([message.data async for message in stream])


async def test_proofs_are_verified_with_the_public_key_alone(database: Database, tmp_path: Path) -> None:
    async with signing(database, tmp_path) as (blotter, verifier, outside):
        await traded(blotter, outside)
        checkpoint = (
            await blotter.audit.GetCheckpoint(ledger_pb2.GetCheckpointRequest(), metadata=COMPLIANCE)
        ).checkpoint
        note = parse_note(checkpoint.note)
        assert note.signed_by([verifier]) == [verifier]
        signed = Checkpoint.parse(note.text)
        assert (signed.origin, signed.size, signed.root) == (ORIGIN, checkpoint.tree_size, checkpoint.root_hash)

        logs = [
            log
            async for message in blotter.audit.StreamExecutionLogs(
                audit_pb.StreamExecutionLogsRequest(), metadata=COMPLIANCE
            )
            for log in message.logs.execution_logs
        ]
        for log in logs:
            request = ledger_pb2.GetInclusionProofRequest(log_id=log.log_id)
            proof = await blotter.audit.GetInclusionProof(request, metadata=COMPLIANCE)
            assert proof.position == log.position
            assert json.loads(proof.leaf)["id"] == log.log_id
            verify_inclusion(proof.position, signed.size, leaf_hash(proof.leaf), proof.hashes, signed.root)
            receipt = Receipt(proof.leaf, proof.position, list(proof.hashes), parse_note(proof.checkpoint.note))
            assert Receipt.parse(str(receipt)).verify([verifier]) == signed
        for old in range(1, signed.size + 1):
            compare = ledger_pb2.GetConsistencyProofRequest(old_tree_size=old)
            found = await blotter.audit.GetConsistencyProof(compare, metadata=COMPLIANCE)
            verify_consistency(old, signed.size, found.old_root_hash, signed.root, found.hashes)


async def test_sizes_and_logs_that_do_not_exist(database: Database, tmp_path: Path) -> None:
    async with signing(database, tmp_path) as (blotter, _, outside):
        await traded(blotter, outside)
        audit = blotter.audit
        proof, consistency = ledger_pb2.GetInclusionProofRequest, ledger_pb2.GetConsistencyProofRequest
        orders = await blotter.orders.ListOrders(order_service_pb2.ListOrdersRequest(), metadata=as_trader(ALICE))
        as_of = partial(inspection_pb2.GetOrderAsOfRequest, order_id=orders.orders[0].order_id)
        for method, request, code, reason in (
            (audit.GetInclusionProof, proof(log_id=str(uuid4())), "NOT_FOUND", "LOG_NOT_FOUND"),
            (audit.GetInclusionProof, proof(position=99), "NOT_FOUND", "LOG_NOT_FOUND"),
            (audit.GetOrderAsOf, as_of(position=99), "NOT_FOUND", "LOG_NOT_FOUND"),
            (audit.GetInclusionProof, proof(position=3, tree_size=3), "OUT_OF_RANGE", "TREE_SIZE_OUT_OF_RANGE"),
            (audit.GetInclusionProof, proof(position=3, tree_size=99), "OUT_OF_RANGE", "TREE_SIZE_OUT_OF_RANGE"),
            (audit.GetConsistencyProof, consistency(old_tree_size=99), "OUT_OF_RANGE", "TREE_SIZE_OUT_OF_RANGE"),
            (audit.GetCheckpoint, ledger_pb2.GetCheckpointRequest(tree_size=99), "NOT_FOUND", "CHECKPOINT_NOT_FOUND"),
        ):
            error = await refused(method(request, metadata=COMPLIANCE))
            assert (error.code().name, reason_of(error)) == (code, reason)
        beyond = ledger_pb2.ExportExecutionLogsRequest(to_position=99)
        error = await refused(audit.ExportExecutionLogs(beyond, metadata=COMPLIANCE).read())
        assert reason_of(error) == "POSITION_OUT_OF_RANGE"


async def test_a_log_that_is_not_in_the_ledger_yet_is_refused_as_unavailable(blotter: Blotter) -> None:
    await blotter.submit()
    logs = await blotter.audit.ListExecutionLogs(audit_pb.ListExecutionLogsRequest(), metadata=COMPLIANCE)
    request = ledger_pb2.GetInclusionProofRequest(log_id=logs.execution_logs[0].log_id)
    error = await refused(blotter.audit.GetInclusionProof(request, metadata=COMPLIANCE))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "LOG_NOT_YET_IN_LEDGER")


async def test_a_damaged_ledger_proves_nothing(database: Database, tmp_path: Path) -> None:
    async with signing(database, tmp_path) as (blotter, _, outside):
        await traded(blotter, outside)
        await alter(database, "UPDATE ledger_entries SET leaf = 'false' WHERE position = 2")
        request = ledger_pb2.GetInclusionProofRequest(position=4)
        error = await refused(blotter.audit.GetInclusionProof(request, metadata=COMPLIANCE))
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.DATA_LOSS, "LEDGER_DAMAGED")


async def test_bundles_of_any_range_verify_offline(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.servicers.proofs.LEAVES_A_MESSAGE", 2)
    async with signing(database, tmp_path) as (blotter, verifier, outside):
        await traded(blotter, outside)
        older = await until(published(outside, 6))
        size = Checkpoint.parse(older.text).size
        await blotter.submit(BOB)
        await until(published(outside, size + 1))
        for start in range(size + 2):
            for end in range(start, size + 2):
                file = await exported(blotter, from_position=start, to_position=end)
                verdict = verify(io.BytesIO(file), [verifier])
                assert verdict.verified, verdict.faults
                assert (verdict.start, verdict.end, verdict.size) == (start, end, size + 1)
                compared = verify(io.BytesIO(file), [verifier], older)
                assert compared.verified == (start <= size <= end)
        whole = await exported(blotter)
        assert verify(io.BytesIO(whole), [verifier], older).since == size


async def test_a_flat_export_has_each_event_under_its_cat_type(database: Database, tmp_path: Path) -> None:
    async with signing(database, tmp_path) as (blotter, _, outside):
        [order, *_] = await traded(blotter, outside)
        text = (await exported(blotter, format=ledger_pb2.EXPORT_FORMAT_CAT_CSV)).decode()
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["type"] for row in rows if row["orderID"] == order.order_id] == ["MENO", "MEOT", "MEOC"]
        trade, cancel = (row for row in rows if row["type"] in {"MEOT", "MEOC"})
        assert (trade["tradeQuantity"], trade["tradePrice"], trade["leavesQty"]) == ("40", "585.3301", "60")
        assert trade["eventTimestamp"] == "20120621T133000.004241"
        assert (cancel["cancelQuantity"], cancel["reason"]) == ("60", "done for the day")
        lines = (await exported(blotter, format=ledger_pb2.EXPORT_FORMAT_CAT_JSON)).decode().splitlines()
        assert [json.loads(line)["firmROEID"] for line in lines] == [row["firmROEID"] for row in rows]


async def test_an_order_as_of_any_moment(database: Database, tmp_path: Path) -> None:
    async with signing(database, tmp_path) as (blotter, _, outside):
        [order, *_] = await traded(blotter, outside)
        history = audit_pb.ListExecutionLogsRequest(order_id=order.order_id)
        listed = (await blotter.audit.ListExecutionLogs(history, metadata=COMPLIANCE)).execution_logs
        logs = sorted(listed, key=lambda log: log.sequence)
        ask = inspection_pb2.GetOrderAsOfRequest
        for log in logs:
            by_time = ask(order_id=order.order_id, time=log.record_time)
            answer = await blotter.audit.GetOrderAsOf(by_time, metadata=COMPLIANCE)
            assert answer.order == log.order
            by_position = ask(order_id=order.order_id, position=answer.last_log.position)
            assert (await blotter.audit.GetOrderAsOf(by_position, metadata=COMPLIANCE)).order == log.order
        before = Timestamp()
        before.FromNanoseconds(logs[0].record_time.ToNanoseconds() - 1000)
        error = await refused(
            blotter.audit.GetOrderAsOf(ask(order_id=order.order_id, time=before), metadata=COMPLIANCE)
        )
        assert reason_of(error) == "ORDER_NOT_FOUND"
        error = await refused(blotter.audit.GetOrderAsOf(ask(order_id=order.order_id), metadata=COMPLIANCE))
        assert list(fields_of(error)) == ["moment"]


async def test_an_intact_record_reconciles_while_orders_are_submitted(database: Database, tmp_path: Path) -> None:
    async with signing(database, tmp_path) as (blotter, _, outside):
        await traded(blotter, outside)
        writing = asyncio.create_task(keep_trading(blotter))
        for _ in range(5):
            stream = blotter.audit.ReconcileOrders(inspection_pb2.ReconcileOrdersRequest(), metadata=COMPLIANCE)
            messages = [message async for message in stream]
            assert [message.discrepancy for message in messages if message.HasField("discrepancy")] == []
            last = messages[-1].progress
            assert last.traders_done == last.traders_total == 2
            assert last.compared_count >= 9
        writing.cancel()


async def keep_trading(blotter: Blotter) -> None:
    while True:
        order = await blotter.submit(ALICE)
        await blotter.fill(order, 10)


async def test_a_discrepancy_is_reported_with_its_kind_and_ids(database: Database, blotter: Blotter) -> None:
    order = await blotter.submit()
    await alter(database, "UPDATE orders SET quantity = 7")
    stream = blotter.audit.ReconcileOrders(
        inspection_pb2.ReconcileOrdersRequest(trader_id=str(ALICE)), metadata=COMPLIANCE
    )
    found = [message.discrepancy async for message in stream if message.HasField("discrepancy")]
    kinds = {inspection_pb2.DiscrepancyKind.Name(one.kind) for one in found}
    assert kinds == {"DISCREPANCY_KIND_ORDER_DIFFERS_FROM_LOG"}
    assert {one.order_id for one in found} == {order.order_id}
    assert "they differ in quantity" in {one.detail for one in found}
    nobody = inspection_pb2.ReconcileOrdersRequest(trader_id=str(uuid4()))
    error = await refused(blotter.audit.ReconcileOrders(nobody, metadata=COMPLIANCE).read())
    assert reason_of(error) == "UNKNOWN_TRADER"


@pytest.mark.parametrize("moved", ["-", "+"])
async def test_a_fill_recorded_at_another_time_than_its_log_is_reported(
    database: Database, blotter: Blotter, moved: str
) -> None:
    """All records of one call have one time: the log and the row of a fill agree to the microsecond."""
    order = await blotter.submit()
    await blotter.fill(order, 40)
    request = inspection_pb2.ReconcileOrdersRequest(trader_id=str(ALICE))
    assert not await discrepancies(blotter, request)
    await alter(database, f"UPDATE fills SET created_at = created_at {moved} interval '1 microsecond'")
    assert await discrepancies(blotter, request) == ["DISCREPANCY_KIND_FILL_DIFFERS_FROM_LOG"]


async def discrepancies(blotter: Blotter, request: inspection_pb2.ReconcileOrdersRequest) -> list[str]:
    """The kinds of all discrepancies."""
    stream = blotter.audit.ReconcileOrders(request, metadata=COMPLIANCE)
    found = [message.discrepancy async for message in stream if message.HasField("discrepancy")]
    return [inspection_pb2.DiscrepancyKind.Name(one.kind) for one in found]


async def test_the_discrepancies_of_a_kind_are_limited(database: Database, blotter: Blotter) -> None:
    with psycopg.connect(database.conninfo("blotter_trader")) as trader:
        for number in range(1100):
            submit(trader, ALICE, str(number))
    await alter(
        database,
        "ALTER TABLE execution_logs ALTER retry_attempt DROP NOT NULL",
        "UPDATE orders SET quantity = 7",
    )
    stream = blotter.audit.ReconcileOrders(inspection_pb2.ReconcileOrdersRequest(), metadata=COMPLIANCE)
    found = [message.discrepancy.detail async for message in stream if message.HasField("discrepancy")]
    assert found.count("they differ in quantity") == 1000
    assert "more than 1000 discrepancies of this kind; the others are omitted" in found


async def test_the_faults_of_an_altered_entry_are_reported_with_its_position(
    database: Database, tmp_path: Path
) -> None:
    """And a log in which a column became null differs from its leaf, although null compares with nothing."""
    async with signing(database, tmp_path) as (blotter, _, outside):
        with psycopg.connect(database.conninfo("blotter_trader")) as trader:
            for number in range(300):
                submit(trader, ALICE, str(number))
        await until(published(outside, 301))
        await alter(
            database,
            "ALTER TABLE execution_logs ALTER retry_attempt DROP NOT NULL",
            "UPDATE execution_logs SET retry_attempt = NULL, reason = 'forged' WHERE sequence = 20",
            "UPDATE ledger_entries SET leaf = 'false' WHERE trader_id IS NOT NULL AND position = 100",
            "UPDATE ledger_entries SET kind = 'BASELINE' WHERE kind = 'KEYS'",
            "INSERT INTO ledger_tiles (level, tile_index, hashes, root) "
            "VALUES (0, 5, convert_to(repeat('x', 8192), 'UTF8'), convert_to(repeat('x', 32), 'UTF8'))",
        )
        stream = blotter.audit.ReconcileOrders(inspection_pb2.ReconcileOrdersRequest(), metadata=COMPLIANCE)
        found = [message.discrepancy async for message in stream if message.HasField("discrepancy")]
    reported = [(inspection_pb2.DiscrepancyKind.Name(one.kind)[17:], one.position, one.sequence) for one in found]
    assert ("TREE_DIFFERS_FROM_CHECKPOINT", 100, 0) in reported
    assert sum(kind == "LOG_DIFFERS_FROM_LEDGER" for kind, _, _ in reported) == 2
    assert {sequence for kind, _, sequence in reported if kind == "LOG_DIFFERS_FROM_LEDGER"} >= {20}
    details = {one.detail for one in found}
    assert "the leaf is not a valid entry of kind BASELINE" in details
    assert "tile 5 of level 0 covers entries that do not exist yet" in details
    assert sum("checkpoint" in detail for detail in details) <= 1


async def test_every_read_by_compliance_is_recorded_once_with_its_filter(blotter: Blotter) -> None:
    order = await blotter.submit()
    auditor = (*COMPLIANCE, ("x-actor", "Ms Audit"), ("x-request-id", "read-1"))
    started = datetime.now(UTC)
    await blotter.audit.ListExecutionLogs(audit_pb.ListExecutionLogsRequest(order_id=order.order_id), metadata=auditor)
    stream = blotter.audit.StreamExecutionLogs(audit_pb.StreamExecutionLogsRequest(), metadata=auditor)
    assert [message async for message in stream]
    request = inspection_pb2.ListAuditAccessRequest(actor="Ms Audit", page_size=2)
    request.accessed.start_time.FromDatetime(started)
    page = await blotter.audit.ListAuditAccess(request, metadata=COMPLIANCE)
    assert [access.method.rpartition("/")[2] for access in page.accesses] == [
        "StreamExecutionLogs",
        "ListExecutionLogs",
    ]
    assert not page.next_page_token
    read = page.accesses[1]
    assert (read.actor, read.login, read.request_id) == ("Ms Audit", "blotter_compliance", "read-1")
    assert json.loads(read.request) == {"order_id": order.order_id}
    # Listing the reads is a read as well.
    again = await blotter.audit.ListAuditAccess(inspection_pb2.ListAuditAccessRequest(page_size=1), metadata=COMPLIANCE)
    assert again.accesses[0].method.endswith("/ListAuditAccess")
    request = inspection_pb2.ListAuditAccessRequest(page_size=1, page_token=again.next_page_token)
    older = await blotter.audit.ListAuditAccess(request, metadata=COMPLIANCE)
    assert older.accesses[0].access_id < again.accesses[0].access_id
    last = await blotter.audit.ListAuditAccess(inspection_pb2.ListAuditAccessRequest(page_size=2), metadata=COMPLIANCE)
    assert json.loads(last.accesses[1].request)["page_token"] == again.next_page_token
