"""Benchmark of what identity, limits, metrics and traces cost a SubmitOrder.

    .venv/bin/python -m benchmarks.overhead [--seconds 2] [--clients 16] [--rounds 10] [--without limits,traces]

Two servers on one database are called alternately: one with call metadata and none of the features, and one with
bearer tokens and principals, a limit per caller, metrics that are read every 15 seconds, and metrics and 1 % of the
traces sent to a collector. Neither sequences, and TLS is left out. Only the ratios are comparable with other machines;
the CPU time of the server is disturbed less by what else runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import jwt
import psycopg
from cryptography.hazmat.primitives.asymmetric import ec
from grpc import aio

from benchmarks.collector import collector
from benchmarks.messages import request
from benchmarks.serving import database, serving
from blotter.orders.v1 import order_service_pb2_grpc
from replay.traders import DEMO_TRADERS

ISSUER, AUDIENCE = "https://issuer.example", "blotter"
PLAIN, FULL, METRICS = "127.0.0.1:50063", "127.0.0.1:50064", "127.0.0.1:50065"
SCRAPE_SECONDS = 15

Submit = Callable[[UUID], Awaitable[object]]
Metadata = Callable[[UUID], tuple[tuple[str, str], ...]]


class Tokens:
    """An issuer with one key. Each demo trader is a principal of it."""

    def __init__(self, conninfo: str, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        public = jwt.get_algorithm_by_name("ES256").to_jwk(key.public_key(), as_dict=True)
        self.file = folder / "jwks.json"
        self.file.write_text(json.dumps({"keys": [public | {"kid": "1", "alg": "ES256"}]}), "utf-8")
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 86400}
        self._tokens = {
            trader: jwt.encode(claims | {"sub": str(trader)}, key, "ES256", {"kid": "1"}) for trader in DEMO_TRADERS
        }
        with psycopg.connect(conninfo) as connection:
            for trader in DEMO_TRADERS:
                connection.execute(
                    "INSERT INTO principals (issuer, subject, kind, trader_id) VALUES (%s, %s, 'trader', %s)",
                    (ISSUER, str(trader), trader),
                )

    def metadata(self, trader: UUID) -> tuple[tuple[str, str], ...]:
        """Return the metadata of a trader's call."""
        return (("authorization", f"Bearer {self._tokens[trader]}"),)

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a server that accepts these tokens."""
        return {
            "BLOTTER_AUTH": "jwt",
            "BLOTTER_JWT_ISSUER": ISSUER,
            "BLOTTER_JWT_AUDIENCES": AUDIENCE,
            "BLOTTER_JWT_JWKS": str(self.file),
        }


def by_metadata(trader: UUID) -> tuple[tuple[str, str], ...]:
    """Return the metadata of a trader's call to a server without tokens."""
    return (("x-trader-id", str(trader)),)


@asynccontextmanager
async def scraping() -> AsyncIterator[None]:
    """Read the metrics at intervals, as Prometheus does."""

    async def scrape() -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"http://{METRICS}/metrics") as answer:
                    await answer.read()
                await asyncio.sleep(SCRAPE_SECONDS)

    task = asyncio.create_task(scrape())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(submit: Submit, clients: int, traders: list[UUID], seconds: float) -> tuple[float, float, float]:
    """Return submits per second, and their p50 and p99 in milliseconds."""
    spent: list[float] = []
    end = time.perf_counter() + seconds

    async def client(trader_id: UUID) -> None:
        while (started := time.perf_counter()) < end:
            await submit(trader_id)
            spent.append(time.perf_counter() - started)

    await asyncio.gather(*(client(traders[number % len(traders)]) for number in range(clients)))
    cuts = statistics.quantiles(spent, n=100)
    return len(spent) / seconds, cuts[49] * 1000, cuts[98] * 1000


class Server:
    """A server that is measured."""

    def __init__(self, pid: int, stub: Any, metadata: Metadata) -> None:
        self._pid = pid
        self._stub = stub
        self._metadata = metadata
        self.submits = 0.0
        self.cpu_seconds = 0.0

    async def submit(self, trader: UUID) -> object:
        """Submit an order of the trader."""
        return await self._stub.SubmitOrder(request(), metadata=self._metadata(trader))

    async def measure(self, clients: int, seconds: float) -> float:
        """Return the submits per second."""
        before = cpu_seconds(self._pid)
        rate, _, _ = await measure(self.submit, clients, list(DEMO_TRADERS), seconds)
        self.cpu_seconds += cpu_seconds(self._pid) - before
        self.submits += rate * seconds
        return rate


@asynccontextmanager
async def serving_on(target: str, conninfo: str, metadata: Metadata, settings: dict[str, str]) -> AsyncIterator[Server]:
    """Run a server until the block ends."""
    async with (
        serving(conninfo, target, BLOTTER_SEQUENCER="false", **settings) as pid,
        aio.insecure_channel(target) as channel,
    ):
        yield Server(pid, order_service_pb2_grpc.OrderServiceStub(channel), metadata)


async def compare(plain: Server, full: Server, options: argparse.Namespace) -> None:
    """Measure both alternately; print each round, the median ratio and the CPU times."""
    for server in (plain, full):
        await server.measure(options.clients, 1)
        server.submits = server.cpu_seconds = 0.0
    ratios = []
    for number in range(options.rounds):
        rates = {}
        for server in (plain, full) if number % 2 else (full, plain):
            rates[server] = await server.measure(options.clients, options.seconds)
        ratios.append(rates[full] / rates[plain])
        print(f"{number + 1:2}  without {rates[plain]:6.0f}/s   with {rates[full]:6.0f}/s", flush=True)
    print(f"submits per second, with / without, median of {options.rounds}: {statistics.median(ratios):.3f}")
    without, with_all = (server.cpu_seconds / server.submits * 1000 for server in (plain, full))
    print(f"CPU time of the server per submit: without {without:.3f} ms, with {with_all:.3f} ms")


async def main(options: argparse.Namespace) -> None:
    """Start a database and both servers, and compare them."""
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            conninfo = await stack.enter_async_context(database())
            endpoint = await stack.enter_async_context(collector())
            tokens = Tokens(conninfo, Path(folder))
            features = {
                "identity": tokens.settings,
                "limits": {"BLOTTER_CALLS_PER_SECOND": "100000"},
                "metrics": {"BLOTTER_METRICS_LISTEN": METRICS},
                "traces": {"BLOTTER_OTLP_ENDPOINT": endpoint},
            }
            chosen = features.keys() - set(options.without.split(","))
            settings: dict[str, str] = {}
            for name in chosen:
                settings |= features[name]
            metadata = tokens.metadata if "identity" in chosen else by_metadata
            plain = await stack.enter_async_context(serving_on(PLAIN, conninfo, by_metadata, {}))
            full = await stack.enter_async_context(serving_on(FULL, conninfo, metadata, settings))
            if "metrics" in chosen:
                await stack.enter_async_context(scraping())
            await compare(plain, full, options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--without", default="", help="features to leave out, of identity, limits, metrics, traces")
    asyncio.run(main(parser.parse_args()))
