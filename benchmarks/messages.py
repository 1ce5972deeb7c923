"""The requests that the benchmarks send."""

from __future__ import annotations

from uuid import UUID, uuid4

from google.protobuf.message import Message

from benchmarks.load.plan import MARK, Caller
from blotter.orders.v1 import order_pb2, order_service_pb2
from replay.traders import DEMO_TRADERS

TRADERS = list(DEMO_TRADERS)
BATCH = 200
ORDERS = "/blotter.orders.v1.OrderService/"


def request(client_order_id: str | None = None) -> order_service_pb2.SubmitOrderRequest:
    """Return an order to buy 100 AAPL at 585.33, with a new client_order_id if none is given."""
    return order_service_pb2.SubmitOrderRequest(
        client_order_id=uuid4().hex if client_order_id is None else client_order_id,
        symbol="AAPL",
        side=order_pb2.SIDE_BUY,
        order_type=order_pb2.ORDER_TYPE_LIMIT,
        quantity=100,
        price="585.33",
    )


def batch(key: str) -> order_service_pb2.BatchSubmitOrdersRequest:
    """Return a batch of orders, whose client_order_ids begin with the key."""
    return order_service_pb2.BatchSubmitOrdersRequest(
        orders=[request(f"{key}-{number:04d}") for number in range(BATCH)]
    )


def caller(trader: UUID, message: Message) -> Caller:
    """Return the trader as a caller who sends the message."""
    return Caller(message.SerializeToString(), {"x-trader-id": str(trader)})


def new_orders(trader: UUID) -> Caller:
    """Return a caller of SubmitOrder as the trader, with a new client_order_id for each call."""
    return caller(trader, request(MARK.decode()))
