"""The end of a parent with its workers, and a start that fails."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import grpc

from blotter.orders.v1 import order_service_pb2_grpc, watch_pb2
from tests.conftest import ALICE, Database
from tests.operations.command_line import run
from tests.operations.command_line import until as until_true
from tests.serving import EXECUTION, as_trader, order_request
from tests.streams.watching import Watch
from tests.workers.service import Load, Service, command_line, served, with_keys

SILENCE_SECONDS = 2.5
"""From then on without an event the sequencer sleeps until the next poll or hint."""


async def test_a_drain_under_load_answers_each_call_or_is_unavailable_and_writes_nothing_twice(
    tmp_path: Path, database: Database
) -> None:
    with served(tmp_path, database) as service:
        async with service.channels(12) as channels:
            load = Load(channels, "drained")
            await load.until_answered(50)
            service.process.send_signal(signal.SIGTERM)
            status = await asyncio.to_thread(service.ended)
            await load.end()
        load.check(database)
    assert status == 0, service.text
    assert load.codes == {grpc.StatusCode.UNAVAILABLE}
    assert service.text.count('"message": "Stopping"') == 4, "the parent, two workers and the sequencer"
    assert "Traceback" not in service.text
    assert "started again" not in service.text


async def test_a_start_that_is_ended_leaves_no_process(tmp_path: Path, database: Database) -> None:
    service = Service(tmp_path, BLOTTER_DATABASE_URL=database.url)
    children: dict[str, int] = {}
    try:
        until_true(lambda: bool(children.update(service.pids())) or len(children) == 3, "the children do not start")
    finally:
        service.process.send_signal(signal.SIGTERM)
        status = await asyncio.to_thread(service.ended)
    assert status == 0, service.text
    assert not any(map(command_line, children.values()))
    assert "Traceback" not in service.text


async def test_when_the_parent_is_killed_its_children_end(tmp_path: Path, database: Database) -> None:
    with served(tmp_path, database) as service:
        children = service.pids()
        assert set(children) == {"1", "2", "sequencer"}
        os.kill(service.process.pid, signal.SIGKILL)
        await asyncio.to_thread(service.ended)  # also of the output, which the children hold
        until_true(lambda: not any(map(command_line, children.values())), "a child lives")
    assert service.text.count("The parent process has ended; this one stops") == 3


def test_a_worker_that_cannot_start_ends_the_start_with_its_reason(tmp_path: Path, database: Database) -> None:
    for name in ("cert", "key"):
        (tmp_path / name).write_text("nonsense")
    tls = {"BLOTTER_TLS_CERT": str(tmp_path / "cert"), "BLOTTER_TLS_KEY": str(tmp_path / "key")}
    done = run(
        "serve",
        "--workers=2",
        cwd=tmp_path,
        BLOTTER_LISTEN="127.0.0.1:0",
        BLOTTER_DATABASE_URL=database.url,
        BLOTTER_SEQUENCER="false",
        BLOTTER_LOG_LEVEL="ERROR",
        **tls,
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert str(tmp_path / "cert") in line


def test_workers_need_a_port(tmp_path: Path) -> None:
    done = run("serve", "--workers=2", cwd=tmp_path, BLOTTER_LISTEN="unix:socket")
    assert done.returncode == 1
    assert done.stderr == "Error: BLOTTER_WORKERS=2 must be 1 on a Unix socket, which processes cannot share.\n"


async def test_streams_on_every_worker_and_the_ledger_learn_of_a_commit_at_once(
    tmp_path: Path, database: Database
) -> None:
    """Without a poll: only the reports of other processes wake the streams and the sequencer in this time."""
    an_hour = {"BLOTTER_FEED_POLL_MS": "3600000"}
    with served(tmp_path, database, **with_keys(tmp_path), **an_hour) as service:
        async with AsyncExitStack() as open_channels:

            async def watched(metadata: tuple[tuple[str, str], ...]) -> Watch:
                [channel] = await open_channels.enter_async_context(service.channels(1))
                stub = order_service_pb2_grpc.OrderServiceStub(channel)
                watch = Watch(stub.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=metadata))
                await watch.until_snapshot()
                return watch

            watches = [await watched(EXECUTION)]  # follows the ledger
            streams: dict[str, float] = {}
            while not all(streams.get(worker) for worker in ("1", "2")):  # the kernel distributes the connections
                watches.append(await watched(as_trader(ALICE)))
                streams = await service.metrics("blotter_stream_open")
            await asyncio.sleep(SILENCE_SECONDS)
            [channel] = await open_channels.enter_async_context(service.channels(1))
            stub = order_service_pb2_grpc.OrderServiceStub(channel)
            await stub.SubmitOrder(order_request(), metadata=as_trader(ALICE))
            for watch in watches:
                await watch.until(1, within=15)  # without a hint a stream reads every 30 to 60 seconds
                watch.call.cancel()
