"""Discrepancies in the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

DiscrepancyKind = Literal[
    "ORDER_DIFFERS_FROM_LOG",
    "ORDER_WITHOUT_LOG",
    "LOG_WITHOUT_ORDER",
    "FILL_DIFFERS_FROM_LOG",
    "LOG_WITHOUT_FILL",
    "FILLS_DO_NOT_ADD_UP",
    "SEQUENCE_GAP",
    "COUNTER_DIFFERS",
    "LOG_NOT_IN_LEDGER",
    "LOG_DIFFERS_FROM_LEDGER",
    "LEDGER_ENTRY_WITHOUT_LOG",
    "POSITION_GAP",
    "TREE_DIFFERS_FROM_CHECKPOINT",
    "LOG_DOES_NOT_FOLLOW",
    "ORDER_OVERFILLED",
    "CORRECTION_DIFFERS_FROM_LOG",
]


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One discrepancy; fields that do not apply are None."""

    kind: DiscrepancyKind
    trader_id: UUID | None = None
    order_id: UUID | None = None
    log_id: UUID | None = None
    fill_id: UUID | None = None
    sequence: int | None = None
    position: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a reconciliation."""

    traders_done: int
    traders_total: int
    compared: int
    discrepancies: int
