"""Steps that take only a part of the events lose none, and raw connections cannot break the ledger's rules."""

import asyncio
import json
import random
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import Connection
from psycopg.types.json import Jsonb

from service.ledger.edge import Edge
from service.repositories.append import LedgerMoved, LedgerWriter
from tests.conftest import ALICE, BOB, Database
from tests.ledger.test_appending import all_of, entries, submit, trading

ENTRY = "INSERT INTO ledger_entries (position, kind, trader_id, sequence, leaf)"
OF_A_LOG = "'EXECUTION_LOG', trader_id, sequence, execution_log_leaf(log) FROM execution_logs AS log"
TWO_ENTRIES = f"{ENTRY} SELECT sequence - 1, {OF_A_LOG} WHERE trader_id = '{ALICE}' AND sequence IN (3, 4)"
ONE_OF_TWO_FORGED = TWO_ENTRIES.replace(
    "execution_log_leaf(log)", "CASE sequence WHEN 3 THEN execution_log_leaf(log) ELSE '{}' END"
)
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
    """Append in small steps until nothing is left: a step that only advances the hints appends nothing."""
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
    """One connection writes a trader's events; transactions stay open over many steps of one to three events."""
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


def looked(sequencer: Connection[Any], open_xids: list[int], next_xid: int, most: int) -> tuple[list[int], int]:
    """The result of traders_with_news() for given hints: the traders' numbers, and the transaction id where it ends."""
    [(traders, before_xid)] = sequencer.execute(
        "SELECT traders, before_xid FROM jsonb_populate_record((SELECT ledger_head FROM ledger_head), %s) AS hints,"
        " traders_with_news(hints, pg_current_snapshot(), %s)",
        [Jsonb({"open_xids": "{" + ",".join(map(str, open_xids)) + "}", "next_xid": next_xid}), most],
    ).fetchall()
    return [trader.int for trader in traders], before_xid


async def test_a_search_takes_whole_transactions_the_lowest_first_and_no_more_than_asked(
    database: Database, writer: LedgerWriter
) -> None:
    register(database)
    await writer.edge()
    with trading(database) as trader:
        for pair in ((8, 1), (7, 2), (6, 3)):
            for number in pair:
                submit(trader, UUID(int=number), "1")
            trader.commit()
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        xids = [xid for (xid,) in superuser.execute("SELECT DISTINCT xid FROM execution_logs ORDER BY xid")]
    first, second, third = xids
    with psycopg.connect(database.conninfo("blotter_sequencer"), autocommit=True) as sequencer:
        [(newest,)] = sequencer.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchall()

        def looked_at_all(open_xids: list[int], from_xid: int) -> list[int]:
            traders, bound = looked(sequencer, open_xids, from_xid, 100)
            assert bound >= newest, "autovacuum may have begun a transaction meanwhile"
            return traders

        assert looked_at_all([], first) == [1, 8, 2, 7, 3, 6]
        assert looked(sequencer, [], first, 1) == ([1, 8], second)
        assert looked(sequencer, [], first, 3) == ([1, 8, 2, 7], third)
        assert looked_at_all([], second) == [2, 7, 3, 6]
        assert looked_at_all([], third + 1) == []
        # Transactions that were open when the hints were written, in any order in the hints.
        assert looked(sequencer, [third, first, second], third + 1, 1) == ([1, 8], second)
        assert looked(sequencer, [third, first, second], third + 1, 3) == ([1, 8, 2, 7], third)
        assert looked_at_all([second], third + 1) == [2, 7]


async def test_open_transactions_that_a_step_has_not_looked_at_stay_among_the_hints(
    database: Database, writer: LedgerWriter
) -> None:
    """Two transactions fill the step, though only two traders have events: the third is read in the next step."""
    register(database)
    with trading(database) as first, trading(database) as second, trading(database) as third:
        for desk in (first, second, third):
            desk.execute("SELECT pg_current_xact_id()")  # fixes the order of the ids before anything is written
        tree = await writer.edge()
        assert await writer.append(tree, 4) == 0
        for desk in (first, second):
            for trader_id in TRADERS[:2]:
                submit(desk, trader_id, str(id(desk)))
            desk.commit()
        submit(third, TRADERS[2], "1")
        third.commit()
    await drain(writer, tree, 4)
    complete(database)


async def test_a_trader_s_events_keep_their_order_though_the_later_one_has_the_lower_transaction_id(
    database: Database, writer: LedgerWriter
) -> None:
    register(database)
    one, two = TRADERS[:2]
    with trading(database) as early, trading(database) as late:
        submit(early, two, "1")  # takes its transaction id
        submit(late, one, "1")
        late.commit()
        submit(early, one, "2")
        early.commit()
    assert await writer.append(await writer.edge(), 100) == 3
    complete(database)


async def test_events_of_one_step_are_in_the_order_of_their_transactions(
    database: Database, writer: LedgerWriter
) -> None:
    tree = await writer.edge()
    with trading(database) as trader:
        for number, trader_id in enumerate((BOB, ALICE, BOB)):
            submit(trader, trader_id, str(number))
            trader.commit()
    assert await writer.append(tree, 100) == 3
    assert [trader_id for _, trader_id, _ in entries(database)] == [BOB, ALICE, BOB]


