"""The first checkpoint of a ledger, which must cover the leaf that names the keys it is signed with."""

from pathlib import Path

import pytest

from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.notes import Signer
from service.repositories.append import LedgerWriter
from service.sequencing.checkpoints import Checkpoints
from service.sequencing.keys import KeyFolder
from tests.conftest import ALICE, Database
from tests.ledger.test_appending import all_of, submit, trading

ORIGIN = "log.example"


async def test_an_entry_that_comes_while_the_keys_are_read_is_not_signed_before_the_keys_are_named(
    database: Database, writer: LedgerWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = KeyFolder(tmp_path / "keys")
    keys.generate(ORIGIN)
    checkpoints = Checkpoints(ORIGIN, keys, None)
    tree = await writer.edge()
    check = checkpoints.check_keys

    async def check_while_the_tree_grows(writer: LedgerWriter, *, replace: bool = False) -> list[Signer]:
        signers = await check(writer, replace=replace)
        if not tree.size:
            with trading(database) as trader:
                submit(trader, ALICE, "first")
            assert await all_of(writer, tree) == 1
        return signers

    monkeypatch.setattr(checkpoints, "check_keys", check_while_the_tree_grows)
    notes = [note for note in [await checkpoints.sign(writer, tree) for _ in range(2)] if note]
    named = await writer.notes("KEYS")
    assert [Checkpoint.parse(note.text).size for note in notes] == [2]
    assert len(named) == 1
