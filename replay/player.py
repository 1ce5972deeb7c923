"""Plays a flow against a running service: as its traders, as the gateway, and as those who watch."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Self
from uuid import UUID

from blotter_client import (
    BlotterError,
    Client,
    Order,
    OrderEvent,
    ReportExecutionRequest,
    approved,
    cancelled,
    executed,
    filled,
    open_channel,
    recovered,
    rejected,
)
from replay.book import Book, OrderState, Outcome
from replay.difference import Difference, order_differences
from replay.flow import (
    Approve,
    Cancel,
    CancelAtVenue,
    Execute,
    Fill,
    Flow,
    Recover,
    Reject,
    Report,
    Step,
    Submit,
)
from replay.watcher import Watcher

TRADER_ACTOR = "replay-trader"
GATEWAY_ACTOR = "replay-gateway"
PATIENCE = 15.0
"""Seconds that a stream may take to come to where the calls have already been."""

_STOPPING = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "UNAUTHENTICATED", "PERMISSION_DENIED", "CANCELLED"}


class PlayStopped(Exception):
    """The service cannot be played against, or no longer. What was played stays recorded.

    `error` is what it answered; None where a stream did not begin in time.
    """

    def __init__(self, error: BlotterError | None) -> None:
        super().__init__(str(error or f"a stream did not begin within {PATIENCE:.0f} s"))
        self.error = error


class Desk:
    """The clients of all who take part, on one channel."""

    def __init__(self, target: str, traders: Sequence[UUID]) -> None:
        self._channel = open_channel(target)
        self.traders = {
            trader_id: Client(self._channel, trader_id=trader_id, actor=TRADER_ACTOR) for trader_id in traders
        }
        self.gateway = Client(self._channel, role="execution", actor=GATEWAY_ACTOR)
        self.compliance = Client(self._channel, role="compliance", actor="replay-compliance")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._channel.close()


@dataclass(slots=True)
class Played:
    """What became of the steps: how many had which outcome, and what was not as the book has it."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: Played) -> None:
        """Count another trader's steps in."""
        self.outcomes += other.outcomes
        self.differences += other.differences


@contextmanager
def watching(
    desk: Desk, book: Book, said: Callable[[UUID, OrderEvent], None] = lambda _trader_id, _event: None
) -> Iterator[Mapping[UUID, Watcher]]:
    """Watch every trader's orders; begins when all snapshots are complete. Raises PlayStopped."""

    def of(trader_id: UUID) -> Callable[[OrderEvent], None]:
        return lambda event: said(trader_id, event)

    watchers = {
        trader_id: Watcher(client, book.orders_of(trader_id), of(trader_id))
        for trader_id, client in desk.traders.items()
    }
    try:
        for watcher in watchers.values():
            watcher.start()
        for watcher in watchers.values():
            if not watcher.reached(0, PATIENCE):
                raise PlayStopped(watcher.error)
        yield watchers
    finally:
        for watcher in watchers.values():
            watcher.stop()


def play(
    flow: Flow,
    book: Book,
    desk: Desk,
    progress: Callable[[int], None] = lambda _done: None,
    pace: float = 0.0,
) -> Played:
    """Play all steps: each trader's one after the other, the traders beside each other. Raises PlayStopped.

    `book` has played the flow. `progress` is called now and then with the number of steps done. `pace` is how many
    steps a second are played at most; 0 means as many as go.
    """
    started = monotonic()
    stop = threading.Event()
    parts = [_Part(flow, book, desk, trader_id, stop, pace) for trader_id in desk.traders]
    played = Played()
    with ThreadPoolExecutor(len(parts), thread_name_prefix="blotter-player") as threads:
        under_way: set[Future[None]] = {threads.submit(part.play) for part in parts}
        try:
            while under_way:
                done, under_way = wait(under_way, 0.1, FIRST_EXCEPTION)
                progress(sum(part.done for part in parts))
                for future in done:
                    future.result()
        finally:
            # Also on Ctrl-C: otherwise the pool would wait for the last step.
            stop.set()
    for part in parts:
        played.add(part.played)
    played.seconds = monotonic() - started
    return played


