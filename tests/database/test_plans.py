"""The plans of the service's statements in a database that has no statistics yet."""

import re
from typing import Any

import psycopg
import pytest
from psycopg import ClientCursor

from blotter.orders.v1 import order_service_pb2 as pb
from service.repositories import order_reads
from service.repositories.sessions import FOR_PAGES, SESSION, login_to
from service.repositories.statements import values_of
from service.servicers import validation
from tests.conftest import ALICE
from tests.serving import Blotter, as_trader, order_request

PAGE = 50


@pytest.mark.parametrize("orders", [1000, 3000, 8000])
async def test_a_page_of_orders_reads_the_page_and_not_all_orders_of_the_trader(blotter: Blotter, orders: int) -> None:
    with psycopg.connect(blotter.database.conninfo("postgres"), autocommit=True) as superuser:
        superuser.execute("ALTER TABLE orders SET (autovacuum_enabled = off)")
    for _ in range(orders // 1000):
        batch = pb.BatchSubmitOrdersRequest(orders=[order_request() for _ in range(1000)])
        await blotter.orders.BatchSubmitOrders(batch, metadata=as_trader(ALICE))
    filter_, _ = validation.list_orders(pb.ListOrdersRequest())
    values: dict[str, Any] = {"trader_id": ALICE, "before_time": None, "before_id": None, "limit": PAGE + 1}
    login = login_to(blotter.database.conninfo("blotter_trader"), "blotter_trader", session=SESSION | FOR_PAGES)
    with psycopg.connect(login, cursor_factory=ClientCursor) as trader:
        trader.execute("SELECT act_as(%s)", [ALICE])
        plan = trader.execute("EXPLAIN (ANALYZE, TIMING off) " + order_reads._LIST, values | values_of(filter_))
        text = "\n".join(str(line) for (line,) in plan)
    read = [float(rows) for rows in re.findall(r"actual rows=([0-9.]+)", text)]
    assert max(read) == pytest.approx(PAGE + 1, abs=2), text
