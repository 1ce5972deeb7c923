"""The limits of each caller: calls a second, open streams and exports; those of requests and connections."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from blotter.audit.v1 import audit_service_pb2, inspection_pb2, ledger_pb2
from blotter.orders.v1 import order_service_pb2, watch_pb2
from service.domain.discrepancies import Progress
from service.domain.identity import CallerKind
from service.domain.permissions import PERMISSIONS
from service.interceptors import limits
from service.interceptors.limits import EXPORTS, ITEMS, WATCHES, Buckets, weight_of
from service.repositories.reconciliation import Reconciliation
from service.server import running
from tests.conftest import ALICE, BOB, Database
from tests.rpc.errors import details_of, info_of, reason_of, refused
from tests.rpc.methods import METHODS
from tests.rpc.written import written
from tests.serving import COMPLIANCE, EXECUTION, Blotter, as_trader, connected, order_request, serving, settings

A, B = as_trader(ALICE), as_trader(BOB)
A_DAY = 1 / 86_400
"""A rate so low that no test lasts until a bucket has another token."""

ONE, OTHER = (CallerKind.TRADER, ALICE), (CallerKind.TRADER, BOB)


def test_a_bucket_passes_its_burst_and_then_the_rate() -> None:
    buckets = Buckets(rate=8, burst=3)
    assert [buckets.take(ONE, 1, now=100) for _ in range(4)] == [0, 0, 0, 0.125]
    assert buckets.take(ONE, 1, now=100.0625) == 0.0625, "a refused call takes no token"
    assert buckets.take(OTHER, 1, now=100) == 0
    assert buckets.take(ONE, 1, now=100.125) == 0
    assert [buckets.take(ONE, 1, now=1000) for _ in range(4)] == [0, 0, 0, 0.125], "no more than the burst is saved"


def test_a_batch_may_exceed_the_bucket_and_later_calls_wait_for_what_it_took() -> None:
    buckets = Buckets(rate=8, burst=3)
    assert buckets.take(ONE, 1000, now=100) == 0
    assert buckets.take(ONE, 1, now=100) == (1000 - 2) / 8
    assert buckets.take(ONE, 1000, now=100 + (1000 - 2) / 8) == 0


def test_only_buckets_that_are_not_full_are_kept_and_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_BUCKETS", 100)
    buckets = Buckets(rate=1, burst=1)
    for number in range(1000):
        assert buckets.take((CallerKind.EXECUTION, f"gateway-{number}"), 1, now=100) == 0
    assert len(buckets._full_at) == 100
    assert buckets.take(ONE, 1, now=200) == 0
    assert list(buckets._full_at) == [ONE]


def test_every_stream_and_every_batch_of_the_table_is_counted() -> None:
    paths = {name.rpartition("/")[2]: f"/{name}" for name in PERMISSIONS}
    assert {paths[name] for name, method in METHODS.items() if method.streaming} == WATCHES | EXPORTS
    assert {paths[name] for name in METHODS if name.startswith("Batch")} == set(ITEMS)


async def wait_of(call: Any) -> float:
    """The wait in seconds that the refusal of a call names."""
    error = await refused(call)
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    [retry] = details_of(error, error_details_pb2.RetryInfo)
    seconds: float = retry.retry_delay.ToTimedelta().total_seconds()
    return seconds


async def test_a_caller_beyond_its_rate_is_refused_with_the_wait_and_no_other_caller_is(database: Database) -> None:
    async with (
        running(settings(calls_per_second=A_DAY, calls_burst=3), database.conninfo("blotter_trader")) as server,
        connected(server, database) as blotter,
    ):
        for _ in range(3):
            await blotter.submit()
        before = written(blotter)
        assert 86_000 < await wait_of(blotter.submit()) < 86_401
        # A stream counts as one call, and a refused one sends nothing.
        assert await wait_of(blotter.orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=A).read()) > 0
        assert written(blotter) == before
        assert server.metrics.rate_limited.labels("trader")._value.get() == 2
        # Another trader, a gateway under two names, and callers without an identity.
        order = await blotter.submit(BOB)
        for actor in ("one", "other"):
            for _ in range(3):
                request = watch_pb2.WatchOrdersRequest(order_ids=[order.order_id])
                watch = blotter.orders.WatchOrders(request, metadata=(*EXECUTION, ("x-actor", actor)))
                await watch.read()
                watch.cancel()
        health: Any = health_pb2_grpc.HealthStub(blotter.channel)
        for _ in range(10):
            await health.Check(health_pb2.HealthCheckRequest())


async def test_the_refusals_that_wait_are_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first refusal waits for longer than the test lasts, the second is sent at once."""
    monkeypatch.setattr(limits, "DELAY_SECONDS", 3600)
    monkeypatch.setattr(limits, "MOST_DELAYED", 1)
    async with serving(database, calls_per_second=A_DAY, calls_burst=1, grace_seconds=0) as blotter:
        await blotter.submit()
        calls = [asyncio.create_task(wait_of(blotter.submit())) for _ in range(3)]
        for answer in asyncio.as_completed(calls):
            assert await answer > 86_000
            if sum(call.done() for call in calls) == 2:
                break
        [delayed] = [call for call in calls if not call.done()]
        delayed.cancel()
        await asyncio.wait([delayed])


