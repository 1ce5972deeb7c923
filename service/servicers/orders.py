"""OrderService. The modules `order_requests` and `execution_reports` hold some of its methods."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime
from typing import Any
from uuid import UUID

from grpc import aio

from blotter.orders.v1 import order_service_pb2 as pb
from blotter.orders.v1 import watch_pb2
from service.domain.identity import CALLER, Caller, current_trader
from service.domain.orders import Order
from service.domain.portions import in_portions
from service.repositories.events import Event, Events
from service.repositories.order_reads import FillPlace, OrderReads
from service.repositories.orders import Orders, Recorded, or_raise
from service.servicers import order_validation, validation
from service.servicers.batches import each, to_proto
from service.servicers.conversion import (
    event_fields,
    order_fields,
    order_to_proto,
    request_to_proto,
    valid_order_to_proto,
)
from service.servicers.execution_reports import ExecutionReportServicer
from service.servicers.fill_conversion import fill_to_proto
from service.servicers.order_requests import OrderRequestServicer
from service.streams import Feed, tokens
from service.streams.follow import follow
from service.streams.messages import StreamMethod
from service.streams.requests import StreamRequest

SNAPSHOT_ORDERS_A_MESSAGE = 500

Context = aio.ServicerContext[Any, Any]


def _encoded(event: Event) -> bytes:
    return watch_pb2.OrderEvents(events=[event_fields(*event)]).SerializeToString()


WATCH = StreamMethod(
    "WatchOrders", watch_pb2.WatchOrdersResponse, watch_pb2.WatchOrdersResponse.EVENTS_FIELD_NUMBER, _encoded
)


class OrderServicer(OrderRequestServicer, ExecutionReportServicer):
    """The whole OrderService, documented in the contract, order_service.proto."""

    def __init__(self, orders: Orders, reads: OrderReads, events: Events, feed: Feed) -> None:
        self._orders = orders
        self._reads = reads
        self._events = events
        self._feed = feed

    async def SubmitOrder(self, request: pb.SubmitOrderRequest, context: Context) -> pb.SubmitOrderResponse:
        caller, trader_id = current_trader()
        order = order_validation.new_order(request)
        if request.validate_only:
            repeated = await self._orders.validate(caller, order)
            message = order_to_proto(repeated) if repeated else valid_order_to_proto(order, trader_id)
            return pb.SubmitOrderResponse(order=message, replayed=repeated is not None)
        [result] = await self._orders.submit(caller, trader_id, [order])
        return _submitted(or_raise(result))

    async def BatchSubmitOrders(
        self, request: pb.BatchSubmitOrdersRequest, context: Context
    ) -> pb.BatchSubmitOrdersResponse:
        caller, trader_id = current_trader()
        order_validation.batch("orders", request.orders)
        results = await each(
            "orders",
            request.orders,
            lambda order: order_validation.new_order(order, batch=True),
            lambda orders: self._orders.submit(caller, trader_id, orders),
        )
        return pb.BatchSubmitOrdersResponse(results=await to_proto(caller, results, pb.SubmitOrderResult, _submitted))

    async def GetOrder(self, request: pb.GetOrderRequest, context: Context) -> pb.GetOrderResponse:
        caller = CALLER.get()
        order, requests = await self._reads.get(caller, validation.get_order(request, caller))
        return pb.GetOrderResponse(order=order_fields(order), requests=map(request_to_proto, requests))

    async def ListOrders(self, request: pb.ListOrdersRequest, context: Context) -> pb.ListOrdersResponse:
        caller = CALLER.get()
        filter_, size = validation.list_orders(request)
        binding = ("ListOrders", caller.trader_id or caller.desk_id, filter_)
        after = tokens.page(binding, request.page_token, _order_key)
        orders = await self._reads.page(caller, filter_, after, size + 1)
        more = len(orders) > size
        last = orders[size - 1] if more else None
        return pb.ListOrdersResponse(
            orders=await in_portions(order_fields, orders[:size]),
            next_page_token=tokens.encode(binding, last.created_at.isoformat(), last.id) if last else "",
        )

    async def ListFills(self, request: pb.ListFillsRequest, context: Context) -> pb.ListFillsResponse:
        caller = CALLER.get()
        filter_, size = validation.list_fills(request, caller)
        binding = ("ListFills", caller.trader_id or caller.desk_id, filter_)
        after = tokens.page(binding, request.page_token, _fill_place)
        fills = await self._reads.page_of_fills(caller, filter_, after, size + 1)
        last = fills[size - 1].fill if len(fills) > size else None
        place = (last.sequence, *([last.trader_id] if caller.desk_id else [])) if last else ()
        return pb.ListFillsResponse(
            fills=map(fill_to_proto, fills[:size]),
            next_page_token=tokens.encode(binding, *place) if place else "",
        )

    async def WatchOrders(
        self, request: watch_pb2.WatchOrdersRequest, context: Context
    ) -> AsyncIterator[Any]:  # WatchOrdersResponse, or Encoded
        caller = CALLER.get()
        stream = StreamRequest(WATCH, caller, *validation.watch_orders(request, caller))
        if request.resume_token:
            cursor = await stream.resume_after(self._events, request.resume_token)
        else:
            _, cursor = await stream.bounds(self._events)
            async with aclosing(self._snapshot(stream, cursor)) as messages:
                async for message in messages:
                    yield message
        async with aclosing(follow(self._events, self._feed, stream, cursor)) as changes:
            async for change in changes:
                yield change

    async def _snapshot(
        self, stream: StreamRequest, cursor: int
    ) -> AsyncGenerator[watch_pb2.WatchOrdersResponse, None]:
        after_id, count, full = None, 0, True

        async def page(caller: Caller) -> list[Order]:
            return await self._events.snapshot(
                caller, stream.trader_id, stream.filter, cursor, after_id, SNAPSHOT_ORDERS_A_MESSAGE
            )

        while full:
            orders = await stream.read(page)
            full = len(orders) == SNAPSHOT_ORDERS_A_MESSAGE
            if orders:
                after_id, count = orders[-1].id, count + len(orders)
                snapshot = watch_pb2.OrderSnapshot(orders=map(order_fields, orders))
                yield watch_pb2.WatchOrdersResponse(snapshot=snapshot)
        complete = watch_pb2.SnapshotComplete(order_count=count)
        if stream.trader_id is None:
            complete.last_position = cursor - 1
        else:
            complete.last_sequence = cursor
        yield watch_pb2.WatchOrdersResponse(resume_token=stream.token(cursor), snapshot_complete=complete)


def _submitted(recorded: Recorded) -> pb.SubmitOrderResponse:
    return pb.SubmitOrderResponse(order=order_fields(recorded.order), replayed=recorded.replayed)


def _fill_place(sequence: str, trader_id: str | None = None) -> FillPlace:
    return tokens.sequence(sequence), UUID(trader_id) if trader_id else None


def _order_key(created_at: str, order_id: str) -> tuple[datetime, UUID]:
    return tokens.moment(created_at), UUID(order_id)
