"""Two workers and a sequencer as one service, while its processes are killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from blotter.orders.v1 import order_service_pb2_grpc, watch_pb2
from service.process import AddressInUse
from service.server import running
from service.workers.reservation import reserved
from tests.conftest import ALICE, BOB, Database, cloned
from tests.serving import as_trader, order_request, settings
from tests.streams.watching import Watch
from tests.workers.service import OPTIONS, Load, Service, served, until, with_keys

SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture(scope="module")
def whole_database(template: Database) -> Iterator[Database]:
    """A database for all tests here: starting three processes for each would take longer than the tests."""
    with cloned(template, "blotter_workers") as database:
        yield database


@pytest.fixture(scope="module")
def service(whole_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service, signing a ledger."""
    folder = tmp_path_factory.mktemp("workers")
    with served(folder, whole_database, **with_keys(folder), BLOTTER_CHECKPOINT_SECONDS="0.2") as service:
        yield service


async def whole(service: Service) -> None:
    """Wait until all processes run and report that they serve."""

    async def all_up() -> bool:
        up = await service.metrics("blotter_worker_up")
        return up == {"1": 1, "2": 1, "sequencer": 1} and await service.health("blotter.ledger") == 200

    await until(all_up, "not all processes serve")


async def test_both_workers_serve_calls_and_one_endpoint_shows_all(service: Service) -> None:
    await whole(service)
    channels = []
    counted: dict[str, float] = {}
    try:
        while len(counted) < 2:  # the kernel distributes the connections by their hash
            async with asyncio.timeout(30):
                channel = aio.insecure_channel(f"127.0.0.1:{service.port}", OPTIONS)
                channels.append(channel)
                stub = order_service_pb2_grpc.OrderServiceStub(channel)
                await stub.SubmitOrder(order_request(), metadata=as_trader(ALICE))
            counted = await service.metrics("rpc_server_call_duration_seconds_count")
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))
    assert set(counted) == {"1", "2"}
    assert sum(counted.values()) >= len(channels)
    assert set(await service.metrics("process_cpu_seconds_total")) == {"parent", "1", "2", "sequencer"}
    assert await service.metrics("blotter_sequencer_active") == {"1": 0, "2": 0, "sequencer": 1}
    assert await service.metrics("blotter_db_up") == {"1": 1, "2": 1}
    assert set(await service.metrics("blotter_ledger_size")) == {"sequencer"}
    serving = await service.metrics("blotter_health_serving", service="readiness")
    assert serving == {"": 1, "1": 1, "2": 1}
    for name in ("startup", "liveness", "readiness", "blotter.ledger", "blotter.orders.v1.OrderService"):
        assert await service.health(name) == 200
    assert await service.health("nobody") == 404


async def test_another_server_and_another_parent_are_refused_the_port(
    service: Service, whole_database: Database
) -> None:
    await whole(service)
    listen = f"127.0.0.1:{service.port}"
    with pytest.raises(AddressInUse):
        await running(settings(listen=listen), whole_database.conninfo("blotter_trader")).__aenter__()
    with pytest.raises(AddressInUse), reserved(listen):
        pass


@pytest.mark.parametrize(
    ("by", "how"), [(signal.SIGKILL, "was ended by SIGKILL"), (signal.SIGTERM, "ended with status 0")]
)
async def test_a_worker_that_ends_under_load_loses_no_answered_order_and_is_started_again(
    service: Service, whole_database: Database, by: signal.Signals, how: str
) -> None:
    await whole(service)
    before = await service.metrics("blotter_worker_restarts_total")
    async with service.channels(12) as channels:
        load = Load(channels, by.name)
        await load.until_answered(50)
        first = service.pids()["1"]
        os.kill(first, by)
        await load.until_answered(100)

        async def replaced() -> bool:
            return service.pids().get("1", first) != first

        await until(replaced, "the worker was not started again")
        await whole(service)
        await load.until_answered(50)
        await load.end()
    load.check(whole_database)
    after = await service.metrics("blotter_worker_restarts_total")
    assert {name: after[name] - before[name] for name in after} == {"1": 1, "2": 0, "sequencer": 0}
    assert f"Worker 1 (process {first}) {how}" in service.text


async def test_without_a_worker_the_whole_is_not_ready_until_one_serves_again(
    service: Service, whole_database: Database
) -> None:
    await whole(service)
    async with service.channels(4) as channels:
        load = Load(channels, "none")
        await load.until_answered(10)
        for name in ("1", "2"):
            os.kill(service.pids()[name], signal.SIGKILL)

        async def unready() -> bool:
            return await service.health("readiness") == 503

        await until(unready, "the whole is ready without a worker")
        assert await service.health("blotter.orders.v1.OrderService") == 503
        assert await service.health("liveness") == 200
        with pytest.raises(AddressInUse), reserved(f"127.0.0.1:{service.port}"):
            pass
        await whole(service)
        assert await service.health("readiness") == 200
        await load.until_answered(10)
        await load.end()
    load.check(whole_database)


async def test_a_killed_sequencer_is_reported_by_each_worker_and_the_ledger_continues(
    service: Service, whole_database: Database
) -> None:
    await whole(service)
    async with service.channels(1) as [channel]:
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service="blotter.ledger"))
        assert (await watch.read()).status == SERVING
        first = service.pids()["sequencer"]
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(30):
            assert (await watch.read()).status != SERVING
            assert (await watch.read()).status == SERVING
        watch.cancel()
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        answer = await stub.SubmitOrder(order_request(), metadata=as_trader(ALICE))
    assert service.pids()["sequencer"] != first
    positioned = (
        "SELECT count(*) FROM ledger_entries JOIN execution_logs USING (trader_id, sequence) "
        f"WHERE order_id = '{answer.order.order_id}'"
    )

    async def continued() -> bool:
        return (
            await asyncio.to_thread(whole_database.cluster.psql, positioned, dbname=whole_database.name)
        ).strip() == "1"

    await until(continued, "the order has no position in the ledger")


async def test_a_stream_resumes_on_another_worker_without_a_gap(service: Service) -> None:
    await whole(service)
    async with service.channels(2) as [watching, writing]:
        stub = order_service_pb2_grpc.OrderServiceStub(writing)
        watch = Watch(
            order_service_pb2_grpc.OrderServiceStub(watching).WatchOrders(
                watch_pb2.WatchOrdersRequest(), metadata=as_trader(BOB)
            )
        )
        await watch.until_snapshot()
        streams = await service.metrics("blotter_stream_open")
        [worker] = [name for name, number in streams.items() if number]
        os.kill(service.pids()[worker], signal.SIGKILL)
        with pytest.raises(aio.AioRpcError):
            await watch.until(99)
        for number in range(3):
            await submitted(stub, f"while-away-{number}")
        request = watch_pb2.WatchOrdersRequest(resume_token=watch.token)
        resumed = Watch(
            order_service_pb2_grpc.OrderServiceStub(watching).WatchOrders(
                request, metadata=as_trader(BOB), wait_for_ready=True
            )
        )
        await resumed.until(3)
        await submitted(stub, "afterwards")
        await resumed.until(4)
        resumed.call.cancel()
    assert resumed.sequences == [1, 2, 3, 4]


async def submitted(stub: Any, key: str) -> None:
    """Enter an order for Bob, again with the same key while no worker answers."""
    async with asyncio.timeout(30):
        while True:
            try:
                await stub.SubmitOrder(order_request(client_order_id=key), metadata=as_trader(BOB))
            except aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.05)
            else:
                return
