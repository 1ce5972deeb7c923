"""The command line of the ledger: keys, export, verify, receipts, tiles, as an auditor uses it."""

import asyncio
import hashlib
import json
import os
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from click.testing import CliRunner, Result

from blotter.audit.v1 import audit_service_pb2 as audit_pb
from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.hashing import full_root, leaf_hash
from blotter_verifier.notes import Signer, parse_note, sign
from service.cli.main import main
from service.embedded import Cluster
from service.files import replacing
from service.ledger.tiles import all_tiles
from service.repositories.append import LedgerWriter
from tests.conftest import Database, created
from tests.ledger.test_audit_calls import signing, traded
from tests.ledger.test_checkpoints import ORIGIN, published, until
from tests.serving import COMPLIANCE


def run(*arguments: object, **environment: str) -> Result:
    """Run a command."""
    return CliRunner(env=environment).invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
async def exported(database: Database, tmp_path: Path) -> dict[str, Any]:
    """A bundle, an older checkpoint, a receipt and the key; the service is stopped."""
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
    assert "The tree extends that of the older checkpoint, of" in verified.output
    receipt = run("audit", "check-receipt", exported["receipt"], "--key", exported["key"])
    assert receipt.exit_code == 0, receipt.output
    assert json.loads(receipt.output.splitlines()[-1])["id"] == exported["log_id"]


@pytest.mark.parametrize("command", ["verify", "check-receipt"])
def test_the_usage_shows_the_command_that_was_called(command: str) -> None:
    assert run("audit", command, "--help").output.startswith(f"usage: blotter audit {command} ")


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
            assert result.exit_code in {1, 3, 4}, (name, place, result.output)
            assert "VERIFIED" not in result.output
        file.write_bytes(whole[:-1])
        assert run("audit", command, file, "--key", exported["key"]).exit_code in {1, 3}


async def test_another_key_is_not_trusted(exported: dict[str, Any], tmp_path: Path) -> None:
    made = run("keys", "generate", BLOTTER_LEDGER_KEYS=str(tmp_path / "others"), BLOTTER_LEDGER_ORIGIN=ORIGIN)
    assert made.exit_code == 0, made.output
    shown = run("keys", "show", BLOTTER_LEDGER_KEYS=str(tmp_path / "others"))
    assert shown.stdout == made.stdout
    result = run("audit", "verify", exported["bundle"], "--key", made.stdout.strip())
    assert result.exit_code == 4
    assert "by none of the given keys of the log" in result.output
    result = run("audit", "check-receipt", exported["receipt"], "--key", made.stdout.strip())
    assert result.exit_code == 4
    (tmp_path / "both").write_text(f"{made.stdout.strip()}\n{exported['key']}\n")
    assert run("audit", "verify", exported["bundle"], "--key", tmp_path / "both").exit_code == 0


def edited(exported: dict[str, Any], old: bytes, new: bytes) -> Path:
    """A copy of the bundle, with one change."""
    whole = exported["bundle"].read_bytes()
    assert whole.count(old) >= 1
    file: Path = exported["bundle"].with_name("edited")
    file.write_bytes(whole.replace(old, new, 1))
    return file


