"""The contract's enums as Python enums with the same numbers: `OrderStatus(order.status) is OrderStatus.FILLED`."""

from __future__ import annotations

from enum import IntEnum

from blotter.audit.v1 import audit_service_pb2, ledger_pb2
from blotter.orders.v1 import order_pb2


class Side(IntEnum):
    """The side of an order."""

    BUY = order_pb2.SIDE_BUY
    SELL = order_pb2.SIDE_SELL


class OrderType(IntEnum):
    """The type of an order."""

    MARKET = order_pb2.ORDER_TYPE_MARKET
    LIMIT = order_pb2.ORDER_TYPE_LIMIT
    STOP = order_pb2.ORDER_TYPE_STOP


class OrderStatus(IntEnum):
    """The status of an order."""

    PENDING = order_pb2.ORDER_STATUS_PENDING
    PARTIAL = order_pb2.ORDER_STATUS_PARTIAL
    FILLED = order_pb2.ORDER_STATUS_FILLED
    REJECTED = order_pb2.ORDER_STATUS_REJECTED
    CANCELLED = order_pb2.ORDER_STATUS_CANCELLED


class Action(IntEnum):
    """The action that an event of an order records."""

    SUBMITTED = order_pb2.ACTION_SUBMITTED
    APPROVED = order_pb2.ACTION_APPROVED
    EXECUTED = order_pb2.ACTION_EXECUTED
    FILLED = order_pb2.ACTION_FILLED
    REJECTED = order_pb2.ACTION_REJECTED
    CANCELLED = order_pb2.ACTION_CANCELLED
    RECOVERED = order_pb2.ACTION_RECOVERED


class SortOrder(IntEnum):
    """The sort order of listed execution logs."""

    OLDEST_FIRST = audit_service_pb2.SORT_ORDER_OLDEST_FIRST
    NEWEST_FIRST = audit_service_pb2.SORT_ORDER_NEWEST_FIRST


class ExportFormat(IntEnum):
    """The file format of an export of the ledger."""

    BUNDLE = ledger_pb2.EXPORT_FORMAT_BUNDLE
    CAT_CSV = ledger_pb2.EXPORT_FORMAT_CAT_CSV
    CAT_JSON = ledger_pb2.EXPORT_FORMAT_CAT_JSON
