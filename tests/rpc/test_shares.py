"""A caller with many calls open does not delay those of the others."""

import asyncio
import random
from typing import Any
from uuid import UUID

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blotter.orders.v1 import order_service_pb2 as pb
from service.domain.errors import DatabaseBusy
from service.domain.identity import CALLER, Caller, CallerKind
from service.interceptors import shares
from service.interceptors.around import Handler, behaviour_of
from service.interceptors.shares import Shares
from service.observability.metrics import Metrics
from tests.conftest import ALICE, Database
from tests.rpc.errors import reason_of, refused
from tests.rpc.test_outages import locked, someone_waits, until
from tests.serving import Blotter, as_trader, order_request, serving

METHOD = "/blotter.orders.v1.OrderService/SubmitOrder"


async def test_calls_of_a_caller_that_wait_for_a_lock_do_not_keep_its_others_waiting(blotter: Blotter) -> None:
    order = await blotter.submit()
    get = pb.GetOrderRequest(order_id=order.order_id)
    async with locked(blotter.database) as looking:
        waiting = [asyncio.create_task(blotter.submit()) for _ in range(2 * shares.IN_WORK)]
        await until(lambda: someone_waits(looking, "trader"))
        async with asyncio.timeout(5):
            await blotter.orders.GetOrder(get, metadata=as_trader(ALICE))
        assert not any(call.done() for call in waiting)
    assert len(await asyncio.gather(*waiting)) == 2 * shares.IN_WORK


async def test_more_calls_than_may_wait_are_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "IN_WORK", 2)
    monkeypatch.setattr(shares, "LEAST_SHARE", 2)
    monkeypatch.setattr(shares, "WORK_SECONDS", 600)
    async with serving(database, max_calls_per_caller=3) as blotter:
        await blotter.submit()
        async with locked(database) as looking:
            waiting = [asyncio.create_task(blotter.submit()) for _ in range(5)]
            await until(lambda: someone_waits(looking, "trader"))
            error = await refused(blotter.submit())
            assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_BUSY")
            assert blotter.metrics.calls_waited.labels("trader")._value.get() == 3
        assert len(await asyncio.gather(*waiting)) == 5


async def test_a_call_that_waits_until_its_deadline_is_refused_before_it_and_a_cancelled_one_is_not_done(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shares, "IN_WORK", 2)
    monkeypatch.setattr(shares, "LEAST_SHARE", 2)
    monkeypatch.setattr(shares, "WORK_SECONDS", 600)
    async with serving(database) as blotter:
        await blotter.submit()
        async with locked(database) as looking:
            waiting = [asyncio.create_task(blotter.submit()) for _ in range(2)]
            await until(lambda: someone_waits(looking, "trader"))
            late = blotter.orders.SubmitOrder(order_request(), metadata=as_trader(ALICE), timeout=1)
            assert reason_of(await refused(late)) == "DATABASE_BUSY", "so that the caller knows that it was not done"
            assert blotter.metrics.busy.labels("blotter_trader")._value.get() == 1
            cancelled = asyncio.create_task(blotter.submit())
            await until_waiting(blotter, 2)
            cancelled.cancel()
        await asyncio.gather(*waiting)
        assert (await blotter.submit()).last_sequence == 4


async def until_waiting(blotter: Blotter, count: int) -> None:
    """Wait until so many calls have waited for their caller's share."""

    async def waited() -> bool:
        return bool(blotter.metrics.calls_waited.labels("trader")._value.get() >= count)

    await until(waited)


