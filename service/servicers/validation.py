"""Validation of requests that read, one function per request. Each returns domain values or raises InvalidRequest.

The modules `order_validation` and `report_validation` hold those of requests that write.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from blotter.audit.v1 import audit_service_pb2, inspection_pb2, ledger_pb2
from blotter.orders.v1 import order_pb2, order_service_pb2, request_pb2, watch_pb2
from service.domain.filters import AccessFilter, EventFilter, FillFilter, LogFilter, OrderFilter
from service.domain.identity import Caller
from service.domain.orders import OrderKey
from service.servicers.fields import Fields
from service.servicers.order_validation import order_key

HEARTBEAT_SECONDS = 15.0
_SHORTEST_HEARTBEAT, _LONGEST_HEARTBEAT = timedelta(seconds=1), timedelta(seconds=60)


def get_order(request: order_service_pb2.GetOrderRequest, caller: Caller) -> OrderKey:
    """Return the order to get."""
    fields = Fields()
    key = _order_key(request, fields, caller)
    fields.check()
    return key or OrderKey()


def list_requests(request: request_pb2.ListRequestsRequest, caller: Caller) -> tuple[OrderKey, int]:
    """Return the order whose requests to list, and the page size."""
    fields = Fields()
    key = _order_key(request, fields, caller)
    size = fields.count("page_size", request.page_size, default=50, most=500)
    fields.check()
    return key or OrderKey(), size


def list_orders(request: order_service_pb2.ListOrdersRequest) -> tuple[OrderFilter, int]:
    """Return the filter and the page size."""
    fields = Fields()
    created_from, created_to = fields.span("created", request)
    updated_from, updated_to = fields.span("updated", request)
    filter_ = OrderFilter(
        statuses=fields.labels("statuses", request.statuses, order_pb2.OrderStatus, "ORDER_STATUS_"),
        symbols=fields.symbols("symbols", request.symbols, most=100),
        created_from=created_from,
        created_to=created_to,
        updated_from=updated_from,
        updated_to=updated_to,
        **_filed_under(fields, request),
    )
    size = fields.count("page_size", request.page_size, default=50, most=500)
    fields.check()
    return filter_, size


def list_fills(request: order_service_pb2.ListFillsRequest, caller: Caller) -> tuple[FillFilter, int]:
    """Return the filter and the page size."""
    fields = Fields()
    traded_from, traded_to = fields.span("traded", request)
    filter_ = FillFilter(
        key=_order_key(request, fields, caller, required=False),
        traded_from=traded_from,
        traded_to=traded_to,
        **_filed_under(fields, request),
    )
    size = fields.count("page_size", request.page_size, default=50, most=500)
    fields.check()
    return filter_, size


def list_execution_logs(request: audit_service_pb2.ListExecutionLogsRequest, caller: Caller) -> tuple[LogFilter, int]:
    """Return the filter and the page size. A trader's filter always names that trader."""
    fields = Fields()
    trader_id = fields.uuid("trader_id", request.trader_id) if request.trader_id else caller.trader_id
    if caller.trader_id and request.trader_id:
        fields.reject("trader_id", "is for compliance only")
    happened_from, happened_to = fields.span("happened", request)
    if request.sort_order not in audit_service_pb2.SortOrder.values():
        fields.reject("sort_order", "is not a known value")
    filter_ = LogFilter(
        trader_id=trader_id,
        order_id=fields.uuid("order_id", request.order_id) if request.order_id else None,
        actions=fields.labels("actions", request.actions, order_pb2.Action, "ACTION_"),
        happened_from=happened_from,
        happened_to=happened_to,
        newest_first=request.sort_order == audit_service_pb2.SORT_ORDER_NEWEST_FIRST,
        **_filed_under(fields, request),
    )
    size = fields.count("page_size", request.page_size, default=100, most=1000)
    fields.check()
    return filter_, size


def watch_orders(request: watch_pb2.WatchOrdersRequest, caller: Caller) -> tuple[EventFilter, float]:
    """Return the filter and the heartbeat interval in seconds."""
    fields = Fields()
    filter_ = EventFilter(
        trader_ids=_trader_ids(fields, request, caller),
        order_ids=fields.uuids("order_ids", request.order_ids, most=1000),
        symbols=fields.symbols("symbols", request.symbols, most=100),
        statuses=fields.labels("statuses", request.statuses, order_pb2.OrderStatus, "ORDER_STATUS_"),
        **_filed_under(fields, request),
    )
    interval = _heartbeat(fields, request)
    fields.check()
    return filter_, interval


def stream_execution_logs(
    request: audit_service_pb2.StreamExecutionLogsRequest, caller: Caller
) -> tuple[EventFilter, float]:
    """Return the filter and the heartbeat interval in seconds."""
    fields = Fields()
    filter_ = EventFilter(
        trader_ids=_trader_ids(fields, request, caller),
        order_ids=fields.uuids("order_ids", request.order_ids, most=1000),
        actions=fields.labels("actions", request.actions, order_pb2.Action, "ACTION_"),
        **_filed_under(fields, request),
    )
    interval = _heartbeat(fields, request)
    fields.check()
    return filter_, interval


def get_checkpoint(request: ledger_pb2.GetCheckpointRequest) -> int | None:
    """Return the tree size of the checkpoint to get; None for the newest."""
    fields = Fields()
    size = fields.size("tree_size", request)
    fields.check()
    return size


