"""Steps that take less than there is lose nothing, and raw connections cannot break the ledger's own rules."""

import random
from contextlib import ExitStack
from uuid import UUID

import psycopg
import pytest

from service.ledger.edge import Edge
from service.repositories.append import LedgerWriter
from tests.conftest import ALICE, Database
from tests.ledger.test_appending import all_of, entries, submit, trading

ENTRY = "INSERT INTO ledger_entries (position, kind, trader_id, sequence, leaf)"
TWO_ENTRIES = f"{ENTRY} VALUES (2, 'EXECUTION_LOG', '{ALICE}', 3, ''), (3, 'EXECUTION_LOG', '{ALICE}', 4, '')"
TRADERS = [UUID(int=number) for number in range(1, 9)]


def register(database: Database) -> None:
    """Register the traders."""
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        for trader_id in TRADERS:
            superuser.execute("INSERT INTO traders (id, name) VALUES (%s, %s)", [trader_id, f"T {trader_id.int}"])


def complete(database: Database) -> None:
    """Check that each committed log has one position, in the order of its trader, without a gap."""
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        logs = set(superuser.execute("SELECT trader_id, sequence FROM execution_logs").fetchall())
    found = entries(database)
    assert [position for position, _, _ in found] == list(range(len(found)))
    assert len(found) == len(logs)
    assert {entry[1:] for entry in found} == logs
    for trader_id in TRADERS:
        sequences = [sequence for _, trader, sequence in found if trader == trader_id]
        assert sequences == list(range(1, len(sequences) + 1))


async def drain(writer: LedgerWriter, tree: Edge, most: int) -> None:
    """Append in small steps until there is nothing more: a step that only moves the hints on appends nothing."""
    nothing = 0
    while nothing < 2:
        appended = await writer.append(tree, most)
        assert appended <= most
        nothing = 0 if appended else nothing + 1


@pytest.mark.parametrize("first", [False, True])
async def test_one_transaction_of_more_traders_than_a_step_takes(
    database: Database, writer: LedgerWriter, *, first: bool
) -> None:
    register(database)
    tree = await writer.edge()
    if not first:
        assert await writer.append(tree, 2) == 0
    with trading(database) as trader:
        for number in range(3):
            for trader_id in TRADERS:
                submit(trader, trader_id, str(number))
        trader.commit()
        await drain(writer, tree, 2)
        complete(database)
        for trader_id in TRADERS:  # many transactions: the step ends before one of them
            submit(trader, trader_id, "later")
            trader.commit()
        await drain(writer, tree, 3)
    complete(database)


@pytest.mark.parametrize("seed", range(4))
async def test_transactions_that_begin_and_end_in_any_order(
    database: Database, writer: LedgerWriter, seed: int
) -> None:
    """Each trader's are written by one connection; they are open over many steps, which take one to three events."""
    register(database)
    chance = random.Random(seed)
    tree = await writer.edge()
    with ExitStack() as stack:
        desks = [stack.enter_context(trading(database)) for _ in range(4)]
        for number in range(120):
            desk = chance.randrange(4)
            what = chance.random()
            if what < 0.5:
                submit(desks[desk], TRADERS[2 * desk + chance.randrange(2)], str(number))
            elif what < 0.7:
                desks[desk].commit()
            elif what < 0.75:
                desks[desk].rollback()
            else:
                most = chance.randint(1, 3)
                assert await writer.append(tree, most) <= most
        for desk in chance.sample(range(4), 4):
            desks[desk].commit()
            await all_of(writer, tree, most=chance.randint(1, 3))
    await drain(writer, tree, 2)
    complete(database)
    assert (await writer.edge()).root() == tree.root()


@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        ("INSERT INTO ledger_entries (position, kind, leaf) VALUES (5, 'KEYS', '{}')", "without_gap"),
        ("INSERT INTO ledger_entries (position, kind, leaf) VALUES (-1, 'KEYS', '{\"keys\":[\"k\"]}')", ""),
        (f"{ENTRY} VALUES (2, 'EXECUTION_LOG', '{ALICE}', 9, '')", "record_logs"),
        (f"{ENTRY} VALUES (2, 'EXECUTION_LOG', '{ALICE}', 4, '')", "follow_sequences"),
        ("UPDATE ledger_head SET size = size + 1", "counts_the_entries"),
        ("UPDATE ledger_head SET size = size - 1", "counts_the_entries"),
        ("UPDATE ledger_head SET size = 1000000000000", "counts_the_entries"),
        (f"{TWO_ENTRIES}; UPDATE ledger_head SET size = 3", "counts_the_entries"),
        ("INSERT INTO ledger_checkpoints (size, root_hash, note) VALUES (3, sha256(''), '')", "cover_entries"),
        ("INSERT INTO ledger_checkpoints (size, root_hash, note) VALUES (2, 'short', '')", "root_hash"),
        ("INSERT INTO ledger_tiles VALUES (8, 0, sha256(''), sha256(''))", "ck_ledger_tiles"),
        ("INSERT INTO ledger_tiles VALUES (-1, 0, repeat('x', 8192)::bytea, sha256(''))", "tiles_level"),
        ("INSERT INTO ledger_tiles VALUES (8, 0, repeat('x', 8192)::bytea, sha256(''))", "tiles_level"),
        ("INSERT INTO ledger_tiles VALUES (0, -1, repeat('x', 8192)::bytea, sha256(''))", "tile_index"),
        ("INSERT INTO ledger_tiles VALUES (0, 0, repeat('x', 8191)::bytea, sha256(''))", "tiles_hashes"),
        ("INSERT INTO ledger_tiles VALUES (0, 0, repeat('x', 8193)::bytea, sha256(''))", "tiles_hashes"),
        ("INSERT INTO ledger_tiles VALUES (0, 0, repeat('x', 8192)::bytea, 'short')", "tiles_root"),
    ],
)  # fmt: skip
async def test_what_the_sequencers_login_may_not_write(
    database: Database, writer: LedgerWriter, statement: str, refusal: str
) -> None:
    with trading(database) as trader:
        for number in range(2):
            submit(trader, ALICE, str(number))
        trader.commit()
        await all_of(writer, await writer.edge())
        for number in range(2, 4):
            submit(trader, ALICE, str(number))
        trader.commit()
    with (
        psycopg.connect(database.conninfo("blotter_sequencer")) as sequencer,
        pytest.raises(psycopg.errors.CheckViolation) as refused,
    ):
        sequencer.execute(statement.encode())
    assert refusal in str(refused.value.diag.constraint_name)


@pytest.mark.parametrize("statement", ["DELETE FROM ledger_head", "TRUNCATE ledger_head"])
async def test_the_head_stays_whoever_asks(database: Database, writer: LedgerWriter, statement: str) -> None:
    await writer.edge()
    with psycopg.connect(database.conninfo("postgres")) as superuser, pytest.raises(psycopg.errors.CheckViolation):
        superuser.execute(statement.encode())
