"""Plays a flow against a running service, as its traders, as the gateway, and as watchers of the streams."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypedDict
from uuid import UUID

from blotter_client import (
    BlotterError,
    Client,
    Order,
    OrderEvent,
    ReportExecutionRequest,
    approved,
    cancel_refused,
    cancelled,
    done_for_day,
    executed,
    fill_busted,
    fill_corrected,
    filled,
    open_channel,
    recovered,
    rejected,
    replace_refused,
    replaced,
    restated,
)
from blotter_client.channel import require_secrecy, tls_credentials
from replay.book import Book, OrderState, Outcome
from replay.difference import Difference, order_differences
from replay.flow import (
    Answer,
    Approve,
    Bust,
    Cancel,
    CancelAtVenue,
    Correct,
    EndDay,
    Execute,
    Fill,
    Flow,
    Recover,
    RefuseCancel,
    RefuseReplace,
    Reject,
    Replace,
    ReplaceAtVenue,
    Report,
    Restate,
    Step,
    Submit,
    Trade,
)
from replay.watcher import Watcher

TRADER_ACTOR = "replay-trader"
GATEWAY_ACTOR = "replay-gateway"
PATIENCE = 15.0
"""Seconds that a stream or the ledger may lag behind the calls."""

_STOPPING = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "UNAUTHENTICATED", "PERMISSION_DENIED", "CANCELLED"}


class PlayStopped(Exception):
    """The service is not available or refuses the calls. The steps that were played remain recorded.

    `error` is the service's error; None if a stream did not start in time.
    """

    def __init__(self, error: BlotterError | None) -> None:
        super().__init__(str(error or f"a stream did not start within {PATIENCE:.0f} s"))
        self.error = error


class Desk:
    """The clients of the traders, the gateway and compliance, on one channel.

    The certificates are those of Client. `token` returns the bearer token of a trader's id, of `execution` or of
    `compliance`; it is called before each call. The service then determines the actors, and `actors` is None. Raises
    ValueError if a token would be sent in clear beyond loopback.
    """

    def __init__(
        self,
        target: str,
        traders: Sequence[UUID],
        *,
        root_certificates: bytes | None = None,
        certificate_chain: bytes | None = None,
        private_key: bytes | None = None,
        token: Callable[[str], str] | None = None,
    ) -> None:
        credentials = tls_credentials(None, root_certificates, certificate_chain, private_key)
        if token:
            require_secrecy(target, credentials)
        self.actors: tuple[str, str] | None = None if token else (TRADER_ACTOR, GATEWAY_ACTOR)
        self._channel = open_channel(target, credentials)

        def client(caller: str, actor: str, **identity: Any) -> Client:
            if token is None:
                return Client(self._channel, actor=actor, **identity)
            return Client(self._channel, token=partial(token, caller), **identity)

        self.traders = {trader_id: client(str(trader_id), TRADER_ACTOR, trader_id=trader_id) for trader_id in traders}
        self.gateway = client("execution", GATEWAY_ACTOR, role="execution")
        self.compliance = client("compliance", "replay-compliance", role="compliance")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._channel.close()


@dataclass(slots=True)
class Played:
    """The result of the steps: the number of each outcome, and the differences from the book."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: Played) -> None:
        """Add another trader's result."""
        self.outcomes += other.outcomes
        self.differences += other.differences


@contextmanager
def watching(
    desk: Desk, book: Book, on_event: Callable[[UUID, OrderEvent], None] = lambda _trader_id, _event: None
) -> Iterator[Mapping[UUID, Watcher]]:
    """Watch every trader's orders; the block starts when all snapshots are complete. Raises PlayStopped."""

    def of(trader_id: UUID) -> Callable[[OrderEvent], None]:
        return lambda event: on_event(trader_id, event)

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
    progress: Callable[[int], None] = lambda _count: None,
    pace: float = 0.0,
) -> Played:
    """Play all steps: each trader's sequentially, the traders in parallel. Raises PlayStopped.

    `book` must have played the flow. `progress` is called repeatedly with the number of completed steps. `pace` is the
    maximum number of steps per second; 0 means no limit.
    """
    started = monotonic()
    stop = threading.Event()
    parts = [_Part(flow, book, desk, trader_id, stop, pace) for trader_id in desk.traders]
    played = Played()
    with ThreadPoolExecutor(len(parts), thread_name_prefix="blotter-player") as threads:
        pending: set[Future[None]] = {threads.submit(part.play) for part in parts}
        try:
            while pending:
                completed, pending = wait(pending, 0.1, FIRST_EXCEPTION)
                progress(sum(part.completed for part in parts))
                for future in completed:
                    future.result()
        finally:
            # Without this the pool would wait for the last step after Ctrl-C.
            stop.set()
    for part in parts:
        played.add(part.played)
    played.seconds = monotonic() - started
    return played


class _Origin(TypedDict):
    """What all reports have in common."""

    report_id: str
    venue: str
    event_time: datetime | None


class _Trade(TypedDict):
    """What fills, corrections and busts have in common."""

    report_id: str
    venue: str
    event_time: datetime
    execution_id: str


