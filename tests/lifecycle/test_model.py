"""Any interleaving of what traders, gateways and the blotter do has the outcome that the model computes.

The machine makes each call on a real server and in tests/lifecycle/model.py, and compares answer and refusal. At the
end of each run it compares with the model: the orders and their requests and fills, the trail, the stream from the
first event on, each order as of each of its events, and the reconciliation. `LIFECYCLE_RUNS` sets
the number of runs.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID, uuid4

import grpc
import psycopg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from blotter.audit.v1 import audit_service_pb2, audit_service_pb2_grpc, inspection_pb2
from blotter.orders.v1 import execution_report_pb2 as reports_pb
from blotter.orders.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc, request_pb2, terms_pb2, watch_pb2
from tests.conftest import Database
from tests.lifecycle.model import APPLIED, REPLAYED, Book, Event, Execution, Fill, Order
from tests.lifecycle.play import FIRST_DAY, REFUSAL_REASONS, TIMES_IN_FORCE
from tests.lifecycle.seen import TERMS, Names, correction_of, moment, terms_of
from tests.rpc.errors import reason_of
from tests.serving import COMPLIANCE, EXECUTION, Server, as_trader

SOON = timedelta(milliseconds=150)
LATER = datetime(2096, 1, 2, 3, 4, 5, 6, UTC)
PATIENCE = 30
RUNS = int(os.environ.get("LIFECYCLE_RUNS", "25"))

NUMBER = st.integers(0, 5)
QUANTITY = st.integers(1, 12)
ORDERED = st.integers(5, 40)
MOST_ORDERS = 4
PRICE = st.sampled_from([Decimal(text) for text in ("1", "2.5", "3.33333333", "0.00000001", "9999999999.99999999")])
MAYBE_PRICE = st.one_of(st.none(), PRICE)
IN_FORCE = st.sampled_from([None, "DAY", "GTC", "IOC", "GTD"])
EXPIRY = st.sampled_from(["", "later", "soon"])
LIFE = st.one_of(
    st.sampled_from(
        [(None, ""), ("GTC", ""), (None, "soon"), ("GTD", "soon"), (None, "soon"), (None, "later"), ("GTD", "later")]
    ),
    st.tuples(IN_FORCE, EXPIRY),
)
EXITS = st.one_of(st.just((None, None)), st.tuples(MAYBE_PRICE, MAYBE_PRICE))
REASON = st.sampled_from(["", "no"])
KEYED = st.sampled_from(["own", "own", "none", "of another request", "of an order"])
EXECUTION_ID = st.integers(0, 25).map("e{}".format)
DAY = st.sampled_from([1, 0])
VENUE = st.sampled_from(["XNAS", "XNAS", "ARCX"])
NEW_TERMS = st.fixed_dictionaries(
    {},
    optional={
        "quantity": QUANTITY,
        "price": MAYBE_PRICE,
        "stop_price": MAYBE_PRICE,
        "stop_loss": MAYBE_PRICE,
        "take_profit": MAYBE_PRICE,
        "time_in_force": IN_FORCE,
        "expire_time": EXPIRY,
    },
).filter(bool)


ANSWERS = {
    "accepts": {"CANCEL": "CANCELLED", "REPLACE": "REPLACED"},
    "refuses": {"CANCEL": "CANCEL_REFUSED", "REPLACE": "REPLACE_REFUSED"},
}

CALLS: dict[type[Any], tuple[str, type[Any], str]] = {
    order_service_pb2.SubmitOrderRequest: ("SubmitOrder", order_service_pb2.BatchSubmitOrdersRequest, "orders"),
    order_service_pb2.CancelOrderRequest: ("CancelOrder", order_service_pb2.BatchCancelOrdersRequest, "requests"),
    request_pb2.ReplaceOrderRequest: ("ReplaceOrder", request_pb2.BatchReplaceOrdersRequest, "requests"),
    reports_pb.ReportExecutionRequest: ("ReportExecution", reports_pb.BatchReportExecutionsRequest, "reports"),
}

WEIGHTS: dict[str, int] = {}
ARGUMENTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {}
STEPS = st.deferred(
    lambda: st.sampled_from([name for name, weight in WEIGHTS.items() for _ in range(weight)]).flatmap(
        lambda name: st.tuples(st.just(name), ARGUMENTS[name])
    )
)


def step(weight: int, /, **arguments: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a method a step of the machine.

    All steps are one rule with weights: of separate rules Hypothesis disables half in each run, and most runs would be
    without requests, or without the answers to them.
    """

    def register(method: Callable[..., None]) -> Callable[..., None]:
        WEIGHTS[method.__name__] = weight
        ARGUMENTS[method.__name__] = st.fixed_dictionaries(arguments)
        return method

    return register


