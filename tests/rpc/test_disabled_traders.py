"""Traders are renamed, disabled and enabled from the command line; a disabled one can call nothing, and is filled."""

from __future__ import annotations

import grpc
import pytest
from click.testing import CliRunner, Result

from blotter.orders.v1 import order_pb2
from blotter.orders.v1 import order_service_pb2 as orders_pb
from service.cli import main as cli
from service.cli import provisioning
from tests.conftest import ALICE, BOB, Database
from tests.rpc.errors import reason_of, refused
from tests.serving import Blotter, as_trader


@pytest.fixture
def blotter_traders(database: Database, monkeypatch: pytest.MonkeyPatch) -> object:
    """The command `blotter traders` on the test's database."""
    monkeypatch.setenv("BLOTTER_DATABASE_URL", "postgresql:///named-by-the-test")
    monkeypatch.setattr(provisioning, "login_to", lambda _url, login, *_, **_pooler: database.conninfo(login))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli.main, ["traders", *arguments])

    return run


async def test_a_disabled_trader_can_call_nothing_and_gateways_report_fills(
    blotter: Blotter, blotter_traders: object
) -> None:
    assert callable(blotter_traders)
    order = await blotter.submit()
    assert blotter_traders("disable", str(ALICE)).exit_code == 0
    assert "Alice  (disabled)" in blotter_traders("list").output
    by_alice = as_trader(ALICE)
    for call in (
        blotter.submit,
        lambda: blotter.orders.ListOrders(orders_pb.ListOrdersRequest(), metadata=by_alice),
        lambda: blotter.orders.CancelOrder(orders_pb.CancelOrderRequest(order_id=order.order_id), metadata=by_alice),
    ):
        error = await refused(call())
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.PERMISSION_DENIED, "TRADER_DISABLED")
    assert (await blotter.submit(BOB)).status == order_pb2.ORDER_STATUS_PENDING
    assert (await blotter.fill(order, 100)).status == order_pb2.ORDER_STATUS_FILLED
    assert blotter_traders("enable", str(ALICE)).exit_code == 0
    listed = await blotter.orders.ListOrders(orders_pb.ListOrdersRequest(), metadata=by_alice)
    assert [found.order_id for found in listed.orders] == [order.order_id]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rename", str(ALICE), "bob"), "A trader with this name is registered already"),
        (("rename", str(ALICE), ""), "A name has 1 to 100 characters."),
        (("rename", "00000000-0000-4000-8000-000000000000", "Carol"), "No trader with this id is registered"),
        (("disable", "00000000-0000-4000-8000-000000000000"), "No trader with this id is registered"),
        (("add", "ALICE"), "A trader with this name is registered already"),
        (("add", "Alice 2", "--id", str(ALICE)), "A trader with this id is registered already"),
    ],
)
def test_names_are_unique_regardless_of_case(blotter_traders: object, arguments: tuple[str, ...], message: str) -> None:
    assert callable(blotter_traders)
    result = blotter_traders(*arguments)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {message}")


def test_a_trader_is_renamed(blotter_traders: object) -> None:
    assert callable(blotter_traders)
    assert blotter_traders("rename", str(ALICE), "ALICE").exit_code == 0
    assert "  ALICE\n" in blotter_traders("list").output
