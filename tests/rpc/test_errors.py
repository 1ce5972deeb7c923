"""The status of a failed call: the table of errors, and a fixed message for an unexpected exception."""

import logging
from datetime import timedelta
from typing import Any, TypeVar

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc import aio

from blotter.orders.v1 import order_service_pb2
from service.domain import errors
from service.domain.errors import BlotterError, FieldViolation
from service.repositories.inspection import Inspection
from service.repositories.order_reads import OrderReads
from service.repositories.orders import Orders
from service.repositories.proofs import Ledger
from service.status import INTERNAL, TABLE, status_of
from tests.conftest import ALICE
from tests.rpc.errors import info_of, reason_of, refused
from tests.rpc.methods import METHODS, ask, valid_requests
from tests.rpc.written import written
from tests.serving import Blotter, as_trader, order_request

FOR_EXAMPLE: dict[type[BlotterError], BlotterError] = {
    errors.InvalidRequest: errors.InvalidRequest(FieldViolation("price", "must be above 0")),
    errors.IdentityMalformed: errors.IdentityMalformed("x-trader-id must be a UUID."),
    errors.TokenInvalid: errors.TokenInvalid("its signature does not verify"),
    errors.UnknownPrincipal: errors.UnknownPrincipal("eve"),
    errors.WrongRole: errors.WrongRole("execution", "trader"),
    errors.RateLimited: errors.RateLimited(timedelta(milliseconds=350)),
    errors.TooManyStreams: errors.TooManyStreams(100),
}
Detail = TypeVar("Detail", bound=Message)
CODES = {
    "INVALID_ARGUMENT": "INVALID_REQUEST MALFORMED_REQUEST INVALID_PAGE_TOKEN INVALID_RESUME_TOKEN",
    "OUT_OF_RANGE": "RESUME_TOKEN_OUT_OF_RANGE TREE_SIZE_OUT_OF_RANGE POSITION_OUT_OF_RANGE",
    "UNAUTHENTICATED": "IDENTITY_MISSING IDENTITY_MALFORMED TOKEN_INVALID TOKEN_EXPIRED CERTIFICATE_EXPIRED "
    "CERTIFICATE_REVOKED",
    "PERMISSION_DENIED": "UNKNOWN_TRADER TRADER_DISABLED WRONG_ROLE UNKNOWN_PRINCIPAL PRINCIPAL_DISABLED UNKNOWN_DESK",
    "NOT_FOUND": "ORDER_NOT_FOUND LOG_NOT_FOUND CHECKPOINT_NOT_FOUND FILL_NOT_FOUND",
    "ALREADY_EXISTS": "CLIENT_ORDER_ID_REUSED REPORT_ID_REUSED EXECUTION_ID_REUSED REQUEST_KEY_REUSED",
    "FAILED_PRECONDITION": "ORDER_CLOSED OVERFILL REQUEST_PENDING REQUEST_NOT_PENDING",
    "RESOURCE_EXHAUSTED": "SLOW_CONSUMER RATE_LIMITED TOO_MANY_STREAMS",
    "UNAVAILABLE": "LOG_NOT_YET_IN_LEDGER DRAINING DATABASE_UNAVAILABLE DATABASE_BUSY IDENTITY_UNAVAILABLE",
    "DATA_LOSS": "LEDGER_DAMAGED",
    "ABORTED": "ABORTED ORDER_CHANGED",
    "DEADLINE_EXCEEDED": "DEADLINE_EXCEEDED STATEMENT_TIMEOUT",
}
"""The reasons of each code, on which programs depend. A copy: the tests check the service's table against it."""

RETRY_SECONDS = {
    "LOG_NOT_YET_IN_LEDGER": 0.5,
    "DRAINING": 1.0,
    "DATABASE_UNAVAILABLE": 1.0,
    "DATABASE_BUSY": 0.2,
    "IDENTITY_UNAVAILABLE": 1.0,
    "ABORTED": 0.1,
    "RATE_LIMITED": 0.35,
    "TOO_MANY_STREAMS": 5.0,
}


def all_errors(kind: type[BlotterError] = BlotterError) -> set[type[BlotterError]]:
    """Every error of the domain."""
    return set(kind.__subclasses__()).union(*map(all_errors, kind.__subclasses__()))


def detail(status: status_pb2.Status, kind: type[Detail]) -> Detail | None:
    """The detail of the kind; None when there is none."""
    found = [message for detail in status.details if detail.Unpack(message := kind())]
    assert len(found) <= 1, "each kind of detail occurs at most once"
    return found[0] if found else None


