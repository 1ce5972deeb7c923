"""Checkpoints: signed while the ledger grows, published, and refused if they would contradict older ones."""

import asyncio
import io
import json
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiohttp import web

from blotter.audit.v1 import audit_service_pb2, ledger_pb2
from blotter_verifier.bundle import verify
from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.notes import Note, Signer, Verifier, parse_note, sign
from service.repositories.append import LedgerWriter
from service.sequencing.checkpoints import Checkpoints, RefusedToSign
from service.sequencing.condition import Condition
from service.sequencing.keys import KeyFolder, NoKey
from service.sequencing.sinks import DirectorySink
from tests.conftest import ALICE, BOB, Database
from tests.ledger.test_appending import all_of, submit, trading
from tests.ledger.witness import SmallWitness
from tests.serving import COMPLIANCE, serving

ORIGIN = "log.example/blotter"
QUICK = {"sequencer": True, "ledger_origin": ORIGIN, "checkpoint_seconds": 0.05, "sequencer_poll_ms": 5}


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    """A folder with one key."""
    folder = KeyFolder(tmp_path / "keys")
    folder.generate(ORIGIN)
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """The checkpoint directory."""
    return tmp_path / "outside"


async def until(found: Callable[[], Any], seconds: float = 10) -> Any:
    """Wait until the condition returns a value."""
    for _ in range(int(seconds / 0.01)):
        if value := found():
            return value
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come")


def published(outside: Path, size: int, *by: Verifier) -> Callable[[], Note | None]:
    """The published checkpoint, once it has that size and those signatures."""

    def look() -> Note | None:
        file = outside / "checkpoint"
        note = parse_note(file.read_text()) if file.exists() else None
        good = note and Checkpoint.parse(note.text).size >= size and note.signed_by(by) == list(by)
        return note if good else None

    return look


async def test_the_ledger_is_signed_while_it_grows_and_continues_after_a_restart(
    database: Database, keys: KeyFolder, outside: Path
) -> None:
    settings = QUICK | {"ledger_keys": keys.folder, "checkpoint_directory": outside}
    [signer] = keys.signers()
    for size in (3, 5):  # the first leaf names the key
        async with serving(database, **settings) as blotter:
            await blotter.submit(ALICE)
            await blotter.submit(BOB)
            note = await until(published(outside, size))
            assert note.signed_by([signer.verifier]) == [signer.verifier]
            assert Checkpoint.parse(note.text).size == size
    assert list((outside / "history").iterdir())


async def test_a_witness_cosigns_and_is_asked_from_the_size_that_it_knows(
    database: Database, keys: KeyFolder, outside: Path
) -> None:
    witness = SmallWitness(keys.signers()[0].verifier)
    async with witness.serving():
        witnesses = f"{witness.url} {witness.signer.verifier}"
        settings = QUICK | {"ledger_keys": keys.folder, "checkpoint_directory": outside, "witnesses": witnesses}
        for size in (2, 3, 4):
            async with serving(database, **settings) as blotter:
                await blotter.submit(ALICE)
                await until(published(outside, size, witness.signer.verifier))
    assert set(witness.answers) == {200, 409}
    with psycopg.connect(database.conninfo("blotter_compliance")) as compliance:
        [(count,)] = compliance.execute("SELECT count(*) FROM ledger_cosignatures").fetchall()
    assert count >= 3


async def test_a_checkpoint_is_returned_with_its_cosignatures(
    database: Database, keys: KeyFolder, outside: Path
) -> None:
    """By GetCheckpoint and in a bundle; a witness that was unreachable cosigns the last one though none follows."""
    witness = SmallWitness(keys.signers()[0].verifier)
    witness.away = True
    wanted = [witness.signer.verifier]
    async with witness.serving():
        witnesses = f"{witness.url} {witness.signer.verifier}"
        settings = QUICK | {"ledger_keys": keys.folder, "checkpoint_directory": outside, "witnesses": witnesses}
        async with serving(database, **settings) as blotter:
            await blotter.submit(ALICE)
            note = await until(published(outside, 2))
            assert note.signed_by(wanted) == []
            await until(lambda: 503 in witness.answers)
            witness.away = False
        async with serving(database, **settings) as blotter:
            await until(published(outside, 2, *wanted))
            answer = await blotter.audit.GetCheckpoint(ledger_pb2.GetCheckpointRequest(), metadata=COMPLIANCE)
            assert parse_note(answer.checkpoint.note).signed_by(wanted) == wanted
            bundle = b"".join(
                [
                    part.data
                    async for part in blotter.audit.ExportExecutionLogs(
                        ledger_pb2.ExportExecutionLogsRequest(), metadata=COMPLIANCE
                    )
                ]
            )
            log = keys.signers()[0].verifier
            assert verify(io.BytesIO(bundle), [log, *wanted], None).verified
            nobody = SmallWitness(log, b"\x09" * 32).signer.verifier
            for trusted in (wanted, [log, nobody]):
                verdict = verify(io.BytesIO(bundle), trusted, None)
                assert (verdict.verified, verdict.faults) == (False, [])


