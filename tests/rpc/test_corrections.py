"""Corrections and busts of fills: what stands, the history beside it, and the identity of fills by trade date."""

from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from blotter.audit.v1 import inspection_pb2
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2
from blotter.orders.v1 import order_service_pb2 as pb
from tests.rpc.errors import fields_of, reason_of, refused
from tests.rpc.requests import A, cancel, fills_of, logs, replace
from tests.rpc.written import written
from tests.serving import COMPLIANCE, EXECUTION, Blotter, report_request

PENDING, PARTIAL, FILLED, REJECTED, CANCELLED = range(1, 6)
DAY = "2012-06-21"
"""The date of the reports of these tests, in UTC."""


def corrected(execution_id: str, ref: str, quantity: int, price: str, **changes: Any) -> dict[str, Any]:
    """The report of a correction."""
    values: dict[str, Any] = {
        "execution_id": execution_id,
        "ref_execution_id": ref,
        "quantity": quantity,
        "price": price,
    }
    return {"fill_corrected": reports_pb.FillCorrectedReport(**(values | changes))}


def busted(execution_id: str, ref: str, **changes: Any) -> dict[str, Any]:
    """The report of a bust."""
    values: dict[str, Any] = {"execution_id": execution_id, "ref_execution_id": ref}
    return {"fill_busted": reports_pb.FillBustedReport(**(values | changes))}


def figures(order: order_pb2.Order) -> tuple[int, int, int, int, str, str]:
    """The status, the quantities and the price of an order."""
    return (
        order.status,
        order.filled_quantity,
        order.leaves_quantity,
        order.excess_quantity,
        order.filled_notional,
        order.average_fill_price,
    )


async def test_a_correction_changes_what_stands_and_not_the_fill(blotter: Blotter) -> None:
    order = await blotter.submit()
    first = await blotter.fill(order, 60, "10", execution_id="e", commission="0.5")
    await blotter.fill(order, 40, "20", execution_id="f")
    after = await blotter.report(order, **corrected("c", "e", 50, "12", commission="0.4", reason="typo"))
    assert figures(after) == (PARTIAL, 90, 10, 0, "1400", "15.55555556")
    again = await blotter.report(order, **corrected("d", "c", 60, "11"))
    assert figures(again) == (FILLED, 100, 0, 0, "1460", "14.6")
    other, fill = await fills_of(blotter, order)
    assert (fill.quantity, fill.price, fill.commission, fill.trade_date) == (60, "10", "0.5", DAY)
    assert (fill.net_quantity, fill.net_price, fill.net_commission, fill.busted) == (60, "11", "0", False)
    one, two = fill.corrections
    assert (one.execution_id, one.ref_execution_id, one.quantity, one.price, one.commission, one.reason) == (
        ("c", "e", 50, "12", "0.4", "typo")
    )
    assert (two.execution_id, two.ref_execution_id, two.quantity, two.price, two.commission) == (
        "d",
        "c",
        60,
        "11",
        "0",
    )
    assert (one.fill_id, one.venue, one.trade_date, one.sequence, two.sequence) == (fill.fill_id, "NASDAQ", DAY, 4, 5)
    assert (one.record_time, two.record_time) == (after.update_time, again.update_time)
    assert (other.net_quantity, other.net_price, list(other.corrections)) == (40, "20", [])
    trail = await logs(blotter)
    assert [log.correction for log in trail[3:]] == [one, two]
    assert trail[1].order == first
    assert (trail[1].fill.net_quantity, trail[1].fill.fill_id) == (60, fill.fill_id)
    assert not trail[3].HasField("fill")
    assert not trail[1].HasField("correction")


async def test_a_bust_takes_the_fill_away(blotter: Blotter) -> None:
    order = await blotter.submit()
    await blotter.fill(order, 60, "10", execution_id="e", commission="0.5")
    await blotter.fill(order, 40, "20", execution_id="f")
    after = await blotter.report(order, **busted("b", "f", reason="erroneous"))
    assert figures(after) == (PARTIAL, 60, 40, 0, "600", "10")
    after = await blotter.report(order, **busted("b2", "e"))
    assert figures(after) == (PENDING, 0, 100, 0, "0", "")
    fills = await fills_of(blotter, order)
    assert [(fill.net_quantity, fill.net_price, fill.net_commission, fill.busted) for fill in fills] == [
        (0, "", "0", True)
    ] * 2
    [bust] = fills[0].corrections
    assert (bust.quantity, bust.price, bust.commission, bust.busted, bust.reason) == (0, "", "0", True, "erroneous")
    [*_, log, _] = await logs(blotter)
    assert (log.action, log.correction) == (order_pb2.ACTION_FILL_BUSTED, bust)


