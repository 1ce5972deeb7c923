"""A watcher that does not read is cut off, and resumes without loss."""

import asyncio
import logging

import grpc
import pytest
from grpc import aio

from blotter.orders.v1 import order_service_pb2, order_service_pb2_grpc, watch_pb2
from tests.conftest import ALICE, Database
from tests.rpc.errors import info_of
from tests.serving import Blotter, as_trader, order_request, serving
from tests.streams.watching import Watch, watching

# gRPC's own back-pressure starts only after some 4 MiB; with these, after some 64 KiB.
SMALL_BUFFERS = [("grpc.http2.lookahead_bytes", 65536), ("grpc.http2.bdp_probe", 0)]


async def test_a_watcher_that_does_not_read_is_cut_off_and_resumes_without_loss(database: Database) -> None:
    async with (
        serving(database, slow_consumer_seconds=0.5) as blotter,
        aio.insecure_channel(f"127.0.0.1:{blotter.port}", SMALL_BUFFERS) as channel,
    ):
        orders = order_service_pb2_grpc.OrderServiceStub(channel)
        watch = Watch(orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=as_trader(ALICE)))
        await watch.until_snapshot()

        # Enough for every buffer between the two ends: after this the server cannot write.
        batches = 4
        for _ in range(batches):
            await blotter.orders.BatchSubmitOrders(
                order_service_pb2.BatchSubmitOrdersRequest(orders=[order_request() for _ in range(1000)]),
                metadata=as_trader(ALICE),
            )

        async def cut_off() -> None:
            while len(blotter.feed._subscriptions):  # noqa: ASYNC110  # nothing tells when a stream is gone
                await asyncio.sleep(0.05)

        await asyncio.wait_for(cut_off(), 30)
        with pytest.raises(aio.AioRpcError) as caught:
            await watch.until(batches * 1000)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert info_of(caught.value).reason == "SLOW_CONSUMER"
        assert watch.sequences

        # What the error says is what the client has: gRPC delivers the message that could not be written in time first.
        assert info_of(caught.value).metadata["resume_token"] == watch.token
        async with watching(blotter, request=watch_pb2.WatchOrdersRequest(resume_token=watch.token)) as resumed:
            await resumed.until(batches * 1000)
        assert watch.sequences + resumed.sequences == list(range(1, batches * 1000 + 1))


async def test_a_client_that_hangs_up_while_it_is_written_to_is_no_error(
    blotter: Blotter, caplog: pytest.LogCaptureFixture
) -> None:
    batch = order_service_pb2.BatchSubmitOrdersRequest(orders=[order_request() for _ in range(500)])
    await blotter.orders.BatchSubmitOrders(batch, metadata=as_trader(ALICE))
    for _ in range(40):
        calls = [
            blotter.orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=as_trader(ALICE)) for _ in range(5)
        ]
        await calls[0].read()
        for call in calls:
            call.cancel()
    await blotter.submit()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_stream_that_is_not_read_ends_with_the_others_when_the_server_drains(database: Database) -> None:
    async with (
        serving(database, slow_consumer_seconds=60, grace_seconds=30) as blotter,
        aio.insecure_channel(f"127.0.0.1:{blotter.port}", SMALL_BUFFERS) as channel,
    ):
        orders = order_service_pb2_grpc.OrderServiceStub(channel)
        watch = Watch(orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=as_trader(ALICE)))
        await watch.until_snapshot()
        batch = order_service_pb2.BatchSubmitOrdersRequest(orders=[order_request() for _ in range(1000)])
        for _ in range(4):
            await blotter.orders.BatchSubmitOrders(batch, metadata=as_trader(ALICE))
            batch = order_service_pb2.BatchSubmitOrdersRequest(orders=[order_request() for _ in range(1000)])

        blotter.drain()
        with pytest.raises(aio.AioRpcError) as caught:
            await asyncio.wait_for(watch.until(4000), 20)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert info_of(caught.value).reason == "DRAINING"
        assert info_of(caught.value).metadata["resume_token"] == watch.token
        assert watch.sequences == list(range(1, len(watch.sequences) + 1))
