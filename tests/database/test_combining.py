"""Calls that are sent as one message: each gets its own identity, limits, rows and error."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from grpc import aio
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_service_pb2 as pb
from service.domain.errors import BlotterError, DatabaseUnavailable, UnknownTrader
from service.domain.identity import Caller, CallerKind
from service.observability.metrics import Metrics
from service.repositories import combining, together
from service.repositories.database import Database as Pools
from service.repositories.messages import Statement, sent
from service.repositories.pools import Pool
from tests.conftest import ALICE, BOB, Database
from tests.rpc.errors import reason_of
from tests.rpc.test_outages import TERMINATE, locked, number, someone_waits, until
from tests.rpc.written import written
from tests.serving import EXECUTION, Blotter, as_trader, order_request, report_request, serving

UNKNOWN = UUID(int=7)
TRADERS = (ALICE, BOB, UNKNOWN)


@asynccontextmanager
async def pools_of(
    database: Database, sizes: dict[CallerKind, int] | None = None
) -> AsyncIterator[tuple[Pools, Metrics]]:
    """The connections of a service, and their metrics."""
    metrics = Metrics()
    pools = Pools(database.conninfo("blotter_trader"), sizes or {CallerKind.TRADER: 3}, metrics=metrics)
    await pools.open()
    try:
        yield pools, metrics
    finally:
        await pools.close(10)


def mean_calls_a_message(metrics: Metrics, login: str = "blotter_trader") -> float:
    """The mean number of calls of a message."""
    found: dict[str, float] = {sample.name: sample.value for sample in samples(metrics, login)}
    return found["blotter_db_calls_per_message_sum"] / found["blotter_db_calls_per_message_count"]


def samples(metrics: Metrics, login: str) -> list[Any]:
    """The samples of the calls of each message."""
    [family] = metrics.calls_per_message.collect()
    return [sample for sample in family.samples if sample.labels.get("login") == login]


WORK = {
    "own identity": (Statement("SELECT current_setting('app.trader_id')"),),
    "own rows": (Statement("SELECT count(*), min(id::text) FROM traders"),),
    "own values": (Statement("SELECT %(value)s::text"), Statement("SELECT %(value)s::text || '; SELECT 2'")),
    "no row": (Statement("SELECT 1 WHERE false"),),
    "nothing": (),
    "error": (Statement("SELECT 1/0"),),
    "malformed": (Statement("SELEC"),),
    "not text": (Statement("SELECT %(value)s", {"value": "\ud800"}),),
    "longer than a message may take": (Statement("SELECT pg_sleep(0.05)::text"),),
}


def answer(trader_id: UUID, work: str, value: str) -> Any:
    """What the call of a known trader returns; None for one that fails."""
    return {
        "own identity": [[(str(trader_id),)]],
        "own rows": [[(1, str(trader_id))]],
        "own values": [[(value,)], [(f"{value}; SELECT 2",)]],
        "no row": [[]],
        "nothing": [],
        "longer than a message may take": [[("",)]],
    }.get(work)


CALLS = st.lists(
    st.tuples(st.sampled_from(TRADERS), st.sampled_from(sorted(WORK)), st.text(max_size=9), st.sampled_from([None, 5])),
    max_size=40,
)


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CALLS)
def test_nothing_of_one_call_reaches_another(
    database: Database, calls: list[tuple[UUID, str, str, float | None]]
) -> None:
    """Each has its own identity, rows, values and error, whatever fails beside it."""

    async def call(pools: Pools, trader_id: UUID, work: str, value: str, seconds: float | None) -> Any:
        caller = Caller(CallerKind.TRADER, trader_id, "test", uuid4().hex)
        statements = (Statement(each.sql, {"value": value.replace("\0", ""), **each.values}) for each in WORK[work])
        try:
            return await pools.run(caller, *statements, timeout_seconds=seconds)
        except (BlotterError, psycopg.Error, UnicodeError) as error:
            return error

    async def run() -> None:
        async with pools_of(database) as (pools, _):
            answers = await asyncio.gather(*(call(pools, *each) for each in calls))
        for (trader_id, work, value, _), found in zip(calls, answers, strict=True):
            expected = answer(trader_id, work, value.replace("\0", ""))
            if work in ("error", "malformed", "not text"):
                assert isinstance(found, psycopg.Error | UnicodeError), (work, found)
            elif trader_id == UNKNOWN:
                assert isinstance(found, UnknownTrader), (work, found)
            else:
                assert found == expected, work

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(together, "STATEMENT_MS", 30)
        asyncio.run(run())


async def test_calls_that_wait_are_sent_together_and_the_first_at_once(database: Database) -> None:
    async with pools_of(database) as (pools, metrics):
        caller = Caller(CallerKind.TRADER, ALICE, "test", "test")
        assert await pools.run(caller, Statement("SELECT 1")) == [[(1,)]]
        assert mean_calls_a_message(metrics) == 1
        answers = await asyncio.gather(
            *(pools.run(caller, Statement("SELECT %(n)s::int", {"n": n})) for n in range(500))
        )
        assert answers == [[[(n,)]] for n in range(500)]
        assert mean_calls_a_message(metrics) > 5


@pytest.mark.parametrize(
    ("held_seconds", "calls", "are_sent"),
    [(3600, combining.WORTH_A_MESSAGE - 1, False), (3600, combining.WORTH_A_MESSAGE, True), (0.003, 1, True)],
)
async def test_few_calls_wait_for_the_message_that_is_under_way_but_not_for_long(
    database: Database, monkeypatch: pytest.MonkeyPatch, held_seconds: float, calls: int, *, are_sent: bool
) -> None:
    monkeypatch.setattr(combining, "HELD_SECONDS", held_seconds)
    caller = Caller(CallerKind.TRADER, ALICE, "test", "test")
    async with pools_of(database) as (pools, metrics):
        under_way = asyncio.create_task(pools.run(caller, Statement("SELECT pg_sleep(0.4)")))
        await asyncio.sleep(0)
        later = [pools.run(caller, Statement("SELECT %(n)s::int", {"n": n})) for n in range(calls)]
        assert await asyncio.gather(*later) == [[[(n,)]] for n in range(calls)]
        assert under_way.done() is not are_sent
        await under_way
        assert messages(metrics) == 2


def test_the_errors_of_the_calls_of_a_message_share_nothing_that_is_changed_on_the_way_to_a_client() -> None:
    error = DatabaseUnavailable("It has gone.", cancelled_count="1")
    one, other = combining._copy_of(error), combining._copy_of(error)
    assert isinstance(one, DatabaseUnavailable)
    assert isinstance(other, DatabaseUnavailable)
    one.metadata["resume_token"] = "of one stream"
    one.logged["field"] = "one"
    assert (str(other), other.metadata, other.logged) == ("It has gone.", {"cancelled_count": "1"}, {})
    assert error.metadata == {"cancelled_count": "1"}


async def test_calls_of_a_message_are_limited_in_bytes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combining, "MOST_BYTES", 100_000)
    async with pools_of(database) as (pools, _):
        caller = Caller(CallerKind.TRADER, ALICE, "test", "test")
        texts = [chr(ord("a") + n % 26) * (30_000 if n % 3 else 300_000) for n in range(40)]
        answers = await asyncio.gather(
            *(pools.run(caller, Statement("SELECT %(text)s::text", {"text": text})) for text in texts)
        )
        assert [found for [[(found,)]] in answers] == texts


async def test_each_caller_gets_its_own_orders_and_errors(database: Database) -> None:
    """Submits, repeats, reads and reports of two traders at one time, some of them refused."""
    async with serving(database) as blotter:
        chance = random.Random(12)
        own = {trader: [await blotter.submit(trader) for _ in range(5)] for trader in (ALICE, BOB)}

        async def one(trader: UUID, other: UUID) -> str:
            metadata = as_trader(trader)
            match chance.choice(["submit", "repeat", "reuse", "get", "foreign", "cancel", "report"]):
                case "submit":
                    request = order_request()
                    order = (await blotter.orders.SubmitOrder(request, metadata=metadata)).order
                    assert (order.trader_id, order.client_order_id) == (str(trader), request.client_order_id)
                case "repeat":
                    known = chance.choice(own[trader])
                    again = order_request(client_order_id=known.client_order_id)
                    answer = await blotter.orders.SubmitOrder(again, metadata=metadata)
                    assert (answer.replayed, answer.order.order_id) == (True, known.order_id)
                case "reuse":
                    known = chance.choice(own[trader])
                    again = order_request(client_order_id=known.client_order_id, quantity=7)
                    assert (
                        await reason(blotter.orders.SubmitOrder(again, metadata=metadata)) == "CLIENT_ORDER_ID_REUSED"
                    )
                case "get":
                    known = chance.choice(own[trader])
                    request_ = pb.GetOrderRequest(order_id=known.order_id)
                    found = (await blotter.orders.GetOrder(request_, metadata=metadata)).order
                    assert (found.order_id, found.trader_id) == (known.order_id, str(trader))
                case "foreign":
                    request_ = pb.GetOrderRequest(order_id=chance.choice(own[other]).order_id)
                    assert await reason(blotter.orders.GetOrder(request_, metadata=metadata)) == "ORDER_NOT_FOUND"
                case "cancel":
                    cancel = pb.CancelOrderRequest(order_id=chance.choice(own[other]).order_id, request_key=uuid4().hex)
                    assert await reason(blotter.orders.CancelOrder(cancel, metadata=metadata)) == "ORDER_NOT_FOUND"
                case "report":
                    reported = await blotter.report(chance.choice(own[trader]), executed={})
                    assert reported.trader_id == str(trader)
            return "done"

        traders = [(ALICE, BOB), (BOB, ALICE)]
        done = await asyncio.gather(*(one(*chance.choice(traders)) for _ in range(400)))
        assert Counter(done) == {"done": 400}
        assert mean_calls_a_message(blotter.metrics) > 1
        for trader in (ALICE, BOB):
            sequences = await trail(blotter, trader)
            assert sequences == list(range(1, len(sequences) + 1))


async def reason(call: Any) -> str:
    """The reason of the error of a call."""
    try:
        await call
    except aio.AioRpcError as error:
        return reason_of(error)
    raise AssertionError("the call succeeded")


async def trail(blotter: Blotter, trader_id: UUID) -> list[int]:
    """The sequences of a trader's events."""
    query = "SELECT sequence FROM execution_logs WHERE trader_id = %s ORDER BY sequence"
    async with await psycopg.AsyncConnection.connect(blotter.database.conninfo("postgres")) as connection:
        return [sequence for (sequence,) in await (await connection.execute(query, [trader_id])).fetchall()]


