"""ReconcileOrders on records of the whole lifecycle: nothing is reported of an intact one, and each change is."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import aclosing, suppress
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from psycopg import Connection, sql

from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2, request_pb2, terms_pb2
from service import migrations
from service.domain.discrepancies import Discrepancy
from service.embedded import Cluster
from service.repositories.append import LedgerWriter
from service.repositories.reconciliation import Reconciliation
from tests.conftest import ALICE, Database, cloned, created
from tests.ledger.tampering import changed, columns_of, rows_of, where
from tests.ledger.test_adversary import CALLER, Inside
from tests.ledger.test_appending import all_of
from tests.ledger.test_leaves import everything
from tests.rpc.errors import refused
from tests.serving import EXECUTION, Blotter, as_trader, report_request, serving


@pytest.fixture(scope="module")
def traded(template: Database) -> Iterator[Database]:
    """A database with events of every kind, all in the ledger, and one order that is overfilled."""

    async def trade() -> None:
        async with serving(database) as blotter:
            await everything(blotter)
            await more(blotter)
        async with LedgerWriter.connected(database.conninfo("postgres"), None) as writer:
            await all_of(writer, await writer.edge())

    with cloned(template, "blotter_reconciled") as database:
        asyncio.run(trade())
        yield database


async def more(blotter: Blotter) -> None:
    """Further orders of which the checks have to know something."""
    refusable = blotter.orders.ReportExecution
    busted, closed = reports_pb.FillBustedReport, reports_pb.DoneForDayReport()

    async def request(order: order_pb2.Order, quantity: int) -> None:
        asked = request_pb2.ReplaceOrderRequest(
            order_id=order.order_id,
            request_key=uuid4().hex,
            terms=terms_pb2.OrderTerms(quantity=quantity),
            update_mask=FieldMask(paths=["quantity"]),
        )
        await blotter.orders.ReplaceOrder(asked, metadata=as_trader(ALICE))

    market = await blotter.submit(order_type=order_pb2.ORDER_TYPE_MARKET, price="")
    await blotter.report(market, restated=reports_pb.RestatedReport(quantity=50, price="3"))
    await blotter.report(market, rejected=reports_pb.RejectedReport(reason="no"))
    await blotter.fill(market, 50)
    await refused(refusable(report_request(market, cancelled=reports_pb.CancelledReport()), metadata=EXECUTION))

    for also_cancelled in (False, True):
        day = await blotter.submit()
        await blotter.fill(day, 30)
        await request(day, 20)
        await blotter.report(day, done_for_day=closed)
        if also_cancelled:
            await blotter.report(day, cancelled=reports_pb.CancelledReport(reason="after the close"))

    filled = await blotter.submit(time_in_force=terms_pb2.TIME_IN_FORCE_GTC)
    await blotter.fill(filled, 100, execution_id="F-1")
    await blotter.report(filled, done_for_day=closed)
    bust = busted(execution_id="F-2", ref_execution_id="F-1")
    await blotter.report(filled, fill_busted=bust)
    await blotter.fill(filled, 30)
    await request(filled, 20)
    await blotter.report(filled, replaced=reports_pb.ReplacedReport())

    cancelled = await blotter.submit()
    await blotter.fill(cancelled, 100, execution_id="G-1")
    await blotter.report(cancelled, cancelled=reports_pb.CancelledReport(reason="by the venue"))
    await blotter.report(cancelled, fill_busted=busted(execution_id="G-2", ref_execution_id="G-1"))

    later = await blotter.submit(
        expire_time=Timestamp(seconds=4_000_000_000), time_in_force=terms_pb2.TIME_IN_FORCE_GTD
    )
    await request(later, 20)
    await blotter.report(later, executed=reports_pb.ExecutedReport())
    await request(later, 30)
    await blotter.report(later, done_for_day=closed)
    late = reports_pb.CancelRefusedReport(refusal_reason=reports_pb.REFUSAL_REASON_UNKNOWN_ORDER)
    await blotter.report(later, cancel_refused=late)

    ended = await blotter.submit()
    await blotter.fill(ended, 100, execution_id="H-1")
    await blotter.report(ended, done_for_day=closed)
    await blotter.report(ended, fill_busted=busted(execution_id="H-2", ref_execution_id="H-1"))


@pytest.fixture
def superuser(traded: Database) -> Iterator[Connection[Any]]:
    """A connection without triggers, whose changes are rolled back."""
    with psycopg.connect(traded.conninfo("postgres")) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.commit()
        yield connection
        connection.rollback()


async def found(connection: Connection[Any]) -> dict[str, set[str]]:
    """The details of the discrepancies by kind, as the transaction sees the record; the tree is not rebuilt."""
    inside: Any = Inside(connection)
    kinds: dict[str, set[str]] = {}
    async with aclosing(Reconciliation(inside).run(CALLER, ALICE, None, None)) as steps:
        async for step in steps:
            if isinstance(step, Discrepancy):
                kinds.setdefault(step.kind, set()).add(step.detail)
    return kinds


OVERFILLED = {"ORDER_OVERFILLED": {"filled 1999999920 beyond its quantity of 80"}}


async def test_of_an_intact_record_only_the_overfilled_order_is_reported(superuser: Connection[Any]) -> None:
    assert await found(superuser) == OVERFILLED


ALTERED = [
    ("UPDATE orders SET account = 'B' WHERE account = 'A-1'", "ORDER_DIFFERS_FROM_LOG", "they differ in account"),
    ("UPDATE orders SET labels = labels - 'book'", "ORDER_DIFFERS_FROM_LOG", "they differ in labels"),
    ("UPDATE orders SET stop_price = stop_price + 1", "ORDER_DIFFERS_FROM_LOG", "they differ in stop_price"),
    ("UPDATE orders SET at_venue = NOT at_venue", "ORDER_DIFFERS_FROM_LOG", "they differ in at_venue"),
    (
        "UPDATE orders SET pending_kind = 'CANCEL', pending_key = 'k', pending_sequence = 4 WHERE account = 'A-1'",
        "ORDER_DIFFERS_FROM_LOG",
        "they differ in pending_kind, pending_key",
    ),
    (
        "UPDATE orders SET pending_sequence = 4 WHERE account = 'A-1'",
        "ORDER_DIFFERS_FROM_LOG",
        "by its logs it has another pending_sequence",
    ),
    (
        "UPDATE orders SET closed_as = 'REJECTED' WHERE closed_as = 'CANCELLED'",
        "ORDER_DIFFERS_FROM_LOG",
        "by its logs it has another status, closed_as",
    ),
    (
        "UPDATE orders SET closed_as = 'CANCELLED' WHERE account = 'A-1'",
        "ORDER_DIFFERS_FROM_LOG",
        "by its logs it has another closed_as",
    ),
    (
        "UPDATE orders SET expiry_requested = true",
        "ORDER_DIFFERS_FROM_LOG",
        "by its logs it has another expiry_requested",
    ),
    ("UPDATE orders SET status_reason = 'x'", "ORDER_DIFFERS_FROM_LOG", "they differ in status_reason"),
    (
        "UPDATE orders SET request_digest = sha256('x')",
        "ORDER_DIFFERS_FROM_LOG",
        "the terms of its first log do not match its digest",
    ),
    (
        "UPDATE execution_logs SET take_profit = 571 WHERE action = 'SUBMITTED'",
        "ORDER_DIFFERS_FROM_LOG",
        "the terms of its first log do not match its digest",
    ),
    (
        "UPDATE fills SET trade_date = trade_date + 1 WHERE execution_id = 'E-1'",
        "FILL_DIFFERS_FROM_LOG",
        "it differs from its log",
    ),
    ("DELETE FROM fill_corrections WHERE quantity = 0", "CORRECTION_DIFFERS_FROM_LOG", "the log has no correction"),
    (
        "DELETE FROM fill_corrections WHERE quantity = 0",
        "FILLS_DO_NOT_ADD_UP",
        "the order is filled 2000000000, its fills are 2000000035",
    ),
    (
        "UPDATE fill_corrections SET quantity = 36 WHERE quantity = 35",
        "CORRECTION_DIFFERS_FROM_LOG",
        "it differs from its log",
    ),
    (
        "UPDATE fill_corrections SET trade_date = trade_date + 1",
        "CORRECTION_DIFFERS_FROM_LOG",
        "it differs from its log",
    ),
    (
        "UPDATE fill_corrections SET fill_id = gen_random_uuid()",
        "CORRECTION_DIFFERS_FROM_LOG",
        "its order has no such fill",
    ),
    (
        "UPDATE fill_corrections SET sequence = sequence + 1000",
        "CORRECTION_DIFFERS_FROM_LOG",
        "it has no log",
    ),
    (
        "UPDATE execution_logs SET ref_execution_id = 'E-0' WHERE ref_execution_id = 'E-2'",
        "CORRECTION_DIFFERS_FROM_LOG",
        "it differs from its log",
    ),
    (
        "UPDATE execution_logs SET excess_quantity = 1 WHERE action = 'APPROVED'",
        "LOG_DOES_NOT_FOLLOW",
        "unexpected after event 17: filled quantity",
    ),
    (
        "UPDATE execution_logs SET fill_quantity = 1 WHERE action = 'FILL_BUSTED'",
        "LOG_DOES_NOT_FOLLOW",
        "unexpected after event 8: filled quantity",
    ),
    (
        "UPDATE execution_logs SET fill_price = 1 WHERE action = 'FILL_CORRECTED'",
        "LOG_DOES_NOT_FOLLOW",
        "unexpected after event 7: filled quantity",
    ),
    (
        "UPDATE execution_logs SET quantity = 79 WHERE action = 'RESTATED'",
        "LOG_DOES_NOT_FOLLOW",
        "unexpected after event 9: quantity",
    ),
    (
        """UPDATE execution_logs SET terms = terms || '{"price": "587"}' WHERE sequence = 7""",
        "LOG_DOES_NOT_FOLLOW",
        "unexpected after event 6: terms",
    ),
    (
        "UPDATE execution_logs SET stop_price = 1 WHERE action = 'RECOVERED'",
        "LOG_DOES_NOT_FOLLOW",
        "unexpected after event 3: terms",
    ),
    (
        "UPDATE execution_logs SET account = 'B' WHERE action = 'RECOVERED'",
        "LOG_DOES_NOT_FOLLOW",
        "unexpected after event 3: entered columns",
    ),
    (
        "UPDATE execution_logs SET at_venue = false WHERE action = 'RESTATED'",
        "LOG_DOES_NOT_FOLLOW",
        "unexpected after event 9: at_venue",
    ),
    (
        "UPDATE execution_logs SET answered_key = 'x' WHERE action = 'CANCEL_REFUSED'",
        "LOG_DOES_NOT_FOLLOW",
        "unexpected after event 13: pending request",
    ),
    (
        "UPDATE execution_logs SET pending_key = 'x' WHERE action = 'CANCEL_REQUESTED'",
        "LOG_DOES_NOT_FOLLOW",
        "unexpected after event 12: pending request",
    ),
    (
        "UPDATE execution_logs SET pending_terms = '{}' WHERE action = 'REPLACE_REQUESTED'",
        "LOG_DOES_NOT_FOLLOW",
        "unexpected after event 5: pending request",
    ),
    (
        "UPDATE execution_logs SET answered_key = NULL WHERE action = 'DONE_FOR_DAY'",
        "LOG_DOES_NOT_FOLLOW",
        "unexpected after event 28: pending request",
    ),
    (
        "UPDATE execution_logs SET answered_key = 'x' WHERE action = 'EXECUTED'",
        "LOG_DOES_NOT_FOLLOW",
        "unexpected after event 2: pending request",
    ),
    ("UPDATE execution_logs SET leaf_version = 3 WHERE sequence = 3", "LOG_DIFFERS_FROM_LEDGER", ""),
    (
        "UPDATE execution_logs SET status = 'PARTIAL' WHERE action = 'APPROVED'",
        "LOG_DOES_NOT_FOLLOW",
        "unexpected after event 17: status",
    ),
    (
        "UPDATE execution_logs SET action = 'APPROVED' WHERE action = 'SUBMITTED' AND account = 'A-1'",
        "LOG_DOES_NOT_FOLLOW",
        "unexpected after no event: action",
    ),
]


@pytest.mark.parametrize(("statement", "kind", "detail"), ALTERED)
async def test_what_was_altered_is_reported(superuser: Connection[Any], statement: str, kind: str, detail: str) -> None:
    assert superuser.execute(statement.encode()).rowcount > 0
    reported = await found(superuser)
    assert detail in reported.get(kind, set()), reported


@pytest.mark.parametrize("table", ["orders", "fills", "fill_corrections"])
async def test_a_change_of_any_column_is_reported(superuser: Connection[Any], table: str) -> None:
    chance = random.Random(1)
    [row, *_] = [row for row in rows_of(superuser, table) if row.get("account", "A-1") == "A-1"]
    for name, kind, _ in columns_of(superuser, table):
        value = changed(name, row[name], kind, nullable=False, chance=chance)
        query = sql.SQL("UPDATE {} SET {} = {} WHERE {}").format(
            sql.Identifier(table), sql.Identifier(name), value, where(table, row)
        )
        with suppress(psycopg.IntegrityError):  # of the checks on rows
            superuser.execute(query)
            assert await found(superuser) != OVERFILLED, name
        superuser.rollback()


class Desk:
    """A trader and a gateway who call the functions of the database by raw SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reports = 0

    def call(self, login: str, function: str, *values: object) -> tuple[str, UUID]:
        """The outcome, and the order's id."""
        with psycopg.connect(self._database.conninfo(f"blotter_{login}")) as connection:
            connection.execute("SELECT act_as(%s)", [ALICE])
            places = ", ".join(["%s"] * len(values))
            query = f"SELECT outcome, (recorded).id FROM {function}({places})"
            [(outcome, order_id)] = connection.execute(query.encode(), values).fetchall()
            return outcome, order_id

    def report_id(self) -> str:
        """Another one each time."""
        self._reports += 1
        return f"report-{self._reports}"


