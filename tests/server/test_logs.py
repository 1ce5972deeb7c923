"""The log lines of each call, also when its client disconnects."""

import asyncio
import json
import logging
from typing import Any
from uuid import UUID

import pytest

from blotter.orders.v1 import order_service_pb2, watch_pb2
from service import logs
from tests.conftest import ALICE, Database
from tests.rpc.errors import refused
from tests.rpc.raw_http2 import NO_WINDOW, frame, raw_connection
from tests.serving import Blotter, as_trader, order_request, serving

ORDERS = "/blotter.orders.v1.OrderService/"


class Lines:
    """The log lines of calls."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "blotter.rpc")
        self._caplog = caplog

    def __call__(self) -> list[dict[str, Any]]:
        return [vars(record) for record in self._caplog.records if record.name == "blotter.rpc"]

    async def until(self, count: int) -> list[dict[str, Any]]:
        """Wait for `count` lines and return them: a call's line is written after its client has the response."""
        async with asyncio.timeout(20):
            while len(self()) < count:  # noqa: ASYNC110  # the log has no event for it
                await asyncio.sleep(0.01)
        return self()


async def test_a_line_names_the_reason_the_order_the_peer_and_the_failed_items(
    blotter: Blotter, caplog: pytest.LogCaptureFixture
) -> None:
    lines = Lines(caplog)
    order = await blotter.submit()
    missing = UUID(int=7)
    request = order_service_pb2.GetOrderRequest(order_id=str(missing))
    await refused(blotter.orders.GetOrder(request, metadata=as_trader(ALICE)))
    batch = order_service_pb2.BatchSubmitOrdersRequest(orders=[order_request(), order_request(quantity=0)])
    await blotter.orders.BatchSubmitOrders(batch, metadata=as_trader(ALICE))
    submitted, got, batched = await lines.until(3)
    assert (submitted["code"], submitted["order_id"]) == ("OK", order.order_id)
    assert (got["code"], got["reason"], got["order_id"]) == ("NOT_FOUND", "ORDER_NOT_FOUND", str(missing))
    assert (batched["items"], batched["items_failed"]) == (2, 1)
    for line in (submitted, got, batched):
        assert line["peer"].startswith("ipv4:127.0.0.1:")
        assert "AAPL" not in str(line)
        assert "585.33" not in str(line)


async def test_a_stream_has_a_line_at_its_start_and_one_at_its_end(
    blotter: Blotter, caplog: pytest.LogCaptureFixture
) -> None:
    lines = Lines(caplog)
    watch = blotter.orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=as_trader(ALICE))
    await watch.read()
    [start] = lines()
    assert start["message"].endswith("WatchOrders started")
    assert start["trader_id"] == str(ALICE)
    watch.cancel()
    _, end = await lines.until(2)
    assert (end["code"], end["request_id"]) == ("CANCELLED", start["request_id"])


@pytest.mark.parametrize(("which", "codes"), [("slow_and_failed", ["NOT_FOUND"]), ("none", [])])
async def test_a_setting_selects_the_calls_that_are_logged(
    database: Database, caplog: pytest.LogCaptureFixture, which: str, codes: list[str]
) -> None:
    lines = Lines(caplog)
    async with serving(database, log_calls=which, log_slow_ms=3_600_000) as blotter:
        await blotter.submit()
        watch = blotter.orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=as_trader(ALICE))
        await watch.read()
        watch.cancel()
        request = order_service_pb2.GetOrderRequest(client_order_id="none")
        await refused(blotter.orders.GetOrder(request, metadata=as_trader(ALICE)))
    assert [line["code"] for line in lines() if line.get("reason") != "DRAINING"] == codes


async def test_a_slow_call_is_logged(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    lines = Lines(caplog)
    async with serving(database, log_calls="slow_and_failed", log_slow_ms=0) as blotter:
        await blotter.submit()
        assert [line["code"] for line in await lines.until(1)] == ["OK"]


async def test_a_disconnect_is_logged_as_a_call_and_not_as_an_error(
    blotter: Blotter, caplog: pytest.LogCaptureFixture
) -> None:
    lines = Lines(caplog)
    list_orders = order_service_pb2.ListOrdersRequest().SerializeToString()
    async with raw_connection(blotter.port) as half:  # half a request
        half.call(1, ORDERS + "SubmitOrder", end=False, metadata=as_trader(ALICE))
        half.writer.write(frame(0, 0, 1, b"\0\0\0\0\x20abc"))
        await asyncio.sleep(0.2)
    assert [line["code"] for line in await lines.until(1)] == ["CANCELLED"]
    async with raw_connection(blotter.port, NO_WINDOW) as stuck:  # a response that cannot be sent
        stuck.call(1, ORDERS + "WatchOrders", b"", metadata=as_trader(ALICE))
        await stuck.begun(1)
    _, _, end = await lines.until(3)
    assert end["code"] == "CANCELLED"
    for number in range(60):  # a response or a refusal that is being sent
        async with raw_connection(blotter.port) as gone:
            gone.call(1, ORDERS + "ListOrders", list_orders if number % 2 else b"\xff", metadata=as_trader(ALICE))
            await asyncio.sleep(number / 10_000)
    await blotter.submit()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("form", [logs.Json("{asctime}{message}", style="{"), logs.Text("%(asctime)s %(message)s")])
def test_times_are_utc_with_their_offset(form: logging.Formatter) -> None:
    record = logging.makeLogRecord({"msg": "sent", "created": 1_795_692_291.25, "actor": "zoë"})
    line = form.format(record)
    assert "2026-11-26T11:24:51.250+00:00" in line
    if isinstance(form, logs.Json):
        assert json.loads(line)["actor"] == "zoë"


def test_text_has_the_extra_fields() -> None:
    record = logging.LogRecord("blotter.rpc", logging.INFO, "", 0, "%s %s", ("/Service/Method", "OK"), None)
    vars(record).update(method="/Service/Method", code="OK", request_id="r-1", actor='algo "7" = x', trader_id=None)
    line = logs.Text("%(levelname)s %(message)s").format(record)
    assert line == r'INFO /Service/Method OK request_id=r-1 actor="algo \"7\" = x"'
