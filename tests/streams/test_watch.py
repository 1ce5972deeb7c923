"""The messages of a watch."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import aio

from blotter.audit.v1 import audit_service_pb2
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc, watch_pb2
from service.repositories.events import Events
from tests.conftest import ALICE, BOB, Database
from tests.rpc.errors import info_of, reason_of, refused
from tests.serving import Blotter, as_trader, order_request, serving
from tests.streams.watching import Watch, watching


async def test_snapshot_then_each_event_with_the_state_after_it(blotter: Blotter) -> None:
    old = await blotter.submit()
    await blotter.submit(BOB)
    async with watching(blotter) as watch:
        complete = await watch.until_snapshot()
        assert (complete.last_sequence, complete.order_count) == (1, 1)
        assert watch.orders == {old.order_id: old}

        await blotter.fill(old, 40)
        await blotter.fill(old, 60, "586")
        await watch.until(3)
        first, second = watch.events
        assert (first.sequence, second.sequence) == (2, 3)
        assert (first.order.filled_quantity, first.order.status) == (40, order_pb2.ORDER_STATUS_PARTIAL)
        assert (second.order.filled_quantity, second.order.status) == (100, order_pb2.ORDER_STATUS_FILLED)
        assert (second.fill.quantity, second.fill.price, second.fill.venue) == (60, "586", "NASDAQ")


async def test_a_large_snapshot_is_of_one_moment_though_orders_change_while_it_is_sent(
    blotter: Blotter,
) -> None:
    submitted = []
    for _ in range(2):
        batch = order_service_pb2.BatchSubmitOrdersRequest(orders=[order_request() for _ in range(800)])
        response = await blotter.orders.BatchSubmitOrders(batch, metadata=as_trader(ALICE))
        submitted += [result.response.order for result in response.results]
    async with watching(blotter) as watch:
        await watch.next()
        for order in submitted[::20]:  # some have been sent, some have not
            await blotter.fill(order, 1)
        complete = await watch.until_snapshot()
        assert complete.last_sequence == 1600
        assert all(order.last_sequence <= 1600 for order in watch.orders.values())
        await watch.until(1680)
        assert watch.sequences == list(range(1601, 1681))
        assert len(watch.orders) == 1600
        filled = {order.order_id for order in watch.orders.values() if order.filled_quantity}
        assert filled == {order.order_id for order in submitted[::20]}


async def test_filters_select_orders_symbols_and_statuses(blotter: Blotter) -> None:
    apple, other = await blotter.submit(), await blotter.submit(symbol="MSFT")
    by_order = watch_pb2.WatchOrdersRequest(order_ids=[apple.order_id])
    by_symbol = watch_pb2.WatchOrdersRequest(symbols=["MSFT"])
    by_status = watch_pb2.WatchOrdersRequest(statuses=[order_pb2.ORDER_STATUS_FILLED])
    async with (
        watching(blotter, request=by_order) as one,
        watching(blotter, request=by_symbol) as two,
        watching(blotter, request=by_status) as three,
    ):
        for watch, expected in ((one, {apple.order_id}), (two, {other.order_id}), (three, set())):
            await watch.until_snapshot()
            assert set(watch.orders) == expected
        await blotter.fill(apple, 50)
        await blotter.fill(other, 50)
        await blotter.fill(apple, 50)
        await blotter.fill(other, 50)
        await one.until(5)
        await two.until(6)
        await three.until(6)
        assert (one.sequences, two.sequences, three.sequences) == ([3, 5], [4, 6], [5, 6])


async def test_a_heartbeat_has_the_position_of_the_stream_and_of_the_last_event(blotter: Blotter) -> None:
    request = watch_pb2.WatchOrdersRequest(symbols=["AAPL"], heartbeat_interval=Duration(seconds=1))
    async with watching(blotter, request=request) as watch:
        await watch.until_snapshot()
        await blotter.submit()
        await blotter.submit(symbol="MSFT")
        while not watch.heartbeats:
            await watch.next()
        assert watch.sequences == [1]
        assert (watch.heartbeats[0].last_sequence, watch.heartbeats[0].last_event_sequence) == (2, 1)
        # The heartbeat's token is after the event that the filter excluded.
    resumed = watch_pb2.WatchOrdersRequest(symbols=["AAPL"], resume_token=watch.token)
    async with watching(blotter, request=resumed) as again:
        await blotter.submit()
        await again.until(3)
        assert again.sequences == [3]


async def test_a_token_is_bound_to_the_trader_and_the_filters(blotter: Blotter) -> None:
    await blotter.submit()
    async with watching(blotter) as watch:
        await watch.until_snapshot()
    token = watch.token
    flipped = token[:5] + ("A" if token[5] != "A" else "B") + token[6:]
    for trader, request in (
        (BOB, watch_pb2.WatchOrdersRequest(resume_token=token)),
        (ALICE, watch_pb2.WatchOrdersRequest(resume_token=token, symbols=["AAPL"])),
        (ALICE, watch_pb2.WatchOrdersRequest(resume_token=flipped)),
        (ALICE, watch_pb2.WatchOrdersRequest(resume_token=token[:-1])),
        (ALICE, watch_pb2.WatchOrdersRequest(resume_token="x")),
        (ALICE, watch_pb2.WatchOrdersRequest(resume_token="x" * 20_000)),
    ):
        async with watching(blotter, trader, request) as bad:
            error = await refused(bad.call.read())
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_RESUME_TOKEN")
        assert "resume_token" not in info_of(error).metadata, (
            "the refused token must not be returned as the one to resume with"
        )


async def test_a_token_ahead_of_the_trail_is_out_of_range(database: Database, blotter: Blotter) -> None:
    """As after the database was restored from an older backup."""
    await blotter.submit()
    async with watching(blotter) as watch:
        await watch.until_snapshot()
    database.cluster.psql(
        "SET session_replication_role = replica; DELETE FROM execution_logs; DELETE FROM orders; "
        "DELETE FROM trader_sequences;",
        dbname=database.name,
    )
    async with watching(blotter, request=watch_pb2.WatchOrdersRequest(resume_token=watch.token)) as late:
        error = await refused(late.call.read())
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.OUT_OF_RANGE, "RESUME_TOKEN_OUT_OF_RANGE")


async def test_a_commit_of_another_process_wakes_the_stream(database: Database, blotter: Blotter) -> None:
    async with serving(database) as other, watching(blotter) as watch:
        await watch.until_snapshot()
        order = await other.submit()
        await other.fill(order, 100)
        await asyncio.wait_for(watch.until(2), 30)
        assert watch.sequences == [1, 2]


async def test_the_trail_streams_up_to_now_and_ends_or_follows(blotter: Blotter) -> None:
    order = await blotter.submit()
    await blotter.fill(order, 100)
    await blotter.submit(BOB)
    history = blotter.audit.StreamExecutionLogs(
        audit_service_pb2.StreamExecutionLogsRequest(), metadata=as_trader(ALICE)
    )
    messages = [message async for message in history]
    assert [log.sequence for message in messages for log in message.logs.execution_logs] == [1, 2]
    assert messages[-1].heartbeat.last_sequence == 2

    fills = audit_service_pb2.StreamExecutionLogsRequest(follow=True, actions=[order_pb2.ACTION_FILLED])
    live = blotter.audit.StreamExecutionLogs(fills, metadata=as_trader(ALICE))
    assert [log.sequence for log in (await live.read()).logs.execution_logs] == [2]
    another = await blotter.submit()
    await blotter.report(another, approved=reports_pb.ApprovedReport())
    await blotter.fill(another, 1)
    message = await live.read()
    assert [log.sequence for log in message.logs.execution_logs] == [5]
    live.cancel()
    fills.resume_token = message.resume_token
    fills.follow = False
    rest = blotter.audit.StreamExecutionLogs(fills, metadata=as_trader(ALICE))
    assert [message.WhichOneof("message") async for message in rest] == ["heartbeat"]


async def test_idle_streams_hold_no_connections(database: Database, blotter: Blotter) -> None:
    calls = [blotter.orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=as_trader(ALICE)) for _ in range(60)]
    watches = [Watch(call) for call in calls]
    await asyncio.gather(*(watch.until_snapshot() for watch in watches))
    order = await blotter.submit()
    await blotter.fill(order, 100)
    await asyncio.gather(*(watch.until(2) for watch in watches))
    assert all(watch.sequences == [1, 2] for watch in watches)
    used = database.cluster.psql(
        f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database.name}' AND usename LIKE 'blotter%'"
    )
    assert int(used) <= 8 + 4 + 2
    for call in calls:
        call.cancel()


async def test_all_clients_may_connect_at_once(blotter: Blotter) -> None:
    """As after a restart: by default gRPC drops calls at random when 1,000 wait to be accepted."""
    # A connection has at most 1,000 streams, and a trader at most 1,000 calls that wait for the database.
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with AsyncExitStack() as channels:
        calls = []
        for trader in (ALICE, BOB):
            channel = await channels.enter_async_context(
                aio.insecure_channel(f"127.0.0.1:{blotter.port}", options=options)
            )
            stub = order_service_pb2_grpc.OrderServiceStub(channel)
            calls += [stub.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=as_trader(trader)) for _ in range(750)]
        served = await asyncio.gather(*(is_served(call) for call in calls))
        for call in calls:
            call.cancel()
    assert any(served)


async def is_served(call: Any) -> bool:
    """Whether a watch got its snapshot. On a slow machine some wait too long for the database and have to retry."""
    try:
        await Watch(call).until_snapshot()
    except aio.AioRpcError as error:
        if reason_of(error) != "DATABASE_BUSY":
            raise
        return False
    return True


async def test_a_token_of_another_method_is_refused(blotter: Blotter) -> None:
    await blotter.submit()
    async with watching(blotter) as watch:
        await watch.until_snapshot()
    request = audit_service_pb2.StreamExecutionLogsRequest(resume_token=watch.token)
    error = await refused(blotter.audit.StreamExecutionLogs(request, metadata=as_trader(ALICE)).read())
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_RESUME_TOKEN")


async def test_an_order_that_changes_between_two_pages_of_the_snapshot_comes_as_an_event(
    blotter: Blotter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.servicers.orders.SNAPSHOT_ORDERS_A_MESSAGE", 1)
    orders = [await blotter.submit() for _ in range(4)]
    sent, *others = sorted(orders, key=lambda order: order.order_id)
    unsent = [order for order in others if order != orders[-1]][-1]
    pages = Events.snapshot
    read = 0

    async def snapshot(self: Events, *arguments: Any) -> Any:
        nonlocal read
        read += 1
        if read == 2:
            await blotter.fill(sent, 1)
            await blotter.fill(unsent, 1)
        return await pages(self, *arguments)

    monkeypatch.setattr(Events, "snapshot", snapshot)
    async with watching(blotter) as watch:
        complete = await watch.until_snapshot()
        # The order whose last event is the cursor itself is in the snapshot; the one that changed since is not.
        assert watch.orders == {order.order_id: order for order in orders if order != unsent}
        assert (complete.order_count, complete.last_sequence) == (3, 4)
        await watch.until(6)
        assert watch.sequences == [5, 6]
        assert [event.order.order_id for event in watch.events] == [sent.order_id, unsent.order_id]


async def test_a_stream_that_is_opened_while_the_server_drains_is_refused(blotter: Blotter) -> None:
    blotter.drain()
    async with watching(blotter) as watch:
        error = await refused(watch.call.read())
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")


async def test_a_history_that_becomes_shorter_ends_the_stream(database: Database, blotter: Blotter) -> None:
    """As after a failover to a standby that lacked the newest events: other events take their numbers."""
    orders = [await blotter.submit() for _ in range(3)]
    async with watching(blotter) as watch:
        await watch.until_snapshot()
        database.cluster.psql(
            "SET session_replication_role = replica; DELETE FROM execution_logs WHERE sequence > 1; "
            f"DELETE FROM orders WHERE id <> '{orders[0].order_id}'; UPDATE trader_sequences SET last_sequence = 1;",
            dbname=database.name,
        )
        await blotter.submit()
        error = await refused(watch.until(100))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.OUT_OF_RANGE, "RESUME_TOKEN_OUT_OF_RANGE")
    assert watch.sequences == []
