"""Traces, from the client's traceparent through the message to the database, as a collector receives them."""

import asyncio
import logging
import re
from typing import Any

import pytest

from blotter.orders.v1 import execution_report_pb2 as reports_pb
from service.logs import InCall
from service.observability.context import trace_of
from tests.conftest import ALICE, Database
from tests.observability.sink import sink
from tests.operations.command_line import free_port
from tests.rpc.test_outages import locked
from tests.serving import EXECUTION, Blotter, as_trader, order_request, report_request, serving

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = (("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-{flags}") for flags in ("01", "00"))
WAITING = "SELECT query FROM pg_stat_activity WHERE usename = 'blotter_execution' AND wait_event_type = 'Lock'"


def attributes(span: Any) -> dict[str, str]:
    """The attributes of a span."""
    return {attribute.key: attribute.value.string_value for attribute in span.attributes}


async def query_of_a_report(blotter: Blotter, traceparent: tuple[str, str]) -> str:
    """Report a fill while the trader is locked; return the query that the superuser sees meanwhile."""
    order = await blotter.submit()
    fill = reports_pb.FillReport(quantity=100, price="585.33", execution_id="an-execution")
    async with locked(blotter.database) as looking:
        call = blotter.orders.ReportExecution(report_request(order, fill=fill), metadata=(*EXECUTION, traceparent))
        reporting = asyncio.ensure_future(call)
        async with asyncio.timeout(30):
            while not (row := await (await looking.execute(WAITING)).fetchone()):  # noqa: ASYNC110  # another's statement
                await asyncio.sleep(0.01)
    await reporting
    return str(row[0])


async def test_a_sampled_call_has_a_span_and_one_for_its_message_that_pg_stat_activity_names(
    database: Database,
) -> None:
    async with sink() as collector:
        async with serving(database, otlp_endpoint=collector.url, trace_ratio=0) as blotter:
            query = await query_of_a_report(blotter, SAMPLED)
        message, call = collector.spans()  # the submit without a traceparent has none
    assert (call.name, call.trace_id.hex(), call.parent_span_id.hex()) == (
        "blotter.orders.v1.OrderService/ReportExecution",
        TRACE_ID,
        PARENT_ID,
    )
    assert (call.kind, message.kind) == (call.SPAN_KIND_SERVER, call.SPAN_KIND_CLIENT)
    assert attributes(call) == {
        "rpc.system.name": "grpc",
        "rpc.method": "blotter.orders.v1.OrderService/ReportExecution",
        "rpc.response.status_code": "OK",
    }
    assert (message.trace_id, message.parent_span_id) == (call.trace_id, call.span_id)
    assert attributes(message) == {
        "db.system.name": "postgresql",
        "db.client.connection.pool.name": "blotter_execution",
    }
    assert query.startswith(f"/*traceparent='00-{TRACE_ID}-{message.span_id.hex()}-01'*/SELECT act_as(")


@pytest.mark.parametrize("collected", [True, False])
async def test_a_call_that_is_not_recorded_passes_its_trace_on(database: Database, collected: bool) -> None:
    """Its client has not sampled it, or nothing is sent to a collector."""
    async with sink() as collector:
        changes = {"otlp_endpoint": collector.url, "trace_ratio": 1} if collected else {}
        async with serving(database, **changes) as blotter:
            query = await query_of_a_report(blotter, UNSAMPLED if collected else SAMPLED)
        spans = collector.spans()
    assert query.startswith(f"/*traceparent='00-{TRACE_ID}-{PARENT_ID}-{'00' if collected else '01'}'*/SELECT act_as(")
    assert {span.name for span in spans if span.trace_id.hex() == TRACE_ID} == set()
    # The submit had no traceparent, and the ratio is 1.
    names = ["postgresql", "blotter.orders.v1.OrderService/SubmitOrder"]
    assert [span.name for span in spans] == (names if collected else [])


