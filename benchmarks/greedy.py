"""Benchmark of one greedy caller: how long the submits of three other traders take while it floods the server.

    .venv/bin/python -m benchmarks.greedy [--seconds 5] [--rounds 3] [--rate 50] [--concurrent 64]

The other traders submit 10 orders a second each. The greedy trader, in a process of its own, submits with many calls at
one time and without a pause, also after a refusal. Each round measures the others alone, beside the greedy trader, and
beside the greedy trader on a server with BLOTTER_CALLS_PER_SECOND. Client, server and database run on the same machine,
so that the flood also takes processor time from the others' client: compare the rows of one run, not different runs.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from grpc import aio

from benchmarks.messages import request
from benchmarks.serving import TARGET, database, serving
from blotter.orders.v1 import order_service_pb2_grpc
from replay.traders import DEMO_TRADERS

GREEDY, *OTHERS = list(DEMO_TRADERS)[:4]
PAUSE = 0.1
BETWEEN = {"alone": (False, False), "beside a greedy one": (True, False), "and with a limit": (True, True)}
"""Whether the greedy trader floods the server, and whether calls are limited."""


async def flood(concurrent: int) -> None:
    """Submit without a pause until the process is ended."""
    async with aio.insecure_channel(TARGET) as channel:
        submit = order_service_pb2_grpc.OrderServiceStub(channel).SubmitOrder

        async def client() -> None:
            while True:
                try:
                    await submit(request(), metadata=(("x-trader-id", str(GREEDY)),))
                except aio.AioRpcError:
                    continue

        await asyncio.gather(*(client() for _ in range(concurrent)))


@asynccontextmanager
async def flooding(concurrent: int) -> AsyncIterator[None]:
    """Flood the server from another process until the block ends."""
    arguments = ("-m", "benchmarks.greedy", "--flood", "--concurrent", str(concurrent))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
    try:
        await asyncio.sleep(2)  # it starts
        yield
    finally:
        process.terminate()
        await process.wait()


async def others(seconds: float) -> list[float]:
    """Return the seconds that each submit of the other traders took; all of them must be served."""
    spent: list[float] = []
    end = time.perf_counter() + seconds
    async with aio.insecure_channel(TARGET) as channel:
        submit = order_service_pb2_grpc.OrderServiceStub(channel).SubmitOrder

        async def client(trader_id: UUID) -> None:
            while (started := time.perf_counter()) < end:
                await submit(request(), metadata=(("x-trader-id", str(trader_id)),))
                spent.append(time.perf_counter() - started)
                await asyncio.sleep(PAUSE)

        await asyncio.gather(*map(client, OTHERS))
    return spent


async def measure(conninfo: str, options: argparse.Namespace, *, greedy: bool, limited: bool) -> list[float]:
    """Return the seconds of the others' submits in one case."""
    settings = {"BLOTTER_CALLS_PER_SECOND": str(options.rate)} if limited else {}
    async with serving(conninfo, BLOTTER_SEQUENCER="false", **settings):
        await others(1)  # warm-up
        if not greedy:
            return await others(options.seconds)
        async with flooding(options.concurrent):
            return await others(options.seconds)


async def main(options: argparse.Namespace) -> None:
    """Measure the cases alternately; print each, and the ratios of the medians."""
    medians: dict[str, list[float]] = {name: [] for name in BETWEEN}
    async with database() as conninfo:
        for number in range(1, options.rounds + 1):
            for name, (greedy, limited) in BETWEEN.items():
                spent = await measure(conninfo, options, greedy=greedy, limited=limited)
                cuts = statistics.quantiles(spent, n=100)
                medians[name].append(cuts[49])
                middle, high = cuts[49] * 1000, cuts[98] * 1000
                print(
                    f"{number}  {name:20} {len(spent):4} served   p50 {middle:6.1f} ms   p99 {high:6.1f} ms", flush=True
                )
    alone, *beside = (statistics.median(found) for found in medians.values())
    print("p50 beside a greedy caller / alone: {:.1f}; with a limit: {:.1f}".format(*(one / alone for one in beside)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--concurrent", type=int, default=64)
    parser.add_argument("--flood", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    asyncio.run(flood(given.concurrent) if given.flood else main(given))
