"""Lists: pages that are complete while others write, filters, and tokens that are bound to their request."""

import functools
import itertools
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from blotter.audit.v1 import audit_service_pb2 as audit_pb
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2
from blotter.orders.v1 import order_service_pb2 as pb
from service.domain.filters import FillFilter, LogFilter, OrderFilter
from service.domain.identity import CallerKind
from service.streams import tokens
from tests.conftest import ALICE, BOB
from tests.rpc.errors import reason_of, refused
from tests.rpc.methods import ask
from tests.rpc.rules import at
from tests.serving import COMPLIANCE, EXECUTION, Blotter, as_trader, order_request, report_request

SYMBOLS = "AAPL", "MSFT", "BRK.B", "EUR/USD"
LISTED = {"ListOrders": "orders", "ListFills": "fills", "ListExecutionLogs": "execution_logs"}
OLDEST, NEWEST = audit_pb.SORT_ORDER_OLDEST_FIRST, audit_pb.SORT_ORDER_NEWEST_FIRST


@pytest.fixture
async def desk(blotter: Blotter) -> Blotter:
    """The two traders have 40 orders each, in all statuses, with fills and other events at odd times."""
    rng = random.Random(40)
    for trader_id in (ALICE, BOB):
        requests = [order_request(symbol=rng.choice(SYMBOLS)) for _ in range(40)]
        answer = await ask(
            blotter, "BatchSubmitOrders", pb.BatchSubmitOrdersRequest(orders=requests), as_trader(trader_id)
        )
        orders = [result.response.order for result in answer.results]
        reports = [report for order in orders for report in some_reports(order, rng)]
        rng.shuffle(reports)
        await ask(blotter, "BatchReportExecutions", reports_pb.BatchReportExecutionsRequest(reports=reports))
    return blotter


def some_reports(order: order_pb2.Order, rng: random.Random) -> Iterable[reports_pb.ReportExecutionRequest]:
    """Reports of a venue about an order, some of them impossible."""
    for _ in range(rng.randrange(4)):
        at = Timestamp(seconds=1_700_000_000 + rng.randrange(50), nanos=rng.choice((0, 1000)))
        match rng.randrange(4):
            case 0:
                yield report_request(order, event_time=at, approved=reports_pb.ApprovedReport())
            case 1:
                yield report_request(order, event_time=at, cancelled=reports_pb.CancelledReport())
            case _:
                fill = reports_pb.FillReport(execution_id=str(rng.random()), quantity=rng.choice((30, 100)), price="1")
                yield report_request(order, event_time=at, fill=fill)


async def whole(blotter: Blotter, name: str, request: Any, metadata: Any, size: int = 500) -> list[Any]:
    """All pages, one after the other."""
    return [item for page in await pages(blotter, name, request, metadata, lambda: size) for item in page]


async def pages(
    blotter: Blotter,
    name: str,
    request: Any,
    metadata: Any,
    size: Callable[[], int],
    between: Callable[[], Awaitable[Any]] | None = None,
) -> list[list[Any]]:
    """The pages, each of `size()` items; `between` is called after each but the last."""
    found = []
    request = type(request).FromString(request.SerializeToString())
    while True:
        request.page_size = size()
        answer = await ask(blotter, name, request, metadata)
        found.append(list(getattr(answer, LISTED[name])))
        assert len(found[-1]) <= request.page_size
        if not answer.next_page_token:
            return found
        assert len(found[-1]) == request.page_size, "only the last page may be short"
        request.page_token = answer.next_page_token
        if between is not None:
            await between()