DIGEST = bytes(32)


def digest(name: str) -> bytes:
    """The digest that servers of 0.2.0 stored with an order."""
    terms = {
        "client_order_id": name,
        "order_type": "LIMIT",
        "price": "10",
        "quantity": "100",
        "side": "BUY",
        "symbol": "AAPL",
    }
    return hashlib.sha256(json.dumps(terms).encode()).digest()


def trade_on_revision_018(desk: Desk) -> dict[str, UUID]:
    """Orders in every state that revision 018 has."""
    orders = {}

    def submit(name: str) -> None:
        terms = (name, digest(name), "AAPL", "BUY", "LIMIT", 100, 10, None, None, None, False, "desk", "request")
        outcome, orders[name] = desk.call("trader", "submit_order", ALICE, *terms)
        assert outcome == "APPLIED"

    def report(name: str, action: str, fill: tuple[object, ...] = (None, None, None, None)) -> None:
        report_id = desk.report_id()
        event = (report_id, DIGEST, action, "2026-01-05T23:30:00-05:00", "XNAS", "why", None, 0)
        desk.call("execution", "report_execution", ALICE, orders[name], *event, *fill, "gateway", "request")

    for name in ("open", "sent", "partial", "filled", "cancelled", "late", "completed", "rejected", "over"):
        submit(name)
        if name not in {"open", "cancelled", "rejected"}:
            report(name, "EXECUTED")
        if name in {"partial", "filled", "over"}:
            report(name, "FILLED", (f"{name}-1", 100 if name == "filled" else 40, 10, 1))
        if name in {"cancelled", "late", "completed"}:
            desk.call("trader", "cancel_order", ALICE, orders[name], None, "changed my mind", "desk", "request")
        if name in {"late", "completed"}:
            report(name, "FILLED", (f"{name}-1", 100 if name == "completed" else 40, 10, 1))
        if name == "rejected":
            report(name, "REJECTED")
        if name == "over":
            report(name, "FILLED", ("over-2", 100, 10, 1))
    return orders


