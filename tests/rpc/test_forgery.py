"""Values with which a caller could impersonate another one or the service."""

import base64
import json
from uuid import uuid4

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from blotter.audit.v1 import inspection_pb2
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_service_pb2, watch_pb2
from service.domain.errors import IdentityMalformed
from service.interceptors.identity import _as_json, caller_from
from tests.conftest import ALICE
from tests.rpc.errors import fields_of, reason_of, refused
from tests.serving import EXECUTION, Blotter, as_trader, report_request

RESERVED = ["EXPIRED", "LATE_FILL", "EXPIRED ", " expired", "Expired", "\uff25\uff38\uff30\uff29\uff32\uff25\uff24"]
RESERVED += ["LATE\uff3fFILL", "late_\ufb01ll", "EXPIRED\ufe0f", "\u3164EXPIRED", "EXP\u034fIRED", "EXP\u200bIRED"]


@pytest.mark.parametrize("reason", RESERVED)
async def test_no_caller_uses_a_reserved_reason_in_any_spelling(blotter: Blotter, reason: str) -> None:
    order = await blotter.submit()
    cancel = order_service_pb2.CancelOrderRequest(order_id=order.order_id, reason=reason)
    assert list(fields_of(await refused(blotter.orders.CancelOrder(cancel, metadata=as_trader(ALICE))))) == ["reason"]
    for report in (
        {"cancelled": reports_pb.CancelledReport(reason=reason)},
        {"rejected": reports_pb.RejectedReport(reason=reason)},
        {"executed": reports_pb.ExecutedReport(reason=reason)},
    ):
        error = await refused(blotter.orders.ReportExecution(report_request(order, **report), metadata=EXECUTION))
        assert [field.endswith(".reason") for field in fields_of(error)] == [True]


@pytest.mark.parametrize("actor", ["blotter", "execution", "compliance", "Blotter", "COMPLIANCE"])
async def test_a_trader_does_not_act_as_the_blotter_or_as_another_kind(blotter: Blotter, actor: str) -> None:
    request = order_service_pb2.CancelAllOrdersRequest()
    error = await refused(blotter.orders.CancelAllOrders(request, metadata=(*as_trader(ALICE), ("x-actor", actor))))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAUTHENTICATED, "IDENTITY_MALFORMED")
    assert str(error.details()).startswith("x-actor ")


LOOKALIKES = ["bl\u043etter", "\uff42\uff4c\uff4f\uff54\uff54\uff45\uff52", "blotter\u200b", "\u202eblotter"]


@pytest.mark.parametrize("actor", [*LOOKALIKES, "na\u00efve", "a\nb", "\x7f", " ada", "ada "])
def test_an_actor_is_printable_ascii(actor: str) -> None:
    """Calls the function directly: this client library refuses to send most of these; others send them."""
    with pytest.raises(IdentityMalformed, match=r"^x-actor "):
        caller_from([("x-trader-id", str(ALICE)), ("x-actor", actor)], "ask-1", None)


async def test_a_caller_may_name_its_own_kind(blotter: Blotter) -> None:
    request = order_service_pb2.CancelAllOrdersRequest()
    await blotter.orders.CancelAllOrders(request, metadata=(*as_trader(ALICE), ("x-actor", "trader")))


@pytest.mark.parametrize("venue", ["NASDAQ ", " NASDAQ", " ", "NASDAQ\ufe0f", "\u3164NASDAQ"])
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


def test_any_request_of_compliance_can_be_recorded() -> None:
    """Validation refuses these before they are recorded; the record must not depend on that."""
    for request in (
        watch_pb2.WatchOrdersRequest(heartbeat_interval=Duration(seconds=2, nanos=-1)),
        watch_pb2.WatchOrdersRequest(heartbeat_interval=Duration(seconds=2**63 - 1)),
        inspection_pb2.GetOrderAsOfRequest(time=Timestamp(seconds=-(2**63), nanos=2**31 - 1)),
    ):
        [recorded] = json.loads(_as_json(request)).items()
        assert recorded == ("malformed", base64.b64encode(request.SerializeToString()).decode())
