"""Orders in bulk: the same answers and rows as one after the other, whatever the orders are."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from tests.conftest import ALICE, BOB, Database, cloned, created
from tests.isolation.desk import DEFAULTS, Connection, act_as, call, connected, enter, fill, one, outcome, refused
from tests.isolation.test_hostile_arguments import HUGE, SUBMITS, writes_nothing

Arguments = dict[str, Any]

DIGESTS = (b"\x5a" * 32, b"\x5b" * 32)
KEYS = ("a", "b", "c", "first", "filled", "of-a-request", "of-bob")

TERMS: dict[str, st.SearchStrategy[Any]] = {
    "p_client_order_id": st.sampled_from(KEYS),
    "p_request_digest": st.sampled_from(DIGESTS),
    "p_symbol": st.sampled_from(("AAPL", "BRK B")),
    "p_side": st.sampled_from(("BUY", "SELL")),
    "p_order_type": st.sampled_from(("MARKET", "LIMIT", "STOP", "STOP_LIMIT")),
    "p_quantity": st.sampled_from((1, 2**31 - 1)),
    "p_price": st.sampled_from((None, "10.25", "585.123456789", "-1", "0.000000001", "NaN")),
    "p_stop_price": st.sampled_from((None, None, "10")),
    "p_stop_loss": st.sampled_from((None, None, "9.5", "NaN")),
    "p_take_profit": st.sampled_from((None, None, "11")),
    "p_time_in_force": st.sampled_from((None, "DAY", "GTD")),
    "p_expires_at": st.sampled_from((None, None, "2099-01-01T00:00:00+00:00", "2020-01-01T00:00:00Z")),
    "p_account": st.sampled_from((None, "A-1")),
    "p_labels": st.sampled_from((None, '{"desk": "cash", "strategy": "\\u00e9"}')),
    "p_parent_order_id": st.sampled_from((None, "parent")),
    "p_currency": st.sampled_from((None, "USD")),
    "p_short_sale": st.sampled_from((None, None, "SELL_SHORT")),
    "p_exempt_from_cancel_timer": st.sampled_from((None, False, True)),
    "p_actor": st.sampled_from(("desk", "algo 7")),
    "p_request_id": st.sampled_from(("request-1", "request-2")),
}

BROKEN: tuple[Arguments, ...] = (
    *({name: None} for name in ("p_client_order_id", "p_request_digest", "p_symbol", "p_side", "p_quantity")),
    *({name: None} for name in ("p_actor", "p_request_id")),
    *({name: "x" * 101} for name in ("p_client_order_id", "p_symbol", "p_account", "p_actor", "p_request_id")),
    {"p_client_order_id": "a" + " " * 70},
    {"p_symbol": "AAPL" + " " * 30},
    {"p_quantity": 0},
    {"p_quantity": "2147483648"},
    {"p_price": "1e11"},
    {"p_labels": '{"a": 1}'},
    {"p_actor": "blotter"},
    {"p_side": "HOLD"},
)
"""What an order fails with an error, unless it repeats another; some even then."""

ORDER = st.fixed_dictionaries(TERMS)
PLAIN = st.fixed_dictionaries({name: TERMS[name] for name in ("p_client_order_id", "p_request_digest", "p_actor")})
"""An order that is entered, unless its key has been used."""
ANY_ORDER = st.one_of(ORDER, PLAIN, PLAIN)


REFUSED: Arguments = {"p_client_order_id": "a", "p_price": None}


class Written(NamedTuple):
    """What a transaction was answered, and the rows that it leaves, without ids and times."""

    answers: list[dict[str, Any]]
    orders: list[dict[str, Any]]
    logs: list[dict[str, Any]]
    counters: list[dict[str, Any]]


def item(arguments: Arguments) -> Arguments:
    """An order as `submit_orders` takes it, of the arguments of `submit_order`."""
    values = {name.removeprefix("p_"): value for name, value in (DEFAULTS["submit_order"] | arguments).items()}
    del values["validate_only"]
    if isinstance(values["request_digest"], bytes):
        values["request_digest"] = rf"\x{values['request_digest'].hex()}"
    if values["labels"] is not None:
        values["labels"] = json.loads(values["labels"])
    return values


def in_bulk(connection: Connection, orders: list[Arguments]) -> list[dict[str, Any]]:
    """Enter the orders with one call; the answers."""
    text = json.dumps([item(order) for order in orders])
    query = "SELECT outcome, (result.recorded).* FROM submit_orders(%s) AS result"
    return connection.cursor(row_factory=dict_row).execute(query, [text]).fetchall()


def one_by_one(connection: Connection, orders: list[Arguments]) -> list[dict[str, Any]]:
    """Enter the orders with a call for each; the answers."""
    query = "SELECT outcome, (result.recorded).* FROM submit_order({}) AS result"
    answers = []
    for order in orders:
        values = DEFAULTS["submit_order"] | order
        sent = query.format(", ".join(f"{name} => %s" for name in values)).encode()
        answers += connection.cursor(row_factory=dict_row).execute(sent, list(values.values())).fetchall()
    return answers


@contextmanager
def undone(database: Database) -> Iterator[Connection]:
    """ALICE's transaction, rolled back at the end."""
    with psycopg.connect(database.conninfo("blotter_trader")) as connection:
        act_as(connection, ALICE)
        yield connection
        connection.rollback()


