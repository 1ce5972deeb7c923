"""The endpoint that Prometheus reads."""

import asyncio
import threading
from typing import Any

import aiohttp
import pytest
from prometheus_client import parser as plain_text
from prometheus_client.openmetrics import parser as openmetrics

from service.observability import endpoint
from service.observability.endpoint import metrics_endpoint
from service.observability.metrics import Metrics
from service.process import AddressInUse
from service.server import running
from tests.conftest import Database
from tests.serving import connected, settings

PLAIN: Any = plain_text.text_string_to_metric_families
OPENMETRICS: Any = openmetrics.text_string_to_metric_families


async def scraped(port: int, accept: str, path: str = "/metrics") -> tuple[int, str, str]:
    """The status, the content type and the text of one scrape."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept}) as answer,
    ):
        return answer.status, answer.headers["Content-Type"], await answer.text()


async def test_a_scrape_shows_the_calls_in_both_formats(database: Database) -> None:
    async with (
        running(settings(metrics_listen="127.0.0.1:0"), database.conninfo("blotter_trader")) as server,
        connected(server, database) as blotter,
    ):
        await blotter.submit()
        assert server.metrics_port
        status, kind, text = await scraped(server.metrics_port, "text/plain;version=0.0.4")
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
        plain = list(PLAIN(text))
        status, kind, text = await scraped(server.metrics_port, "application/openmetrics-text;version=1.0.0")
        assert (status, kind.split(";")[0]) == (200, "application/openmetrics-text")
        families = list(OPENMETRICS(text))
    for found in (plain, families):
        [family] = [family for family in found if family.name == "rpc_server_call_duration_seconds"]
        [count] = [sample for sample in family.samples if sample.name.endswith("_count")]
        assert count.labels == {
            "rpc_method": "blotter.orders.v1.OrderService/SubmitOrder",
            "rpc_response_status_code": "OK",
        }


async def test_other_paths_and_methods_are_not_found() -> None:
    async with (
        metrics_endpoint(Metrics(), "127.0.0.1:0", {"up": True, "down": False}.get) as port,
        aiohttp.ClientSession() as session,
    ):
        assert (await scraped(port, "*/*", "/"))[0] == 404
        assert (await session.post(f"http://127.0.0.1:{port}/metrics", data=b"x")).status == 404


async def test_health_is_answered_by_the_status_as_probes_read_it() -> None:
    async with metrics_endpoint(Metrics(), "127.0.0.1:0", {"up": True, "down": False}.get) as port:
        assert (await scraped(port, "*/*", "/health/up"))[::2] == (200, "SERVING\n")
        assert (await scraped(port, "*/*", "/health/down"))[::2] == (503, "NOT_SERVING\n")
        for unknown in ("/health/nobody", "/health/", "/health", "/up", "/health/up/"):
            assert (await scraped(port, "*/*", unknown))[0] == 404


async def test_the_health_of_a_server_is_answered(database: Database) -> None:
    async with running(settings(metrics_listen="127.0.0.1:0"), database.conninfo("blotter_trader")) as server:
        assert server.metrics_port
        for name in ("startup", "liveness", "readiness"):
            assert (await scraped(server.metrics_port, "*/*", f"/health/{name}"))[0] == 200


async def test_connections_that_send_nothing_are_bounded_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "CONNECTION_SECONDS", 0.5)
    async with metrics_endpoint(Metrics(), "127.0.0.1:0", {"up": True, "down": False}.get) as port:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(endpoint.MOST_CONNECTIONS + 4)]
        # The server closes the oldest ones beyond the bound at once, and the others after their time.
        assert [await reader.read() for reader, _ in silent] == [b""] * len(silent)
        for _, writer in silent:
            writer.close()
        assert (await scraped(port, ""))[0] == 200


async def test_silent_connections_hold_off_no_probe() -> None:
    async with metrics_endpoint(Metrics(), "127.0.0.1:0", {"up": True, "down": False}.get) as port:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(endpoint.MOST_CONNECTIONS)]
        assert (await scraped(port, "", "/health/up"))[0] == 200
        assert (await scraped(port, ""))[0] == 200
        assert await silent[0][0].read() == b""
        for _, writer in silent:
            writer.close()


async def test_scrapes_at_one_time_are_bounded_and_hold_off_no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    monkeypatch.setattr(endpoint, "choose_encoder", lambda accept: (lambda registry: held.wait() and b"", "text/plain"))
    async with metrics_endpoint(Metrics(), "127.0.0.1:0", {"up": True}.get) as port:
        scrapes = [asyncio.create_task(scraped(port, "")) for _ in range(endpoint.MOST_CONNECTIONS)]
        held_scrapes: set[asyncio.Task[tuple[int, str, str]]] = set(scrapes)
        while len(held_scrapes) > endpoint.MOST_SCRAPES:
            refused, held_scrapes = await asyncio.wait(held_scrapes, return_when=asyncio.FIRST_COMPLETED)
            assert {scrape.result()[0] for scrape in refused} == {503}
        assert (await scraped(port, "", "/health/up"))[0] == 200
        held.set()
        assert [(await scrape)[0] for scrape in held_scrapes] == [200] * endpoint.MOST_SCRAPES


async def test_an_address_in_use_is_named_with_its_setting(database: Database) -> None:
    async with metrics_endpoint(Metrics(), "127.0.0.1:0", {"up": True, "down": False}.get) as port:
        with pytest.raises(AddressInUse, match=f"127.0.0.1:{port} .BLOTTER_METRICS_LISTEN."):
            async with running(settings(metrics_listen=f"127.0.0.1:{port}"), database.conninfo("blotter_trader")):
                pass
