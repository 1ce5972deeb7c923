"""The Python examples, those of the client's README, and that of docs/gateways.md, run against a real server."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from decimal import Decimal

import pytest

from blotter_client import Action, Client, Order, OrderEvent, OrderType, Side
from tests.conftest import ALICE
from tests.paths import PYTHONPATH, ROOT
from tests.serving import Server

SECONDS = 60
EXAMPLES = sorted(path.name for path in (ROOT / "examples" / "python").glob("*.py"))
WATCHES = ["watch_and_submit.py", "watch_and_submit_async.py"]
GATEWAYS = (ROOT / "docs" / "gateways.md").read_text("utf-8")
README = (ROOT / "packages" / "client" / "README.md").read_text("utf-8")
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SNIPPETS = PYTHON.findall(README)


def run(*arguments: str) -> str:
    """Run a program and return its output. It must succeed, without a warning."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env=os.environ | {"PYTHONPATH": PYTHONPATH},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


@pytest.mark.parametrize("name", WATCHES)
def test_an_example_of_a_trader(name: str, server: Server) -> None:
    printed = run(str(ROOT / "examples" / "python" / name), server.target, str(ALICE)).splitlines()
    assert printed[0] == "snapshot of 0 orders"
    assert [line.split()[:3] for line in printed[1:3]] == [
        ["1", "SUBMITTED", "PENDING"],
        ["2", "CANCELLED", "CANCELLED"],
    ]
    assert printed[3].startswith("INVALID_ARGUMENT INVALID_REQUEST request ")
    assert {line.split(":")[0].strip() for line in printed[4:]} == {"quantity", "price"}


def test_the_example_of_a_gateway_sends_an_order_once(server: Server) -> None:
    example = runpy.run_path(str(ROOT / "examples" / "python" / "gateway.py"))
    sent: list[str] = []

    class Venue:
        def __init__(self) -> None:
            self.known: set[str] = set()

        def send(self, order: Order) -> None:
            self.known.add(order.order_id)
            sent.append(order.order_id)

        def knows(self, order: Order) -> bool:
            return order.order_id in self.known

    with Client(server.target, trader_id=ALICE) as trader, Client(server.target, role="execution") as client:
        order = trader.submit_order("AAPL", Side.BUY, OrderType.LIMIT, 100, Decimal(9)).order
        event = OrderEvent(action=Action.SUBMITTED.value, order=order, record_time=order.create_time)
        venue = Venue()
        for _ in range(2):
            example["Gateway"](client, venue).handle(event)
        assert sent == [order.order_id]
        example["Gateway"](client, Venue()).handle(event)  # it stopped between the report and the send
        assert sent == [order.order_id] * 2


def test_the_example_of_a_gateway(server: Server) -> None:
    printed = run(str(ROOT / "examples" / "python" / "gateway.py"), server.target, str(ALICE))
    assert printed.splitlines() == [
        "SUBMITTED PENDING 0 100",
        "EXECUTED PENDING 0 100",
        "FILLED PARTIAL 40 100",
        "REPLACE_REQUESTED PARTIAL 40 100",
        "REPLACED PARTIAL 40 150",
        "CANCEL_REQUESTED PARTIAL 40 150",
        "CANCELLED CANCELLED 40 150",
    ]


def run_snippet(program: str, server: Server) -> str:
    """Run a program of a page as another trader, on another server; return its output."""
    program = program.replace("localhost:50051", server.target)
    return run("-c", program.replace("11111111-0000-4000-8000-000000000000", str(ALICE)))


def test_the_sequences_of_calls_for_the_author_of_a_gateway(server: Server) -> None:
    [program] = PYTHON.findall(GATEWAYS)
    printed = [line.split()[:3] for line in run_snippet(program, server).splitlines()]
    assert printed == [
        ["PENDING", "0", "100"],
        ["PARTIAL", "40", "60"],
        ["FILLED", "100", "0"],
        ["FILLED", "100", "0"],
        ["PARTIAL", "100", "50"],
        ["PARTIAL", "40", "110"],
    ]
    shown = re.findall(r"(\w+), (\d+) filled, (\d+) open", GATEWAYS)
    assert shown == [tuple(printed[index]) for index in (1, 4, 5)], "the table of the page says the same"


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_a_snippet_of_the_readme(number: int, server: Server) -> None:
    assert "SUBMITTED PENDING" in run_snippet(SNIPPETS[number], server)


def test_there_are_examples_of_both_clients() -> None:
    assert set(EXAMPLES) == {"gateway.py", *WATCHES}
    assert ["AsyncClient" in snippet for snippet in SNIPPETS] == [False, True]
