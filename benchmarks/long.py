"""The long benchmark: what a call takes among many orders, and the reading of many logs.

    make bench-long ARGS="--orders 10000000 --logs 1000000"

Two services run on two databases of one Postgres. One gets as many orders as `--orders` states, entered in batches
through the service; the other gets 10,000. Then both are measured in turns, one call at a time. As soon as the first
has as many logs as `--logs`, its logs are read over StreamExecutionLogs, and by psycopg. 10 million orders take an hour
and 40 GB of the folder of temporary files (TMPDIR).
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from benchmarks import messages, processes, report, serving
from benchmarks.harness import Arm, Harness, Row, Sample
from benchmarks.load.plan import Caller, Plan
from benchmarks.messages import TRADERS
from benchmarks.rows import ledger
from benchmarks.stage import Size, Stage, stage
from blotter.audit.v1 import ledger_pb2
from blotter.orders.v1 import order_service_pb2 as pb

FEW = 10_000
CALLS_A_SECOND = 100
KINDS = {
    "submit": ("SubmitOrder", messages.ORDERS + "SubmitOrder"),
    "get": ("GetOrder", messages.ORDERS + "GetOrder"),
    "list": ("ListOrders of 50", messages.ORDERS + "ListOrders"),
    "proof": ("GetInclusionProof", "/blotter.audit.v1.AuditService/GetInclusionProof"),
}
ROWS = [
    Row(
        f"many_{kind}",
        f"`{name}` among many orders against among {FEW:,}, p50",
        f"{name} among many",
        f"{name} among {FEW:,}",
        1.3,
        most=True,
        figure="p50_ms",
    )
    for kind, (name, _) in KINDS.items()
]
_SOME = """
    SELECT trader_id, id FROM orders TABLESAMPLE SYSTEM (%s)
    WHERE trader_id = ANY (%s) ORDER BY random() LIMIT 500
"""


async def main(options: argparse.Namespace) -> bool:
    """Measure and report; return whether all is well."""
    begun = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - begun:4.0f} s {line}", file=sys.stderr, flush=True)

    harness = Harness(options.rounds, options.seconds, say)
    async with stage(harness, Size(watchers=0, logs=options.logs)) as many:
        about = report.environment(many.cluster.psql("SHOW server_version").strip())
        conninfo = serving.new_database(many.cluster, "few", TRADERS)
        target = processes.free_address()
        async with serving.serving(conninfo, target) as server:
            few = replace(many, conninfo=conninfo, target=target, server=server)
            await ledger.enter(few, FEW)
            say("logs")
            await ledger.catch_up(many)
            say("orders")
            await ledger.enter(many, options.orders)
            say("calls among many orders and among few")
            for each in (few, many):
                with each.superuser() as owner:
                    owner.execute("VACUUM ANALYZE")
            arms: dict[str, tuple[str, Arm]] = {}
            for name, each in ((f"{FEW:,}", few), ("many", many)):
                callers = _callers(each)
                arms |= {
                    f"{called} among {name}": ("calls/s", _arm(each, path, callers[kind]))
                    for kind, (called, path) in KINDS.items()
                }
            await harness.in_turns(arms)
        harness.compare([ledger.CATCH_UP, *ROWS])
        harness.notes.append(f"Many: {ledger.entries(many):,} entries in the ledger, one for each order.")
    well = report.finish(harness, about, options.write, options.folder)
    if options.record:
        report.record(harness, options.folder)
    return well


def _callers(stage: Stage) -> dict[str, Sequence[Caller]]:
    """Return callers of each kind: of all traders, and for orders and entries anywhere in the record."""
    size = ledger.entries(stage)
    with stage.superuser() as looking:
        share = min(100.0, 100 * 50_000 / size)
        found = looking.execute(_SOME, [share, TRADERS]).fetchall()
    compliance = {"x-caller-role": "compliance"}
    proofs = [
        ledger_pb2.GetInclusionProofRequest(position=random.randrange(size), tree_size=size)  # noqa: S311  # no secret
        for _ in range(500)
    ]
    return {
        "submit": [messages.new_orders(trader) for trader in TRADERS],
        "get": [
            messages.caller(UUID(str(trader)), pb.GetOrderRequest(order_id=str(order_id))) for trader, order_id in found
        ],
        "list": [messages.caller(trader, pb.ListOrdersRequest(page_size=50)) for trader in TRADERS],
        "proof": [Caller(proof.SerializeToString(), compliance) for proof in proofs],
    }


def _arm(stage: Stage, path: str, callers: Sequence[Caller]) -> Arm:
    async def measure(seconds: float) -> Sample:
        plan = Plan(stage.target, path, callers, seconds=seconds, rate=CALLS_A_SECOND)
        return await stage.loads.measure(plan, stage.server)

    return measure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=10_000_000)
    parser.add_argument("--logs", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--record", action="store_true", help="make these results the recorded ones")
    parser.add_argument("--write", metavar="NAME", help="write NAME.md and NAME.json")
    parser.add_argument("--folder", type=Path, default=report.FOLDER, help="of the results and of recorded.json")
    sys.exit(not asyncio.run(main(parser.parse_args())))