async def test_no_order_is_lost_or_doubled_while_connections_are_killed(database: Database) -> None:
    """Each call is repeated with its key until it is answered; no answered order is missing."""
    async with (
        serving(database) as blotter,
        await psycopg.AsyncConnection.connect(database.conninfo("postgres"), autocommit=True) as killing,
    ):
        answered: dict[str, str] = {}
        refusals: Counter[str] = Counter()
        over = asyncio.Event()

        async def submit_until_answered(trader_id: UUID) -> None:
            for _ in range(12):
                request = order_request()
                while True:
                    try:
                        response = await blotter.orders.SubmitOrder(request, metadata=as_trader(trader_id))
                    except aio.AioRpcError as error:
                        refusals[reason_of(error)] += 1
                        continue
                    answered[request.client_order_id] = response.order.order_id
                    break

        async def kill() -> None:
            while not over.is_set():
                await number(killing, TERMINATE)
                await asyncio.sleep(0.15)

        killer = asyncio.create_task(kill())
        await asyncio.gather(*(submit_until_answered(trader) for trader in (ALICE, BOB) for _ in range(15)))
        over.set()
        await killer
        assert len(answered) == 360
        assert set(refusals) <= {"DATABASE_UNAVAILABLE", "DATABASE_BUSY"}
        rows = await (await killing.execute("SELECT client_order_id, id::text FROM orders")).fetchall()
        assert dict(rows) == answered
        assert len(rows) == 360
        for trader in (ALICE, BOB):
            assert await trail(blotter, trader) == list(range(1, 181))


