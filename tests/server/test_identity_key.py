"""A service that signs identities starts only with a key in use, and rotates it without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import grpc
import pytest
from click.testing import CliRunner

from blotter.audit.v1 import inspection_pb2
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_service_pb2 as orders_pb
from service.cli.main import main
from service.repositories import signatures
from service.repositories.signatures import IdentityKeyRefused
from tests.conftest import ALICE, Database
from tests.isolation.desk import connected, one, refused
from tests.serving import COMPLIANCE, EXECUTION, Blotter, as_trader, order_request, report_request, serving

Command = Callable[..., str]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "identity-key"


@pytest.fixture
def blotter_command(database: Database, file: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command on the test's database; returns what it prints, or fails with it."""
    monkeypatch.setenv("BLOTTER_DATABASE_URL", database.url)
    monkeypatch.setenv("BLOTTER_IDENTITY_KEY", str(file))
    monkeypatch.delenv("BLOTTER_JWT_ISSUER", raising=False)

    def run(*arguments: str, status: int = 0) -> str:
        result = CliRunner().invoke(main, list(arguments))
        assert result.exit_code == status, result.output
        return result.output

    return run


async def use(server: Blotter) -> None:
    """Call what writes, reads and streams, as each kind of caller."""
    order = await server.submit()
    fills = [reports_pb.FillReport(quantity=1, price="1", execution_id=uuid4().hex) for _ in range(2)]
    batch = await server.orders.BatchReportExecutions(
        reports_pb.BatchReportExecutionsRequest(reports=[report_request(order, fill=fill) for fill in fills]),
        metadata=EXECUTION,
    )
    assert not any(result.HasField("error") for result in batch.results)
    found = await server.orders.GetOrder(orders_pb.GetOrderRequest(order_id=order.order_id), metadata=as_trader(ALICE))
    assert found.order.filled_quantity == 2
    assert [
        found
        async for found in server.audit.ReconcileOrders(inspection_pb2.ReconcileOrdersRequest(), metadata=COMPLIANCE)
    ]


async def test_a_key_is_introduced_rotated_and_retired_while_the_service_runs(
    database: Database, file: Path, blotter_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signatures, "RELOAD_SECONDS", 0.02)
    blotter_command("identity-key", "generate", "--later")
    async with serving(database, identity_key=file) as server:
        await use(server)
        blotter_command("identity-key", "register")
        with connected(database, "blotter_trader") as trader, refused("42501", "identity_is_signed"):
            one(trader, "SELECT act_as(%s)", ALICE)
        await use(server)
        blotter_command("identity-key", "rotate")
        blotter_command("identity-key", "retire", "1")
        for _ in range(500):  # until the file has been read
            with suppress(grpc.aio.AioRpcError):
                await use(server)
                break
            await asyncio.sleep(0.02)
        await use(server)
    assert "retired at" in blotter_command("identity-key", "list").splitlines()[0]
    assert "last one in use" in blotter_command("identity-key", "retire", "2", status=1)
    blotter_command("identity-key", "retire", "2", "--switch-off")
    async with serving(database, identity_key=None) as server:
        await use(server)


async def test_a_service_without_the_key_does_not_start(
    database: Database, file: Path, tmp_path: Path, blotter_command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    blotter_command("identity-key", "generate")
    with pytest.raises(IdentityKeyRefused, match="set BLOTTER_IDENTITY_KEY"):
        async with serving(database, identity_key=None):
            pass
    with pytest.raises(IdentityKeyRefused, match="cannot be read"):
        async with serving(database, identity_key=tmp_path / "none"):
            pass
    other = tmp_path / "other"
    signatures.IdentityKey.generate(1).write(other)
    with pytest.raises(IdentityKeyRefused, match=r"key 1 in .*other .* clocks"):
        async with serving(database, identity_key=other):
            pass
    other.write_text("1 secret")
    with pytest.raises(IdentityKeyRefused, match="is not a key") as caught:
        async with serving(database, identity_key=other):
            pass
    assert "secret" not in str(caught.value)
    assert "run `blotter identity-key rotate`" in blotter_command("identity-key", "generate", status=1)
    blotter_command("identity-key", "retire", "1", "--switch-off")
    async with serving(database, identity_key=file):
        assert "accepts unsigned identities" in caplog.text


async def test_a_key_that_is_retired_too_early_is_reported_and_its_calls_may_be_repeated(
    database: Database, file: Path, blotter_command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    blotter_command("identity-key", "generate")
    async with serving(database, identity_key=file) as server:
        await server.submit()
        with connected(database, "blotter_owner") as owner:
            owner.execute("UPDATE identity_keys SET id = 2")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await server.orders.SubmitOrder(order_request(), metadata=as_trader(ALICE))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "BLOTTER_IDENTITY_KEY" in caplog.text
        with connected(database, "blotter_owner") as owner:
            owner.execute("UPDATE identity_keys SET id = 1")
        await server.submit()


def test_only_the_owner_of_the_file_can_read_the_key(file: Path, blotter_command: Command) -> None:
    blotter_command("identity-key", "generate")
    assert file.stat().st_mode & 0o777 == 0o600