async def test_calls_that_are_refused_for_another_reason_count(database: Database) -> None:
    async with serving(database, calls_per_second=A_DAY, calls_burst=3) as blotter:
        batch = "/blotter.orders.v1.OrderService/BatchSubmitOrders"
        malformed: Any = blotter.channel.unary_unary(batch, None, None)
        for _ in range(3):
            call = blotter.orders.SubmitOrder(order_request(), metadata=COMPLIANCE)
            assert reason_of(await refused(call)) == "WRONG_ROLE"
            assert reason_of(await refused(malformed(b"\xff", metadata=A))) == "MALFORMED_REQUEST"
        assert await wait_of(blotter.orders.SubmitOrder(order_request(), metadata=COMPLIANCE)) > 0
        assert await wait_of(malformed(b"\xff", metadata=A)) > 0


async def test_each_item_of_a_batch_counts_as_a_call(database: Database) -> None:
    async with serving(database, calls_per_second=A_DAY, calls_burst=3) as blotter:
        batch = order_service_pb2.BatchSubmitOrdersRequest(orders=[order_request() for _ in range(10)])
        assert len((await blotter.orders.BatchSubmitOrders(batch, metadata=A)).results) == 10
        assert await wait_of(blotter.submit()) > 7 * 86_400
        empty = order_service_pb2.BatchSubmitOrdersRequest()
        for _ in range(3):
            assert reason_of(await refused(blotter.orders.BatchSubmitOrders(empty, metadata=B))) == "INVALID_REQUEST"
        assert await wait_of(blotter.orders.BatchSubmitOrders(empty, metadata=B)) > 0


@pytest.mark.parametrize(
    ("page_size", "calls"), [(0, 1), (-1, 1), (1, 1), (50, 1), (51, 2), (500, 10), (1000, 20), (2**31 - 1, 20)]
)
def test_a_page_counts_as_a_call_for_every_50_of_its_rows(page_size: int, calls: int) -> None:
    method = "/blotter.orders.v1.OrderService/ListOrders"
    assert weight_of(method, order_service_pb2.ListOrdersRequest(page_size=page_size)) == calls


async def test_a_large_page_takes_the_tokens_of_later_calls(database: Database) -> None:
    async with serving(database, calls_per_second=A_DAY, calls_burst=3) as blotter:
        await blotter.orders.ListOrders(order_service_pb2.ListOrdersRequest(page_size=500), metadata=A)
        assert await wait_of(blotter.submit()) > 7 * 86_400


async def flood(blotter: Blotter, outcomes: Counter[str]) -> None:
    """Submit orders of ALICE without a pause, also after a refusal, and count the outcomes."""
    while True:
        try:
            await blotter.submit()
        except aio.AioRpcError as error:
            outcomes[reason_of(error)] += 1
        else:
            outcomes["OK"] += 1


async def test_many_calls_at_one_time_are_refused_at_the_rate_of_their_caller(database: Database) -> None:
    """Each of 40 calls that are repeated at once would otherwise be refused 20 times in the second."""
    async with serving(database, calls_per_second=20, calls_burst=1) as blotter:
        outcomes: Counter[str] = Counter()
        floods = [asyncio.create_task(flood(blotter, outcomes)) for _ in range(40)]
        _, running_on = await asyncio.wait(floods, timeout=1)
        for task in floods:
            task.cancel()
        assert running_on == set(floods)
        await asyncio.wait(floods)
        assert 0 < outcomes["RATE_LIMITED"] < 200


async def test_a_greedy_caller_is_refused_and_every_call_of_the_others_is_served(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DELAY_SECONDS", 0.01)
    async with serving(database, calls_per_second=A_DAY, calls_burst=20) as blotter:
        outcomes: Counter[str] = Counter()
        async with asyncio.TaskGroup() as group:
            floods = [group.create_task(flood(blotter, outcomes)) for _ in range(10)]
            served = [await blotter.submit(BOB) for _ in range(20)]
            for task in floods:
                task.cancel()
        assert [order.last_sequence for order in served] == list(range(1, 21))
        assert outcomes["OK"] <= 20
        assert set(outcomes) == {"OK", "RATE_LIMITED"}


@pytest.fixture
async def few_streams(database: Database) -> AsyncIterator[Blotter]:
    """A server that permits each caller two streams and one export."""
    async with serving(database, max_streams_per_caller=2, max_exports_per_caller=1) as blotter:
        yield blotter


async def too_many(call: Any, most: int) -> None:
    """Read a stream that must be refused."""
    error = await refused(call.read())
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
    assert info_of(error).metadata["most"] == str(most)


async def test_streams_are_counted_for_each_caller_while_they_are_open(few_streams: Blotter) -> None:
    blotter = few_streams

    def watch(metadata: Any) -> Any:
        return blotter.orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=metadata)

    def follow(metadata: Any) -> Any:
        request = audit_service_pb2.StreamExecutionLogsRequest(follow=True)
        return blotter.audit.StreamExecutionLogs(request, metadata=metadata)

    one, two = watch(A), follow(A)
    await one.read()
    await blotter.submit()
    await two.read()
    for refused_one in (watch(A), follow(A)):
        await too_many(refused_one, most=2)
    for metadata in (B, EXECUTION, (*EXECUTION, ("x-actor", "other")), COMPLIANCE):
        for stream in (watch(metadata), watch(metadata)):
            await stream.read()
    one.cancel()
    async with asyncio.timeout(10):  # the server notices the end in its own time
        while True:
            another = watch(A)
            try:
                await another.read()
            except aio.AioRpcError as error:
                assert reason_of(error) == "TOO_MANY_STREAMS"  # noqa: PT017
            else:
                break
    await too_many(watch(A), most=2)


