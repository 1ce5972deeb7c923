"""Records what a release sends to its database: run `python -m tests.migrations.record_release` at each release.

It runs calls against a real server: every method, the sequencer's work and the owner's, and the checks at the start. It
records the SQL as it was sent, with placeholders for values that differ in another database: the ids of orders, and the
size of the ledger. `play` sends the SQL again; a test does so with that of the last release on the newest schema.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch
from uuid import UUID

import grpc
import psycopg
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message as Request
from google.protobuf.timestamp_pb2 import Timestamp

from blotter.audit.v1 import audit_service_pb2, inspection_pb2, ledger_pb2
from blotter.orders.v1 import cancel_timer_pb2, order_pb2, request_pb2, terms_pb2, watch_pb2
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_service_pb2 as orders_pb
from service import migrations
from service.domain.identity import Caller, CallerKind
from service.embedded import Cluster
from service.observability.metrics import Metrics
from service.repositories import privileges, traders
from service.repositories.append import LedgerWriter
from service.repositories.database import Database as ServiceDatabase
from service.repositories.due import DueCancels
from service.repositories.probe import Probe
from service.repositories.sessions import SESSION, login_to
from service.sequencing import KeyFolder
from service.sequencing.checkpoints import Checkpoints
from tests.conftest import UNSAFE_BUT_FAST, Database, created
from tests.paths import ROOT
from tests.serving import COMPLIANCE, EXECUTION, Blotter, as_trader, order_request, report_request, serving

RELEASES = Path(__file__).parent / "releases"
DEADLINE = 30
CAROL = UUID("ca201000-0000-4000-8000-000000000003")
METHODS = {
    method.name: method.server_streaming
    for service in (
        orders_pb.DESCRIPTOR.services_by_name["OrderService"],
        audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"],
    )
    for method in service.methods
}


class Message(NamedTuple):
    """One message: its login, its statements, and the outcomes of the functions that it calls."""

    login: str
    sql: str
    outcomes: tuple[str, ...] = ()


class Recording(NamedTuple):
    """The messages of a release, and its newest revision."""

    head: str
    messages: list[Message]


class Played(NamedTuple):
    """The answers of the database: the outcomes by message, and the digests of policies and grants."""

    outcomes: list[tuple[str, ...]]
    digests: set[str]


@contextmanager
def recorded() -> Iterator[list[Message]]:
    """Collect what psycopg sends while the block runs."""
    messages: list[Message] = []
    send, send_async = psycopg.Cursor.execute, psycopg.AsyncCursor.execute

    def keep(connection: Any, mogrifier: Any, query: Any, values: Any) -> None:
        text = mogrifier(connection).mogrify(query, values) if values else query
        messages.append(Message(connection.info.user, text if isinstance(text, str) else text.decode()))

    def execute(self: Any, query: Any, params: Any = None, **options: Any) -> Any:
        keep(self.connection, psycopg.ClientCursor, query, params)
        return send(self, query, params, **options)

    async def execute_async(self: Any, query: Any, params: Any = None, **options: Any) -> Any:
        keep(self.connection, psycopg.AsyncClientCursor, query, params)
        return await send_async(self, query, params, **options)

    with (
        patch.object(psycopg.Cursor, "execute", execute),
        patch.object(psycopg.AsyncCursor, "execute", execute_async),
    ):
        yield messages


class Conversation:
    """Calls methods and records which."""

    def __init__(self, blotter: Blotter) -> None:
        self.blotter = blotter
        self.called: set[str] = set()

    async def call(self, method: str, request: Request, metadata: Any) -> Any:
        """Call a method; return its response, or the first message of its stream."""
        self.called.add(method)
        stub = self.blotter.audit if hasattr(self.blotter.audit, method) else self.blotter.orders
        call = getattr(stub, method)(request, metadata=metadata, timeout=DEADLINE)
        if not METHODS[method]:
            return await call
        first = await call.read()
        call.cancel()
        return first

    async def trade(self, trader_id: UUID) -> dict[str, str]:
        """Make the calls of a desk and its gateway; return the orders' ids by the trader's."""
        desk = as_trader(trader_id)
        ids = {}
        orders: dict[str, dict[str, Any]] = {
            "filled": {},
            "cancelled": {"expire_time": Timestamp(seconds=4_102_444_800)},
            "rejected": {"stop_loss": "580"},
            "left": {"symbol": "MSFT", "take_profit": "600"},
        }
        for name, changes in orders.items():
            request = order_request(client_order_id=name, **changes)
            ids[name] = (await self.call("SubmitOrder", request, desk)).order.order_id
        await self.call("SubmitOrder", order_request(client_order_id="valid", validate_only=True), desk)
        batch = orders_pb.BatchSubmitOrdersRequest(
            orders=[order_request(client_order_id=name) for name in ("batched", "filled")]
        )
        results = (await self.call("BatchSubmitOrders", batch, desk)).results
        ids["batched"] = results[0].response.order.order_id

        def report(name: str, number: str, **what: Any) -> reports_pb.ReportExecutionRequest:
            order = orders_pb.SubmitOrderResponse().order
            order.trader_id, order.order_id = str(trader_id), ids[name]
            return report_request(order, report_id=f"report-{number}", **what)

        steps: tuple[dict[str, Any], ...] = (
            {"approved": reports_pb.ApprovedReport()},
            {"executed": reports_pb.ExecutedReport()},
            {"recovered": reports_pb.RecoveredReport(retry_attempt=1)},
            {"fill": reports_pb.FillReport(quantity=40, price="585.33", commission="1", execution_id="e-1")},
        )
        for number, what in enumerate(steps):
            await self.call("ReportExecution", report("filled", str(number), **what), EXECUTION)
        fill = reports_pb.FillReport(quantity=60, price="585.32", execution_id="e-2")
        both = [
            report("filled", "last", fill=fill),
            report("rejected", "no", rejected=reports_pb.RejectedReport(reason="price")),
        ]
        reports = reports_pb.BatchReportExecutionsRequest(reports=both)
        results = (await self.call("BatchReportExecutions", reports, EXECUTION)).results
        assert all(result.HasField("response") for result in results)
        await self.call("CancelOrder", orders_pb.CancelOrderRequest(client_order_id="cancelled", reason="mine"), desk)
        ids |= await self.change(trader_id)
        await self.call("CancelAllOrders", orders_pb.CancelAllOrdersRequest(symbol="MSFT"), desk)
        await self.call("CancelAllOrders", orders_pb.CancelAllOrdersRequest(), desk)
        return ids

    async def change(self, trader_id: UUID) -> dict[str, str]:
        """Make the calls of a desk that replaces and cancels, and of its venue; return the orders' ids as `trade`."""
        desk = as_trader(trader_id)
        ids = {}
        orders: dict[str, dict[str, Any]] = {
            "changed": {
                "order_type": order_pb2.ORDER_TYPE_STOP_LIMIT,
                "side": order_pb2.SIDE_SELL,
                "stop_price": "590",
                "time_in_force": terms_pb2.TIME_IN_FORCE_GTC,
                "account": "A-1",
                "labels": {"desk": "one"},
                "parent_order_id": "parent",
                "currency": "USD",
                "security_id": "US0378331005",
                "security_id_source": order_pb2.SECURITY_ID_SOURCE_ISIN,
                "short_sale": order_pb2.SHORT_SALE_SELL_SHORT,
                "exempt_from_cancel_timer": True,
            },
            "worked": {},
            "day": {"time_in_force": terms_pb2.TIME_IN_FORCE_DAY},
        }
        for name, changes in orders.items():
            request = order_request(client_order_id=name, **changes)
            ids[name] = (await self.call("SubmitOrder", request, desk)).order.order_id

        def replace(name: str, key: str, **terms: Any) -> request_pb2.ReplaceOrderRequest:
            return request_pb2.ReplaceOrderRequest(
                client_order_id=name,
                request_key=key,
                terms=terms_pb2.OrderTerms(**terms),
                update_mask=FieldMask(paths=list(terms)),
                reason="mine",
            )

        async def report(name: str, number: str, **what: Any) -> None:
            order = order_pb2.Order(trader_id=str(trader_id), order_id=ids[name])
            request = report_request(order, report_id=f"report-of-change-{number}", **what)
            await self.call("ReportExecution", request, EXECUTION)

        first = replace("changed", "replace-1", quantity=50, price="580", stop_price="581")
        first.expected_last_sequence = (
            await self.call("GetOrder", orders_pb.GetOrderRequest(client_order_id="changed"), desk)
        ).order.last_sequence
        await self.call("ReplaceOrder", first, desk)
        await report("worked", "1", executed=reports_pb.ExecutedReport())
        await self.call("ReplaceOrder", replace("worked", "replace-2", price="600", quantity=200), desk)
        await report("worked", "2", replaced=reports_pb.ReplacedReport(), request_key="replace-2")
        expiring = replace("worked", "replace-3", expire_time=Timestamp(seconds=4_102_444_800))
        both = request_pb2.BatchReplaceOrdersRequest(requests=[expiring, replace("day", "replace-4", price="1")])
        await self.call("BatchReplaceOrders", both, desk)
        refusal = reports_pb.REFUSAL_REASON_BROKER_OPTION
        await report("worked", "3", replace_refused=reports_pb.ReplaceRefusedReport(refusal_reason=refusal))
        cancels = [
            orders_pb.CancelOrderRequest(client_order_id=name, request_key=f"cancel-{name}")
            for name in ("worked", "day")
        ]
        await self.call("BatchCancelOrders", orders_pb.BatchCancelOrdersRequest(requests=cancels), desk)
        late = reports_pb.REFUSAL_REASON_TOO_LATE_TO_CANCEL
        steps: tuple[dict[str, Any], ...] = (
            {"cancel_refused": reports_pb.CancelRefusedReport(refusal_reason=late), "request_key": "cancel-worked"},
            {"fill": reports_pb.FillReport(quantity=250, price="599", execution_id="e-3"), "trade_date": "2012-06-22"},
            {
                "fill_corrected": reports_pb.FillCorrectedReport(
                    execution_id="e-4",
                    ref_execution_id="e-3",
                    ref_trade_date="2012-06-22",
                    quantity=150,
                    price="599.5",
                    reason="size",
                )
            },
            {"fill_busted": reports_pb.FillBustedReport(execution_id="e-5", ref_execution_id="e-4", reason="error")},
            {"replaced": reports_pb.ReplacedReport()},
            {"restated": reports_pb.RestatedReport(quantity=180, price="598")},
            {"done_for_day": reports_pb.DoneForDayReport()},
            {"cancelled": reports_pb.CancelledReport(expired=True)},
        )
        for number, what in enumerate(steps, 4):
            try:
                await report("worked", str(number), **what)
            except grpc.RpcError:
                assert "replaced" in what  # refused and recorded: nothing was asked for
        for key in ("worked", "changed"):
            await self.call("ListRequests", request_pb2.ListRequestsRequest(client_order_id=key, page_size=1), desk)
        for duration in (Duration(seconds=60), Duration()):
            await self.call("CancelAllAfter", cancel_timer_pb2.CancelAllAfterRequest(timeout=duration), desk)
        await self.call("GetCancelTimer", cancel_timer_pb2.GetCancelTimerRequest(), desk)
        return ids

    async def look(self, trader_id: UUID, ids: dict[str, str], signed: int) -> None:
        """Read as the desk, as the gateway and as compliance; `signed` is the size of a checkpoint."""
        desk = as_trader(trader_id)
        await self.call("GetOrder", orders_pb.GetOrderRequest(order_id=ids["filled"]), desk)
        await self.call("GetOrder", orders_pb.GetOrderRequest(client_order_id="filled"), desk)
        filed: dict[str, Any] = {
            "accounts": ["A-1"],
            "labels": {"desk": "one"},
            "parent_order_ids": ["parent"],
            "security_ids": ["US0378331005"],
            "currencies": ["USD"],
            "short_sales": [order_pb2.SHORT_SALE_SELL_SHORT],
        }
        await self.call("ListOrders", orders_pb.ListOrdersRequest(**filed), desk)
        await self.call("WatchOrders", watch_pb2.WatchOrdersRequest(**filed), desk)
        filtered = audit_service_pb2.StreamExecutionLogsRequest(**filed)
        await self.call("StreamExecutionLogs", filtered, COMPLIANCE)
        page = await self.call("ListOrders", orders_pb.ListOrdersRequest(page_size=1, symbols=["AAPL"]), desk)
        more = orders_pb.ListOrdersRequest(page_size=1, symbols=["AAPL"], page_token=page.next_page_token)
        await self.call("ListOrders", more, desk)
        await self.call("ListFills", orders_pb.ListFillsRequest(order_id=ids["filled"]), desk)
        await self.call("ListFills", orders_pb.ListFillsRequest(client_order_id="filled", page_size=1), desk)
        for caller in (desk, EXECUTION, COMPLIANCE):
            watched = await self.call("WatchOrders", watch_pb2.WatchOrdersRequest(), caller)
            resumed = watch_pb2.WatchOrdersRequest(resume_token=watched.resume_token)
            resumed.heartbeat_interval.seconds = 1
            await self.call("WatchOrders", resumed, caller)
        log_id = ""
        for caller in (desk, COMPLIANCE):
            logs = audit_service_pb2.ListExecutionLogsRequest(page_size=1)
            listed = await self.call("ListExecutionLogs", logs, caller)
            logs.page_token = listed.next_page_token
            await self.call("ListExecutionLogs", logs, caller)
            log_id = listed.execution_logs[0].log_id
            await self.call("StreamExecutionLogs", audit_service_pb2.StreamExecutionLogsRequest(follow=True), caller)
        for request in (
            inspection_pb2.GetOrderAsOfRequest(order_id=ids["filled"], position=3),
            inspection_pb2.GetOrderAsOfRequest(order_id=ids["filled"], time=Timestamp(seconds=4_102_444_800)),
            inspection_pb2.ReconcileOrdersRequest(),
            inspection_pb2.ReconcileOrdersRequest(trader_id=str(trader_id)),
            ledger_pb2.GetCheckpointRequest(),
            ledger_pb2.GetCheckpointRequest(tree_size=signed),
            ledger_pb2.GetInclusionProofRequest(position=1),
            ledger_pb2.GetInclusionProofRequest(log_id=log_id),
            ledger_pb2.GetConsistencyProofRequest(old_tree_size=signed),
            ledger_pb2.ExportExecutionLogsRequest(),
            inspection_pb2.ListAuditAccessRequest(page_size=1),
        ):
            method = type(request).__name__.removesuffix("Request")
            await self.call(method, request, COMPLIANCE)


