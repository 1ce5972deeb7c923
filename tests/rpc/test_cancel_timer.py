"""The dead-man's switch: it cancels the trader's open orders unless it is set again in time."""

from uuid import UUID

import psycopg
import pytest
from google.protobuf.duration_pb2 import Duration

from blotter.orders.v1 import cancel_timer_pb2 as timer_pb
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2, order_service_pb2, terms_pb2
from tests.conftest import ALICE, BOB, Database
from tests.rpc.requests import A, at_venue, cancel, get, logs, replace
from tests.rpc.test_outages import someone_waits, until
from tests.serving import Blotter, as_trader, serving

PENDING, PARTIAL, FILLED, REJECTED, CANCELLED = range(1, 6)


async def set_timer(blotter: Blotter, seconds: int, trader_id: UUID = ALICE) -> timer_pb.CancelAllAfterResponse:
    """Set a trader's timer."""
    request = timer_pb.CancelAllAfterRequest(timeout=Duration(seconds=seconds))
    response: timer_pb.CancelAllAfterResponse = await blotter.orders.CancelAllAfter(
        request, metadata=as_trader(trader_id)
    )
    return response


async def timer(blotter: Blotter, trader_id: UUID = ALICE) -> timer_pb.GetCancelTimerResponse:
    """A trader's timer."""
    response: timer_pb.GetCancelTimerResponse = await blotter.orders.GetCancelTimer(
        timer_pb.GetCancelTimerRequest(), metadata=as_trader(trader_id)
    )
    return response


def run_out(database: Database) -> None:
    """Let all timers have run out now, so that no test depends on time."""
    fire = "UPDATE cancel_timers SET fires_at = clock_timestamp()"
    database.cluster.psql(f"SET session_replication_role = replica; {fire}", dbname=database.name)


async def until_off(blotter: Blotter, trader_id: UUID = ALICE) -> None:
    """Wait until the trader's timer is off."""

    async def off() -> bool:
        return not (await timer(blotter, trader_id)).HasField("cancel_timer")

    await until(off)


async def test_a_timer_is_shown_set_anew_and_switched_off(blotter: Blotter) -> None:
    assert not (await timer(blotter)).HasField("cancel_timer")
    assert not (await set_timer(blotter, 0)).HasField("cancel_timer")
    first = (await set_timer(blotter, 60)).cancel_timer
    assert first.timeout == Duration(seconds=60)
    assert first.fire_time.ToDatetime() - first.set_time.ToDatetime() == first.timeout.ToTimedelta()
    assert (await timer(blotter)).cancel_timer == first
    assert not (await timer(blotter, BOB)).HasField("cancel_timer")
    second = (await set_timer(blotter, 86_400)).cancel_timer
    assert second.timeout == Duration(seconds=86_400)
    assert second.set_time.ToDatetime() > first.set_time.ToDatetime()
    assert not (await set_timer(blotter, 0)).HasField("cancel_timer")
    assert not (await timer(blotter)).HasField("cancel_timer")


async def test_a_timer_that_has_run_out_cancels_or_requests_and_spares_who_is_exempt(blotter: Blotter) -> None:
    desk, exempt = await blotter.submit(), await blotter.submit(exempt_from_cancel_timer=True)
    venue, bobs = await at_venue(blotter), await blotter.submit(BOB)
    filled = await blotter.fill(await blotter.submit(), 100)
    assert exempt.exempt_from_cancel_timer
    await set_timer(blotter, 3600)
    run_out(blotter.database)
    await until_off(blotter)
    closed = (await get(blotter, order_id=desk.order_id)).order
    assert (closed.status, closed.status_reason) == (CANCELLED, "DISCONNECTED")
    found = await get(blotter, order_id=venue.order_id)
    assert (found.order.status, found.order.pending_request.kind) == (PENDING, terms_pb2.REQUEST_KIND_CANCEL)
    assert [request.reason for request in found.requests] == ["DISCONNECTED"]
    closed = await blotter.report(venue, cancelled=reports_pb.CancelledReport())
    assert (closed.status, closed.status_reason) == (CANCELLED, "DISCONNECTED")
    for order in (exempt, filled):
        assert (await get(blotter, order_id=order.order_id)).order == order
    [by_timer, requested] = [log for log in await logs(blotter) if log.reason == "DISCONNECTED"]
    assert {(log.actor, log.login) for log in (by_timer, requested)} == {("blotter", "blotter_execution")}
    assert (by_timer.action, requested.action) == (order_pb2.ACTION_CANCELLED, order_pb2.ACTION_CANCEL_REQUESTED)
    assert bobs.status == PENDING
    later = await blotter.submit()
    assert (await get(blotter, order_id=later.order_id)).order == later


