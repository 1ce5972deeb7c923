"""Four workers on four cores against one on one.

A machine whose cores are fewer than the processes cannot show it directly: there, what a core can do is 1 over the CPU
time of a call, of the workers and of Postgres together, and four cores can do four times that.
"""

from __future__ import annotations

import asyncio
import os

from benchmarks import messages, processes, serving
from benchmarks.harness import Arm, Row, Sample
from benchmarks.load.plan import Plan
from benchmarks.stage import MORE_TRADERS, Stage
from service.settings import Settings

WORKERS = 4
_CORES_FOR_ALL = WORKERS + 3
"""Of the workers, Postgres and the load."""
_CONNECTIONS = 16
"""With a trader each: the calls of one trader wait for each other, in all workers."""
_START_SECONDS = 3
"""Until all workers have started, which the first answer does not show."""
_OURS, _OTHER = "4 workers on 4 cores", "1 worker on 1 core"
_WHAT = "4 workers on 4 cores against 1 on 1, computed from the CPU time of a call on a machine with fewer cores"
ROWS = (Row("workers", _WHAT, _OURS, _OTHER, 3.5),)


async def run(stage: Stage) -> None:
    """Measure the arms."""
    enough = (os.cpu_count() or 1) >= _CORES_FOR_ALL
    unit = "calls/s" if enough else "calls/s by CPU time"
    if "workers" not in Settings.model_fields:
        stage.harness.absent(_OURS, unit, "this release has no workers")
        return
    target, others = processes.free_address(), processes.free_address()
    off = {"BLOTTER_SEQUENCER": "false"}  # the stage's server sequences
    async with (
        serving.serving(stage.conninfo, target, **off) as one,
        serving.serving(stage.conninfo, others, "--workers", str(WORKERS), **off) as several,
    ):
        await asyncio.sleep(_START_SECONDS)
        arms = {
            _OURS: (unit, _arm(stage, others, several, WORKERS, enough=enough)),
            _OTHER: (unit, _arm(stage, target, one, 1, enough=enough)),
        }
        await stage.harness.in_turns(arms)


def _arm(stage: Stage, target: str, server: int, cores: int, *, enough: bool) -> Arm:
    callers = [messages.new_orders(trader) for trader in MORE_TRADERS[:_CONNECTIONS]]

    async def measure(seconds: float) -> Sample:
        plan = Plan(target, messages.ORDERS + "SubmitOrder", callers, streams=2 * cores, seconds=seconds)
        sample = await stage.loads.measure(plan, server)
        if enough:
            return sample
        return Sample(
            cores * 1000 / ((sample.server_ms or 0) + (sample.postgres_ms or 0)),
            server_ms=sample.server_ms,
            postgres_ms=sample.postgres_ms,
        )

    return measure