async def test_a_bust_leaves_a_closed_order_closed(blotter: Blotter) -> None:
    order = await blotter.fill(await blotter.submit(), 50, "50", execution_id="e")
    await cancel(blotter, order)
    closed = await blotter.report(order, cancelled=reports_pb.CancelledReport())
    assert closed.status == CANCELLED
    assert figures(await blotter.report(order, **busted("b", "e"))) == (CANCELLED, 0, 0, 0, "0", "")
    late = await blotter.fill(order, 40, "51", execution_id="f")
    assert figures(late) == (CANCELLED, 40, 0, 0, "2040", "51")
    full = await blotter.fill(order, 60, "51", execution_id="g")
    assert (full.status, full.status_reason) == (FILLED, "")
    back = await blotter.report(order, **busted("b2", "g"))
    assert figures(back) == (CANCELLED, 40, 0, 0, "2040", "51")


async def test_corrections_make_and_take_an_excess(blotter: Blotter) -> None:
    order = await blotter.fill(await blotter.submit(), 90, "10", execution_id="e")
    over = await blotter.report(order, **corrected("c", "e", 130, "10"))
    assert figures(over) == (FILLED, 100, 0, 30, "1300", "10")
    back = await blotter.report(order, **corrected("d", "e", 80, "10"))
    assert figures(back) == (PARTIAL, 80, 20, 0, "800", "10")
    await replace(blotter, order, quantity=60)
    shrunk = await blotter.report(order, replaced=reports_pb.ReplacedReport())
    assert (figures(shrunk), shrunk.quantity) == ((FILLED, 80, 0, 0, "800", "10"), 80)


async def test_what_cannot_be_corrected_is_refused_and_in_the_trail(blotter: Blotter) -> None:
    order, other = await blotter.submit(), await blotter.submit()
    await blotter.fill(order, 60, "10", execution_id="e")
    await blotter.fill(other, 60, "10", execution_id="theirs")
    await blotter.report(order, **busted("b", "e"))
    before = await fills_of(blotter, order)
    for report in (
        corrected("c1", "unknown", 1, "1"),
        corrected("c2", "theirs", 1, "1"),
        corrected("c3", "e", 1, "1"),
        busted("c4", "e"),
        busted("c5", "b"),
        {**corrected("c6", "e", 1, "1"), "venue": "NYSE"},
        corrected("c7", "e", 1, "1", ref_trade_date="2012-06-20"),
    ):
        request = report_request(order, **report)
        for _ in range(2):  # the same report again is refused in the same way, and logged once
            error = await refused(blotter.orders.ReportExecution(request, metadata=EXECUTION))
            assert (error.code(), reason_of(error)) == (grpc.StatusCode.NOT_FOUND, "FILL_NOT_FOUND"), report
    assert await fills_of(blotter, order) == before
    trail = await logs(blotter)
    assert [log.sequence for log in trail] == list(range(1, 13))
    *_, log = trail
    assert (log.action, log.refused, log.error_code) == (order_pb2.ACTION_REJECTED, True, "FILL_NOT_FOUND")
    assert (log.correction.execution_id, log.correction.ref_execution_id, log.correction.quantity) == ("c7", "e", 1)
    assert log.correction.fill_id == ""
    assert not log.HasField("fill")


async def test_a_correction_counts_once_and_its_id_is_of_the_fills_namespace(blotter: Blotter) -> None:
    order = await blotter.fill(await blotter.submit(), 60, "10", execution_id="e")
    request = report_request(order, **corrected("c", "e", 50, "10"))
    first = await blotter.orders.ReportExecution(request, metadata=EXECUTION)
    again = await blotter.orders.ReportExecution(request, metadata=EXECUTION)
    request.report_id = "another-name"
    other = await blotter.orders.ReportExecution(request, metadata=EXECUTION)
    assert (first.replayed, again.replayed, other.replayed) == (False, True, True)
    assert first.order == again.order == other.order
    before = written(blotter)
    for report in (
        corrected("c", "e", 51, "10"),
        corrected("c", "e", 50, "11"),
        corrected("c", "e", 50, "10", commission="1"),
        corrected("e", "e", 50, "10"),
        busted("c", "e"),
        {"fill": reports_pb.FillReport(execution_id="c", quantity=50, price="10")},
    ):
        error = await refused(blotter.report(order, **report))
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.ALREADY_EXISTS, "EXECUTION_ID_REUSED"), report
    assert written(blotter) == before
    bust = report_request(order, **busted("b", "c"))
    assert not (await blotter.orders.ReportExecution(bust, metadata=EXECUTION)).replayed
    bust.report_id = "the-same-bust"
    assert (await blotter.orders.ReportExecution(bust, metadata=EXECUTION)).replayed


