"""Two gateways, a trader who cancels and replaces, and the cancel timer race each other on one order.

In each round all of them act on the order at once, over two servers. When it has closed, the next round has a new one.
`RACE_ROUNDS` sets the number of rounds, `RACE_SEED` repeats the choices of a run.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from grpc import aio

from blotter.audit.v1 import audit_service_pb2, inspection_pb2
from blotter.orders.v1 import cancel_timer_pb2, order_pb2, order_service_pb2, request_pb2, terms_pb2
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from service.sequencing import KeyFolder
from tests.conftest import ALICE, Database
from tests.rpc.errors import reason_of
from tests.rpc.test_outages import until
from tests.serving import COMPLIANCE, EXECUTION, Blotter, as_trader, report_request, serving

ROUNDS = int(os.environ.get("RACE_ROUNDS", "600"))
SEED = int(os.environ.get("RACE_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
A = as_trader(ALICE)
MUCH = 1_000_000
"""More than is filled in a run, so that no order is filled or overfilled."""

FINE = {
    "report": {"ORDER_CLOSED", "REQUEST_NOT_PENDING"},
    "request": {"ORDER_CLOSED", "REQUEST_PENDING", "ORDER_CHANGED"},
}
"""The refusals that a race may cause."""
REPORTS: dict[str, Any] = {
    "cancelled": reports_pb.CancelledReport(),
    "cancel_refused": reports_pb.CancelRefusedReport(refusal_reason=reports_pb.REFUSAL_REASON_TOO_LATE_TO_CANCEL),
    "replaced": reports_pb.ReplacedReport(),
    "replace_refused": reports_pb.ReplaceRefusedReport(refusal_reason=reports_pb.REFUSAL_REASON_BROKER_OPTION),
}
ACTIONS = {
    "fill": order_pb2.ACTION_FILLED,
    "executed": order_pb2.ACTION_EXECUTED,
    "cancelled": order_pb2.ACTION_CANCELLED,
    "cancel_refused": order_pb2.ACTION_CANCEL_REFUSED,
    "replaced": order_pb2.ACTION_REPLACED,
    "replace_refused": order_pb2.ACTION_REPLACE_REFUSED,
}
OPEN = (order_pb2.ORDER_STATUS_PENDING, order_pb2.ORDER_STATUS_PARTIAL)


class Race:
    """The racers on two servers, and the answers that they received."""

    def __init__(self, servers: tuple[Blotter, Blotter], timer: psycopg.AsyncConnection[Any]) -> None:
        self.servers = servers
        self.timer = timer
        self.rng = random.Random(SEED)
        self.counted: Counter[str] = Counter()
        self.order = order_pb2.Order()
        self.orders: list[str] = []
        self.applied: dict[str, str] = {}
        """The reports that were recorded: action by report_id."""
        self.refused: dict[str, str] = {}
        """The reports that were refused: reason by report_id."""
        self.asked: dict[str, str] = {}
        """The requests that were recorded: order by key."""
        self.filled: Counter[str] = Counter()
        """Shares filled by order: each execution_id once."""
        self.executions: set[str] = set()
        self.number = 0

    async def enter(self) -> None:
        """Enter an order; a gateway mostly has it."""
        self.order = await self.servers[0].submit(quantity=MUCH)
        self.orders.append(self.order.order_id)
        if self.rng.random() < 0.9:
            await self.report(0, "executed", executed=reports_pb.ExecutedReport())

    async def round(self) -> None:
        """Let all act at once."""
        acts = [self.gateway(0), self.gateway(1), self.cancel(), self.replace()]
        if self.rng.random() < 0.3:
            acts.append(self.both_gateways())
        if self.rng.random() < 0.1:
            acts.append(self.run_out())
        self.rng.shuffle(acts)
        await asyncio.gather(*acts)

    def new_id(self) -> str:
        self.number += 1
        return f"id-{self.number}"

    async def gateway(self, server: int) -> None:
        """Report a fill, or an answer of the venue."""
        kind = self.rng.choices(
            ["fill", "cancel_refused", "replaced", "replace_refused", "cancelled"], [6, 4, 3, 3, 0.7]
        )[0]
        if kind == "fill":
            await self.report_fill(server, self.new_id(), self.new_id())
        else:
            await self.report(server, kind, **{kind: REPORTS[kind]})

    async def both_gateways(self) -> None:
        """Both report the same fill at once, under the same report_id or each under its own."""
        execution_id, report_id = self.new_id(), self.new_id()
        others = report_id if self.rng.random() < 0.5 else self.new_id()
        await asyncio.gather(
            self.report_fill(0, execution_id, report_id), self.report_fill(1, execution_id, others)
        )  # fmt: skip

    async def report_fill(self, server: int, execution_id: str, report_id: str) -> None:
        quantity = 1 + int(execution_id.removeprefix("id-")) % 7
        fill = reports_pb.FillReport(execution_id=execution_id, quantity=quantity, price="1.5")
        order_id = self.order.order_id
        if await self.report(server, "fill", report_id=report_id, fill=fill) == "applied":
            assert execution_id not in self.executions, "a fill counts once"
            self.executions.add(execution_id)
            self.filled[order_id] += quantity

    async def report(self, server: int, kind: str, **report: Any) -> str:
        request = report_request(self.order, **({"report_id": self.new_id()} | report))
        outcome = await self.outcome("report", kind, self.servers[server].orders.ReportExecution, request, EXECUTION)
        if outcome == "applied":
            assert request.report_id not in self.applied, "a report is recorded once"
            self.applied[request.report_id] = kind
        elif outcome != "replayed":
            self.refused[request.report_id] = outcome
        return outcome

    async def cancel(self) -> None:
        key = self.new_id()
        request = order_service_pb2.CancelOrderRequest(order_id=self.order.order_id, request_key=key)
        server = self.servers[self.rng.randrange(2)]
        if await self.outcome("request", "CancelOrder", server.orders.CancelOrder, request, A) == "applied":
            self.asked[key] = request.order_id

    async def replace(self) -> None:
        """Replace; at times both servers get the same request, at times only if nothing has changed."""
        key = self.new_id()
        terms = terms_pb2.OrderTerms(quantity=MUCH + self.rng.randrange(MUCH))
        expected = self.order.last_sequence if self.rng.random() < 0.2 else None
        request = request_pb2.ReplaceOrderRequest(
            order_id=self.order.order_id, request_key=key, terms=terms, expected_last_sequence=expected
        )
        servers = self.servers if self.rng.random() < 0.2 else self.servers[:1]
        outcomes = await asyncio.gather(
            *(self.outcome("request", "ReplaceOrder", server.orders.ReplaceOrder, request, A) for server in servers)
        )
        assert outcomes.count("applied") <= 1, "a request is recorded once"
        if "applied" in outcomes:
            self.asked[key] = request.order_id

    async def run_out(self) -> None:
        """Start a cancel timer that runs out at once; the servers cancel for it when they next look."""
        async with self.timer.transaction():
            await self.timer.execute("SELECT act_as(%s)", (ALICE,))
            await self.timer.execute("SELECT set_cancel_timer('1 microsecond', 'trader', 'timer')")
        self.counted["cancel timer"] += 1

    async def outcome(self, which: str, kind: str, method: Any, request: Any, metadata: Any) -> str:
        """Make a call. Returns `applied`, `replayed` or the reason of the refusal, which must be one of a race."""
        try:
            answer = await method(request, metadata=metadata)
        except aio.AioRpcError as error:
            outcome = reason_of(error)
            if outcome not in FINE[which]:
                raise
        else:
            outcome = "replayed" if answer.replayed else "applied"
        self.counted[f"{kind} {outcome}"] += 1
        return outcome

    async def timer_is_off(self) -> bool:
        answer = await self.servers[0].orders.GetCancelTimer(cancel_timer_pb2.GetCancelTimerRequest(), metadata=A)
        return not answer.HasField("cancel_timer")

    async def is_open(self) -> bool:
        request = order_service_pb2.GetOrderRequest(order_id=self.order.order_id)
        self.order = (await self.servers[1].orders.GetOrder(request, metadata=A)).order
        return self.order.status in OPEN


async def trail(blotter: Blotter) -> list[Any]:
    """All of Alice's logs, oldest first."""
    stream = blotter.audit.StreamExecutionLogs(audit_service_pb2.StreamExecutionLogsRequest(), metadata=A)
    return [log async for message in stream for log in message.logs.execution_logs]


