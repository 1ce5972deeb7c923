"""Every method of the contract: the client can send each field of the request, and returns the response."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from blotter.audit.v1 import audit_service_pb2 as audit_pb
from blotter.audit.v1 import execution_log_pb2, inspection_pb2, ledger_pb2
from blotter.orders.v1 import cancel_timer_pb2, order_pb2, request_pb2, terms_pb2, watch_pb2
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_service_pb2 as orders_pb
from blotter_client import (
    Action,
    Client,
    ExportFormat,
    OrderStatus,
    OrderType,
    SecurityIdSource,
    ShortSale,
    Side,
    SortOrder,
    TimeInForce,
    approved,
    new_cancel,
    new_order,
    new_replace,
)
from tests.client.faces import Face
from tests.client.scripted import Script, answers, complete, events, logs, sends
from tests.conftest import ALICE

ID = "01234567-0000-4000-8000-000000000000"
FROM, BEFORE = datetime(2012, 6, 21, 12, tzinfo=UTC), datetime(2012, 6, 22, 12, tzinfo=UTC)
NOON = Timestamp(seconds=1340280000)
RANGE = order_pb2.TimeRange(start_time=NOON, end_time=Timestamp(seconds=1340366400))


@dataclass(frozen=True)
class Example:
    """A call of the client, the expected request, the server's response, and the expected result."""

    method: str
    call: Callable[[Client], Any]
    request: Message
    response: Message
    result: Any
    caller: str = "trader"


ORDER = order_pb2.Order(quantity=7)
NEW = new_order("AAPL", Side.BUY, OrderType.MARKET, 1, client_order_id="mine")
CANCEL = new_cancel(ID, request_key="key")
REPLACE = new_replace(ID, request_key="key", quantity=7)
CANCELLED = orders_pb.CancelOrderResponse(order=ORDER, replayed=True)
REPLACED = request_pb2.ReplaceOrderResponse(order=ORDER, replayed=True)
REQUEST = request_pb2.Request(request_key="key", request_sequence=9)
TIMER = cancel_timer_pb2.CancelTimer(timeout=Duration(seconds=30), fire_time=NOON)
LABELS = {"desk": "cash", "strategy": "vwap"}
REPORT = approved(ALICE, ID, report_id="R", venue="V", event_time=FROM)
SUBMITTED = orders_pb.SubmitOrderResponse(order=ORDER, replayed=True)
REPORTED = reports_pb.ReportExecutionResponse(order=ORDER, replayed=True)
LOG = execution_log_pb2.ExecutionLog(sequence=9)
AS_OF = inspection_pb2.GetOrderAsOfResponse(last_log=LOG)
INCLUSION = ledger_pb2.GetInclusionProofResponse(position=3, tree_size=9)
CONSISTENCY = ledger_pb2.GetConsistencyProofResponse(old_tree_size=3, new_tree_size=9)
CHECKPOINT = ledger_pb2.Checkpoint(tree_size=9)
PROGRESS = inspection_pb2.ReconcileOrdersResponse(progress=inspection_pb2.ReconcileOrdersResponse().progress)
PIECE = ledger_pb2.ExportExecutionLogsResponse(data=b"leaf", exported_count=1)
ACCESS = inspection_pb2.AuditAccess(actor="auditor")