async def test_a_call_that_waits_for_a_lock_leaves_its_message_and_the_others_are_answered(database: Database) -> None:
    async with serving(database) as blotter:
        await blotter.submit()
        async with locked(database) as looking:
            waiting = [asyncio.create_task(blotter.submit()) for _ in range(3)]
            others = [asyncio.create_task(blotter.submit(BOB)) for _ in range(100)]
            async with asyncio.timeout(30):
                orders = await asyncio.gather(*others)
            assert sorted(order.last_sequence for order in orders) == list(range(1, 101))
            assert not any(call.done() for call in waiting)
            await until(lambda: someone_waits(looking, "trader"))
        assert sorted(order.last_sequence for order in await asyncio.gather(*waiting)) == [2, 3, 4]


async def test_the_calls_of_a_caller_that_fail_are_soon_sent_alone(database: Database) -> None:
    """So that a caller cannot make the messages of others fail again and again."""
    failing = Caller(CallerKind.TRADER, BOB, "test", "test")
    async with pools_of(database) as (pools, metrics):

        async def fail() -> None:
            with pytest.raises(psycopg.errors.DivisionByZero):
                await pools.run(failing, Statement("SELECT 1/0"))

        await asyncio.gather(*(fail() for _ in range(20)))
        before = messages(metrics)
        for _ in range(20):
            await fail()
        assert messages(metrics) - before == 20, "each is sent once, alone"
        caller = Caller(CallerKind.TRADER, ALICE, "test", "test")
        before = messages(metrics)
        await asyncio.gather(fail(), *(pools.run(caller, Statement("SELECT 1")) for _ in range(200)))
        assert messages(metrics) - before < 50, "the others are combined"


