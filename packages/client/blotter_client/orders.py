# Generated from aio/orders.py by packages/client/generate_sync.py; edit that file and run `make generate`.
"""The methods of OrderService."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2, order_service_pb2_grpc, watch_pb2
from blotter.orders.v1 import order_service_pb2 as pb
from blotter_client import requests
from blotter_client.calls import Calls, pages
from blotter_client.deadlines import BATCH_TIMEOUT
from blotter_client.enums import OrderStatus, OrderType, Side
from blotter_client.errors import BlotterError, error_of_status
from blotter_client.readers import WatchReader
from blotter_client.streams import Connection, Stream
from blotter_client.values import duration, time_range


class OrderCalls:
    """Methods to enter, report on and watch orders. Each raises BlotterError; `timeout` is in seconds.

    An order is identified by the service's `order_id` or by the trader's `client_order_id`, exactly one of the two.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._orders = order_service_pb2_grpc.OrderServiceStub(calls.channel)

    def submit_order(
        self,
        symbol: str,
        side: Side,
        order_type: OrderType,
        quantity: int,
        price: Decimal | None = None,
        *,
        stop_loss: Decimal | None = None,
        take_profit: Decimal | None = None,
        expire_time: datetime | None = None,
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
            stop_loss=stop_loss,
            take_profit=take_profit,
            expire_time=expire_time,
            client_order_id=client_order_id,
        )
        request.validate_only = validate_only
        return self._calls.unary(self._orders.SubmitOrder, request, timeout)

    def batch_submit_orders(
        self, orders: Iterable[pb.SubmitOrderRequest], *, timeout: float | None = None
    ) -> list[pb.SubmitOrderResponse | BlotterError]:
        """Enter 1 to 1,000 orders, built with `new_order`. For traders.

        Returns one result per order, in the same order: the response, or the error.
        """
        request = pb.BatchSubmitOrdersRequest(orders=orders)
        response = self._calls.unary(self._orders.BatchSubmitOrders, request, timeout, BATCH_TIMEOUT)
        return [
            result.response if result.HasField("response") else error_of_status(result.error)
            for result in response.results
        ]

    def get_order(
        self,
        order_id: UUID | str | None = None,
        *,
        client_order_id: str | None = None,
        timeout: float | None = None,
    ) -> order_pb2.Order:
        """Return the current state of an order. For traders."""
        request = pb.GetOrderRequest(**requests.order_name(order_id, client_order_id))
        response = self._calls.unary(self._orders.GetOrder, request, timeout)
        return response.order

    def list_orders(
        self,
        *,
        statuses: Iterable[OrderStatus] = (),
        symbols: Iterable[str] = (),
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        updated_from: datetime | None = None,
        updated_before: datetime | None = None,
        page_size: int = 500,
        timeout: float | None = None,
    ) -> Iterator[order_pb2.Order]:
        """Yield the orders that match all filters, newest first. For traders.

        Pages are fetched on demand; `page_size` is 1 to 500; `timeout` applies to each page.
        """
        request = pb.ListOrdersRequest(
            statuses=[status.value for status in statuses],
            symbols=symbols,
            created=time_range(created_from, created_before),
            updated=time_range(updated_from, updated_before),
            page_size=page_size,
        )

        def fetch(token: str) -> pb.ListOrdersResponse:
            request.page_token = token
            return self._calls.unary(self._orders.ListOrders, request, timeout)

        return pages(fetch, lambda page: page.orders)

    def list_fills(
        self,
        order_id: UUID | str | None = None,
        *,
        client_order_id: str | None = None,
        traded_from: datetime | None = None,
        traded_before: datetime | None = None,
        page_size: int = 500,
        timeout: float | None = None,
    ) -> Iterator[order_pb2.Fill]:
        """Yield the fills of one order or, without an id, of all orders, most recently recorded first. For traders.

        Pages are fetched on demand; `page_size` is 1 to 500; `timeout` applies to each page.
        """
        request = pb.ListFillsRequest(
            **requests.order_name(order_id, client_order_id),
            traded=time_range(traded_from, traded_before),
            page_size=page_size,
        )

        def fetch(token: str) -> pb.ListFillsResponse:
            request.page_token = token
            return self._calls.unary(self._orders.ListFills, request, timeout)

        return pages(fetch, lambda page: page.fills)

    def cancel_order(
        self,
        order_id: UUID | str | None = None,
        *,
        client_order_id: str | None = None,
        reason: str = "",
        timeout: float | None = None,
    ) -> pb.CancelOrderResponse:
        """Cancel an open order. `replayed` is true if it had been cancelled before. For traders."""
        request = pb.CancelOrderRequest(**requests.order_name(order_id, client_order_id), reason=reason)
        return self._calls.unary(self._orders.CancelOrder, request, timeout)

    def cancel_all_orders(
        self, *, symbol: str = "", reason: str = "", timeout: float | None = None
    ) -> pb.CancelAllOrdersResponse:
        """Cancel all open orders, or those in one symbol. For traders.

        The call is not retried. After UNAVAILABLE or DEADLINE_EXCEEDED all, some or none of the orders are cancelled.
        The call can then be repeated: it cancels the orders that are open at that time, including those entered since,
        and its response counts only these.
        """
        request = pb.CancelAllOrdersRequest(symbol=symbol, reason=reason)
        return self._calls.unary(self._orders.CancelAllOrders, request, timeout, BATCH_TIMEOUT)

    def report_execution(
        self, report: reports_pb.ReportExecutionRequest, *, timeout: float | None = None
    ) -> reports_pb.ReportExecutionResponse:
        """Record a report, built with `approved`, `executed`, `filled` and so on. For execution gateways."""
        return self._calls.unary(self._orders.ReportExecution, report, timeout)

    def batch_report_executions(
        self, reports: Iterable[reports_pb.ReportExecutionRequest], *, timeout: float | None = None
    ) -> list[reports_pb.ReportExecutionResponse | BlotterError]:
        """Record 1 to 1,000 reports. For execution gateways.

        Returns one result per report, in the same order: the response, or the error.
        """
        request = reports_pb.BatchReportExecutionsRequest(reports=reports)
        response = self._calls.unary(self._orders.BatchReportExecutions, request, timeout, BATCH_TIMEOUT)
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
        trader_ids: Iterable[UUID | str] = (),
        resume_token: str = "",
        heartbeat_interval: float | None = None,
    ) -> Stream[watch_pb2.WatchOrdersResponse]:
        """Watch orders: a snapshot, then each event once; with `resume_token`, the events after that message.

        A trader receives their own orders; a role those of all traders, or of `trader_ids`. `heartbeat_interval` is
        1 to 60 seconds. The stream resumes by itself; see Stream.
        """
        request = watch_pb2.WatchOrdersRequest(
            order_ids=map(str, order_ids),
            symbols=symbols,
            statuses=[status.value for status in statuses],
            trader_ids=map(str, trader_ids),
            heartbeat_interval=duration(heartbeat_interval),
        )
        filtered = request.order_ids or request.symbols or request.statuses

        def connect(token: str) -> Connection[watch_pb2.WatchOrdersResponse]:
            request.resume_token = token
            return self._calls.open_stream(self._orders.WatchOrders, request)

        return Stream(
            connect,
            WatchReader(dense=not (filtered or self._calls.identity.role)),
            resume_token=resume_token,
            heartbeat=heartbeat_interval,
            timing=self._calls.timing,
        )
