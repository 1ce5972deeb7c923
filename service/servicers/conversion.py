"""Conversion of domain values to messages of the contract."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal

from blotter.audit.v1 import execution_log_pb2, inspection_pb2, ledger_pb2
from blotter.orders.v1 import order_pb2
from blotter_client.decimals import format_decimal
from blotter_client.values import timestamp
from service.domain.discrepancies import Discrepancy, Progress
from service.domain.orders import ExecutionLog, Fill, NewOrder, Order
from service.repositories.inspection import Access
from service.repositories.proofs import SignedTree

_CENTIMILLIONTH = Decimal("0.00000001")
_EXACT = Context(prec=60)


def decimal(value: Decimal | None) -> str:
    """Return the decimal without trailing zeros; the empty string for None."""
    return "" if value is None else format_decimal(value)


def average_price(notional: Decimal, quantity: int) -> str:
    """Return notional / quantity, rounded half up to 8 decimals; the empty string when the quantity is 0."""
    if not quantity:
        return ""
    average = _EXACT.divide(notional, Decimal(quantity))
    return format_decimal(average.quantize(_CENTIMILLIONTH, rounding=ROUND_HALF_UP, context=_EXACT))


def order_to_proto(order: Order) -> order_pb2.Order:
    """Return the message of an order."""
    return order_pb2.Order(
        order_id=str(order.id),
        client_order_id=order.client_order_id,
        trader_id=str(order.trader_id),
        symbol=order.symbol,
        side=order_pb2.Side.Value(f"SIDE_{order.side}"),
        order_type=order_pb2.OrderType.Value(f"ORDER_TYPE_{order.order_type}"),
        quantity=order.quantity,
        price=decimal(order.price),
        stop_loss=decimal(order.stop_loss),
        take_profit=decimal(order.take_profit),
        status=order_pb2.OrderStatus.Value(f"ORDER_STATUS_{order.status}"),
        filled_quantity=order.filled_quantity,
        filled_notional=decimal(order.filled_notional),
        average_fill_price=average_price(order.filled_notional, order.filled_quantity),
        create_time=timestamp(order.created_at),
        update_time=timestamp(order.updated_at),
        expire_time=timestamp(order.expires_at),
        last_sequence=order.last_sequence,
    )


def valid_order_to_proto(order: NewOrder, trader_id: object) -> order_pb2.Order:
    """Return the message of an order that was only validated: without id, create and update time, and sequence."""
    return order_pb2.Order(
        client_order_id=order.client_order_id,
        trader_id=str(trader_id),
        symbol=order.symbol,
        side=order_pb2.Side.Value(f"SIDE_{order.side}"),
        order_type=order_pb2.OrderType.Value(f"ORDER_TYPE_{order.order_type}"),
        quantity=order.quantity,
        price=decimal(order.price),
        stop_loss=decimal(order.stop_loss),
        take_profit=decimal(order.take_profit),
        status=order_pb2.ORDER_STATUS_PENDING,
        filled_notional="0",
        expire_time=timestamp(order.expires_at),
    )


def fill_to_proto(fill: Fill) -> order_pb2.Fill:
    """Return the message of a fill."""
    return order_pb2.Fill(
        fill_id=str(fill.id),
        order_id=str(fill.order_id),
        trader_id=str(fill.trader_id),
        execution_id=fill.execution_id,
        venue=fill.venue,
        quantity=fill.quantity_filled,
        price=decimal(fill.price_at_fill),
        commission=decimal(fill.commission),
        event_time=timestamp(fill.timestamp),
        record_time=timestamp(fill.created_at),
        sequence=fill.sequence,
    )


def order_after(log: ExecutionLog) -> order_pb2.Order:
    """Return the order as the event left it."""
    return order_to_proto(
        Order(
            id=log.order_id,
            trader_id=log.trader_id,
            client_order_id=log.client_order_id,
            symbol=log.symbol,
            side=log.side,
            order_type=log.order_type,
            quantity=log.quantity,
            price=log.price,
            stop_loss=log.stop_loss,
            take_profit=log.take_profit,
            status=log.status,
            filled_quantity=log.filled_quantity,
            filled_notional=log.filled_notional,
            created_at=log.order_created_at,
            updated_at=log.created_at,
            expires_at=log.expires_at,
            last_sequence=log.sequence,
        )
    )


def fill_of(log: ExecutionLog) -> order_pb2.Fill | None:
    """Return the fill that the event recorded or refused; None for an event without a fill."""
    if log.fill_quantity is None:
        return None
    return order_pb2.Fill(
        fill_id=str(log.fill_id or ""),
        order_id=str(log.order_id),
        trader_id=str(log.trader_id),
        execution_id=log.execution_id or "",
        venue=log.venue or "",
        quantity=log.fill_quantity,
        price=decimal(log.fill_price),
        commission=decimal(log.fill_commission),
        event_time=timestamp(log.timestamp),
        record_time=timestamp(log.created_at),
        sequence=log.sequence,
    )


def event_to_proto(log: ExecutionLog, position: int | None = None) -> order_pb2.OrderEvent:
    """Return an execution log as an event of WatchOrders."""
    return order_pb2.OrderEvent(
        sequence=log.sequence,
        action=order_pb2.Action.Value(f"ACTION_{log.action}"),
        order=order_after(log),
        reason=log.reason or "",
        error_code=log.error_code or "",
        retry_attempt=log.retry_attempt,
        fill=fill_of(log),
        event_time=timestamp(log.timestamp),
        record_time=timestamp(log.created_at),
        log_id=str(log.id),
        refused=log.refused,
        position=position,
    )


def log_to_proto(log: ExecutionLog, position: int | None = None) -> execution_log_pb2.ExecutionLog:
    """Return an execution log as AuditService returns it."""
    return execution_log_pb2.ExecutionLog(
        log_id=str(log.id),
        trader_id=str(log.trader_id),
        order_id=str(log.order_id),
        sequence=log.sequence,
        action=order_pb2.Action.Value(f"ACTION_{log.action}"),
        status=order_pb2.OrderStatus.Value(f"ORDER_STATUS_{log.status}"),
        event_time=timestamp(log.timestamp),
        record_time=timestamp(log.created_at),
        reason=log.reason or "",
        retry_attempt=log.retry_attempt,
        error_code=log.error_code or "",
        actor=log.actor,
        login=log.login or "",
        request_id=log.request_id,
        report_id=log.report_id or "",
        order=order_after(log),
        fill=fill_of(log),
        venue=log.venue or "",
        refused=log.refused,
        position=position,
    )


def checkpoint_to_proto(tree: SignedTree) -> ledger_pb2.Checkpoint:
    """Return the message of a signed tree head."""
    return ledger_pb2.Checkpoint(
        origin=tree.note.partition("\n")[0],
        tree_size=tree.size,
        root_hash=tree.root_hash,
        note=tree.cosigned,
        create_time=timestamp(tree.created_at),
    )


def discrepancy_to_proto(found: Discrepancy) -> inspection_pb2.Discrepancy:
    """Return the message of a discrepancy."""
    return inspection_pb2.Discrepancy(
        kind=inspection_pb2.DiscrepancyKind.Value(f"DISCREPANCY_KIND_{found.kind}"),
        trader_id=str(found.trader_id or ""),
        order_id=str(found.order_id or ""),
        log_id=str(found.log_id or ""),
        fill_id=str(found.fill_id or ""),
        sequence=found.sequence or 0,
        position=found.position,
        detail=found.detail,
    )


def progress_to_proto(progress: Progress) -> inspection_pb2.ReconciliationProgress:
    """Return the message of a reconciliation's progress."""
    return inspection_pb2.ReconciliationProgress(
        traders_done=progress.traders_done,
        traders_total=progress.traders_total,
        compared_count=progress.compared,
        discrepancy_count=progress.discrepancies,
    )


def access_to_proto(access: Access) -> inspection_pb2.AuditAccess:
    """Return the message of a recorded read by compliance."""
    return inspection_pb2.AuditAccess(
        access_id=access.id,
        access_time=timestamp(access.accessed_at),
        actor=access.actor,
        login=access.login,
        request_id=access.request_id,
        method=access.method,
        request=access.request,
    )
