"""A write whose answer is lost after its commit: it is done once, and no error states that nothing was written."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.rpc import error_details_pb2
from psycopg import AsyncConnection

from service.domain.errors import DatabaseUnavailable
from service.domain.identity import Caller, CallerKind
from service.domain.writes import NewOrder
from service.observability.metrics import Metrics
from service.repositories.database import Database as Pools
from service.repositories.orders import Orders
from service.repositories.sessions import SESSION
from tests.conftest import ALICE, Database
from tests.proxy import ProxiedDatabase, proxied
from tests.rpc.errors import details_of, reason_of, refused
from tests.rpc.test_outages import locked, number, until
from tests.rpc.written import written
from tests.serving import Blotter, as_trader, order_request, serving


@asynccontextmanager
async def committed_unheard(behind: ProxiedDatabase, blotter: Blotter, call: Any) -> AsyncIterator[asyncio.Task[Any]]:
    """The call has committed, and the connections that would carry its answer are still open."""
    before = written(blotter)
    behind.proxy.mute()
    task = asyncio.ensure_future(call)

    async def is_committed() -> bool:
        return written(blotter) != before

    await until(is_committed)
    yield task
    await asyncio.wait([task])


async def test_a_write_whose_answer_is_lost_is_sent_again_and_done_once(database: Database) -> None:
    async with proxied(database) as behind, serving(behind) as blotter:
        call = blotter.orders.SubmitOrder(order_request(), metadata=as_trader(ALICE), timeout=30)
        async with committed_unheard(behind, blotter, call) as submit:
            behind.proxy.cut()
            answer = await submit
        assert (answer.replayed, answer.order.last_sequence) == (True, 1)
        assert written(blotter) == (1, 0, 1, 1)


REFUSALS: dict[str, dict[str, str]] = {
    "the deadline passes": {},
    "a lock is held for too long": {"lock_timeout": "100ms"},
    "the statement takes too long": {"statement_timeout": "200ms"},
}


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_write_that_was_committed_is_never_said_not_to_be(
    database: Database, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    for setting, value in REFUSALS[refusal].items():
        monkeypatch.setitem(SESSION, setting, value)
    timeout: float | None = 4.0
    if "statement_timeout" in REFUSALS[refusal]:
        monkeypatch.setattr("service.repositories.deadlines.LONGEST_STATEMENT", 0.2)
        timeout = None
    async with proxied(database) as behind, serving(behind) as blotter:
        await blotter.submit()
        request = order_request()
        call = blotter.orders.SubmitOrder(request, metadata=as_trader(ALICE), timeout=timeout)
        async with committed_unheard(behind, blotter, call) as submit, locked(database):
            behind.proxy.cut()
            error = await refused(submit)
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        assert "may have been done" in str(error.details())
        assert details_of(error, error_details_pb2.RetryInfo)
        again = await blotter.orders.SubmitOrder(request, metadata=as_trader(ALICE))
        assert (again.replayed, again.order.last_sequence) == (True, 2)
        assert written(blotter) == (2, 0, 2, 2)


async def test_streams_are_notified_when_it_is_not_known_whether_a_write_was_committed(database: Database) -> None:
    hints: list[UUID] = []
    order = NewOrder("lost", "AAPL", "BUY", "MARKET", 100, None, None, None, None)
    caller = Caller(CallerKind.TRADER, ALICE, "test", "test", time.monotonic() + 4)
    async with (
        proxied(database) as behind,
        await AsyncConnection.connect(database.conninfo("postgres"), autocommit=True) as looking,
    ):
        pools = Pools(behind.conninfo("blotter_trader"), {CallerKind.TRADER: 1}, metrics=Metrics())
        await pools.open()
        try:
            behind.proxy.mute()
            submit = asyncio.create_task(Orders(pools, hints.append).submit(caller, ALICE, [order]))

            async def is_committed() -> bool:
                return await number(looking, "SELECT count(*) FROM orders") == 1

            await until(is_committed)
            assert not hints
            behind.proxy.deafen()
            behind.proxy.cut()
            with pytest.raises(DatabaseUnavailable):
                await submit
        finally:
            await pools.close()
    assert hints == [ALICE]