FALSE = SmallWitness(Signer.generate(ORIGIN).verifier).signer.sign("another text\n", time=1)
FAULTS: dict[str, Callable[[web.Request], Any]] = {
    "hangs": lambda _: asyncio.sleep(60),
    "large": lambda _: web.Response(text="x" * 10_000_000),
    "redirects": lambda _: web.HTTPTemporaryRedirect("http://127.0.0.1:9/elsewhere"),
    "long size": lambda _: web.Response(status=409, text="9" * 5000),
    "odd size": lambda _: web.Response(status=409, text="\u00b2"),
    "always another size": lambda _: web.Response(status=409, text="1"),
    "nothing": lambda _: web.Response(text=""),
    "bytes": lambda _: web.Response(body=b"\xff\xfe"),
    "another's signature": lambda _: web.Response(text=Signer.generate("other").sign("text\n").line),
    "false signature": lambda _: web.Response(text=FALSE.line),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_faulty_witness_blocks_neither_signing_nor_the_other_sinks(
    database: Database, keys: KeyFolder, outside: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = SmallWitness(keys.signers()[0].verifier), SmallWitness(keys.signers()[0].verifier, b"\x08" * 32)
    bad.fault = FAULTS[fault]
    async with bad.serving(), good.serving():
        witnesses = ", ".join(f"{witness.url} {witness.signer.verifier}" for witness in (bad, good))
        settings = QUICK | {"ledger_keys": keys.folder, "checkpoint_directory": outside, "witnesses": witnesses}
        async with serving(database, **settings) as blotter:
            for size in (2, 3):
                await blotter.submit(ALICE)
                await until(published(outside, size))
            await until(published(outside, 3, good.signer.verifier))
            assert bad.signer.verifier.name not in (outside / "checkpoint").read_text()
            if fault != "hangs":
                await until(lambda: [record for record in caplog.records if record.name == "blotter.checkpoints"])
    reported = [record for record in caplog.records if record.name == "blotter.checkpoints"]
    assert {record.levelname for record in reported} <= {"WARNING"}
    assert fault != "large" or "the response is too large" in caplog.text


@pytest.mark.parametrize(("status", "text"), [(409, "1000"), (422, "inconsistent")])
async def test_a_tree_that_a_witness_contradicts_is_signed_no_further(
    database: Database,
    keys: KeyFolder,
    outside: Path,
    status: int,
    text: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The ledger grows without signatures: the witness has seen entries that were removed, or other entries."""
    report_failure, refusals = Condition.report_failure, Counter[str]()

    def counted(self: Condition, work: str, sentence: str, **options: Any) -> None:
        refusals[work] += 1
        report_failure(self, work, sentence, **options)

    monkeypatch.setattr(Condition, "report_failure", counted)
    witness = SmallWitness(keys.signers()[0].verifier)
    witness.fault = lambda _: web.Response(status=status, text=text)
    async with witness.serving():
        witnesses = f"{witness.url} {witness.signer.verifier}"
        settings = QUICK | {"ledger_keys": keys.folder, "checkpoint_directory": outside, "witnesses": witnesses}
        async with serving(database, **settings) as blotter:
            await blotter.submit(ALICE)
            await until(lambda: "No checkpoint is signed. The witness" in caplog.text)
            await blotter.submit(ALICE)
            await until(lambda: grown(database) == 3)
            before = refusals["signing"]
            await until(lambda: refusals["signing"] >= before + 2)  # the second of them began at that size
    newest = Checkpoint.parse(parse_note((outside / "checkpoint").read_text()).text)
    assert newest.size == 2


def grown(database: Database) -> int:
    """The number of entries."""
    with psycopg.connect(database.conninfo("blotter_compliance")) as compliance:
        return int(compliance.execute("SELECT size FROM ledger_head").fetchall()[0][0])


async def test_one_process_never_signs_two_trees_of_one_size(database: Database, keys: KeyFolder) -> None:
    """Its database was replaced by an older copy, such as a lagging standby, and there is no checkpoint outside."""
    checkpoints = Checkpoints(ORIGIN, keys, None)
    database.cluster.psql(f"CREATE DATABASE {database.name}_standby TEMPLATE {database.name} OWNER blotter_owner")
    standby = Database(f"{database.name}_standby", database.cluster)
    try:
        for number, home in enumerate((database, standby)):
            with trading(home) as trader:
                submit(trader, ALICE, f"order-{number}")
                trader.commit()
            async with LedgerWriter.connected(home.conninfo("postgres"), None) as writer:
                tree = await writer.edge()
                await all_of(writer, tree)
                if number == 0:
                    await checkpoints.begin(writer, tree)
                    assert await checkpoints.sign(writer, tree)
                else:
                    with pytest.raises(RefusedToSign):
                        await checkpoints.begin(writer, tree)
    finally:
        database.cluster.psql(f"DROP DATABASE {standby.name} WITH (FORCE)")


async def test_an_older_checkpoint_never_replaces_a_newer_one(keys: KeyFolder, outside: Path) -> None:
    sink = DirectorySink(outside)
    for size in (5, 3):
        sink.deliver(sign(Checkpoint(ORIGIN, size, b"x" * 32).text, keys.signers()))
    newest = sink.newest()
    assert newest
    assert Checkpoint.parse(newest.text).size == 5


async def test_a_folder_without_the_right_key_is_reported(
    database: Database, keys: KeyFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for folder, origin in ((tmp_path / "empty", ORIGIN), (keys.folder, "another.example")):
        settings = QUICK | {"ledger_keys": folder, "ledger_origin": origin}
        async with serving(database, **settings) as blotter:
            await blotter.submit(ALICE)
            await until(lambda: "No checkpoint is signed." in caplog.text)
        caplog.clear()


async def test_keys_rotate_with_an_overlap_that_the_ledger_records(
    database: Database, keys: KeyFolder, outside: Path
) -> None:
    [first] = keys.signers()
    async with serving(database, **QUICK, ledger_keys=keys.folder, checkpoint_directory=outside) as blotter:
        await blotter.submit(ALICE)
        await until(published(outside, 2))
        second = keys.generate(ORIGIN)
        await blotter.submit(ALICE)
        note = await until(published(outside, 4))
        assert note.signed_by([first.verifier, second.verifier]) == [first.verifier, second.verifier]
        keys.retire(first.verifier.key_id.hex())
        await blotter.submit(ALICE)
        note = await until(published(outside, 6))
        assert note.signed_by([first.verifier, second.verifier]) == [second.verifier]
    with pytest.raises(NoKey):
        keys.retire(second.verifier.key_id.hex())
    with psycopg.connect(database.conninfo("blotter_compliance")) as compliance:
        kinds = [kind for (kind,) in compliance.execute("SELECT kind FROM ledger_entries ORDER BY position")]
    assert sorted(kinds) == ["EXECUTION_LOG"] * 3 + ["KEYS"] * 3


async def test_a_change_of_keys_is_signed_though_nothing_else_happens(
    database: Database, keys: KeyFolder, outside: Path
) -> None:
    [first] = keys.signers()
    async with serving(database, **QUICK, ledger_keys=keys.folder, checkpoint_directory=outside) as blotter:
        await blotter.submit(ALICE)
        await until(published(outside, 2))
        second = keys.generate(ORIGIN)
        await until(published(outside, 3, second.verifier))
        keys.retire(first.verifier.key_id.hex())
        note = await until(published(outside, 4))
        assert note.signed_by([first.verifier, second.verifier]) == [second.verifier]
    async with serving(database, **QUICK, ledger_keys=keys.folder, checkpoint_directory=outside) as blotter:
        await blotter.submit(ALICE)
        await until(published(outside, 5))


async def test_a_leaf_that_names_no_key_does_not_stop_the_signing(
    database: Database, keys: KeyFolder, outside: Path
) -> None:
    """Such a leaf can be appended under the sequencer's login, and cannot be removed."""
    foreign = KeyFolder(outside.parent / "foreign").generate("evil.example/x")
    with psycopg.connect(database.conninfo("blotter_sequencer")) as sequencer:
        sequencer.execute("INSERT INTO ledger_head (id) VALUES (true)")
        for size, key in enumerate(("evil+deadbeef+AAAA", "", str(foreign.verifier))):
            leaf = json.dumps({"keys": [key], "origin": "evil.example/x"}).encode()
            sequencer.execute("SELECT entry_position FROM append_note_to_ledger(%s, 'KEYS', %s)", [size, leaf])
    [signer] = keys.signers()
    for size in (4, 4):
        async with serving(database, **QUICK, ledger_keys=keys.folder, checkpoint_directory=outside):
            await until(published(outside, size, signer.verifier))
    async with LedgerWriter.connected(database.conninfo("postgres"), None) as writer:
        assert await Checkpoints(ORIGIN, keys, None)._verifiers(writer) == [
            signer.verifier,
            foreign.verifier,
            signer.verifier,
        ]


async def test_an_older_checkpoint_of_a_key_that_was_retired_since_is_accepted(
    database: Database, keys: KeyFolder, outside: Path
) -> None:
    """The file was not written for a while, and the keys changed twice meanwhile."""
    [first] = keys.signers()
    settings = QUICK | {"ledger_keys": keys.folder, "checkpoint_directory": outside}
    async with serving(database, **settings) as blotter:
        await blotter.submit(ALICE)
        await until(published(outside, 2))
        old = (outside / "checkpoint").read_text()
        second = keys.generate(ORIGIN)
        await until(published(outside, 3))
        keys.retire(first.verifier.key_id.hex())
        await until(published(outside, 4))
        third = keys.generate(ORIGIN)
        await until(published(outside, 5))
        keys.retire(second.verifier.key_id.hex())
        await until(published(outside, 6))
    (outside / "checkpoint").write_text(old)
    async with serving(database, **settings) as blotter:
        await blotter.submit(ALICE)
        await until(published(outside, 7, third.verifier))


def forged(_: Verifier) -> str:
    """A checkpoint by an attacker who can write to the folder, and has no key of the ledger."""
    return str(sign(Checkpoint(ORIGIN, 9 * 10**17, b"x" * 32).text, [Signer.generate(ORIGIN)]))


@pytest.mark.parametrize("content", [b"garbage", b"\xff\xfe", b"9" * 5000, forged])
async def test_a_file_that_is_no_checkpoint_of_this_ledger_stops_only_the_signing(
    database: Database,
    keys: KeyFolder,
    outside: Path,
    content: bytes | Callable[[Verifier], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = QUICK | {"ledger_keys": keys.folder, "checkpoint_directory": outside}
    async with serving(database, **settings) as blotter:
        await blotter.submit(ALICE)
        await until(published(outside, 2))
    file = outside / "checkpoint"
    good = file.read_text()
    file.write_bytes(content if isinstance(content, bytes) else content(keys.signers()[0].verifier).encode())
    async with serving(database, **settings) as blotter:
        await until(lambda: "No checkpoint is signed." in caplog.text)
        await blotter.submit(ALICE)
        seen = blotter.audit.StreamExecutionLogs(
            audit_service_pb2.StreamExecutionLogsRequest(follow=True), metadata=COMPLIANCE
        )
        positions: list[int] = []
        while len(positions) < 2:
            message = await asyncio.wait_for(seen.read(), 10)
            positions += [log.position for log in message.logs.execution_logs]
        found = [record.getMessage() for record in caplog.records if "No checkpoint is signed" in record.getMessage()]
        assert len(found) == 1
        file.write_text(good)
        await until(published(outside, 3))


def cut_off(superuser: psycopg.Connection[Any]) -> None:
    """Make an older copy: remove the newest entry and every trace of it."""
    superuser.execute("DELETE FROM ledger_checkpoints")
    superuser.execute("DELETE FROM ledger_entries WHERE position = (SELECT max(position) FROM ledger_entries)")
    superuser.execute(
        "UPDATE ledger_head SET size = size - 1, next_xid = pg_snapshot_xmax(pg_current_snapshot())::text::bigint, "
        "open_xids = '{}'"
    )


def alter(superuser: psycopg.Connection[Any]) -> None:
    """Replace a leaf that was signed."""
    superuser.execute("UPDATE ledger_entries SET leaf = 'false' WHERE position = 1")


@pytest.mark.parametrize("tamper", [cut_off, alter])
async def test_a_tree_that_contradicts_its_checkpoints_is_not_signed(
    database: Database, keys: KeyFolder, outside: Path, tamper: Callable[[Any], None], caplog: pytest.LogCaptureFixture
) -> None:
    settings = QUICK | {"ledger_keys": keys.folder, "checkpoint_directory": outside}
    async with serving(database, **settings) as blotter:
        await blotter.submit(ALICE)
        await until(published(outside, 2))
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        superuser.execute("SET session_replication_role = replica")
        tamper(superuser)
    before = (outside / "checkpoint").read_text()
    with caplog.at_level(logging.ERROR, "blotter"):
        async with serving(database, **settings) as blotter:
            await until(lambda: "No checkpoint is signed." in caplog.text)
    assert (outside / "checkpoint").read_text() == before


def test_a_key_is_readable_only_by_its_owner(keys: KeyFolder) -> None:
    [file] = keys.folder.iterdir()
    assert (file.stat().st_mode & 0o777, keys.folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert Verifier.parse(str(keys.signers()[0].verifier)).name == ORIGIN
    assert "PRIVATE" not in repr(Signer.parse(file.read_text().strip()))
