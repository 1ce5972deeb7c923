"""Calls of the service against the bare echo, and SubmitOrder against the services that a user might write instead."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from benchmarks import messages, peering, processes
from benchmarks.harness import Arm, NotRun, Row, Sample
from benchmarks.load.h2load import rate_by_h2load
from benchmarks.load.plan import Caller, Plan
from benchmarks.messages import TRADERS
from benchmarks.stage import Stage
from blotter.orders.v1 import order_service_pb2 as pb

PAGE = 50
UNIT = "calls/s"
ROWS = (
    Row("submit_echo", "`SubmitOrder`, 4 traders, against the bare echo", "SubmitOrder", "echo", 0.40),
    Row("hot_echo", "`SubmitOrder`, one hot trader, against the bare echo", "SubmitOrder, one trader", "echo", 0.30),
    Row("get_echo", "`GetOrder` against the bare echo of the same bytes", "GetOrder", "echo of GetOrder", 0.40),
    Row(
        "list_echo",
        "`ListOrders` of 50 against the bare echo of the same bytes",
        "ListOrders of 50",
        "echo of ListOrders",
        0.40,
    ),
    Row("submit_node", "`SubmitOrder` against the naive Node service", "SubmitOrder", "Node", 1.0),
    Row("submit_postgraphile", "`SubmitOrder` against PostGraphile", "SubmitOrder", "PostGraphile", 3.0),
    Row("submit_orm", "`SubmitOrder` against FastAPI and SQLAlchemy's ORM", "SubmitOrder", "FastAPI + ORM", 8.0),
)


async def run(stage: Stage) -> None:
    """Measure the arms."""
    submits = [messages.new_orders(trader) for trader in TRADERS]
    gets, lists = await _reads(stage)
    arms: dict[str, tuple[str, Arm]] = {
        "SubmitOrder": (UNIT, _arm(stage, "SubmitOrder", submits)),
        "SubmitOrder, one trader": (UNIT, _arm(stage, "SubmitOrder", submits[:1] * len(TRADERS))),
        "GetOrder": (UNIT, _arm(stage, "GetOrder", gets)),
        "ListOrders of 50": (UNIT, _arm(stage, "ListOrders", lists)),
    }
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        calls = {
            "": ("SubmitOrder", submits),
            " of GetOrder": ("GetOrder", gets),
            " of ListOrders": ("ListOrders", lists),
        }
        for method, callers in calls.values():
            (folder / method).write_bytes(await stage.call(method, callers[0]))
        target = processes.free_address()
        echo = await stack.enter_async_context(peering.echo(target, folder))
        for name, (method, callers) in calls.items():
            plan = Plan(target, f"/echo/{method}", callers)
            arms[f"echo{name}"] = (UNIT, partial(_echoed, stage, plan, echo))
        for name, peer in (
            ("Node", peering.node),
            ("PostGraphile", peering.postgraphile),
            ("FastAPI + ORM", peering.orm),
        ):
            try:
                arms[name] = (UNIT, await stack.enter_async_context(peer(stage)))
            except NotRun as reason:
                stage.harness.absent(name, UNIT, str(reason))
        await stage.harness.in_turns(arms)
        if program := shutil.which("h2load"):
            rate = await rate_by_h2load(
                program, Plan(target, "/echo/SubmitOrder", submits, seconds=stage.harness.seconds)
            )
            stage.harness.notes.append(f"h2load, which is written in C, gets {rate:,.0f} calls/s of the bare echo.")


def _arm(stage: Stage, method: str, callers: Sequence[Caller]) -> Arm:
    async def measure(seconds: float) -> Sample:
        return await stage.loads.measure(stage.plan(method, callers, seconds), stage.server)

    return measure


async def _echoed(stage: Stage, plan: Plan, server: int, seconds: float) -> Sample:
    return await stage.loads.measure(plan.during(seconds), server, database=False)


async def _reads(stage: Stage) -> tuple[list[Caller], list[Caller]]:
    """Enter a page of orders of each trader; return the callers of GetOrder and ListOrders."""
    gets, lists = [], []
    for trader in TRADERS:
        entering = messages.caller(trader, messages.batch(f"read-{trader}"))
        answer = pb.BatchSubmitOrdersResponse.FromString(await stage.call("BatchSubmitOrders", entering))
        gets.append(messages.caller(trader, pb.GetOrderRequest(order_id=answer.results[0].response.order.order_id)))
        lists.append(messages.caller(trader, pb.ListOrdersRequest(page_size=PAGE)))
    return gets, lists
