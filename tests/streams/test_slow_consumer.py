"""The stream of a watcher that does not read ends, and resumes without loss."""

import asyncio
import logging
from typing import Any

import grpc
import pytest
from grpc import aio

from blotter.audit.v1 import audit_service_pb2, audit_service_pb2_grpc
from blotter.orders.v1 import order_service_pb2, order_service_pb2_grpc, watch_pb2
from service.interceptors.backpressure import Backpressure
from tests.conftest import ALICE, Database
from tests.rpc.errors import info_of
from tests.serving import Blotter, as_trader, order_request, serving
from tests.streams.watching import Watch, until, watching

# By default gRPC's flow control takes effect after about 4 MiB; with these options, after about 64 KiB.
SMALL_BUFFERS = [("grpc.http2.lookahead_bytes", 65536), ("grpc.http2.bdp_probe", 0)]
TRAIL = audit_service_pb2.StreamExecutionLogsRequest(follow=True)


async def test_the_stream_of_a_watcher_that_does_not_read_ends_and_resumes_without_loss(database: Database) -> None:
    async with (
        serving(database, slow_consumer_seconds=0.5) as blotter,
        aio.insecure_channel(f"127.0.0.1:{blotter.port}", SMALL_BUFFERS) as channel,
    ):
        orders = order_service_pb2_grpc.OrderServiceStub(channel)
        watch = Watch(orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=as_trader(ALICE)))
        await watch.until_snapshot()

        # Enough to fill every buffer between client and server: after this the server cannot write.
        batches = 4
        for _ in range(batches):
            await submit_many(blotter, 1000)
        await until(lambda: not blotter.feed._tails)
        with pytest.raises(aio.AioRpcError) as caught:
            await watch.until(batches * 1000)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert info_of(caught.value).reason == "SLOW_CONSUMER"
        assert watch.sequences

        # The error's token is that of the client: gRPC first delivers the message that could not be written in time.
        assert info_of(caught.value).metadata["resume_token"] == watch.token
        async with watching(blotter, request=watch_pb2.WatchOrdersRequest(resume_token=watch.token)) as resumed:
            await resumed.until(batches * 1000)
        assert watch.sequences + resumed.sequences == list(range(1, batches * 1000 + 1))


async def test_a_watcher_that_never_reads_its_first_message_gets_the_status_and_the_token(
    database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call has ended on the server before the client reads; gRPC keeps the status."""
    caplog.set_level(logging.INFO, "blotter.rpc")
    monkeypatch.setattr("service.interceptors.errors.STATUS_SECONDS", 0.1)
    async with (
        serving(database, slow_consumer_seconds=0.3) as blotter,
        aio.insecure_channel(f"127.0.0.1:{blotter.port}", SMALL_BUFFERS) as channel,
    ):
        await submit_many(blotter, 1000)
        stub = audit_service_pb2_grpc.AuditServiceStub(channel)
        call = stub.StreamExecutionLogs(TRAIL, metadata=as_trader(ALICE))
        await until(lambda: any("StreamExecutionLogs RESOURCE_EXHAUSTED" in line for line in caplog.messages))
        assert not blotter.feed._tails
        first: Any = await call.read()
        with pytest.raises(aio.AioRpcError) as caught:
            await asyncio.wait_for(call.read(), 10)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert info_of(caught.value).reason == "SLOW_CONSUMER"
        assert info_of(caught.value).metadata["resume_token"] == first.resume_token


async def submit_many(blotter: Blotter, count: int) -> None:
    """Enter `count` orders of ALICE, at most 1,000."""
    batch = order_service_pb2.BatchSubmitOrdersRequest(orders=[order_request() for _ in range(count)])
    await blotter.orders.BatchSubmitOrders(batch, metadata=as_trader(ALICE))


async def test_a_client_that_disconnects_during_a_write_is_no_error(
    database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "blotter.rpc")
    writing = asyncio.Semaphore(0)
    send = Backpressure._send

    async def observed(self: Backpressure, sent: Any) -> None:
        writing.release()
        await send(self, sent)

    monkeypatch.setattr(Backpressure, "_send", observed)
    async with (
        serving(database) as blotter,
        aio.insecure_channel(f"127.0.0.1:{blotter.port}", SMALL_BUFFERS) as channel,
    ):
        await submit_many(blotter, 1000)
        stub = audit_service_pb2_grpc.AuditServiceStub(channel)
        for _ in range(5):
            call = stub.StreamExecutionLogs(TRAIL, metadata=as_trader(ALICE))
            await writing.acquire()  # the initial metadata
            await writing.acquire()  # a message that fits into no buffer
            call.cancel()
            await until(lambda: not blotter.feed._tails)
        await blotter.submit()
    ends = [record for record in caplog.records if "StreamExecutionLogs" in record.message and hasattr(record, "code")]
    outcomes = [getattr(record, "code", "") for record in ends]
    assert outcomes == ["CANCELLED"] * 5
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_stream_that_is_not_read_ends_with_the_others_when_the_server_drains(database: Database) -> None:
    async with (
        serving(database, slow_consumer_seconds=60, grace_seconds=30) as blotter,
        aio.insecure_channel(f"127.0.0.1:{blotter.port}", SMALL_BUFFERS) as channel,
    ):
        orders = order_service_pb2_grpc.OrderServiceStub(channel)
        watch = Watch(orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=as_trader(ALICE)))
        await watch.until_snapshot()
        for _ in range(4):
            await submit_many(blotter, 1000)

        blotter.drain()
        with pytest.raises(aio.AioRpcError) as caught:
            await asyncio.wait_for(watch.until(4000), 20)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert info_of(caught.value).reason == "DRAINING"
        assert info_of(caught.value).metadata["resume_token"] == watch.token
        assert watch.sequences == list(range(1, len(watch.sequences) + 1))
