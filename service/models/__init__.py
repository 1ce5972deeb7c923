"""The tables as models: Alembic's metadata. One file for each table, and one for those of the ledger."""

from __future__ import annotations

from service.models.audit_access import AuditAccess
from service.models.base import Base
from service.models.cancel_timer import CancelTimer
from service.models.desk import Desk
from service.models.execution_log import ExecutionLog
from service.models.fill import Fill
from service.models.fill_correction import FillCorrection
from service.models.identity_key import IdentityKey
from service.models.merkle_tree import LedgerCheckpoint, LedgerCosignature, LedgerEntry, LedgerHead, LedgerTile
from service.models.order import Order
from service.models.principal import Principal
from service.models.trader import Trader, TraderSequence

metadata = Base.metadata

__all__ = [
    "AuditAccess",
    "CancelTimer",
    "Desk",
    "ExecutionLog",
    "Fill",
    "FillCorrection",
    "IdentityKey",
    "LedgerCheckpoint",
    "LedgerCosignature",
    "LedgerEntry",
    "LedgerHead",
    "LedgerTile",
    "Order",
    "Principal",
    "Trader",
    "TraderSequence",
    "metadata",
]
