"""The stop of a server process by signals."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import psycopg
import pytest
from google.rpc import error_details_pb2
from grpc import aio

from blotter.orders.v1 import order_service_pb2_grpc, watch_pb2
from tests.conftest import ALICE, Database
from tests.paths import PYTHONPATH
from tests.rpc.errors import details_of, info_of, refused
from tests.serving import Blotter, as_trader, order_request
from tests.streams.watching import Watch, watching


@asynccontextmanager
async def served(database: Database) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`blotter serve` on the database; yields the process and its address."""
    environment = os.environ | {
        "BLOTTER_DATABASE_URL": database.url,
        "BLOTTER_LISTEN": "127.0.0.1:0",
        "BLOTTER_LOG_FORMAT": "json",
        "BLOTTER_GRACE_SECONDS": "30",
        "PYTHONPATH": PYTHONPATH,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", "serve", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr
    try:
        async with asyncio.timeout(60):
            while not (port := re.search(rb'"port": (\d+)', line := await process.stderr.readline())):
                assert line, "the server ended"
        yield process, f"127.0.0.1:{port[1].decode()}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
async def test_open_streams_end_at_once_with_a_token_and_nothing_is_lost(
    database: Database, blotter: Blotter, by: signal.Signals
) -> None:
    async with served(database) as (process, target), aio.insecure_channel(target) as channel:
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        await stub.SubmitOrder(order_request(), metadata=as_trader(ALICE))
        watch = Watch(stub.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=as_trader(ALICE)))
        await watch.until_snapshot()

        process.send_signal(by)
        # The grace is 30 s: a stream that waited for it would fail here.
        error = await asyncio.wait_for(refused(watch.call.read()), 10)
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert info_of(error).reason == "DRAINING"
        assert info_of(error).metadata["resume_token"] == watch.token
        assert details_of(error, error_details_pb2.RetryInfo)
        assert await asyncio.wait_for(process.wait(), 10) == 0

    await blotter.submit()
    async with watching(blotter, request=watch_pb2.WatchOrdersRequest(resume_token=watch.token)) as resumed:
        await resumed.until(2)
        assert resumed.sequences == [2]


async def test_a_running_call_is_finished_within_the_grace(database: Database) -> None:
    async with served(database) as (process, target), aio.insecure_channel(target) as channel:
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        with psycopg.connect(database.conninfo("postgres"), autocommit=True) as superuser:
            with superuser.transaction():
                superuser.execute("LOCK TABLE orders IN EXCLUSIVE MODE")
                call = stub.SubmitOrder(order_request(), metadata=as_trader(ALICE))
                await until_waiting(superuser)
                process.send_signal(signal.SIGTERM)
                await until_refused(target)
            assert (await call).order.last_sequence == 1
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def until_waiting(superuser: psycopg.Connection[tuple[object, ...]]) -> None:
    """Wait until a statement of the service waits for a lock."""
    waiting = (
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
        "WHERE NOT granted AND datname = current_database()"
    )
    while superuser.execute(waiting).fetchone() == (0,):  # noqa: ASYNC110  # the database has no event for it
        await asyncio.sleep(0.01)


async def until_refused(target: str) -> None:
    """Wait until the server accepts no new connections."""
    host, _, port = target.rpartition(":")
    with contextlib.suppress(ConnectionError):
        while True:
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            await asyncio.sleep(0.01)