async def sequence(database: Database, keys: KeyFolder, cosign: bool) -> int:
    """Append all events and sign; store a witness's signature if requested. Return the signed size."""
    async with LedgerWriter.connected(database.conninfo("blotter_sequencer"), None) as writer:
        assert await writer.elected()
        await writer.backend()
        await writer.lock_holder()
        tree = await writer.edge()
        checkpoints = Checkpoints("log.example", keys, None)
        await checkpoints.begin(writer, tree)
        await writer.standing()
        async with asyncio.timeout(DEADLINE):
            while await writer.waiting():
                await writer.append(tree, 1000)
        note = await checkpoints.sign(writer, tree)
        assert note
        if cosign:
            await writer.add_cosignature(tree.size, "witness", "signature")
        await writer.cosignatures(tree.size)
        await writer.leaves(0, tree.size)
        await writer.rebaseline()
        return tree.size


async def converse(database: Database) -> dict[str, str]:
    """Send everything that a release sends; return the orders' ids by the trader's."""
    owner, trader = database.conninfo("blotter_owner"), database.conninfo("blotter_trader")
    migrations.check_served(trader)
    migrations.compatibility(trader)  # which a server calls at its start on a revision that it does not know
    privileges.check_settings([trader])
    privileges.check_privileges(trader)
    traders.add(owner, "Carol", CAROL)
    traders.rename(owner, CAROL, "Caroline")
    traders.disable(owner, CAROL)
    traders.enable(owner, CAROL)
    traders.list_all(owner)
    with tempfile.TemporaryDirectory() as folder:
        keys = KeyFolder(Path(folder))
        keys.generate("log.example")
        async with serving(database) as blotter:
            conversation = Conversation(blotter)
            ids = await conversation.trade(CAROL)
            signed = await sequence(database, keys, cosign=False)
            late = order_request(client_order_id="late")
            ids["late"] = (await conversation.call("SubmitOrder", late, as_trader(CAROL))).order.order_id
            await sequence(database, keys, cosign=True)
            await conversation.look(CAROL, ids, signed)
    assert conversation.called == METHODS.keys()
    own = ServiceDatabase(database.conninfo("blotter_execution"), {CallerKind.EXECUTION: 1}, metrics=Metrics())
    await own.open()
    try:
        due = DueCancels(own, lambda _: None)
        caller = Caller(CallerKind.EXECUTION, None, "blotter", "due")
        await due.traders(caller)
        await due.expire(caller, CAROL)
        await due.fire_timer(caller, CAROL)
        await Probe(own).write_nothing(DEADLINE)
    finally:
        await own.close()
    return ids


