"""The same key enters one order and records one report: later, on another server, concurrently, and in batches."""

import asyncio
import random
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2

from blotter.audit.v1 import audit_service_pb2 as audit_pb
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2, terms_pb2
from blotter.orders.v1 import order_service_pb2 as pb
from tests.conftest import ALICE, BOB, Database
from tests.rpc.errors import fields_of, reason_of, refused
from tests.rpc.expiring import cancelled, expiring
from tests.rpc.methods import ask
from tests.rpc.rules import at
from tests.rpc.test_outages import locked, someone_waits, until
from tests.rpc.written import written
from tests.serving import EXECUTION, Blotter, as_trader, order_request, report_request, serving

CANCELLED, PARTIAL = order_pb2.ORDER_STATUS_CANCELLED, order_pb2.ORDER_STATUS_PARTIAL
A = as_trader(ALICE)


async def submit(blotter: Blotter, request: Any, trader_id: UUID = ALICE) -> tuple[order_pb2.Order, bool]:
    """Send the request; return the order, and whether it was replayed."""
    response = await blotter.orders.SubmitOrder(request, metadata=as_trader(trader_id))
    return response.order, response.replayed


async def trail(blotter: Blotter, trader_id: UUID = ALICE) -> list[Any]:
    """The trader's audit trail, oldest first."""
    request = audit_pb.ListExecutionLogsRequest(page_size=1000)
    return list((await blotter.audit.ListExecutionLogs(request, metadata=as_trader(trader_id))).execution_logs)


async def test_a_repeat_returns_the_order_as_it_stands_now(blotter: Blotter) -> None:
    request = order_request(stop_loss="1", take_profit="1000", expire_time=at(3600))
    order, replayed = await submit(blotter, request)
    assert not replayed
    assert await submit(blotter, request) == (order, True)
    part = await blotter.fill(order, 40)
    assert await submit(blotter, request) == (part, True)
    cancel = pb.CancelOrderRequest(order_id=order.order_id)
    pending = (await blotter.orders.CancelOrder(cancel, metadata=A)).order
    assert pending.HasField("pending_request")
    assert await submit(blotter, request) == (pending, True)
    closed = await blotter.report(order, cancelled=reports_pb.CancelledReport())
    assert closed.status == CANCELLED
    assert await submit(blotter, request) == (closed, True)
    filled = await blotter.fill(order, 60)
    assert await submit(blotter, request) == (filled, True)
    assert [log.sequence for log in await trail(blotter)] == [1, 2, 3, 4, 5]


async def test_a_repeat_is_recognised_by_another_server(blotter: Blotter) -> None:
    request = order_request()
    order, _ = await submit(blotter, request)
    async with serving(blotter.database) as other:
        assert await submit(other, request) == (order, True)
        report = report_request(order, fill=reports_pb.FillReport(execution_id="e", quantity=1, price="1"))
        first = await other.orders.ReportExecution(report, metadata=EXECUTION)
    again = await blotter.orders.ReportExecution(report, metadata=EXECUTION)
    assert (again.order, again.replayed, first.replayed) == (first.order, True, False)


async def test_an_expired_order_is_cancelled_once_though_two_servers_poll(database: Database) -> None:
    async with serving(database) as one, serving(database) as other:
        async for requests, orders in expiring(one, count=20):  # noqa: B007  # both are used after the loop
            if (await one.fill(orders[0], 40)).status == PARTIAL:
                break
        closed = await asyncio.gather(*(cancelled(other, order) for order in orders[1:]))
        # The venue has the first one: it is asked to cancel it, once.
        get = pb.GetOrderRequest(order_id=orders[0].order_id)
        found = (await one.orders.GetOrder(get, metadata=A)).order
        assert (found.status, found.pending_request.kind) == (PARTIAL, terms_pb2.REQUEST_KIND_CANCEL)
        closed.insert(0, await one.report(orders[0], cancelled=reports_pb.CancelledReport()))
        assert closed[0].status_reason == "EXPIRED"
        for order in closed:
            assert order.update_time.ToDatetime() >= order.expire_time.ToDatetime()
        # Its expire_time is past now: a repeat is still replayed, and a new order refused.
        assert await submit(one, requests[0]) == (closed[0], True)
        requests[0].client_order_id = "new"
        error = await refused(submit(one, requests[0]))
        assert list(fields_of(error)) == ["expire_time"]
        logs = await trail(one)
    assert [log.sequence for log in logs] == list(range(1, len(logs) + 1))
    ids = {order.order_id for order in orders}
    by_blotter = (order_pb2.ACTION_CANCELLED, order_pb2.ACTION_CANCEL_REQUESTED)
    expired = [log for log in logs if log.action in by_blotter and log.order_id in ids and not log.report_id]
    assert sorted(log.order_id for log in expired) == sorted(ids)
    assert {(log.reason, log.actor) for log in expired} == {("EXPIRED", "blotter")}
    assert closed[0].filled_quantity == 40


