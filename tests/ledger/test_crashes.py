"""The sequencer is killed, replaced, blocked or given false data: it loses, repeats and wrongly signs no entry."""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path

import psycopg
import pytest
from psycopg import AsyncConnection

from blotter.audit.v1 import audit_service_pb2 as audit_pb
from service.domain.errors import DatabaseUnavailable
from service.ledger.edge import Edge
from service.repositories.append import LedgerMoved, LedgerWriter
from service.sequencing.keys import KeyFolder
from tests.conftest import ALICE, BOB, Database
from tests.ledger.test_appending import all_of, entries, submit, trading
from tests.ledger.test_checkpoints import ORIGIN, QUICK, until
from tests.serving import COMPLIANCE, Blotter, serving
from tests.streams.test_drain import served


async def test_after_a_kill_before_any_step_the_next_sequencer_continues(database: Database, tmp_path: Path) -> None:
    """Append, full tiles, keys, checkpoint, publication: the next sequencer may find any of these steps undone."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.ledger.killed_sequencers", database.conninfo("{login}"), str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await child.communicate()
    assert child.returncode == 0
    done = json.loads(printed)
    assert done["deaths"] > 20, done
    async with LedgerWriter.connected(database.conninfo("postgres"), None) as writer:
        tree = await writer.edge()
        assert await all_of(writer, tree) == 0
        found = entries(database)
        assert [position for position, _, _ in found] == list(range(len(found)))
        logs = [entry[1:] for entry in found if entry[1] is not None]
        assert len(logs) == len(set(logs)) == done["written"]
        whole = Edge()
        with psycopg.connect(database.conninfo("postgres")) as superuser:
            hashes = superuser.execute("SELECT leaf_hash FROM ledger_entries ORDER BY position").fetchall()
            kept = superuser.execute(
                "SELECT level, tile_index, hashes, root FROM ledger_tiles ORDER BY 1, 2"
            ).fetchall()
        made = whole.append(bytes(value) for (value,) in hashes)
        assert kept == [(tile.level, tile.index, tile.hashes, tile.root) for tile in made]
        assert tree.root() == whole.root()


async def test_a_killed_sequencer_is_replaced_within_two_seconds(database: Database) -> None:
    async with (
        serving(database, sequencer=True) as first,
        serving(database, sequencer=True) as second,
    ):
        for round_ in range(1, 4):
            await first.submit(ALICE)
            await until_size(second, round_ * 2 - 1)
            await asyncio.to_thread(kill_the_sequencer, database)
            killed = time.monotonic()
            await second.submit(BOB)
            await until_size(first, round_ * 2)
            assert time.monotonic() - killed < 2


async def test_a_server_that_is_killed_leaves_the_ledger_to_another_one(database: Database) -> None:
    """Two processes; SIGKILL to the active sequencer, in the middle of a burst."""
    async with serving(database) as blotter, served(database) as (one, _):
        await blotter.submit(ALICE)
        await until_size(blotter, 1)
        async with served(database):
            burst = [asyncio.create_task(blotter.submit(trader)) for trader in (ALICE, BOB) * 50]
            await burst[10]
            one.send_signal(signal.SIGKILL)
            await one.wait()
            await blotter.submit(ALICE)
            await asyncio.gather(*burst)
            await until_size(blotter, 102)
    assert len({entry[1:] for entry in entries(database)}) == 102


async def test_a_login_that_takes_the_sequencers_lock_stops_nothing(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        superuser.execute("GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO blotter_trader")
    with trading(database) as trader:
        trader.execute("SET idle_in_transaction_session_timeout = 0")
        trader.execute("SELECT pg_advisory_lock(%s)", [0x626C6F74746572])
        async with serving(database, sequencer=True) as blotter:
            await blotter.submit(ALICE)
            await until_size(blotter, 1)
    assert "blotter_trader holds the sequencers' lock" in caplog.text


def kill_the_sequencer(database: Database) -> None:
    """As if its process had died: the server ends the session that holds the lock."""
    database.cluster.psql(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = "
        f"(SELECT oid FROM pg_database WHERE datname = '{database.name}')"
    )


async def until_size(blotter: Blotter, size: int) -> None:
    """Wait until a stream over all traders has reached the size."""
    call = blotter.audit.StreamExecutionLogs(audit_pb.StreamExecutionLogsRequest(follow=True), metadata=COMPLIANCE)
    last = -1
    while last < size - 1:
        message = await asyncio.wait_for(call.read(), 10)
        if message.logs.execution_logs:
            last = message.logs.execution_logs[-1].position
    call.cancel()


async def test_an_open_transaction_holds_up_its_own_trader_alone(database: Database) -> None:
    """While it stays open: here some hundred steps of the sequencer, in production a minute."""
    async with LedgerWriter.connected(database.conninfo("postgres"), None) as writer:
        tree = await writer.edge()
        with trading(database) as slow, trading(database) as quick:
            submit(slow, ALICE, "slow")
            for number in range(100):
                submit(quick, BOB, str(number))
                quick.commit()
                assert await all_of(writer, tree) == 1
            slow.commit()
        assert await all_of(writer, tree) == 1
        assert entries(database)[-1] == (100, ALICE, 1)


async def test_idle_transactions_anywhere_hold_up_nothing(database: Database, template: Database) -> None:
    elsewhere = database.cluster.conninfo(user="postgres", dbname="postgres")
    async with (
        await AsyncConnection.connect(elsewhere) as other_database,
        await AsyncConnection.connect(database.conninfo("postgres")) as same_database,
        LedgerWriter.connected(database.conninfo("postgres"), None) as writer,
    ):
        for idle in (other_database, same_database):
            await idle.execute("SELECT pg_current_xact_id()")
        tree = await writer.edge()
        with trading(database) as trader:
            for number in range(5):
                submit(trader, ALICE, str(number))
                trader.commit()
                assert await all_of(writer, tree) == 1


async def test_a_writer_never_waits_for_the_sequencer(database: Database) -> None:
    async with LedgerWriter.connected(database.conninfo("postgres"), None) as writer:
        tree = await writer.edge()
        with psycopg.connect(database.conninfo("blotter_sequencer")) as stuck:
            stuck.execute("SELECT FROM ledger_head FOR UPDATE")  # a sequencer that stops in the middle of its work
            with trading(database) as trader:
                trader.execute("SET lock_timeout = '100ms'")
                for number in range(10):
                    submit(trader, ALICE, str(number))
                    trader.commit()
        assert await all_of(writer, tree) == 10


async def test_a_restored_dump_is_not_sequenced_until_the_rebaseline(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = KeyFolder(tmp_path / "keys")
    keys.generate(ORIGIN)
    settings = QUICK | {"ledger_keys": keys.folder, "checkpoint_directory": tmp_path / "outside"}
    async with serving(database, **settings) as blotter:
        await blotter.submit(ALICE)
        await until_size(blotter, 1)
        await until((tmp_path / "outside" / "checkpoint").exists)
    copy = Database(f"{database.name}_copy", database.cluster)
    database.cluster.psql(f"CREATE DATABASE {copy.name} TEMPLATE {database.name} OWNER blotter_owner")
    try:
        async with serving(copy, **settings) as blotter:
            await blotter.submit(BOB)
            await until(lambda: "blotter ledger rebaseline" in caplog.text)
            with psycopg.connect(copy.conninfo("blotter_compliance")) as compliance:
                [(count,)] = compliance.execute(
                    "SELECT count(*) FROM ledger_entries WHERE trader_id = %s", [BOB]
                ).fetchall()
            assert count == 0
            async with LedgerWriter.connected(copy.conninfo("postgres"), None) as writer:
                await writer.rebaseline()
            await until_size(blotter, 2)
    finally:
        database.cluster.psql(f"DROP DATABASE {copy.name} WITH (FORCE)")


async def test_a_closed_connection_is_reported_as_unavailable(database: Database) -> None:
    async with LedgerWriter.connected(database.conninfo("postgres"), None) as writer:
        tree = await writer.edge()
        database.cluster.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'blotter_sequencer'"
        )
        with pytest.raises(DatabaseUnavailable):
            await writer.append(tree, 10)


async def test_a_second_sequencer_that_was_forced_loses_every_race(database: Database) -> None:
    async with (
        LedgerWriter.connected(database.conninfo("postgres"), None) as one,
        LedgerWriter.connected(database.conninfo("postgres"), None) as two,
    ):
        with trading(database) as trader:
            for number in range(200):
                submit(trader, ALICE, str(number))
                trader.commit()

        async def race(writer: LedgerWriter) -> int:
            lost = 0
            while True:
                try:
                    tree = await writer.edge()
                    await all_of(writer, tree, most=3)
                except LedgerMoved:
                    lost += 1
                else:
                    return lost

        lost = await asyncio.gather(race(one), race(two))
        assert sum(lost) > 0
    assert [position for position, _, _ in entries(database)] == list(range(200))
