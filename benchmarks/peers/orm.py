"""The naive service with FastAPI and SQLAlchemy's asyncio ORM: two inserts in one transaction.

`uvicorn orm:app`, with the database in DATABASE_URL (postgresql+asyncpg).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import FastAPI, Header
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ForeignKey, Numeric
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import DateTime

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=int(os.environ.get("POOL_SIZE", "8")), max_overflow=0
)
sessions = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """The tables."""

    type_annotation_map = {datetime: DateTime(timezone=True), Decimal: Numeric(18, 8)}  # noqa: RUF012  # as documented


class OrderRow(Base):
    """An order."""

    __tablename__ = "orders"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    trader_id: Mapped[UUID]
    client_order_id: Mapped[str]
    symbol: Mapped[str]
    side: Mapped[str]
    order_type: Mapped[str]
    quantity: Mapped[int]
    price: Mapped[Decimal | None]
    status: Mapped[str] = mapped_column(default="PENDING")
    filled_quantity: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)


class LogRow(Base):
    """The log of an event."""

    __tablename__ = "execution_logs"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"))
    action: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)


class NewOrder(BaseModel):
    """A request to enter an order."""

    client_order_id: str = Field(min_length=1, max_length=64)
    symbol: str = Field(min_length=1, max_length=22)
    side: str
    order_type: str
    quantity: int = Field(gt=0)
    price: Decimal | None = None


class Order(NewOrder):
    """An order as it is answered."""

    model_config = ConfigDict(from_attributes=True)
    id: UUID
    trader_id: UUID
    status: str
    filled_quantity: int
    created_at: datetime
    updated_at: datetime


@app.post("/orders")
async def submit(new: NewOrder, x_trader_id: Annotated[UUID, Header()]) -> Order:
    """Enter an order."""
    async with sessions.begin() as session:
        order = OrderRow(id=uuid4(), trader_id=x_trader_id, **new.model_dump())
        session.add(order)
        await session.flush()
        session.add(LogRow(order_id=order.id, action="SUBMITTED"))
    return Order.model_validate(order)
