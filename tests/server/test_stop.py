"""The stop of a server: its responses meanwhile, and a step or a task that fails."""

import asyncio
import logging
from collections import Counter
from contextlib import AsyncExitStack

import grpc
import pytest
from grpc import aio

from blotter.orders.v1 import order_service_pb2, order_service_pb2_grpc, watch_pb2
from service.process import AddressInUse
from service.server import running, serve
from service.streams import Feed
from tests.conftest import ALICE, Database
from tests.rpc.errors import reason_of, refused
from tests.serving import as_trader, serving, settings

CALLERS = 12


async def test_calls_at_the_stop_are_answered_or_refused_but_never_cancelled(database: Database) -> None:
    outcomes: Counter[str] = Counter()
    busy = asyncio.Event()

    async def calls(port: int) -> None:
        async with aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = order_service_pb2_grpc.OrderServiceStub(channel)
            refusals = 0
            while refusals < 3:
                try:
                    await stub.ListOrders(order_service_pb2.ListOrdersRequest(), metadata=as_trader(ALICE))
                    outcomes["OK"] += 1
                except aio.AioRpcError as error:
                    connected = bool(error.trailing_metadata())
                    outcomes[f"{error.code().name} {reason_of(error) if connected else ''}".strip()] += 1
                    refusals += 1
                if outcomes["OK"] > 3 * CALLERS:
                    busy.set()

    async with serving(database) as blotter:
        callers = [asyncio.create_task(calls(blotter.port)) for _ in range(CALLERS)]
        await asyncio.wait_for(busy.wait(), 30)
    await asyncio.wait_for(asyncio.gather(*callers), 30)
    assert set(outcomes) <= {"OK", "UNAVAILABLE DRAINING", "UNAVAILABLE"}, outcomes
    assert outcomes["UNAVAILABLE DRAINING"]


async def test_a_stream_opened_while_the_server_drains_ends_with_draining(database: Database) -> None:
    async with serving(database) as blotter:
        blotter.drain()
        error = await refused(
            blotter.orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=as_trader(ALICE)).read()
        )
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")


async def test_every_step_of_the_stop_runs_though_one_raises(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.servicers.health.HealthServicer.drain", fail)
    monkeypatch.setattr("service.interceptors.backpressure.Backpressure.drain", fail)
    stack = AsyncExitStack()
    server = await stack.enter_async_context(running(settings(), database.conninfo("blotter_trader")))
    with pytest.raises(ValueError, match="of the test"):
        await asyncio.wait_for(stack.aclose(), 30)
    assert all(task.done() for task in server.tasks)
    with pytest.raises(OSError, match="onnect"):
        await asyncio.open_connection("127.0.0.1", server.port)


def fail(_: object) -> None:
    """A step that raises."""
    raise ValueError("of the test")


async def test_a_task_that_dies_ends_the_server_with_an_error(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def dies(_: Feed) -> None:
        raise ValueError("of the test")

    monkeypatch.setattr(Feed, "run", dies)
    async with asyncio.timeout(30):
        with pytest.raises(RuntimeError, match="feed"):
            await serve(settings(), database.conninfo("blotter_trader"), lambda _: None)
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "feed" in record.getMessage()
    assert record.exc_info
    assert "of the test" in str(record.exc_info[1])


async def test_a_second_server_on_the_port_is_refused(database: Database) -> None:
    async with serving(database) as blotter:
        second = running(settings(listen=f"127.0.0.1:{blotter.port}"), database.conninfo("blotter_trader"))
        with pytest.raises(AddressInUse):
            await second.__aenter__()
        await blotter.submit()
