"""What a caller might pass off as something else."""

from uuid import uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_service_pb2
from tests.conftest import ALICE
from tests.rpc.errors import fields_of, reason_of, refused
from tests.serving import EXECUTION, Blotter, as_trader, report_request


@pytest.mark.parametrize("reason", ["EXPIRED", "LATE_FILL"])
async def test_no_caller_uses_the_blotters_own_words_as_a_reason(blotter: Blotter, reason: str) -> None:
    order = await blotter.submit()
    cancel = order_service_pb2.CancelOrderRequest(order_id=order.order_id, reason=reason)
    assert "reason" in fields_of(await refused(blotter.orders.CancelOrder(cancel, metadata=as_trader(ALICE))))
    for report in (
        {"cancelled": reports_pb.CancelledReport(reason=reason)},
        {"rejected": reports_pb.RejectedReport(reason=reason)},
        {"executed": reports_pb.ExecutedReport(reason=reason)},
    ):
        error = await refused(blotter.orders.ReportExecution(report_request(order, **report), metadata=EXECUTION))
        assert [field.endswith(".reason") for field in fields_of(error)] == [True]


@pytest.mark.parametrize("actor", ["blotter", "execution", "compliance", "Blotter", " blotter "])
async def test_a_trader_does_not_act_as_the_blotter_or_as_another_kind(blotter: Blotter, actor: str) -> None:
    request = order_service_pb2.CancelAllOrdersRequest()
    error = await refused(blotter.orders.CancelAllOrders(request, metadata=(*as_trader(ALICE), ("x-actor", actor))))
    assert "metadata.x-actor" in fields_of(error)


async def test_a_caller_may_name_his_own_kind(blotter: Blotter) -> None:
    request = order_service_pb2.CancelAllOrdersRequest()
    await blotter.orders.CancelAllOrders(request, metadata=(*as_trader(ALICE), ("x-actor", "trader")))


@pytest.mark.parametrize("venue", ["NASDAQ ", " NASDAQ", " "])
async def test_a_venue_is_spelled_in_one_way(blotter: Blotter, venue: str) -> None:
    order = await blotter.submit()
    fill = reports_pb.FillReport(execution_id="e", quantity=1, price="1")
    request = report_request(order, venue=venue, fill=fill)
    assert "venue" in fields_of(await refused(blotter.orders.ReportExecution(request, metadata=EXECUTION)))


@pytest.mark.parametrize("change", ["commission", "event_time"])
async def test_the_same_fill_with_another_commission_or_time_is_no_repeat(blotter: Blotter, change: str) -> None:
    order = await blotter.submit()
    fill = reports_pb.FillReport(execution_id="e", quantity=1, price="1", commission="0.1")
    request = report_request(order, fill=fill)
    await blotter.orders.ReportExecution(request, metadata=EXECUTION)
    request.report_id = uuid4().hex
    assert (await blotter.orders.ReportExecution(request, metadata=EXECUTION)).replayed
    if change == "commission":
        request.fill.commission = "99"
    else:
        request.event_time.CopyFrom(Timestamp(seconds=1_340_285_401))
    error = await refused(blotter.orders.ReportExecution(request, metadata=EXECUTION))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.ALREADY_EXISTS, "EXECUTION_ID_REUSED")