EXAMPLES = [
    Example(
        "SubmitOrder",
        lambda client: client.submit_order(
            "AAPL",
            Side.SELL,
            OrderType.STOP_LIMIT,
            7,
            Decimal(585),
            stop_price=Decimal(586),
            stop_loss=Decimal(600),
            take_profit=Decimal(500),
            time_in_force=TimeInForce.GTD,
            expire_time=FROM,
            account="A-1",
            labels=LABELS,
            parent_order_id="parent",
            currency="USD",
            security_id="US0378331005",
            security_id_source=SecurityIdSource.ISIN,
            short_sale=ShortSale.SELL_SHORT,
            exempt_from_cancel_timer=True,
            client_order_id="mine",
            validate_only=True,
        ),
        orders_pb.SubmitOrderRequest(
            client_order_id="mine",
            symbol="AAPL",
            side=order_pb2.SIDE_SELL,
            order_type=order_pb2.ORDER_TYPE_STOP_LIMIT,
            quantity=7,
            price="585",
            stop_price="586",
            stop_loss="600",
            take_profit="500",
            time_in_force=terms_pb2.TIME_IN_FORCE_GTD,
            expire_time=NOON,
            account="A-1",
            labels=LABELS,
            parent_order_id="parent",
            currency="USD",
            security_id="US0378331005",
            security_id_source=order_pb2.SECURITY_ID_SOURCE_ISIN,
            short_sale=order_pb2.SHORT_SALE_SELL_SHORT,
            exempt_from_cancel_timer=True,
            validate_only=True,
        ),
        SUBMITTED,
        SUBMITTED,
    ),
    Example(
        "BatchSubmitOrders",
        lambda client: client.batch_submit_orders([NEW]),
        orders_pb.BatchSubmitOrdersRequest(orders=[NEW]),
        orders_pb.BatchSubmitOrdersResponse(results=[{"response": SUBMITTED}]),  # type: ignore[list-item]  # a dict is accepted
        [SUBMITTED],
    ),
    Example(
        "GetOrder",
        lambda client: client.get_order(ID),
        orders_pb.GetOrderRequest(order_id=ID),
        orders_pb.GetOrderResponse(order=ORDER),
        ORDER,
    ),
    Example(
        "GetOrder",
        lambda client: client.get_order(client_order_id="mine"),
        orders_pb.GetOrderRequest(client_order_id="mine"),
        orders_pb.GetOrderResponse(order=ORDER),
        ORDER,
    ),
    Example(
        "ListOrders",
        lambda client: list(
            client.list_orders(
                statuses=[OrderStatus.FILLED],
                symbols=["AAPL"],
                accounts=["A-1"],
                labels=LABELS,
                parent_order_ids=["parent"],
                security_ids=["US0378331005"],
                currencies=["USD"],
                short_sales=[ShortSale.SELL_SHORT],
                created_from=FROM,
                created_before=BEFORE,
                updated_from=FROM,
                updated_before=BEFORE,
                page_size=3,
            )
        ),
        orders_pb.ListOrdersRequest(
            statuses=[order_pb2.ORDER_STATUS_FILLED],
            symbols=["AAPL"],
            accounts=["A-1"],
            labels=LABELS,
            parent_order_ids=["parent"],
            security_ids=["US0378331005"],
            currencies=["USD"],
            short_sales=[order_pb2.SHORT_SALE_SELL_SHORT],
            created=RANGE,
            updated=RANGE,
            page_size=3,
        ),
        orders_pb.ListOrdersResponse(orders=[ORDER]),
        [ORDER],
    ),
    Example(
        "ListFills",
        lambda client: list(client.list_fills(ID, traded_from=FROM, traded_before=BEFORE, page_size=3)),
        orders_pb.ListFillsRequest(order_id=ID, traded=RANGE, page_size=3),
        orders_pb.ListFillsResponse(fills=[order_pb2.Fill(quantity=5)]),
        [order_pb2.Fill(quantity=5)],
    ),
    Example(
        "ListFills",
        lambda client: list(
            client.list_fills(
                client_order_id="mine",
                accounts=["A-1"],
                labels=LABELS,
                parent_order_ids=["parent"],
                security_ids=["US0378331005"],
                currencies=["USD"],
                short_sales=[ShortSale.SELL_SHORT],
            )
        ),
        orders_pb.ListFillsRequest(
            client_order_id="mine",
            accounts=["A-1"],
            labels=LABELS,
            parent_order_ids=["parent"],
            security_ids=["US0378331005"],
            currencies=["USD"],
            short_sales=[order_pb2.SHORT_SALE_SELL_SHORT],
            page_size=500,
        ),
        orders_pb.ListFillsResponse(),
        [],
    ),
    Example(
        "ListRequests",
        lambda client: list(client.list_requests(ID, page_size=3)),
        request_pb2.ListRequestsRequest(order_id=ID, page_size=3),
        request_pb2.ListRequestsResponse(requests=[REQUEST]),
        [REQUEST],
    ),
    Example(
        "ListRequests",
        lambda client: list(client.list_requests(client_order_id="mine")),
        request_pb2.ListRequestsRequest(client_order_id="mine", page_size=500),
        request_pb2.ListRequestsResponse(),
        [],
    ),
    Example(
        "CancelOrder",
        lambda client: client.cancel_order(ID, request_key="key", reason="flat"),
        orders_pb.CancelOrderRequest(order_id=ID, request_key="key", reason="flat"),
        CANCELLED,
        CANCELLED,
    ),
    Example(
        "CancelOrder",
        lambda client: client.cancel_order(client_order_id="mine", request_key="key"),
        orders_pb.CancelOrderRequest(client_order_id="mine", request_key="key"),
        orders_pb.CancelOrderResponse(),
        orders_pb.CancelOrderResponse(),
    ),
    Example(
        "BatchCancelOrders",
        lambda client: client.batch_cancel_orders([CANCEL]),
        orders_pb.BatchCancelOrdersRequest(requests=[CANCEL]),
        orders_pb.BatchCancelOrdersResponse(results=[{"response": CANCELLED}]),  # type: ignore[list-item]  # a dict is accepted
        [CANCELLED],
    ),
    Example(
        "ReplaceOrder",
        lambda client: client.replace_order(
            ID,
            quantity=7,
            price=Decimal("585.330"),
            stop_price=Decimal(586),
            stop_loss=Decimal(600),
            take_profit=Decimal(500),
            time_in_force=TimeInForce.GTD,
            expire_time=FROM,
            expected_last_sequence=9,
            request_key="key",
            reason="better",
        ),
        request_pb2.ReplaceOrderRequest(
            order_id=ID,
            request_key="key",
            terms=terms_pb2.OrderTerms(
                quantity=7,
                price="585.33",
                stop_price="586",
                stop_loss="600",
                take_profit="500",
                time_in_force=terms_pb2.TIME_IN_FORCE_GTD,
                expire_time=NOON,
            ),
            update_mask=FieldMask(
                paths=[
                    "quantity",
                    "price",
                    "stop_price",
                    "stop_loss",
                    "take_profit",
                    "time_in_force",
                    "expire_time",
                ]
            ),
            expected_last_sequence=9,
            reason="better",
        ),
        REPLACED,
        REPLACED,
    ),
    Example(
        "ReplaceOrder",
        lambda client: client.replace_order(
            client_order_id="mine", stop_loss=None, time_in_force=None, expire_time=None, request_key="key"
        ),
        request_pb2.ReplaceOrderRequest(
            client_order_id="mine",
            request_key="key",
            terms=terms_pb2.OrderTerms(),
            update_mask=FieldMask(paths=["stop_loss", "time_in_force", "expire_time"]),
        ),
        request_pb2.ReplaceOrderResponse(),
        request_pb2.ReplaceOrderResponse(),
    ),
    Example(
        "BatchReplaceOrders",
        lambda client: client.batch_replace_orders([REPLACE]),
        request_pb2.BatchReplaceOrdersRequest(requests=[REPLACE]),
        request_pb2.BatchReplaceOrdersResponse(results=[{"response": REPLACED}]),  # type: ignore[list-item]  # a dict is accepted
        [REPLACED],
    ),
    Example(
        "CancelAllAfter",
        lambda client: client.cancel_all_after(30),
        cancel_timer_pb2.CancelAllAfterRequest(timeout=Duration(seconds=30)),
        cancel_timer_pb2.CancelAllAfterResponse(cancel_timer=TIMER),
        TIMER,
    ),
    Example(
        "CancelAllAfter",
        lambda client: client.cancel_all_after(0),
        cancel_timer_pb2.CancelAllAfterRequest(timeout=Duration()),
        cancel_timer_pb2.CancelAllAfterResponse(),
        None,
    ),
    Example(
        "GetCancelTimer",
        lambda client: client.get_cancel_timer(),
        cancel_timer_pb2.GetCancelTimerRequest(),
        cancel_timer_pb2.GetCancelTimerResponse(cancel_timer=TIMER),
        TIMER,
    ),
    Example(
        "GetCancelTimer",
        lambda client: client.get_cancel_timer(),
        cancel_timer_pb2.GetCancelTimerRequest(),
        cancel_timer_pb2.GetCancelTimerResponse(),
        None,
    ),
    Example(
        "CancelAllOrders",
        lambda client: client.cancel_all_orders(symbol="AAPL", reason="flat"),
        orders_pb.CancelAllOrdersRequest(symbol="AAPL", reason="flat"),
        orders_pb.CancelAllOrdersResponse(cancelled_count=1, order_ids=[ID]),
        orders_pb.CancelAllOrdersResponse(cancelled_count=1, order_ids=[ID]),
    ),
    Example(
        "WatchOrders",
        lambda client: first(
            client.watch_orders(
                order_ids=[ID],
                symbols=["AAPL"],
                statuses=[OrderStatus.FILLED],
                accounts=["A-1"],
                labels=LABELS,
                parent_order_ids=["parent"],
                security_ids=["US0378331005"],
                currencies=["USD"],
                short_sales=[ShortSale.SELL_SHORT],
                trader_ids=[ALICE],
                resume_token="after-6",
                heartbeat_interval=2.5,
            )
        ),
        watch_pb2.WatchOrdersRequest(
            order_ids=[ID],
            symbols=["AAPL"],
            statuses=[order_pb2.ORDER_STATUS_FILLED],
            accounts=["A-1"],
            labels=LABELS,
            parent_order_ids=["parent"],
            security_ids=["US0378331005"],
            currencies=["USD"],
            short_sales=[order_pb2.SHORT_SALE_SELL_SHORT],
            trader_ids=[str(ALICE)],
            resume_token="after-6",
            heartbeat_interval=Duration(seconds=2, nanos=500_000_000),
        ),
        events(7),
        [events(7)],
        "compliance",
    ),
    Example(
        "WatchOrders",
        lambda client: first(client.watch_orders()),
        watch_pb2.WatchOrdersRequest(),
        complete(7),
        [complete(7)],
    ),
    Example(
        "ReportExecution",
        lambda client: client.report_execution(REPORT),
        REPORT,
        REPORTED,
        REPORTED,
        "execution",
    ),
    Example(
        "BatchReportExecutions",
        lambda client: client.batch_report_executions([REPORT]),
        reports_pb.BatchReportExecutionsRequest(reports=[REPORT]),
        reports_pb.BatchReportExecutionsResponse(results=[{"response": REPORTED}]),  # type: ignore[list-item]  # a dict is accepted
        [REPORTED],
        "execution",
    ),
    Example(
        "ListExecutionLogs",
        lambda client: list(
            client.list_execution_logs(
                trader_id=ALICE,
                order_id=ID,
                actions=[Action.FILLED],
                accounts=["A-1"],
                labels=LABELS,
                parent_order_ids=["parent"],
                security_ids=["US0378331005"],
                currencies=["USD"],
                short_sales=[ShortSale.SELL_SHORT],
                happened_from=FROM,
                happened_before=BEFORE,
                sort_order=SortOrder.NEWEST_FIRST,
                page_size=3,
            )
        ),
        audit_pb.ListExecutionLogsRequest(
            trader_id=str(ALICE),
            order_id=ID,
            actions=[order_pb2.ACTION_FILLED],
            accounts=["A-1"],
            labels=LABELS,
            parent_order_ids=["parent"],
            security_ids=["US0378331005"],
            currencies=["USD"],
            short_sales=[order_pb2.SHORT_SALE_SELL_SHORT],
            happened=RANGE,
            sort_order=audit_pb.SORT_ORDER_NEWEST_FIRST,
            page_size=3,
        ),
        audit_pb.ListExecutionLogsResponse(execution_logs=[LOG]),
        [LOG],
        "compliance",
    ),
    Example(
        "StreamExecutionLogs",
        lambda client: first(
            client.stream_execution_logs(
                follow=True,
                order_ids=[ID],
                actions=[Action.FILLED],
                accounts=["A-1"],
                labels=LABELS,
                parent_order_ids=["parent"],
                security_ids=["US0378331005"],
                currencies=["USD"],
                short_sales=[ShortSale.SELL_SHORT],
                trader_ids=[ALICE],
                resume_token="after-6",
                heartbeat_interval=2,
            )
        ),
        audit_pb.StreamExecutionLogsRequest(
            follow=True,
            order_ids=[ID],
            actions=[order_pb2.ACTION_FILLED],
            accounts=["A-1"],
            labels=LABELS,
            parent_order_ids=["parent"],
            security_ids=["US0378331005"],
            currencies=["USD"],
            short_sales=[order_pb2.SHORT_SALE_SELL_SHORT],
            trader_ids=[str(ALICE)],
            resume_token="after-6",
            heartbeat_interval=Duration(seconds=2),
        ),
        logs(7),
        [logs(7)],
        "compliance",
    ),
    Example(
        "GetOrderAsOf",
        lambda client: client.get_order_as_of(ID, time=FROM),
        inspection_pb2.GetOrderAsOfRequest(order_id=ID, time=NOON),
        AS_OF,
        AS_OF,
        "compliance",
    ),
    Example(
        "GetOrderAsOf",
        lambda client: client.get_order_as_of(ID, position=0),
        inspection_pb2.GetOrderAsOfRequest(order_id=ID, position=0),
        AS_OF,
        AS_OF,
        "compliance",
    ),
    Example(
        "ReconcileOrders",
        lambda client: list(client.reconcile_orders(trader_id=ALICE, recorded_from=FROM, recorded_before=BEFORE)),
        inspection_pb2.ReconcileOrdersRequest(trader_id=str(ALICE), recorded=RANGE),
        PROGRESS,
        [PROGRESS],
        "compliance",
    ),
    Example(
        "GetCheckpoint",
        lambda client: client.get_checkpoint(9),
        ledger_pb2.GetCheckpointRequest(tree_size=9),
        ledger_pb2.GetCheckpointResponse(checkpoint=CHECKPOINT),
        CHECKPOINT,
        "compliance",
    ),
    Example(
        "GetInclusionProof",
        lambda client: client.get_inclusion_proof(ID, tree_size=9),
        ledger_pb2.GetInclusionProofRequest(log_id=ID, tree_size=9),
        INCLUSION,
        INCLUSION,
        "compliance",
    ),
    Example(
        "GetInclusionProof",
        lambda client: client.get_inclusion_proof(position=0),
        ledger_pb2.GetInclusionProofRequest(position=0),
        INCLUSION,
        INCLUSION,
        "compliance",
    ),
    Example(
        "GetConsistencyProof",
        lambda client: client.get_consistency_proof(3, 9),
        ledger_pb2.GetConsistencyProofRequest(old_tree_size=3, new_tree_size=9),
        CONSISTENCY,
        CONSISTENCY,
        "compliance",
    ),
    Example(
        "ExportExecutionLogs",
        lambda client: list(client.export_execution_logs(from_position=1, to_position=2, format_=ExportFormat.CAT_CSV)),
        ledger_pb2.ExportExecutionLogsRequest(from_position=1, to_position=2, format=ledger_pb2.EXPORT_FORMAT_CAT_CSV),
        PIECE,
        [PIECE],
        "compliance",
    ),
    Example(
        "ListAuditAccess",
        lambda client: list(
            client.list_audit_access(accessed_from=FROM, accessed_before=BEFORE, actor="auditor", page_size=3)
        ),
        inspection_pb2.ListAuditAccessRequest(accessed=RANGE, actor="auditor", page_size=3),
        inspection_pb2.ListAuditAccessResponse(accesses=[ACCESS]),
        [ACCESS],
        "compliance",
    ),
]
CONTRACT = {
    method.name: method
    for module in (orders_pb, audit_pb)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
WRITTEN_BY_THE_CLIENT = {"page_token"}


def first(stream: Any) -> list[Any]:
    """The first message of a stream, which then ends."""
    with stream:
        return list(islice(stream, 1))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.method)