class _Part:
    """One trader's steps, played in their order: what the gateway reports of his orders included."""

    def __init__(self, flow: Flow, book: Book, desk: Desk, trader_id: UUID, stop: threading.Event, pace: float) -> None:
        self._steps = [
            (step, outcome, after)
            for step, outcome, after in zip(flow.steps, book.outcomes, book.after, strict=True)
            if book.trader_of(step.order) == trader_id
        ]
        self._trader_id = trader_id
        self._trader = desk.traders[trader_id]
        self._gateway = desk.gateway
        self._stop = stop
        self._interval = len(desk.traders) / pace if pace else 0.0
        self._order_ids: dict[str, str] = {}
        self._last_sequence = 0
        self.done = 0
        self.played = Played()

    def play(self) -> None:
        """Play them until the end, or until `stop` is set. Raises PlayStopped."""
        for step, outcome, after in self._steps:
            if self._interval:
                self._stop.wait(self._interval)
            if self._stop.is_set():
                return
            self._play(step, outcome, after)
            self.done += 1

    def _play(self, step: Step, expected: Outcome, after: OrderState | None) -> None:
        if not isinstance(step, Submit | Cancel) and step.order not in self._order_ids:
            self._differs(step, "an order to report about", "none: it could not be entered")
            return
        try:
            order, replayed = self._call(step)
        except BlotterError as error:
            if error.code.name in _STOPPING:
                raise PlayStopped(error) from error
            found = error.reason
        else:
            self._order_ids[step.order] = order.order_id
            found = (Outcome.REPLAYED if replayed else Outcome.RECORDED).name
            if after is not None and not replayed:
                self.played.differences += order_differences(f"answer to {_name(step)}", after, order)
            if not replayed:
                self._in_order(step, order.last_sequence)
        # What the book records, an earlier play may have recorded already.
        if found != expected.name and (found, expected) != (Outcome.REPLAYED.name, Outcome.RECORDED):
            self._differs(step, expected.name, found)
            return
        self.played.outcomes[Outcome[found]] += 1

    def _call(self, step: Step) -> tuple[Order, bool]:
        if isinstance(step, Submit):
            submitted = self._trader.submit_order(
                step.symbol,
                step.side,
                step.order_type,
                step.quantity,
                step.price,
                stop_loss=step.stop_loss,
                take_profit=step.take_profit,
                expire_time=step.expire_time,
                client_order_id=step.order,
            )
            return submitted.order, submitted.replayed
        if isinstance(step, Cancel):
            done = self._trader.cancel_order(client_order_id=step.order, reason=step.reason)
            return done.order, done.replayed
        reported = self._gateway.report_execution(_message(step, self._trader_id, self._order_ids[step.order]))
        return reported.order, reported.replayed

    def _in_order(self, step: Step, sequence: int) -> None:
        """What is asked for later is recorded later: the trader's calls are made one after the other."""
        if sequence <= self._last_sequence:
            found = Difference(_name(step), "sequence", f"above {self._last_sequence}", sequence)
            self.played.differences.append(found)
        self._last_sequence = sequence

    def _differs(self, step: Step, expected: str, found: str) -> None:
        self.played.differences.append(Difference(_name(step), "outcome", expected, found))


def _name(step: Step) -> str:
    return f"{type(step).__name__} {step.order if isinstance(step, Submit | Cancel) else step.report_id}"


def _message(step: Report, trader_id: UUID, order_id: str) -> ReportExecutionRequest:
    where = (trader_id, order_id)
    match step:
        case Approve():
            return approved(*where, report_id=step.report_id, venue=step.venue, event_time=step.event_time)
        case Execute():
            return executed(
                *where,
                retry_attempt=step.retry_attempt,
                error_code=step.error_code,
                reason=step.reason,
                report_id=step.report_id,
                venue=step.venue,
                event_time=step.event_time,
            )
        case Recover():
            return recovered(
                *where, step.retry_attempt, report_id=step.report_id, venue=step.venue, event_time=step.event_time
            )
        case Fill():
            return filled(
                *where,
                step.quantity,
                step.price,
                execution_id=step.execution_id,
                venue=step.venue,
                event_time=step.event_time,
                commission=step.commission,
                report_id=step.report_id,
            )
        case Reject():
            return rejected(
                *where,
                step.reason,
                error_code=step.error_code,
                report_id=step.report_id,
                venue=step.venue,
                event_time=step.event_time,
            )
        case CancelAtVenue():
            return cancelled(
                *where, reason=step.reason, report_id=step.report_id, venue=step.venue, event_time=step.event_time
            )
