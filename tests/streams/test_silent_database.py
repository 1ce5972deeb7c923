"""A database whose packets are lost: nothing fails, nothing answers. Streams and expiry use other connections."""

import asyncio

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from blotter.orders.v1 import order_pb2, watch_pb2
from tests.conftest import ALICE, Database
from tests.proxy import proxied
from tests.rpc.errors import info_of, reason_of, refused
from tests.rpc.test_expiry import make_due, tomorrow
from tests.serving import serving
from tests.streams.watching import watching

REASONS = ("DATABASE_UNAVAILABLE", "DATABASE_BUSY")
"""The reasons of a read that got no answer, or no connection."""

EACH_SECOND = watch_pb2.WatchOrdersRequest(heartbeat_interval=Duration(seconds=1))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.streams.reading.READ_SECONDS", 0.5)
    monkeypatch.setattr("service.streams.feed.LOOK_SECONDS", 0.5)
    monkeypatch.setattr("service.expiry.LOOK_SECONDS", 0.5)


async def test_dead_connections_delay_streams_and_expiry_and_stop_neither(database: Database) -> None:
    async with proxied(database) as silent, serving(silent) as blotter, serving(database) as other:
        order = await blotter.submit(expire_time=tomorrow())
        async with watching(blotter) as watch:
            await watch.until_snapshot()
            silent.proxy.deafen(new=False)
            await other.submit()
            async with asyncio.timeout(60):
                await watch.until(2)
    # Only the server behind the proxy may expire the order.
    async with proxied(database) as silent, serving(silent) as blotter, watching(blotter) as watch:
        await watch.until_snapshot()
        silent.proxy.deafen(new=False)
        make_due(database, f"id = '{order.order_id}'")
        async with asyncio.timeout(60):
            await watch.until(3)
        assert watch.events[-1].order.status == order_pb2.ORDER_STATUS_CANCELLED


async def test_heartbeats_are_sent_while_the_database_is_silent_and_events_after_it(database: Database) -> None:
    async with (
        proxied(database) as silent,
        serving(silent) as blotter,
        serving(database) as other,
        watching(blotter, request=EACH_SECOND) as watch,
    ):
        await watch.until_snapshot()
        await other.submit()
        await watch.until(1)
        silent.proxy.deafen()
        await other.submit()
        watch.heartbeats.clear()
        async with asyncio.timeout(60):
            while len(watch.heartbeats) < 3:
                await watch.next()
            assert watch.sequences == [1]
            assert {(beat.last_sequence, beat.last_event_sequence) for beat in watch.heartbeats} == {(1, 1)}
            silent.proxy.heal()
            await watch.until(2)


async def test_a_stream_that_is_stale_for_too_long_ends_with_its_token(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.streams.reading.STALE_SECONDS", 1.0)
    async with proxied(database) as silent, serving(silent) as blotter:
        await blotter.submit()
        async with watching(blotter, request=EACH_SECOND) as watch:
            await watch.until_snapshot()
            silent.proxy.deafen()
            error = await refused(
                watch.until(2, within=60)
            )  # the read that hangs, and its cancellation, have deadlines
            assert (error.code(), reason_of(error) in REASONS) == (grpc.StatusCode.UNAVAILABLE, True)
            assert info_of(error).metadata["resume_token"] == watch.token
        # A stream that begins now also ends.
        async with watching(blotter, ALICE) as late, asyncio.timeout(60):
            assert reason_of(await refused(late.call.read())) in REASONS


async def test_a_drain_ends_a_stream_whose_read_hangs(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.streams.reading.READ_SECONDS", 3600)
    async with (
        proxied(database) as silent,
        serving(silent) as blotter,
        watching(blotter, request=EACH_SECOND) as watch,
    ):
        await watch.until_snapshot()
        silent.proxy.deafen()
        blotter.feed.hint(ALICE)
        async with asyncio.timeout(60):
            while not watch.heartbeats:  # by then the read that the hint caused hangs
                await watch.next()
            blotter.drain()
            assert reason_of(await refused(watch.call.read())) == "DRAINING"