class Desk:
    """A server, and calls of one trader, of gateways and of the database's own work."""

    def __init__(self, server: Server) -> None:
        self.database: Database = server.database
        self.channel = grpc.insecure_channel(server.target)
        self.orders: Any = order_service_pb2_grpc.OrderServiceStub(self.channel)
        self.audit: Any = audit_service_pb2_grpc.AuditServiceStub(self.channel)
        self._logins = {
            login: psycopg.connect(self.database.conninfo(login), autocommit=True)
            for login in ("blotter_owner", "blotter_trader", "blotter_execution")
        }

    def new_trader(self) -> UUID:
        """Register a trader."""
        trader_id = uuid4()
        owner = self._logins["blotter_owner"]
        owner.execute("INSERT INTO traders (id, name) VALUES (%s, %s)", (trader_id, str(trader_id)))
        return trader_id

    def run(self, login: str, trader_id: UUID, query: LiteralString) -> list[Any]:
        """Run a function for a trader as the service does."""
        connection = self._logins[login]
        with connection.transaction():
            connection.execute("SELECT act_as(%s)", (trader_id,))
            return connection.execute(query).fetchall()

    def close(self) -> None:
        for connection in self._logins.values():
            connection.close()
        self.channel.close()


class Lifecycle(RuleBasedStateMachine):
    """One trader's day, from the first order to the comparison of everything."""

    desk: Desk
    counted: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.trader_id = self.desk.new_trader()
        self.as_trader = as_trader(self.trader_id)
        self.book = Book()
        self.names = Names(self.sequence_of)
        self.ids: list[str] = []
        self.entered: list[tuple[order_service_pb2.SubmitOrderRequest, tuple[Any, ...]]] = []
        self.asked: list[tuple[Order, str, str, Any, int | None]] = []
        self.reported: list[reports_pb.ReportExecutionRequest] = []
        self.executed: list[tuple[Order, str, Execution]] = []
        self.soon: list[datetime] = []
        self.failed = False
        self.watch = self.desk.orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=self.as_trader)
        self.streamed: list[Event] = []
        self.folded: dict[str, order_pb2.Order] = {}
        first = next(self.watch)
        assert first.HasField("snapshot_complete")

    # Choices ----------------------------------------------------------------------------------------------------------

    def order(self, number: int) -> Order:
        return self.book.orders[number % len(self.book.orders)]

    def new_key(self) -> str:
        key = f"k{len(self.names.keys)}"
        self.names.keys.add(key)
        return key

    def request_key(self, kind: str, number: int) -> str:
        """Return a key of the kind, where there is one."""
        if kind == "none":
            return ""
        if kind == "of an order":
            return self.order(number).key
        keys = [key for key in self.book.requests if not key.startswith("*")]
        return keys[number % len(keys)] if kind == "of another request" and keys else self.new_key()

    def expiry(self, choice: str) -> datetime | None:
        if choice == "soon":
            self.soon.append(datetime.now(UTC) + SOON)
            return self.soon[-1]
        return LATER if choice == "later" else None

    def name_of(self, order: Order, number: int) -> dict[str, str]:
        """Name the order by its id, its client_order_id or one of its request keys."""
        mine = [key for key, request in self.book.requests.items() if request.order is order and key[0] != "*"]
        keys = ["", order.key, *mine]
        key = keys[number % len(keys)]
        return {"client_order_id": key} if key else {"order_id": self.ids[order.number]}

    # Comparisons ------------------------------------------------------------------------------------------------------

    def check(self, found: object, expected: object) -> None:
        if found != expected:
            self.failed = True
        assert found == expected

    def outcome(self, request: Any, name: str = "") -> tuple[str, Any]:
        """Make a call. Returns `applied`, `replayed` or the reason of the refusal, and the order that is shown.

        Every third call is made as a batch of one, where the request has the key that a batch requires.
        """
        method, batch, field = CALLS[type(request)]
        metadata = EXECUTION if method == "ReportExecution" else self.as_trader
        keyed = method in {"SubmitOrder", "ReportExecution"} or request.request_key != ""
        as_batch = keyed and len(self.book.trail) % 3 == 0
        try:
            if as_batch:
                [result] = getattr(self.desk.orders, batch.__name__.removesuffix("Request"))(
                    batch(**{field: [request]}), metadata=metadata
                ).results
                outcome, order = reason_in(result.error), None
                if result.HasField("response"):
                    outcome, order = REPLAYED if result.response.replayed else APPLIED, result.response.order
            else:
                answer = getattr(self.desk.orders, method)(request, metadata=metadata)
                outcome, order = REPLAYED if answer.replayed else APPLIED, answer.order
        except grpc.RpcError as error:
            outcome, order = reason_of(error), None  # type: ignore[arg-type]  # a call that has failed
        self.counted[f"{name or method} {outcome}"] += 1
        return outcome, order

    def compare(self, request: Any, expected: str, order: Order | None, name: str = "") -> None:
        """Make a call, and compare its outcome and the order that it shows."""
        self.check_answer(self.outcome(request, name), expected, order)

    def check_answer(self, answer: tuple[str, Any], expected: str, order: Order | None) -> None:
        """Compare an outcome and the order that the answer shows."""
        found, shown = answer
        self.check(found, expected)
        if shown is not None and order is not None:
            if order.number == len(self.ids):
                self.ids.append(shown.order_id)
                self.names.orders[shown.order_id] = order.number
            self.check(self.names.order(shown), order.view())

    def was_slow(self, answer: tuple[str, Any], terms: Mapping[str, Any]) -> bool:
        """Return whether an expire_time has passed before the machine could make the call: then it is not counted."""
        expires = terms.get("expire_time")
        slow = answer[0] == "INVALID_REQUEST" and expires in self.soon and bool(expires < datetime.now(UTC))
        self.counted["calls too slow for an expire_time"] += slow
        return slow

    @rule(taken=STEPS)
    def take(self, taken: tuple[str, dict[str, Any]]) -> None:
        """Take a step."""
        name, arguments = taken
        getattr(self, name)(**arguments)

    # What the trader does ---------------------------------------------------------------------------------------------

    @initialize(quantity=ORDERED, life=LIFE, sent=st.sampled_from([True, True, False]))
    def begin(self, quantity: int, life: tuple[str | None, str], *, sent: bool) -> None:
        """Enter an order, which a gateway has or not."""
        self.submit("BUY", "LIMIT", quantity, Decimal("2.5"), None, (None, None), life, exempt=False)
        if not self.book.orders:
            self.submit("BUY", "LIMIT", quantity, Decimal("2.5"), None, (None, None), (None, ""), exempt=False)
        if sent:
            self.report(self.book.orders[0], "EXECUTED")

    @step(
        2,
        side=st.sampled_from(["BUY", "SELL"]),
        order_type=st.sampled_from(["LIMIT", "LIMIT", "MARKET", "STOP_LIMIT"]),
        quantity=ORDERED,
        price=PRICE,
        stop_price=MAYBE_PRICE,
        exits=EXITS,
        life=LIFE,
        exempt=st.booleans(),
    )
    def submit(
        self,
        side: str,
        order_type: str,
        quantity: int,
        price: Decimal,
        stop_price: Decimal | None,
        exits: tuple[Decimal | None, Decimal | None],
        life: tuple[str | None, str],
        *,
        exempt: bool,
    ) -> None:
        """Enter an order, at times one whose terms do not fit together."""
        if len(self.book.orders) == MOST_ORDERS:
            return
        in_force, expiry = life
        terms = {
            "quantity": quantity,
            "price": None if order_type == "MARKET" else price,
            "stop_price": (stop_price or price) if order_type == "STOP_LIMIT" else None,
            "stop_loss": exits[0],
            "take_profit": exits[1],
            "expire_time": self.expiry(expiry),
            "time_in_force": in_force,
        }
        key = self.new_key()
        request = order_service_pb2.SubmitOrderRequest(
            client_order_id=key,
            symbol="AAPL",
            side=order_pb2.Side.Value(f"SIDE_{side}"),
            order_type=order_pb2.OrderType.Value(f"ORDER_TYPE_{order_type}"),
            exempt_from_cancel_timer=exempt,
            **in_message(terms),
        )
        answer = self.outcome(request)
        if self.was_slow(answer, terms):
            return
        expected = self.book.submit(key, side, order_type, terms, exempt=exempt)
        if expected == APPLIED:
            self.entered.append((request, (side, order_type, terms, exempt)))
        self.check_answer(answer, expected, self.book.orders[-1] if expected == APPLIED else None)

    def submit_again(self, number: int, quantity: int) -> None:
        request, (side, order_type, terms, exempt) = self.entered[number % len(self.entered)]
        again = order_service_pb2.SubmitOrderRequest()
        again.CopyFrom(request)
        again.quantity += quantity
        terms = terms | {"quantity": again.quantity}
        expected = self.book.submit(request.client_order_id, side, order_type, terms, exempt=exempt)
        order = next(order for order in self.book.orders if order.key == request.client_order_id)
        self.compare(again, expected, order)

    def submit_under_the_key_of_a_request(self, number: int) -> None:
        _, key, *_ = self.asked[number % len(self.asked)]
        request = order_service_pb2.SubmitOrderRequest()
        request.CopyFrom(self.entered[0][0])
        request.client_order_id = key
        self.compare(request, "CLIENT_ORDER_ID_REUSED", None)

    @step(2, number=NUMBER, keyed=KEYED, other=NUMBER, reason=REASON)
    def cancel(self, number: int, keyed: str, other: int, reason: str) -> None:
        """Cancel an order, under a key or none, or under one that was used."""
        self.ask_to_cancel(self.order(number), self.request_key(keyed, other), reason, other)

    def ask_to_cancel(self, order: Order, key: str, reason: str, named: int) -> None:
        request = order_service_pb2.CancelOrderRequest(
            **self.name_of(order, named),
            request_key=key,
            reason=reason,
        )
        expected = self.book.cancel(order, key, reason)
        if expected == APPLIED and key:
            self.asked.append((order, key, "CANCEL", reason, None))
        self.compare(request, expected, order)

    @step(
        2,
        number=NUMBER,
        keyed=KEYED,
        other=NUMBER,
        terms=NEW_TERMS,
        compared=st.sampled_from(["", "", "right", "wrong"]),
    )
    def replace(self, number: int, keyed: str, other: int, terms: dict[str, Any], compared: str) -> None:
        """Replace terms of an order, often with terms that do not fit it."""
        order = self.order(number)
        if "expire_time" in terms:
            terms = terms | {"expire_time": self.expiry(terms["expire_time"])}
        expected = {"": None, "right": order.last_sequence, "wrong": order.last_sequence + 1}[compared]
        self.ask_to_replace(order, self.request_key(keyed, other), terms, expected, other)

    @step(2, number=NUMBER, quantity=ORDERED, life=st.sampled_from(["", "", "soon", "past"]))
    def replace_the_quantity(self, number: int, quantity: int, life: str) -> None:
        """Replace what fits, or with an expire_time that has passed."""
        terms: dict[str, Any] = {"quantity": quantity}
        if life:
            past = datetime(2012, 6, 21, tzinfo=UTC)
            terms |= {"expire_time": past if life == "past" else self.expiry(life), "time_in_force": "GTD"}
        self.ask_to_replace(self.order(number), self.new_key(), terms, None, number, past=life == "past")

    def ask_to_replace(
        self, order: Order, key: str, terms: dict[str, Any], expected: int | None, named: int, *, past: bool = False
    ) -> None:
        terms = {name: terms[name] for name in TERMS if name in terms}
        request = request_pb2.ReplaceOrderRequest(
            **self.name_of(order, named),
            request_key=key,
            terms=terms_pb2.OrderTerms(**in_message(terms)),
            update_mask=FieldMask(paths=list(terms)),
            expected_last_sequence=expected,
        )
        answer = self.outcome(request)
        if self.was_slow(answer, terms):
            return
        outcome = self.book.replace(order, key, terms, expected, past=past)
        if outcome == APPLIED and key:
            self.asked.append((order, key, "REPLACE", terms, expected))
        self.check_answer(answer, outcome, order)

    def ask_again(self, number: int, change: str) -> None:
        order, key, kind, content, expected = self.asked[number % len(self.asked)]
        if change == "order":
            order = self.order(order.number + 1)
        if (kind == "CANCEL") != (change == "kind"):
            reason = content if kind == "CANCEL" else ""
            self.ask_to_cancel(order, key, reason + "!" if change == "content" else reason, number)
        else:
            terms = {"quantity": 77} if kind == "CANCEL" or change == "content" else content
            self.ask_to_replace(order, key, terms, expected, number)

    @step(
        2,
        number=NUMBER,
        what=st.sampled_from(["order", "key of a request", "request", "report", "execution"]),
        change=st.sampled_from(["", "", "order", "kind", "content"]),
    )
    def again(self, number: int, what: str, change: str) -> None:
        """Repeat a call, or reuse its key, its report_id or its execution_id for something else."""
        if what == "order":
            self.submit_again(number, bool(change))
        elif what == "key of a request" and self.asked:
            self.submit_under_the_key_of_a_request(number)
        elif what == "request" and self.asked:
            self.ask_again(number, change)
        elif what == "report" and self.reported:
            self.report_again(number, changed=bool(change))
        elif what == "execution" and self.executed:
            self.execution_again(number, bool(change))

    @step(
        3,
        what=st.sampled_from(["all", "expiry", "expiry", "expiry", "timer", "timer", "timer later", "fire"]),
        reason=REASON,
    )
    def cancel_many(self, what: str, reason: str) -> None:
        """Cancel all open orders, those that have expired, or those that a cancel timer is to cancel."""
        if what == "all":
            self.cancel_all(reason)
        elif what == "expiry" and self.soon:
            self.expire()
        elif what == "fire":
            self.fire()
        elif what.startswith("timer"):
            query = "SELECT * FROM set_cancel_timer('1 microsecond', 'trader', 'timer')"
            self.desk.run("blotter_trader", self.trader_id, query)
            self.book.start_timer()
            if what == "timer":
                self.fire()

    def cancel_all(self, reason: str) -> None:
        before = len(self.book.trail)
        expected = self.book.cancel_all(reason)
        request = order_service_pb2.CancelAllOrdersRequest(reason=reason)
        answer = self.desk.orders.CancelAllOrders(request, metadata=self.as_trader)
        self.check((answer.cancelled_count, answer.requested_count), expected)
        concerned = [self.ids[event.after["order"]] for event in self.book.trail[before:]]
        self.check(list(answer.order_ids), concerned)
        self.counted["CancelAllOrders, orders"] += len(concerned)

    def expire(self) -> None:
        """Wait until the orders that expire soon have expired, and let the database cancel them."""
        wait = max(self.soon) - datetime.now(UTC)
        time.sleep(max(wait.total_seconds(), 0) + 0.001)
        rows = self.desk.run("blotter_execution", self.trader_id, "SELECT * FROM expire_orders('expiry', 1000)")
        self.caused("expiry", rows, self.book.expire(datetime.now(UTC)))

    def fire(self) -> None:
        rows = self.desk.run("blotter_execution", self.trader_id, "SELECT * FROM fire_cancel_timer('timer', 1000)")
        self.caused("cancel timer", rows, self.book.fire())
        on = bool(self.desk.run("blotter_trader", self.trader_id, "SELECT FROM cancel_timers"))
        self.check(on, self.book.timer is not None)

    def caused(self, name: str, rows: list[Any], orders: list[Order]) -> None:
        found = [(str(order_id), requested) for order_id, requested in rows]
        self.check(found, [(self.ids[order.number], order.pending is not None) for order in orders])
        self.counted[f"{name}, orders"] += len(rows)

    # What gateways report ---------------------------------------------------------------------------------------------

    @step(
        3,
        number=NUMBER,
        action=st.sampled_from(
            ["EXECUTED"] * 5 + ["APPROVED", "RECOVERED", "REJECTED", "DONE_FOR_DAY", "DONE_FOR_DAY"]
        ),
        reason=REASON,
    )
    def report_on_the_order(self, number: int, action: str, reason: str) -> None:
        """Report what has no request."""
        more: dict[str, Any] = {}
        if action == "REJECTED":
            more = {"reason": "never"}
        elif action in {"EXECUTED", "DONE_FOR_DAY"} and reason:
            more = {"reason": reason}
        self.report(self.order(number), action, **more)

    @step(
        4,
        number=NUMBER,
        action=st.sampled_from(
            ["accepts"] * 4 + ["refuses"] * 2 + [*ANSWERS["accepts"].values(), *ANSWERS["refuses"].values()]
        ),
        named=st.sampled_from(["", "pending", "pending", "other"]),
        other=NUMBER,
        reason=REASON,
    )
    def answer(self, number: int, action: str, named: str, other: int, reason: str) -> None:
        """Report the venue's answer to a request, or what looks like one."""
        order = self.order(number)
        if action in ANSWERS:
            waiting = next((order for order in self.book.orders if order.pending), None)
            if not waiting or not waiting.pending:
                return
            order, action = waiting, ANSWERS[action][waiting.pending.kind]
        more: dict[str, Any] = {"reason": reason} if reason else {}
        if action.endswith("REFUSED"):
            more["error_code"] = "TOO_LATE_TO_CANCEL"
        if named == "pending" and order.pending:
            more["request_key"] = order.pending.key
        elif named == "other":
            key = self.asked[other % len(self.asked)][1] if self.asked else "unknown"
            more["request_key"] = "unknown" if order.pending and order.pending.key == key else key
        self.report(order, action, **more)

    @step(1, number=NUMBER, quantity=st.one_of(st.none(), QUANTITY), price=MAYBE_PRICE, reason=REASON)
    def restate(self, number: int, quantity: int | None, price: Decimal | None, reason: str) -> None:
        """Report that the venue changed the order by itself, or confirms it."""
        terms: dict[str, Any] = {"quantity": quantity, "price": price}
        stated = {name: value for name, value in terms.items() if value}
        self.report(self.order(number), "RESTATED", terms=stated, **({"reason": reason} if reason else {}))

    @step(4, number=NUMBER, execution_id=EXECUTION_ID, quantity=QUANTITY, price=PRICE)
    def fill(self, number: int, execution_id: str, quantity: int, price: Decimal) -> None:
        """Report a fill of the first day; its id may be that of an earlier one."""
        self.report_fill(self.order(number), execution_id, 0, "XNAS", quantity, price)

    @step(2, number=NUMBER, day=DAY, venue=VENUE, quantity=QUANTITY, price=PRICE)
    def fill_under_a_known_id(self, number: int, day: int, venue: str, quantity: int, price: Decimal) -> None:
        """Report a fill of an order under the id of an earlier one: on the other day, or at the other venue."""
        fills = [fill for order in self.book.orders for fill in order.fills]
        if fills:
            fill = fills[number % len(fills)]
            self.report_fill(fill.order, fill.said[0].execution_id, day, venue, quantity, price)

    def report_fill(self, order: Order, execution_id: str, day: int, venue: str, quantity: int, price: Decimal) -> None:
        commission = Decimal(quantity) / 100
        execution = Execution(execution_id, date(2012, 6, 21 + day), venue, quantity, price, commission)
        self.report(order, "FILLED", execution=execution)

    @step(
        4,
        number=NUMBER,
        said=NUMBER,
        execution_id=EXECUTION_ID,
        day=DAY,
        quantity=st.one_of(st.just(0), st.integers(0, 12)),
        price=PRICE,
        reason=REASON,
        how=st.sampled_from(["dated"] * 3 + ["undated"] * 2 + ["wrong date", "wrong order", "unknown"]),
    )
    def correct(
        self, number: int, said: int, execution_id: str, day: int, quantity: int, price: Decimal, reason: str, how: str
    ) -> None:
        """Report the correction of a fill, or with quantity 0 its bust; or of one that does not exist."""
        fills: list[Fill] = [fill for order in self.book.orders for fill in order.fills]
        if not fills:
            return
        if how == "undated":  # best one of two that have the same id
            shared = Counter((fill.order.number, fill.said[0].venue, fill.said[0].execution_id) for fill in fills)
            [(named, _)] = shared.most_common(1)
            fills = [f for f in fills if (f.order.number, f.said[0].venue, f.said[0].execution_id) == named]
            said = 0
        fill = fills[number % len(fills)]
        of = fill.said[said % len(fill.said)]
        execution = Execution(
            execution_id,
            date(2012, 6, 21 + day),
            of.venue,
            quantity,
            price if quantity else None,
            Decimal("0.25") if quantity else Decimal(0),
            "unknown" if how == "unknown" else of.execution_id,
            {"undated": None, "wrong date": date(2012, 6, 20)}.get(how, of.trade_date),
        )
        order = self.order(fill.order.number + 1) if how == "wrong order" else fill.order
        action = "FILL_CORRECTED" if quantity else "FILL_BUSTED"
        self.report(order, action, execution=execution, **({"reason": reason} if reason else {}))

    def execution_again(self, number: int, more: int) -> None:
        order, action, execution = self.executed[number % len(self.executed)]
        if execution.quantity:
            execution = execution._replace(quantity=execution.quantity + more)
        self.report(order, action, execution=execution)

    def report_again(self, number: int, *, changed: bool) -> None:
        request = self.reported[number % len(self.reported)]
        order = self.book.orders[self.names.orders[request.order_id]]
        expected = self.book.repeated(request.report_id)
        if changed:
            again = reports_pb.ReportExecutionRequest()
            again.CopyFrom(request)
            again.venue = "BATS"
            request, expected = again, "REPORT_ID_REUSED"
        self.compare(request, expected, order, "ReportExecution again")

    def report(self, order: Order, action: str, **more: Any) -> None:
        """Report in the model and on the server."""
        report_id = f"r{len(self.book.trail)}-{uuid4()}"
        request = report_message(str(self.trader_id), self.ids[order.number], report_id, action, more)
        key = more.get("request_key", "")
        if key.startswith("*"):  # the model's name of a key that the blotter made
            shown = self.desk.orders.GetOrder(
                order_service_pb2.GetOrderRequest(order_id=request.order_id), metadata=self.as_trader
            )
            request.request_key = shown.order.pending_request.request_key
        if execution := more.get("execution"):
            more = more | {"execution": execution._replace(commission=execution.commission.normalize())}
        expected = self.book.report(order, report_id, action, **more)
        if self.book.repeated(report_id):
            self.reported.append(request)
        if expected == APPLIED and execution:
            self.executed.append((order, action, execution))
        self.compare(request, expected, order, f"ReportExecution {action}")

    # The end ----------------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Compare everything with the model."""
        try:
            if not self.failed and self.book.trail:
                self.compare_stream()
                self.compare_trail_and_moments()
                self.compare_lists()
                self.compare_reconciliation()
        finally:
            self.watch.cancel()

    def compare_stream(self) -> None:
        """The stream from the first event on has the trail, and folds to the list of orders."""
        last = len(self.book.trail)
        while not self.streamed or self.streamed[-1].sequence < last:
            for event in next(self.watch).events.events:
                self.streamed.append(self.names.event(event))
                self.folded[event.order.order_id] = event.order
        self.check(self.streamed, as_shown(self.book.trail))

    def compare_trail_and_moments(self) -> None:
        """Compare the trail, as compliance reads it, and each order as of each of its events."""
        request = audit_service_pb2.StreamExecutionLogsRequest(trader_ids=[str(self.trader_id)])
        logs: list[Any] = []
        started = time.monotonic()
        while len(logs) < len(self.book.trail):
            assert time.monotonic() < started + PATIENCE, "the ledger does not get the logs"
            stream = self.desk.audit.StreamExecutionLogs(request, metadata=COMPLIANCE)
            logs = [log for message in stream for log in message.logs.execution_logs]
        self.check([self.names.event(log) for log in logs], as_shown(self.book.trail))
        for log, event in zip(logs, self.book.trail, strict=True):
            for moment_of_it in ({"position": log.position}, {"time": log.record_time}):
                request_as_of = inspection_pb2.GetOrderAsOfRequest(order_id=log.order_id, **moment_of_it)
                answer = self.desk.audit.GetOrderAsOf(request_as_of, metadata=COMPLIANCE)
                self.check((self.names.order(answer.order), answer.last_log), (event.after, log))

    def compare_lists(self) -> None:
        """Compare the orders, their requests and their fills."""
        shown = self.desk.orders.ListOrders(order_service_pb2.ListOrdersRequest(), metadata=self.as_trader).orders
        self.check([self.names.order(order) for order in shown], [order.view() for order in self.book.orders[::-1]])
        for listed in shown:
            self.check(self.folded[listed.order_id], listed)
        for order in self.book.orders:
            expected = [request for request in self.book.requests.values() if request.order is order]
            asked = request_pb2.ListRequestsRequest(order_id=self.ids[order.number])
            requests = self.desk.orders.ListRequests(asked, metadata=self.as_trader).requests
            self.check(
                [self.request_view(request) for request in requests],
                [
                    (one.key, one.kind, one.outcome, one.terms, one.reason, one.sequence, one.settled)
                    for one in sorted(expected, key=lambda one: -one.sequence)
                ],
            )
            named = order_service_pb2.ListFillsRequest(order_id=self.ids[order.number])
            fills = self.desk.orders.ListFills(named, metadata=self.as_trader).fills
            self.check([fill_view(fill) for fill in fills], [model_fill_view(fill) for fill in order.fills[::-1]])

    def sequence_of(self, key: str) -> int:
        """Return the sequence of a pending request."""
        asked = request_pb2.ListRequestsRequest(client_order_id=key, page_size=1)
        [newest] = self.desk.orders.ListRequests(asked, metadata=self.as_trader).requests
        self.check(newest.request_key, key)
        sequence: int = newest.request_sequence
        return sequence

    def request_view(self, request: request_pb2.Request) -> tuple[Any, ...]:
        return (
            self.names.key(request.request_key, request.request_sequence),
            terms_pb2.RequestKind.Name(request.kind).removeprefix("REQUEST_KIND_"),
            request_pb2.RequestOutcome.Name(request.outcome).removeprefix("REQUEST_OUTCOME_"),
            terms_of(request),
            request.reason,
            request.request_sequence,
            request.outcome_sequence,
        )

    def compare_reconciliation(self) -> None:
        """Only orders that are overfilled are found."""
        request = inspection_pb2.ReconcileOrdersRequest(trader_id=str(self.trader_id))
        stream = self.desk.audit.ReconcileOrders(request, metadata=COMPLIANCE)
        found = {(step.discrepancy.kind, step.discrepancy.order_id) for step in stream if step.HasField("discrepancy")}
        overfilled = [order for order in self.book.orders if order.executed > order.filled]
        kind = inspection_pb2.DISCREPANCY_KIND_ORDER_OVERFILLED
        self.check(found, {(kind, self.ids[order.number]) for order in overfilled})


