"""Benchmark of submits per second: over gRPC and as the underlying database call, alternately on one machine.

    .venv/bin/python -m benchmarks.submit [--seconds 5] [--clients 16] [--traders 4] [--rounds 3]

Only the ratio is comparable with other machines. The service is one process, and so is the load. Postgres runs with
its defaults (fsync on) in a temporary directory.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import UUID, uuid4

from grpc import aio

from benchmarks.messages import request
from benchmarks.serving import TARGET, database, serving
from blotter.orders.v1 import order_service_pb2_grpc
from replay.traders import DEMO_TRADERS
from service.domain.identity import Caller, CallerKind
from service.observability.metrics import Metrics
from service.repositories.database import Database
from service.repositories.orders import Orders
from service.servicers.order_validation import new_order

Submit = Callable[[UUID], Awaitable[object]]


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


async def compare(conninfo: str, target: str, options: argparse.Namespace) -> None:
    """Measure both alternately; print each round and the median ratio."""
    database = Database(conninfo, {CallerKind.TRADER: 8}, metrics=Metrics())
    await database.open()
    orders = Orders(database, lambda _: None)
    order = new_order(request())
    traders = list(DEMO_TRADERS)[: options.traders]
    async with aio.insecure_channel(target) as channel:
        stub = order_service_pb2_grpc.OrderServiceStub(channel)

        async def over_grpc(trader_id: UUID) -> object:
            return await stub.SubmitOrder(request(), metadata=(("x-trader-id", str(trader_id)),))

        async def database_call(trader_id: UUID) -> object:
            caller = Caller(CallerKind.TRADER, trader_id, "benchmark", "benchmark")
            return await orders.submit(caller, trader_id, [replace(order, client_order_id=uuid4().hex)])

        ratios = []
        for number in range(1 + options.rounds):
            seconds = options.seconds if number else 1  # the first round is a warm-up
            rows = [await measure(submit, options.clients, traders, seconds) for submit in (over_grpc, database_call)]
            if number:
                for name, (rate, middle, high) in zip(("over gRPC    ", "database call"), rows, strict=True):
                    print(f"{number}  {name}  {rate:7.0f}/s   p50 {middle:6.1f} ms   p99 {high:6.1f} ms")
                ratios.append(rows[0][0] / rows[1][0])
        print(f"over gRPC / database call, median of {options.rounds}: {statistics.median(ratios):.2f}")
    await database.close()


async def main(options: argparse.Namespace) -> None:
    """Start a database and a server, and compare."""
    async with database() as conninfo, serving(conninfo):
        await compare(conninfo, TARGET, options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--traders", type=int, default=4, choices=range(1, 5))
    parser.add_argument("--rounds", type=int, default=3)
    asyncio.run(main(parser.parse_args()))
