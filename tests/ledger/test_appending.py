"""Every committed log gets one position, in any order of commits."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest
import rfc8785
from psycopg import Connection

from service.domain.errors import LedgerDamaged
from service.ledger.edge import Edge
from service.repositories.append import ForeignLedger, LedgerMoved, LedgerWriter
from tests.conftest import ALICE, BOB, Database

SUBMIT = (
    "SELECT (recorded).last_sequence FROM submit_order(%s, sha256('x'), 'AAPL', 'BUY', 'LIMIT', 100, 10, NULL, NULL, "
    "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, false, %s, 'r')"
)


def submit(connection: Connection[Any], trader_id: UUID, key: str, actor: str = "a") -> int:
    """Enter an order; return the number of its event."""
    connection.execute("SELECT act_as(%s)", (trader_id,))
    [(sequence,)] = connection.execute(SUBMIT, (key, actor)).fetchall()
    return int(sequence)


@contextmanager
def trading(database: Database) -> Iterator[Connection[Any]]:
    """A connection of the traders' login, without autocommit."""
    with psycopg.connect(database.conninfo("blotter_trader")) as connection:
        yield connection


def entries(database: Database) -> list[tuple[int, UUID | None, int | None]]:
    """All entries: position, trader, sequence; neither of the two for notes of the ledger itself."""
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        return superuser.execute("SELECT position, trader_id, sequence FROM ledger_entries ORDER BY 1").fetchall()


async def all_of(writer: LedgerWriter, tree: Edge, most: int = 1000) -> int:
    """Append until nothing is left."""
    total = 0
    while appended := await writer.append(tree, most):
        total += appended
    return total


async def test_interleaved_slow_and_rolled_back_transactions(database: Database, writer: LedgerWriter) -> None:
    tree = await writer.edge()
    with trading(database) as slow, trading(database) as quick, trading(database) as failed:
        submit(slow, ALICE, "slow")
        submit(failed, BOB, "failed")
        assert await all_of(writer, tree) == 0
        failed.rollback()
        submit(quick, BOB, "quick")
        quick.commit()
        assert await all_of(writer, tree) == 1
        for number in range(300):
            submit(quick, BOB, f"quick-{number}")
            quick.commit()
        assert await all_of(writer, tree) == 300
        slow.commit()
    assert await all_of(writer, tree) == 1
    assert await all_of(writer, tree) == 0
    found = entries(database)
    assert [position for position, _, _ in found] == list(range(302))
    assert [sequence for _, trader_id, sequence in found if trader_id == BOB] == list(range(1, 302))
    assert found[-1] == (301, ALICE, 1)
    assert (await writer.edge()).root() == tree.root()


async def test_a_backlog_is_taken_in_portions(database: Database, writer: LedgerWriter) -> None:
    tree = await writer.edge()
    with trading(database) as trader:
        for number in range(40):
            for trader_id in (ALICE, BOB):
                submit(trader, trader_id, str(number))
            trader.commit()
    assert await all_of(writer, tree, most=7) == 80
    with trading(database) as trader:
        for number in range(40, 80):
            submit(trader, ALICE, str(number))
            if number % 8 == 7:
                trader.commit()
    assert await all_of(writer, tree, most=3) == 40
    with trading(database) as trader:
        for number in range(80, 120):
            submit(trader, BOB, str(number))
        trader.commit()
    assert await all_of(writer, tree, most=3) == 40
    assert len({entry[1:] for entry in entries(database)}) == 160


async def test_a_large_transaction_is_appended_in_portions_and_others_wait_for_no_more_than_one(
    database: Database, writer: LedgerWriter
) -> None:
    tree = await writer.edge()
    assert await writer.append(tree, 100) == 0
    with trading(database) as large, trading(database) as small:
        for number in range(1000):
            submit(large, ALICE, str(number))
        submit(small, BOB, "before")
        small.commit()
        assert await writer.append(tree, 100) == 1
        large.commit()
        submit(small, BOB, "after")
        small.commit()
    assert 0 < await writer.append(tree, 100) <= 100
    assert (BOB, 2) in [entry[1:] for entry in entries(database)]
    while appended := await writer.append(tree, 100):
        assert appended <= 100
    assert len({entry[1:] for entry in entries(database)}) == tree.size == 1002


async def counted(writer: LedgerWriter, tree: Edge, trader: Connection[Any]) -> None:
    """Wait until the server has counted the reads of these connections, which it does once a second."""
    await asyncio.sleep(1.1)
    assert await writer.append(tree, 1) == 0
    trader.execute("SELECT 1")
    trader.commit()