async def test_fifty_at_once_enter_one_order(database: Database) -> None:
    async with serving(database) as one, serving(database) as other:
        request = order_request()
        answers = await asyncio.gather(*(submit(server, request) for server in (one, other) for _ in range(25)))
        assert sorted(replayed for _, replayed in answers) == [False] + [True] * 49
        assert len({order.SerializeToString(deterministic=True) for order, _ in answers}) == 1
        keys = [f"key-{n % 5}" for n in range(50)]
        answers = await asyncio.gather(*(submit(other, order_request(client_order_id=key)) for key in keys))
        assert sum(not replayed for _, replayed in answers) == 5
        assert [log.sequence for log in await trail(one)] == [1, 2, 3, 4, 5, 6]
        assert written(one) == (6, 0, 6, 6)


async def test_fifty_reports_at_once_count_once(database: Database) -> None:
    async with serving(database) as one, serving(database) as other:
        order = await one.submit()
        report = report_request(order, fill=reports_pb.FillReport(execution_id="e", quantity=60, price="1"))
        same_fill = report_request(order, fill=report.fill)
        calls = [
            server.orders.ReportExecution(request, metadata=EXECUTION)
            for request in (report, same_fill)
            for server in (one, other)
            for _ in range(13)
        ]
        answers = await asyncio.gather(*calls)
        assert sum(not answer.replayed for answer in answers) == 1
        assert {answer.order.filled_quantity for answer in answers} == {60}
        assert written(one) == (1, 1, 2, 2)


OTHER_CONTENT: list[dict[str, Any]] = [
    {"symbol": "MSFT"},
    {"symbol": "aapl"},
    {"side": order_pb2.SIDE_SELL, "stop_loss": "", "take_profit": ""},
    {"order_type": order_pb2.ORDER_TYPE_STOP},
    {"order_type": order_pb2.ORDER_TYPE_MARKET, "price": ""},
    {"quantity": 101},
    {"price": "585.33000001"},
    {"stop_loss": "499.99"},
    {"stop_loss": ""},
    {"take_profit": "600.01"},
    {"take_profit": ""},
    {"expire_time": Timestamp(seconds=4_000_000_000, nanos=1000)},
    {"expire_time": None},
    {"time_in_force": terms_pb2.TIME_IN_FORCE_GTD},
    {"account": "A"},
    {"labels": {"desk": "one"}},
    {"parent_order_id": "p"},
    {"currency": "USD"},
    {"security_id": "US0378331005", "security_id_source": order_pb2.SECURITY_ID_SOURCE_ISIN},
    {"exempt_from_cancel_timer": True},
]
TERMS: dict[str, Any] = {"client_order_id": "one", "stop_loss": "500", "take_profit": "600"}
TERMS |= {"expire_time": Timestamp(seconds=4_000_000_000)}


async def test_a_key_is_not_used_for_other_content(blotter: Blotter) -> None:
    order, _ = await submit(blotter, order_request(**TERMS))
    for change in OTHER_CONTENT:
        for validate_only in (False, True):
            request = order_request(**(TERMS | change), validate_only=validate_only)
            error = await refused(submit(blotter, request))
            assert (error.code(), reason_of(error)) == (
                grpc.StatusCode.ALREADY_EXISTS,
                "CLIENT_ORDER_ID_REUSED",
            ), change
    assert await submit(blotter, order_request(**TERMS)) == (order, True)
    assert written(blotter) == (1, 0, 1, 1)


SAME_CONTENT: list[dict[str, Any]] = [
    {"price": "585.330"},
    {"price": "0585.33"},
    {"stop_loss": "500.00000000"},
    {"take_profit": "0000000600.0"},
    {"expire_time": Timestamp(seconds=4_000_000_000, nanos=999)},
    {"validate_only": True},
]


async def test_equal_values_written_differently_are_a_repeat(blotter: Blotter) -> None:
    order, _ = await submit(blotter, order_request(**TERMS))
    for change in SAME_CONTENT:
        assert await submit(blotter, order_request(**(TERMS | change))) == (order, True), change


