"""Streams over all traders: every committed event once, by position, under concurrent writers and watchers."""

import asyncio
import random
from typing import Any

import grpc
import pytest

from blotter.audit.v1 import audit_service_pb2 as audit_pb
from blotter.orders.v1 import order_pb2, watch_pb2
from tests.conftest import ALICE, BOB, Database
from tests.rpc.errors import fields_of, reason_of, refused
from tests.serving import COMPLIANCE, EXECUTION, Blotter, as_trader, serving
from tests.streams.test_under_fire import write

SEQUENCED = {"sequencer": True, "sequencer_poll_ms": 2}


async def read(call: Any) -> watch_pb2.WatchOrdersResponse:
    """One message."""
    message = await call.read()
    assert isinstance(message, watch_pb2.WatchOrdersResponse)
    return message


class Seen:
    """The state that a watcher over all traders has received."""

    def __init__(self) -> None:
        self.orders: dict[str, order_pb2.Order] = {}
        self.positions: list[int] = []
        self.start = -1
        self.token = ""

    def take(self, message: watch_pb2.WatchOrdersResponse) -> None:
        """Apply one message."""
        self.token = message.resume_token or self.token
        for order in message.snapshot.orders:
            assert order.order_id not in self.orders
            self.orders[order.order_id] = order
        if message.HasField("snapshot_complete"):
            self.start = message.snapshot_complete.last_position
        for event in message.events.events:
            known = self.orders.get(event.order.order_id)
            assert known is None or known.last_sequence < event.sequence
            self.orders[event.order.order_id] = event.order
            self.positions.append(event.position)


async def watch_with_interruptions(blotter: Blotter, metadata: Any, seed: int, done: asyncio.Event) -> Seen:
    """Watch all traders, disconnect at random and resume, until the writers have ended and all events were received."""
    chance, seen = random.Random(seed), Seen()
    while True:
        call = blotter.orders.WatchOrders(watch_pb2.WatchOrdersRequest(resume_token=seen.token), metadata=metadata)
        while not seen.token:
            seen.take(await read(call))
        for _ in range(chance.randint(1, 6)):
            over = done.is_set()
            try:
                seen.take(await asyncio.wait_for(read(call), 0.7))
            except TimeoutError:
                if over:
                    call.cancel()
                    return seen
                break
        call.cancel()


async def test_every_watcher_over_all_traders_sees_each_event_once_in_order(database: Database) -> None:
    done = asyncio.Event()
    async with serving(database, **SEQUENCED) as first, serving(database, **SEQUENCED) as second:
        watchers = [
            asyncio.create_task(watch_with_interruptions(server, metadata, seed, done))
            for seed, (server, metadata) in enumerate(
                [(first, EXECUTION), (second, COMPLIANCE), (second, EXECUTION), (first, COMPLIANCE)]
            )
        ]
        written = await asyncio.gather(*(write(database, trader, seed) for trader in (ALICE, BOB) for seed in range(4)))
        done.set()
        everything = await asyncio.gather(*watchers)
        for seen in everything:
            assert seen.positions == list(range(seen.start + 1, sum(written)))
            assert len(seen.orders) == sum(written)
        assert {order.trader_id for order in everything[0].orders.values()} == {str(ALICE), str(BOB)}


async def test_the_trail_of_all_traders_from_the_beginning(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.streams.follow.EVENTS_A_PAGE", 7)
    async with serving(database, **SEQUENCED) as blotter:
        orders = [await blotter.submit(trader) for trader in (ALICE, BOB) * 10]
        await blotter.fill(orders[1], 40)
        await until_appended(blotter, 21)
        stream = blotter.audit.StreamExecutionLogs(audit_pb.StreamExecutionLogsRequest(), metadata=COMPLIANCE)
        messages = [message async for message in stream]
    logs = [log for message in messages for log in message.logs.execution_logs]
    assert [log.position for log in logs] == list(range(21))
    assert max(len(message.logs.execution_logs) for message in messages) == 7
    last = messages[-1].heartbeat
    assert (last.last_position, last.last_event_position, last.last_sequence) == (20, 20, 0)
    assert logs[-1].fill.quantity == 40


async def until_appended(blotter: Blotter, size: int) -> None:
    """Wait until the ledger has `size` entries."""
    call = blotter.audit.StreamExecutionLogs(audit_pb.StreamExecutionLogsRequest(follow=True), metadata=COMPLIANCE)
    last = -1
    while last < size - 1:
        message = await call.read()
        last = message.logs.execution_logs[-1].position if message.logs.execution_logs else last
    call.cancel()


async def test_filters_and_a_rare_match_after_many_events(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.repositories.events.POSITIONS_PER_READ", 4)
    async with serving(database, **SEQUENCED) as blotter:
        for number in range(30):
            await blotter.submit(ALICE, symbol="RARE" if number == 29 else "AAPL")
        await blotter.submit(BOB)
        await until_appended(blotter, 31)
        request = audit_pb.StreamExecutionLogsRequest(trader_ids=[str(BOB)])
        messages = [message async for message in blotter.audit.StreamExecutionLogs(request, metadata=EXECUTION)]
        assert [log.position for message in messages for log in message.logs.execution_logs] == [30]
        assert messages[-1].heartbeat.last_position == 30
        snapshot = blotter.orders.WatchOrders(watch_pb2.WatchOrdersRequest(symbols=["RARE"]), metadata=COMPLIANCE)
        seen = Seen()
        while not seen.token:
            seen.take(await read(snapshot))
        assert len(seen.orders) == 1
        snapshot.cancel()


async def test_tokens_are_bound_to_the_kind_of_caller_and_the_filters(database: Database) -> None:
    async with serving(database, **SEQUENCED) as blotter:
        await blotter.submit(ALICE)
        await until_appended(blotter, 1)
        first = blotter.audit.StreamExecutionLogs(audit_pb.StreamExecutionLogsRequest(), metadata=COMPLIANCE)
        token = (await first.read()).resume_token
        request = audit_pb.StreamExecutionLogsRequest(resume_token=token)
        resumed = await blotter.audit.StreamExecutionLogs(request, metadata=COMPLIANCE).read()
        assert resumed.HasField("heartbeat")
        assert resumed.heartbeat.last_position == 0
        for metadata in (EXECUTION, as_trader(ALICE)):
            error = await refused(blotter.audit.StreamExecutionLogs(request, metadata=metadata).read())
            assert reason_of(error) == "INVALID_RESUME_TOKEN"
        named = watch_pb2.WatchOrdersRequest(trader_ids=[str(ALICE)])
        error = await refused(blotter.orders.WatchOrders(named, metadata=as_trader(ALICE)).read())
        assert (error.code(), list(fields_of(error))) == (grpc.StatusCode.INVALID_ARGUMENT, ["trader_ids"])


async def test_a_snapshot_over_all_traders_omits_what_is_not_in_the_ledger_yet(
    database: Database, blotter: Blotter
) -> None:
    order = await blotter.submit(ALICE)
    call = blotter.orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=EXECUTION)
    complete = (await read(call)).snapshot_complete
    assert (complete.order_count, complete.last_position) == (0, -1)
    async with serving(database, **SEQUENCED):
        [event] = (await asyncio.wait_for(read(call), 10)).events.events
    assert (event.position, event.order.order_id) == (0, order.order_id)
    call.cancel()