def written(
    database: Database, submit: Callable[[Connection, list[Arguments]], list[dict[str, Any]]], orders: list[Arguments]
) -> Written | tuple[str | None, str | None]:
    """Enter the orders and undo it. What was written, or the error: its SQLSTATE and constraint."""
    with undone(database) as connection:
        rows = connection.cursor(row_factory=dict_row)
        old = {row["id"] for row in rows.execute("SELECT id FROM orders")}
        [before] = rows.execute("SELECT clock_timestamp() AS now")
        try:
            answers = submit(connection, orders)
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg.Error as error:
            return error.sqlstate, error.diag.constraint_name
        [after] = rows.execute("SELECT clock_timestamp() AS now")
        result = Written(
            answers,
            rows.execute("SELECT * FROM orders ORDER BY last_sequence").fetchall(),
            rows.execute("SELECT * FROM execution_logs ORDER BY sequence").fetchall(),
            rows.execute("SELECT * FROM trader_sequences").fetchall(),
        )
    return compared(result, old, before["now"], after["now"])


def compared(result: Written, old: set[Any], before: datetime, after: datetime) -> Written:
    """Check ids and times of what is new, and take them off."""
    new = {row["client_order_id"]: row for row in result.orders if row["id"] not in old}
    times = [row["created_at"] for row in new.values()]
    assert [before, *times, after] == sorted([before, *times, after])
    for row in (*new.values(), *result.answers):
        if row["client_order_id"] in new and row["last_sequence"]:
            order = new[row["client_order_id"]]
            assert (row["id"], row["created_at"], row["updated_at"]) == (order["id"], *[order["created_at"]] * 2)
    for log in result.logs:
        if log["order_id"] not in old:
            order = new[log["client_order_id"]]
            assert log["order_id"] == order["id"]
            assert {log[name] for name in ("timestamp", "created_at", "order_created_at")} == {order["created_at"]}
    return Written(*([without_ids(row, old) for row in rows] for rows in result))


def without_ids(row: dict[str, Any], old: set[Any]) -> dict[str, Any]:
    """A row of an answer or a table; of new orders, whether there are ids and times. NaN is equal to itself as text."""
    changing = {"xid"} if "xid" in row else set()
    if row.get("order_id", row.get("id")) not in old:
        changing |= {"id", "order_id", "timestamp", "created_at", "updated_at", "order_created_at"}
    return {
        name: value is None if name in changing else str(value) if isinstance(value, Decimal) else value
        for name, value in row.items()
        if "report_id" not in row or name != "id"
    }


@pytest.fixture(scope="module")
def twins(template: Database) -> Iterator[tuple[Database, Database]]:
    """Two databases with the same rows: ALICE's orders "first" and "filled", and her request "of-a-request"."""
    with cloned(template, "blotter_bulk") as database:
        first, filled = enter(database, ALICE, "first"), enter(database, ALICE, "filled", p_request_digest=DIGESTS[1])
        fill(database, ALICE, filled, 100, "execution-1")
        enter(database, BOB, "of-bob")
        with connected(database, "blotter_trader", ALICE) as trader:
            assert outcome(trader, "replace_order", p_order_id=first, p_request_key="of-a-request") == "APPLIED"
        with created(database.cluster, "blotter_one_by_one", database.name) as twin:
            yield database, twin


@settings(max_examples=150)
@given(orders=st.lists(ANY_ORDER, max_size=12))
def test_orders_in_bulk_are_answered_and_written_as_one_after_the_other(
    twins: tuple[Database, Database], orders: list[Arguments]
) -> None:
    bulk = written(twins[0], in_bulk, orders)
    assert isinstance(bulk, Written)
    assert bulk == written(twins[1], one_by_one, orders)
    assert [log["sequence"] for log in bulk.logs] == list(range(1, len(bulk.logs) + 1))


@settings(max_examples=300)
@example(orders=[], broken={"p_actor": "x" * 101}, order=REFUSED, place=0)
@example(orders=[], broken={"p_request_id": "x" * 101}, order=REFUSED, place=0)
@given(orders=st.lists(PLAIN, max_size=4), broken=st.sampled_from(BROKEN), order=ANY_ORDER, place=st.integers(0, 4))
def test_an_order_that_fails_with_an_error_fails_all_and_one_that_repeats_does_not(
    twins: tuple[Database, Database], orders: list[Arguments], broken: Arguments, order: Arguments, place: int
) -> None:
    orders.insert(place, order | broken)
    assert written(twins[0], in_bulk, orders) == written(twins[1], one_by_one, orders)


