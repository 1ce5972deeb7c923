"""One trader's many reads do not starve another's; too many calls are refused at once."""

import asyncio
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_service_pb2 as pb
from service.repositories.sessions import SESSION
from tests.conftest import ALICE, BOB, Database
from tests.rpc.errors import details_of, reason_of, refused
from tests.rpc.test_outages import locked, someone_waits, until
from tests.serving import EXECUTION, Blotter, as_trader, order_request, report_request, serving


async def test_parallel_large_lists_of_one_trader_do_not_starve_the_gets_of_another(blotter: Blotter) -> None:
    batch = pb.BatchSubmitOrdersRequest(orders=[order_request() for _ in range(500)])
    await blotter.orders.BatchSubmitOrders(batch, metadata=as_trader(ALICE))
    get = pb.GetOrderRequest(order_id=(await blotter.submit(BOB)).order_id)
    lists_done = 0

    async def big_list() -> None:
        nonlocal lists_done
        await blotter.orders.ListOrders(pb.ListOrdersRequest(page_size=500), metadata=as_trader(ALICE))
        lists_done += 1

    lists = [asyncio.create_task(big_list()) for _ in range(50)]
    await until_done(lists, 1)
    before = lists_done
    for _ in range(3):
        await blotter.orders.GetOrder(get, metadata=as_trader(BOB))
    # In order of arrival, even the first get would be answered after all lists. In turn, each get waits for
    # the lists that hold a connection: four of them, half of the pool.
    assert lists_done - before < 20
    await asyncio.gather(*lists)


async def until_done(tasks: list[asyncio.Task[Any]], count: int) -> None:
    """Wait until so many of the tasks have ended."""
    async with asyncio.timeout(20):
        while sum(task.done() for task in tasks) < count:
            await asyncio.wait(tasks, timeout=0.05, return_when=asyncio.FIRST_COMPLETED)


async def test_a_caller_with_too_many_calls_is_refused_at_once_and_another_is_served(database: Database) -> None:
    async with serving(database, max_calls_per_caller=3) as blotter:
        await blotter.submit()
        async with locked(database) as looking:
            waiting = [asyncio.create_task(blotter.submit()) for _ in range(3)]
            await until(lambda: someone_waits(looking, "trader"))
            error = await refused(blotter.submit())
            assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_BUSY")
            assert details_of(error, error_details_pb2.RetryInfo)
            assert (await blotter.submit(BOB)).last_sequence == 1
        assert sorted(order.last_sequence for order in await asyncio.gather(*waiting)) == [2, 3, 4]
        assert (await blotter.submit()).last_sequence == 5


async def test_batches_that_wait_for_one_trader_do_not_keep_another_waiting(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.repositories.deadlines.LONGEST_WAIT", 120)
    monkeypatch.setitem(SESSION, "lock_timeout", "120s")
    async with serving(database) as blotter:
        first, last = await blotter.submit(ALICE), await blotter.submit(BOB)
        reports = [report_request(order, approved={}) for order in (first, last)]
        assert reports[0].trader_id < reports[1].trader_id
        async with locked(database, BOB) as looking:
            submits = [asyncio.create_task(blotter.submit(BOB)) for _ in range(2)]
            await until(lambda: someone_waits(looking, "trader"))
            batch = reports_pb.BatchReportExecutionsRequest(reports=reports)
            batches = [
                asyncio.ensure_future(blotter.orders.BatchReportExecutions(batch, metadata=EXECUTION)) for _ in range(2)
            ]
            async with asyncio.timeout(60):
                for _ in range(5):
                    await blotter.submit(ALICE)
            assert not any(task.done() for task in (*submits, *batches))
        await asyncio.gather(*submits)
        for answer in await asyncio.gather(*batches):
            assert [result.WhichOneof("result") for result in answer.results] == ["response", "response"]


async def test_a_report_does_not_wait_behind_all_calls_of_its_trader(database: Database) -> None:
    """Otherwise a trader could delay the recording of a fill by entering orders."""
    async with serving(database) as blotter:
        order = await blotter.submit(BOB)
        async with locked(database, BOB) as looking:
            submits = [asyncio.create_task(blotter.submit(BOB)) for _ in range(40)]
            await until(lambda: someone_waits(looking, "trader"))
            report = asyncio.create_task(blotter.fill(order, 1))
            await asyncio.sleep(0.1)  # so that it queues behind the waiting calls
        async with asyncio.timeout(60):
            await report
        done = sum(submit.done() for submit in submits)
        await asyncio.gather(*submits)
    assert done < 20
