"""The methods of OrderService."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from blotter.orders.v1 import cancel_timer_pb2, order_pb2, order_service_pb2_grpc, request_pb2, watch_pb2
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_service_pb2 as pb
from blotter_client import requests
from blotter_client.aio.calls import AsyncCalls, pages
from blotter_client.aio.streams import AsyncConnection, AsyncStream
from blotter_client.deadlines import BATCH_TIMEOUT
from blotter_client.enums import OrderStatus, OrderType, SecurityIdSource, ShortSale, Side, TimeInForce
from blotter_client.errors import BlotterError, error_of_status
from blotter_client.readers import WatchReader
from blotter_client.requests import UNCHANGED, Unchanged
from blotter_client.values import duration, time_range


class AsyncOrderCalls:
    """Methods to enter, report on and watch orders. Each raises BlotterError; `timeout` is in seconds.

    An order is identified by the service's `order_id` or by the trader's `client_order_id`, exactly one of the two. The
    key of any request about the order may be given as its `client_order_id`.
    """

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls
        self._orders = order_service_pb2_grpc.OrderServiceStub(calls.channel)

    async def submit_order(
        self,
        symbol: str,
        side: Side,
        order_type: OrderType,
        quantity: int,
        price: Decimal | None = None,
        *,
        stop_price: Decimal | None = None,
        stop_loss: Decimal | None = None,
        take_profit: Decimal | None = None,
        time_in_force: TimeInForce | None = None,
        expire_time: datetime | None = None,
        account: str = "",
        labels: Mapping[str, str] | None = None,
        parent_order_id: str = "",
        currency: str = "",
        security_id: str = "",
        security_id_source: SecurityIdSource | None = None,
        short_sale: ShortSale | None = None,
        exempt_from_cancel_timer: bool = False,
        client_order_id: str | None = None,
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> pb.SubmitOrderResponse:
        """Enter an order. `replayed` is true if it had been entered before. For traders.

        If no client_order_id is given, one is generated, so that gRPC can retry the call. To repeat the call yourself
        after a timeout, pass your own: the order is entered once, whether or not the first call succeeded.
        """
        request = requests.new_order(
            symbol,
            side,
            order_type,
            quantity,
            price,
            stop_price=stop_price,
            stop_loss=stop_loss,
            take_profit=take_profit,
            time_in_force=time_in_force,
            expire_time=expire_time,
            account=account,
            labels=labels,
            parent_order_id=parent_order_id,
            currency=currency,
            security_id=security_id,
            security_id_source=security_id_source,
            short_sale=short_sale,
            exempt_from_cancel_timer=exempt_from_cancel_timer,
            client_order_id=client_order_id,
        )
        request.validate_only = validate_only
        return await self._calls.unary(self._orders.SubmitOrder, request, timeout)

    async def batch_submit_orders(
        self, orders: Iterable[pb.SubmitOrderRequest], *, timeout: float | None = None
    ) -> list[pb.SubmitOrderResponse | BlotterError]:
        """Enter 1 to 1,000 orders, built with `new_order`. For traders.

        Returns one result per order, in the same order: the response, or the error.
        """
        request = pb.BatchSubmitOrdersRequest(orders=orders)
        response = await self._calls.unary(self._orders.BatchSubmitOrders, request, timeout, BATCH_TIMEOUT)
        return [
            result.response if result.HasField("response") else error_of_status(result.error)
            for result in response.results
        ]

    async def get_order(
        self,
        order_id: UUID | str | None = None,
        *,
        client_order_id: str | None = None,
        timeout: float | None = None,
    ) -> order_pb2.Order:
        """Return the current state of an order. For traders. `list_requests` yields its requests."""
        request = pb.GetOrderRequest(**requests.order_name(order_id, client_order_id))
        response = await self._calls.unary(self._orders.GetOrder, request, timeout)
        return response.order

    def list_orders(
        self,
        *,
        statuses: Iterable[OrderStatus] = (),
        symbols: Iterable[str] = (),
        accounts: Iterable[str] = (),
        labels: Mapping[str, str] | None = None,
        parent_order_ids: Iterable[str] = (),
        security_ids: Iterable[str] = (),
        currencies: Iterable[str] = (),
        short_sales: Iterable[ShortSale] = (),
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        updated_from: datetime | None = None,
        updated_before: datetime | None = None,
        page_size: int = 500,
        timeout: float | None = None,
    ) -> AsyncIterator[order_pb2.Order]:
        """Yield the orders that match all filters, newest first. For traders.

        An order matches `labels` if it has all of them, and any other filter if it has one of its values.
        Pages are fetched on demand; `page_size` is 1 to 500; `timeout` applies to each page.
        """
        request = pb.ListOrdersRequest(
            statuses=[status.value for status in statuses],
            symbols=symbols,
            accounts=accounts,
            labels=labels,
            parent_order_ids=parent_order_ids,
            security_ids=security_ids,
            currencies=currencies,
            short_sales=[short_sale.value for short_sale in short_sales],
            created=time_range(created_from, created_before),
            updated=time_range(updated_from, updated_before),
            page_size=page_size,
        )

        async def fetch(token: str) -> pb.ListOrdersResponse:
            request.page_token = token
            return await self._calls.unary(self._orders.ListOrders, request, timeout)

        return pages(fetch, lambda page: page.orders)

    def list_fills(
        self,
        order_id: UUID | str | None = None,
        *,
        client_order_id: str | None = None,
        accounts: Iterable[str] = (),
        labels: Mapping[str, str] | None = None,
        parent_order_ids: Iterable[str] = (),
        security_ids: Iterable[str] = (),
        currencies: Iterable[str] = (),
        short_sales: Iterable[ShortSale] = (),
        traded_from: datetime | None = None,
        traded_before: datetime | None = None,
        page_size: int = 500,
        timeout: float | None = None,
    ) -> AsyncIterator[order_pb2.Fill]:
        """Yield the fills of one order or, without an id, of all orders, most recently recorded first. For traders.

        Pages are fetched on demand; `page_size` is 1 to 500; `timeout` applies to each page.
        """
        request = pb.ListFillsRequest(
            **requests.order_name(order_id, client_order_id),
            accounts=accounts,
            labels=labels,
            parent_order_ids=parent_order_ids,
            security_ids=security_ids,
            currencies=currencies,
            short_sales=[short_sale.value for short_sale in short_sales],
            traded=time_range(traded_from, traded_before),
            page_size=page_size,
        )

        async def fetch(token: str) -> pb.ListFillsResponse:
            request.page_token = token
            return await self._calls.unary(self._orders.ListFills, request, timeout)

        return pages(fetch, lambda page: page.fills)

    def list_requests(
        self,
        order_id: UUID | str | None = None,
        *,
        client_order_id: str | None = None,
        page_size: int = 500,
        timeout: float | None = None,
    ) -> AsyncIterator[request_pb2.Request]:
        """Yield the requests to cancel or replace an order, and what became of each, newest first. For traders.

        Pages are fetched on demand; `page_size` is 1 to 500; `timeout` applies to each page.
        """
        request = request_pb2.ListRequestsRequest(**requests.order_name(order_id, client_order_id), page_size=page_size)

        async def fetch(token: str) -> request_pb2.ListRequestsResponse:
            request.page_token = token
            return await self._calls.unary(self._orders.ListRequests, request, timeout)

        return pages(fetch, lambda page: page.requests)

    async def cancel_order(
        self,
        order_id: UUID | str | None = None,
        *,
        client_order_id: str | None = None,
        request_key: str | None = None,
        reason: str = "",
        timeout: float | None = None,
    ) -> pb.CancelOrderResponse:
        """Cancel an open order, or request it once a gateway has the order. For traders.

        The order is then CANCELLED, or has the cancel in `pending_request` until the venue has answered. `replayed` is
        true if it had been cancelled, or the same cancel requested, before.

        If no request_key is given, one is generated, so that gRPC can retry the call. To repeat the call yourself
        after a timeout, pass your own: another key is another request, and raises REQUEST_PENDING while the first
        one waits for the venue.
        """
        request = requests.new_cancel(order_id, client_order_id=client_order_id, request_key=request_key, reason=reason)
        return await self._calls.unary(self._orders.CancelOrder, request, timeout)

    async def batch_cancel_orders(
        self, cancels: Iterable[pb.CancelOrderRequest], *, timeout: float | None = None
    ) -> list[pb.CancelOrderResponse | BlotterError]:
        """Cancel 1 to 1,000 orders, with requests built by `new_cancel`. For traders.

        Returns one result per request, in the same order: the response, or the error.
        """
        request = pb.BatchCancelOrdersRequest(requests=cancels)
        response = await self._calls.unary(self._orders.BatchCancelOrders, request, timeout, BATCH_TIMEOUT)
        return [
            result.response if result.HasField("response") else error_of_status(result.error)
            for result in response.results
        ]

    async def replace_order(
        self,
        order_id: UUID | str | None = None,
        *,
        client_order_id: str | None = None,
        quantity: int | Unchanged = UNCHANGED,
        price: Decimal | Unchanged | None = UNCHANGED,
        stop_price: Decimal | Unchanged | None = UNCHANGED,
        stop_loss: Decimal | Unchanged | None = UNCHANGED,
        take_profit: Decimal | Unchanged | None = UNCHANGED,
        time_in_force: TimeInForce | Unchanged | None = UNCHANGED,
        expire_time: datetime | Unchanged | None = UNCHANGED,
        expected_last_sequence: int | None = None,
        request_key: str | None = None,
        reason: str = "",
        timeout: float | None = None,
    ) -> request_pb2.ReplaceOrderResponse:
        """Change the terms of an order, or request it once a gateway has the order. For traders.

        Only the terms that are given change; None clears one. The quantity includes what is filled. Once a gateway has
        the order, the change is in `pending_request` until the venue has answered. With `expected_last_sequence`, an
        order with another `last_sequence` raises ORDER_CHANGED.

        `replayed` is true if the same request had been recorded before. If no request_key is given, one is generated,
        so that gRPC can retry the call. To repeat the call yourself after a timeout, pass your own.
        """
        request = requests.new_replace(
            order_id,
            client_order_id=client_order_id,
            quantity=quantity,
            price=price,
            stop_price=stop_price,
            stop_loss=stop_loss,
            take_profit=take_profit,
            time_in_force=time_in_force,
            expire_time=expire_time,
            expected_last_sequence=expected_last_sequence,
            request_key=request_key,
            reason=reason,
        )
        return await self._calls.unary(self._orders.ReplaceOrder, request, timeout)

    async def batch_replace_orders(
        self, replaces: Iterable[request_pb2.ReplaceOrderRequest], *, timeout: float | None = None
    ) -> list[request_pb2.ReplaceOrderResponse | BlotterError]:
        """Replace terms of 1 to 1,000 orders, with requests built by `new_replace`. For traders.

        Returns one result per request, in the same order: the response, or the error.
        """
        request = request_pb2.BatchReplaceOrdersRequest(requests=replaces)
        response = await self._calls.unary(self._orders.BatchReplaceOrders, request, timeout, BATCH_TIMEOUT)
        return [
            result.response if result.HasField("response") else error_of_status(result.error)
            for result in response.results
        ]

    async def cancel_all_orders(
        self, *, symbol: str = "", reason: str = "", timeout: float | None = None
    ) -> pb.CancelAllOrdersResponse:
        """Cancel all open orders, or those in one symbol; request it for those that a gateway has. For traders.

        Orders with a pending request are left as they are. The call is not retried. After UNAVAILABLE or
        DEADLINE_EXCEEDED all, some or none of the orders are cancelled. The call can then be repeated: it cancels the
        orders that are open at that time, including those entered since, and its response counts only these.
        """
        request = pb.CancelAllOrdersRequest(symbol=symbol, reason=reason)
        return await self._calls.unary(self._orders.CancelAllOrders, request, timeout, BATCH_TIMEOUT)

    async def cancel_all_after(
        self, seconds: float, *, timeout: float | None = None
    ) -> cancel_timer_pb2.CancelTimer | None:
        """Have all open orders cancelled unless called again within 1 to 86400 seconds; 0 switches it off. For traders.

        Call it at a third of the time or more often. It survives a restart of the service; orders that were entered
        with `exempt_from_cancel_timer` are left alone. Returns the timer; None when it is off.
        """
        request = cancel_timer_pb2.CancelAllAfterRequest(timeout=duration(seconds))
        response = await self._calls.unary(self._orders.CancelAllAfter, request, timeout)
        return response.cancel_timer if response.HasField("cancel_timer") else None

    async def get_cancel_timer(self, *, timeout: float | None = None) -> cancel_timer_pb2.CancelTimer | None:
        """Return the timer of `cancel_all_after`; None when it is off. For traders."""
        request = cancel_timer_pb2.GetCancelTimerRequest()
        response = await self._calls.unary(self._orders.GetCancelTimer, request, timeout)
        return response.cancel_timer if response.HasField("cancel_timer") else None

    async def report_execution(
        self, report: reports_pb.ReportExecutionRequest, *, timeout: float | None = None
    ) -> reports_pb.ReportExecutionResponse:
        """Record a report, built with `approved`, `executed`, `filled` and so on. For execution gateways."""
        return await self._calls.unary(self._orders.ReportExecution, report, timeout)

    async def batch_report_executions(
        self, reports: Iterable[reports_pb.ReportExecutionRequest], *, timeout: float | None = None
    ) -> list[reports_pb.ReportExecutionResponse | BlotterError]:
        """Record 1 to 1,000 reports. For execution gateways.

        Returns one result per report, in the same order: the response, or the error.
        """
        request = reports_pb.BatchReportExecutionsRequest(reports=reports)
        response = await self._calls.unary(self._orders.BatchReportExecutions, request, timeout, BATCH_TIMEOUT)
        return [
            result.response if result.HasField("response") else error_of_status(result.error)
            for result in response.results
        ]

    def watch_orders(
        self,
        *,
        order_ids: Iterable[UUID | str] = (),
        symbols: Iterable[str] = (),
        statuses: Iterable[OrderStatus] = (),
        accounts: Iterable[str] = (),
        labels: Mapping[str, str] | None = None,
        parent_order_ids: Iterable[str] = (),
        security_ids: Iterable[str] = (),
        currencies: Iterable[str] = (),
        short_sales: Iterable[ShortSale] = (),
        trader_ids: Iterable[UUID | str] = (),
        resume_token: str = "",
        heartbeat_interval: float | None = None,
    ) -> AsyncStream[watch_pb2.WatchOrdersResponse]:
        """Watch orders: a snapshot, then each event once; with `resume_token`, the events after that message.

        A trader receives their own orders; a role those of all traders, or of `trader_ids`. `heartbeat_interval` is
        1 to 60 seconds. The stream resumes by itself; see AsyncStream.
        """
        request = watch_pb2.WatchOrdersRequest(
            order_ids=map(str, order_ids),
            symbols=symbols,
            statuses=[status.value for status in statuses],
            accounts=accounts,
            labels=labels,
            parent_order_ids=parent_order_ids,
            security_ids=security_ids,
            currencies=currencies,
            short_sales=[short_sale.value for short_sale in short_sales],
            trader_ids=map(str, trader_ids),
            heartbeat_interval=duration(heartbeat_interval),
        )
        # Streams of orders that are selected by what they are or where they stand skip numbers.
        filters = (
            request.order_ids,
            request.symbols,
            request.statuses,
            request.accounts,
            request.labels,
            request.parent_order_ids,
            request.security_ids,
            request.currencies,
            request.short_sales,
        )

        async def connect(token: str) -> AsyncConnection[watch_pb2.WatchOrdersResponse]:
            request.resume_token = token
            return await self._calls.open_stream(self._orders.WatchOrders, request)

        return AsyncStream(
            connect,
            WatchReader(dense=self._calls.identity.trader_id is not None and not any(filters)),
            resume_token=resume_token,
            heartbeat=heartbeat_interval,
            timing=self._calls.timing,
        )