A = as_trader(ALICE)
LISTINGS: list[tuple[str, Any, Any]] = [
    ("ListOrders", pb.ListOrdersRequest(), A),
    ("ListOrders", pb.ListOrdersRequest(symbols=["AAPL", "MSFT"]), A),
    ("ListFills", pb.ListFillsRequest(), A),
    ("ListExecutionLogs", audit_pb.ListExecutionLogsRequest(), A),
    ("ListExecutionLogs", audit_pb.ListExecutionLogsRequest(sort_order=NEWEST), A),
    ("ListExecutionLogs", audit_pb.ListExecutionLogsRequest(), COMPLIANCE),
    ("ListExecutionLogs", audit_pb.ListExecutionLogsRequest(sort_order=NEWEST), COMPLIANCE),
    ("ListExecutionLogs", audit_pb.ListExecutionLogsRequest(trader_id=str(BOB)), COMPLIANCE),
    ("ListExecutionLogs", audit_pb.ListExecutionLogsRequest(trader_id=str(BOB), sort_order=NEWEST), COMPLIANCE),
]


async def test_pages_of_any_size_are_complete_while_others_write(desk: Blotter) -> None:
    rng = random.Random(41)
    bobs = await desk.submit(BOB)

    turn = itertools.count()

    async def write() -> None:
        if next(turn) % 4:
            return
        order = await desk.submit(symbol=rng.choice(SYMBOLS))
        fill = reports_pb.FillReport(execution_id=order.order_id, quantity=1, price="1")
        await desk.report(order, event_time=at(0), fill=fill)
        await desk.report(bobs, event_time=None, executed=reports_pb.ExecutedReport())

    for name, request, metadata in LISTINGS:
        before = await whole(desk, name, request, metadata)
        for sizes in ((2, 3, 5), (7,), (1, 100, 500)):
            between = write if sizes == (7,) else None
            found = await pages(desk, name, request, metadata, functools.partial(rng.choice, sizes), between)
            read = [item for page in found for item in page]
            oldest_first = name == "ListExecutionLogs" and request.sort_order != NEWEST
            if between is None:
                assert read == before
            elif oldest_first:
                after = await whole(desk, name, request, metadata)
                assert read == after[: len(read)], "items written meanwhile are the last"
                assert len(read) >= len(before)
                before = after
            else:
                assert read == before, "items written meanwhile are newer than the first page"
                before = await whole(desk, name, request, metadata)


def key(item: Any) -> Any:
    """The key by which a list is ordered."""
    match item:
        case order_pb2.Order():
            return item.create_time.ToNanoseconds(), UUID(item.order_id)
        case order_pb2.Fill():
            return item.sequence
        case _:
            return item.event_time.ToNanoseconds(), UUID(item.trader_id), item.sequence


async def test_lists_have_the_order_that_the_contract_defines(desk: Blotter) -> None:
    for name, request, metadata in LISTINGS:
        read = await whole(desk, name, request, metadata, 37)
        assert len(read) > 10
        by_sequence = name == "ListExecutionLogs" and (metadata != COMPLIANCE or request.trader_id)
        keys = [item.sequence if by_sequence else key(item) for item in read]
        newest_first = name != "ListExecutionLogs" or request.sort_order == NEWEST
        assert keys == sorted(keys, reverse=newest_first)
        assert len(set(keys)) == len(keys)


def span(moments: list[datetime], rng: random.Random) -> tuple[Any, Callable[[Timestamp], bool]]:
    """A range between two of the moments, perhaps open, and the test whether a time is inside."""
    start: Any
    end: Any
    start, end = sorted(rng.sample(moments, 2))
    start, end = (edge if rng.random() < 0.8 else None for edge in (start, end))
    range_ = order_pb2.TimeRange(start_time=start, end_time=end)

    def inside(timestamp: Timestamp) -> bool:
        moment = timestamp.ToDatetime()
        return (start is None or start <= moment) and (end is None or moment < end)

    return range_, inside


def among(field: str, values: Sequence[Any]) -> Callable[[Any], bool]:
    """The test that a field has one of the values."""
    return that(field, lambda value: value in values)


