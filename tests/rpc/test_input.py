"""Validation of requests: an invalid field is named by its path, and a refused request writes nothing."""

import copy
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc import aio

from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2, order_service_pb2
from tests.conftest import ALICE
from tests.rpc.errors import fields_of, reason_of, refused
from tests.rpc.methods import METHODS, ask, valid_requests
from tests.rpc.rules import ELSEWHERE, LAST, RULES, at
from tests.rpc.written import written
from tests.serving import COMPLIANCE, Blotter, order_request, report_request

ORDER_SERVICE = "/blotter.orders.v1.OrderService"
SELL, STOP, MARKET = order_pb2.SIDE_SELL, order_pb2.ORDER_TYPE_STOP, order_pb2.ORDER_TYPE_MARKET


NEEDED: dict[str, dict[str, Any]] = {
    "rejected": {"reason": "required"},
    "fill_corrected": {"execution_id": "c", "ref_execution_id": "e", "quantity": 1, "price": "1"},
    "fill_busted": {"execution_id": "c", "ref_execution_id": "e"},
}
"""Fields that a report needs besides the one that is changed."""


def changed(request: Any, path: str, value: Any) -> Any:
    """A copy of the request with the value at the path."""
    request = copy.deepcopy(request)
    *parents, last = path.split(".")
    target = request
    for name in parents:
        for field, needed in NEEDED.get(name, {}).items():
            setattr(getattr(target, name), field, needed)
        target = getattr(target, name.removesuffix("[0]"))
        if name.endswith("[0]"):
            target = target[0]
    if last.endswith("[0]"):
        getattr(target, last.removesuffix("[0]")).append(value)
    elif isinstance(value, dict):
        getattr(target, last).update(value)
    elif isinstance(value, Message):
        getattr(target, last).CopyFrom(value)
    else:
        setattr(target, last, value)
    return request


OF_THE_RECORD = {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.OUT_OF_RANGE}
OF_THE_RECORD |= {grpc.StatusCode.ABORTED, grpc.StatusCode.ALREADY_EXISTS}
"""What a call is refused with for the state of the record, not for a field."""


async def violations(blotter: Blotter, name: str, request: Any, metadata: Any = None) -> list[str]:
    """The invalid fields in the reported order: of the call, or of the one item of a batch that was refused."""
    try:
        answer = await ask(blotter, name, request, metadata)
    except aio.AioRpcError as error:
        if error.code() in OF_THE_RECORD:
            return []
        return list(fields_of(error))
    return [field for result in getattr(answer, "results", ()) for field in fields_of_result(result.error)]


def fields_of_result(status: status_pb2.Status) -> list[str]:
    """The invalid fields that the error of an item names."""
    request = error_details_pb2.BadRequest()
    if status.code != code_pb2.INVALID_ARGUMENT or not any(detail.Unpack(request) for detail in status.details):
        return []
    return [violation.field for violation in request.field_violations]


@pytest.mark.parametrize("name", RULES)
async def test_each_field_is_refused_by_its_path_and_nothing_is_written(blotter: Blotter, name: str) -> None:
    request = valid_requests(await blotter.submit())[name]
    before = written(blotter)
    for path, rule in RULES[name].items():
        for value in rule.invalid:
            found = await violations(blotter, name, changed(request, path, value))
            # An entry of a map is named by its key.
            named = [path, *(f"{path}[{key}]" for key in value)] if isinstance(value, dict) else [path]
            assert len(found) == 1, f"{value!r}"
            assert found[0] in named, f"{value!r}"
    assert written(blotter) == before


@pytest.mark.parametrize("name", RULES)
async def test_each_field_accepts_what_the_contract_allows(blotter: Blotter, name: str) -> None:
    order = await blotter.submit(quantity=2**31 - 1)
    for path, rule in RULES[name].items():
        for value in rule.valid:
            request = changed(valid_requests(order)[name], path, value)
            assert await violations(blotter, name, request) == [], f"{path} = {value!r}"


