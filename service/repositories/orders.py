"""Writing orders: entering, cancelling, replacing, reporting. Each method is one transaction and one round trip."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

from service.domain.errors import BlotterError, DatabaseUnavailable
from service.domain.identity import Caller
from service.domain.orders import ORDER_COLUMNS, CancelTimer, Order
from service.domain.portions import in_portions
from service.domain.writes import Cancel, NewOrder, Replace, Report, content_digest
from service.repositories.database import Database
from service.repositories.errors import error_of
from service.repositories.messages import Joinable, Statement, act_as
from service.repositories.pools import Row
from service.repositories.statements import call, timer_columns, values_of
from service.repositories.submits import Submit, as_item, join, submit_many, submit_one

_CANCEL = call(
    "cancel_order",
    ("order_id", "client_order_id", "request_key", "request_digest", "reason", "actor", "request_id"),
)
_REPLACE = call(
    "replace_order",
    (
        "order_id", "client_order_id", "request_key", "request_digest", "terms::jsonb", "expected_sequence", "reason",
        "actor", "request_id",
    ),
)  # fmt: skip

_REPORT = call(
    "report_execution",
    (
        "order_id", "report_id", "report_digest", "action", "timestamp", "venue", "reason", "error_code",
        "retry_attempt", "execution_id", "trade_date", "ref_execution_id", "ref_trade_date", "quantity", "price",
        "commission", "request_key", "actor", "request_id",
    ),
)  # fmt: skip

_CANCEL_OPEN = """
    SELECT order_id, requested FROM cancel_open_orders(%(symbol)s, %(reason)s, %(actor)s, %(request_id)s, %(most)s)
"""
_SET_TIMER = f"""
    SELECT {timer_columns("timer")} FROM set_cancel_timer(%(timeout)s, %(actor)s, %(request_id)s) AS timer