async def test_a_step_takes_all_that_one_trader_has_within_its_bound(database: Database, writer: LedgerWriter) -> None:
    with trading(database) as trader:
        for number in range(10):
            submit(trader, ALICE, str(number))
        trader.commit()
    assert await writer.append(await writer.edge(), 10) == 10


async def test_a_step_without_news_writes_nothing_and_waits_for_no_lock(
    database: Database, writer: LedgerWriter
) -> None:
    tree = await writer.edge()
    assert await writer.append(tree, 100) == 0
    with psycopg.connect(database.conninfo("postgres")) as busy:
        [before] = busy.execute("SELECT ctid, xmin FROM ledger_head FOR UPDATE").fetchall()
        async with asyncio.timeout(20):
            assert await writer.append(tree, 100) == 0
        assert busy.execute("SELECT ctid, xmin FROM ledger_head").fetchall() == [before]


async def test_a_step_whose_hints_were_changed_while_it_waited_is_refused(
    database: Database, writer: LedgerWriter
) -> None:
    """By another sequencer that appended nothing: the hints that this one has read are out of date."""
    tree = await writer.edge()
    assert await writer.append(tree, 100) == 0
    with trading(database) as trader:
        submit(trader, ALICE, "1")
        trader.commit()
    with psycopg.connect(database.conninfo("blotter_sequencer")) as other:
        other.execute("UPDATE ledger_head SET open_xids = '{3}'")
        appending = asyncio.create_task(writer.append(tree, 100))
        with psycopg.connect(database.conninfo("postgres"), autocommit=True) as superuser:
            async with asyncio.timeout(20):
                waits = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
                while not superuser.execute(waits).fetchall():  # noqa: ASYNC110  # the database has no event
                    await asyncio.sleep(0.01)
        other.commit()
    with pytest.raises(LedgerMoved):
        await appending


async def test_a_note_for_another_size_is_reported_as_the_work_of_another_sequencer(
    database: Database, writer: LedgerWriter
) -> None:
    old = await writer.edge()
    with trading(database) as trader:
        submit(trader, ALICE, "1")
        trader.commit()
    await all_of(writer, await writer.edge())
    with pytest.raises(LedgerMoved):
        await writer.append_note(old, "KEYS", {"keys": ["a"], "origin": "x"})


async def test_a_leaf_is_of_its_own_trader_s_log(database: Database, writer: LedgerWriter) -> None:
    with trading(database) as trader:
        for trader_id in (ALICE, BOB):
            submit(trader, trader_id, "1")
            trader.commit()
    tree = await writer.edge()
    await all_of(writer, tree)
    leaves = [json.loads(leaf)["trader_id"] for leaf in await writer.leaves(0, 2)]
    assert leaves == [str(trader_id) for _, trader_id, _ in entries(database)]
    assert set(leaves) == {str(ALICE), str(BOB)}


def test_an_incarnation_names_the_server_and_the_database(database: Database) -> None:
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        [(incarnation, server, oid)] = superuser.execute(
            "SELECT ledger_incarnation(), (SELECT system_identifier::text FROM pg_control_system()), oid::text"
            " FROM pg_database WHERE datname = current_database()"
        ).fetchall()
    assert incarnation == f"{server}/{oid}"


@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        ("INSERT INTO ledger_entries (position, kind, leaf) VALUES (5, 'KEYS', '{\"keys\":[\"k\"]}')", "without_gap"),
        ("INSERT INTO ledger_entries (position, kind, leaf) VALUES (-1, 'KEYS', '{\"keys\":[\"k\"]}')", ""),
        (f"{ENTRY} VALUES (2, 'EXECUTION_LOG', '{ALICE}', 9, '{{}}')", "record_logs"),
        (f"{ENTRY} VALUES (2, 'EXECUTION_LOG', '{ALICE}', 4, '{{}}')", "follow_sequences"),
        (f"{ENTRY} VALUES (2, 'EXECUTION_LOG', '{BOB}', 2, '{{}}')", "follow_sequences"),
        (f"{ENTRY} VALUES (2, 'EXECUTION_LOG', '{ALICE}', 3, '{{}}')", "hold_the_leaves"),
        (ONE_OF_TWO_FORGED, "hold_the_leaves"),
        (f"{ENTRY} SELECT sequence, {OF_A_LOG} WHERE trader_id = '{ALICE}' AND sequence IN (3, 4)", "without_gap"),
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
            submit(trader, BOB, str(number))
        trader.commit()
    with (
        psycopg.connect(database.conninfo("blotter_sequencer")) as sequencer,
        pytest.raises(psycopg.errors.CheckViolation) as refused,
    ):
        sequencer.execute(statement.encode())
    assert refusal in str(refused.value.diag.constraint_name)


@pytest.mark.parametrize("statement", ["DELETE FROM ledger_head", "TRUNCATE ledger_head"])
async def test_the_head_cannot_be_deleted(database: Database, writer: LedgerWriter, statement: str) -> None:
    await writer.edge()
    with psycopg.connect(database.conninfo("postgres")) as superuser, pytest.raises(psycopg.errors.CheckViolation):
        superuser.execute(statement.encode())
