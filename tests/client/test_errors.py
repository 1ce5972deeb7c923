"""Errors that the client raises, and the calls that it retries."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from datetime import timedelta

import grpc
import pytest
from google.rpc import error_details_pb2

from blotter.audit.v1 import audit_service_pb2
from blotter.orders.v1 import execution_report_pb2, order_service_pb2, request_pb2
from blotter_client import SERVICE_CONFIG, BlotterError, Client, OrderType, Side, approved
from tests.client.faces import Face
from tests.client.scripted import Script, answers, refuses, retry_after
from tests.conftest import ALICE

UNAVAILABLE = refuses("DATABASE_BUSY", grpc.StatusCode.UNAVAILABLE)
FINAL = [code for code in grpc.StatusCode if code.name not in {"OK", "UNAVAILABLE", "CANCELLED"}]


def test_an_error_carries_all_details_that_the_service_sent(client: Client, script: Script) -> None:
    violations = error_details_pb2.BadRequest(
        field_violations=[
            {"field": "quantity", "description": "must be 1 to 2147483647"},
            {"field": "price", "description": "is required"},
            {"field": "price", "description": "must be above 0"},
        ]
    )
    script.plays = [
        refuses("INVALID_REQUEST", grpc.StatusCode.INVALID_ARGUMENT, details=(violations, retry_after(2)), hint="none")
    ]
    with pytest.raises(BlotterError) as raised:
        client.get_order(client_order_id="x")
    error = raised.value
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert error.fields == {"quantity": "must be 1 to 2147483647", "price": "is required; must be above 0"}
    assert error.metadata == {"hint": "none"}
    assert error.retry_after == timedelta(seconds=2)
    assert error.request_id == script.metadata[0]["x-request-id"]
    assert str(error) == "INVALID_REQUEST: Because of INVALID_REQUEST."


def test_an_error_of_a_proxy_keeps_only_its_code(client: Client, script: Script) -> None:
    script.plays = [refuses("RATE_LIMITED", grpc.StatusCode.RESOURCE_EXHAUSTED, domain="mesh.example")]
    with pytest.raises(BlotterError) as raised:
        client.get_order(client_order_id="x")
    assert (raised.value.reason, raised.value.metadata) == ("RESOURCE_EXHAUSTED", {})


def test_damaged_details_do_not_hide_the_error(client: Client, script: Script) -> None:
    def play(_request: object, context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff"),))
        context.abort(grpc.StatusCode.NOT_FOUND, "nothing here")

    script.plays = [play]
    with pytest.raises(BlotterError, match="nothing here") as raised:
        client.get_order(client_order_id="x")
    assert (raised.value.code, raised.value.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


def test_a_call_that_exceeds_its_deadline_raises_an_error(client: Client, script: Script) -> None:
    def play(request: object, context: grpc.ServicerContext) -> order_service_pb2.GetOrderResponse:
        list(script.silence(request, context))
        return order_service_pb2.GetOrderResponse()

    script.plays = [play]
    with pytest.raises(BlotterError) as raised:
        client.get_order(client_order_id="x", timeout=0.05)
    assert (raised.value.code, raised.value.retry_after) == (grpc.StatusCode.DEADLINE_EXCEEDED, None)


CALLS: dict[str, Callable[[Client, float | None], object]] = {
    "one": lambda client, timeout: client.get_order(client_order_id="x", timeout=timeout),
    "batch": lambda client, timeout: client.batch_submit_orders([], timeout=timeout),
    "batch of reports": lambda client, timeout: client.batch_report_executions([], timeout=timeout),
    "cancel all": lambda client, timeout: client.cancel_all_orders(timeout=timeout),
}


@pytest.mark.parametrize(
    ("call", "call_timeout", "client_timeout", "expected"),
    [
        ("one", None, None, 10),
        ("batch", None, None, 60),
        ("batch of reports", None, None, 60),
        ("cancel all", None, None, 60),
        ("batch", None, 200, 200),
        ("one", 400, 200, 400),
    ],
)
def test_every_unary_call_has_a_deadline(
    call: str,
    call_timeout: float | None,
    client_timeout: float | None,
    expected: float,
    face: Face,
    channel: grpc.Channel,
    script: Script,
) -> None:
    remaining: list[float] = []

    def play(_request: object, context: grpc.ServicerContext) -> None:
        remaining.append(context.time_remaining())
        context.abort(grpc.StatusCode.NOT_FOUND, "")

    script.plays = [play]
    with pytest.raises(BlotterError):
        CALLS[call](face.client(channel, trader_id=ALICE, timeout=client_timeout), call_timeout)
    assert expected * 0.6 < remaining[0] < expected * 1.4  # the clocks of the two sides differ slightly


@pytest.mark.parametrize(("call_timeout", "client_timeout"), [(0, None), (0, 5), (None, 0)])
def test_a_timeout_of_zero_expires_at_once(
    call_timeout: float | None, client_timeout: float | None, face: Face, channel: grpc.Channel, script: Script
) -> None:
    remaining: list[float] = []

    def play(_request: object, context: grpc.ServicerContext) -> None:
        remaining.append(context.time_remaining())
        context.abort(grpc.StatusCode.NOT_FOUND, "")

    script.plays = [play]
    client = face.client(channel, trader_id=ALICE, timeout=client_timeout)
    with pytest.raises(BlotterError) as raised:
        client.get_order(client_order_id="x", timeout=call_timeout)
    # On a fast machine the call may reach the server before gRPC checks the deadline.
    assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED or remaining[0] < 1


def test_without_a_listening_server_calls_are_unavailable(face: Face) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with face.client(f"127.0.0.1:{taken.getsockname()[1]}", trader_id=ALICE, timeout=5) as client:
            with pytest.raises(BlotterError) as raised:
                client.get_order(client_order_id="x")
            assert raised.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_call_is_retried_after_unavailable_with_the_same_key(client: Client, script: Script) -> None:
    script.plays = [UNAVAILABLE, UNAVAILABLE, answers(order_service_pb2.SubmitOrderResponse(replayed=True))]
    assert client.submit_order("AAPL", Side.BUY, OrderType.MARKET, 1).replayed
    assert len(script.requests) == 3
    assert script.requests[0].client_order_id
    assert script.requests[0] == script.requests[1] == script.requests[2]
    assert len({metadata["x-request-id"] for metadata in script.metadata}) == 1, "one call, one request id"


def test_requests_are_retried_after_unavailable_with_the_same_key(client: Client, script: Script) -> None:
    script.plays = [UNAVAILABLE, answers(order_service_pb2.CancelOrderResponse(replayed=True))]
    assert client.cancel_order(client_order_id="mine").replayed
    script.plays = [UNAVAILABLE, answers(request_pb2.ReplaceOrderResponse(replayed=True))]
    assert client.replace_order(client_order_id="mine", quantity=7).replayed
    first, second, third, fourth = (request.request_key for request in script.requests)
    assert first == second != third == fourth
    assert first
    assert third


def test_a_call_is_sent_at_most_four_times(client: Client, script: Script) -> None:
    script.plays = [UNAVAILABLE] * 9
    with pytest.raises(BlotterError):
        client.report_execution(approved(ALICE, "01234567-0000-4000-8000-000000000000"))
    assert len(script.requests) == 4


@pytest.mark.parametrize("code", FINAL, ids=lambda code: code.name)
def test_a_call_is_not_retried_after_another_error(code: grpc.StatusCode, client: Client, script: Script) -> None:
    script.plays = [refuses("ANY", code), answers(order_service_pb2.SubmitOrderResponse())]
    with pytest.raises(BlotterError) as raised:
        client.submit_order("AAPL", Side.BUY, OrderType.MARKET, 1)
    assert raised.value.code is code
    assert len(script.requests) == 1


def test_after_many_failures_calls_are_no_longer_retried(client: Client, script: Script) -> None:
    """A channel's calls share a budget of 100; each failure takes one, and retries stop at half of it."""
    script.plays = [UNAVAILABLE] * 99
    for _ in range(20):
        with pytest.raises(BlotterError):
            client.get_order(client_order_id="x")
    assert 50 <= len(script.requests) < 60