async def test_a_leaf_that_is_gone_or_there_twice_is_false_and_no_file_crashes_the_verifier(
    exported: dict[str, Any],
) -> None:
    lines = exported["bundle"].read_bytes().split(b"\n")
    leaf = next(line for line in lines if b'"type":"execution_log"' in line)  # the KEYS entry may be any
    sequence = json.loads(leaf)["sequence"].encode()
    huge = leaf.replace(b'"sequence":"' + sequence, b'"sequence":"' + b"1" * 5000)
    escapes = leaf.replace(b'"trader_id":"', b'"trader_id":"\\u001b[2J\\u001b[32mVERIFIED.\\u001b[8m')
    assert leaf not in {huge, escapes}
    for file in (
        edited(exported, leaf + b"\n", b""),
        edited(exported, leaf + b"\n", leaf + b"\n" + leaf + b"\n"),
        edited(exported, leaf, huge),
        edited(exported, leaf, escapes),
        edited(exported, b"\nsize ", b"\nsize 1"),
        edited(exported, b"\nfrom 0\n", b"\nfrom " + b"1" * 5000 + b"\n"),
    ):
        result = run("audit", "verify", file, "--key", exported["key"])
        assert result.exit_code == 1, result.output
        assert result.output.startswith("FALSE.")
        assert "\x1b" not in result.output
    padded = exported["bundle"].with_name("padded")
    signature = "\u2014 other AAAAAAAAAAA=\n".encode()
    padded.write_bytes(exported["bundle"].read_bytes() + signature * (1_000_000 // len(signature)) + leaf * 1000)
    result = run("audit", "verify", padded, "--key", exported["key"])
    assert result.exit_code == 1, result.output


async def test_a_checkpoint_that_cannot_be_compared_makes_a_bundle_undecided(
    exported: dict[str, Any], tmp_path: Path
) -> None:
    """A bundle that was exported before the checkpoint was signed is undecided, not false."""
    newer = tmp_path / "newer"
    bundle = exported["bundle"].read_bytes()
    newer.write_bytes(bundle[bundle.rindex(b"\n\n", 0, bundle.rindex(b"\n\n")) + 2 :])
    other = Signer.generate(ORIGIN)
    (tmp_path / "others").write_text(str(sign(Checkpoint(ORIGIN, 10**6, b"x" * 32).text, [other])))
    keys = ("--key", exported["key"], "--key", str(other.verifier))
    assert run("audit", "verify", exported["bundle"], *keys, "--since", newer).exit_code == 0
    result = run("audit", "verify", exported["bundle"], *keys, "--since", tmp_path / "others")
    assert result.exit_code == 4, result.output
    assert "export it again" in result.output
    result = run("audit", "verify", exported["bundle"], *keys, "--since", exported["bundle"])
    assert result.exit_code == 3
    assert str(exported["bundle"]) in result.output


async def test_verify_states_what_a_bundle_of_a_range_does_not_show(database: Database, tmp_path: Path) -> None:
    async with signing(database, tmp_path) as (blotter, verifier, outside):
        await traded(blotter, outside)
        target = f"127.0.0.1:{blotter.port}"
        for start, end, said in ((2, 4, "other entries are not in this file"), (3, 3, "This file has no entries")):
            file = tmp_path / f"{start}"
            arguments = ("audit", "export", file, "--target", target, "--from", start, "--to", end)
            assert (await asyncio.to_thread(run, *arguments)).exit_code == 0
            result = run("audit", "verify", file, "--key", str(verifier))
            assert result.exit_code == 0, result.output
            assert said in result.output
            assert ("none among them is missing" in result.output) == (start != end)


async def test_an_export_writes_to_a_pipe_a_link_and_the_standard_output(database: Database, tmp_path: Path) -> None:
    async with signing(database, tmp_path) as (blotter, _, outside):
        await traded(blotter, outside)
        target = f"127.0.0.1:{blotter.port}"
        pipe, link, real = tmp_path / "pipe", tmp_path / "link", tmp_path / "real"
        os.mkfifo(pipe)
        link.symlink_to(real)
        reading = asyncio.create_task(asyncio.to_thread(pipe.read_bytes))
        for file in (pipe, link):
            done = await asyncio.to_thread(run, "audit", "export", file, "--target", target)
            assert done.exit_code == 0, done.output
        assert pipe.is_fifo()
        assert link.is_symlink()
        assert await reading == real.read_bytes()
        printed = await asyncio.to_thread(run, "audit", "export", "-", "--target", target)
        assert printed.stdout_bytes == real.read_bytes()
        for command in (
            ("export", tmp_path / "no" / "file"),
            ("receipt", UUID(int=1), "--output", tmp_path / "no" / "f"),
        ):
            result = await asyncio.to_thread(run, "audit", *command, "--target", target)
            assert result.exit_code == 3, result.output


@pytest.mark.parametrize(
    "command", [["ledger", "status"], ["ledger", "rebaseline", "--yes"], ["ledger", "tiles", "out"]]
)
def test_a_database_without_a_ledger_is_reported(logins: Cluster, tmp_path: Path, command: list[str]) -> None:
    with created(logins, "blotter_bare") as bare:
        result = run(*command, BLOTTER_DATABASE_URL=bare.url)
    assert result.exit_code == 1
    assert "run blotter migrate upgrade" in result.output


def test_an_export_keeps_its_permissions(tmp_path: Path) -> None:
    """It holds the orders of all traders."""
    file, new = tmp_path / "file", tmp_path / "new"
    file.touch(0o640)
    umask = os.umask(0o077)
    try:
        for target in (file, new):
            with replacing(target) as writing:
                writing.write(b"x")
    finally:
        os.umask(umask)
    assert [target.stat().st_mode & 0o777 for target in (file, new)] == [0o640, 0o600]


def test_mistakes_are_reported_in_one_sentence(tmp_path: Path) -> None:
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
    environment = {"BLOTTER_DATABASE_URL": database.url}
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
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute("UPDATE ledger_entries SET leaf = 'false' WHERE position = 2")
    done = await asyncio.to_thread(run, "ledger", "tiles", tmp_path / "others", **environment)
    assert done.exit_code == 1
    assert "The entries are not those that the checkpoint of" in done.output
    done = await asyncio.to_thread(run, "ledger", "tiles", "/dev/null/folder", **environment)
    assert (done.exit_code, "Traceback" in done.output) == (1, False), done.output
    done = await asyncio.to_thread(run, "ledger", "tiles", tmp_path / "x", BLOTTER_HOME=str(tmp_path / "nowhere"))
    assert done.exit_code == 1
    assert "There is no ledger in" in done.output
    assert not (tmp_path / "nowhere").exists()


async def test_a_rebaseline_by_hand(database: Database) -> None:
    environment = {"BLOTTER_DATABASE_URL": database.url}
    async with LedgerWriter.connected(database.conninfo("blotter_sequencer"), None) as writer:
        await writer.append(await writer.edge(), 1)
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        superuser.execute("UPDATE ledger_head SET incarnation = 'elsewhere'")
    for said, status in (("The ledger continues in this database.", 0), ("This database is not a copy", 1)):
        done = await asyncio.to_thread(run, "ledger", "rebaseline", "--yes", **environment)
        assert (done.exit_code, said in done.output) == (status, True), done.output


async def test_keys_that_have_never_signed_a_ledger_sign_it_only_after_keys_replace(
    database: Database, tmp_path: Path
) -> None:
    """The folder of another ledger may be mounted by mistake, since both have the same default name."""
    async with signing(database, tmp_path) as (blotter, _, outside):
        await blotter.submit()
        await until(published(outside, 2))
    environment = {
        "BLOTTER_DATABASE_URL": database.url,
        "BLOTTER_LEDGER_KEYS": str(tmp_path / "others"),
        "BLOTTER_LEDGER_ORIGIN": ORIGIN,
    }
    made = run("keys", "generate", **environment)
    assert made.exit_code == 0, made.output
    found = await asyncio.to_thread(run, "ledger", "status", **environment)
    assert "holds none of the keys that sign this ledger" in found.output
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        keys = "SELECT leaf FROM ledger_entries WHERE kind = 'KEYS' ORDER BY position DESC LIMIT 1"
        assert made.stdout.strip() not in bytes(superuser.execute(keys).fetchall()[0][0]).decode()
        done = await asyncio.to_thread(run, "keys", "replace", "--yes", **environment)
        assert done.exit_code == 0, done.output
        assert json.loads(superuser.execute(keys).fetchall()[0][0])["keys"] == [made.stdout.strip()]
