"""Cancels and replaces: at once while the desk alone has the order, else requests that the venue answers."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2, request_pb2, terms_pb2
from blotter.orders.v1 import order_service_pb2 as pb
from tests.conftest import ALICE, BOB
from tests.rpc.errors import fields_of, reason_of, refused
from tests.rpc.methods import ask
from tests.rpc.requests import CANCEL, REPLACE, TOO_LATE, A, at_venue, cancel, get, logs, replace, replacing
from tests.rpc.rules import at
from tests.rpc.test_idempotency import outcome
from tests.rpc.written import written
from tests.serving import EXECUTION, Blotter, as_trader, report_request
from tests.streams.watching import watching

PENDING, PARTIAL, FILLED, REJECTED, CANCELLED = range(1, 6)
ACCEPTED, REFUSED, SUPERSEDED = (
    request_pb2.REQUEST_OUTCOME_ACCEPTED,
    request_pb2.REQUEST_OUTCOME_REFUSED,
    request_pb2.REQUEST_OUTCOME_SUPERSEDED,
)
REPORTS: dict[str, dict[str, Any]] = {
    "cancelled": {"cancelled": reports_pb.CancelledReport()},
    "replaced": {"replaced": reports_pb.ReplacedReport()},
    "cancel_refused": {"cancel_refused": reports_pb.CancelRefusedReport(refusal_reason=TOO_LATE, reason="late")},
    "replace_refused": {"replace_refused": reports_pb.ReplaceRefusedReport(refusal_reason=TOO_LATE)},
    "rejected": {"rejected": reports_pb.RejectedReport(reason="no", error_code="X1")},
    "done_for_day": {"done_for_day": reports_pb.DoneForDayReport()},
    "executed": {"executed": reports_pb.ExecutedReport()},
    "restated": {"restated": reports_pb.RestatedReport(quantity=90)},
}


async def test_at_the_desk_a_cancel_and_a_replace_take_effect_at_once(blotter: Blotter) -> None:
    order = await blotter.submit(stop_loss="500", expire_time=at(3600))
    assert not order.at_venue
    replaced = await replace(
        blotter,
        order,
        ["quantity", "price", "stop_loss", "take_profit"],
        "r",
        quantity=70,
        price="600",
        take_profit="700",
    )
    after = replaced.order
    assert not replaced.replayed
    assert (after.quantity, after.price, after.stop_loss, after.take_profit) == (70, "600", "", "700")
    assert (after.leaves_quantity, after.expire_time) == (70, order.expire_time)
    assert not after.HasField("pending_request")
    closed = (await cancel(blotter, order, request_key="c", reason="done")).order
    assert (closed.status, closed.status_reason, closed.leaves_quantity) == (CANCELLED, "done", 0)
    newest, oldest = (await get(blotter, order_id=order.order_id)).requests
    assert (newest.request_key, newest.kind, newest.outcome, newest.reason) == ("c", CANCEL, ACCEPTED, "done")
    assert (oldest.request_key, oldest.kind, oldest.outcome) == ("r", REPLACE, ACCEPTED)
    assert oldest.terms == terms_pb2.OrderTerms(quantity=70, price="600", take_profit="700")
    assert list(oldest.update_mask.paths) == ["quantity", "price", "stop_loss", "take_profit"]
    assert (oldest.request_sequence, oldest.outcome_sequence, newest.outcome_sequence) == (2, 2, 3)
    assert oldest.outcome_time == oldest.request_time == after.update_time


async def test_at_a_venue_a_cancel_waits_for_the_answer_and_fills_go_on(blotter: Blotter) -> None:
    order = await at_venue(blotter)
    assert order.at_venue
    pending = (await cancel(blotter, order, request_key="c", reason="changed my mind")).order
    assert (pending.status, pending.leaves_quantity) == (PENDING, 100)
    assert pending.pending_request == terms_pb2.PendingRequest(request_key="c", kind=CANCEL)
    part = await blotter.fill(order, 40)
    assert (part.status, part.pending_request.request_key) == (PARTIAL, "c")
    [request] = (await get(blotter, client_order_id="c")).requests
    assert (request.outcome, request.request_sequence, request.outcome_sequence) == (
        request_pb2.REQUEST_OUTCOME_PENDING,
        3,
        0,
    )
    assert not request.HasField("outcome_time")
    closed = await blotter.report(order, **REPORTS["cancelled"], request_key="c")
    assert (closed.status, closed.status_reason) == (CANCELLED, "changed my mind")
    assert (closed.filled_quantity, closed.leaves_quantity) == (40, 0)
    assert not closed.HasField("pending_request")
    [request] = (await get(blotter, client_order_id="c")).requests
    assert (request.outcome, request.outcome_sequence, request.outcome_time) == (ACCEPTED, 5, closed.update_time)
    assert [(log.action, log.request_key, log.answered_key) for log in await logs(blotter)][2:] == [
        (order_pb2.ACTION_CANCEL_REQUESTED, "c", ""),
        (order_pb2.ACTION_FILLED, "", ""),
        (order_pb2.ACTION_CANCELLED, "", "c"),
    ]


async def test_at_a_venue_the_old_terms_are_in_force_until_a_replace_is_accepted(blotter: Blotter) -> None:
    order = await at_venue(blotter, expire_time=at(3600))
    moment = Timestamp(seconds=4_000_000_000, nanos=5000)
    terms: dict[str, Any] = {
        "quantity": 50,
        "price": "590.5",
        "expire_time": moment,
        "time_in_force": terms_pb2.TIME_IN_FORCE_GTD,
    }
    pending = (await replace(blotter, order, None, "r", **terms)).order
    assert (pending.quantity, pending.price, pending.expire_time) == (100, "585.33", order.expire_time)
    assert pending.pending_request.terms == terms_pb2.OrderTerms(**terms)
    assert list(pending.pending_request.update_mask.paths) == ["quantity", "price", "expire_time", "time_in_force"]
    await blotter.fill(order, 20)
    after = await blotter.report(order, **REPORTS["replaced"])
    assert (after.quantity, after.price, after.expire_time, after.status) == (50, "590.5", moment, PARTIAL)
    assert (after.filled_quantity, after.leaves_quantity) == (20, 30)
    assert after.time_in_force == terms_pb2.TIME_IN_FORCE_GTD
    [log] = [log for log in await logs(blotter) if log.action == order_pb2.ACTION_REPLACED]
    assert (log.answered_key, log.terms, log.request_key) == ("r", terms_pb2.OrderTerms(**terms), "")


async def test_a_replace_below_what_is_filled_fills_the_order_and_a_filled_order_may_grow(blotter: Blotter) -> None:
    order = await at_venue(blotter)
    await blotter.fill(order, 60)
    await replace(blotter, order, quantity=50)
    full = await blotter.report(order, **REPORTS["replaced"])
    assert (full.status, full.quantity, full.filled_quantity, full.excess_quantity) == (FILLED, 60, 60, 0)
    await replace(blotter, order, quantity=80)
    grown = await blotter.report(order, **REPORTS["replaced"])
    assert (grown.status, grown.quantity, grown.leaves_quantity) == (PARTIAL, 80, 20)


async def test_a_larger_quantity_takes_up_the_excess(blotter: Blotter) -> None:
    order = await blotter.fill(await blotter.submit(), 130)
    assert (order.filled_quantity, order.excess_quantity) == (100, 30)
    await replace(blotter, order, quantity=120)
    order = await blotter.report(order, **REPORTS["replaced"])
    assert (order.status, order.filled_quantity, order.excess_quantity) == (FILLED, 120, 10)
    await replace(blotter, order, quantity=150)
    order = await blotter.report(order, **REPORTS["replaced"])
    assert (order.status, order.filled_quantity, order.excess_quantity) == (PARTIAL, 130, 0)


# The request, the report that came next: what became of the request, and the order's status.
OUTCOMES = [
    (CANCEL, "cancelled", ACCEPTED, CANCELLED),
    (CANCEL, "cancel_refused", REFUSED, PENDING),
    (CANCEL, "rejected", SUPERSEDED, REJECTED),
    (CANCEL, "done_for_day", SUPERSEDED, CANCELLED),
    (CANCEL, "replace_refused", request_pb2.REQUEST_OUTCOME_PENDING, PENDING),
    (CANCEL, "executed", request_pb2.REQUEST_OUTCOME_PENDING, PENDING),
    (CANCEL, "restated", request_pb2.REQUEST_OUTCOME_PENDING, PENDING),
    (REPLACE, "replaced", ACCEPTED, PENDING),
    (REPLACE, "replace_refused", REFUSED, PENDING),
    (REPLACE, "cancelled", SUPERSEDED, CANCELLED),
    (REPLACE, "rejected", SUPERSEDED, REJECTED),
    (REPLACE, "cancel_refused", request_pb2.REQUEST_OUTCOME_PENDING, PENDING),
]


async def test_each_report_settles_a_pending_request_or_leaves_it(blotter: Blotter) -> None:
    for kind, report, became, status in OUTCOMES:
        order = await at_venue(blotter)
        await (cancel(blotter, order) if kind == CANCEL else replace(blotter, order, quantity=50))
        after = await blotter.report(order, **REPORTS[report])
        [request] = (await get(blotter, order_id=order.order_id)).requests
        assert (request.outcome, after.status) == (became, status), (kind, report)
        pending = became == request_pb2.REQUEST_OUTCOME_PENDING
        assert after.HasField("pending_request") == pending == (not request.outcome_sequence)
        if became == REFUSED:
            assert request.outcome_code == "TOO_LATE_TO_CANCEL"
            assert (after.quantity, after.leaves_quantity) == (100, 100)
        if report == "rejected":
            assert (request.outcome_code, request.outcome_reason, after.status_reason) == ("X1", "no", "no")
        if report == "done_for_day":
            assert after.status_reason == "DONE_FOR_DAY"


async def test_an_answer_that_names_another_request_settles_nothing(blotter: Blotter) -> None:
    order = await at_venue(blotter)
    await replace(blotter, order, None, "first", quantity=50)
    await blotter.report(order, **REPORTS["replace_refused"], request_key="first")
    await replace(blotter, order, None, "second", quantity=60)
    late = await blotter.report(order, **REPORTS["replace_refused"], request_key="first")
    assert late.pending_request.request_key == "second"
    error = await refused(blotter.report(order, **REPORTS["replaced"], request_key="first"))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "REQUEST_NOT_PENDING")
    crossed = await blotter.report(order, **REPORTS["cancel_refused"], request_key="second")
    assert crossed.pending_request.request_key == "second"
    second, first = (await get(blotter, order_id=order.order_id)).requests
    assert (first.outcome, first.outcome_sequence) == (REFUSED, 4)
    assert second.outcome == request_pb2.REQUEST_OUTCOME_PENDING
    after = await blotter.report(order, **REPORTS["replaced"], request_key="second")
    assert after.quantity == 60
    answered = [log.answered_key for log in await logs(blotter)]
    assert answered == ["", "", "", "first", "", "", "", "", "second"], "the stray answers name none"
    second, first = (await get(blotter, order_id=order.order_id)).requests
    assert (second.outcome, first.outcome) == (ACCEPTED, REFUSED)
    await cancel(blotter, order, request_key="third")
    late = await blotter.report(order, **REPORTS["cancel_refused"], request_key="first")
    assert late.pending_request.request_key == "third"


async def test_one_request_at_a_time(blotter: Blotter) -> None:
    order = await at_venue(blotter)
    await replace(blotter, order, quantity=50)
    for call in (replace(blotter, order, quantity=60), cancel(blotter, order), cancel(blotter, order, request_key="c")):
        error = await refused(call)
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "REQUEST_PENDING")
    await blotter.report(order, **REPORTS["replaced"])
    first = await cancel(blotter, order, request_key="c")
    again, keyless = await cancel(blotter, order, request_key="c"), await cancel(blotter, order)
    assert (first.replayed, again.replayed, keyless.replayed) == (False, True, True)
    assert first.order == again.order == keyless.order
    error = await refused(cancel(blotter, order, request_key="d"))
    assert reason_of(error) == "REQUEST_PENDING"
    closed = await blotter.report(order, **REPORTS["cancelled"])
    for key in ("c", "e", ""):
        repeated = await cancel(blotter, order, request_key=key)
        assert (repeated.order, repeated.replayed) == (closed, True)


async def test_a_request_key_is_used_once_and_finds_the_order(blotter: Blotter) -> None:
    order, other = await at_venue(blotter, client_order_id="o"), await blotter.submit(client_order_id="p")
    first = await replace(blotter, order, None, "r", quantity=50)
    request = replacing(order, None, "r", quantity=50)
    await blotter.report(order, **REPORTS["replaced"])
    request.order_id = ""
    request.client_order_id = "o"  # the same order under another name is the same content
    request.terms.quantity = 50
    again = await blotter.orders.ReplaceOrder(request, metadata=A)
    assert (first.replayed, again.replayed, again.order.quantity) == (False, True, 50)
    reused: list[Any] = [
        replace(blotter, order, None, "r", quantity=51),
        replace(blotter, order, None, "r", quantity=50, price="1"),
        replace(blotter, other, None, "r", quantity=50),
        replace(blotter, order, None, "o", quantity=50),
        replace(blotter, order, None, "p", quantity=50),
        cancel(blotter, order, request_key="r"),
        cancel(blotter, order, request_key="p"),
    ]
    for call in reused:
        error = await refused(call)
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_KEY_REUSED")
    error = await refused(blotter.submit(client_order_id="r"))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.ALREADY_EXISTS, "CLIENT_ORDER_ID_REUSED")
    bobs = await blotter.submit(BOB, client_order_id="r")
    assert (await get(blotter, client_order_id="r")).order.order_id == order.order_id != bobs.order_id
    fills = pb.ListFillsRequest(client_order_id="r")
    await blotter.fill(order, 1)
    assert [fill.order_id for fill in (await blotter.orders.ListFills(fills, metadata=A)).fills] == [order.order_id]
    closing = await cancel(blotter, order, client_order_id="r", request_key="c")
    assert closing.order.pending_request.request_key == "c"


async def test_a_replace_may_depend_on_the_last_sequence(blotter: Blotter) -> None:
    order = await blotter.submit()
    request = replacing(order, None, "r", quantity=50)
    request.expected_last_sequence = order.last_sequence + 1
    error = await refused(blotter.orders.ReplaceOrder(request, metadata=A))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.ABORTED, "ORDER_CHANGED")
    request.expected_last_sequence = order.last_sequence
    await blotter.orders.ReplaceOrder(request, metadata=A)
    assert (await blotter.orders.ReplaceOrder(request, metadata=A)).replayed, "a repeat is not compared"
    request.request_key = "s"
    request.terms.quantity = 60
    error = await refused(blotter.orders.ReplaceOrder(request, metadata=A))
    assert reason_of(error) == "ORDER_CHANGED"
    assert (await get(blotter, order_id=order.order_id)).order.quantity == 50


async def test_of_twenty_replaces_that_depend_on_one_sequence_one_is_done(blotter: Blotter) -> None:
    order = await blotter.submit()

    async def change(quantity: int) -> str:
        request = replacing(order, None, f"r{quantity}", quantity=quantity)
        request.expected_last_sequence = order.last_sequence
        try:
            await blotter.orders.ReplaceOrder(request, metadata=A)
        except grpc.aio.AioRpcError as error:
            return reason_of(error)
        return "done"

    results = await asyncio.gather(*(change(quantity) for quantity in range(1, 21)))
    assert sorted(results) == ["ORDER_CHANGED"] * 19 + ["done"]


STOP_LIMIT, MARKET = order_pb2.ORDER_TYPE_STOP_LIMIT, order_pb2.ORDER_TYPE_MARKET
GTD, DAY = terms_pb2.TIME_IN_FORCE_GTD, terms_pb2.TIME_IN_FORCE_DAY
# Changes of the order, the mask, the terms: the field that is refused.
INVALID_TERMS: list[tuple[dict[str, Any], list[str] | None, dict[str, Any], str]] = [
    ({}, ["price"], {}, "terms.price"),
    ({}, ["quantity"], {}, "terms.quantity"),
    ({}, None, {"stop_price": "1"}, "terms.stop_price"),
    ({"order_type": STOP_LIMIT, "stop_price": "580"}, ["stop_price"], {}, "terms.stop_price"),
    ({"order_type": MARKET, "price": ""}, None, {"price": "1"}, "terms.price"),
    ({"stop_loss": "500"}, None, {"price": "500"}, "terms.stop_loss"),
    ({}, None, {"take_profit": "585.33"}, "terms.take_profit"),
    ({"order_type": MARKET, "price": "", "take_profit": "11"}, None, {"stop_loss": "12"}, "terms.stop_loss"),
    ({}, None, {"expire_time": at(-1)}, "terms.expire_time"),
    ({}, None, {"time_in_force": GTD}, "terms.expire_time"),
    ({"expire_time": at(3600)}, None, {"time_in_force": DAY}, "terms.expire_time"),
    ({"time_in_force": DAY}, None, {"expire_time": at(3600)}, "terms.expire_time"),
    ({}, ["symbol"], {}, "update_mask"),
    ({}, ["*"], {"quantity": 5}, "terms.price"),
]


@pytest.mark.parametrize("venue", [False, True])
async def test_terms_that_do_not_fit_the_order_are_refused_by_field(blotter: Blotter, *, venue: bool) -> None:
    for changes, mask, terms, field in INVALID_TERMS:
        order = await (at_venue(blotter, **changes) if venue else blotter.submit(**changes))
        error = await refused(replace(blotter, order, mask, **terms))
        assert (error.code(), list(fields_of(error))) == (grpc.StatusCode.INVALID_ARGUMENT, [field]), (changes, terms)
        assert (await get(blotter, order_id=order.order_id)).order == order


async def test_a_mask_clears_what_it_names_and_a_star_names_all(blotter: Blotter) -> None:
    order = await blotter.submit(stop_loss="1", take_profit="999", expire_time=at(3600))
    order = (await replace(blotter, order, ["stop_loss"], quantity=7)).order
    assert (order.quantity, order.stop_loss, order.take_profit) == (100, "", "999")
    order = (await replace(blotter, order, ["*"], quantity=7, price="6")).order
    assert (order.quantity, order.price, order.take_profit, order.HasField("expire_time")) == (7, "6", "", False)


async def test_closed_orders_are_not_replaced_and_a_filled_one_is_not_cancelled(blotter: Blotter) -> None:
    filled = await blotter.fill(await blotter.submit(), 100)
    rejected = await blotter.report(await blotter.submit(), **REPORTS["rejected"])
    cancelled = (await cancel(blotter, await blotter.submit())).order
    late = await blotter.fill(cancelled, 100)
    assert late.status == FILLED
    for call in (
        cancel(blotter, filled),
        cancel(blotter, rejected, request_key="c"),
        replace(blotter, rejected, quantity=1),
        replace(blotter, cancelled, quantity=200),
    ):
        error = await refused(call)
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "ORDER_CLOSED")


async def test_requests_come_newest_first_in_pages(blotter: Blotter) -> None:
    order = await blotter.submit(client_order_id="o")
    for number in range(1, 121):
        await replace(blotter, order, None, f"r{number}", quantity=number)
    assert [request.request_key for request in (await get(blotter, client_order_id="o")).requests] == [
        f"r{number}" for number in range(120, 20, -1)
    ]
    for size in (7, 500):
        found: list[str] = []
        page = request_pb2.ListRequestsRequest(client_order_id="r5", page_size=size)
        while True:
            answer = await blotter.orders.ListRequests(page, metadata=A)
            found += [request.request_key for request in answer.requests]
            page.page_token = answer.next_page_token
            if not page.page_token:
                break
        assert found == [f"r{number}" for number in range(120, 0, -1)]
    other = request_pb2.ListRequestsRequest(order_id=order.order_id)
    error = await refused(blotter.orders.ListRequests(other, metadata=as_trader(BOB)))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.NOT_FOUND, "ORDER_NOT_FOUND")


async def test_each_request_of_a_batch_is_done_or_fails_by_itself(blotter: Blotter) -> None:
    desk, venue = await blotter.submit(), await at_venue(blotter)
    bobs = await blotter.submit(BOB)
    closed = await blotter.fill(await blotter.submit(), 100)
    cases: list[tuple[str, request_pb2.ReplaceOrderRequest]] = [
        ("done", replacing(desk, None, "a", quantity=50)),
        ("replayed", replacing(desk, None, "a", quantity=50)),
        ("REQUEST_KEY_REUSED", replacing(desk, None, "a", quantity=51)),
        ("INVALID_REQUEST", replacing(desk, None, "", quantity=51)),
        ("INVALID_REQUEST", replacing(desk, ["price"], "b")),
        ("done", replacing(venue, None, "c", quantity=50)),
        ("REQUEST_PENDING", replacing(venue, None, "d", quantity=50)),
        ("ORDER_NOT_FOUND", replacing(bobs, None, "e", quantity=50)),
        ("done", replacing(closed, None, "f", quantity=150)),
    ]
    batch = request_pb2.BatchReplaceOrdersRequest(requests=[request for _, request in cases])
    results = (await ask(blotter, "BatchReplaceOrders", batch)).results
    assert [outcome(result) for result in results] == [wanted for wanted, _ in cases]
    assert (results[0].response.order.quantity, results[5].response.order.quantity) == (50, 100)
    before = written(blotter)
    again = (await ask(blotter, "BatchReplaceOrders", batch)).results
    assert [outcome(result) for result in again] == ["replayed" if wanted == "done" else wanted for wanted, _ in cases]
    assert written(blotter) == before

    def cancelling(order: order_pb2.Order, key: str) -> pb.CancelOrderRequest:
        return pb.CancelOrderRequest(order_id=order.order_id, request_key=key)

    cancels = [
        ("done", cancelling(desk, "ca")),
        ("replayed", cancelling(desk, "ca")),
        ("replayed", cancelling(desk, "cb")),
        ("REQUEST_PENDING", cancelling(venue, "cc")),
        ("ORDER_NOT_FOUND", cancelling(bobs, "cd")),
        ("INVALID_REQUEST", cancelling(venue, "")),
        ("REQUEST_KEY_REUSED", cancelling(venue, "a")),
    ]
    answer = await ask(
        blotter, "BatchCancelOrders", pb.BatchCancelOrdersRequest(requests=[request for _, request in cancels])
    )
    assert [outcome(result) for result in answer.results] == [wanted for wanted, _ in cancels]


async def test_cancel_all_requests_what_a_gateway_has_and_leaves_what_is_pending(blotter: Blotter) -> None:
    desk, venue, replacing_ = await blotter.submit(), await at_venue(blotter), await at_venue(blotter)
    await replace(blotter, replacing_, quantity=50)
    await cancel(blotter, await at_venue(blotter))
    call = pb.CancelAllOrdersRequest(reason="going home")
    answer = await blotter.orders.CancelAllOrders(call, metadata=A)
    assert (answer.cancelled_count, answer.requested_count) == (1, 1)
    assert list(answer.order_ids) == [desk.order_id, venue.order_id]
    found = (await get(blotter, order_id=venue.order_id)).order
    assert (found.status, found.pending_request.kind) == (PENDING, CANCEL)
    closed = await blotter.report(venue, **REPORTS["cancelled"])
    assert closed.status_reason == "going home"
    again = await blotter.orders.CancelAllOrders(call, metadata=A)
    assert (again.cancelled_count, again.requested_count) == (0, 0)
    await blotter.report(replacing_, **REPORTS["replace_refused"])
    again = await blotter.orders.CancelAllOrders(call, metadata=A)
    assert (again.cancelled_count, again.requested_count) == (0, 1)


async def test_what_a_venue_reports_without_a_request_is_recorded(blotter: Blotter) -> None:
    order = await at_venue(blotter)
    restated = await blotter.report(order, restated=reports_pb.RestatedReport(quantity=110, price="586", reason="tick"))
    assert (restated.quantity, restated.price, restated.leaves_quantity) == (110, "586", 110)
    [*_, log] = await logs(blotter)
    assert (log.action, log.reason) == (order_pb2.ACTION_RESTATED, "tick")
    assert (log.terms, list(log.update_mask.paths)) == (
        terms_pb2.OrderTerms(quantity=110, price="586"),
        ["quantity", "price"],
    )
    confirmed = await blotter.report(order, restated=reports_pb.RestatedReport())
    assert (confirmed.quantity, confirmed.status) == (110, PENDING)
    assert not (await logs(blotter))[-1].HasField("terms")
    for report in ("cancel_refused", "replace_refused"):
        assert (await blotter.report(order, **REPORTS[report])).status == PENDING
    expired = await blotter.report(order, cancelled=reports_pb.CancelledReport(expired=True))
    assert (expired.status, expired.status_reason) == (CANCELLED, "EXPIRED")
    assert not (await get(blotter, order_id=order.order_id)).requests


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, CANCELLED),
        ({"time_in_force": DAY}, CANCELLED),
        ({"time_in_force": terms_pb2.TIME_IN_FORCE_GTC}, PENDING),
        ({"time_in_force": GTD, "expire_time": at(3600)}, PENDING),
        ({"expire_time": at(3600)}, PENDING),
    ],
)
async def test_the_end_of_the_day_closes_day_orders_only(
    blotter: Blotter, changes: dict[str, Any], status: int
) -> None:
    order = await at_venue(blotter, **changes)
    after = await blotter.report(order, **REPORTS["done_for_day"])
    assert (after.status, after.status_reason) == (status, "DONE_FOR_DAY" if status == CANCELLED else "")
    closed = await blotter.report(order, **REPORTS["done_for_day"])
    assert (closed.status, closed.status_reason) == (after.status, after.status_reason)


async def test_an_order_that_is_closed_keeps_its_reason(blotter: Blotter) -> None:
    order = await at_venue(blotter)
    await blotter.report(order, cancelled=reports_pb.CancelledReport(reason="by the venue"))
    for report in ("done_for_day", "cancelled"):
        after = await blotter.report(order, **REPORTS[report])
        assert (after.status, after.status_reason) == (CANCELLED, "by the venue")
    await blotter.fill(order, 40)
    assert (await logs(blotter))[-1].reason == "LATE_FILL"


async def test_a_market_order_has_no_price_although_a_venue_restates_one(blotter: Blotter) -> None:
    order = await at_venue(blotter, order_type=MARKET, price="")
    after = await blotter.report(order, restated=reports_pb.RestatedReport(quantity=50, price="3"))
    assert (after.quantity, after.price) == (50, "")


async def test_a_failed_attempt_leaves_the_order_with_the_gateway(blotter: Blotter) -> None:
    order = await blotter.submit()
    executed = reports_pb.ExecutedReport(error_code="TIMEOUT")
    assert (await blotter.report(order, executed=executed)).at_venue
    assert (await cancel(blotter, order)).order.HasField("pending_request")


async def test_requests_and_answers_come_on_the_stream(blotter: Blotter) -> None:
    order = await at_venue(blotter)
    async with watching(blotter, ALICE) as watch:
        await replace(blotter, order, None, "r", quantity=50)
        await blotter.report(order, **REPORTS["replace_refused"])
        while watch.orders.get(order.order_id, order).last_sequence < 4:
            await watch.next()
        assert watch.orders[order.order_id] == (await get(blotter, order_id=order.order_id)).order


async def test_a_report_of_an_answer_counts_once(blotter: Blotter) -> None:
    order = await at_venue(blotter)
    await replace(blotter, order, quantity=50)
    report = report_request(order, **REPORTS["replaced"])
    first = await blotter.orders.ReportExecution(report, metadata=EXECUTION)
    again = await blotter.orders.ReportExecution(report, metadata=EXECUTION)
    assert (first.replayed, again.replayed, again.order) == (False, True, first.order)
    refusal = report_request(order, **REPORTS["replaced"])
    for _ in range(2):
        error = await refused(blotter.orders.ReportExecution(refusal, metadata=EXECUTION))
        assert reason_of(error) == "REQUEST_NOT_PENDING"
    [*_, log] = await logs(blotter)
    assert (log.refused, log.error_code, log.sequence) == (True, "REQUEST_NOT_PENDING", 5)


async def test_reserved_reasons_are_refused(blotter: Blotter) -> None:
    order = await blotter.submit()
    for reason in ("EXPIRED", "disconnected", "Done_For_Day", "OVERFILL", "LATE_FILL"):
        assert list(fields_of(await refused(cancel(blotter, order, reason=reason)))) == ["reason"]
        request = replacing(order, None, "", quantity=5)
        request.reason = reason
        assert list(fields_of(await refused(blotter.orders.ReplaceOrder(request, metadata=A)))) == ["reason"]


async def test_a_repeated_path_and_a_mask_beside_unnamed_terms(blotter: Blotter) -> None:
    order = await blotter.submit()
    request = replacing(order, None, "", quantity=5, price="1")
    request.update_mask.CopyFrom(FieldMask(paths=["quantity", "quantity"]))
    after = (await blotter.orders.ReplaceOrder(request, metadata=A)).order
    assert (after.quantity, after.price) == (5, "585.33")
