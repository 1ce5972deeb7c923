"""Conversion of fills and their corrections to messages of blotter.orders.v1."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from blotter.orders.v1 import order_pb2
from blotter_client.values import timestamp
from service.domain.orders import CorrectedFill, ExecutionLog, FillCorrection
from service.servicers.wire_values import Fields, decimal, time


def fill_to_proto(corrected: CorrectedFill) -> order_pb2.Fill:
    """Return the message of a fill, with what stands of it."""
    fill, corrections = corrected.fill, corrected.corrections
    last = corrections[-1] if corrections else None
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
        trade_date=fill.trade_date.isoformat(),
        net_quantity=last.quantity if last else fill.quantity_filled,
        net_price=decimal(last.price if last else fill.price_at_fill),
        net_commission=decimal((last.commission or Decimal(0)) if last else fill.commission),
        busted=last is not None and last.quantity == 0,
        corrections=map(_correction_to_proto, corrections),
    )


def _correction_to_proto(correction: FillCorrection) -> order_pb2.FillCorrection:
    return order_pb2.FillCorrection(
        fill_id=str(correction.fill_id),
        execution_id=correction.execution_id,
        ref_execution_id=correction.ref_execution_id,
        trade_date=correction.trade_date.isoformat(),
        venue=correction.venue,
        quantity=correction.quantity,
        price=decimal(correction.price),
        commission=decimal(correction.commission or Decimal(0)),
        reason=correction.reason or "",
        event_time=timestamp(correction.timestamp),
        record_time=timestamp(correction.created_at),
        sequence=correction.sequence,
        busted=correction.quantity == 0,
    )


def fill_of(log: ExecutionLog) -> Fields:
    """Return the fields of the Fill that the event recorded or refused, as reported; None for another event."""
    if log.fill_quantity is None or log.ref_execution_id is not None:
        return None
    price, commission = decimal(log.fill_price), decimal(log.fill_commission)
    return {
        "fill_id": log.fill_id,
        "order_id": log.order_id,
        "trader_id": log.trader_id,
        "execution_id": log.execution_id,
        "venue": log.venue,
        "quantity": log.fill_quantity,
        "price": price,
        "commission": commission,
        "event_time": time(log.timestamp),
        "record_time": time(log.created_at),
        "sequence": log.sequence,
        "trade_date": _trade_date(log).isoformat(),
        "net_quantity": log.fill_quantity,
        "net_price": price,
        "net_commission": commission,
    }


def correction_of(log: ExecutionLog) -> Fields:
    """Return the fields of the FillCorrection that the event recorded or refused; None for another event."""
    if log.ref_execution_id is None:
        return None
    return {
        "fill_id": log.fill_id,
        "execution_id": log.execution_id,
        "ref_execution_id": log.ref_execution_id,
        "trade_date": _trade_date(log).isoformat(),
        "venue": log.venue,
        "quantity": log.fill_quantity,
        "price": decimal(log.fill_price),
        "commission": decimal(log.fill_commission or Decimal(0)),
        "reason": _reported_reason(log),
        "event_time": time(log.timestamp),
        "record_time": time(log.created_at),
        "sequence": log.sequence,
        "busted": not log.fill_quantity,
    }


def _reported_reason(log: ExecutionLog) -> str:
    """Return the reason that the gateway gave. The log of a refusal has it after `FILL_BUSTED refused: `."""
    reason = log.reason or ""
    return reason.partition(" refused: ")[2] if log.refused else reason


def _trade_date(log: ExecutionLog) -> date:
    # Logs of older releases have none; their fills have the date of their time in UTC.
    return log.trade_date or log.timestamp.date()