def messages(metrics: Metrics) -> float:
    """The number of messages of traders."""
    return float(sum(sample.value for sample in samples(metrics, "blotter_trader") if sample.name.endswith("_count")))


async def test_a_slow_call_is_sent_alone_the_next_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combining, "SLOW_SECONDS", 0.02)
    slow, quick = (Caller(CallerKind.TRADER, trader, "test", "test") for trader in (BOB, ALICE))
    async with pools_of(database) as (pools, _):
        quick_calls = [pools.run(quick, Statement("SELECT 1")) for _ in range(9)]
        await asyncio.gather(quick_calls[0], pools.run(slow, Statement("SELECT pg_sleep(0.05)")), *quick_calls[1:])
        combiner = pools._combiners[CallerKind.TRADER]
        assert set(combiner._alone_until) == {slow.key}


async def test_a_slow_call_that_was_the_only_one_of_its_message_is_sent_alone_the_next_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(combining, "SLOW_SECONDS", 0.02)
    slow = Caller(CallerKind.TRADER, BOB, "test", "test")
    async with pools_of(database) as (pools, _):
        await pools.run(slow, Statement("SELECT pg_sleep(0.05)"))
        assert set(pools._combiners[CallerKind.TRADER]._alone_until) == {slow.key}


async def test_each_call_of_a_message_has_its_own_error(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error gets a traceback and further fields on its way to the client."""

    def fail(*_: Any) -> Any:
        raise RuntimeError("unforeseen")

    caller = Caller(CallerKind.TRADER, ALICE, "test", "test")
    async with pools_of(database) as (pools, _):
        monkeypatch.setattr(Pool, "connection", fail)
        calls = [pools.run(caller, Statement("SELECT 1")) for _ in range(9)]
        errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [repr(error) for error in errors] == ["RuntimeError('unforeseen')"] * 9
    assert len(set(map(id, errors))) == 9


async def test_the_end_waits_for_the_calls_that_a_cut_message_sends_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "STATEMENT_MS", 30_000)

    async def cut_late(*arguments: Any) -> Any:
        try:
            return await sent(*arguments)
        finally:
            await asyncio.sleep(0.1)  # the messages last longer than the connections

    monkeypatch.setattr("service.repositories.combining.sent", cut_late)
    caller = Caller(CallerKind.TRADER, ALICE, "test", "test")
    async with (
        pools_of(database) as (pools, _),
        await psycopg.AsyncConnection.connect(database.conninfo("postgres"), autocommit=True) as looking,
    ):
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(25)%'"
        calls = [asyncio.create_task(pools.run(caller, Statement("SELECT pg_sleep(25)"))) for _ in range(3)]
        async with asyncio.timeout(30):
            while await number(looking, sleeping) < 3:  # noqa: ASYNC110  # two messages, and the query itself
                await asyncio.sleep(0.01)
        lend = Pool.connection

        @asynccontextmanager
        async def lend_late(pool: Pool, turn: Any, until: float) -> AsyncIterator[Any]:
            await asyncio.sleep(0.2)  # the calls last longer than the messages
            async with lend(pool, turn, until) as connection:
                yield connection

        monkeypatch.setattr(Pool, "connection", lend_late)
        await pools.close()
        assert pools._tasks() == []
        assert all(isinstance(each, BlotterError) for each in await asyncio.gather(*calls, return_exceptions=True))


async def test_a_gateways_report_does_not_wait_behind_all_messages_of_its_trader(database: Database) -> None:
    async with serving(database) as blotter:
        order = await blotter.submit()
        submits = [asyncio.create_task(blotter.submit()) for _ in range(300)]
        await asyncio.wait(submits, return_when=asyncio.FIRST_COMPLETED)
        await blotter.orders.ReportExecution(report_request(order, approved={}), metadata=EXECUTION)
        assert not all(submit.done() for submit in submits)
        await asyncio.gather(*submits)
        assert written(blotter)[0] == 301


@pytest.mark.parametrize("heavy", [False, True])
async def test_a_call_that_was_answered_as_too_late_is_not_done(
    database: Database, monkeypatch: pytest.MonkeyPatch, heavy: bool
) -> None:
    """Though it gets a connection later."""
    lend = Pool.connection

    @asynccontextmanager
    async def lend_late(pool: Pool, turn: Any, until: float) -> AsyncIterator[Any]:
        async with lend(pool, turn, until + 5) as connection:
            await asyncio.sleep(0.5)
            yield connection

    async with serving(database) as blotter:
        before = written(blotter)
        monkeypatch.setattr(Pool, "connection", lend_late)
        if heavy:
            batch = pb.BatchSubmitOrdersRequest(orders=[order_request() for _ in range(200)])
            call = blotter.orders.BatchSubmitOrders(batch, metadata=as_trader(ALICE), timeout=0.3)
        else:
            call = blotter.orders.SubmitOrder(order_request(), metadata=as_trader(ALICE), timeout=0.3)
        with pytest.raises(aio.AioRpcError):
            await call
        await asyncio.sleep(0.7)
        monkeypatch.undo()
        assert (await blotter.submit(BOB)).last_sequence == 1
        assert written(blotter)[0] == before[0] + 1


async def test_a_lost_answer_is_unknown_also_when_the_turn_does_not_come_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    hinted: list[UUID] = []
    async with pools_of(database) as (pools, _):
        caller = Caller(CallerKind.TRADER, ALICE, "test", "test")

        async def lose(connection: Any, text: bytes) -> Any:
            await connection.close()
            raise psycopg.OperationalError("lost")

        monkeypatch.setattr(combining, "sent", lose)
        call = pools.run(caller, Statement("SELECT 1"), writes_of=[ALICE], timeout_seconds=0.5, committed=hinted.append)
        running = asyncio.create_task(call)
        await asyncio.sleep(0)
        pools._turns._taken.add((ALICE, CallerKind.TRADER))  # another call of the trader, which does not end
        with pytest.raises(DatabaseUnavailable):
            await running
        assert hinted == [ALICE]


async def test_calls_that_are_sent_alone_do_not_keep_the_combined_ones_of_their_trader_waiting(
    database: Database,
) -> None:
    async with serving(database) as blotter:
        order = await blotter.submit()
        over = asyncio.Event()

        async def report() -> None:
            while not over.is_set():
                reports = [report_request(order, executed={}) for _ in range(20)]
                await blotter.orders.BatchReportExecutions(
                    reports_pb.BatchReportExecutionsRequest(reports=reports), metadata=EXECUTION
                )

        reporting = [asyncio.create_task(report()) for _ in range(3)]
        async with asyncio.timeout(9):
            for _ in range(10):
                await blotter.submit()
        over.set()
        await asyncio.gather(*reporting)