def in_message(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Return terms as the fields of a message."""
    values: dict[str, Any] = {}
    for name, value in terms.items():
        if value is None:
            continue
        if name == "expire_time":
            values[name] = Timestamp(**moment(value))
        elif name == "time_in_force":
            values[name] = TIMES_IN_FORCE[value]
        else:
            values[name] = value if name == "quantity" else f"{value:f}"
    return values


def reason_in(status: status_pb2.Status) -> str:
    """Return the reason of an error in a batch; empty without one."""
    info = error_details_pb2.ErrorInfo()
    return info.reason if any(detail.Unpack(info) for detail in status.details) else ""


def report_message(
    trader_id: str, order_id: str, report_id: str, action: str, more: Mapping[str, Any]
) -> reports_pb.ReportExecutionRequest:
    """Return the report of an action."""
    kind = {"EXECUTED": "executed", "FILLED": "fill"}.get(action, action.lower())
    request = reports_pb.ReportExecutionRequest(
        trader_id=trader_id, order_id=order_id, report_id=report_id, request_key=more.get("request_key", "")
    )
    special = getattr(request, kind)
    special.SetInParent()
    if more.get("reason"):
        special.reason = more["reason"]
    if code := more.get("error_code"):
        special.refusal_reason = REFUSAL_REASONS[code]
    for name, value in in_message(more.get("terms", {})).items():
        setattr(special, name, value)
    if execution := more.get("execution"):
        day = (execution.trade_date - date(2012, 6, 21)).days
        request.venue = execution.venue
        request.event_time.seconds = FIRST_DAY + day * 86400
        special.execution_id = execution.execution_id
        if execution.of:
            special.ref_execution_id = execution.of
            special.ref_trade_date = str(execution.of_date or "")
        if execution.quantity:
            special.quantity = execution.quantity
            special.price = f"{execution.price:f}"
            special.commission = f"{execution.commission:f}"
    return request


def as_shown(trail: list[Event]) -> list[Event]:
    """Return the events without what the contract does not show: the stated date of what a correction names."""
    return [
        replace(
            event,
            terms=event.terms or None,
            execution=event.execution and event.execution._replace(of_date=None),
        )
        for event in trail
    ]


def fill_view(fill: order_pb2.Fill) -> tuple[Any, ...]:
    """Return a fill, what stands of it, and its corrections."""
    return (
        (fill.sequence, fill.execution_id, fill.quantity, Decimal(fill.price)),
        (fill.net_quantity, Decimal(fill.net_price) if fill.net_price else None, Decimal(fill.net_commission)),
        fill.busted,
        [correction_of(correction) for correction in fill.corrections],
    )


def model_fill_view(fill: Fill) -> tuple[Any, ...]:
    """Return the model's fill as fill_view does."""
    first, now = fill.said[0], fill.standing
    return (
        (fill.sequence, first.execution_id, first.quantity, first.price),
        (now.quantity, now.price, now.commission),
        now.quantity == 0,
        [said._replace(of_date=None) for said in fill.said[1:]],
    )


@contextmanager
def desk_on(server: Server) -> Iterator[Desk]:
    desk = Desk(server)
    try:
        yield desk
    finally:
        desk.close()


@pytest.fixture(autouse=True)
def only_the_machine_cancels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server does not cancel what is due: the machine does, so that the model knows when."""

    async def nothing(_expiry: object) -> None:
        return None

    monkeypatch.setattr("service.expiry.Expiry.cancel_due", nothing)


def test_any_interleaving_has_the_outcome_that_the_model_computes(
    server: Server, record_property: Callable[[str, object], None]
) -> None:
    with desk_on(server) as desk:
        counted: Counter[str] = Counter()
        machine = type("Lifecycle", (Lifecycle,), {"desk": desk, "counted": counted})
        limits = settings(
            max_examples=RUNS,
            stateful_step_count=50,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(machine, settings=limits)
        record_property("counted", ("calls compared with the model", dict(counted)))
