"""The service, running on a test's own database, and stubs to call it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import uvloop
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from blotter.audit.v1 import audit_service_pb2_grpc
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from service.observability.metrics import Metrics
from service.sequencing import KeyFolder
from service.server import Running, running
from service.settings import Settings
from service.streams import Feed
from tests.conftest import ALICE, Database

EXECUTION = (("x-caller-role", "execution"),)
COMPLIANCE = (("x-caller-role", "compliance"),)


def as_trader(trader_id: UUID | str) -> tuple[tuple[str, str], ...]:
    """The metadata of a trader's call."""
    return (("x-trader-id", str(trader_id)),)


def as_desk(desk_id: UUID | str) -> tuple[tuple[str, str], ...]:
    """The metadata of a desk's call."""
    return (("x-caller-role", "desk"), ("x-desk-id", str(desk_id)))


def settings(**changes: Any) -> Settings:
    """The settings of a test's server: any free port, quick polls, no sequencer unless asked for."""
    values: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "database_url": "postgresql:///named-by-the-test",
        "feed_poll_ms": 20,
        "expiry_poll_ms": 50,
        "grace_seconds": 2,
        "sequencer": False,
    }
    return Settings(**(values | changes))


@dataclass(frozen=True, slots=True)
class Blotter:
    """A server and stubs on a channel to it."""

    port: int
    feed: Feed
    drain: Callable[[], None]
    channel: aio.Channel
    orders: Any
    audit: Any
    database: Database
    metrics: Metrics

    async def submit(self, trader_id: UUID = ALICE, **changes: Any) -> order_pb2.Order:
        """Enter an order: 100 AAPL to buy at 585.33, but for the changes."""
        response = await self.orders.SubmitOrder(order_request(**changes), metadata=as_trader(trader_id))
        order: order_pb2.Order = response.order
        return order

    async def report(self, order: order_pb2.Order, **report: Any) -> order_pb2.Order:
        """Report on an order, as a gateway; a new report_id unless one is given."""
        response = await self.orders.ReportExecution(report_request(order, **report), metadata=EXECUTION)
        reported: order_pb2.Order = response.order
        return reported

    async def fill(self, order: order_pb2.Order, quantity: int, price: str = "585.33", **fill: Any) -> order_pb2.Order:
        """Report a fill; a new execution_id unless one is given."""
        fill.setdefault("execution_id", uuid4().hex)
        return await self.report(order, fill=reports_pb.FillReport(quantity=quantity, price=price, **fill))


def order_request(**changes: Any) -> order_service_pb2.SubmitOrderRequest:
    """100 AAPL to buy at 585.33, but for the changes."""
    values: dict[str, Any] = {
        "client_order_id": uuid4().hex,
        "symbol": "AAPL",
        "side": order_pb2.SIDE_BUY,
        "order_type": order_pb2.ORDER_TYPE_LIMIT,
        "quantity": 100,
        "price": "585.33",
    }
    return order_service_pb2.SubmitOrderRequest(**(values | changes))


def report_request(order: order_pb2.Order, **report: Any) -> reports_pb.ReportExecutionRequest:
    """A report on the order from NASDAQ, of 2012."""
    values: dict[str, Any] = {
        "trader_id": order.trader_id,
        "order_id": order.order_id,
        "report_id": uuid4().hex,
        "venue": "NASDAQ",
        "event_time": Timestamp(seconds=1340285400, nanos=4_241_000),
    }
    return reports_pb.ReportExecutionRequest(**(values | report))


@asynccontextmanager
async def connected(server: Running, database: Database) -> AsyncIterator[Blotter]:
    """Stubs on a channel to a server."""
    async with aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        orders = order_service_pb2_grpc.OrderServiceStub(channel)
        audit = audit_service_pb2_grpc.AuditServiceStub(channel)
        yield Blotter(server.port, server.feed, server.drain, channel, orders, audit, database, server.metrics)


@asynccontextmanager
async def serving(database: Database, **changes: Any) -> AsyncIterator[Blotter]:
    """A server on the database, in this event loop."""
    async with (
        running(settings(**changes), database.conninfo("blotter_trader")) as server,
        connected(server, database) as blotter,
    ):
        yield blotter


@pytest.fixture
async def blotter(database: Database) -> AsyncIterator[Blotter]:
    """A server on the test's own database."""
    async with serving(database) as server:
        yield server


@dataclass(frozen=True, slots=True)
class Server:
    """A server in a thread of its own, for synchronous clients."""

    target: str
    database: Database


@pytest.fixture
def server(database: Database, tmp_path: Path) -> Iterator[Server]:
    """A server in a thread of its own, on the test's own database, that sequences and signs."""
    keys = KeyFolder(tmp_path / "keys")
    keys.generate("log.example")
    ledger = {"sequencer": True, "ledger_keys": keys.folder, "ledger_origin": "log.example", "checkpoint_seconds": 0.2}
    started: list[int] = []
    up, stop = threading.Event(), asyncio.Event()
    loop = uvloop.new_event_loop()

    async def serve() -> None:
        async with running(settings(**ledger), database.conninfo("blotter_trader")) as server:
            started.append(server.port)
            up.set()
            await stop.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            up.set()
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert up.wait(30)
    assert started, "the server did not start"
    try:
        yield Server(f"127.0.0.1:{started[0]}", database)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
