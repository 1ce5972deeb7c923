"""Validation of the requests that traders make about orders."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

from blotter.orders.v1 import cancel_timer_pb2, order_pb2, order_service_pb2, request_pb2, terms_pb2
from blotter_client.decimals import format_decimal
from service.domain.orders import OrderKey, Terms
from service.domain.securities import is_valid_security_id
from service.domain.writes import Cancel, NewOrder, Replace
from service.servicers.conversion import TERM_FIELDS
from service.servicers.fields import Fields

MAX_BATCH = 1000
_SHORTEST_TIMEOUT, _LONGEST_TIMEOUT = timedelta(seconds=1), timedelta(days=1)
_ALL = "*"


def batch(field: str, items: Sized) -> None:
    """Validate the number of items of a batch."""
    fields = Fields()
    if not 1 <= len(items) <= MAX_BATCH:
        fields.reject(field, f"must have 1 to {MAX_BATCH} entries")
    fields.check()


def new_order(request: order_service_pb2.SubmitOrderRequest, *, batch: bool = False) -> NewOrder:
    """Validate an order to enter. Makes a client_order_id where the request has none and may omit it."""
    fields = Fields()
    if batch and not request.client_order_id:
        fields.reject("client_order_id", "is required in a batch, which could not be repeated safely without it")
    if batch and request.validate_only:
        fields.reject("validate_only", "is not available in a batch")
    order = NewOrder(
        client_order_id=fields.key("client_order_id", request.client_order_id)
        if request.client_order_id
        else str(uuid4()),
        symbol=fields.symbol("symbol", request.symbol),
        side=fields.label("side", request.side, order_pb2.Side, "SIDE_"),
        order_type=fields.label("order_type", request.order_type, order_pb2.OrderType, "ORDER_TYPE_"),
        quantity=fields.quantity("quantity", request.quantity),
        price=fields.price("price", request.price),
        stop_loss=fields.price("stop_loss", request.stop_loss),
        take_profit=fields.price("take_profit", request.take_profit),
        expires_at=fields.moment("expire_time", request),
        stop_price=fields.price("stop_price", request.stop_price),
        time_in_force=_time_in_force(fields, "time_in_force", request.time_in_force),
        account=fields.account("account", request.account) if request.account else None,
        labels=fields.order_labels("labels", request.labels),
        parent_order_id=fields.key("parent_order_id", request.parent_order_id) if request.parent_order_id else None,
        currency=fields.currency("currency", request.currency),
        security_id=request.security_id or None,
        security_id_source=fields.option(
            "security_id_source", request.security_id_source, order_pb2.SecurityIdSource, "SECURITY_ID_SOURCE_"
        ),
        short_sale=fields.option("short_sale", request.short_sale, order_pb2.ShortSale, "SHORT_SALE_"),
        exempt_from_cancel_timer=request.exempt_from_cancel_timer,
    )
    _check_prices(fields, order, request)
    _check_exits(fields, order)
    _check_security(fields, order, request)
    if order.short_sale and order.side == "BUY":
        fields.reject("short_sale", "must be unset for a buy")
    has_expiry = request.HasField("expire_time")
    if order.time_in_force == "GTD" and not has_expiry:
        fields.reject("expire_time", "is required for time in force GTD")
    if order.time_in_force in ("DAY", "GTC", "IOC", "FOK") and has_expiry:
        fields.reject("expire_time", f"must be absent for time in force {order.time_in_force}")
    # Without other violations the database refuses a past expire_time: the request may repeat an expired order.
    if not fields.valid and order.expires_at and order.expires_at <= datetime.now(UTC):
        fields.reject("expire_time", "must be in the future")
    fields.check()
    return order


def _check_prices(fields: Fields, order: NewOrder, request: order_service_pb2.SubmitOrderRequest) -> None:
    if order.order_type == "MARKET" and request.price:
        fields.reject("price", "must be empty for a market order")
    if order.order_type in ("LIMIT", "STOP", "STOP_LIMIT") and not request.price:
        fields.reject("price", "is required for a limit, stop or stop limit order")
    if order.order_type == "STOP_LIMIT" and not request.stop_price:
        fields.reject("stop_price", "is required for a stop limit order")
    if order.order_type in ("MARKET", "LIMIT", "STOP") and request.stop_price:
        fields.reject("stop_price", "must be empty except for a stop limit order")


def _check_exits(fields: Fields, order: NewOrder) -> None:
    ascending = [("stop_loss", order.stop_loss), ("price", order.price), ("take_profit", order.take_profit)]
    known = [(name, price) for name, price in ascending if price is not None]
    for (low_name, low), (high_name, high) in pairwise(known):
        named, other = (high_name, low_name) if low_name == "price" else (low_name, high_name)
        relation = "above" if named == high_name else "below"
        if order.side == "BUY" and low >= high:
            fields.reject(named, f"must be {relation} {other} for a buy")
        if order.side == "SELL" and low <= high:
            fields.reject(named, f"must be {'below' if relation == 'above' else 'above'} {other} for a sell")


def _check_security(fields: Fields, order: NewOrder, request: order_service_pb2.SubmitOrderRequest) -> None:
    if order.security_id is None:
        if order.security_id_source is not None:
            fields.reject("security_id", "is required with security_id_source")
    elif not request.security_id_source:
        fields.reject("security_id_source", "is required with security_id")
    elif order.security_id_source and not is_valid_security_id(order.security_id, order.security_id_source):
        fields.reject("security_id", f"must be {order.security_id_source} with its check digit")


def order_key(
    request: order_service_pb2.GetOrderRequest
    | order_service_pb2.CancelOrderRequest
    | order_service_pb2.ListFillsRequest
    | request_pb2.ReplaceOrderRequest
    | request_pb2.ListRequestsRequest,
    fields: Fields,
    *,
    required: bool = True,
) -> OrderKey | None:
    """Validate the id of an order: order_id or client_order_id. Returns None where neither is set."""
    match request.WhichOneof("id"):
        case "order_id":
            return OrderKey(order_id=fields.uuid("order_id", request.order_id))
        case "client_order_id":
            return OrderKey(client_order_id=fields.key("client_order_id", request.client_order_id))
    if required:
        fields.reject("id", "is required: order_id or client_order_id")
    return None


def cancel_order(request: order_service_pb2.CancelOrderRequest, *, batch: bool = False) -> Cancel:
    """Validate a cancel."""
    fields = Fields()
    key = order_key(request, fields)
    request_key = _request_key(fields, request.request_key, batch=batch)
    reason = fields.reason("reason", request.reason)
    fields.check()
    return Cancel(key or OrderKey(), request_key, reason)


def replace_order(request: request_pb2.ReplaceOrderRequest, *, batch: bool = False) -> Replace:
    """Validate a replace. Makes a request_key where the request has none and may omit it."""
    fields = Fields()
    key = order_key(request, fields)
    request_key = _request_key(fields, request.request_key, batch=batch) or str(uuid4())
    expected = None
    if request.HasField("expected_last_sequence"):
        expected = fields.at_least("expected_last_sequence", request.expected_last_sequence, 1)
    terms = _terms(fields, request.terms, _named_terms(fields, request))
    reason = fields.reason("reason", request.reason)
    fields.check()
    return Replace(key or OrderKey(), request_key, terms, expected, reason)


def _request_key(fields: Fields, value: str, *, batch: bool) -> str | None:
    if batch and not value:
        fields.reject("request_key", "is required in a batch, which could not be repeated safely without it")
    return fields.key("request_key", value) if value else None


def _named_terms(fields: Fields, request: request_pb2.ReplaceOrderRequest) -> Sequence[str]:
    """Return the fields of the terms that are to change, by their names in the contract."""
    known = TERM_FIELDS.values()
    paths = request.update_mask.paths
    if not paths:
        named = [name for name in known if _is_set(request.terms, name)]
        if not named:
            fields.reject("terms", "must have a field that is to change")
        return named
    if list(paths) == [_ALL]:
        return list(known)
    if fields.too_many("update_mask", paths, len(known)):
        return []
    unknown = [path for path in paths if path not in known]
    if unknown:
        fields.reject("update_mask", f"must have paths of {', '.join(known)}, or only {_ALL}")
    return [name for name in known if name in paths]


def _is_set(terms: terms_pb2.OrderTerms, name: str) -> bool:
    return terms.HasField("expire_time") if name == "expire_time" else bool(getattr(terms, name))


def _terms(fields: Fields, request: terms_pb2.OrderTerms, named: Sequence[str]) -> Terms:
    """Return the named terms as the record has them. A named term that is not set is cleared."""
    terms: Terms = {}
    for column, name in TERM_FIELDS.items():
        if name not in named:
            continue
        path = f"terms.{name}"
        match name:
            case "quantity":
                terms[column] = fields.quantity(path, request.quantity)
            case "expire_time":
                terms[column] = _utc_text(fields.moment(path, request, name))
            case "time_in_force":
                terms[column] = _time_in_force(fields, path, request.time_in_force)
            case _:
                price = fields.price(path, getattr(request, name))
                terms[column] = None if price is None else format_decimal(price)
    return terms


def _utc_text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _time_in_force(fields: Fields, path: str, value: int) -> Any:
    return fields.option(path, value, terms_pb2.TimeInForce, "TIME_IN_FORCE_")


def cancel_all_orders(request: order_service_pb2.CancelAllOrdersRequest) -> tuple[str | None, str | None]:
    """Return the symbol of the orders to cancel, and the reason."""
    fields = Fields()
    symbol = fields.symbol("symbol", request.symbol) if request.symbol else None
    reason = fields.reason("reason", request.reason)
    fields.check()
    return symbol, reason


def cancel_all_after(request: cancel_timer_pb2.CancelAllAfterRequest) -> timedelta:
    """Return the timeout of the cancel timer; 0 switches it off."""
    fields = Fields()
    timeout = fields.duration("timeout", request)
    if not request.HasField("timeout"):
        fields.reject("timeout", "is required; 0 switches the timer off")
    elif timeout is not None and (timeout or request.timeout.nanos):
        # The truncated nanoseconds count too: a day and 1 nanosecond is too long, and 1 nanosecond is not 0.
        above = timeout == _LONGEST_TIMEOUT and request.timeout.nanos > 0
        if not _SHORTEST_TIMEOUT <= timeout <= _LONGEST_TIMEOUT or above:
            fields.reject("timeout", "must be 1 to 86400 seconds, or 0 to switch the timer off")
    fields.check()
    return timeout or timedelta(0)
