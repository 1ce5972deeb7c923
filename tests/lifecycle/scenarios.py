"""Order state changes as tables, and a player that drives each row through the contract.

The columns are those of the order state change matrices of FIX (volume 4, appendix D): a row is a message that the desk
received or sent, with the order's status and quantities after it. What a row is in Blotter, as docs/gateways.md has it:

=============================  =======================================================================================
New(X)                         SubmitOrder, and the report `executed` of the gateway that sends it
Cancel(Y,X), Replace(Y,X)      CancelOrder, ReplaceOrder with request key Y, about the order with the key X
Exec New                       no report: the order is with the gateway already
Exec Pending Cancel, Replace   no report: the order shows the request since it was made
Exec Canceled, Replaced, ...   the reports of these names
CancelReject(Y,X)              report `cancel_refused` or `replace_refused` with request key Y
=============================  =======================================================================================

FIX's CumQty is filled_quantity + excess_quantity; its LeavesQty is leaves_quantity.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2
from tests.lifecycle.play import REFUSAL_REASONS, TIMES_IN_FORCE, Play, average_of, standing

PRICE = "585.33"
"""The price of fills whose row has none."""
NEVER = Timestamp(seconds=4_000_000_000)

STATUSES = {
    "New": "PENDING",
    "Partially Filled": "PARTIAL",
    "Filled": "FILLED",
    "Canceled": "CANCELLED",
    "Rejected": "REJECTED",
}
REPORTS: dict[str, dict[str, Any]] = {
    "Rejected": {"rejected": reports_pb.RejectedReport(reason="no")},
    "Done for Day": {"done_for_day": reports_pb.DoneForDayReport()},
}
MESSAGE = re.compile(r"(New|Cancel|Replace|Exec|CancelReject)\((?:([A-Z]),)?([A-Z])\) ?(.*)")


class Row(NamedTuple):
    """One row of a table, as it is in the file; empty fields are empty."""

    scenario: str
    step: str
    received: str
    sent: str
    exec_type: str
    ord_status: str
    order_qty: str
    cum_qty: str
    leaves_qty: str
    last_qty: str
    last_px: str
    exec_id: str
    exec_ref_id: str


class Scenario(NamedTuple):
    """The rows to play, of which the last `own` are the scenario's own; the others are of the one that it varies."""

    name: str
    rows: list[Row]
    own: int


def scenarios_of(file: Path) -> Iterator[Scenario]:
    """The scenarios of a file. One that does not begin with step 1 replaces a step of the scenario above it."""
    with file.open(newline="") as lines:
        reader = csv.DictReader(lines)
        assert reader.fieldnames == list(Row._fields)
        rows = [Row(**row) for row in reader]
    base: list[Row] = []
    for name in dict.fromkeys(row.scenario for row in rows):
        own = [row for row in rows if row.scenario == name]
        if own[0].step == "1":
            base = own
            yield Scenario(name, own, len(own))
        else:
            assert "refused" in name
            assert len(own) == 1
            yield Scenario(name, [*(row for row in base if int(row.step) < int(own[0].step)), *own], 1)


@dataclass
class Expected:
    """What the rows so far say of the order."""

    status: str = "New"
    quantity: int = 0
    filled: int = 0
    leaves: int = 0
    pending: tuple[str, str] | None = None
    in_force: str = ""
    fills: dict[str, tuple[int, Decimal]] = field(default_factory=dict)

    def standing(self) -> str:
        """Return it as `tests.lifecycle.play.standing` does for an order."""
        filled = min(self.filled, self.quantity)
        if self.status in STATUSES:
            status = STATUSES[self.status]
        elif self.status == "Done for Day" and self.in_force not in {"GTC", "GTD"}:
            status = "CANCELLED"
        else:  # Pending Cancel, Pending Replace, and Done for Day of an order that goes on
            status = "PARTIAL" if filled else "PENDING"
        words = [status, str(self.quantity), str(filled), str(self.leaves)]
        if self.filled > filled:
            words.append(f"+{self.filled - filled}")
        return " ".join([*words, *(self.pending or ())])


