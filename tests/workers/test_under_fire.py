"""Workers, the sequencer and connections to the database are killed in a random order, under load.

`KILL_SEED` repeats the order of a run.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
from grpc import aio

from blotter.orders.v1 import order_service_pb2_grpc, watch_pb2
from tests.conftest import ALICE, Database
from tests.serving import as_trader
from tests.streams.watching import Watch
from tests.workers.service import Load, served, until, with_keys

SEED = int(os.environ.get("KILL_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
TERMINATE = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND usename LIKE 'blotter%' AND random() < 0.5"
)


class Follower:
    """A watch that is resumed with its token, on whichever worker, each time that it ends."""

    def __init__(self, channel: aio.Channel) -> None:
        self.sequences: list[int] = []
        self.began = asyncio.Event()
        self._stub = order_service_pb2_grpc.OrderServiceStub(channel)
        self._token = ""
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            request = watch_pb2.WatchOrdersRequest(resume_token=self._token)
            watch = Watch(self._stub.WatchOrders(request, metadata=as_trader(ALICE), wait_for_ready=True), self._token)
            try:
                if not self._token:
                    await watch.until_snapshot()
                self.began.set()
                while True:
                    known = len(watch.events)
                    await watch.next()
                    self._token = watch.token
                    self.sequences += watch.sequences[known:]
            except aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.05)


async def test_nothing_answered_is_lost_or_entered_twice_and_neither_stream_nor_ledger_has_a_gap(
    tmp_path: Path, database: Database
) -> None:
    print(f"KILL_SEED={SEED}")  # noqa: T201  # shown where the test fails

    def number(query: str) -> int:
        return int(database.cluster.psql(query, dbname=database.name))

    with served(tmp_path, database, **with_keys(tmp_path)) as service:

        def killing(name: str) -> Callable[[], Awaitable[None]]:
            async def kill() -> None:
                await until(lambda: asyncio.sleep(0, name in service.pids()), f"{name} is not started again")
                os.kill(service.pids()[name], signal.SIGKILL)

            return kill

        async def terminate() -> None:
            await asyncio.to_thread(number, TERMINATE)

        acts = [killing("1"), killing("2"), killing("sequencer"), terminate, terminate, terminate]
        random.Random(SEED).shuffle(acts)
        async with service.channels(9) as [watching, *calling]:
            follower = Follower(watching)
            await asyncio.wait_for(follower.began.wait(), 30)
            load = Load(calling, "fire")
            for act in acts:
                await load.until_answered(20)
                await act()
            await load.until_answered(20)
            await load.end()
            load.check(database)
            last = number("SELECT count(*) FROM execution_logs")

            async def seen() -> bool:
                if follower.task.done():
                    follower.task.result()
                return len(follower.sequences) >= last

            async def in_the_ledger() -> bool:
                entries = "SELECT count(*) FROM ledger_entries WHERE kind = 'EXECUTION_LOG'"
                return await asyncio.to_thread(number, entries) == last

            await until(seen, "the watch has not seen all events")
            await until(in_the_ledger, "the ledger has not all events")
            follower.task.cancel()
        assert follower.sequences == list(range(1, last + 1))
