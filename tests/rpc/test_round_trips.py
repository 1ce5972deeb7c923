"""One unary call is one round trip to the database: counted on the wire between the service and Postgres."""

import asyncio
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration
from grpc import aio
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from blotter.audit.v1 import audit_service_pb2, inspection_pb2, ledger_pb2
from blotter.orders.v1 import cancel_timer_pb2, order_service_pb2, request_pb2, terms_pb2
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from service.sequencing import KeyFolder
from service.server import running
from tests.conftest import ALICE, BOB, Database
from tests.serving import (
    COMPLIANCE,
    EXECUTION,
    Blotter,
    as_trader,
    connected,
    order_request,
    report_request,
    serving,
    settings,
)


class Tap:
    """A socket in front of Postgres that records each message of the frontend after the start-up of a connection."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self.sent: list[bytes] = []
        self.connections: list[asyncio.Task[None]] = []

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Accept one connection."""
        self.connections.append(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_unix_connection(str(self._target))
        ways = [
            asyncio.create_task(self._note(reader, downstream)),
            asyncio.create_task(_pump(upstream, writer)),
        ]
        # Either end may close first: Postgres ends a cancel request, the service all other connections.
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for end in (downstream, writer):
            end.close()
        await asyncio.gather(*ways, *(end.wait_closed() for end in (downstream, writer)), return_exceptions=True)

    async def _note(self, reader: asyncio.StreamReader, downstream: asyncio.StreamWriter) -> None:
        start = await reader.readexactly(4)
        downstream.write(start + await reader.readexactly(struct.unpack("!I", start)[0] - 4))
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
            self.sent.append(head[:1] + body)
            downstream.write(head + body)

    def of_calls(self) -> list[bytes]:
        """The messages sent for RPCs, without those of the expiry and the probe, which run in the background."""
        own = (b"SELECT DISTINCT", b"probe_writing")
        return [message for message in self.sent if not any(mark in message for mark in own)]


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)


@asynccontextmanager
async def tapped(database: Database) -> AsyncIterator[tuple[Blotter, Tap]]:
    """A server whose database traffic is recorded."""
    parts: dict[str, Any] = conninfo_to_dict(database.conninfo("blotter_trader"))
    name = f".s.PGSQL.{parts['port']}"
    tap = Tap(Path(str(parts["host"])) / name)
    with tempfile.TemporaryDirectory() as folder:
        listener = await asyncio.start_unix_server(tap.accept, str(Path(folder) / name))
        conninfo = make_conninfo(**parts | {"host": folder, "sslmode": "disable", "gssencmode": "disable"})
        async with listener:
            async with running(settings(), conninfo) as server, connected(server, database) as blotter:
                yield blotter, tap
            await asyncio.gather(*tap.connections)


Call = Callable[[Blotter, Any], Awaitable[Any]]


def trader_call(name: str, request: Callable[[Any], Any], stub: str = "orders") -> Call:
    """A call by Alice, whose request is made from one of her orders."""
    return lambda blotter, order: getattr(getattr(blotter, stub), name)(request(order), metadata=as_trader(ALICE))


def replace_of(order: Any, request_key: str = "") -> request_pb2.ReplaceOrderRequest:
    """A replace of the order's quantity."""
    terms = terms_pb2.OrderTerms(quantity=50)
    return request_pb2.ReplaceOrderRequest(order_id=order.order_id, request_key=request_key, terms=terms)