async def test_the_streams_of_callers_without_an_identity_are_counted_together(
    few_streams: Blotter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST_OPEN_TO_ANYONE", 2)
    health: Any = health_pb2_grpc.HealthStub(few_streams.channel)
    reflection: Any = few_streams.channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", None, None
    )
    watch, describe = health.Watch(health_pb2.HealthCheckRequest()), reflection()
    await watch.read()
    await describe.write(b"")
    await describe.read()
    await too_many(health.Watch(health_pb2.HealthCheckRequest()), most=2)
    await too_many(reflection(), most=2)
    await health.Check(health_pb2.HealthCheckRequest())
    await few_streams.orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=A).read()
    await describe.done_writing()
    assert await describe.read() is aio.EOF
    await health.Watch(health_pb2.HealthCheckRequest()).read()


async def test_exports_are_counted_apart_from_streams(few_streams: Blotter, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, end = asyncio.Event(), asyncio.Event()

    async def run(*arguments: Any) -> AsyncIterator[Any]:
        begun.set()
        await end.wait()
        yield Progress(0, 0, 0, 0)

    monkeypatch.setattr(Reconciliation, "run", run)

    def reconcile(metadata: Any) -> Any:
        return few_streams.audit.ReconcileOrders(inspection_pb2.ReconcileOrdersRequest(), metadata=metadata)

    async def whole(metadata: Any) -> list[Any]:
        return [message async for message in reconcile(metadata)]

    export = ledger_pb2.ExportExecutionLogsRequest()
    first = asyncio.create_task(whole(COMPLIANCE))
    await begun.wait()
    await too_many(reconcile(COMPLIANCE), most=1)
    await too_many(few_streams.audit.ExportExecutionLogs(export, metadata=COMPLIANCE), most=1)
    stream = few_streams.orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=COMPLIANCE)
    await stream.read()
    begun.clear()
    other = asyncio.create_task(whole((*COMPLIANCE, ("x-actor", "other"))))
    await begun.wait()
    end.set()
    assert len(await first) == len(await other) == len(await whole(COMPLIANCE)) == 1


async def test_a_request_above_the_maximum_is_refused_and_one_below_is_not(database: Database) -> None:
    async with serving(database, max_request_bytes=10_000) as blotter:
        large = order_service_pb2.CancelAllOrdersRequest(reason="x" * 10_000)
        error = await refused(blotter.orders.CancelAllOrders(large, metadata=A))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        small = order_service_pb2.CancelAllOrdersRequest(reason="x" * 9_000)
        assert reason_of(await refused(blotter.orders.CancelAllOrders(small, metadata=A))) == "INVALID_REQUEST"


async def test_a_connection_beyond_the_maximum_is_closed_and_another_may_take_its_place(database: Database) -> None:
    async with serving(database, max_connections=2) as blotter, AsyncExitStack() as channels:
        await blotter.channel.channel_ready()

        async def connect() -> aio.Channel:
            options = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 100)]
            channel = aio.insecure_channel(f"127.0.0.1:{blotter.port}", options=options)
            return await channels.enter_async_context(channel)

        def check(channel: Any, **options: Any) -> Any:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            return stub.Check(health_pb2.HealthCheckRequest(), timeout=20, **options)

        second, third = await connect(), await connect()
        await check(second)
        assert (await refused(check(third))).code() == grpc.StatusCode.UNAVAILABLE
        await second.close()
        await check(third, wait_for_ready=True)


async def test_a_connection_without_calls_is_closed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.listening.IDLE_SECONDS", 0.2)
    async with serving(database) as blotter, asyncio.timeout(20):
        await blotter.submit()
        while (state := blotter.channel.get_state()) == grpc.ChannelConnectivity.READY:
            await blotter.channel.wait_for_state_change(state)
        await blotter.submit()


async def test_a_client_that_does_not_finish_its_handshake_is_disconnected(database: Database) -> None:
    async with serving(database, handshake_seconds=0.2) as blotter:
        for sent in (b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", blotter.port)
            writer.write(sent)
            async with asyncio.timeout(20):
                await reader.read()  # to the end of the connection
            writer.close()
        await blotter.submit()