REPORT: dict[str, Any] = {"report_id": "r", "venue": "X", "event_time": Timestamp(seconds=1)}
FILL: dict[str, Any] = {"execution_id": "e", "quantity": 10, "price": "1.5", "commission": "0.1"}
OTHER_REPORTS: list[dict[str, Any]] = [
    {"venue": "Y"},
    {"event_time": Timestamp(seconds=2)},
    {"fill": reports_pb.FillReport(**FILL | {"quantity": 11})},
    {"fill": reports_pb.FillReport(**FILL | {"price": "1.50000001"})},
    {"fill": reports_pb.FillReport(**FILL | {"commission": "0.2"})},
    {"fill": reports_pb.FillReport(**FILL | {"execution_id": "f"})},
    {"approved": reports_pb.ApprovedReport()},
    {"executed": reports_pb.ExecutedReport()},
    {"recovered": reports_pb.RecoveredReport()},
    {"rejected": reports_pb.RejectedReport(reason="no")},
    {"cancelled": reports_pb.CancelledReport()},
    {"trade_date": "2026-01-02", "fill": reports_pb.FillReport(**FILL)},
    {"replaced": reports_pb.ReplacedReport()},
    {"restated": reports_pb.RestatedReport()},
    {"done_for_day": reports_pb.DoneForDayReport()},
]
SAME_REPORTS: list[dict[str, Any]] = [
    {"event_time": Timestamp(seconds=1, nanos=999)},
    {"fill": reports_pb.FillReport(**FILL | {"price": "01.500", "commission": "0.10"})},
    {"report_id": "another", "fill": reports_pb.FillReport(**FILL)},
]


async def test_a_report_id_is_not_used_for_other_content(blotter: Blotter) -> None:
    order, other = await blotter.submit(), await blotter.submit()
    fill = {"fill": reports_pb.FillReport(**FILL)}
    reported = await blotter.report(order, **REPORT, **fill)
    for change in SAME_REPORTS:
        content = fill | REPORT | change
        again = await blotter.orders.ReportExecution(report_request(order, **content), metadata=EXECUTION)
        assert (again.order, again.replayed) == (reported, True), change
    cases = [(order, change) for change in OTHER_REPORTS] + [(other, fill)]
    for about, change in cases:
        content = REPORT | (change if len(set(change) - set(REPORT)) else fill | change)
        error = await refused(blotter.orders.ReportExecution(report_request(about, **content), metadata=EXECUTION))
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.ALREADY_EXISTS, "REPORT_ID_REUSED"), change
    assert written(blotter) == (2, 1, 3, 3)


def reason_in(status: status_pb2.Status) -> str:
    """The reason of the error of one item."""
    info = error_details_pb2.ErrorInfo()
    return info.reason if any(detail.Unpack(info) for detail in status.details) else ""


def outcome(result: Any) -> str:
    """The outcome of one item of a batch."""
    if result.WhichOneof("result") == "error":
        return reason_in(result.error)
    return "replayed" if result.response.replayed else "done"


async def test_each_order_of_a_batch_is_entered_or_fails_by_itself(blotter: Blotter) -> None:
    await blotter.submit(client_order_id="before", quantity=1)
    orders = {
        "one": ("done", order_request(client_order_id="one")),
        "no price": ("INVALID_REQUEST", order_request(client_order_id="bad", price="")),
        "one again": ("replayed", order_request(client_order_id="one")),
        "another under one": ("CLIENT_ORDER_ID_REUSED", order_request(client_order_id="one", quantity=2)),
        "used before": ("CLIENT_ORDER_ID_REUSED", order_request(client_order_id="before", quantity=2)),
        "entered before": ("replayed", order_request(client_order_id="before", quantity=1)),
        "past": ("INVALID_REQUEST", order_request(client_order_id="past", expire_time=at(-9))),
        "two": ("done", order_request(client_order_id="two")),
    }
    batch = pb.BatchSubmitOrdersRequest(orders=[request for _, request in orders.values()])
    results = (await ask(blotter, "BatchSubmitOrders", batch)).results
    assert dict(zip(orders, map(outcome, results), strict=True)) == {
        name: wanted for name, (wanted, _) in orders.items()
    }
    ids = [result.response.order.client_order_id for result in results if result.HasField("response")]
    assert ids == ["one", "one", "before", "two"]
    assert [log.order.client_order_id for log in await trail(blotter)] == ["before", "one", "two"]

    again = (await ask(blotter, "BatchSubmitOrders", batch)).results
    assert [outcome(result) for result in again] == [
        "replayed" if wanted == "done" else wanted for wanted, _ in orders.values()
    ]
    assert written(blotter) == (3, 0, 3, 3)


