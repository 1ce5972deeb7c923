"""The client, the real service, and a connection that is lost together with a response."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from blotter_client import BlotterError, Client, Order, OrderStatus, OrderType, Side, SubmitOrderResponse
from tests.client.cuttable import Cuttable, cuttable
from tests.client.faces import Face
from tests.conftest import ALICE
from tests.serving import Server

PATIENCE = 20


@pytest.fixture
def proxy(server: Server) -> Iterator[Cuttable]:
    with cuttable(server.target) as proxy:
        yield proxy


@pytest.fixture
def far(face: Face, proxy: Cuttable) -> Iterator[Client]:
    """Alice's client, behind the proxy."""
    with face.client(proxy.target, trader_id=ALICE, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def near(face: Face, server: Server) -> Iterator[Client]:
    """Another client of Alice's, connected directly."""
    with face.client(server.target, trader_id=ALICE) as client:
        yield client


def submit(client: Client, quantity: int) -> SubmitOrderResponse:
    """Enter a buy order of the given quantity."""
    return client.submit_order("AAPL", Side.BUY, OrderType.MARKET, quantity)


def open_orders(client: Client) -> list[str]:
    """The ids of the open orders."""
    return [order.order_id for order in client.list_orders(statuses=[OrderStatus.PENDING])]


def lose_the_response(proxy: Cuttable, call: Callable[[], Any], executed: Callable[[], bool]) -> Any:
    """Make the call; close its connection after the service has executed it and before the response arrives."""
    proxy.mute.set()
    with ThreadPoolExecutor(1) as threads:
        result = threads.submit(call)
        deadline = time.monotonic() + PATIENCE
        while not executed():
            assert time.monotonic() < deadline, "the service did not execute the call"
        proxy.mute.clear()
        proxy.cut()
        return result.result(PATIENCE)


def test_an_order_whose_response_is_lost_is_entered_once(proxy: Cuttable, far: Client, near: Client) -> None:
    assert list(far.list_orders()) == []
    answer = lose_the_response(proxy, lambda: submit(far, 1), lambda: any(near.list_orders()))
    assert answer.replayed
    assert [order.order_id for order in near.list_orders()] == [answer.order.order_id]


def test_a_cancel_of_all_whose_response_is_lost_is_not_retried_but_can_be_repeated(
    proxy: Cuttable, far: Client, near: Client
) -> None:
    for _ in range(2):
        submit(far, 1)
    entered_since: list[str] = []

    def executed() -> bool:
        if open_orders(near):
            return False
        entered_since.append(submit(near, 1).order.order_id)
        return True

    with pytest.raises(BlotterError) as raised:
        lose_the_response(proxy, far.cancel_all_orders, executed)
    assert raised.value.code is grpc.StatusCode.UNAVAILABLE
    assert open_orders(near) == entered_since, "the call was not retried"
    again = far.cancel_all_orders()
    assert (again.cancelled_count, list(again.order_ids)) == (1, entered_since)
    assert far.cancel_all_orders().cancelled_count == 0
    assert [log.sequence for log in near.list_execution_logs()] == [1, 2, 3, 4, 5, 6]


def test_a_watch_whose_connection_is_lost_misses_nothing(proxy: Cuttable, far: Client, near: Client) -> None:
    with far.watch_orders(heartbeat_interval=1) as watch:
        assert next(watch).HasField("snapshot_complete")
        proxy.mute.set()
        lost = submit(near, 1).order
        proxy.mute.clear()
        proxy.cut()
        after = submit(near, 2).order
        seen: list[Order] = []
        while len(seen) < 2:
            seen += [event.order for event in next(watch).events.events]
    assert seen == [lost, after]
