"""A published message file of an exchange, played against a real server and compared exactly."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

from click.testing import CliRunner

from blotter_client import Client, OrderStatus, OrderType, Side
from replay.book import Book
from replay.flow import Cancel, CancelAtVenue, Fill, Replace, Submit
from replay.lobster import read_file
from replay.player import Desk
from service.cli.replay import replay
from tests.conftest import ALICE, BOB
from tests.serving import Server

DAY = date(2012, 6, 21)
TRADERS = (ALICE, BOB)
REAL_FILE = Path(os.environ.get("ORDER_FLOW") or "ORDER_FLOW-is-not-set")
if not REAL_FILE.is_file():
    raise FileNotFoundError(f"There is no order flow at {REAL_FILE}: make test-vectors ORDER_FLOW=<file>")


def test_the_real_file() -> None:
    flow = read_file(REAL_FILE, "AAPL", DAY)
    kinds = [type(step) for step in flow.steps]
    counts_of_steps = [kinds.count(kind) for kind in (Submit, Cancel, Fill, CancelAtVenue, Replace)]
    assert counts_of_steps == [471, 364, 94, 3, 0]
    assert flow.left_out == {
        "executions of hidden orders": 61,
        "deletions of orders from before the file": 5,
        "executions of orders from before the file": 4,
    }
    statuses = [state.status for state in Book.of(flow.steps, [ALICE]).orders.values()]
    counts = {status.name: statuses.count(status) for status in OrderStatus}
    assert counts == {"PENDING": 37, "PARTIAL": 1, "FILLED": 69, "REJECTED": 0, "CANCELLED": 364}


def test_real_order_flow_is_recorded_exactly_and_once(server: Server) -> None:
    with Client(server.target, trader_id=ALICE) as client:
        client.submit_order("AAPL", Side.SELL, OrderType.MARKET, 5)
    named = ("--symbol", "AAPL", "--date", "2012-06-21", "--trader-id", str(ALICE), "--trader-id", str(BOB))
    first = CliRunner().invoke(replay, [str(REAL_FILE), *named, "--target", server.target])
    assert first.exit_code == 0, first.output
    assert "471 submits, 364 cancels, 94 fills, 3 cancels at the venue" in first.output
    assert "61 executions of hidden orders" in first.output
    assert "932 recorded, 0 replayed, 0 refused" in first.output
    assert "932 events of streams" in first.output
    assert "933 stream over all traders" in first.output
    assert "933 verified export" in first.output
    again = CliRunner().invoke(replay, [str(REAL_FILE), *named, "--target", server.target])
    assert again.exit_code == 0, again.output
    assert "nothing new: 932 replayed" in again.output
    with Desk(server.target, TRADERS) as desk:
        logs = [list(desk.compliance.list_execution_logs(trader_id=trader_id)) for trader_id in TRADERS]
    assert sum(map(len, logs)) == 933, "those of the file, and the order entered before"
