"""The permission table: it lists each method of the server, the page shows it, and each call is checked against it."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc
import pytest
from click.testing import CliRunner
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc import aio
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from service.cli.main import main
from service.domain import permissions
from service.domain.identity import CallerKind
from service.domain.permissions import ANYONE, COMPLIANCE, PERMISSIONS
from tests.conftest import Database
from tests.isolation.desk import assign
from tests.paths import ROOT
from tests.rpc.errors import info_of, reason_of, refused
from tests.rpc.methods import CALLERS, METHODS
from tests.serving import Blotter, serving

REFUSALS = {
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,
}
SERVICES = {"orders": "blotter.orders.v1.OrderService", "audit": "blotter.audit.v1.AuditService"}


@pytest.fixture
async def blotter(database: Database) -> AsyncIterator[Blotter]:
    """A server that has channelz."""
    async with serving(database, channelz=True) as server:
        yield server


async def described(blotter: Blotter, **question: Any) -> reflection_pb2.ServerReflectionResponse:
    """The answer of reflection to one question."""
    channel: Any = blotter.channel  # the stubs know synchronous channels only
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**question)]))
    answer: reflection_pb2.ServerReflectionResponse = await call.read()
    return answer


async def services_of(blotter: Blotter) -> list[str]:
    """The names of the services that reflection lists."""
    listed = (await described(blotter, list_services="")).list_services_response
    return [service.name for service in listed.service]


async def methods_of(blotter: Blotter) -> set[str]:
    """The full name of each method of each service that reflection lists."""
    methods = set()
    for name in await services_of(blotter):
        answer = await described(blotter, file_containing_symbol=name)
        for raw in answer.file_descriptor_response.file_descriptor_proto:
            file = FileDescriptorProto.FromString(raw)
            for service in file.service:
                if f"{file.package}.{service.name}" == name:
                    methods |= {f"{name}/{method.name}" for method in service.method}
    return methods


def call(blotter: Blotter, method: str, kind: str | None) -> Any:
    """A call of any method with an empty request, as a kind of caller, or without an identity."""
    made: Any = blotter.channel.stream_stream(f"/{method}", lambda raw: raw, lambda raw: raw)
    return made(iter([b""]), metadata=CALLERS[kind] if kind else (), timeout=10)


async def test_the_table_lists_every_method_of_the_server_and_no_other(blotter: Blotter) -> None:
    assert await methods_of(blotter) == set(PERMISSIONS)


def test_the_table_is_what_the_contract_states() -> None:
    assert {
        f"{SERVICES[method.service]}/{name}": frozenset(map(CallerKind, method.callers))
        for name, method in METHODS.items()
    } == {name: kinds for name, kinds in PERMISSIONS.items() if name.startswith("blotter.")}
    others = {name.rpartition("/")[0]: kinds for name, kinds in PERMISSIONS.items() if name.startswith("grpc.")}
    assert others == {
        "grpc.health.v1.Health": ANYONE,
        "grpc.reflection.v1alpha.ServerReflection": ANYONE,
        "grpc.channelz.v1.Channelz": COMPLIANCE,
    }


async def test_each_method_is_refused_to_each_caller_that_the_table_does_not_list(blotter: Blotter) -> None:
    """Every method as every kind of caller and without one; the refusal precedes the check of the request."""
    assert set(CALLERS) == set(CallerKind)
    assign(blotter.database)
    for method, kinds in PERMISSIONS.items():
        for kind in (None, *CallerKind):
            answer = call(blotter, method, kind)
            if kinds is ANYONE or kind in kinds:
                with suppress(aio.AioRpcError):  # the empty request may be invalid
                    await answer.read()
                    answer.cancel()
                assert await answer.code() not in REFUSALS, (method, kind)
                continue
            error = await refused(answer.read())
            expected = "IDENTITY_MISSING" if kind is None else "WRONG_ROLE"
            assert reason_of(error) == expected, (method, kind)
            if kind is not None:
                assert set(info_of(error).metadata["allowed"].split(",")) == kinds


async def test_a_method_that_the_table_lacks_is_refused_to_every_caller(
    blotter: Blotter, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {name: kinds for name, kinds in PERMISSIONS.items() if name != "grpc.health.v1.Health/Check"}
    monkeypatch.setattr(permissions, "PERMISSIONS", others)
    for kind in CallerKind:
        error = await refused(call(blotter, "grpc.health.v1.Health/Check", kind).read())
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.PERMISSION_DENIED, "WRONG_ROLE")


async def test_reflection_and_channelz_exist_only_where_the_settings_have_them(database: Database) -> None:
    async with serving(database, reflection=False) as blotter:
        for method in (
            "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            "grpc.channelz.v1.Channelz/GetServers",
        ):
            error = await refused(call(blotter, method, "compliance").read())
            assert error.code() == grpc.StatusCode.UNIMPLEMENTED, method
    async with serving(database) as blotter:
        assert "grpc.channelz.v1.Channelz" not in await services_of(blotter)


def test_the_page_shows_the_table_that_the_command_prints() -> None:
    printed = CliRunner().invoke(main, ["permissions"])
    assert printed.exit_code == 0
    assert printed.output.count("\n") == len(PERMISSIONS) + 2
    assert printed.output in (ROOT / "docs" / "permissions.md").read_text("utf-8")