def fields_in(descriptor: Any, prefix: str = "") -> set[str]:
    """The paths of the plain fields of a request."""
    paths = set()
    for field in descriptor.fields:
        path = f"{prefix}{field.name}{'[0]' if field.is_repeated else ''}"
        message = field.message_type
        if message and message.GetOptions().map_entry:
            paths.add(f"{prefix}{field.name}")
        elif message and message.file.package.startswith("blotter."):
            paths |= fields_in(field.message_type, path + ".")
        elif field.name not in ELSEWHERE:
            paths.add(path)
    return paths


@pytest.mark.parametrize("name", METHODS)
def test_no_field_of_the_contract_is_without_a_rule(name: str) -> None:
    ruled = {path for path in RULES[name] if path.rpartition(".")[2] not in ELSEWHERE}
    assert fields_in(METHODS[name].request.DESCRIPTOR) == ruled


EXITS = [
    # side, stop_loss, price, take_profit, invalid fields
    ("BUY", "99", "100", "101", []),
    ("SELL", "101", "100", "99", []),
    ("BUY", "100", "100", "101", ["stop_loss"]),
    ("BUY", "99", "100", "100", ["take_profit"]),
    ("BUY", "101", "100", "99", ["stop_loss", "take_profit"]),
    ("SELL", "99", "100", "101", ["stop_loss", "take_profit"]),
    ("SELL", "100", "100", "", ["stop_loss"]),
    ("SELL", "", "100", "100.00000001", ["take_profit"]),
    ("BUY", "", "100", "99.99999999", ["take_profit"]),
    ("BUY", "2", "", "1", ["stop_loss"]),
    ("SELL", "1", "", "2", ["stop_loss"]),
    ("BUY", "1", "", "2", []),
    ("SELL", "2", "", "1", []),
]


async def test_exits_lie_on_their_sides_of_the_price(blotter: Blotter) -> None:
    for side, stop_loss, price, take_profit, invalid in EXITS:
        for order_type in (order_pb2.ORDER_TYPE_LIMIT, STOP) if price else (MARKET,):
            request = order_request(
                side=order_pb2.Side.Value(f"SIDE_{side}"),
                order_type=order_type,
                price=price,
                stop_loss=stop_loss,
                take_profit=take_profit,
            )
            assert await violations(blotter, "SubmitOrder", request) == invalid, (
                side,
                stop_loss,
                price,
                take_profit,
            )


async def test_only_limit_and_stop_orders_have_a_price(blotter: Blotter) -> None:
    for order_type, price, invalid in (
        (MARKET, "1", ["price"]),
        (MARKET, "", []),
        (STOP, "", ["price"]),
        (STOP, "1", []),
    ):
        request = order_request(order_type=order_type, price=price)
        assert await violations(blotter, "SubmitOrder", request) == invalid, (order_type, price)


async def test_all_invalid_fields_are_named_at_once(blotter: Blotter) -> None:
    bad = order_service_pb2.SubmitOrderRequest(
        client_order_id="a b",
        quantity=-1,
        price="NaN",
        stop_loss="-1",
        take_profit="1e5",
        expire_time=at(-60),
    )
    fields = ["client_order_id", "symbol", "side", "order_type", "quantity", "price"]
    fields += ["stop_loss", "take_profit", "expire_time"]
    assert sorted(await violations(blotter, "SubmitOrder", bad)) == sorted(fields)

    batch = order_service_pb2.BatchSubmitOrdersRequest(orders=[order_request() for _ in range(3)])
    batch.orders.add().CopyFrom(order_request(client_order_id="", price="1.", validate_only=True))
    found = await violations(blotter, "BatchSubmitOrders", batch)
    assert sorted(found) == ["orders[3].client_order_id", "orders[3].price", "orders[3].validate_only"]

    report = reports_pb.ReportExecutionRequest(event_time=at(3600), fill=reports_pb.FillReport(commission="x"))
    found = await violations(blotter, "ReportExecution", report)
    fields = [
        "event_time",
        "trader_id",
        "order_id",
        "report_id",
        "venue",
        "fill.execution_id",
        "fill.quantity",
    ]
    assert sorted(found) == sorted([*fields, "fill.price", "fill.commission"])