async def orders_of(blotter: Blotter) -> dict[str, order_pb2.Order]:
    """All of Alice's orders, by id."""
    found: dict[str, order_pb2.Order] = {}
    token = ""
    while token or not found:
        request = order_service_pb2.ListOrdersRequest(page_size=500, page_token=token)
        page = await blotter.orders.ListOrders(request, metadata=A)
        found |= {order.order_id: order for order in page.orders}
        token = page.next_page_token
        if not token:
            break
    return found


def check_trail(race: Race, logs: list[Any]) -> None:
    """What was answered is in the trail, once, and nothing else is."""
    assert [log.sequence for log in logs] == list(range(1, len(logs) + 1)), "dense"
    reported = [log for log in logs if log.report_id]
    assert len({log.report_id for log in reported}) == len(reported), "each report once"
    found = {log.report_id: log.error_code if log.refused else log.action for log in reported}
    assert found == race.refused | {key: ACTIONS[kind] for key, kind in race.applied.items()}
    executions = [log.fill.execution_id for log in logs if log.HasField("fill")]
    assert sorted(executions) == sorted(race.executions), "each fill once"
    by_blotter = [log for log in logs if log.actor == "blotter"]
    assert {log.reason for log in by_blotter} <= {"DISCONNECTED"}
    requests = {log.request_key: log.order_id for log in logs if log.request_key and log.actor != "blotter"}
    assert requests == race.asked, "each request once"
    submitted = [log.order_id for log in logs if log.action == order_pb2.ACTION_SUBMITTED]
    assert submitted == race.orders
    assert len(logs) == len(reported) + len(by_blotter) + len(requests) + len(submitted)


