"""Orders that expire while a test runs, however slow the machine is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from blotter.orders.v1 import order_pb2, order_service_pb2, watch_pb2
from tests.conftest import ALICE
from tests.serving import Blotter, as_trader, order_request


async def expiring(blotter: Blotter, trader_id: UUID = ALICE, count: int = 1) -> AsyncIterator[Sequence[Any]]:
    """Enter orders that expire soon and yield their requests and the orders; then again with later expiries.

    The caller leaves the loop when it has used the orders before they expired.
    """
    for seconds in (0.5, 2, 8, 32):
        moment = Timestamp()
        moment.GetCurrentTime()
        moment.FromMicroseconds(moment.ToMicroseconds() + int(seconds * 1e6))
        requests = [order_request(expire_time=moment) for _ in range(count)]
        batch = order_service_pb2.BatchSubmitOrdersRequest(orders=requests)
        results = (await blotter.orders.BatchSubmitOrders(batch, metadata=as_trader(trader_id))).results
        if all(result.HasField("response") for result in results):
            yield requests, [result.response.order for result in results]
    raise AssertionError("the orders expired before the test could use them")


async def cancelled(blotter: Blotter, order: order_pb2.Order) -> order_pb2.Order:
    """Wait until the order is cancelled; returns it."""
    found: order_pb2.Order
    request = watch_pb2.WatchOrdersRequest(order_ids=[order.order_id], statuses=[order_pb2.ORDER_STATUS_CANCELLED])
    call = blotter.orders.WatchOrders(request, metadata=as_trader(order.trader_id))
    try:
        async with asyncio.timeout(30):
            async for message in call:
                for found in message.snapshot.orders:
                    return found
                for event in message.events.events:
                    found = event.order
                    return found
    finally:
        call.cancel()
    raise AssertionError("the stream ended")