def test_two_bulks_at_once_with_the_same_keys_enter_each_order_once(database: Database) -> None:
    orders = [{"p_client_order_id": f"order-{number}"} for number in range(50)]
    answers: list[dict[str, Any]] = []

    def second() -> None:
        with connected(database, "blotter_trader", ALICE) as trader:
            answers.extend(in_bulk(trader, orders[::-1]))

    waiting = threading.Thread(target=second)
    with connected(database, "blotter_trader", ALICE) as trader:
        assert {answer["outcome"] for answer in in_bulk(trader, orders)} == {"APPLIED"}
        waiting.start()
        with connected(database, "postgres") as observer:
            blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
            for _ in range(3000):
                if one(observer, blocked, database.name):
                    break
                observer.execute("SELECT pg_sleep(0.01), pg_stat_clear_snapshot()")
            else:
                pytest.fail("The second does not wait for the first.")
    waiting.join(30)
    assert [answer["outcome"] for answer in answers] == ["REPLAYED"] * 50
    assert [answer["last_sequence"] for answer in answers] == list(range(50, 0, -1))


def test_an_empty_bulk_writes_nothing_and_the_longest_is_written(database: Database) -> None:
    with connected(database, "blotter_trader", ALICE) as trader:
        assert call(trader, "submit_orders", p_orders="[]") == []
        longest = [{"p_client_order_id": f"order-{number}"} for number in range(10_000)]
        with refused("54000"), trader.transaction():
            in_bulk(trader, [*longest, {"p_client_order_id": "one-too-many"}])
        assert {answer["outcome"] for answer in in_bulk(trader, longest)} == {"APPLIED"}
    with connected(database, "blotter_trader", ALICE) as trader:
        assert one(trader, "SELECT count(*) FROM orders WHERE last_sequence = substr(client_order_id, 7)::int + 1") == (
            10_000
        )
        assert one(trader, "SELECT max(sequence) FROM execution_logs") == 10_000


def hostile(name: str, value: object) -> str:
    """An array of one order with a hostile value."""
    values = item({"p_client_order_id": "hostile"})
    values[name] = "VALUE"
    if isinstance(value, bytes):
        value = rf"\x{value.hex()}"
    text = str(value) if name == "labels" else json.dumps(value)
    return json.dumps([values]).replace('"VALUE"', text)


HOSTILE = [
    None,
    *("null", "{}", '"x"', "1", "[1]", "[null]", "[[]]", "[{}]", '[{"side": "BUY"}]', "", "[", "[{]", "\\u0000"),
    f"[{','.join(['{}'] * 10_001)}]",
    f"[{','.join(['{}'] * 1_000_001)}]",
    "[" * 100_000 + "]" * 100_000,
    '[{"' + HUGE + '": 1}]',
    *(hostile(name, [1]) for name in ("quantity", "price", "side", "expires_at", "labels")),
    *(hostile(name, {"a": 1}) for name in ("quantity", "exempt_from_cancel_timer", "request_digest")),
    *(hostile("quantity", value) for value in (1.5, True, "", "NaN")),
    hostile("exempt_from_cancel_timer", "perhaps"),
    hostile("symbol", "A\0"),
    hostile("request_digest", "\\xzz"),
]


def test_hostile_orders_are_not_entered(database: Database) -> None:
    enter(database, ALICE)
    with connected(database, "blotter_trader", ALICE) as trader:
        for text in HOSTILE:
            writes_nothing(trader, "submit_orders", {"p_orders": text})
        for arguments in SUBMITS:
            [(name, value)] = arguments.items()
            if name != "p_validate_only" and value != "null":
                writes_nothing(trader, "submit_orders", {"p_orders": hostile(name.removeprefix("p_"), value)})


def test_the_trader_of_the_transaction_is_the_only_one(database: Database) -> None:
    """A trader in an item is ignored: no order takes one."""
    with connected(database, "blotter_trader", ALICE) as trader:
        foreign = [item({}) | {"trader_id": str(BOB), "id": str(BOB), "status": "FILLED", "filled_quantity": 100}]
        assert [row[0] for row in call(trader, "submit_orders", p_orders=json.dumps(foreign))] == ["APPLIED"]
        assert trader.execute("SELECT trader_id, status::text, filled_quantity FROM orders").fetchall() == [
            (ALICE, "PENDING", 0)
        ]
    with connected(database, "blotter_trader", BOB) as trader:
        assert one(trader, "SELECT count(*) FROM orders") == 0
        assert [row[0] for row in call(trader, "submit_orders", p_orders=json.dumps(foreign))] == ["APPLIED"]


def test_a_disabled_trader_enters_nothing(database: Database) -> None:
    with connected(database, "blotter_owner") as owner:
        owner.execute("UPDATE traders SET disabled_at = now() WHERE id = %s", [ALICE])
    with psycopg.connect(database.conninfo("blotter_trader")) as trader, refused("23514", "traders_are_enabled"):
        act_as(trader, ALICE)