def check_requests(logs: list[Any]) -> None:
    """One request at a time, each settled once, and only by an event after it."""
    pending: dict[str, str] = {}
    for log in logs:
        before = pending.get(log.order_id, "")
        if log.answered_key:
            assert log.answered_key == before, "what is settled was pending"
            del pending[log.order_id]
        if log.action in {order_pb2.ACTION_CANCEL_REQUESTED, order_pb2.ACTION_REPLACE_REQUESTED}:
            assert not before, "one request at a time"
            pending[log.order_id] = log.request_key
        assert log.order.pending_request.request_key == pending.get(log.order_id, "")


async def test_gateways_the_trader_and_the_timer_race_on_one_order(
    database: Database, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    keys = KeyFolder(tmp_path / "keys")
    keys.generate("log.example")
    ledger = {"sequencer": True, "ledger_keys": keys.folder, "ledger_origin": "log.example"}
    print(f"RACE_SEED={SEED} RACE_ROUNDS={ROUNDS}")  # noqa: T201  # shown where the test fails
    async with (
        serving(database, expiry_poll_ms=10, **ledger) as first,
        serving(database, expiry_poll_ms=10) as second,
        await psycopg.AsyncConnection.connect(database.conninfo("blotter_trader"), autocommit=True) as timer,
    ):
        race = Race((first, second), timer)
        await race.enter()
        for _ in range(ROUNDS):
            await race.round()
            if not await race.is_open():
                await race.enter()
        # A timer waits for the answer to a pending request.
        for answer in ("cancel_refused", "replace_refused"):
            await race.report(0, answer, **{answer: REPORTS[answer]})
        await until(race.timer_is_off)
        logs = await trail(first)
        check_trail(race, logs)
        check_requests(logs)
        for order_id, order in (await orders_of(second)).items():
            assert order.filled_quantity == race.filled[order_id], "nothing is lost, nothing counts twice"
        reconcile = first.audit.ReconcileOrders(inspection_pb2.ReconcileOrdersRequest(), metadata=COMPLIANCE)
        assert [step.discrepancy async for step in reconcile if step.HasField("discrepancy")] == []
        race.counted["orders"] = len(race.orders)
        race.counted["cancels by the timer"] = sum(log.actor == "blotter" for log in logs)
        record_property("counted", (f"calls of racers in {ROUNDS} rounds, seed {SEED}", dict(race.counted)))
