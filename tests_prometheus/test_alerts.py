"""What an operator sees in Prometheus while the service works, while its database is away, and when it has ended."""

from __future__ import annotations

from pathlib import Path

from service.sequencing import KeyFolder
from service.server import running
from tests.conftest import ALICE, Database
from tests.deploy.test_alerts import queries
from tests.proxy import proxied
from tests.serving import connected, settings
from tests.streams.watching import watching
from tests_prometheus.conftest import prometheus, until

OF_THE_HOST = {"BlotterClockOffset"}
"""Alerts that depend on the machine that the tests run on."""

METHOD = 'rpc_method="blotter.orders.v1.OrderService/SubmitOrder"'
DATABASE = {"BlotterDatabaseDown", "BlotterNotReady"}


async def test_alerts_follow_the_service(database: Database, tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path / "keys")
    keys.generate("log.example")
    own = settings(
        metrics_listen="127.0.0.1:0",
        health_seconds=1,
        sequencer=True,
        ledger_keys=keys.folder,
        ledger_origin="log.example",
    )
    async with (
        proxied(database) as behind,
        running(own, behind.conninfo("blotter_trader")) as server,
        connected(server, behind) as blotter,
        prometheus(tmp_path, server.metrics_port or 0) as seen,
    ):
        for _ in range(3):
            await blotter.submit()
        calls = f"sum by (rpc_response_status_code) (rpc_server_call_duration_seconds_count{{{METHOD}}})"
        async with watching(blotter, ALICE) as alice:
            await alice.until_snapshot()
            await until(lambda: seen.query(f"{calls} == 3"), "the three calls are not seen")
            await until(lambda: seen.query("sum(blotter_stream_open) == 1"), "the open stream is not seen")
        await until(lambda: seen.query("blotter_sequencer_active == 1"), "the sequencer is not seen")

        async def nothing_fires() -> bool:
            return await seen.firing() <= OF_THE_HOST

        await until(nothing_fires, "an alert fires while all is well")
        for place, query in queries():
            if not query.startswith("label_values"):
                chosen = query.replace("$__rate_interval", "1m").replace("$job", "blotter")
                assert isinstance(await seen.query(chosen.replace("$instance", ".*")), list), place

        async def database_is_away() -> bool:
            return await seen.firing() >= DATABASE

        async def database_is_back() -> bool:
            return not await seen.firing() & DATABASE

        behind.proxy.deafen()
        await until(database_is_away, "no alert for the database")
        assert await seen.query('blotter_health_serving{service="liveness"} == 1')
        behind.proxy.heal()
        behind.proxy.cut()
        await until(database_is_back, "the alert for the database stays")
        await blotter.submit()
        await until(lambda: seen.query(f"{calls} == 4"), "the call after the outage is not seen")


async def test_a_service_that_has_ended_is_down(database: Database, tmp_path: Path) -> None:
    async with running(settings(metrics_listen="127.0.0.1:0"), database.conninfo("blotter_trader")) as server:
        port = server.metrics_port or 0
    async with prometheus(tmp_path, port) as seen:
        firing = f'ALERTS{{alertname="BlotterDown", alertstate="firing", instance="127.0.0.1:{port}"}}'
        await until(lambda: seen.query(firing), "no alert")
        alerts = (await seen.get("/api/v1/alerts"))["alerts"]
        [alert] = [one for one in alerts if one["labels"].get("instance")]
        assert alert["labels"]["severity"] == "critical"
        assert alert["annotations"]["summary"] == f"Prometheus cannot scrape Blotter at 127.0.0.1:{port}."
        assert alert["annotations"]["runbook_url"] == "docs/operations.md#blotterdown"