async def test_a_failed_call_has_its_status_and_only_a_fault_of_the_server_is_an_error(database: Database) -> None:
    async with sink() as collector:
        async with serving(database, otlp_endpoint=collector.url, max_calls=1) as blotter:
            await asyncio.gather(
                *(
                    blotter.orders.SubmitOrder(order_request(quantity=quantity), metadata=(*as_trader(ALICE), SAMPLED))
                    for quantity in [0, *[1] * 9]
                ),
                return_exceptions=True,
            )
        spans = [span for span in collector.spans() if span.kind == span.SPAN_KIND_SERVER]
    by_status = {attributes(span)["rpc.response.status_code"]: span.status.code for span in spans}
    assert len(spans) == 10
    assert by_status.pop("INVALID_ARGUMENT") == 0
    assert by_status.pop("UNAVAILABLE") == 2
    assert by_status.keys() <= {"OK"}


async def test_a_collector_that_is_away_costs_one_line_and_no_call(
    database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.observability.collector.SEND_SECONDS", 0.2)
    logging.getLogger("opentelemetry").setLevel("CRITICAL")
    port = free_port()
    away: dict[str, Any] = {"otlp_endpoint": f"http://127.0.0.1:{port}", "otlp_seconds": 0.05, "trace_ratio": 0}
    caplog.set_level(logging.INFO, "blotter.telemetry")

    def lines() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "blotter.telemetry"]

    async with serving(database, **away) as blotter:
        async with asyncio.timeout(60):
            await blotter.submit()
            while not lines():
                await blotter.submit()
            async with sink(port) as collector:
                while len(lines()) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                assert "rpc.server.call.duration" in collector.metrics()
    assert lines()[:2] == [
        f"The collector at {away['otlp_endpoint']} (BLOTTER_OTLP_ENDPOINT) takes no metrics; they are dropped.",
        f"The collector at {away['otlp_endpoint']} takes metrics again.",
    ]


async def test_metrics_have_the_names_and_units_of_the_semantic_conventions(database: Database) -> None:
    async with sink() as collector:
        async with serving(database, otlp_endpoint=collector.url, otlp_seconds=3600) as blotter:
            await asyncio.gather(*(blotter.submit() for _ in range(5)))
        found = collector.metrics()  # sent at the stop
    calls = found["rpc.server.call.duration"]
    assert calls.unit == "s"
    [point] = calls.histogram.data_points
    assert attributes(point) == {
        "rpc.method": "blotter.orders.v1.OrderService/SubmitOrder",
        "rpc.response.status_code": "OK",
    }
    assert (point.count, sum(point.bucket_counts)) == (5, 5)
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert 0 < point.sum < 300
    assert 0 < point.start_time_unix_nano < point.time_unix_nano
    assert {"db.client.operation.duration", "db.client.connection.count", "process.cpu.time"} <= found.keys()
    assert found["blotter.db_busy"].sum.is_monotonic
    assert found["blotter.feed_lag"].unit == "s"
    assert found["blotter.clock_synchronised"].gauge.data_points[0].as_double in {0, 1}
    assert not [name for name in found if not re.fullmatch(r"[a-z]+(\.[a-z_0-9]+)+", name)]


async def test_a_log_line_in_a_call_carries_its_request_and_trace(
    blotter: Blotter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "blotter.rpc")
    caplog.handler.addFilter(InCall())
    metadata = (*as_trader(ALICE), SAMPLED, ("x-request-id", "r-1"))
    await blotter.orders.SubmitOrder(order_request(), metadata=metadata)
    async with asyncio.timeout(20):
        while not (lines := [vars(record) for record in caplog.records if record.name == "blotter.rpc"]):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (lines[0]["request_id"], lines[0]["trace_id"], lines[0]["span_id"]) == ("r-1", TRACE_ID, PARENT_ID)


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"00-{TRACE_ID}-{PARENT_ID}",
        f"00-{TRACE_ID.upper()}-{PARENT_ID}-01",
        f"00-{'0' * 32}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"ff-{TRACE_ID}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{PARENT_ID}-01-more",
        f"00-{TRACE_ID}-{PARENT_ID}-01\n",
        f"00-{TRACE_ID}'*/; DROP TABLE orders;/*-{PARENT_ID}-01",
    ],
)
def test_an_invalid_traceparent_is_no_trace(value: str) -> None:
    assert trace_of([value]) is None


def test_a_traceparent_that_is_doubled_is_no_trace_and_one_of_a_later_version_is() -> None:
    assert trace_of([SAMPLED[1], SAMPLED[1]]) is None
    later = trace_of([f"01-{TRACE_ID}-{PARENT_ID}-03-more"])
    assert later
    assert later.traceparent == SAMPLED[1]
