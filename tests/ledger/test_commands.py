"""The command line of the ledger: keys, export, verify, receipts, tiles, as an auditor types them."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from blotter.audit.v1 import audit_service_pb2 as audit_pb
from service.cli import main
from service.ledger.checkpoint import Checkpoint
from service.ledger.hashing import full_root, leaf_hash
from service.ledger.notes import parse_note
from service.ledger.tiles import all_tiles
from tests.conftest import Database
from tests.ledger.test_audit_calls import signing, traded
from tests.ledger.test_checkpoints import ORIGIN, published, until
from tests.serving import COMPLIANCE


def run(*arguments: object, **environment: str) -> Result:
    """Type a command."""
    return CliRunner(env=environment).invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
async def exported(database: Database, tmp_path: Path) -> dict[str, Any]:
    """A bundle, an older checkpoint, a receipt and the key; the service is gone."""
    async with signing(database, tmp_path) as (blotter, verifier, outside):
        await traded(blotter, outside)
        older = tmp_path / "older"
        older.write_text(str(await until(published(outside, 6))))
        await blotter.submit()
        await until(published(outside, 7))
        bundle, receipt = tmp_path / "bundle", tmp_path / "receipt.tlog-proof"
        target = f"127.0.0.1:{blotter.port}"
        logs = await blotter.audit.ListExecutionLogs(audit_pb.ListExecutionLogsRequest(), metadata=COMPLIANCE)
        log_id = logs.execution_logs[0].log_id
        done = await asyncio.to_thread(run, "audit", "export", bundle, "--target", target)
        assert done.exit_code == 0, done.output
        done = await asyncio.to_thread(run, "audit", "receipt", log_id, "--target", target, "--output", receipt)
        assert done.exit_code == 0, done.output
    return {"bundle": bundle, "older": older, "receipt": receipt, "key": str(verifier), "log_id": log_id}


async def test_what_was_exported_is_verified_without_the_service(exported: dict[str, Any]) -> None:
    verified = run("audit", "verify", exported["bundle"], "--key", exported["key"], "--since", exported["older"])
    assert verified.exit_code == 0, verified.output
    assert "VERIFIED." in verified.output
    assert "It continues the checkpoint of" in verified.output
    receipt = run("audit", "check-receipt", exported["receipt"], "--key", exported["key"])
    assert receipt.exit_code == 0, receipt.output
    assert json.loads(receipt.output.splitlines()[-1])["id"] == exported["log_id"]


async def test_any_changed_byte_is_found(exported: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "changed"
    for name, command in (("bundle", "verify"), ("receipt", "check-receipt")):
        whole = exported[name].read_bytes()
        step = max(1, len(whole) // 150)
        for place in range(0, len(whole), step):
            changed = bytearray(whole)
            changed[place] ^= 0x04
            file.write_bytes(changed)
            result = run("audit", command, file, "--key", exported["key"])
            assert result.exit_code in {1, 3}, (name, place, result.output)
            assert "VERIFIED" not in result.output
        file.write_bytes(whole[:-1])
        assert run("audit", command, file, "--key", exported["key"]).exit_code in {1, 3}


async def test_another_key_is_not_trusted(exported: dict[str, Any], tmp_path: Path) -> None:
    made = run("keys", "generate", BLOTTER_LEDGER_KEYS=str(tmp_path / "others"), BLOTTER_LEDGER_ORIGIN=ORIGIN)
    assert made.exit_code == 0, made.output
    shown = run("keys", "show", BLOTTER_LEDGER_KEYS=str(tmp_path / "others"))
    assert shown.output == made.output
    result = run("audit", "verify", exported["bundle"], "--key", made.output.strip())
    assert result.exit_code == 1
    assert "not signed by a key that you trust" in result.output


def test_mistakes_are_told_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("hello\n")
    key = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    for arguments, status in (
        (("audit", "verify", file, "--key", key), 3),
        (("audit", "verify", file, "--key", "nonsense"), 2),
        (("audit", "verify", tmp_path / "missing", "--key", key), 2),
        (("audit", "check-receipt", file, "--key", key), 3),
        (("audit", "export", tmp_path / "out", "--target", "127.0.0.1:1"), 3),
    ):
        result = run(*arguments)
        assert (result.exit_code, "Traceback" in result.output) == (status, False), result.output
    assert not (tmp_path / "out").exists()
    shown = run("keys", "show", BLOTTER_LEDGER_KEYS=str(tmp_path / "none"))
    assert shown.exit_code == 1
    assert "blotter keys generate" in shown.output


async def test_the_static_layout_holds_the_tree(database: Database, tmp_path: Path) -> None:
    async with signing(database, tmp_path) as (blotter, _, outside):
        await traded(blotter, outside)
    environment = {"BLOTTER_DATABASE_URL": database.conninfo("blotter_owner")}
    folder = tmp_path / "tiles"
    for _ in range(2):
        done = await asyncio.to_thread(run, "ledger", "tiles", folder, **environment)
        assert done.exit_code == 0, done.output
    checkpoint = Checkpoint.parse(parse_note((folder / "checkpoint").read_text()).text)
    [tile] = all_tiles(checkpoint.size)
    hashes = (folder / tile.path).read_bytes()
    entries, found = (folder / tile.entries_path).read_bytes(), []
    while entries:
        length = int.from_bytes(entries[:2], "big")
        found.append(entries[2 : 2 + length])
        entries = entries[2 + length :]
    assert b"".join(map(leaf_hash, found)) == hashes
    assert len(found) == checkpoint.size
    assert full_root([hashlib.sha256(b"\0" + found[0]).digest()]) == hashes[:32]
