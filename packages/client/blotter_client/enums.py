"""The contract's enums as Python enums with the same numbers: `OrderStatus(order.status) is OrderStatus.FILLED`."""

from __future__ import annotations

from enum import IntEnum

from blotter.audit.v1 import audit_service_pb2, ledger_pb2
from blotter.orders.v1 import execution_report_pb2, order_pb2, request_pb2, terms_pb2


class Side(IntEnum):
    """The side of an order."""

    BUY = order_pb2.SIDE_BUY
    SELL = order_pb2.SIDE_SELL


class OrderType(IntEnum):
    """The type of an order."""

    MARKET = order_pb2.ORDER_TYPE_MARKET
    LIMIT = order_pb2.ORDER_TYPE_LIMIT
    STOP = order_pb2.ORDER_TYPE_STOP
    STOP_LIMIT = order_pb2.ORDER_TYPE_STOP_LIMIT


class TimeInForce(IntEnum):
    """How long an order stays in force."""

    DAY = terms_pb2.TIME_IN_FORCE_DAY
    GTC = terms_pb2.TIME_IN_FORCE_GTC
    IOC = terms_pb2.TIME_IN_FORCE_IOC
    FOK = terms_pb2.TIME_IN_FORCE_FOK
    GTD = terms_pb2.TIME_IN_FORCE_GTD


class ShortSale(IntEnum):
    """How a sale is marked."""

    SELL_SHORT = order_pb2.SHORT_SALE_SELL_SHORT
    SELL_SHORT_EXEMPT = order_pb2.SHORT_SALE_SELL_SHORT_EXEMPT


class SecurityIdSource(IntEnum):
    """What a security_id is."""

    ISIN = order_pb2.SECURITY_ID_SOURCE_ISIN
    FIGI = order_pb2.SECURITY_ID_SOURCE_FIGI
    CUSIP = order_pb2.SECURITY_ID_SOURCE_CUSIP


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
    CANCEL_REQUESTED = order_pb2.ACTION_CANCEL_REQUESTED
    REPLACE_REQUESTED = order_pb2.ACTION_REPLACE_REQUESTED
    REPLACED = order_pb2.ACTION_REPLACED
    CANCEL_REFUSED = order_pb2.ACTION_CANCEL_REFUSED
    REPLACE_REFUSED = order_pb2.ACTION_REPLACE_REFUSED
    RESTATED = order_pb2.ACTION_RESTATED
    DONE_FOR_DAY = order_pb2.ACTION_DONE_FOR_DAY
    FILL_CORRECTED = order_pb2.ACTION_FILL_CORRECTED
    FILL_BUSTED = order_pb2.ACTION_FILL_BUSTED


class RequestKind(IntEnum):
    """What a request asks for."""

    CANCEL = terms_pb2.REQUEST_KIND_CANCEL
    REPLACE = terms_pb2.REQUEST_KIND_REPLACE


class RequestOutcome(IntEnum):
    """What became of a request."""

    PENDING = request_pb2.REQUEST_OUTCOME_PENDING
    ACCEPTED = request_pb2.REQUEST_OUTCOME_ACCEPTED
    REFUSED = request_pb2.REQUEST_OUTCOME_REFUSED
    SUPERSEDED = request_pb2.REQUEST_OUTCOME_SUPERSEDED


class RefusalReason(IntEnum):
    """Why the venue refused a cancel or a replace."""

    TOO_LATE_TO_CANCEL = execution_report_pb2.REFUSAL_REASON_TOO_LATE_TO_CANCEL
    UNKNOWN_ORDER = execution_report_pb2.REFUSAL_REASON_UNKNOWN_ORDER
    BROKER_OPTION = execution_report_pb2.REFUSAL_REASON_BROKER_OPTION
    ALREADY_PENDING = execution_report_pb2.REFUSAL_REASON_ALREADY_PENDING
    MASS_CANCEL_NOT_PROCESSED = execution_report_pb2.REFUSAL_REASON_MASS_CANCEL_NOT_PROCESSED
    MODIFICATION_TIME_DIFFERS = execution_report_pb2.REFUSAL_REASON_MODIFICATION_TIME_DIFFERS
    DUPLICATE_CLIENT_ORDER_ID = execution_report_pb2.REFUSAL_REASON_DUPLICATE_CLIENT_ORDER_ID
    PRICE_EXCEEDS_CURRENT_PRICE = execution_report_pb2.REFUSAL_REASON_PRICE_EXCEEDS_CURRENT_PRICE
    PRICE_EXCEEDS_PRICE_BAND = execution_report_pb2.REFUSAL_REASON_PRICE_EXCEEDS_PRICE_BAND
    INVALID_PRICE_INCREMENT = execution_report_pb2.REFUSAL_REASON_INVALID_PRICE_INCREMENT
    OTHER = execution_report_pb2.REFUSAL_REASON_OTHER


class SortOrder(IntEnum):
    """The sort order of listed execution logs."""

    OLDEST_FIRST = audit_service_pb2.SORT_ORDER_OLDEST_FIRST
    NEWEST_FIRST = audit_service_pb2.SORT_ORDER_NEWEST_FIRST


class ExportFormat(IntEnum):
    """The file format of an export of the ledger."""

    BUNDLE = ledger_pb2.EXPORT_FORMAT_BUNDLE
    CAT_CSV = ledger_pb2.EXPORT_FORMAT_CAT_CSV
    CAT_JSON = ledger_pb2.EXPORT_FORMAT_CAT_JSON