def get_inclusion_proof(request: ledger_pb2.GetInclusionProofRequest) -> tuple[UUID | int, int | None]:
    """Return the leaf to prove, as log id or position, and the tree size; None for the newest tree."""
    fields = Fields()
    leaf: UUID | int = 0
    match request.WhichOneof("leaf"):
        case "log_id":
            leaf = fields.uuid("log_id", request.log_id)
        case "position":
            leaf = fields.at_least("position", request.position, 0)
        case _:
            fields.reject("leaf", "is required: log_id or position")
    size = fields.size("tree_size", request)
    fields.check()
    return leaf, size


def get_consistency_proof(request: ledger_pb2.GetConsistencyProofRequest) -> tuple[int, int | None]:
    """Return the sizes of the two trees; None as the second for the newest tree."""
    fields = Fields()
    old = fields.at_least("old_tree_size", request.old_tree_size, 1)
    new = fields.size("new_tree_size", request)
    if new is not None and 1 <= new < old:
        fields.reject("new_tree_size", "must not be below old_tree_size")
    fields.check()
    return old, new


def export_execution_logs(request: ledger_pb2.ExportExecutionLogsRequest) -> tuple[int, int | None, int]:
    """Return the first position to export, the position after the last (None: all), and the format."""
    fields = Fields()
    start = fields.at_least("from_position", request.from_position, 0)
    end = fields.at_least("to_position", request.to_position, 0) if request.HasField("to_position") else None
    if end is not None and 0 <= end < start:
        fields.reject("to_position", "must not be below from_position")
    if request.format not in ledger_pb2.ExportFormat.values():
        fields.reject("format", "is not a known value")
    fields.check()
    return start, end, request.format or ledger_pb2.EXPORT_FORMAT_BUNDLE


def get_order_as_of(request: inspection_pb2.GetOrderAsOfRequest) -> tuple[UUID, datetime | None, int | None]:
    """Return the id of the order, and the time or the position as of which to get it."""
    fields = Fields()
    order_id = fields.uuid("order_id", request.order_id)
    time, position = fields.moment("time", request), None
    if request.HasField("position"):
        position = fields.at_least("position", request.position, 0)
    elif not request.HasField("time"):
        fields.reject("moment", "is required: time or position")
    fields.check()
    return order_id, time, position


def reconcile_orders(
    request: inspection_pb2.ReconcileOrdersRequest,
) -> tuple[UUID | None, datetime | None, datetime | None]:
    """Return the trader (None for all), and the bounds of the record time."""
    fields = Fields()
    trader_id = fields.uuid("trader_id", request.trader_id) if request.trader_id else None
    recorded_from, recorded_to = fields.span("recorded", request)
    fields.check()
    return trader_id, recorded_from, recorded_to


def list_audit_access(request: inspection_pb2.ListAuditAccessRequest) -> tuple[AccessFilter, int]:
    """Return the filter and the page size."""
    fields = Fields()
    accessed_from, accessed_to = fields.span("accessed", request)
    filter_ = AccessFilter(accessed_from, accessed_to, fields.text("actor", request.actor, most=100))
    size = fields.count("page_size", request.page_size, default=100, most=1000)
    fields.check()
    return filter_, size


def _order_key(
    request: order_service_pb2.GetOrderRequest | order_service_pb2.ListFillsRequest | request_pb2.ListRequestsRequest,
    fields: Fields,
    caller: Caller,
    *,
    required: bool = True,
) -> OrderKey | None:
    """Return the key of the order. A desk must name it by order_id."""
    if caller.desk_id and request.client_order_id:
        fields.reject("client_order_id", "is unique within one trader only; a desk names orders by order_id")
        return None
    return order_key(request, fields, required=required)


def _filed_under(
    fields: Fields,
    request: order_service_pb2.ListOrdersRequest
    | order_service_pb2.ListFillsRequest
    | watch_pb2.WatchOrdersRequest
    | audit_service_pb2.ListExecutionLogsRequest
    | audit_service_pb2.StreamExecutionLogsRequest,
) -> dict[str, Any]:
    """Return the conditions on what orders are filed under."""
    return {
        "accounts": fields.accounts("accounts", request.accounts),
        "labels": fields.label_filter("labels", request.labels),
        "parent_order_ids": fields.keys("parent_order_ids", request.parent_order_ids),
        "security_ids": fields.keys("security_ids", request.security_ids),
        "currencies": fields.currencies("currencies", request.currencies),
        "short_sales": fields.labels("short_sales", request.short_sales, order_pb2.ShortSale, "SHORT_SALE_"),
    }


def _trader_ids(
    fields: Fields,
    request: watch_pb2.WatchOrdersRequest | audit_service_pb2.StreamExecutionLogsRequest,
    caller: Caller,
) -> list[UUID] | None:
    if caller.trader_id and request.trader_ids:
        fields.reject("trader_ids", "is for callers that see several traders")
        return None
    return fields.uuids("trader_ids", request.trader_ids, most=100)


def _heartbeat(
    fields: Fields, request: watch_pb2.WatchOrdersRequest | audit_service_pb2.StreamExecutionLogsRequest
) -> float:
    if not request.HasField("heartbeat_interval"):
        return HEARTBEAT_SECONDS
    interval = fields.duration("heartbeat_interval", request)
    if interval is None:
        return HEARTBEAT_SECONDS
    # The truncated nanoseconds count too: 60 seconds and 1 nanosecond are too long.
    above = interval == _LONGEST_HEARTBEAT and request.heartbeat_interval.nanos > 0
    if not _SHORTEST_HEARTBEAT <= interval <= _LONGEST_HEARTBEAT or above:
        fields.reject("heartbeat_interval", "must be 1 to 60 seconds")
    return interval.total_seconds()
