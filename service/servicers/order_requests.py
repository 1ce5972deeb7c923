"""OrderService: the methods that cancel and replace orders."""

from __future__ import annotations

from typing import Any

from grpc import aio

from blotter.orders.v1 import cancel_timer_pb2, order_service_pb2_grpc, request_pb2
from blotter.orders.v1 import order_service_pb2 as pb
from service.domain.identity import CALLER, current_trader
from service.repositories.order_reads import OrderReads
from service.repositories.orders import Orders, Recorded, or_raise
from service.servicers import order_validation, validation
from service.servicers.batches import each, to_proto
from service.servicers.conversion import order_fields, request_to_proto, timer_to_proto
from service.streams import tokens

MAX_CANCELLED_IDS = 10_000

Context = aio.ServicerContext[Any, Any]


class OrderRequestServicer(order_service_pb2_grpc.OrderServiceServicer):
    """The methods of OrderService that cancel and replace orders, list such requests, and set the cancel timer."""

    _orders: Orders
    _reads: OrderReads

    async def CancelOrder(self, request: pb.CancelOrderRequest, context: Context) -> pb.CancelOrderResponse:
        caller, trader_id = current_trader()
        [result] = await self._orders.cancel(caller, trader_id, [order_validation.cancel_order(request)])
        return _cancelled(or_raise(result))

    async def BatchCancelOrders(
        self, request: pb.BatchCancelOrdersRequest, context: Context
    ) -> pb.BatchCancelOrdersResponse:
        caller, trader_id = current_trader()
        order_validation.batch("requests", request.requests)
        results = await each(
            "requests",
            request.requests,
            lambda cancel: order_validation.cancel_order(cancel, batch=True),
            lambda cancels: self._orders.cancel(caller, trader_id, cancels),
        )
        return pb.BatchCancelOrdersResponse(results=await to_proto(caller, results, pb.CancelOrderResult, _cancelled))

    async def ReplaceOrder(
        self, request: request_pb2.ReplaceOrderRequest, context: Context
    ) -> request_pb2.ReplaceOrderResponse:
        caller, trader_id = current_trader()
        [result] = await self._orders.replace(caller, trader_id, [order_validation.replace_order(request)])
        return _replaced(or_raise(result))

    async def BatchReplaceOrders(
        self, request: request_pb2.BatchReplaceOrdersRequest, context: Context
    ) -> request_pb2.BatchReplaceOrdersResponse:
        caller, trader_id = current_trader()
        order_validation.batch("requests", request.requests)
        results = await each(
            "requests",
            request.requests,
            lambda replace: order_validation.replace_order(replace, batch=True),
            lambda replaces: self._orders.replace(caller, trader_id, replaces),
        )
        return request_pb2.BatchReplaceOrdersResponse(
            results=await to_proto(caller, results, request_pb2.ReplaceOrderResult, _replaced)
        )

    async def ListRequests(
        self, request: request_pb2.ListRequestsRequest, context: Context
    ) -> request_pb2.ListRequestsResponse:
        caller = CALLER.get()
        key, size = validation.list_requests(request, caller)
        binding = ("ListRequests", caller.trader_id or caller.desk_id, key)
        before = tokens.page(binding, request.page_token, tokens.sequence)
        requests = await self._reads.page_of_requests(caller, key, before, size + 1)
        more = len(requests) > size
        return request_pb2.ListRequestsResponse(
            requests=map(request_to_proto, requests[:size]),
            next_page_token=tokens.encode(binding, requests[size - 1].sequence) if more else "",
        )

    async def CancelAllOrders(self, request: pb.CancelAllOrdersRequest, context: Context) -> pb.CancelAllOrdersResponse:
        caller, trader_id = current_trader()
        symbol, reason = order_validation.cancel_all_orders(request)
        cancelled = await self._orders.cancel_all(caller, trader_id, symbol, reason)
        requested = sum(order.requested for order in cancelled)
        return pb.CancelAllOrdersResponse(
            cancelled_count=len(cancelled) - requested,
            requested_count=requested,
            order_ids=[str(order.order_id) for order in cancelled[:MAX_CANCELLED_IDS]],
        )

    async def CancelAllAfter(
        self, request: cancel_timer_pb2.CancelAllAfterRequest, context: Context
    ) -> cancel_timer_pb2.CancelAllAfterResponse:
        caller, trader_id = current_trader()
        timer = await self._orders.set_timer(caller, trader_id, order_validation.cancel_all_after(request))
        return cancel_timer_pb2.CancelAllAfterResponse(cancel_timer=timer_to_proto(timer))

    async def GetCancelTimer(
        self, request: cancel_timer_pb2.GetCancelTimerRequest, context: Context
    ) -> cancel_timer_pb2.GetCancelTimerResponse:
        caller, trader_id = current_trader()
        timer = await self._reads.timer(caller, trader_id)
        return cancel_timer_pb2.GetCancelTimerResponse(cancel_timer=timer_to_proto(timer))


def _cancelled(recorded: Recorded) -> pb.CancelOrderResponse:
    return pb.CancelOrderResponse(order=order_fields(recorded.order), replayed=recorded.replayed)


def _replaced(recorded: Recorded) -> request_pb2.ReplaceOrderResponse:
    return request_pb2.ReplaceOrderResponse(order=order_fields(recorded.order), replayed=recorded.replayed)