def record(database: Database) -> list[Message]:
    """Run all calls; return the messages with placeholders.

    Repeated messages are kept once, except the steps of the sequencer: each continues from the state of the ledger.
    """
    with recorded() as messages:
        ids = asyncio.run(converse(database))
    kept: list[Message] = []
    seen: set[Message] = set()
    for message in messages:
        sql = message.sql.strip()
        for name, order_id in ids.items():
            sql = sql.replace(order_id, f"{{order:{name}}}").replace(UUID(order_id).hex, f"{{order:{name}}}")
        sql = re.sub(r"(append_(?:note_)?to_ledger)\(\d+", r"\1({size}", sql)
        sql = re.sub(r"('statement_timeout', )'\d+ms'", r"\1'30000ms'", sql)
        marked = message._replace(sql=sql)
        if marked not in seen or message.login == "blotter_sequencer":
            kept.append(marked)
        seen.add(marked)
    return kept


class Player:
    """Sends messages, each under its login."""

    def __init__(self, database: Database, stack: ExitStack) -> None:
        self._database, self._stack = database, stack
        self._superuser = stack.enter_context(psycopg.connect(database.conninfo("postgres"), autocommit=True))
        self._connections: dict[str, psycopg.Connection[Any]] = {}
        self.digests: set[str] = set()
        """The digests of policies and grants that the database returned."""

    def send(self, message: Message) -> tuple[str, ...]:
        """Send a message; return the outcomes."""
        if (login := message.login) not in self._connections:
            conninfo = login_to(self._database.conninfo(login), login, session=SESSION)
            self._connections[login] = self._stack.enter_context(psycopg.connect(conninfo, autocommit=True))
        sql = re.sub(r"\{order:([\w-]+)\}|\{size\}", self._marked, message.sql)
        cursor = self._connections[login].execute(sql.encode())
        outcomes: list[str] = []
        while True:
            name = cursor.description[0].name if cursor.description else ""
            if name == "outcome":
                outcomes += [row[0] for row in cursor.fetchall()]
            elif name == "policies_and_grants":
                self.digests.update(row[0] for row in cursor.fetchall())
            if not cursor.nextset():
                return tuple(outcomes)

    def waiting(self) -> bool:
        """Return whether there are logs that the ledger does not have."""
        query = """SELECT EXISTS (SELECT FROM execution_logs LEFT JOIN ledger_entries USING (trader_id, sequence)
                                  WHERE position IS NULL)"""
        return self._superuser.execute(query).fetchone() == (True,)

    def _marked(self, mark: re.Match[str]) -> str:
        query = (
            f"SELECT id FROM orders WHERE client_order_id = '{mark[1]}'" if mark[1] else "SELECT size FROM ledger_head"
        )
        found = self._superuser.execute(query.encode()).fetchone()
        assert found, mark[0]
        return str(found[0])


