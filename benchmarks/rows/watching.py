"""Watchers: what they cost the trader whom they watch, how soon they receive an event, and what idle ones cost."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from benchmarks import messages, processes, serving
from benchmarks.harness import Arm, Row, Sample
from benchmarks.load.plan import Caller, Plan
from benchmarks.load.watching import Watch
from benchmarks.stage import MORE_TRADERS, Stage
from blotter.orders.v1 import watch_pb2

EVENTS_A_SECOND = 500
_PATIENCE_SECONDS = 120
_ONE = "submits beside {} watchers"
ROWS = (
    Row(
        "watchers_50", "50 watchers on one trader: its submits against none watching", _ONE.format(50), _ONE.format(0),
        0.8,
    ),
    Row("watchers_200", "200 watchers on one trader: the same", _ONE.format(200), _ONE.format(0), 0.5),
    Row(
        "event_p50", "1,000 watchers of as many traders, 500 events a second: answer to event, p50",
        "events to 1,000 watchers", None, 20, most=True, unit="ms", figure="p50_ms",
    ),
    Row("event_p99", "the same, p99", "events to 1,000 watchers", None, 100, most=True, unit="ms", figure="p99_ms"),
    Row(
        "idle_memory", "idle watcher: memory of the server", "memory of an idle watcher", None, 50,
        most=True, unit="KiB",
    ),
    Row(
        "idle_queries", "1,000 idle watchers: queries of their own", "queries of 1,000 idle watchers", None, 1,
        most=True, unit="a second",
    ),
    Row(
        "idle_cpu", "1,000 idle watchers: CPU of the server", "CPU of 1,000 idle watchers", None, 1,
        most=True, unit="% of a core",
    ),
)  # fmt: skip


async def run(stage: Stage) -> None:
    """Measure the arms."""
    harness = stage.harness
    fresh = iter(MORE_TRADERS[1000:])
    await harness.in_turns({_ONE.format(count): ("calls/s", _beside(stage, count, fresh)) for count in (0, 50, 200)})
    await harness.in_turns({"events to 1,000 watchers": ("events/s", _events(stage))}, rounds=min(3, harness.rounds))
    await _idle(stage)


def watcher(trader: UUID) -> Caller:
    """Return the trader as a watcher of its orders."""
    return messages.caller(trader, watch_pb2.WatchOrdersRequest())


@asynccontextmanager
async def watching(watch: Watch) -> AsyncIterator[asyncio.subprocess.Process]:
    """Open the streams in a process of its own, until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.load.watching", stdin=PIPE, stdout=PIPE, limit=2**20
    )
    try:
        await _say(process, watch.dump())
        if (await _line(process)).strip() != "ready":
            raise RuntimeError("The watchers' streams did not open.")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _say(process: asyncio.subprocess.Process, line: str) -> None:
    assert process.stdin  # noqa: S101  # a pipe
    process.stdin.write(line.encode() + b"\n")
    await process.stdin.drain()


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout  # noqa: S101  # a pipe
    return (await asyncio.wait_for(process.stdout.readline(), _PATIENCE_SECONDS)).decode()


async def _seen(process: asyncio.subprocess.Process) -> dict[str, Any]:
    line = await _line(process)
    if not line:
        raise RuntimeError("The watchers have not received each event.")
    seen: dict[str, Any] = json.loads(line)
    return seen


def _beside(stage: Stage, count: int, fresh: Iterator[UUID]) -> Arm:
    """Return the arm of one caller's submits while so many streams watch its trader."""

    async def measure(seconds: float) -> Sample:
        trader = next(fresh)  # without orders, so that no snapshot is to be sent
        plan = stage.plan("SubmitOrder", [messages.new_orders(trader)], seconds, streams=1)
        if not count:
            return await stage.loads.measure(plan, stage.server)
        async with watching(Watch([watcher(trader)] * count, plan)) as process:
            sample = await stage.loads.measure(plan, stage.server)
            await _say(process, str(_last_sequence(stage, trader)))
            await _seen(process)
        return sample

    return measure


def _last_sequence(stage: Stage, trader: UUID) -> int:
    with stage.superuser() as looking:
        rows = looking.execute("SELECT last_sequence FROM trader_sequences WHERE trader_id = %s", [trader]).fetchall()
    return int(str(rows[0][0]))


def _events(stage: Stage) -> Arm:
    traders = MORE_TRADERS[: stage.size.watchers]

    async def measure(seconds: float) -> Sample:
        submits = [messages.new_orders(trader) for trader in traders]
        plan = Plan(stage.target, messages.ORDERS + "SubmitOrder", submits, seconds=2 * seconds, rate=EVENTS_A_SECOND)
        async with watching(Watch([watcher(trader) for trader in traders], plan)) as process:
            before, of_postgres = processes.cpu_seconds(stage.server), processes.cpu_seconds(stage.loads.postgres)
            seen = await _seen(process)
        each = 1000 / seen["events"]
        if seen["failed"]:
            raise RuntimeError(f"{seen['failed']} of {seen['failed'] + seen['answered']} submits failed")
        return Sample(
            seen["events"] / plan.seconds,
            seen["p50"] * 1000,
            seen["p99"] * 1000,
            (processes.cpu_seconds(stage.server) - before) * each,
            (processes.cpu_seconds(stage.loads.postgres) - of_postgres) * each,
        )

    return measure


async def _idle(stage: Stage) -> None:
    """Measure a server of its own, whose memory has served nothing before."""
    target = processes.free_address()
    seconds = 8 * stage.harness.seconds  # background tasks of both servers come at intervals of seconds
    settle = min(seconds, 2)
    async with serving.serving(stage.conninfo, target, BLOTTER_SEQUENCER="false") as server:
        await asyncio.sleep(settle)
        before = await _idling(stage, server, seconds)
        streams = [watcher(trader) for trader in MORE_TRADERS[: stage.size.watchers]]
        of_one, of_all = [
            await _watched(stage, server, target, watchers, settle, seconds) for watchers in (streams[:1], streams)
        ]
    memory, _, cpu = (after - first for after, first in zip(of_all, before, strict=True))
    figures = {
        "memory of an idle watcher": ("KiB", memory / 1024 / len(streams)),
        # Those of one watcher are the server's: it looks for new events as soon as anybody watches.
        "queries of 1,000 idle watchers": ("a second", of_all[1] - of_one[1]),
        "CPU of 1,000 idle watchers": ("% of a core", 100 * cpu),
    }
    for name, (unit, value) in figures.items():
        stage.harness.measured_once(name, unit, Sample(max(0.0, value)))


async def _watched(
    stage: Stage, server: int, target: str, watchers: Sequence[Caller], settle: float, seconds: float
) -> Sequence[float]:
    """Return what `_idling` does, while idle streams are open."""
    async with watching(Watch(watchers, Plan(target, "", []))):
        await asyncio.sleep(settle)
        return await _idling(stage, server, seconds)


async def _idling(stage: Stage, server: int, seconds: float) -> Sequence[float]:
    """Return the server's memory, the database's transactions a second and the server's CPU in cores, over a time."""
    transactions, cpu = _transactions(stage), processes.cpu_seconds(server)
    await asyncio.sleep(seconds)
    rates = [_transactions(stage) - transactions, processes.cpu_seconds(server) - cpu]
    return [processes.resident_bytes(server), *(rate / seconds for rate in rates)]


def _transactions(stage: Stage) -> float:
    with stage.superuser() as looking:
        looking.execute("SELECT pg_stat_force_next_flush()")
        [row] = looking.execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        ).fetchall()
    return float(str(row[0]))