async def test_a_record_of_revision_018_reconciles_after_the_upgrade_and_goes_on(logins: Cluster) -> None:
    with created(logins, "blotter_018") as database:
        owner = database.conninfo("blotter_owner")
        migrations.upgrade(owner, "018", quiet=True)
        logins.psql(
            f"INSERT INTO traders (id, name) VALUES ('{ALICE}', 'Alice')", user="blotter_owner", dbname=database.name
        )
        desk = Desk(database)
        orders = trade_on_revision_018(desk)
        migrations.upgrade(owner, quiet=True)
        with psycopg.connect(database.conninfo("postgres")) as superuser:
            assert await found(superuser) == {}
            superuser.execute("SET session_replication_role = replica")
            for statement in (
                "UPDATE orders SET at_venue = NOT at_venue",
                "UPDATE orders SET status_reason = 'x' WHERE closed_as IS NOT NULL",
                "UPDATE orders SET closed_as = 'REJECTED' WHERE client_order_id = 'completed'",
                "UPDATE orders SET expiry_requested = true WHERE client_order_id = 'open'",
                "UPDATE fills SET trade_date = trade_date - 1",
            ):
                superuser.execute(statement.encode())
                assert len(await found(superuser)) == 1, statement
                superuser.rollback()
                superuser.execute("SET session_replication_role = replica")

        def replace(name: str, terms: str) -> None:
            asked = (orders[name], None, f"replace-{name}", DIGEST, terms, None, None, "desk", "request")
            outcome, _ = desk.call("trader", "replace_order", *asked)
            assert outcome == "APPLIED"

        def report(name: str, action: str, *fill: object, request_key: str | None = None) -> str:
            event = (
                orders[name],
                desk.report_id() + "-020",
                DIGEST,
                action,
                "2026-01-06T10:00:00Z",
                "XNAS",
                "why",
                None,
            )
            execution_id, ref, quantity, price = fill or (None, None, None, None)
            tail = (0, execution_id, None, ref, None, quantity, price, None, request_key, "gateway", "request")
            outcome, _ = desk.call("execution", "report_execution", *event, *tail)
            return outcome

        replace("open", '{"quantity": 50, "price": "11"}')
        replace("sent", '{"quantity": 50}')
        assert report("sent", "REPLACED") == "APPLIED"
        assert report("partial", "FILL_CORRECTED", "c-1", "partial-1", 30, 9) == "APPLIED"
        assert report("completed", "FILL_BUSTED", "c-2", "completed-1", None, None) == "APPLIED"
        assert report("filled", "FILL_BUSTED", "c-3", "filled-1", None, None) == "APPLIED"
        assert report("rejected", "FILLED", "rejected-1", None, 10, 9) == "APPLIED"
        assert report("late", "DONE_FOR_DAY") == "APPLIED"
        with psycopg.connect(database.conninfo("postgres")) as superuser:
            assert await found(superuser) == {}
            statuses: dict[str, str] = dict(
                superuser.execute("SELECT client_order_id, status::text FROM orders").fetchall()
            )
        assert statuses == {
            "open": "PENDING",
            "sent": "PENDING",
            "partial": "PARTIAL",
            "filled": "PENDING",
            "cancelled": "CANCELLED",
            "late": "CANCELLED",
            "completed": "CANCELLED",
            "rejected": "REJECTED",
            "over": "PARTIAL",
        }
