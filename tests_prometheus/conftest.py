"""A Prometheus with the configuration and the rules of deploy/, which scrapes one service often."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.conftest import bin_dir, cluster, database, logins, template
from tests.operations.command_line import free_port
from tests.paths import ROOT

__all__ = ["bin_dir", "cluster", "database", "logins", "template"]

SECONDS = 60
OURS = ROOT / "deploy" / "prometheus"


class Prometheus:
    """The HTTP API of a running Prometheus."""

    def __init__(self, port: int, session: aiohttp.ClientSession) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._session = session

    async def get(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer, which must be a success."""
        async with self._session.get(self._url + path, params=parameters) as answer:
            content = await answer.json(content_type=None)
            assert content["status"] == "success", content
            return content["data"]

    async def ready(self) -> bool:
        """Return whether it answers queries."""
        try:
            async with self._session.get(f"{self._url}/-/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an instant query."""
        found: list[dict[str, Any]] = (await self.get("/api/v1/query", query=expression))["result"]
        return found

    async def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        alerts = (await self.get("/api/v1/alerts"))["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


async def until(condition: Callable[[], Awaitable[Any]], what: str) -> None:
    """Wait for a condition that no event announces: what Prometheus has seen."""
    deadline = time.monotonic() + SECONDS
    while not await condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.1)


def _configure(folder: Path, metrics_port: int) -> None:
    """Write our configuration and rules with a fixed target and short times; all else stays."""
    config = yaml.safe_load((OURS / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "200ms", "evaluation_interval": "200ms"}
    [scrape] = config["scrape_configs"]
    del scrape["dns_sd_configs"], scrape["scrape_timeout"]
    scrape["static_configs"] = [{"targets": [f"127.0.0.1:{metrics_port}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    alerts = yaml.safe_load((OURS / "alerts.yml").read_text("utf-8"))
    for group in alerts["groups"]:
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "400ms"
    (folder / "alerts.yml").write_text(yaml.safe_dump(alerts))


@asynccontextmanager
async def prometheus(folder: Path, metrics_port: int) -> AsyncIterator[Prometheus]:
    """Run a Prometheus that scrapes the port."""
    program = shutil.which("prometheus")
    assert program, "make test-prometheus requires Prometheus: apt-get install prometheus"
    _configure(folder, metrics_port)
    port = free_port()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(  # noqa: ASYNC220  # returns at once; a fixed command
            [
                program,
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session:
            running = Prometheus(port, session)
            await until(running.ready, (folder / "log").read_text())
            yield running
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)