def test_every_error_of_the_domain_is_in_the_table_and_nothing_else() -> None:
    assert set(TABLE) == all_errors()
    reasons = [kind.reason for kind in TABLE]
    assert sorted(reasons) == sorted(" ".join(CODES.values()).split())


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)
def test_each_error_has_its_code_reason_and_message(kind: type[BlotterError]) -> None:
    error = FOR_EXAMPLE.get(kind) or kind()
    status = status_of(error, "ask-1")
    assert kind.reason in CODES[code_pb2.Code.Name(status.code)].split()
    assert status.message == str(error)
    assert status.message.strip()
    info = detail(status, error_details_pb2.ErrorInfo)
    assert info is not None
    assert (info.domain, info.reason) == ("blotter", kind.reason)
    assert info.metadata["request_id"] == "ask-1"
    retry = detail(status, error_details_pb2.RetryInfo)
    seconds = None if retry is None else retry.retry_delay.ToTimedelta().total_seconds()
    assert seconds == RETRY_SECONDS.get(kind.reason)
    assert (detail(status, error_details_pb2.BadRequest) is not None) == issubclass(kind, errors.InvalidRequest)


SECRET = "password=hunter2 of table orders"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repositories whose methods raise an unexpected exception."""

    async def fail(*arguments: Any, **named: Any) -> Any:
        raise ZeroDivisionError(SECRET)

    for name in ("submit", "cancel", "replace", "cancel_all", "set_timer", "report"):
        monkeypatch.setattr(Orders, name, fail)
    for name in ("get", "page", "page_of_requests", "page_of_fills", "timer"):
        monkeypatch.setattr(OrderReads, name, fail)
    for name in ("checkpoint", "inclusion", "consistency", "range"):
        monkeypatch.setattr(Ledger, name, fail)
    for name in ("as_of", "accesses"):
        monkeypatch.setattr(Inspection, name, fail)


@pytest.mark.usefixtures("broken")
async def test_an_unexpected_exception_is_a_fixed_message_for_the_client_and_logged_in_full(
    blotter: Blotter, caplog: pytest.LogCaptureFixture
) -> None:
    for name in METHODS:
        if name in {"WatchOrders", "ListExecutionLogs", "StreamExecutionLogs", "ReconcileOrders"}:
            continue
        caplog.clear()
        with caplog.at_level(logging.ERROR):
            error = await refused(ask(blotter, name, valid_requests(any_order())[name]))
        assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, INTERNAL), name
        assert reason_of(error) == "INTERNAL"
        sent = f"{error!r}{error.trailing_metadata()}{error.initial_metadata()}"
        assert not any(word in sent for word in ("hunter2", "ZeroDivision", "orders.py", "Traceback"))
        [record] = caplog.records
        assert record.name == "blotter.errors"
        assert record.request_id == info_of(error).metadata["request_id"]  # type: ignore[attr-defined]  # an extra
        assert SECRET in caplog.text
        assert "ZeroDivisionError" in caplog.text


async def test_a_stream_that_fails_sends_no_more_than_the_fixed_message(
    blotter: Blotter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> Any:
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr("service.streams.follow.timestamp", fail)
    error = await refused(ask(blotter, "StreamExecutionLogs", METHODS["StreamExecutionLogs"].request()))
    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, INTERNAL)


def any_order() -> Any:
    """An order that does not exist."""
    return order_service_pb2.GetOrderResponse().order.__class__(trader_id=str(ALICE), order_id=str(ALICE))


async def test_a_request_that_is_too_large_is_refused_and_the_next_is_served(blotter: Blotter) -> None:
    request = order_service_pb2.CancelAllOrdersRequest(reason="x" * (4 * 1024 * 1024))
    error = await refused(blotter.orders.CancelAllOrders(request, metadata=as_trader(ALICE)))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert written(blotter) == (0, 0, 0, None)
    assert (await blotter.submit()).last_sequence == 1


async def test_the_largest_batch_of_the_longest_orders_is_served(blotter: Blotter) -> None:
    longest = {"price": "9999999999.99999999", "stop_loss": "9999999998.99999999", "symbol": "S" * 22}
    orders = [order_request(client_order_id=f"{n:064}", quantity=2**31 - 1, **longest) for n in range(1000)]
    batch = order_service_pb2.BatchSubmitOrdersRequest(orders=orders)
    response = await blotter.orders.BatchSubmitOrders(batch, metadata=as_trader(ALICE))
    assert [result.response.order.last_sequence for result in response.results] == list(range(1, 1001))
    page = order_service_pb2.ListOrdersRequest(page_size=500)
    assert len((await blotter.orders.ListOrders(page, metadata=as_trader(ALICE))).orders) == 500


@pytest.mark.parametrize(
    "method", ["/blotter.orders.v1.OrderService/Amend", "/blotter.orders.v2.OrderService/GetOrder", "/nothing/Here"]
)
async def test_an_unknown_method_is_unimplemented(blotter: Blotter, method: str) -> None:
    call: Any = blotter.channel.unary_unary(method, None, None)
    error: aio.AioRpcError = await refused(call(b"", metadata=as_trader(ALICE)))
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("seconds", [1e6, 4e6, 1e9])
async def test_a_deadline_may_be_weeks_away(blotter: Blotter, seconds: float) -> None:
    call = blotter.orders.SubmitOrder(order_request(), metadata=as_trader(ALICE), timeout=seconds)
    assert (await call).order.last_sequence == 1