def reads(database: Database) -> dict[str, tuple[int, int]]:
    """For each table: sequential scans, and rows that were read through indexes."""
    with psycopg.connect(database.conninfo("postgres"), autocommit=True) as superuser:
        return {
            table: (scans, rows)
            for table, scans, rows in superuser.execute(
                "SELECT tables.relname, min(seq_scan), sum(idx_tup_read)::bigint FROM pg_stat_user_tables AS tables "
                "JOIN pg_stat_user_indexes USING (relid) GROUP BY 1"
            )
        }


@pytest.mark.parametrize("analysed", [False, True])
async def test_a_step_reads_what_it_appends_however_much_there_is(
    database: Database, writer: LedgerWriter, *, analysed: bool
) -> None:
    """The cost does not depend on the size of the tables or of an open transaction, or on statistics."""
    tree = await writer.edge()
    with psycopg.connect(database.conninfo("postgres"), autocommit=True) as superuser:
        for table in ("execution_logs", "ledger_entries"):
            superuser.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)".encode())
        assert await writer.append(tree, 1000) == 0  # plans are made while the tables are empty
        with trading(database) as trader, trading(database) as still_open:
            for number in range(500):
                submit(trader, ALICE, str(number))
                trader.commit()
            await all_of(writer, tree)
            for number in range(500):
                submit(still_open, BOB, str(number))
            if analysed:
                superuser.execute("ANALYZE")
            await all_of(writer, tree)
            await counted(writer, tree, trader)
            before = reads(database)
            for number in range(20):
                submit(trader, ALICE, f"later-{number}")
                trader.commit()
                assert await writer.append(tree, 1000) == 1
                assert await writer.append(tree, 1000) == 0
            await counted(writer, tree, trader)
            after = reads(database)
    for table in ("execution_logs", "ledger_entries"):
        scans, rows = (now - then for now, then in zip(after[table], before[table], strict=True))
        assert scans == 0, table
        assert 0 < rows < 20 * 20, table


@pytest.mark.parametrize("hinted", [False, True])
async def test_a_backlog_of_many_traders_costs_each_step_what_it_appends(
    database: Database, writer: LedgerWriter, *, hinted: bool
) -> None:
    """At the first step, without hints, and after many transactions at once."""
    tree = await writer.edge()
    if hinted:
        assert await writer.append(tree, 100) == 0
    many = [UUID(int=number) for number in range(1, 61)]
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        for trader_id in many:
            superuser.execute("INSERT INTO traders (id, name) VALUES (%s, %s)", [trader_id, f"T {trader_id.int}"])
    with trading(database) as trader:
        for trader_id in many:
            for number in range(40):
                submit(trader, trader_id, str(number))
            trader.commit()
        await asyncio.sleep(1.1)
        trader.execute("SELECT 1")
        trader.commit()
        before, steps = reads(database), 0
        while appended := await writer.append(tree, 100):
            assert appended <= 100
            steps += 1
        await counted(writer, tree, trader)
    assert tree.size == 60 * 40
    for table, (scans, rows) in reads(database).items():
        if table in {"execution_logs", "ledger_entries"}:
            assert scans == before[table][0]
            assert rows - before[table][1] < steps * 100 * 10, table


@pytest.mark.parametrize(
    ("kind", "leaf"),
    [
        ("KEYS", b"garbage"),
        ("KEYS", b"[]"),
        ("KEYS", b'{"origin":"x"}'),
        ("BASELINE", b"\xff"),
        ("EXECUTION_LOG", b"{}"),
        ("OTHER", b"{}"),
    ],
)
async def test_an_invalid_note_is_refused(database: Database, writer: LedgerWriter, kind: str, leaf: bytes) -> None:
    await writer.edge()
    with psycopg.connect(database.conninfo("blotter_sequencer")) as sequencer, pytest.raises(psycopg.DatabaseError):
        sequencer.execute("SELECT append_note_to_ledger(0, %s, %s)", [kind, leaf])