class _Part:
    """One trader's steps in their order, including the gateway's reports about their orders."""

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
        self.completed = 0
        self.played = Played()

    def play(self) -> None:
        """Play the steps until the end, or until `stop` is set. Raises PlayStopped."""
        for step, outcome, after in self._steps:
            if self._interval:
                self._stop.wait(self._interval)
            if self._stop.is_set():
                return
            self._play(step, outcome, after)
            self.completed += 1

    def _play(self, step: Step, expected: Outcome, after: OrderState | None) -> None:
        if not isinstance(step, Submit | Cancel | Replace) and step.order not in self._order_ids:
            self._differs(step, "an order for the report", "none: the order was not entered")
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
                self.played.differences += order_differences(f"response to {_name(step)}", after, order)
            if not replayed:
                self._in_order(step, order.last_sequence)
        # A step that the book records may have been recorded by an earlier play.
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
                stop_price=step.stop_price,
                time_in_force=step.time_in_force,
                expire_time=step.expire_time,
                account=step.account,
                labels=step.labels,
                parent_order_id=step.parent_order_id,
                currency=step.currency,
                security_id=step.security_id,
                security_id_source=step.security_id_source,
                short_sale=step.short_sale,
                exempt_from_cancel_timer=step.exempt_from_cancel_timer,
                client_order_id=step.order,
            )
            return submitted.order, submitted.replayed
        if isinstance(step, Cancel):
            answer = self._trader.cancel_order(
                client_order_id=step.order, request_key=step.request_key, reason=step.reason
            )
            return answer.order, answer.replayed
        if isinstance(step, Replace):
            requested = self._trader.replace_order(
                client_order_id=step.order, request_key=step.request_key, reason=step.reason, **step.terms
            )
            return requested.order, requested.replayed
        reported = self._gateway.report_execution(_message(step, self._trader_id, self._order_ids[step.order]))
        return reported.order, reported.replayed

    def _in_order(self, step: Step, sequence: int) -> None:
        """Check that the sequences ascend: a trader's calls are made one after the other."""
        if sequence <= self._last_sequence:
            found = Difference(_name(step), "sequence", f"above {self._last_sequence}", sequence)
            self.played.differences.append(found)
        self._last_sequence = sequence

    def _differs(self, step: Step, expected: str, found: str) -> None:
        self.played.differences.append(Difference(_name(step), "outcome", expected, found))


def _name(step: Step) -> str:
    if isinstance(step, Submit):
        return f"Submit {step.order}"
    return f"{type(step).__name__} {step.request_key if isinstance(step, Cancel | Replace) else step.report_id}"


def _message(step: Report, trader_id: UUID, order_id: str) -> ReportExecutionRequest:
    ids = (trader_id, order_id)
    if isinstance(step, Trade):
        return _trade(step, *ids)
    origin = _Origin(report_id=step.report_id, venue=step.venue, event_time=step.event_time)
    match step:
        case Approve():
            return approved(*ids, **origin)
        case Execute():
            return executed(
                *ids, retry_attempt=step.retry_attempt, error_code=step.error_code, reason=step.reason, **origin
            )
        case Recover():
            return recovered(*ids, step.retry_attempt, **origin)
        case Reject():
            return rejected(*ids, step.reason, error_code=step.error_code, **origin)
        case Restate():
            return restated(*ids, quantity=step.quantity, price=step.price, reason=step.reason, **origin)
        case EndDay():
            return done_for_day(*ids, reason=step.reason, **origin)
        case _:
            return _answer(step, *ids, origin)


def _answer(step: Answer, trader_id: UUID, order_id: str, origin: _Origin) -> ReportExecutionRequest:
    ids = (trader_id, order_id)
    key = step.request_key
    match step:
        case CancelAtVenue():
            return cancelled(*ids, reason=step.reason, expired=step.expired, request_key=key, **origin)
        case ReplaceAtVenue():
            return replaced(*ids, reason=step.reason, request_key=key, **origin)
        case RefuseCancel():
            return cancel_refused(*ids, step.refusal, reason=step.reason, request_key=key, **origin)
        case RefuseReplace():
            return replace_refused(*ids, step.refusal, reason=step.reason, request_key=key, **origin)


def _trade(step: Trade, trader_id: UUID, order_id: str) -> ReportExecutionRequest:
    ids = (trader_id, order_id)
    traded = _Trade(
        report_id=step.report_id, venue=step.venue, event_time=step.event_time, execution_id=step.execution_id
    )
    match step:
        case Fill():
            return filled(*ids, step.quantity, step.price, commission=step.commission, **traded)
        case Correct():
            return fill_corrected(
                *ids,
                step.ref_execution_id,
                step.quantity,
                step.price,
                ref_trade_date=step.ref_trade_date,
                commission=step.commission,
                reason=step.reason,
                **traded,
            )
        case Bust():
            return fill_busted(
                *ids, step.ref_execution_id, ref_trade_date=step.ref_trade_date, reason=step.reason, **traded
            )