async def test_a_batch_of_1000_may_be_repeated_as_a_whole(blotter: Blotter) -> None:
    batch = pb.BatchSubmitOrdersRequest(orders=[order_request(quantity=n) for n in range(1, 1001)])
    first, second = await asyncio.gather(*(ask(blotter, "BatchSubmitOrders", batch) for _ in range(2)))
    assert {outcome(result) for result in first.results} | {outcome(result) for result in second.results} == {
        "done",
        "replayed",
    }
    for answer in (first, second):
        assert [result.response.order.quantity for result in answer.results] == list(range(1, 1001))
        assert len({outcome(result) for result in answer.results}) == 1, "a batch is one transaction"
    orders = [result.response.order for result in first.results]
    reports = reports_pb.BatchReportExecutionsRequest(
        reports=[report_request(order, approved=reports_pb.ApprovedReport()) for order in orders]
    )
    for wanted in ("done", "replayed"):
        answer = await ask(blotter, "BatchReportExecutions", reports)
        assert [outcome(result) for result in answer.results] == [wanted] * 1000
    assert written(blotter) == (1000, 0, 2000, 2000)


async def test_each_report_of_a_batch_is_recorded_or_fails_by_itself(blotter: Blotter) -> None:
    order, bobs = await blotter.submit(), await blotter.submit(BOB)
    fill = reports_pb.FillReport(execution_id="e", quantity=60, price="1")
    more = reports_pb.FillReport(execution_id="f", quantity=60, price="1")
    cases = [
        ("done", report_request(bobs, report_id="r", fill=fill)),
        ("done", report_request(order, report_id="r", fill=fill)),
        ("replayed", report_request(order, report_id="r", fill=fill)),
        ("done", report_request(order, report_id="s", fill=more)),
        ("replayed", report_request(order, report_id="s", fill=more)),
        ("REPORT_ID_REUSED", report_request(order, report_id="s", fill=fill)),
        ("ORDER_NOT_FOUND", report_request(order, order_id=bobs.order_id, fill=fill)),
        ("ORDER_NOT_FOUND", report_request(order, trader_id=str(uuid4()), fill=fill)),
        ("INVALID_REQUEST", report_request(order, venue="", fill=fill)),
        ("done", report_request(order, report_id="t", cancelled=reports_pb.CancelledReport())),
        ("ORDER_CLOSED", report_request(order, report_id="u", approved=reports_pb.ApprovedReport())),
        ("ORDER_CLOSED", report_request(order, report_id="u", approved=reports_pb.ApprovedReport())),
        ("done", report_request(bobs, report_id="t", cancelled=reports_pb.CancelledReport())),
    ]
    batch = reports_pb.BatchReportExecutionsRequest(reports=[report for _, report in cases])
    answer = await ask(blotter, "BatchReportExecutions", batch)
    assert [outcome(result) for result in answer.results] == [wanted for wanted, _ in cases]
    before = written(blotter)
    again = await ask(blotter, "BatchReportExecutions", batch)
    assert [outcome(result) for result in again.results] == [
        "replayed" if wanted == "done" else wanted for wanted, _ in cases
    ]
    assert written(blotter) == before


async def test_batches_over_several_traders_never_deadlock(blotter: Blotter) -> None:
    rng = random.Random(50)
    orders = [await blotter.submit(trader_id) for trader_id in (ALICE, BOB) for _ in range(5)]
    batches = []
    for _ in range(30):
        reports = [report_request(rng.choice(orders), executed=reports_pb.ExecutedReport()) for _ in range(40)]
        batches.append(ask(blotter, "BatchReportExecutions", reports_pb.BatchReportExecutionsRequest(reports=reports)))
    submits = [blotter.submit(trader_id) for trader_id in (ALICE, BOB) for _ in range(30)]
    answers = await asyncio.gather(*batches, *submits)
    assert {outcome(result) for answer in answers[:30] for result in answer.results} == {"done"}
    for trader_id in (ALICE, BOB):
        sequences = [log.sequence for log in await trail(blotter, trader_id)]
        assert sequences == list(range(1, len(sequences) + 1))


@pytest.mark.parametrize("name", ["CancelOrder", "CancelAllOrders"])
async def test_fifty_cancels_while_the_order_is_locked_are_one_event(database: Database, name: str) -> None:
    """On two servers, whose statements wait for one lock."""
    async with serving(database) as one, serving(database) as other:
        order = await one.submit()
        request: Any = pb.CancelOrderRequest(order_id=order.order_id)
        if name == "CancelAllOrders":
            request = pb.CancelAllOrdersRequest()
        async with locked(database) as looking:
            calls = [asyncio.create_task(ask(server, name, request)) for server in (one, other) for _ in range(25)]
            await until(lambda: someone_waits(looking, "trader", 2))
        answers = await asyncio.gather(*calls)
        if name == "CancelOrder":
            assert sorted(answer.replayed for answer in answers) == [False] + [True] * 49
            assert {(answer.order.order_id, answer.order.status) for answer in answers} == {(order.order_id, CANCELLED)}
            assert {answer.order.last_sequence for answer in answers} == {2}
        else:
            assert sorted(answer.cancelled_count for answer in answers) == [0] * 49 + [1]
        assert written(one) == (1, 0, 2, 2)
