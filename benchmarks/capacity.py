"""Benchmark of what records and callers occupy: disk and WAL an event, and memory a stream and a connection.

    .venv/bin/python -m benchmarks.capacity [--orders 5000] [--streams 1000] [--connections 200]

Orders are submitted one by one, then each is filled once; the ledger is signed once a second. Sizes are those of all
tables with their indexes, after the ledger has all events. The WAL of the first event on a page after a checkpoint of
PostgreSQL holds the whole page: that part depends on `checkpoint_timeout`, and is printed beside the total.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import psycopg
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio
from prometheus_client.parser import text_string_to_metric_families
from psycopg.conninfo import make_conninfo

from benchmarks.messages import request
from benchmarks.serving import TARGET, database, serving
from blotter.orders.v1 import execution_report_pb2, order_pb2, order_service_pb2_grpc, watch_pb2
from replay.traders import DEMO_TRADERS

METRICS = "127.0.0.1:50062"
CLIENTS = 16
PATIENCE_SECONDS = 60
EXECUTION = (("x-caller-role", "execution"),)
SIZES = """
    SELECT relname, pg_total_relation_size(oid) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
"""
SESSIONS = "SELECT pid FROM pg_stat_activity WHERE usename = 'blotter_trader'"


@dataclass(frozen=True, slots=True)
class Usage:
    """What the database occupies: bytes by table, bytes of WAL, and those of them that are whole pages."""

    tables: dict[str, int]
    wal: int
    pages: int


async def metrics() -> dict[str, float]:
    """Return the values of the server's metrics that have no label."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{METRICS}/metrics") as answer:
        text = await answer.text()
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {sample.name: sample.value for sample in samples if not sample.labels}


async def usage(looking: psycopg.AsyncConnection[tuple[Any, ...]], events: int) -> Usage:
    """Return what the database occupies when its ledger has that many entries."""
    async with asyncio.timeout(PATIENCE_SECONDS):  # more entries mean that another program calls this server
        size = 0
        while size != events:
            await asyncio.sleep(0.1)
            [(size,)] = await (await looking.execute("SELECT coalesce(max(size), 0) FROM ledger_head")).fetchall()
    # pg_stat_wal counts what sessions have reported, and these report at their next idle moment.
    await asyncio.sleep(2)
    rows = await (await looking.execute(SIZES.encode())).fetchall()
    wal = await (await looking.execute("SELECT wal_bytes::bigint, wal_fpi * 8192 FROM pg_stat_wal")).fetchone()
    assert wal  # noqa: S101  # the view has one row
    return Usage(dict(rows), *wal)


def row(what: str, before: Usage, after: Usage, events: int) -> str:
    """Return the line of a kind of event."""
    grown = {name: (size - before.tables[name]) / events for name, size in after.tables.items()}
    largest = sorted(grown.items(), key=lambda item: -item[1])[:5]
    wal, pages = (after.wal - before.wal) / events, (after.pages - before.pages) / events
    return (
        f"{what}: {sum(grown.values()):,.0f} bytes of tables ("
        + ", ".join(f"{name} {size:,.0f}" for name, size in largest)
        + f"), {wal:,.0f} bytes of WAL, at most {pages:,.0f} of them whole pages"
    )


async def submitted(channel: aio.Channel, count: int) -> list[order_pb2.Order]:
    """Submit orders, some at once, of all demo traders in turn."""
    submit = order_service_pb2_grpc.OrderServiceStub(channel).SubmitOrder
    traders = list(DEMO_TRADERS)

    async def client(number: int) -> list[order_pb2.Order]:
        metadata = (("x-trader-id", str(traders[number % len(traders)])),)
        return [(await submit(request(), metadata=metadata)).order for _ in range(number, count, CLIENTS)]

    return [order for orders in await asyncio.gather(*map(client, range(CLIENTS))) for order in orders]