async def test_the_first_invalid_field_is_in_the_message_and_the_others_are_counted(blotter: Blotter) -> None:
    error = await refused(ask(blotter, "SubmitOrder", order_request(symbol="", quantity=0)))
    assert str(error.details()).endswith("(and 1 more)")
    assert str(error.details()).startswith("symbol: must be ")
    assert reason_of(error) == "INVALID_REQUEST"


LISTS = [("ListOrders", "symbols", 100, "A"), ("WatchOrders", "symbols", 100, "A")]
LISTS += [
    (name, "order_ids", 1000, "1" * 8 + "-1111" * 3 + "-" + "1" * 12) for name in ("WatchOrders", "StreamExecutionLogs")
]


@pytest.mark.parametrize(("name", "field", "most", "value"), LISTS)
async def test_a_list_of_filters_is_bounded(blotter: Blotter, name: str, field: str, most: int, value: str) -> None:
    for count, invalid in ((most, []), (most + 1, [field])):
        assert await violations(blotter, name, METHODS[name].request(**{field: [value] * count})) == invalid


async def test_a_batch_has_1_to_1000_items(blotter: Blotter) -> None:
    fields = {"BatchSubmitOrders": "orders", "BatchReportExecutions": "reports"}
    fields |= {"BatchCancelOrders": "requests", "BatchReplaceOrders": "requests"}
    for name, field in fields.items():
        request = METHODS[name].request()
        for count in (0, 1001):
            for _ in range(count):
                getattr(request, field).add()
            assert await violations(blotter, name, request) == [field], count


@pytest.mark.parametrize(
    ("name", "span"),
    [
        ("ListOrders", "created"),
        ("ListOrders", "updated"),
        ("ListFills", "traded"),
        ("ListExecutionLogs", "happened"),
    ],
)
async def test_a_time_range_does_not_end_before_it_starts(blotter: Blotter, name: str, span: str) -> None:
    for start, end, invalid in (
        (at(0), at(-1), [span]),
        (LAST, LAST, []),
        (None, at(0), []),
        (at(0), None, []),
    ):
        range_ = order_pb2.TimeRange(start_time=start, end_time=end)
        assert await violations(blotter, name, METHODS[name].request(**{span: range_})) == invalid


async def test_a_missing_oneof_is_named(blotter: Blotter) -> None:
    order = await blotter.submit()
    for name, fields in (
        ("GetOrder", ["id"]),
        ("CancelOrder", ["id"]),
        ("ListRequests", ["id"]),
        ("ReplaceOrder", ["id", "terms"]),
        ("CancelAllAfter", ["timeout"]),
    ):
        assert await violations(blotter, name, METHODS[name].request()) == fields
    report = report_request(order)
    assert await violations(blotter, "ReportExecution", report) == ["report"]
    batch = reports_pb.BatchReportExecutionsRequest(reports=[report])
    assert await violations(blotter, "BatchReportExecutions", batch) == ["reports[0].report"]
    report.fill.SetInParent()
    report.ClearField("event_time")
    report.ClearField("venue")
    assert {"event_time", "venue"} <= set(await violations(blotter, "ReportExecution", report))


async def test_trader_id_of_a_listing_is_for_compliance(blotter: Blotter) -> None:
    request = METHODS["ListExecutionLogs"].request(trader_id=str(ALICE))
    assert await violations(blotter, "ListExecutionLogs", request) == ["trader_id"]
    assert await violations(blotter, "ListExecutionLogs", request, COMPLIANCE) == []
    request.trader_id = "alice"
    assert await violations(blotter, "ListExecutionLogs", request, COMPLIANCE) == ["trader_id"]


@pytest.mark.parametrize("name", ["WatchOrders", "StreamExecutionLogs"])
async def test_compliance_is_refused_an_invalid_duration_by_its_name(blotter: Blotter, name: str) -> None:
    """Requests of compliance are recorded as JSON, which cannot represent an invalid duration."""
    for interval in RULES[name]["heartbeat_interval"].invalid:
        request = METHODS[name].request(heartbeat_interval=interval)
        error = await refused(ask(blotter, name, request, COMPLIANCE))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, interval
        assert list(fields_of(error)) == ["heartbeat_interval"]