def test_cancel_all_orders_is_never_retried(client: Client, script: Script) -> None:
    script.plays = [UNAVAILABLE, answers(order_service_pb2.CancelAllOrdersResponse())]
    with pytest.raises(BlotterError):
        client.cancel_all_orders()
    assert len(script.requests) == 1


def test_the_retry_policy_names_methods_of_the_contract() -> None:
    contract = {
        (service.full_name, method)
        for module in (order_service_pb2, audit_service_pb2, execution_report_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods_by_name
    }
    configs = json.loads(SERVICE_CONFIG)["methodConfig"]
    named = {(name["service"], name["method"]) for config in configs for name in config["name"]}
    assert named < contract
    unnamed = {method for _, method in contract - named}
    assert unnamed == {
        *("CancelAllOrders", "WatchOrders", "StreamExecutionLogs", "ReconcileOrders", "ExportExecutionLogs"),
    }
    assert all(config["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE", "CANCELLED"] for config in configs)


def test_a_list_whose_token_repeats_ends_with_an_error(client: Client, script: Script) -> None:
    page = order_service_pb2.ListOrdersResponse(next_page_token="same")
    script.plays = [answers(page)] * 3
    with pytest.raises(BlotterError) as raised:
        list(client.list_orders())
    assert (raised.value.code, raised.value.reason) == (grpc.StatusCode.DATA_LOSS, "PAGE_REPEATED")