async def test_a_note_cannot_be_made_to_look_like_a_log(database: Database, writer: LedgerWriter) -> None:
    await writer.edge()
    leaf = b'{"action":"FILLED","keys":["b","a"],"origin":"x","sequence":"1","type":"execution_log","version":1}'
    with psycopg.connect(database.conninfo("blotter_sequencer")) as sequencer:
        sequencer.execute("SELECT append_note_to_ledger(0, 'KEYS', %s)", [leaf])
        sequencer.execute("SELECT append_note_to_ledger(1, 'BASELINE', %s)", [leaf])
    kept = [json.loads(leaf) for leaf in await writer.leaves(0, 2) if rfc8785.dumps(json.loads(leaf)) == leaf]
    for note in kept:
        note.pop("time")
    assert kept == [
        {"type": "keys", "keys": ["a", "b"], "origin": "x", "version": 1},
        {"type": "baseline", "incarnation": None, "replaced": None, "version": 1},
    ]


async def test_an_unexpected_tile_is_reported_as_damage(database: Database, writer: LedgerWriter) -> None:
    tree = await writer.edge()
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(
            "INSERT INTO ledger_tiles (level, tile_index, hashes, root) VALUES (0, 0, %s, %s)",
            [b"x" * 8192, b"x" * 32],
        )
    with trading(database) as trader:
        for number in range(256):
            submit(trader, ALICE, str(number))
        trader.commit()
    with pytest.raises(LedgerDamaged):
        await all_of(writer, tree)


async def test_hints_past_the_newest_transaction_are_refused(database: Database, writer: LedgerWriter) -> None:
    tree = await writer.edge()
    assert await all_of(writer, tree) == 0
    with psycopg.connect(database.conninfo("blotter_sequencer")) as sequencer:
        sequencer.execute("UPDATE ledger_head SET next_xid = next_xid + 1000000")
    with trading(database) as trader:
        submit(trader, ALICE, "1")
        trader.commit()
    with pytest.raises(ForeignLedger):
        await writer.append(tree, 100)
    await writer.rebaseline()
    assert await all_of(writer, await writer.edge()) == 1


async def test_two_sequencers_at_once_corrupt_nothing(database: Database, writer: LedgerWriter) -> None:
    async with LedgerWriter.connected(database.conninfo("postgres"), None) as second:
        assert await writer.elected()
        assert not await second.elected()
        mine, other = await writer.edge(), await second.edge()
        with trading(database) as trader:
            submit(trader, ALICE, "1")
            trader.commit()
            assert await writer.append(mine, 100) == 1
            with pytest.raises(LedgerMoved):
                await second.append(other, 100)
            other = await second.edge()
            submit(trader, ALICE, "2")
            trader.commit()
            assert await second.append(other, 100) == 1
            with pytest.raises(LedgerMoved):
                await writer.append(mine, 100)
    assert [position for position, _, _ in entries(database)] == [0, 1]


async def test_a_copy_of_the_database_is_appended_to_only_after_a_rebaseline(
    database: Database, writer: LedgerWriter
) -> None:
    tree = await writer.edge()
    with trading(database) as trader:
        submit(trader, ALICE, "1")
        trader.commit()
        assert await all_of(writer, tree) == 1
        submit(trader, ALICE, "2")
        trader.commit()
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        superuser.execute("UPDATE ledger_head SET incarnation = 'elsewhere', next_xid = 9223372036854775807")
    with pytest.raises(ForeignLedger):
        await writer.append(await writer.edge(), 100)
    await writer.rebaseline()
    assert await all_of(writer, await writer.edge()) == 1
    [_, note, _] = await writer.leaves(0, 3)
    assert json.loads(note)["type"] == "baseline"
    assert json.loads(note)["replaced"] == "elsewhere"


async def test_a_leaf_is_canonical_json_with_all_values_of_the_log(database: Database, writer: LedgerWriter) -> None:
    with trading(database) as trader:
        for number in range(4):
            submit(trader, ALICE, str(number))
        trader.commit()
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        superuser.execute("SET session_replication_role = replica")  # as before revision 016, which requires ASCII
        for sequence, actor in enumerate(['"\\/', "\x7f\u2028ß😀", "a\u00a0b", "'"], start=1):
            superuser.execute("UPDATE execution_logs SET actor = %s WHERE sequence = %s", [actor, sequence])
    await all_of(writer, await writer.edge())
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        leaves = [leaf for (leaf,) in superuser.execute("SELECT leaf FROM ledger_entries ORDER BY position")]
        columns = {
            name
            for (name,) in superuser.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = 'execution_logs'"
            )
        }
    for leaf in leaves:
        assert rfc8785.dumps(json.loads(leaf)) == leaf
    assert json.loads(leaves[1])["actor"] == "\x7f\u2028ß😀"
    assert set(json.loads(leaves[0])) - {"type", "version"} == columns - {"xid", "previous_sequence", "leaf_version"}
