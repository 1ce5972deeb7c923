"""The ledger: what the sequencer costs those who write, how fast it appends, and how fast its logs are read again."""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial

import psycopg

from benchmarks import messages, processes, serving
from benchmarks.harness import Row, Sample
from benchmarks.load.plan import MARK, Caller, Plan
from benchmarks.messages import BATCH, TRADERS
from benchmarks.stage import Stage
from blotter.audit.v1 import audit_service_pb2
from service.domain.orders import ExecutionLog
from service.repositories.append import LedgerWriter
from service.repositories.sessions import SESSION, login_to
from service.repositories.statements import columns
from service.sequencing.sequencer import PORTION

PAGE = 10_000
_PATIENCE_SECONDS = 600
_FETCH = f"""
    SELECT entry.position, {columns(ExecutionLog, "log")}
    FROM ledger_entries AS entry
    JOIN execution_logs AS log ON log.trader_id = entry.trader_id AND log.sequence = entry.sequence
    WHERE entry.position >= %s AND entry.position < %s
    ORDER BY entry.position
"""  # noqa: S608  # of constants
CATCH_UP = Row(
    "catch_up",
    "catch-up of logs over `StreamExecutionLogs` against psycopg's fetch of the rows",
    "StreamExecutionLogs",
    "psycopg's fetch",
    0.4,
)
ROWS = (
    Row("sequencer", "`SubmitOrder`, sequencer on against off", "sequencer on", "sequencer off", 0.95),
    Row("append", "the sequencer's append rate", "append", None, 10_000, unit="events/s"),
    CATCH_UP,
)


async def run(stage: Stage) -> None:
    """Measure the arms."""
    conninfo = serving.new_database(stage.cluster, "unsequenced", TRADERS)
    target = processes.free_address()
    submits = [messages.new_orders(trader) for trader in TRADERS]

    async def on(seconds: float) -> Sample:
        return await stage.loads.measure(stage.plan("SubmitOrder", submits, seconds), stage.server)

    async with serving.serving(conninfo, target, BLOTTER_SEQUENCER="false") as server:

        async def off(seconds: float) -> Sample:
            plan = Plan(target, messages.ORDERS + "SubmitOrder", submits, seconds=seconds)
            return await stage.loads.measure(plan, server)

        await stage.harness.in_turns({"sequencer on": ("calls/s", on), "sequencer off": ("calls/s", off)})
    await stage.harness.in_turns({"append": ("events/s", partial(_append, stage, conninfo))}, rounds=1, warm=False)
    await catch_up(stage)


async def catch_up(stage: Stage) -> None:
    """Measure the reading of all logs, which are made enough first."""
    await enter(stage, stage.size.logs)
    arms = {
        "StreamExecutionLogs": ("logs/s", partial(_stream, stage)),
        "psycopg's fetch": ("logs/s", partial(_fetch, stage)),
    }
    await stage.harness.in_turns(arms, rounds=min(3, stage.harness.rounds), warm=False)


async def enter(stage: Stage, logs: int) -> None:
    """Enter orders until the ledger has so many entries, and wait until all events are in it."""
    batches = [messages.caller(trader, messages.batch(MARK.decode())) for trader in TRADERS]
    while (missing := logs - entries(stage)) > 0:
        plan = stage.plan("BatchSubmitOrders", batches, min(60.0, max(0.5, missing / 5000)), streams=2)
        counted, _, _ = await stage.loads.counted(plan, stage.server)
        stage.harness.say(f"  {counted.calls * BATCH:,} orders entered of {missing:,}")
        await _sequenced(stage)


async def _sequenced(stage: Stage) -> None:
    """Return when all events are in the ledger."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while _waiting(stage):
        if time.monotonic() > deadline:
            raise TimeoutError("The sequencer has not appended all events.")
        await asyncio.sleep(0.2)


def entries(stage: Stage) -> int:
    """Return the number of entries of the ledger."""
    with stage.superuser() as looking:
        [(size,)] = looking.execute("SELECT coalesce(max(size), 0) FROM ledger_head").fetchall()
    return int(str(size))


def _waiting(stage: Stage) -> bool:
    with stage.superuser() as looking:
        [row] = looking.execute(
            "SELECT (SELECT sum(last_sequence) FROM trader_sequences)"
            " > (SELECT count(*) FROM ledger_entries WHERE trader_id IS NOT NULL)"
        ).fetchall()
    return bool(row[0])


async def _append(stage: Stage, conninfo: str, _seconds: float) -> Sample:
    """Append the backlog of the database that has no sequencer."""
    async with LedgerWriter.connected(conninfo, None) as writer:
        tree = await writer.edge()
        begun, before, size = time.perf_counter(), processes.cpu_seconds(stage.loads.postgres), tree.size
        while await writer.append(tree, PORTION):
            pass
        spent = time.perf_counter() - begun
    appended = tree.size - size
    return Sample(
        appended / spent, postgres_ms=1000 * (processes.cpu_seconds(stage.loads.postgres) - before) / appended
    )


async def _stream(stage: Stage, _seconds: float) -> Sample:
    wanted = audit_service_pb2.StreamExecutionLogsRequest().SerializeToString()
    reader = Caller(wanted, {"x-caller-role": "compliance"})
    plan = Plan(stage.target, "/blotter.audit.v1.AuditService/StreamExecutionLogs", [reader], seconds=_PATIENCE_SECONDS)
    server, postgres = processes.cpu_seconds(stage.server), processes.cpu_seconds(stage.loads.postgres)
    printed = await processes.output_of("benchmarks.load.catchup", given=plan.dump(), seconds=_PATIENCE_SECONDS)
    read = json.loads(printed)
    each = 1000 / read["logs"]
    return Sample(
        read["logs"] / read["seconds"],
        server_ms=(processes.cpu_seconds(stage.server) - server) * each,
        postgres_ms=(processes.cpu_seconds(stage.loads.postgres) - postgres) * each,
    )


async def _fetch(stage: Stage, _seconds: float) -> Sample:
    before = processes.cpu_seconds(stage.loads.postgres)
    rows, seconds = await asyncio.to_thread(_fetched, stage)
    return Sample(rows / seconds, postgres_ms=1000 * (processes.cpu_seconds(stage.loads.postgres) - before) / rows)


def _fetched(stage: Stage) -> tuple[int, float]:
    """Fetch the rows of all logs, some thousands at a time; return their number and the time in seconds."""
    count, end = 0, entries(stage)
    with psycopg.connect(
        login_to(stage.conninfo, "blotter_compliance", session=SESSION), autocommit=True
    ) as connection:
        cursor = psycopg.ClientCursor(connection)
        begun = time.perf_counter()
        for start in range(0, end, PAGE):
            count += len(cursor.execute(_FETCH.encode(), [start, start + PAGE]).fetchall())
        return count, time.perf_counter() - begun
