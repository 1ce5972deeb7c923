"""The declarative base and the column types that tables share.

`alembic check` compares the models with the revisions. Check constraints, triggers, policies and grants are in the
revisions alone; `sql/schema.sql` shows all of them.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, MetaData, Numeric, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, mapped_column

ORDER_TYPE = postgresql.ENUM("MARKET", "LIMIT", "STOP", "STOP_LIMIT", name="order_type_enum", create_type=False)
ORDER_SIDE = postgresql.ENUM("BUY", "SELL", name="order_side_enum", create_type=False)
ORDER_STATUS = postgresql.ENUM(
    "PENDING", "FILLED", "PARTIAL", "REJECTED", "CANCELLED", name="order_status_enum", create_type=False
)
ACTION = postgresql.ENUM(
    "SUBMITTED",
    "APPROVED",
    "EXECUTED",
    "FILLED",
    "REJECTED",
    "CANCELLED",
    "RECOVERED",
    "CANCEL_REQUESTED",
    "REPLACE_REQUESTED",
    "REPLACED",
    "CANCEL_REFUSED",
    "REPLACE_REFUSED",
    "RESTATED",
    "DONE_FOR_DAY",
    "FILL_CORRECTED",
    "FILL_BUSTED",
    name="action_enum",
    create_type=False,
)
TIME_IN_FORCE = postgresql.ENUM("DAY", "GTC", "IOC", "FOK", "GTD", name="time_in_force_enum", create_type=False)
SECURITY_ID_SOURCE = postgresql.ENUM("ISIN", "FIGI", "CUSIP", name="security_id_source_enum", create_type=False)
SHORT_SALE = postgresql.ENUM("SELL_SHORT", "SELL_SHORT_EXEMPT", name="short_sale_enum", create_type=False)
REQUEST_KIND = postgresql.ENUM("CANCEL", "REPLACE", name="request_kind_enum", create_type=False)


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData()


RowId = Annotated[UUID, mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))]
"""An id that the database generates."""

Price = Annotated[Decimal, mapped_column(Numeric(18, 8))]
"""A price or amount per share: 10 digits before and 8 after the point."""

Notional = Annotated[Decimal, mapped_column(Numeric(38, 8))]
"""An exact sum of quantity times price."""

Instant = Annotated[datetime, mapped_column(DateTime(timezone=True))]
"""A time in UTC, with microseconds."""

Sequence = Annotated[int, mapped_column(BigInteger)]
"""A number in a trader's dense numbering of events: 1, 2, 3, ..."""
