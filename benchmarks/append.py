"""Benchmark of the ledger: latency of positions and signatures, and the throughput of the sequencer.

    .venv/bin/python -m benchmarks.append [--seconds 10] [--rate 200] [--leaves 1000000]

- the time from the response to a submit until its position is on a stream of all traders, and until a signed
  checkpoint includes it, at `--rate` submits per second: p50 and p99;
- events per second that the sequencer appends from a backlog, to an empty tree and to one of `--leaves` leaves (the
  work per event should be constant), and the bytes per entry;
- the time of an inclusion proof over gRPC in the large tree.

Client, server and database run on the same machine. Only the ratio is comparable with other machines.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Iterator, Sequence

import psycopg
from grpc import aio

from benchmarks.messages import request
from benchmarks.serving import TARGET, database, serving
from blotter.audit.v1 import audit_service_pb2, audit_service_pb2_grpc, ledger_pb2
from blotter.orders.v1 import order_service_pb2_grpc
from blotter_verifier.hashing import leaf_hash
from replay.traders import DEMO_TRADERS
from service.domain.identity import Caller, CallerKind
from service.ledger.edge import Edge
from service.observability.metrics import Metrics
from service.repositories.append import LedgerWriter
from service.repositories.database import Database
from service.repositories.orders import Orders
from service.repositories.sessions import login_to
from service.sequencing.sequencer import PORTION
from service.servicers.order_validation import new_order

TRADERS = list(DEMO_TRADERS)
COMPLIANCE = (("x-caller-role", "compliance"),)


def cuts(spent: Sequence[float]) -> str:
    """Return p50 and p99 as text."""
    hundredths = statistics.quantiles(spent, n=100)
    return f"p50 {hundredths[49] * 1000:7.1f} ms   p99 {hundredths[98] * 1000:7.1f} ms"


async def delays(conninfo: str, options: argparse.Namespace) -> None:
    """Print the latency of positions and signatures."""
    async with serving(conninfo), aio.insecure_channel(TARGET) as channel, aio.insecure_channel(TARGET) as other:
        audit = audit_service_pb2_grpc.AuditServiceStub(other)
        positions: dict[str, tuple[int, float]] = {}
        signed: list[tuple[int, float]] = []

        async def follow() -> None:
            wanted = audit_service_pb2.StreamExecutionLogsRequest(follow=True)
            async for message in audit.StreamExecutionLogs(wanted, metadata=COMPLIANCE):
                for log in message.logs.execution_logs:
                    positions[log.order_id] = log.position, time.perf_counter()

        async def sign() -> None:
            while True:
                await asyncio.sleep(0.02)
                try:
                    answer = await audit.GetCheckpoint(ledger_pb2.GetCheckpointRequest(), metadata=COMPLIANCE)
                except aio.AioRpcError:
                    continue
                signed.append((answer.checkpoint.tree_size, time.perf_counter()))

        tasks = [asyncio.create_task(follow()), asyncio.create_task(sign())]
        submit = order_service_pb2_grpc.OrderServiceStub(channel).SubmitOrder
        answered: dict[str, float] = {}

        async def one() -> None:
            metadata = (("x-trader-id", str(random.choice(TRADERS))),)  # noqa: S311  # not a secret
            answer = await submit(request(), metadata=metadata)
            answered[answer.order.order_id] = time.perf_counter()

        async with asyncio.TaskGroup() as group:
            begin = time.perf_counter()
            for number in range(int(options.seconds * options.rate)):
                await asyncio.sleep(max(0, begin + number / options.rate - time.perf_counter()))
                group.create_task(one())
        await asyncio.sleep(3)
        for task in tasks:
            task.cancel()
        print(f"{len(answered)} submits at {options.rate}/s")
        print("  response to position    ", cuts([positions[key][1] - moment for key, moment in answered.items()]))
        first = [
            next(seen for size, seen in signed if size > positions[key][0]) - moment for key, moment in answered.items()
        ]
        print("  response to signature   ", cuts(first))


def insert_leaves(conninfo: str, leaves: int) -> None:
    """Insert a tree of the given number of small leaves into an empty ledger."""

    def content() -> Iterator[bytes]:
        return (b'{"number":%d}' % number for number in range(leaves))

    with psycopg.connect(login_to(conninfo, "postgres", None, {})) as superuser:
        superuser.execute("SET session_replication_role = replica")
        with superuser.cursor().copy("COPY ledger_entries (position, kind, leaf) FROM STDIN") as copy:
            for position, leaf in enumerate(content()):
                copy.write_row((position, "BASELINE", leaf))
        tree = Edge()
        with superuser.cursor().copy("COPY ledger_tiles (level, tile_index, hashes, root) FROM STDIN") as copy:
            for tile in tree.append(map(leaf_hash, content())):
                copy.write_row((tile.level, tile.index, tile.hashes, tile.root))
        superuser.execute("INSERT INTO ledger_head (id) VALUES (true) ON CONFLICT DO NOTHING")
        superuser.execute("UPDATE ledger_head SET size = %s", [tree.size])
    with psycopg.connect(login_to(conninfo, "postgres", None, {}), autocommit=True) as superuser:
        superuser.execute("VACUUM ANALYZE ledger_entries, ledger_tiles")


async def throughput(conninfo: str) -> None:
    """Print the rate at which a backlog is appended, and the size of an entry."""
    pools = Database(conninfo, {CallerKind.TRADER: 4}, metrics=Metrics())
    await pools.open()
    orders = Orders(pools, lambda _: None)

    async def backlog(trader: int) -> None:
        caller = Caller(CallerKind.TRADER, TRADERS[trader], "benchmark", "benchmark")
        for _ in range(10):
            await orders.submit(caller, TRADERS[trader], [new_order(request(), batch=True) for _ in range(500)])

    async with LedgerWriter.connected(conninfo, None) as writer:
        tree = await writer.edge()
        while await writer.append(tree, PORTION):
            pass
        before = tree.size
        await asyncio.gather(*map(backlog, range(4)))
        started, size = time.perf_counter(), tree.size
        while await writer.append(tree, PORTION):
            pass
        rate = (tree.size - size) / (time.perf_counter() - started)
    await pools.close()
    print(
        f"the sequencer appends {rate:.0f} events/s from a backlog of {tree.size - size} to a tree of {before} leaves"
    )
    if before:
        return
    with psycopg.connect(login_to(conninfo, "blotter_compliance", None, {})) as connection:
        [(entries, leaf, tiles)] = connection.execute(
            "SELECT pg_total_relation_size('ledger_entries')::float8 / count(*), avg(octet_length(leaf))::float8, "
            "pg_total_relation_size('ledger_tiles')::float8 / count(*) FROM ledger_entries"
        ).fetchall()
    print(f"  an entry has {entries:.0f} bytes with its indexes, {leaf:.0f} of them the leaf, and {tiles:.0f} of tiles")


async def proofs(conninfo: str, leaves: int) -> None:
    """Print the time of an inclusion proof in a tree of the given number of leaves."""
    async with serving(conninfo, BLOTTER_SEQUENCER="false"), aio.insecure_channel(TARGET) as channel:
        audit = audit_service_pb2_grpc.AuditServiceStub(channel)
        spent = []
        for _ in range(500):
            position = random.randrange(leaves)  # noqa: S311  # not a secret
            started = time.perf_counter()
            wanted = ledger_pb2.GetInclusionProofRequest(position=position, tree_size=leaves)
            await audit.GetInclusionProof(wanted, metadata=COMPLIANCE)
            spent.append(time.perf_counter() - started)
    print(f"inclusion proof in a tree of {leaves} leaves   {cuts(spent)}")


async def main(options: argparse.Namespace) -> None:
    """Run the measurements one after the other."""
    async with database() as conninfo:
        await delays(conninfo, options)
    for leaves in (0, options.leaves):
        async with database() as conninfo:
            await asyncio.to_thread(insert_leaves, conninfo, leaves)
            await throughput(conninfo)
            if leaves:
                await proofs(conninfo, leaves)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--leaves", type=int, default=1_000_000)
    asyncio.run(main(parser.parse_args()))
