"""The tables, one a file: Alembic's metadata, and what the repositories' statements are written with."""

from __future__ import annotations

from service.models.base import Base
from service.models.execution_log import ExecutionLog
from service.models.fill import Fill
from service.models.order import Order
from service.models.trader import Trader, TraderSequence

metadata = Base.metadata

__all__ = ["ExecutionLog", "Fill", "Order", "Trader", "TraderSequence", "metadata"]
