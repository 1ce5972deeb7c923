"""What the rows are measured on: one Postgres, one service on it, and what the rows add."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from grpc import aio

from benchmarks import messages, processes, serving
from benchmarks.harness import Harness, Loads
from benchmarks.load.plan import Caller, Plan
from service.embedded import Cluster

PEERS = Path(__file__).parent / "peers"
MORE_TRADERS = [UUID(int=number, version=4) for number in range(1, 1201)]
"""Traders that are watched, each of the first 1,000 by one stream."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured; less serves to try the benchmark."""

    watchers: int
    """Streams, each of a trader of its own; at most 1,000."""
    logs: int
    """The least number of logs that are read again."""


@dataclass(slots=True)
class Stage:
    """A running service, its database, and the means to load it."""

    harness: Harness
    loads: Loads
    cluster: Cluster
    conninfo: str
    """Of the service's database, as its owner."""
    target: str
    """The service's address."""
    server: int
    """The service's process id."""
    size: Size

    def plan(self, method: str, callers: Sequence[Caller], seconds: float, streams: int = 8) -> Plan:
        """Return the plan of calls of a method of OrderService."""
        return Plan(self.target, messages.ORDERS + method, callers, streams, seconds)

    async def call(self, method: str, caller: Caller) -> bytes:
        """Make one call; return the message as it was sent."""
        async with aio.insecure_channel(self.target) as channel:
            send: Any = channel.unary_unary(messages.ORDERS + method)
            answer: bytes = await send(caller.body, metadata=tuple(caller.headers.items()), timeout=30)
            return answer

    def superuser(self) -> psycopg.Connection[tuple[object, ...]]:
        """Connect to the service's database as the superuser."""
        name = psycopg.conninfo.conninfo_to_dict(self.conninfo)["dbname"]
        return psycopg.connect(self.cluster.conninfo(user="postgres", dbname=str(name)), autocommit=True)


@asynccontextmanager
async def stage(harness: Harness, size: Size) -> AsyncIterator[Stage]:
    """Start Postgres and the service; stop both when the block ends."""
    async with AsyncExitStack() as stack:
        cluster, postgres = stack.enter_context(serving.postgres())
        conninfo = serving.new_database(cluster, "blotter", [*messages.TRADERS, *MORE_TRADERS])
        target = processes.free_address()
        server = await stack.enter_async_context(serving.serving(conninfo, target))
        yield Stage(harness, Loads(postgres), cluster, conninfo, target, server, size)
