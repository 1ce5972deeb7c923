"""Streams under concurrent load: slow, interleaved and rolled-back writers, watchers that disconnect and resume."""

import asyncio
import random
from uuid import UUID, uuid4

import psycopg
import pytest
from google.protobuf.duration_pb2 import Duration
from psycopg import AsyncConnection

from blotter.audit.v1 import audit_service_pb2
from blotter.orders.v1 import watch_pb2
from tests.conftest import ALICE, BOB, Database
from tests.serving import Blotter, as_trader, serving
from tests.streams.watching import Watch, watching

SUBMIT = """
SELECT outcome FROM submit_order(
    %(key)s, sha256(%(key)s::text::bytea), 'AAPL', 'BUY', 'LIMIT', 100, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, false, false, 'raw', 'r')
"""
WRITERS_A_TRADER = 4
TRANSACTIONS_A_WRITER = 12


async def write(database: Database, trader_id: UUID, seed: int) -> int:
    """Raw transactions of one to three submits, some slow, some rolled back. Returns the committed submits."""
    chance = random.Random(seed)
    committed = 0
    async with await AsyncConnection.connect(database.conninfo("blotter_trader"), autocommit=True) as connection:
        for _ in range(TRANSACTIONS_A_WRITER):
            submits = chance.randint(1, 3)
            async with connection.transaction() as transaction:
                await connection.execute("SELECT act_as(%s)", (trader_id,))
                for _ in range(submits):
                    await connection.execute(SUBMIT, {"key": uuid4().hex})
                    await asyncio.sleep(chance.choice((0, 0, 0.001, 0.02)))
                if chance.random() < 0.3:
                    raise psycopg.Rollback(transaction)
                committed += submits
    return committed


async def follow_with_interruptions(blotter: Blotter, trader_id: UUID, seed: int, done: asyncio.Event) -> list[int]:
    """Watch, disconnect at random and resume with the last token, until all events of the writers were received."""
    chance = random.Random(seed)
    request = watch_pb2.WatchOrdersRequest()
    seen: list[int] = []
    folded: Watch | None = None
    while True:
        async with watching(blotter, trader_id, request) as watch:
            if folded is None:
                complete = await watch.until_snapshot()
                seen = list(range(1, complete.last_sequence + 1))
                folded = watch
            for _ in range(chance.randint(1, 6)):
                over = done.is_set()
                try:
                    await asyncio.wait_for(watch.next(), 0.5)
                except TimeoutError:
                    if over:
                        assert all(order.trader_id == str(trader_id) for order in folded.orders.values())
                        return seen
                    break
                seen += watch.sequences
                folded.orders |= watch.orders
                watch.events.clear()
            request.resume_token = watch.token


async def test_every_watcher_sees_each_of_its_events_once_in_order(database: Database, blotter: Blotter) -> None:
    done = asyncio.Event()
    async with serving(database) as other:
        watchers = [
            asyncio.create_task(follow_with_interruptions(server, trader, seed, done))
            for seed, (server, trader) in enumerate(
                [(blotter, ALICE), (other, ALICE), (blotter, BOB), (other, BOB)] * 2
            )
        ]
        committed: dict[UUID, int] = {}
        for trader in (ALICE, BOB):
            committed[trader] = 0
        writers = [(trader, seed) for trader in (ALICE, BOB) for seed in range(WRITERS_A_TRADER)]
        for (trader, _), count in zip(
            writers, await asyncio.gather(*(write(database, *writer) for writer in writers)), strict=True
        ):
            committed[trader] += count
        done.set()
        for index, seen in enumerate(await asyncio.gather(*watchers)):
            trader = (ALICE, ALICE, BOB, BOB)[index % 4]
            assert seen == list(range(1, committed[trader] + 1))


async def test_a_transaction_that_stays_open_delays_only_its_trader_and_is_not_skipped(
    database: Database, blotter: Blotter
) -> None:
    request = watch_pb2.WatchOrdersRequest(heartbeat_interval=Duration(seconds=1))
    async with (
        watching(blotter, ALICE, request) as alice,
        watching(blotter, BOB) as bob,
        await AsyncConnection.connect(database.conninfo("blotter_trader")) as slow,
    ):
        await alice.until_snapshot()
        await bob.until_snapshot()
        await slow.execute("SELECT act_as(%s)", (ALICE,))
        await slow.execute(SUBMIT, {"key": "slow"})
        behind = asyncio.create_task(blotter.submit(ALICE, client_order_id="behind"))
        for _ in range(3):
            await blotter.submit(BOB)
        await bob.until(3)
        assert not behind.done()
        blotter.feed.hint(ALICE)  # the stream reads again while the transaction is open
        while not alice.heartbeats:
            await alice.next()
        assert alice.sequences == []
        assert alice.heartbeats[-1].last_sequence == 0
        await slow.commit()
        await behind
        await alice.until(2)
        assert [event.order.client_order_id for event in alice.events] == ["slow", "behind"]


async def test_killing_the_connections_of_the_feed_delays_events_and_loses_none(
    database: Database, blotter: Blotter
) -> None:
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{database.name}' AND usename LIKE 'blotter%'"
    )
    async with serving(database) as other, watching(blotter) as watch:
        await watch.until_snapshot()
        for round_ in range(1, 6):
            await asyncio.to_thread(database.cluster.psql, kill)
            await other.submit()
            await asyncio.wait_for(watch.until(round_), 30)
        assert watch.sequences == [1, 2, 3, 4, 5]


async def test_a_stream_that_is_behind_reads_page_after_page(blotter: Blotter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.streams.follow.EVENTS_A_PAGE", 7)
    for _ in range(30):
        await blotter.submit()
    stream = blotter.audit.StreamExecutionLogs(
        audit_service_pb2.StreamExecutionLogsRequest(), metadata=as_trader(ALICE)
    )
    sizes = [len(message.logs.execution_logs) async for message in stream]
    assert sizes == [7, 7, 7, 7, 2, 0]