pb, audit_pb = order_service_pb2, audit_service_pb2
CALLS: dict[str, Call] = {
    "SubmitOrder": trader_call("SubmitOrder", lambda order: order_request()),
    "SubmitOrder, replayed": trader_call(
        "SubmitOrder", lambda order: order_request(client_order_id=order.client_order_id)
    ),
    "SubmitOrder, validate_only": trader_call("SubmitOrder", lambda order: order_request(validate_only=True)),
    "BatchSubmitOrders": trader_call(
        "BatchSubmitOrders",
        lambda order: pb.BatchSubmitOrdersRequest(orders=[order_request() for _ in range(100)]),
    ),
    "GetOrder": trader_call("GetOrder", lambda order: pb.GetOrderRequest(order_id=order.order_id)),
    "ListOrders": trader_call("ListOrders", lambda order: pb.ListOrdersRequest(page_size=1)),
    "ListFills": trader_call("ListFills", lambda order: pb.ListFillsRequest()),
    "ListFills of an order": trader_call("ListFills", lambda order: pb.ListFillsRequest(order_id=order.order_id)),
    "CancelOrder": trader_call("CancelOrder", lambda order: pb.CancelOrderRequest(order_id=order.order_id)),
    "BatchCancelOrders": trader_call(
        "BatchCancelOrders",
        lambda order: pb.BatchCancelOrdersRequest(
            requests=[pb.CancelOrderRequest(order_id=order.order_id, request_key=f"c{number}") for number in range(100)]
        ),
    ),
    "ReplaceOrder": trader_call("ReplaceOrder", replace_of),
    "BatchReplaceOrders": trader_call(
        "BatchReplaceOrders",
        lambda order: request_pb2.BatchReplaceOrdersRequest(
            requests=[replace_of(order, f"r{number}") for number in range(100)]
        ),
    ),
    "ListRequests": trader_call("ListRequests", lambda order: request_pb2.ListRequestsRequest(order_id=order.order_id)),
    "CancelAllAfter": trader_call(
        "CancelAllAfter", lambda order: cancel_timer_pb2.CancelAllAfterRequest(timeout=Duration(seconds=3600))
    ),
    "GetCancelTimer": trader_call("GetCancelTimer", lambda order: cancel_timer_pb2.GetCancelTimerRequest()),
    "CancelAllOrders": trader_call("CancelAllOrders", lambda order: pb.CancelAllOrdersRequest()),
    "ListExecutionLogs": trader_call(
        "ListExecutionLogs", lambda order: audit_pb.ListExecutionLogsRequest(page_size=1), "audit"
    ),
    "ListExecutionLogs, compliance": lambda blotter, order: blotter.audit.ListExecutionLogs(
        audit_pb.ListExecutionLogsRequest(), metadata=COMPLIANCE
    ),
    "GetOrderAsOf": lambda blotter, order: blotter.audit.GetOrderAsOf(
        inspection_pb2.GetOrderAsOfRequest(order_id=order.order_id, time=order.create_time), metadata=COMPLIANCE
    ),
    "ListAuditAccess": lambda blotter, order: blotter.audit.ListAuditAccess(
        inspection_pb2.ListAuditAccessRequest(page_size=1), metadata=COMPLIANCE
    ),
    "GetCheckpoint": lambda blotter, order: blotter.audit.GetCheckpoint(
        ledger_pb2.GetCheckpointRequest(), metadata=COMPLIANCE
    ),
    "GetInclusionProof": lambda blotter, order: blotter.audit.GetInclusionProof(
        ledger_pb2.GetInclusionProofRequest(position=0, tree_size=1), metadata=COMPLIANCE
    ),
    "GetConsistencyProof": lambda blotter, order: blotter.audit.GetConsistencyProof(
        ledger_pb2.GetConsistencyProofRequest(old_tree_size=1, new_tree_size=1), metadata=COMPLIANCE
    ),
    "ReportExecution": lambda blotter, order: blotter.orders.ReportExecution(
        report_request(order, fill=reports_pb.FillReport(execution_id="e", quantity=1, price="1")),
        metadata=EXECUTION,
    ),
    "BatchReportExecutions": lambda blotter, order: blotter.orders.BatchReportExecutions(
        reports_pb.BatchReportExecutionsRequest(
            reports=[report_request(order, executed=reports_pb.ExecutedReport()) for _ in range(100)]
        ),
        metadata=EXECUTION,
    ),
}
STREAMS = {"WatchOrders", "StreamExecutionLogs", "ReconcileOrders", "ExportExecutionLogs"}
TWO = {"GetInclusionProof", "GetConsistencyProof"}
"""The first round trip reads the position and the size, which determine the tiles that the second reads."""


async def test_each_unary_call_is_one_round_trip(database: Database, tmp_path: Path) -> None:
    counts = {}
    await signed_ledger(database, tmp_path)
    async with tapped(database) as (blotter, tap):
        for name, call in CALLS.items():
            order = await blotter.submit()
            await blotter.submit(BOB, client_order_id=order.client_order_id)
            tap.sent.clear()
            await call(blotter, order)
            counts[name] = len(tap.of_calls())
            assert all(message.startswith(b"Q") for message in tap.of_calls())
    assert counts == {name: 2 if name in TWO else 1 for name in CALLS}


async def signed_ledger(database: Database, folder: Path) -> None:
    """Let a sequencer sign the first entries, and stop."""
    keys = KeyFolder(folder / "keys")
    keys.generate("log.example")
    settings = {"ledger_origin": "log.example", "ledger_keys": keys.folder, "checkpoint_seconds": 0.05}
    async with serving(database, sequencer=True, **settings) as blotter:
        await blotter.submit()
        request = ledger_pb2.GetCheckpointRequest()
        async with asyncio.timeout(30):
            while True:
                try:
                    await blotter.audit.GetCheckpoint(request, metadata=COMPLIANCE)
                except aio.AioRpcError:
                    await asyncio.sleep(0.05)
                else:
                    return


def test_every_method_is_counted() -> None:
    services = (
        order_service_pb2.DESCRIPTOR.services_by_name["OrderService"],
        audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"],
    )
    methods = {method.name for service in services for method in service.methods}
    assert methods == {name.split(",")[0].split(" ")[0] for name in CALLS} | STREAMS
