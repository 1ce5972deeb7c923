"""Reading streams in tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from blotter.orders.v1 import order_pb2, watch_pb2
from tests.conftest import ALICE
from tests.serving import Blotter, as_trader

PATIENCE = 30
"""The maximum number of seconds that a test waits for a message or a condition."""


class Watch:
    """A watch of a trader's orders that keeps what it has received."""

    def __init__(self, call: Any, token: str = "") -> None:
        self.call = call
        self.token = token
        self.orders: dict[str, order_pb2.Order] = {}
        self.events: list[order_pb2.OrderEvent] = []
        self.heartbeats: list[watch_pb2.Heartbeat] = []

    @property
    def sequences(self) -> list[int]:
        """The sequences of the events in the order received."""
        return [event.sequence for event in self.events]

    async def next(self) -> watch_pb2.WatchOrdersResponse:
        """Read and apply one message."""
        async with asyncio.timeout(PATIENCE):
            message = await self.call.read()
        assert isinstance(message, watch_pb2.WatchOrdersResponse), "the stream has ended"
        self.token = message.resume_token or self.token
        for order in message.snapshot.orders:
            assert order.order_id not in self.orders, "an order occurs once in a snapshot"
            self.orders[order.order_id] = order
        for event in message.events.events:
            assert event.order.last_sequence == event.sequence
            self.orders[event.order.order_id] = event.order
            self.events.append(event)
        if message.HasField("heartbeat"):
            self.heartbeats.append(message.heartbeat)
        return message

    async def until_snapshot(self) -> watch_pb2.SnapshotComplete:
        """Read to the end of the snapshot."""
        async with asyncio.timeout(PATIENCE):
            while not (message := await self.next()).HasField("snapshot_complete"):
                pass
        return message.snapshot_complete

    async def until(self, sequence: int, *, within: float = PATIENCE) -> None:
        """Read until the event with the sequence has come."""
        async with asyncio.timeout(within):
            while not self.events or self.events[-1].sequence < sequence:
                await self.next()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # the server sets no event for what tests wait for
            await asyncio.sleep(0.01)


@asynccontextmanager
async def watching(
    blotter: Blotter, trader_id: UUID = ALICE, request: watch_pb2.WatchOrdersRequest | None = None
) -> AsyncIterator[Watch]:
    """A watch that is cancelled at the end."""
    request = request or watch_pb2.WatchOrdersRequest()
    call = blotter.orders.WatchOrders(request, metadata=as_trader(trader_id))
    try:
        yield Watch(call, request.resume_token)
    finally:
        call.cancel()
