"""Every committed log gets one position, whatever order transactions commit in."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest
import rfc8785
from psycopg import Connection

from service.ledger.edge import Edge
from service.repositories.ledger_writer import ForeignLedger, LedgerMoved, LedgerWriter
from tests.conftest import ALICE, BOB, Database

SUBMIT = (
    "SELECT (recorded).last_sequence FROM submit_order(%s, %s, sha256('x'), 'AAPL', 'BUY', 'LIMIT', 100, 10, NULL, "
    "NULL, NULL, false, %s, 'r')"
)


def submit(connection: Connection[Any], trader_id: UUID, key: str, actor: str = "a") -> int:
    """Enter an order; the number of its event."""
    connection.execute("SELECT act_as(%s)", (trader_id,))
    [(sequence,)] = connection.execute(SUBMIT, (trader_id, key, actor)).fetchall()
    return int(sequence)


@contextmanager
def trading(database: Database) -> Iterator[Connection[Any]]:
    """A connection of the traders' login; commits by hand."""
    with psycopg.connect(database.conninfo("blotter_trader")) as connection:
        yield connection


def entries(database: Database) -> list[tuple[int, UUID | None, int | None]]:
    """All entries: position, trader, sequence; neither of the two for notes of the ledger itself."""
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        return superuser.execute("SELECT position, trader_id, sequence FROM ledger_entries ORDER BY 1").fetchall()


async def all_of(writer: LedgerWriter, tree: Edge, most: int = 1000) -> int:
    """Append until there is nothing more."""
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


async def test_a_copy_of_the_database_goes_on_only_on_purpose(database: Database, writer: LedgerWriter) -> None:
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


async def test_a_leaf_is_canonical_json_and_says_all_that_the_log_says(
    database: Database, writer: LedgerWriter
) -> None:
    with trading(database) as trader:
        for number, actor in enumerate(['"\\/', "\x7f\u2028ß😀", "a\u00a0b", "'"]):
            submit(trader, ALICE, str(number), actor)
        trader.commit()
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
    assert set(json.loads(leaves[0])) - {"type", "version"} == columns - {"xid", "previous_sequence"}
