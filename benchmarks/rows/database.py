"""The service against the database alone: a batch against pgbench, one caller against psycopg, both with its message.

The message is what Postgres received: pg_stat_activity shows it after a call of the service. So the comparison follows
the service, whatever statements it sends.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from pathlib import Path
from uuid import UUID

import psycopg
from psycopg.conninfo import conninfo_to_dict

from benchmarks import messages, processes, serving
from benchmarks.harness import Arm, NotRun, Row, Sample
from benchmarks.load.plan import MARK
from benchmarks.messages import BATCH, TRADERS
from benchmarks.stage import Stage
from service.repositories.sessions import SESSION, login_to

LOGIN = "blotter_trader"
ROWS = (
    Row(
        "batch_pgbench",
        "`BatchSubmitOrders` of 200, orders a second, against pgbench's 200 a transaction of the same statement",
        "BatchSubmitOrders of 200",
        "pgbench",
        0.7,
    ),
    Row(
        "alone_psycopg",
        "one caller alone, p50 against psycopg's bare call of the same statement",
        "one caller alone",
        "psycopg",
        1.6,
        most=True,
        figure="p50_ms",
    ),
)
_SENT = """
    SELECT query FROM pg_stat_activity WHERE usename = 'blotter_trader' AND position(%s IN query) > 0
    ORDER BY query_start DESC LIMIT 1
"""


async def run(stage: Stage) -> None:
    """Measure the arms."""
    texts = {trader: await _sent(stage, "BatchSubmitOrders", trader) for trader in TRADERS}
    alone = await _sent(stage, "SubmitOrder", TRADERS[0])
    batches = [messages.caller(trader, messages.batch(MARK.decode())) for trader in TRADERS]
    one = [messages.new_orders(TRADERS[0])]

    async def batch(seconds: float) -> Sample:
        plan = stage.plan("BatchSubmitOrders", batches, seconds, streams=2)
        return (await stage.loads.measure(plan, stage.server)).each(BATCH)

    async def single(seconds: float) -> Sample:
        return await stage.loads.measure(stage.plan("SubmitOrder", one, seconds, streams=1), stage.server)

    async def bare(seconds: float) -> Sample:
        return await asyncio.to_thread(_psycopg, stage, alone, seconds)

    await stage.harness.in_turns(
        {"BatchSubmitOrders of 200": ("orders/s", batch), "pgbench": ("orders/s", _pgbench(stage, texts))}
    )
    await stage.harness.in_turns({"one caller alone": ("calls/s", single), "psycopg": ("calls/s", bare)})


async def _sent(stage: Stage, method: str, trader: UUID) -> str:
    """Make one call; return the message that the service sent to the database, with its keys replaced by MARK."""
    key = f"sent{next(_numbers):020d}"
    message = messages.request(key) if method == "SubmitOrder" else messages.batch(key)
    await stage.call(method, messages.caller(trader, message))
    with stage.superuser() as looking:
        rows = looking.execute(_SENT, [key]).fetchall()
    if not rows:
        raise RuntimeError(f"pg_stat_activity does not show what {method} sent.")
    return str(rows[0][0]).replace(key, MARK.decode())


_numbers = itertools.count()


def _pgbench(stage: Stage, texts: dict[UUID, str]) -> Arm:
    program = serving.pgbench()

    async def measure(seconds: float) -> Sample:
        if program is None:
            raise NotRun("pgbench is not installed")
        whole = max(1, round(seconds))  # pgbench counts in seconds
        before = processes.cpu_seconds(stage.loads.postgres)
        with tempfile.TemporaryDirectory() as folder:
            scripts = [_script(Path(folder) / str(trader), text) for trader, text in texts.items()]
            rates = await asyncio.gather(*(_transactions(stage, program, script, whole) for script in scripts))
        orders = sum(rates) * BATCH
        spent = processes.cpu_seconds(stage.loads.postgres) - before
        return Sample(orders, postgres_ms=1000 * spent / (orders * whole))

    return measure


def _script(path: Path, text: str) -> Path:
    """Write a script of pgbench that sends the text as one message, with new keys each time."""
    sent = text.strip().rstrip(";").replace(";", "\\;").replace(MARK.decode(), "bench:key")
    path.write_text(f"\\set key random(1, 1000000000000000000)\n{sent};\n", "utf-8")
    return path


async def _transactions(stage: Stage, program: str, script: Path, seconds: int) -> float:
    """Return transactions a second of one client."""
    parts = conninfo_to_dict(stage.conninfo)
    where = ("-h", str(parts["host"]), "-p", str(parts["port"]), "-U", LOGIN)
    command = (
        program,
        *where,
        "-n",
        "-c",
        "1",
        "-T",
        str(seconds),
        "-f",
        str(script),
        str(parts["dbname"]),
    )
    printed = await processes.run(*command)
    [rate] = [line.split()[2] for line in printed.splitlines() if line.startswith("tps =")]
    return float(rate)


def _psycopg(stage: Stage, text: str, seconds: float) -> Sample:
    """Send the message by psycopg's synchronous client, one call after another."""
    spent: list[float] = []
    start, mark = time.time_ns() // 1000, MARK.decode()
    before = processes.cpu_seconds(stage.loads.postgres)
    with psycopg.connect(login_to(stage.conninfo, LOGIN, session=SESSION), autocommit=True) as connection:
        cursor = psycopg.ClientCursor(connection)
        begin = time.perf_counter() + seconds / 10
        end = begin + seconds
        for number in itertools.count():
            if (begun := time.perf_counter()) >= end:
                break
            cursor.execute(text.replace(mark, f"{start:013x}{number:011x}").encode())
            cursor.fetchall()
            while cursor.nextset():
                cursor.fetchall()
            if begun >= begin:
                spent.append(time.perf_counter() - begun)
    postgres_ms = 1000 * (processes.cpu_seconds(stage.loads.postgres) - before) / number
    spent.sort()
    middle, high = (1000 * spent[len(spent) * share // 100] for share in (50, 99))
    return Sample(len(spent) / seconds, middle, high, postgres_ms=postgres_ms)
