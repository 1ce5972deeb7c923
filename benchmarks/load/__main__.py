"""The process of the load: reads a plan from standard input, carries it out, and prints what it counted."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from contextlib import suppress
from functools import partial

from benchmarks.load import http1, http2
from benchmarks.load.paced import Paced
from benchmarks.load.plan import Counted, Plan

_PATIENCE_SECONDS = 30


async def run(plan: Plan) -> Counted:
    """Carry out the plan."""
    times: list[tuple[float, float]] = []
    failed = received = 0

    def answered(begun: float, ended: float, size: int) -> None:
        nonlocal failed, received
        if size:
            times.append((begun, ended))
            received += size
        else:
            failed += 1
            if not plan.may_fail:
                stopped.set()

    stopped = asyncio.Event()
    host, _, port = plan.target.rpartition(":")
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    connections = _connections(plan, answered)
    for connection in connections:
        await loop.create_connection(partial(_same, connection), host, int(port))
    pacing = [
        loop.create_task(connection.run(plan.rate, plan.warm_seconds + plan.seconds))
        for connection in connections
        if isinstance(connection, Paced) and plan.rate
    ]
    begin = time.perf_counter() + plan.warm_seconds
    end = begin + plan.seconds
    with suppress(TimeoutError):
        await asyncio.wait_for(stopped.wait(), end - time.perf_counter())
    for connection in connections:
        connection.stop()
    await asyncio.gather(*pacing)
    async with asyncio.timeout(_PATIENCE_SECONDS):
        await asyncio.gather(*(connection.idle.wait() for connection in connections))
    for connection in connections:
        connection.close()
    spent = sorted(ended - begun for begun, ended in times if begin <= ended < end)
    return Counted(
        calls=len(times),
        failed=failed,
        rate=len(spent) / plan.seconds,
        p50=spent[len(spent) // 2] if spent else 0.0,
        p99=spent[len(spent) * 99 // 100] if spent else 0.0,
        response_bytes=received / len(times) if times else 0.0,
        cpu_seconds=time.process_time(),
        wall_seconds=time.perf_counter() - started,
    )


def _connections(plan: Plan, answered: http2.Answered) -> list[http1.Connection | http2.Calls]:
    if plan.rate:
        return [Paced(plan.target, plan.path, plan.callers, answered)]
    if plan.http1:
        each = [caller for caller in plan.callers for _ in range(plan.streams)]
        return [http1.Connection(plan.target, plan.path, caller, answered) for caller in each]
    return [http2.Connection(plan.target, plan.path, caller, plan.streams, answered) for caller in plan.callers]


def _same(connection: http1.Connection | http2.Calls) -> http1.Connection | http2.Calls:
    return connection


if __name__ == "__main__":
    gc.disable()
    print(asyncio.run(run(Plan.load(sys.stdin.read()))).dump())
