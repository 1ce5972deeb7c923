"""Expiry of an order that a gateway has: the blotter asks the venue once, and again after a new expire_time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from google.protobuf.timestamp_pb2 import Timestamp

from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2, terms_pb2
from tests.conftest import ALICE
from tests.lifecycle.play import Play, standing
from tests.rpc.test_outages import until
from tests.serving import Blotter


def soon() -> Timestamp:
    """A moment that is about to come."""
    moment = Timestamp()
    moment.FromDatetime(datetime.now(UTC) + timedelta(seconds=1))
    return moment


async def test_a_venue_is_asked_once_for_each_expire_time(blotter: Blotter) -> None:
    play = Play(blotter)
    gtd: Any = terms_pb2.TIME_IN_FORCE_GTD
    await play.submit(client_order_id="X", quantity=100, expire_time=soon(), time_in_force=gtd)
    await play.sent()

    async def asked() -> bool:
        play.refusal = "looked at from outside"  # the last answer is older than what the blotter does
        return (await play.look()).pending_request.kind == terms_pb2.REQUEST_KIND_CANCEL

    await until(asked)
    assert play.order.status == order_pb2.ORDER_STATUS_PENDING
    await play.fill("A", 40)
    await play.refuse_cancel()
    assert standing(play.order) == "PARTIAL 100 40 60", "the venue goes on"

    async with await psycopg.AsyncConnection.connect(blotter.database.conninfo("blotter_execution")) as database:
        await database.execute("SELECT act_as(%s)", (ALICE,))
        assert (await database.execute("SELECT * FROM expire_orders('again', 1000)")).rowcount == 0, "not asked again"

    await play.replace("Y", expire_time=soon())
    await play.report(replaced=reports_pb.ReplacedReport(), request_key="Y")
    await until(asked)
    await play.report(cancelled=reports_pb.CancelledReport(expired=True))
    assert standing(play.order) == "CANCELLED 100 40 0"
    assert play.order.status_reason == "EXPIRED"
    outcomes = [outcome for _, outcome in await play.requests()]
    assert outcomes == ["REFUSED", "ACCEPTED", "ACCEPTED"]
    assert await play.discrepancies() == []