def play(database: Database, messages: list[Message]) -> Played:
    """Send the messages to a new database."""
    outcomes = []
    with ExitStack() as stack:
        player = Player(database, stack)
        for message in messages:
            outcomes.append(player.send(message))
            # A step appends only events older than the oldest open transaction of the whole server.
            deadline = time.monotonic() + DEADLINE
            while "append_to_ledger(" in message.sql and player.waiting():
                assert time.monotonic() < deadline, "the ledger does not take all"
                player.send(message)
        return Played(outcomes, player.digests)


def read(folder: Path) -> Recording:
    """Read the recording of a release."""
    text = (folder / "statements.sql").read_text("utf-8")
    head, *parts = re.split(r"^-- as (\w+):(.*)\n", text, flags=re.MULTILINE)
    revision = re.search(r"newest revision is (\w+)", head)
    assert revision
    messages = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return Recording(revision[1], [Message(login, sql.strip(), tuple(said.split())) for login, said, sql in messages])


def write(folder: Path, recording: Recording) -> None:
    """Write the recording of a release."""
    text = f"""\
-- What release {folder.name} sends, whose newest revision is {recording.head}: the login, the outcomes, the statements.
-- Generated by `python -m tests.migrations.record_release`. Once released, it stays as it is.
"""
    for message in recording.messages:
        text += f"-- as {message.login}: {' '.join(message.outcomes)}".rstrip() + f"\n{message.sql}\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "statements.sql").write_text(text, "utf-8")


@contextmanager
def fresh(server: Cluster, name: str) -> Iterator[Database]:
    """A database of the newest schema."""
    with created(server, name) as database:
        migrations.upgrade(database.conninfo("blotter_owner"), quiet=True)
        server.psql(ROOT / "sql" / "harden.sql", dbname=name)
        yield database


def main() -> None:
    """Record this release, on a server of its own, and play the recording to obtain the outcomes."""
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        server = Cluster(Path(folder), options=UNSAFE_BUT_FAST)
        server.start()
        try:
            server.psql(ROOT / "sql" / "roles.sql")
            with fresh(server, "recorded") as database:
                messages = record(database)
            with fresh(server, "played") as database:
                outcomes = play(database, messages).outcomes
        finally:
            server.stop()
    heard = [message._replace(outcomes=said) for message, said in zip(messages, outcomes, strict=True)]
    write(RELEASES / version("blotter"), Recording(migrations.head(), heard))


if __name__ == "__main__":
    main()
