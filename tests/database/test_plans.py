"""Statements find rows by an index, once a table has statistics."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from service.repositories.events import _SNAPSHOT_OF_TRADER
from service.repositories.order_reads import _GET, _LIST, _LIST_FILLS, _LIST_FILLS_OF_ORDER, _REQUESTS
from tests.conftest import ALICE, BOB, Database, cloned
from tests.isolation.desk import WRITER, Connection, act_as, call, connected, filling, one, report

KEYS = {
    "the order of a fill or a cancel": ("orders", "trader_id = $1 AND id = $2", "orders_pkey"),
    "a repeated order": ("orders", "trader_id = $1 AND client_order_id = $2::text", "uq_orders_client_order_id"),
    "the log before": ("execution_logs", "trader_id = $1 AND sequence = $2", "uq_execution_logs_sequence"),
    "a repeated request": (
        "execution_logs",
        "trader_id = $1 AND request_key = $2::text",
        "uq_execution_logs_request_key",
    ),
    "a repeated report": ("execution_logs", "trader_id = $1 AND report_id = $2::text", "uq_execution_logs_report_id"),
    "a repeated fill": (
        "fills",
        "trader_id = $1 AND venue = $2::text AND trade_date = $3 AND execution_id = $4::text",
        "uq_fills_execution_id",
    ),
}
"""Conditions of the functions that write, and of the foreign keys, with the index of each."""


def indexes(plan: dict[str, Any]) -> set[str]:
    """The indexes that a plan uses; the table where it scans all of it."""
    used = {plan["Index Name"]} if "Index Name" in plan else set()
    if plan["Node Type"] == "Seq Scan":
        used = {f"all of {plan['Relation Name']}"}
    return used.union(*map(indexes, plan.get("Plans", [])))


def explained(connection: Connection, statement: str) -> set[str]:
    """The indexes of the plan of a statement."""
    return indexes(one(connection, f"EXPLAIN (FORMAT JSON) {statement}")[0]["Plan"])


def plan_of(connection: Connection, table: str, condition: str) -> set[str]:
    """The indexes of the plan that a session keeps for a condition: the one for any values."""
    connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    connection.execute(f"PREPARE look_up AS SELECT {table}.* FROM ONLY {table} WHERE {condition}".encode())
    nulls = ", ".join(["NULL"] * condition.count("$"))
    return explained(connection, f"EXECUTE look_up ({nulls})")


@pytest.fixture(scope="module")
def filled(template: Database) -> Iterator[Database]:
    """10,000 orders of ALICE, 10,000 of BOB and a fill of each twentieth, with statistics."""
    with cloned(template, "blotter_plans") as database:
        for trader_id in (ALICE, BOB):
            with connected(database, "blotter_trader", trader_id) as trader:
                entered = call(trader, "submit_orders", p_orders=json.dumps([order(n) for n in range(10_000)]))
                query = "SELECT id FROM orders WHERE trader_id = %s AND last_sequence %% 20 = 0"
                ids = [order_id for (order_id,) in trader.execute(query, [trader_id]).fetchall()]
            assert {row[0] for row in entered} == {"APPLIED"}
            with connected(database, "blotter_execution", trader_id) as gateway:
                for number, order_id in enumerate(ids):
                    fill = filling(f"execution-{number}", 1)
                    assert report(gateway, order_id, "FILLED", f"report-{number}", **fill) == "APPLIED"
        with connected(database, "blotter_owner") as owner:
            owner.execute("ANALYZE")
        yield database


def order(number: int) -> dict[str, Any]:
    """An order in bulk."""
    names = {"client_order_id": f"order-{number}", "symbol": "AAPL", "side": "BUY", "account": f"A-{number % 50}"}
    terms = {"order_type": "MARKET", "quantity": 1, "request_digest": rf"\x{bytes(32).hex()}"}
    return names | terms | {"actor": "desk", "request_id": "request"}


@pytest.mark.parametrize("login", [WRITER, "postgres"])
@pytest.mark.parametrize("name", KEYS)
def test_rows_are_looked_up_by_key(filled: Database, name: str, login: str) -> None:
    """With the policies of the functions' owner, and without any, as foreign keys are checked."""
    table, condition, index = KEYS[name]
    with connected(filled, login, ALICE if login == WRITER else None) as connection:
        assert plan_of(connection, table, condition) == {index}