async def fill(channel: aio.Channel, orders: list[order_pb2.Order]) -> None:
    """Fill each order in part, some at once."""
    report = order_service_pb2_grpc.OrderServiceStub(channel).ReportExecution

    async def client(number: int) -> None:
        for order in orders[number::CLIENTS]:
            filled = execution_report_pb2.ReportExecutionRequest(
                trader_id=order.trader_id,
                order_id=order.order_id,
                report_id=uuid4().hex,
                venue="NASDAQ",
                event_time=Timestamp(seconds=1_340_285_400),
                fill=execution_report_pb2.FillReport(execution_id=uuid4().hex, quantity=40, price="585.33"),
            )
            await report(filled, metadata=EXECUTION)

    await asyncio.gather(*map(client, range(CLIENTS)))


async def measure_disk(conninfo: str, orders: int) -> None:
    """Print the disk and the WAL of an order and of a fill, and the memory of a database session."""
    async with (
        aio.insecure_channel(TARGET) as channel,
        await psycopg.AsyncConnection.connect(make_conninfo(conninfo, user="postgres"), autocommit=True) as looking,
    ):
        warm = len(await submitted(channel, 500))
        entries = warm + 1  # the first names the key
        begin = await usage(looking, entries)
        entered = await submitted(channel, orders)
        middle = await usage(looking, entries + orders)
        await fill(channel, entered)
        end = await usage(looking, entries + 2 * orders)
        print(row("an order", begin, middle, orders))
        print(row("a fill  ", middle, end, orders))
        pids = [pid for (pid,) in await (await looking.execute(SESSIONS)).fetchall()]
        print(f"a session of blotter_trader: {statistics.median(private_of(pids)) / 1e6:.1f} MB of memory of its own")


def private_of(pids: Iterable[int]) -> Iterable[int]:
    """Yield the memory of each process that it shares with no other, in bytes."""
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        yield sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


@asynccontextmanager
async def watching(channels: list[aio.Channel], streams: int) -> AsyncIterator[None]:
    """Hold streams open, spread over the channels, each past its snapshot of no order."""
    metadata = (("x-trader-id", str(list(DEMO_TRADERS)[-1])),)
    wanted = watch_pb2.WatchOrdersRequest(symbols=["NONE"])
    calls = []
    for number in range(streams):
        stub = order_service_pb2_grpc.OrderServiceStub(channels[number % len(channels)])
        calls.append(call := stub.WatchOrders(wanted, metadata=metadata))
        await call.read()
    try:
        yield
    finally:
        for call in calls:
            call.cancel()


async def measure_memory(streams: int, connections: int) -> None:
    """Print the memory of the server, and that of a connection and of a stream."""
    async with AsyncExitStack() as stack:
        # Without a pool of its own, gRPC would put all channels to one target on one connection.
        alone = [("grpc.use_local_subchannel_pool", 1)]
        channels = [aio.insecure_channel(TARGET, options=alone) for _ in range(connections)]
        before = (await metrics())["process_resident_memory_bytes"]
        for channel in channels:
            await stack.enter_async_context(channel)
            await channel.channel_ready()
        connected = (await metrics())["process_resident_memory_bytes"]
        await stack.enter_async_context(watching(channels, streams))
        opened = (await metrics())["process_resident_memory_bytes"]
        print(
            f"the server: {before / 1e6:.0f} MB; a connection: {(connected - before) / connections / 1e3:.0f} kB; "
            f"a stream: {(opened - connected) / streams / 1e3:.1f} kB"
        )


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--orders", type=int, default=5000)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=200)
    options = parser.parse_args()
    settings = {"BLOTTER_METRICS_LISTEN": METRICS, "BLOTTER_MAX_STREAMS_PER_CALLER": str(options.streams)}
    async with database() as conninfo, serving(conninfo, **settings):
        await measure_disk(conninfo, options.orders)
        await measure_memory(options.streams, options.connections)


if __name__ == "__main__":
    asyncio.run(main())