class Player:
    """Plays the rows of one scenario."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.expected = Expected()
        self.kinds: dict[str, str] = {}
        self.asked: dict[str, int] = {}
        self.refused: dict[str, str] = {}
        self.keys: list[str] = []
        self.traded: dict[str, int] = {}
        self.whole: dict[str, str] = {}

    async def step(self, row: Row) -> tuple[str, str]:
        """Play a row and check the order after it. Returns what was expected and seen: the standing and the average."""
        message = MESSAGE.fullmatch(row.received or row.sent)
        assert message, row
        assert bool(row.received) != bool(row.sent)
        name, about, key, more = message.groups()
        await getattr(self, f"_{name.lower()}")(row, about or key, key, more)
        if self.expected.quantity == 0:  # there is no order
            assert row.ord_status in {"", "Rejected"}
            return "no order", ""
        seen = await self.play.look(self.keys[-1])
        self._expect(row)
        wanted = self.expected.standing(), average_of(self.expected.fills)
        assert (standing(seen), seen.average_fill_price) == wanted, row
        if row.ord_status == "Done for Day" and seen.status == order_pb2.ORDER_STATUS_CANCELLED:
            assert seen.status_reason == "DONE_FOR_DAY", row
        return wanted

    def _expect(self, row: Row) -> None:
        if row.sent:
            assert row.ord_status, "every message that the desk sends states the status"
            # Two rows state the status only: the quantities are as before.
            self.expected.status = row.ord_status
            self.expected.quantity = int(row.order_qty or self.expected.quantity)
            self.expected.filled = int(row.cum_qty or self.expected.filled)
            self.expected.leaves = int(row.leaves_qty or self.expected.leaves)
        if row.ord_status.startswith("Pending "):
            assert self.expected.pending, row
            assert self.expected.pending[0] == row.ord_status.removeprefix("Pending ").upper(), row

    async def _new(self, row: Row, _about: str, key: str, more: str) -> None:
        if more == "again":
            await self.play.submit(client_order_id=key, quantity=int(row.order_qty))
            assert self.play.replayed
            return
        terms: dict[str, Any] = {"time_in_force": TIMES_IN_FORCE[more]} if more else {}
        if more == "GTD":
            terms["expire_time"] = NEVER
        await self.play.submit(client_order_id=key, quantity=int(row.order_qty), **terms)
        await self.play.sent()
        quantity = int(row.order_qty)
        self.expected = Expected(quantity=quantity, leaves=quantity, in_force=more)
        self.keys.append(key)

    async def _cancel(self, _row: Row, key: str, about: str, _more: str) -> None:
        self.kinds[key] = "CANCEL"
        await self.play.cancel(key, of=about)
        self._asked(key)

    async def _replace(self, row: Row, key: str, about: str, more: str) -> None:
        self.kinds[key] = "REPLACE"
        terms: dict[str, Any] = {"price": "585.34"} if more == "other price" else {"quantity": int(row.order_qty)}
        await self.play.replace(key, of=about, **terms)
        self._asked(key)

    def _asked(self, key: str) -> None:
        if self.play.refusal:
            self.refused[key] = self.play.refusal
        else:
            self.keys.append(key)
            self.expected.pending = self.kinds[key], key

    async def _exec(self, row: Row, key: str, _about: str, more: str) -> None:
        assert more in {"", "as it stands"}
        if row.exec_type == "New" or row.exec_type.startswith("Pending "):
            return
        if row.exec_type.startswith("Trade"):
            await self._trade(row)
        elif row.exec_type == "Restated":
            # A quantity that is the same is not stated: the venue confirms the order as it is.
            quantity = int(row.order_qty) if int(row.order_qty) != self.expected.quantity else 0
            await self.play.report(restated=reports_pb.RestatedReport(quantity=quantity))
        elif row.exec_type == "Canceled":
            await self.play.cancelled(request_key=key if key in self.kinds else "")
            self.expected.pending = None
        elif row.exec_type == "Replaced":
            await self.play.report(replaced=reports_pb.ReplacedReport(), request_key=key)
            self.expected.pending = None
        else:
            await self.play.report(**REPORTS[row.exec_type])
            if row.leaves_qty == "0":
                self.expected.pending = None
        self.play.day += row.exec_type == "Done for Day"
        assert not self.play.refusal, row

    async def _trade(self, row: Row) -> None:
        price = row.last_px or PRICE
        self.traded[row.exec_id] = self.play.day
        self.whole[row.exec_id] = self.whole.get(row.exec_ref_id, row.exec_id)
        dated = {"ref_trade_date": f"2012-06-{21 + self.traded[row.exec_ref_id]}"} if row.exec_ref_id else {}
        match row.exec_type:
            case "Trade":
                await self.play.fill(row.exec_id, int(row.last_qty), price)
            case "Trade Correct":
                await self.play.correct(row.exec_id, row.exec_ref_id, int(row.last_qty), price, **dated)
            case "Trade Cancel":
                await self.play.bust(row.exec_id, row.exec_ref_id, **dated)
        self.expected.fills[self.whole[row.exec_id]] = int(row.last_qty), Decimal(price)

    async def _cancelreject(self, row: Row, key: str, _about: str, more: str) -> None:
        if more == "Unknown Order":
            assert self.refused[key] == "ORDER_NOT_FOUND", row
            return
        if more == "already pending":
            # The request was refused when it was made; a gateway that reports the venue's refusal changes nothing.
            assert self.refused[key] == "REQUEST_PENDING", row
        cause = {"": "OTHER", "too late": "TOO_LATE_TO_CANCEL", "already pending": "ALREADY_PENDING"}[more]
        assert cause in REFUSAL_REASONS
        await (self.play.refuse_cancel if self.kinds[key] == "CANCEL" else self.play.refuse_replace)(key, cause)
        assert not self.play.refusal, row
        if self.expected.pending == (self.kinds[key], key):
            self.expected.pending = None