class Sharing:
    """Calls of weight 1, that last until they are released."""

    def __init__(self, calls_per_caller: int = 1000) -> None:
        self.shares = Shares(Metrics(), 1000, calls_per_caller)
        self.in_work = 0
        self._end = asyncio.Event()
        handler: Handler = grpc.unary_unary_rpc_method_handler(self._serve)
        self._behaviour = behaviour_of(self.shares.wrapped(METHOD, handler))

    async def _serve(self, request: Any, context: Any) -> None:
        self.in_work += 1
        try:
            await self._end.wait()
        finally:
            self.in_work -= 1

    async def opened(self, count: int) -> list[asyncio.Task[Any]]:
        """Begin so many calls of ALICE, and let the event loop run them."""
        CALLER.set(Caller(CallerKind.TRADER, ALICE, "test", "test"))
        tasks = [asyncio.create_task(self._behaviour(pb.SubmitOrderRequest(), object())) for _ in range(count)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return tasks

    async def release(self, tasks: list[asyncio.Task[Any]]) -> list[Any]:
        """End the calls in work, and let those that begin then end at once; return what all the calls returned."""
        self._end.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        self._end.clear()
        return results


async def test_a_caller_has_its_whole_share_again_after_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "WORK_SECONDS", 600)
    sharing = Sharing()
    for _ in range(3):
        tasks = await sharing.opened(100)
        assert sharing.in_work == shares.IN_WORK
        for task in tasks[10:20]:
            task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sharing.in_work == shares.IN_WORK, "others have taken the places of the cancelled ones"
        results = await sharing.release(tasks)
        assert sum(isinstance(result, asyncio.CancelledError) for result in results) == 10


async def test_callers_share_and_a_gateway_keeps_its_share() -> None:
    sharing = Shares(Metrics(), 1000, 1000)
    gateway, *traders = [(CallerKind.EXECUTION, "gateway"), *((CallerKind.TRADER, UUID(int=n)) for n in range(9))]
    sharing._add_recent(traders[0])
    assert sharing._share(traders[0]) == shares.IN_WORK
    for trader in traders:
        sharing._add_recent(trader)
    assert sharing._share(traders[0]) == shares.LEAST_SHARE
    assert sharing._share(gateway) == shares.IN_WORK


async def test_calls_that_last_make_room_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "WORK_SECONDS", 0.02)
    sharing = Sharing()
    tasks = await sharing.opened(5 * shares.IN_WORK)
    async with asyncio.timeout(20):
        while sharing.in_work < len(tasks):  # noqa: ASYNC110  # the calls begin by timers
            await asyncio.sleep(0.01)
    await sharing.release(tasks)
    assert sharing.shares._callers == {}


async def test_waiting_calls_that_are_cancelled_make_room_for_others_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "WORK_SECONDS", 600)
    sharing = Sharing(calls_per_caller=3)
    tasks = await sharing.opened(shares.IN_WORK + 4)
    assert isinstance(tasks.pop().exception(), DatabaseBusy)
    for task in tasks[-2:]:
        task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    tasks += await sharing.opened(2)
    results = await sharing.release(tasks)
    assert [type(result) for result in results[-4:]] == [asyncio.CancelledError] * 2 + [type(None)] * 2


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_no_caller_exceeds_its_share_and_every_call_ends(seed: int, count: int) -> None:
    """Calls of several callers with any weights begin, wait, fail and are cancelled at any time."""
    chance = random.Random(seed)

    async def run() -> None:
        sharing = Shares(Metrics(), 1000, 1000)
        in_work: dict[CallerKind, dict[object, int]] = {kind: {} for kind in CallerKind}

        async def servicer(request: Any, context: Any) -> None:
            kind = CALLER.get().kind
            in_work[kind][context] = len(request.orders)
            weights = in_work[kind].values()
            assert len(weights) == 1 or sum(weights) <= shares.IN_WORK
            try:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                if chance.random() < 0.1:
                    raise DatabaseBusy
            finally:
                del in_work[kind][context]

        batch = METHOD.replace("SubmitOrder", "BatchSubmitOrders")
        handler: Handler = grpc.unary_unary_rpc_method_handler(servicer)
        behaviour = behaviour_of(sharing.wrapped(batch, handler))

        async def call() -> None:
            CALLER.set(Caller(chance.choice(list(CallerKind)), None, "test", "test"))
            weight = chance.choice([1, 1, 2, 8, 40])
            await behaviour(pb.BatchSubmitOrdersRequest(orders=[pb.SubmitOrderRequest()] * weight), object())

        tasks = []
        for _ in range(count):
            tasks.append(asyncio.create_task(call()))
            if chance.random() < 0.3:
                await asyncio.sleep(0)
            if chance.random() < 0.2:
                chance.choice(tasks).cancel()
        async with asyncio.timeout(10):
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} <= {type(None), DatabaseBusy, asyncio.CancelledError}
        assert sharing._callers == {}
        assert sharing._waiting == 0

    asyncio.run(run())
