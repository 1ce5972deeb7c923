"""One bad, slow or greedy caller: how long the submits of three other traders take beside it.

The others make so many calls a second, evenly spaced, whether they are answered or not.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from benchmarks import messages, processes, serving
from benchmarks.harness import Arm, Row, Sample
from benchmarks.load.plan import Plan
from benchmarks.messages import TRADERS
from benchmarks.stage import Stage
from blotter.orders.v1 import order_service_pb2 as pb

CALLS_A_SECOND = 120
LIMIT = 50
_BEFORE_SECONDS = 0.7
NAMES = ("failing calls", "slow lists", "a flood", "a flood that is limited")
ROWS = tuple(
    Row(
        f"beside_{key}",
        f"three traders' submits, {CALLS_A_SECOND} a second, p50 beside a caller {what}, against alone",
        f"beside {name}",
        "alone with a limit" if key == "limited" else "alone",
        1.25,
        most=True,
        figure="p50_ms",
    )
    for key, name, what in (
        ("bad", NAMES[0], "whose calls fail in the database, 100 a second"),
        ("slow", NAMES[1], "with 4 lists of 500 orders open at any time"),
        ("greedy", NAMES[2], "with 64 submits open at any time"),
        ("limited", NAMES[3], f"with 64 submits open at any time, `BLOTTER_CALLS_PER_SECOND={LIMIT}`"),
    )
)


async def run(stage: Stage) -> None:
    """Measure the arms."""
    greedy = messages.new_orders(TRADERS[0])
    unknown = messages.new_orders(uuid4())
    lists = messages.caller(TRADERS[0], pb.ListOrdersRequest(page_size=500))
    flood = stage.plan("SubmitOrder", [greedy], 600, streams=64)
    target = processes.free_address()
    limits = {"BLOTTER_CALLS_PER_SECOND": str(LIMIT), "BLOTTER_SEQUENCER": "false"}
    async with serving.serving(stage.conninfo, target, **limits) as limited:
        limited_flood = Plan(target, flood.path, [greedy], streams=64, seconds=600)
        arms = {
            "alone": _arm(stage, stage.target, stage.server, None),
            "alone with a limit": _arm(stage, target, limited, None),
            f"beside {NAMES[0]}": _arm(
                stage, stage.target, stage.server, Plan(stage.target, flood.path, [unknown], seconds=600, rate=100)
            ),
            f"beside {NAMES[1]}": _arm(
                stage, stage.target, stage.server, stage.plan("ListOrders", [lists], 600, streams=4)
            ),
            f"beside {NAMES[2]}": _arm(stage, stage.target, stage.server, flood),
            f"beside {NAMES[3]}": _arm(stage, target, limited, limited_flood),
        }
        await stage.harness.in_turns({name: ("calls/s", arm) for name, arm in arms.items()})


def _arm(stage: Stage, target: str, server: int, beside: Plan | None) -> Arm:
    others = [messages.new_orders(trader) for trader in TRADERS[1:]]

    async def measure(seconds: float) -> Sample:
        plan = Plan(target, messages.ORDERS + "SubmitOrder", others, seconds=seconds, rate=CALLS_A_SECOND)
        async with _loading(beside):
            sample = await stage.loads.measure(plan, server)
        # The CPU time is also that of the calls beside.
        return Sample(sample.value, sample.p50_ms, sample.p99_ms)

    return measure


@asynccontextmanager
async def _loading(plan: Plan | None) -> AsyncIterator[None]:
    """Carry out a plan, whose calls may fail, until the block ends."""
    if plan is None:
        yield
        return
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "benchmarks.load", stdin=PIPE, stdout=DEVNULL)
    try:
        assert process.stdin  # noqa: S101  # a pipe
        process.stdin.write(plan.failing().dump().encode())
        await process.stdin.drain()
        process.stdin.close()
        await asyncio.sleep(_BEFORE_SECONDS)
        if process.returncode is not None:
            raise RuntimeError("The load beside has ended.")
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