async def test_a_timer_waits_for_the_answer_to_a_replace(blotter: Blotter) -> None:
    order = await at_venue(blotter)
    await replace(blotter, order, quantity=50)
    desk = await blotter.submit()
    await set_timer(blotter, 3600)
    run_out(blotter.database)

    async def has_fired() -> bool:
        return (await get(blotter, order_id=desk.order_id)).order.status == CANCELLED

    await until(has_fired)
    await blotter.report(order, replace_refused=reports_pb.ReplaceRefusedReport())
    await until_off(blotter)
    newest, oldest = (await get(blotter, order_id=order.order_id)).requests
    assert (newest.kind, newest.reason) == (terms_pb2.REQUEST_KIND_CANCEL, "DISCONNECTED")
    assert oldest.kind == terms_pb2.REQUEST_KIND_REPLACE


async def test_a_timer_asks_again_for_an_order_whose_own_cancel_the_venue_refuses(blotter: Blotter) -> None:
    order = (await cancel(blotter, await at_venue(blotter), request_key="mine")).order
    desk = await blotter.submit()
    await set_timer(blotter, 3600)
    run_out(blotter.database)

    async def has_fired() -> bool:
        return (await get(blotter, order_id=desk.order_id)).order.status == CANCELLED

    await until(has_fired)
    assert (await get(blotter, order_id=order.order_id)).order == order
    await blotter.report(order, cancel_refused=reports_pb.CancelRefusedReport())
    await until_off(blotter)
    newest, oldest = (await get(blotter, order_id=order.order_id)).requests
    assert (newest.reason, oldest.request_key) == ("DISCONNECTED", "mine")
    # The venue's words do not replace the blotter's own reason.
    closed = await blotter.report(order, cancelled=reports_pb.CancelledReport(reason="UR OUT"))
    assert (closed.status, closed.status_reason) == (CANCELLED, "DISCONNECTED")


SUBMIT = """
    SELECT (recorded).id FROM submit_order(
        'first', sha256('first'), 'AAPL', 'BUY', 'LIMIT', 100, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL, false, false, 'raw', 'r')
"""


async def test_a_timer_waits_for_a_first_order_that_is_about_to_be_committed(blotter: Blotter) -> None:
    connect, conninfo = psycopg.AsyncConnection.connect, blotter.database.conninfo
    async with (
        await connect(conninfo("postgres"), autocommit=True) as looking,
        await connect(conninfo("blotter_trader")) as slow,
    ):
        await slow.execute("SELECT act_as(%s)", (BOB,))
        # The trader's counter begins with this transaction: nobody else sees it, or can lock it, yet.
        await slow.execute(SUBMIT)
        await set_timer(blotter, 3600, BOB)
        run_out(blotter.database)
        await until(lambda: someone_waits(looking, "execution"))
        assert (await timer(blotter, BOB)).HasField("cancel_timer")
        await slow.commit()
    await until_off(blotter, BOB)
    named = order_service_pb2.GetOrderRequest(client_order_id="first")
    closed = (await blotter.orders.GetOrder(named, metadata=as_trader(BOB))).order
    assert (closed.status, closed.status_reason) == (CANCELLED, "DISCONNECTED")


async def test_a_timer_survives_the_service_and_is_set_again_in_time(database: Database) -> None:
    async with serving(database) as blotter:
        order = await blotter.submit()
        await set_timer(blotter, 3600)
    run_out(database)
    async with serving(database) as blotter:
        await until_off(blotter)
        assert (await get(blotter, order_id=order.order_id)).order.status == CANCELLED
        again = await blotter.submit()
        for _ in range(3):
            await set_timer(blotter, 3600)
        assert (await get(blotter, order_id=again.order_id)).order == again


async def test_more_orders_than_one_transaction_cancels(blotter: Blotter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.repositories.due.DUE_AT_ONCE", 3)
    orders = [await (at_venue(blotter) if number % 2 else blotter.submit()) for number in range(10)]
    await set_timer(blotter, 3600)
    run_out(blotter.database)
    await until_off(blotter)
    for order in orders:
        found = (await get(blotter, order_id=order.order_id)).order
        assert found.status == CANCELLED or found.HasField("pending_request")
    reasons = [log.reason for log in await logs(blotter)]
    assert reasons.count("DISCONNECTED") == 10


async def test_two_servers_fire_a_timer_once(database: Database) -> None:
    async with serving(database) as one, serving(database) as other:
        for _ in range(5):
            await one.submit()
        await set_timer(one, 3600)
        run_out(database)
        await until_off(other)
        sequences = [(log.sequence, log.reason) for log in await logs(one)]
    assert sequences == [(number, "" if number <= 5 else "DISCONNECTED") for number in range(1, 11)]


async def test_a_call_of_another_trader_sets_only_their_timer(blotter: Blotter) -> None:
    order = await blotter.submit()
    await set_timer(blotter, 3600, BOB)
    run_out(blotter.database)
    await until_off(blotter, BOB)
    assert (await get(blotter, order_id=order.order_id)).order == order
    assert not (await blotter.orders.GetCancelTimer(timer_pb.GetCancelTimerRequest(), metadata=A)).HasField(
        "cancel_timer"
    )
