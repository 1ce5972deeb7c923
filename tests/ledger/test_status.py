"""`blotter ledger status` on a running and a stopped service, and the name that keys are made for."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from tests.conftest import ALICE, Database
from tests.ledger.test_appending import submit, trading
from tests.ledger.test_audit_calls import signing, traded
from tests.ledger.test_checkpoints import ORIGIN, published, until
from tests.ledger.test_commands import run


def environment(database: Database, folder: Path) -> dict[str, str]:
    """The settings of the command."""
    return {
        "BLOTTER_DATABASE_URL": database.url,
        "BLOTTER_LEDGER_ORIGIN": ORIGIN,
        "BLOTTER_LEDGER_KEYS": str(folder / "keys"),
        "BLOTTER_CHECKPOINT_DIRECTORY": str(folder / "outside"),
    }


async def test_a_healthy_ledger_and_the_same_when_the_service_is_stopped(database: Database, tmp_path: Path) -> None:
    made = environment(database, tmp_path)
    async with signing(database, tmp_path) as (blotter, verifier, outside):
        await traded(blotter, outside)
        status = await asyncio.to_thread(run, "ledger", "status", **made)
        async with asyncio.timeout(20):  # until the last entry is signed
            while status.exit_code:
                status = await asyncio.to_thread(run, "ledger", "status", **made)
        assert f"ledger        {ORIGIN}" in status.output
        assert "0 events have no position\n" in status.output
        assert f"{ORIGIN}+{verifier.key_id.hex()}" in status.output
        assert "sequencer     blotter_sequencer at " in status.output
        assert "cosignatures  none" in status.output
        assert status.output.endswith("The ledger is healthy.\n")
    with psycopg.connect(database.conninfo("blotter_sequencer")) as sequencer:
        sequencer.execute(
            "INSERT INTO ledger_cosignatures (size, witness, signature) "
            "SELECT max(size), 'witness.example', '' FROM ledger_checkpoints"
        )
    with trading(database) as trader:
        submit(trader, ALICE, "later")
        trader.commit()
    status = await asyncio.to_thread(run, "ledger", "status", **made)
    assert status.exit_code == 1
    assert "1 events have no position, the first for 0:00:" in status.output
    assert "cosignatures  witness.example" in status.output
    assert "No process holds the sequencers' lock" in status.output
    assert "No checkpoint is signed" not in status.output


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        ("UPDATE ledger_head SET incarnation = 'elsewhere'", "This database is a copy"),
        ("UPDATE ledger_entries SET leaf = 'false' WHERE position = 1", "are not those that were signed"),
        ("DELETE FROM ledger_entries WHERE position = 1", "ReconcileOrders reports what differs."),
        ("UPDATE ledger_checkpoints SET note = replace(note, '2', '3')", "signature"),
    ],
)
async def test_a_fault_that_blocks_the_ledger_is_in_its_status(
    database: Database, tmp_path: Path, harm: str, sentence: str
) -> None:
    async with signing(database, tmp_path) as (blotter, _, outside):
        await traded(blotter, outside)
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(harm.encode())
    status = await asyncio.to_thread(run, "ledger", "status", **environment(database, tmp_path))
    assert status.exit_code == 1
    assert sentence in status.output, status.output


async def test_settings_that_do_not_fit_the_ledger_are_named(database: Database, tmp_path: Path) -> None:
    async with signing(database, tmp_path) as (blotter, _, outside):
        await blotter.submit()
        await until(published(outside, 2))
    right = environment(database, tmp_path)
    for wrong, sentence in (
        ({"BLOTTER_LEDGER_ORIGIN": "another.example"}, "(BLOTTER_LEDGER_ORIGIN)"),
        ({"BLOTTER_LEDGER_KEYS": str(tmp_path / "none")}, "blotter keys generate"),
    ):
        status = await asyncio.to_thread(run, "ledger", "status", **right | wrong)
        assert status.exit_code == 1
        assert sentence in status.output, status.output
    wrong = right | {"BLOTTER_DATABASE_URL": "postgresql://127.0.0.1:1/none"}
    status = await asyncio.to_thread(run, "ledger", "status", **wrong)
    assert (status.exit_code, "Traceback" in status.output) == (1, False)


def test_keys_are_made_for_one_name(tmp_path: Path) -> None:
    folder = {"BLOTTER_LEDGER_KEYS": str(tmp_path / "keys")}
    made = run("keys", "generate", **folder)
    assert made.exit_code == 0
    assert "carry the name localhost/blotter (BLOTTER_LEDGER_ORIGIN)" in made.stderr
    assert "LEDGER_ORIGIN" not in made.stdout
    other = run("keys", "generate", BLOTTER_LEDGER_ORIGIN="desk.example/blotter", **folder)
    assert other.exit_code == 1
    assert "is named localhost/blotter, and BLOTTER_LEDGER_ORIGIN is desk.example/blotter" in other.stderr
    assert len(list((tmp_path / "keys").iterdir())) == 1