READS = {
    "an order": ("orders", "id = '{order_id}'", "orders_pkey"),
    "a page": ("orders", "true ORDER BY created_at DESC, id DESC LIMIT 50", "idx_orders_trader_created"),
    "what changed since": ("orders", "updated_at >= '{since}'", "idx_orders_trader_updated"),
    "logs from a sequence on": (
        "execution_logs",
        "sequence > 9900 ORDER BY sequence LIMIT 500",
        "uq_execution_logs_sequence",
    ),
    "logs of an order": (
        "execution_logs",
        "order_id = '{order_id}' ORDER BY sequence LIMIT 500",
        "uq_execution_logs_order_sequence",
    ),
    "fills of an order": ("fills", "order_id = '{order_id}' ORDER BY sequence DESC", "uq_fills_sequence"),
}
"""What traders read of a table: a condition, and the index."""


@pytest.mark.parametrize("name", READS)
def test_a_trader_reads_by_index(filled: Database, name: str) -> None:
    table, condition, index = READS[name]
    with connected(filled, "blotter_trader", ALICE) as trader:
        sample = "SELECT id, updated_at FROM orders WHERE last_sequence <= 10000 ORDER BY last_sequence DESC LIMIT 1"
        [(order_id, since)] = trader.execute(sample).fetchall()
        condition = condition.format(order_id=order_id, since=since)
        assert explained(trader, f"SELECT * FROM {table} WHERE trader_id = '{ALICE}' AND {condition}") == {index}


@pytest.mark.parametrize("statement", [_GET, _LIST, _LIST_FILLS, _LIST_FILLS_OF_ORDER, _REQUESTS, _SNAPSHOT_OF_TRADER])
def test_what_the_service_sends_for_a_trader_scans_no_table(filled: Database, statement: str) -> None:
    """Each statement without a filter, and with the condition that has an index of its own."""
    with psycopg.connect(filled.conninfo("blotter_trader"), cursor_factory=psycopg.ClientCursor) as trader:
        act_as(trader, ALICE)
        order_id = one(trader, "SELECT id FROM orders WHERE client_order_id = 'order-7'")
        for given in ({}, {"order_id": order_id}, {"client_order_id": "order-7"}, {"accounts": ["A-1"]}):
            names = set(re.findall(r"%\((\w+)\)s", statement))
            values = dict.fromkeys(names) | {"trader_id": ALICE, "limit": 50, "cursor": 10_000} | given
            if "order_id" in names and not given and statement is not _SNAPSHOT_OF_TRADER:
                continue  # the caller always names an order
            [plan] = trader.execute(f"EXPLAIN (FORMAT JSON) {statement}", values).fetchall()[0][0]
            scanned = {"all of orders", "all of execution_logs", "all of fills"}
            assert not indexes(plan["Plan"]) & scanned, (given, plan)


PLANS = """
    LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on;
    SET auto_explain.log_format = 'json'; SET auto_explain.log_level = 'notice';
    SET search_path = pg_catalog, public, pg_temp; SET plan_cache_mode = force_generic_plan
"""


@pytest.mark.parametrize(
    ("login", "name"), [("trader", "order_id"), ("trader", "client_order_id"), ("desk", "order_id")]
)
@pytest.mark.parametrize("statement", [_GET, _REQUESTS])
def test_the_plans_that_functions_keep_scan_no_table(filled: Database, statement: str, login: str, name: str) -> None:
    with psycopg.connect(filled.conninfo("postgres"), cursor_factory=psycopg.ClientCursor) as connection:
        order_id = one(connection, "SELECT id FROM orders WHERE client_order_id = 'order-7'")
        [(desk_id,)] = connection.execute("INSERT INTO desks (name) VALUES ('Desk') RETURNING id")
        connection.execute("UPDATE traders SET desk_id = %s WHERE id = %s", [desk_id, ALICE])
        connection.execute(PLANS.encode())
        connection.execute(f"SET SESSION AUTHORIZATION blotter_{login}".encode())
        acting = {"trader": [ALICE, None], "desk": [None, desk_id]}[login]
        connection.execute("SELECT act_as(%s, %s)", acting)
        plans: list[str] = []
        connection.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))
        keys = {"order_id": order_id, "client_order_id": "order-7"}
        values = {"order_id": None, "client_order_id": None, "before": None, "limit": 100, name: keys[name]}
        connection.execute(statement.encode(), values)
        used = set.union(*(indexes(json.loads(plan.partition("plan:")[2])["Plan"]) for plan in plans))
        assert used & {"orders_pkey", "idx_orders_id", "uq_execution_logs_order_sequence"}, plans
        assert not used & {"all of orders", "all of execution_logs"}, plans
        connection.rollback()
