"""CancelAllOrders over several transactions: an error after the first reports that orders were cancelled."""

from typing import Any
from uuid import UUID

import grpc
import psycopg
import pytest
from google.rpc import error_details_pb2

from blotter.orders.v1 import order_service_pb2 as pb
from service.repositories.sessions import SESSION
from tests.conftest import ALICE, Database
from tests.rpc.errors import details_of, info_of, refused
from tests.serving import as_trader, order_request, serving

REFUSALS: dict[str, tuple[dict[str, str], float | None]] = {
    "the deadline passes": ({}, 2),
    "a lock is held for too long": ({"lock_timeout": "100ms"}, None),
    "the statement takes too long": ({"statement_timeout": "200ms"}, None),
}


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_an_error_after_a_portion_states_how_many_were_cancelled(
    database: Database, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    settings, timeout = REFUSALS[refusal]
    for setting, value in settings.items():
        monkeypatch.setitem(SESSION, setting, value)
    if "statement_timeout" in settings:
        monkeypatch.setattr("service.repositories.deadlines.LONGEST_STATEMENT", 0.2)
    monkeypatch.setattr("service.repositories.orders.CANCELLED_AT_ONCE", 2)
    async with serving(database) as blotter:
        batch = pb.BatchSubmitOrdersRequest(orders=[order_request() for _ in range(7)])
        await blotter.orders.BatchSubmitOrders(batch, metadata=as_trader(ALICE))

        def cancel_all(timeout: float | None = None) -> Any:
            return blotter.orders.CancelAllOrders(
                pb.CancelAllOrdersRequest(), metadata=as_trader(ALICE), timeout=timeout
            )

        with psycopg.connect(database.conninfo("postgres")) as holder:
            commits = 0

            def lock_after_two(trader_id: UUID | None) -> None:
                nonlocal commits
                commits += 1
                if commits == 2:
                    holder.execute("SELECT FROM trader_sequences WHERE trader_id = %s FOR UPDATE", (trader_id,))

            monkeypatch.setattr(blotter.feed, "hint", lock_after_two)
            error = await refused(cancel_all(timeout))
        info = info_of(error)
        assert (error.code(), info.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        assert info.metadata["cancelled_count"] == "4"
        assert "4 orders were cancelled" in str(error.details())
        assert details_of(error, error_details_pb2.RetryInfo)
        assert (await cancel_all()).cancelled_count == 3