def that(field: str, test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """The test that a field passes a test."""
    return lambda item: test(getattr(item, field))


def anything(_: Any) -> bool:
    return True


async def test_order_filters_select_separately_and_combined(desk: Blotter) -> None:
    rng = random.Random(42)
    everything = await whole(desk, "ListOrders", pb.ListOrdersRequest(), A)
    assert {order.status for order in everything} == {1, 2, 3, 5}
    moments = {
        name: [getattr(order, name).ToDatetime() for order in everything] for name in ("create_time", "update_time")
    }
    matched = 0
    for _ in range(60):
        given: dict[str, Any] = {}
        tests: list[Callable[[order_pb2.Order], bool]] = []
        if rng.random() < 0.5:
            statuses = rng.sample(range(1, 6), rng.randrange(1, 4))
            given["statuses"] = statuses
            tests.append(among("status", statuses))
        if rng.random() < 0.5:
            symbols = rng.sample([*SYMBOLS, "NONE"], rng.randrange(1, 3))
            given["symbols"] = symbols
            tests.append(among("symbol", symbols))
        for field, name in (("created", "create_time"), ("updated", "update_time")):
            if rng.random() < 0.4:
                given[field], inside = span(moments[name], rng)
                tests.append(that(name, inside))
        read = await whole(desk, "ListOrders", pb.ListOrdersRequest(**given), A, rng.choice((3, 500)))
        assert read == [order for order in everything if all(test(order) for test in tests)], given
        matched += bool(read)
    assert matched > 30


async def test_fill_filters_select_separately_and_combined(desk: Blotter) -> None:
    rng = random.Random(43)
    orders = await whole(desk, "ListOrders", pb.ListOrdersRequest(), A)
    everything = await whole(desk, "ListFills", pb.ListFillsRequest(), A)
    moments = [fill.event_time.ToDatetime() for fill in everything]
    for order in orders:
        range_, inside = span(moments, rng) if rng.random() < 0.5 else (None, anything)
        by: dict[str, Any] = rng.choice(({"order_id": order.order_id}, {"client_order_id": order.client_order_id}, {}))
        read = await whole(desk, "ListFills", pb.ListFillsRequest(traded=range_, **by), A, rng.choice((1, 500)))
        wanted = [
            fill for fill in everything if inside(fill.event_time) and (not by or fill.order_id == order.order_id)
        ]
        assert read == wanted
        if by and range_ is None:
            assert sum(fill.net_quantity for fill in read) == order.filled_quantity + order.excess_quantity


async def test_log_filters_select_separately_and_combined(desk: Blotter) -> None:
    rng = random.Random(44)
    for metadata, trader_id in ((A, ""), (COMPLIANCE, ""), (COMPLIANCE, str(BOB))):
        base: dict[str, Any] = {"trader_id": trader_id}
        everything = await whole(desk, "ListExecutionLogs", audit_pb.ListExecutionLogsRequest(**base), metadata)
        assert {log.trader_id for log in everything} == ({trader_id or str(ALICE)} if metadata == A or trader_id else
                                                         {str(ALICE), str(BOB)})  # fmt: skip
        moments = [log.event_time.ToDatetime() for log in everything]
        for _ in range(30):
            order_id = rng.choice(everything).order_id if rng.random() < 0.4 else ""
            actions: Any = rng.sample(range(1, 8), 3) if rng.random() < 0.5 else []
            range_, inside = span(moments, rng) if rng.random() < 0.5 else (None, anything)
            sort = rng.choice((OLDEST, NEWEST))
            request = audit_pb.ListExecutionLogsRequest(
                order_id=order_id, actions=actions, happened=range_, sort_order=sort, **base
            )
            wanted = [
                log
                for log in everything
                if order_id in ("", log.order_id) and (not actions or log.action in actions) and inside(log.event_time)
            ]
            read = await whole(desk, "ListExecutionLogs", request, metadata, rng.choice((3, 1000)))
            assert read == (wanted[::-1] if sort == NEWEST else wanted)


async def test_a_damaged_token_is_refused(desk: Blotter) -> None:
    for name, request, metadata in LISTINGS:
        request = type(request).FromString(request.SerializeToString())  # noqa: PLW2901  # a copy to write on
        request.page_size = 1
        token = (await ask(desk, name, request, metadata)).next_page_token
        damaged = {
            token[:at] + chr(ord(token[at]) ^ 1 << bit) + token[at + 1 :]
            for at in range(len(token))
            for bit in range(7)
        }
        damaged |= {token[:at] for at in range(1, len(token))} | {
            token + more for more in ("A", "=", " ", "\0", "é", token)
        }
        for other in damaged if name == "ListOrders" else random.Random(45).sample(sorted(damaged), 50):
            request.page_token = other
            await refuse_token(desk, name, request, metadata)


async def refuse_token(blotter: Blotter, name: str, request: Any, metadata: Any) -> None:
    """Require that the page token is refused."""
    error = await refused(ask(blotter, name, request, metadata))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN"), request


async def test_a_token_is_bound_to_its_caller_method_and_filters_but_not_to_a_page_size(desk: Blotter) -> None:
    made = []
    for name, request, metadata in LISTINGS:
        page = type(request).FromString(request.SerializeToString())
        page.page_size = 2
        made.append((await ask(desk, name, page, metadata)).next_page_token)
    for index, (name, request, metadata) in enumerate(LISTINGS):
        for other, token in enumerate(made):
            page = type(request).FromString(request.SerializeToString())
            page.page_token, page.page_size = token, 5
            if index == other:
                whole_list = await whole(desk, name, request, metadata)
                assert list(getattr(await ask(desk, name, page, metadata), LISTED[name])) == whole_list[2:7]
            else:
                await refuse_token(desk, name, page, metadata)
        if metadata == A:
            page = type(request).FromString(request.SerializeToString())
            page.page_token = made[index]
            await refuse_token(desk, name, page, as_trader(BOB))


@pytest.mark.parametrize("beyond", [2**63, -(2**63) - 1, 10**30])
async def test_a_forged_token_with_a_valid_check_is_refused_when_its_values_are_invalid(
    desk: Blotter, beyond: int
) -> None:
    """A caller can compute a token. It grants no access, and causes no internal error."""
    now = datetime.now().astimezone().isoformat()
    fills = tokens.encode(("ListFills", ALICE, FillFilter()), beyond)
    await refuse_token(desk, "ListFills", pb.ListFillsRequest(page_token=fills), A)
    binding = ("ListExecutionLogs", CallerKind.TRADER, ALICE, LogFilter(trader_id=ALICE))
    logs = tokens.encode(binding, now, ALICE, beyond)
    await refuse_token(desk, "ListExecutionLogs", audit_pb.ListExecutionLogsRequest(page_token=logs), A)
    for created_at in ("yesterday", "2026-01-01T00:00:00+00:00|x", ""):
        orders = tokens.encode(("ListOrders", ALICE, OrderFilter()), created_at, ALICE)
        await refuse_token(desk, "ListOrders", pb.ListOrdersRequest(page_token=orders), A)


async def test_an_update_moves_no_order_between_pages(desk: Blotter) -> None:
    before = [order.order_id for order in await whole(desk, "ListOrders", pb.ListOrdersRequest(), A)]
    for order_id in before[::3]:
        report = {"executed": reports_pb.ExecutedReport(), "order_id": order_id, "trader_id": str(ALICE)}
        request = report_request(order_pb2.Order(), **report)
        await desk.orders.ReportExecution(request, metadata=EXECUTION)
    assert [order.order_id for order in await whole(desk, "ListOrders", pb.ListOrdersRequest(), A, 7)] == before


async def test_the_last_page_has_no_next_token(desk: Blotter) -> None:
    found = await pages(desk, "ListOrders", pb.ListOrdersRequest(), A, lambda: 20)
    assert [len(page) for page in found] == [20, 20], "no empty page after a full last one"
