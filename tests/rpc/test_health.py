"""grpc.health.v1.Health and reflection need no identity and fail with the same errors as other methods."""

import asyncio
import logging
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from service.observability.metrics import Metrics
from service.server import SERVICES
from service.servicers.health import LIVENESS, HealthServicer
from tests.rpc.errors import info_of, reason_of, refused
from tests.serving import Blotter

UNKNOWN, SERVING, NOT_SERVING = (
    health_pb2.HealthCheckResponse.SERVICE_UNKNOWN,
    health_pb2.HealthCheckResponse.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING,
)
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


async def test_check_list_and_watch_need_no_identity(blotter: Blotter) -> None:
    health: Any = health_pb2_grpc.HealthStub(blotter.channel)
    for name in ("", *SERVICES):
        assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING
    statuses = (await health.List(health_pb2.HealthListRequest())).statuses  # type: ignore[attr-defined]  # old stubs
    assert {name: status.status for name, status in statuses.items() if name in ("", *SERVICES)} == dict.fromkeys(
        ("", *SERVICES), SERVING
    )
    error = await refused(health.Check(health_pb2.HealthCheckRequest(service="nobody")))
    assert error.code() == grpc.StatusCode.NOT_FOUND
    watch = health.Watch(health_pb2.HealthCheckRequest(service="nobody"))
    assert (await watch.read()).status == UNKNOWN
    watch.cancel()


async def test_a_watch_is_sent_the_newest_status_and_ends_when_the_server_drains() -> None:
    health = HealthServicer(Metrics())
    health.set("", True)
    health.set(LIVENESS, True)
    watch: Any = health.Watch(health_pb2.HealthCheckRequest(), None)  # type: ignore[arg-type]  # needs no context
    later: Any = health.Watch(health_pb2.HealthCheckRequest(service="later"), None)  # type: ignore[arg-type]
    assert (await anext(watch)).status == SERVING
    assert (await anext(later)).status == UNKNOWN
    for serving in (False, True, False):
        health.set("", serving)
    health.set("later", True)
    assert (await anext(watch)).status == NOT_SERVING
    assert (await anext(later)).status == SERVING
    alive: Any = health.Watch(health_pb2.HealthCheckRequest(service=LIVENESS), None)  # type: ignore[arg-type]
    assert (await anext(alive)).status == SERVING
    health.drain()
    health.set("", True)
    assert [message.status async for message in alive] == [], "a process that drains is alive"
    assert [message.status async for message in watch] == []
    assert [message.status async for message in later] == [NOT_SERVING]


@pytest.mark.parametrize("method", ["Check", "List", "Watch"])
async def test_malformed_bytes_are_refused_as_by_other_methods(
    blotter: Blotter, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    call: Any = blotter.channel.unary_unary(f"/grpc.health.v1.Health/{method}", None, None)
    error = await refused(call(b"\xff"))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")
    assert info_of(error).metadata["request_id"]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_reflection_answers_and_refuses_malformed_bytes(
    blotter: Blotter, caplog: pytest.LogCaptureFixture
) -> None:
    channel: Any = blotter.channel  # the stubs know only the synchronous one
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = reflection.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    answer = await call.read()
    assert set(SERVICES) <= {service.name for service in answer.list_services_response.service}
    assert await call.read() is aio.EOF
    raw: Any = blotter.channel.stream_stream(REFLECTION, None, None)
    error = await refused(raw(iter([b"\xff"])).read())
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_call_without_a_message_is_refused(blotter: Blotter) -> None:
    for method in ("/grpc.health.v1.Health/Check", "/blotter.orders.v1.OrderService/GetOrder"):
        call: Any = blotter.channel.stream_unary(method, None, None)
        async with asyncio.timeout(10):
            error = await refused(call(iter([])))
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST"), method
    streams: Any = blotter.channel.stream_stream("/blotter.orders.v1.OrderService/WatchOrders", None, None)
    async with asyncio.timeout(10):
        error = await refused(streams(iter([])).read())
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")


@pytest.mark.parametrize("size", [20_000, 10_000_000])
async def test_metadata_above_its_limit_is_refused(blotter: Blotter, size: int) -> None:
    health: Any = health_pb2_grpc.HealthStub(blotter.channel)
    metadata = (("x-much", "x" * size),)
    error = await refused(health.Check(health_pb2.HealthCheckRequest(), metadata=metadata, timeout=30))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == SERVING
