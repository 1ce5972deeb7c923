"""The typed client: Client, and AsyncClient for asyncio, with the same methods.

    from decimal import Decimal
    from blotter_client import Client, OrderType, Side

    with Client("127.0.0.1:50051", trader_id="11111111-0000-4000-8000-000000000000") as client:
        order = client.submit_order("AAPL", Side.BUY, OrderType.LIMIT, 100, Decimal("585.33")).order
        for message in client.watch_orders():
            ...

    async with AsyncClient("127.0.0.1:50051", trader_id="11111111-0000-4000-8000-000000000000") as client:
        order = (await client.submit_order("AAPL", Side.BUY, OrderType.MARKET, 100)).order
        async for message in client.watch_orders():
            ...

Calls return the contract's messages. `decimal_of` and `moment_of` convert their prices and times.
"""

from __future__ import annotations

from blotter.audit.v1.audit_service_pb2 import StreamExecutionLogsResponse
from blotter.audit.v1.execution_log_pb2 import ExecutionLog
from blotter.orders.v1.cancel_timer_pb2 import CancelTimer
from blotter.orders.v1.execution_report_pb2 import ReportExecutionRequest, ReportExecutionResponse
from blotter.orders.v1.order_pb2 import Fill, FillCorrection, Order, OrderEvent
from blotter.orders.v1.order_service_pb2 import (
    CancelOrderRequest,
    CancelOrderResponse,
    SubmitOrderRequest,
    SubmitOrderResponse,
)
from blotter.orders.v1.request_pb2 import ReplaceOrderRequest, ReplaceOrderResponse, Request
from blotter.orders.v1.terms_pb2 import OrderTerms, PendingRequest
from blotter.orders.v1.watch_pb2 import WatchOrdersResponse
from blotter_client.aio.client import AsyncClient
from blotter_client.aio.streams import AsyncStream, AsyncTiming
from blotter_client.channel import CHANNEL_OPTIONS, SERVICE_CONFIG, open_async_channel, open_channel
from blotter_client.client import Client
from blotter_client.enums import (
    Action,
    ExportFormat,
    OrderStatus,
    OrderType,
    RefusalReason,
    RequestKind,
    RequestOutcome,
    SecurityIdSource,
    ShortSale,
    Side,
    SortOrder,
    TimeInForce,
)
from blotter_client.errors import BlotterError
from blotter_client.requests import (
    UNCHANGED,
    Unchanged,
    approved,
    cancel_refused,
    cancelled,
    done_for_day,
    executed,
    fill_busted,
    fill_corrected,
    filled,
    new_cancel,
    new_order,
    new_replace,
    recovered,
    rejected,
    replace_refused,
    replaced,
    restated,
)
from blotter_client.streams import Stream, Timing
from blotter_client.values import decimal_of, decimal_text, moment_of

__all__ = [
    "CHANNEL_OPTIONS",
    "SERVICE_CONFIG",
    "UNCHANGED",
    "Action",
    "AsyncClient",
    "AsyncStream",
    "AsyncTiming",
    "BlotterError",
    "CancelOrderRequest",
    "CancelOrderResponse",
    "CancelTimer",
    "Client",
    "ExecutionLog",
    "ExportFormat",
    "Fill",
    "FillCorrection",
    "Order",
    "OrderEvent",
    "OrderStatus",
    "OrderTerms",
    "OrderType",
    "PendingRequest",
    "RefusalReason",
    "ReplaceOrderRequest",
    "ReplaceOrderResponse",
    "ReportExecutionRequest",
    "ReportExecutionResponse",
    "Request",
    "RequestKind",
    "RequestOutcome",
    "SecurityIdSource",
    "ShortSale",
    "Side",
    "SortOrder",
    "Stream",
    "StreamExecutionLogsResponse",
    "SubmitOrderRequest",
    "SubmitOrderResponse",
    "TimeInForce",
    "Timing",
    "Unchanged",
    "WatchOrdersResponse",
    "approved",
    "cancel_refused",
    "cancelled",
    "decimal_of",
    "decimal_text",
    "done_for_day",
    "executed",
    "fill_busted",
    "fill_corrected",
    "filled",
    "moment_of",
    "new_cancel",
    "new_order",
    "new_replace",
    "open_async_channel",
    "open_channel",
    "recovered",
    "rejected",
    "replace_refused",
    "replaced",
    "restated",
]
