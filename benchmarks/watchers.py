"""Benchmark of watchers: their cost for a trader's submits, and the delay until they receive the events.

    .venv/bin/python -m benchmarks.watchers [--seconds 5] [--watchers 0 1 50 200]

One client submits orders sequentially while a number of streams watch the same trader. For each number of watchers, it
prints submits per second with their p50 and p99, and the time from the response until the first watcher receives the
event. Client, server and database run on the same machine: compare the rows of one run, not different runs.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence

from grpc import aio

from benchmarks.messages import request
from benchmarks.serving import TARGET, database, serving
from blotter.orders.v1 import order_service_pb2_grpc, watch_pb2
from replay.traders import DEMO_TRADERS

METADATA = (("x-trader-id", str(next(iter(DEMO_TRADERS)))),)


async def watch(
    stub: order_service_pb2_grpc.OrderServiceAsyncStub, ready: asyncio.Event, seen: dict[int, float]
) -> None:
    """Watch the trader; record when the first watcher receives each sequence."""
    call = stub.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=METADATA)
    async for message in call:
        if message.HasField("snapshot_complete"):
            ready.set()
        for event in message.events.events:
            seen.setdefault(event.sequence, time.perf_counter())


def cuts(spent: Sequence[float]) -> tuple[float, float]:
    """Return p50 and p99 in milliseconds."""
    hundredths = statistics.quantiles(spent, n=100)
    return hundredths[49] * 1000, hundredths[98] * 1000


async def measure(watchers: int, seconds: float) -> None:
    """Measure with the given number of watchers, and print a row."""
    async with aio.insecure_channel(TARGET) as watching, aio.insecure_channel(TARGET) as submitting:
        seen: dict[int, float] = {}
        ready = [asyncio.Event() for _ in range(watchers)]
        stub = order_service_pb2_grpc.OrderServiceStub(watching)
        tasks = [asyncio.create_task(watch(stub, event, seen)) for event in ready]
        await asyncio.gather(*(event.wait() for event in ready))

        submit = order_service_pb2_grpc.OrderServiceStub(submitting).SubmitOrder
        spent, answered = [], {}
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            order = (await submit(request(), metadata=METADATA)).order
            answered[order.last_sequence] = now = time.perf_counter()
            spent.append(now - started)
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        row = "{:4d} watchers  {:6.0f}/s   p50 {:6.1f} ms   p99 {:6.1f} ms".format(
            watchers, len(spent) / seconds, *cuts(spent)
        )
        if watchers:
            delays = [max(0, seen[sequence] - moment) for sequence, moment in answered.items()]
            row += "   received after: p50 {:6.1f} ms   p99 {:6.1f} ms".format(*cuts(delays))
        print(row, flush=True)


async def main(options: argparse.Namespace) -> None:
    """Measure each number of watchers in turn."""
    async with database() as conninfo, serving(conninfo):
        await measure(0, 1)  # warm-up
        for watchers in options.watchers:
            await measure(watchers, options.seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--watchers", type=int, nargs="+", default=[0, 1, 50, 200])
    asyncio.run(main(parser.parse_args()))