def test_a_call_sends_its_request_and_returns_the_answer(
    example: Example, face: Face, channel: grpc.Channel, script: Script
) -> None:
    identity = {"trader_id": ALICE} if example.caller == "trader" else {"role": example.caller}
    client = face.client(channel, **identity)
    streaming = CONTRACT[example.method].server_streaming
    script.plays = [(sends if streaming else answers)(example.response)]
    assert example.call(client) == example.result
    assert script.methods == [example.method]
    assert script.requests == [example.request]


@pytest.mark.parametrize("method", CONTRACT)
def test_the_examples_set_every_field_of_the_contract(method: str) -> None:
    requests = [example.request for example in EXAMPLES if example.method == method]
    sent = {field.name for request in requests for field, _ in request.ListFields()}
    if method == "ReportExecution":  # each kind of report: test_reports
        sent |= {field.name for field in reports_pb.ReportExecutionRequest.DESCRIPTOR.oneofs_by_name["report"].fields}
        sent |= {"trade_date", "request_key"}
    assert sent | WRITTEN_BY_THE_CLIENT >= {field.name for field in CONTRACT[method].input_type.fields}


def test_the_examples_replace_every_term() -> None:
    [mask] = [
        example.request.update_mask.paths
        for example in EXAMPLES
        if isinstance(example.request, request_pb2.ReplaceOrderRequest) and example.request.expected_last_sequence
    ]
    assert set(mask) == {field.name for field in terms_pb2.OrderTerms.DESCRIPTOR.fields}
