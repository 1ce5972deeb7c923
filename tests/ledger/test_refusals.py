"""Each reason not to sign, alone: everything else about the tree and the checkpoint is valid."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.notes import Signer, parse_note, sign
from service.ledger.edge import Edge
from service.repositories.append import LedgerWriter
from service.sequencing.checkpoints import Checkpoints, RefusedToSign
from service.sequencing.keys import KeyFolder
from service.sequencing.sinks import DirectorySink
from tests.conftest import ALICE, Database
from tests.ledger.test_appending import all_of, submit, trading

ORIGIN = "log.example/blotter"


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    """A folder with one key."""
    folder = KeyFolder(tmp_path / "keys")
    folder.generate(ORIGIN)
    return folder


async def grow(database: Database, writer: LedgerWriter, tree: Edge, count: int = 1) -> None:
    """Append so many events."""
    with trading(database) as trader:
        for number in range(count):
            submit(trader, ALICE, f"{tree.size}-{number}")
        trader.commit()
    assert await all_of(writer, tree) == count


async def signed(database: Database, writer: LedgerWriter, keys: KeyFolder, count: int = 1) -> Edge:
    """A tree of so many events and the leaf that names the keys, signed by a sequencer that has ended."""
    tree = await writer.edge()
    await grow(database, writer, tree, count)
    before = Checkpoints(ORIGIN, keys, None)
    assert await before.begin(writer, tree) is None
    note = await before.sign(writer, tree)
    assert note
    assert Checkpoint.parse(note.text).size == tree.size == count + 1
    return tree


def alter(database: Database, *statements: str | sql.Composed) -> None:
    """Run statements as a superuser without triggers."""
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        superuser.execute("SET session_replication_role = replica")
        for statement in statements:
            superuser.execute(statement.encode() if isinstance(statement, str) else statement)


ANOTHER_LEAF = "UPDATE ledger_entries SET leaf = 'false' WHERE position = 0"


async def test_a_true_checkpoint_signed_by_an_unknown_key_is_refused_wherever_it_is(
    database: Database, writer: LedgerWriter, keys: KeyFolder, tmp_path: Path
) -> None:
    tree = await signed(database, writer, keys)
    stranger = [Signer.generate(ORIGIN)]
    forged = sign(Checkpoint(ORIGIN, tree.size, tree.root()).text, stranger)
    outside = DirectorySink(tmp_path / "outside")
    outside.deliver(forged)
    with pytest.raises(RefusedToSign, match="signed by none of this ledger's keys"):
        await Checkpoints(ORIGIN, keys, outside).begin(writer, tree)
    assert await Checkpoints(ORIGIN, keys, None).begin(writer, tree)
    alter(database, sql.SQL("UPDATE ledger_checkpoints SET note = {}").format(str(forged)))
    with pytest.raises(RefusedToSign, match="signed by none of this ledger's keys"):
        await Checkpoints(ORIGIN, keys, None).begin(writer, tree)


async def test_a_checkpoint_of_another_origin_is_refused_though_this_ledger_named_its_key(
    database: Database, writer: LedgerWriter, keys: KeyFolder, tmp_path: Path
) -> None:
    """BLOTTER_LEDGER_ORIGIN was changed, and keys of the new name were made."""
    tree = await signed(database, writer, keys)
    renamed = KeyFolder(tmp_path / "renamed")
    renamed.generate("log.example/renamed")
    with pytest.raises(
        RefusedToSign, match=f"The newest checkpoint is of {ORIGIN}, this ledger is log.example/renamed"
    ):
        await Checkpoints("log.example/renamed", renamed, None).begin(writer, tree)


async def test_a_tree_smaller_than_the_one_that_was_signed_is_refused(
    database: Database, writer: LedgerWriter, keys: KeyFolder, tmp_path: Path
) -> None:
    tree = await signed(database, writer, keys)
    outside = DirectorySink(tmp_path / "outside")
    newest = await writer.newest_checkpoint()
    assert newest
    outside.deliver(parse_note(newest.note))
    alter(
        database,
        "DELETE FROM ledger_checkpoints",
        "DELETE FROM ledger_entries WHERE position = 1",
        "UPDATE ledger_head SET size = 1",
    )
    tree = await writer.edge()
    assert tree.size == 1
    with pytest.raises(RefusedToSign, match="A tree of 2 entries was signed, this database has fewer"):
        await Checkpoints(ORIGIN, keys, outside).begin(writer, tree)


@pytest.mark.parametrize("more", [0, 1])
async def test_a_tree_of_other_entries_than_those_that_were_signed_is_refused(
    database: Database, writer: LedgerWriter, keys: KeyFolder, more: int
) -> None:
    """Whether or not entries were appended since."""
    await grow(database, writer, await signed(database, writer, keys), more)
    alter(database, ANOTHER_LEAF)
    with pytest.raises(RefusedToSign, match="The first 2 entries are not those that were signed"):
        await Checkpoints(ORIGIN, keys, None).begin(writer, await writer.edge())


@pytest.mark.parametrize("before", [0, 1], ids=["first checkpoint", "later checkpoint"])
async def test_an_entry_that_was_changed_since_it_was_appended_is_not_signed(
    database: Database, writer: LedgerWriter, keys: KeyFolder, before: int
) -> None:
    tree = await signed(database, writer, keys) if before else await writer.edge()
    checkpoints = Checkpoints(ORIGIN, keys, None)
    await checkpoints.begin(writer, tree)
    await grow(database, writer, tree)
    alter(database, ANOTHER_LEAF)
    with pytest.raises(RefusedToSign, match="The tree in the database differs from the tree in memory"):
        await checkpoints.sign(writer, tree)


async def test_a_full_tile_that_was_changed_under_its_root_is_not_signed(
    database: Database, writer: LedgerWriter, keys: KeyFolder
) -> None:
    """The right edge equals that in memory; only the proof from the previous checkpoint reads the tile's hashes."""
    tree = await signed(database, writer, keys, count=99)
    checkpoints = Checkpoints(ORIGIN, keys, None)
    await checkpoints.begin(writer, tree)
    await grow(database, writer, tree, 200)
    alter(database, "UPDATE ledger_tiles SET hashes = set_byte(hashes, 0, 255 - get_byte(hashes, 0))")
    with pytest.raises(RefusedToSign, match="The tree does not continue the one of 100 entries"):
        await checkpoints.sign(writer, tree)