"""

CANCELLED_AT_ONCE = 10_000
_COLUMNS = len(ORDER_COLUMNS)


class Recorded(NamedTuple):
    """An order after a write; `replayed` if the write had been done before."""

    order: Order
    replayed: bool


class Cancelled(NamedTuple):
    """An order that was cancelled, or whose cancel was `requested` from the venue."""

    order_id: UUID
    requested: bool


class Orders:
    """The repository of writes to orders. Calls `committed(trader_id)` after a commit of events of a trader."""

    def __init__(self, database: Database, committed: Callable[[UUID], None]) -> None:
        self._database = database
        self._committed = committed

    async def submit(
        self, caller: Caller, trader_id: UUID, orders: Sequence[NewOrder]
    ) -> list[Recorded | BlotterError]:
        """Enter the orders in one transaction. Returns one result each: the recorded order, or the error."""
        submits = [Submit(order, caller.actor, caller.request_id) for order in orders]
        alone = len(submits) == 1
        [rows] = await self._database.run(
            caller,
            *(() if alone else (submit_many(await in_portions(as_item, submits)),)),
            joinable=Joinable(join, submits[0]) if alone else None,
            writes_of=[trader_id],
            committed=self._committed,
            most_rows=len(orders),
        )
        return await in_portions(recorded, rows)

    async def validate(self, caller: Caller, order: NewOrder) -> Order | None:
        """Check the order as `submit` does, and enter nothing. Returns the order that it would repeat, if any."""
        statement = submit_one(Submit(order, caller.actor, caller.request_id), validate_only=True)
        [[row]] = await self._database.run(caller, statement)
        return None if row[0] == "VALID" else or_raise(recorded(row)).order

    async def cancel(self, caller: Caller, trader_id: UUID, cancels: Sequence[Cancel]) -> list[Recorded | BlotterError]:
        """Cancel the orders in one transaction, or request it of their venues. Returns one result each."""
        return await self._each(caller, trader_id, lambda cancel: _cancel(caller, cancel), cancels)

    async def replace(
        self, caller: Caller, trader_id: UUID, replaces: Sequence[Replace]
    ) -> list[Recorded | BlotterError]:
        """Replace the orders' terms in one transaction, or request it of their venues. Returns one result each."""
        return await self._each(caller, trader_id, lambda replace: _replace(caller, replace), replaces, "terms.")

    async def _each(
        self,
        caller: Caller,
        trader_id: UUID,
        statement: Callable[[Any], Statement],
        values: Sequence[Any],
        terms: str = "",
    ) -> list[Recorded | BlotterError]:
        statements = await in_portions(statement, values)
        results = await self._database.run(caller, *statements, writes_of=[trader_id], committed=self._committed)
        return await in_portions(lambda rows: recorded(*rows, terms=terms), results)

    async def cancel_all(
        self, caller: Caller, trader_id: UUID, symbol: str | None, reason: str | None
    ) -> list[Cancelled]:
        """Cancel all open orders of the trader without a pending request, or those in one symbol, oldest first.

        Each transaction cancels up to 10,000 orders. A failure after the first transaction raises DatabaseUnavailable
        with the numbers of orders that were cancelled, or requested to be: other errors mean that nothing was written.
        """
        values = {"symbol": symbol, "reason": reason, "most": CANCELLED_AT_ONCE, **_origin(caller)}
        cancelled: list[Cancelled] = []
        full = True
        while full:
            try:
                # Sent twice, it would cancel orders that were entered in between.
                [rows] = await self._database.run(
                    caller,
                    Statement(_CANCEL_OPEN, values),
                    writes_of=[trader_id],
                    repeatable=False,
                    committed=self._committed,
                )
            except BlotterError as error:
                if not cancelled:
                    raise
                requested = sum(order.requested for order in cancelled)
                count = len(cancelled) - requested
                sentence = (
                    f"At least {count} orders were cancelled and {requested} requested to be before the call failed; "
                    "call again for the others."
                )
                raise DatabaseUnavailable(
                    sentence, cancelled_count=str(count), requested_count=str(requested)
                ) from error
            cancelled += [Cancelled(*row) for row in rows]
            full = len(rows) == CANCELLED_AT_ONCE
        return cancelled

    async def set_timer(self, caller: Caller, trader_id: UUID, duration: timedelta) -> CancelTimer | None:
        """Start the trader's cancel timer anew, or switch it off with 0. Returns the timer, if any."""
        statement = Statement(_SET_TIMER, {"timeout": duration, **_origin(caller)})
        [[row]] = await self._database.run(caller, statement, writes_of=[trader_id])
        return CancelTimer.from_row(*row) if row[0] == trader_id else None

    async def report(self, caller: Caller, reports: Sequence[Report]) -> list[Recorded | BlotterError]:
        """Record the reports in one transaction, one result each.

        Traders are taken in the order of their ids, so that two batches do not deadlock; the reports of one trader are
        recorded in the order given.
        """
        order = sorted(range(len(reports)), key=lambda index: reports[index].trader_id)
        pairs = await in_portions(lambda index: _report(caller, reports[index]), order)
        trader_ids = {report.trader_id for report in reports}
        results = await self._database.run(
            caller, *chain.from_iterable(pairs), writes_of=trader_ids, committed=self._committed
        )
        answers = await in_portions(lambda rows: recorded(*rows), results[1::2])
        by_index = dict(zip(order, answers, strict=True))
        return [by_index[index] for index in range(len(reports))]


def _origin(caller: Caller) -> dict[str, str]:
    return {"actor": caller.actor, "request_id": caller.request_id}


def _cancel(caller: Caller, cancel: Cancel) -> Statement:
    values = {
        **values_of(cancel.order),
        "request_key": cancel.request_key,
        "request_digest": content_digest(cancel),
        "reason": cancel.reason,
    }
    return Statement(_CANCEL, values | _origin(caller))


def _replace(caller: Caller, replace: Replace) -> Statement:
    values = {
        **values_of(replace.order),
        "request_key": replace.request_key,
        "request_digest": content_digest(replace),
        "terms": json.dumps(replace.terms),
        "expected_sequence": replace.expected_sequence,
        "reason": replace.reason,
    }
    return Statement(_REPLACE, values | _origin(caller))


def _report(caller: Caller, report: Report) -> tuple[Statement, Statement]:
    values = {**values_of(report), "report_digest": content_digest(report), **_origin(caller)}
    return act_as(report.trader_id), Statement(_REPORT, values)


def recorded(row: Row, *, terms: str = "") -> Recorded | BlotterError:
    """Return what a writing function answers in a row: the recorded order, or the error of its outcome."""
    outcome = row[0]
    if outcome in ("APPLIED", "REPLAYED"):
        return Recorded(Order(*row[1 : _COLUMNS + 1]), replayed=outcome == "REPLAYED")
    return error_of(outcome, terms)


def or_raise(result: Recorded | BlotterError) -> Recorded:
    """Return the recorded order, or raise the error."""
    if isinstance(result, BlotterError):
        raise result
    return result