async def test_an_execution_id_is_unique_within_a_trade_date(blotter: Blotter) -> None:
    order = await blotter.submit(quantity=1000)
    for trade_date in ("", "2012-06-22", "2012-06-23"):
        await blotter.report(
            order, trade_date=trade_date, fill=reports_pb.FillReport(execution_id="1", quantity=10, price="1")
        )
    await blotter.report(order, venue="NYSE", fill=reports_pb.FillReport(execution_id="1", quantity=10, price="1"))
    fills = await fills_of(blotter, order)
    assert [fill.trade_date for fill in fills] == [DAY, "2012-06-23", "2012-06-22", DAY]
    error = await refused(
        blotter.report(order, trade_date=DAY, fill=reports_pb.FillReport(execution_id="1", quantity=9, price="1"))
    )
    assert reason_of(error) == "EXECUTION_ID_REUSED"
    named = corrected("c", "1", 5, "1", ref_trade_date="2012-06-22")
    after = await blotter.report(order, trade_date="2012-06-24", **named)
    assert after.filled_quantity == 35
    newest = await blotter.report(order, trade_date="2012-06-24", **busted("d", "1"))
    assert newest.filled_quantity == 25
    fills = await fills_of(blotter, order)
    assert [fill.net_quantity for fill in fills] == [10, 0, 5, 10]
    assert [correction.trade_date for fill in fills for correction in fill.corrections] == ["2012-06-24"] * 2


async def test_an_order_as_of_a_moment_has_what_stood_then(blotter: Blotter) -> None:
    order = await blotter.submit()
    states = [order]
    states.append(await blotter.fill(order, 60, "10", execution_id="e"))
    states.append(await blotter.report(order, **corrected("c", "e", 50, "12")))
    states.append(await blotter.report(order, **busted("b", "e")))
    states.append((await cancel(blotter, order)).order)
    for state in states:
        request = inspection_pb2.GetOrderAsOfRequest(order_id=order.order_id, time=state.update_time)
        found = (await blotter.audit.GetOrderAsOf(request, metadata=COMPLIANCE)).order
        assert found == state


async def test_fields_of_a_correction_and_a_bust_are_required(blotter: Blotter) -> None:
    order = await blotter.submit()
    for name, required in (
        ("fill_corrected", ["execution_id", "ref_execution_id", "quantity", "price"]),
        ("fill_busted", ["execution_id", "ref_execution_id"]),
    ):
        request = report_request(order, venue="", event_time=Timestamp())
        request.ClearField("event_time")
        getattr(request, name).SetInParent()
        error = await refused(blotter.orders.ReportExecution(request, metadata=EXECUTION))
        assert set(fields_of(error)) == {"venue", "event_time"} | {f"{name}.{field}" for field in required}
    for kind in ("executed", "cancelled"):
        request = report_request(order, trade_date=DAY)
        getattr(request, kind).SetInParent()
        assert list(fields_of(await refused(blotter.orders.ReportExecution(request, metadata=EXECUTION)))) == [
            "trade_date"
        ]


async def test_pages_of_fills_have_their_corrections(blotter: Blotter) -> None:
    order = await blotter.submit(quantity=1000)
    for number in range(7):
        await blotter.fill(order, 10, "1", execution_id=f"e{number}")
        await blotter.report(order, **corrected(f"c{number}", f"e{number}", number + 1, "1"))
    everything = await fills_of(blotter, order)
    page, found = pb.ListFillsRequest(page_size=3), []
    while True:
        answer = await blotter.orders.ListFills(page, metadata=A)
        found += answer.fills
        page.page_token = answer.next_page_token
        if not page.page_token:
            break
    assert found == everything
    assert [fill.net_quantity for fill in found] == [7, 6, 5, 4, 3, 2, 1]
