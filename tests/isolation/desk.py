"""The raw SQL of traders, gateways and intruders, and the database's results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from tests.conftest import ALICE, BOB, Database

LOGINS = ("blotter_trader", "blotter_execution", "blotter_compliance", "blotter_desk", "blotter_sequencer")
"""The logins that the service connects as."""

WRITER = "blotter_writer"
"""The role that the writing functions run as; it cannot log in."""

DIGEST = b"\x5a" * 32

EQUITIES = UUID("e9000000-0000-4000-8000-000000000001")
RATES = UUID("4a7e5000-0000-4000-8000-000000000002")
"""The desks of `assign`."""

NO_SUCH_ORDER = UUID("00000000-0000-4000-8000-000000000404")

Connection = psycopg.Connection[tuple[Any, ...]]

SAID_BY_ALL = {"p_actor": "desk", "p_request_id": "request"}

ENTRIES: dict[str, dict[str, dict[str, Any]]] = {
    "blotter_trader": {
        "submit_order": {
            "p_client_order_id": "first",
            "p_request_digest": DIGEST,
            "p_symbol": "AAPL",
            "p_side": "BUY",
            "p_order_type": "LIMIT",
            "p_quantity": 100,
            "p_price": "10.25",
            "p_stop_price": None,
            "p_stop_loss": None,
            "p_take_profit": None,
            "p_time_in_force": None,
            "p_expires_at": None,
            "p_account": None,
            "p_labels": None,
            "p_parent_order_id": None,
            "p_currency": None,
            "p_security_id": None,
            "p_security_id_source": None,
            "p_short_sale": None,
            "p_exempt_from_cancel_timer": False,
            "p_validate_only": False,
            **SAID_BY_ALL,
        },
        "submit_orders": {
            "p_orders": json.dumps(
                [
                    {
                        "client_order_id": "first-in-bulk",
                        "request_digest": rf"\x{DIGEST.hex()}",
                        "symbol": "AAPL",
                        "side": "BUY",
                        "order_type": "MARKET",
                        "quantity": 100,
                        "actor": "desk",
                        "request_id": "request",
                    }
                ]
            ),
        },
        "cancel_order": {
            "p_order_id": None,
            "p_client_order_id": None,
            "p_request_key": None,
            "p_request_digest": None,
            "p_reason": None,
            **SAID_BY_ALL,
        },
        "replace_order": {
            "p_order_id": None,
            "p_client_order_id": None,
            "p_request_key": "replace-1",
            "p_request_digest": DIGEST,
            "p_terms": '{"quantity": 200}',
            "p_expected_sequence": None,
            "p_reason": None,
            **SAID_BY_ALL,
        },
        "cancel_open_orders": {"p_symbol": None, "p_reason": None, **SAID_BY_ALL, "p_most": None},
        "set_cancel_timer": {"p_timeout": "1 minute", **SAID_BY_ALL},
    },
    "blotter_execution": {
        "report_execution": {
            "p_order_id": None,
            "p_report_id": "report-1",
            "p_report_digest": DIGEST,
            "p_action": "APPROVED",
            "p_timestamp": "2026-01-02 15:04:05+00",
            "p_venue": "XNAS",
            "p_reason": None,
            "p_error_code": None,
            "p_retry_attempt": 0,
            "p_execution_id": None,
            "p_trade_date": None,
            "p_ref_execution_id": None,
            "p_ref_trade_date": None,
            "p_quantity": None,
            "p_price": None,
            "p_commission": None,
            "p_request_key": None,
            **SAID_BY_ALL,
        },
        "expire_orders": {"p_request_id": "request", "p_most": None},
        "fire_cancel_timer": {"p_request_id": "request", "p_most": None},
        "probe_writing": {},
    },
}
"""The functions that write, by the login that may call them, with arguments that are valid for an order."""

DEFAULTS = {name: arguments for functions in ENTRIES.values() for name, arguments in functions.items()}


def assign(database: Database) -> None:
    """Register two desks, with ALICE in EQUITIES and BOB in RATES, and a principal of each trader and desk."""
    with connected(database, "blotter_owner") as owner:
        for desk, name, trader in ((EQUITIES, "Equities", ALICE), (RATES, "Rates", BOB)):
            owner.execute("INSERT INTO desks (id, name) VALUES (%s, %s)", [desk, name])
            owner.execute("UPDATE traders SET desk_id = %s WHERE id = %s", [desk, trader])
            owner.execute(
                "INSERT INTO principals (issuer, subject, kind, trader_id, desk_id)"
                " VALUES ('mtls', %(name)s, 'trader', %(trader)s, NULL), ('mtls', 'desk of ' || %(name)s, 'desk', NULL,"
                " %(desk)s)",
                {"name": name, "trader": trader, "desk": desk},
            )


@contextmanager
def connected(database: Database, login: str, trader_id: UUID | None = None) -> Iterator[Connection]:
    """A transaction of a login, committed at the end of the block, with the identity of a trader if one is named.

    As `blotter_writer`, it is a superuser's that has taken the rights of that role.
    """
    # Closed here: if the commit fails, the connection's own block leaves it open.
    with closing(connection_of(database, login)) as connection, connection:
        if trader_id:
            act_as(connection, trader_id)
        yield connection


def connection_of(database: Database, login: str) -> Connection:
    """A connection of a login, or of a superuser with the rights of `blotter_writer`."""
    if login != WRITER:
        return psycopg.connect(database.conninfo(login))
    return psycopg.connect(database.conninfo("postgres"), options=f"-c role={WRITER}")


def act_as(connection: Connection, trader_id: UUID | None) -> bool:
    """Set the transaction's trader; return whether that trader is known."""
    if connection.info.user == "postgres":  # blotter_writer may not call act_as
        one(connection, "SELECT set_config('app.trader_id', %s, true)", str(trader_id or ""))
        return True
    return bool(one(connection, "SELECT act_as(%s)", trader_id))


def one(connection: Connection, query: str, *values: object) -> Any:
    """The first column of the first row."""
    row = connection.execute(sql.SQL(query), values).fetchone()
    assert row is not None
    return row[0]


def run(connection: Connection, query: str, *values: object) -> int:
    """The number of rows that a statement touches."""
    return connection.execute(sql.SQL(query), values).rowcount


@contextmanager
def refused(sqlstate: str, constraint: str | None = None) -> Iterator[None]:
    """Expect the database to refuse the statement in the block, with this code and by this constraint."""
    with pytest.raises(psycopg.Error) as caught:
        yield
    assert (caught.value.sqlstate, caught.value.diag.constraint_name) == (sqlstate, constraint)


def call(connection: Connection, function: str, **arguments: object) -> list[tuple[Any, ...]]:
    """Call a writing function with its arguments of ENTRIES, some of them replaced; the rows that it returns."""
    values = DEFAULTS[function] | arguments
    statement = sql.SQL("SELECT * FROM {}({})").format(
        sql.Identifier(function),
        sql.SQL(", ").join(sql.SQL("{} => %s").format(sql.Identifier(name)) for name in values),
    )
    return connection.execute(statement, list(values.values())).fetchall()


def outcome(connection: Connection, function: str, **arguments: object) -> str:
    """Call a writing function that returns an outcome and an order; the outcome."""
    return str(call(connection, function, **arguments)[0][0])


def submit(connection: Connection, client_order_id: str = "first", **arguments: object) -> UUID:
    """Enter an order; return its id."""
    assert outcome(connection, "submit_order", p_client_order_id=client_order_id, **arguments) == "APPLIED"
    return UUID(str(one(connection, "SELECT id FROM orders WHERE client_order_id = %s", client_order_id)))


def cancel(connection: Connection, order_id: UUID, **arguments: object) -> str:
    """Cancel an order; return the outcome."""
    return outcome(connection, "cancel_order", p_order_id=order_id, **arguments)


def report(
    connection: Connection, order_id: UUID, action: str, report_id: str = "report-1", **arguments: object
) -> str:
    """Report an event of an order; return the outcome."""
    values = {"p_order_id": order_id, "p_report_id": report_id, "p_action": action} | arguments
    return outcome(connection, "report_execution", **values)


def filling(execution_id: str = "execution-1", quantity: int = 10) -> dict[str, Any]:
    """The arguments of a report of a fill."""
    return {"p_execution_id": execution_id, "p_quantity": quantity, "p_price": "10.25", "p_commission": "0"}


def enter(database: Database, trader_id: UUID, client_order_id: str = "first", **arguments: object) -> UUID:
    """A committed order of a trader; its id."""
    with connected(database, "blotter_trader", trader_id) as trader:
        return submit(trader, client_order_id, **arguments)


def fill(database: Database, trader_id: UUID, order_id: UUID, quantity: int, execution_id: str) -> None:
    """A committed fill of an order."""
    with connected(database, "blotter_execution", trader_id) as gateway:
        report_id = f"report of {execution_id}".replace(" ", "-")
        assert report(gateway, order_id, "FILLED", report_id, **filling(execution_id, quantity)) == "APPLIED"


def correct(database: Database, trader_id: UUID, order_id: UUID, execution_id: str, ref_execution_id: str) -> None:
    """A committed correction of a fill, to 5 shares."""
    with connected(database, "blotter_execution", trader_id) as gateway:
        corrected = filling(execution_id, 5) | {"p_ref_execution_id": ref_execution_id}
        assert report(gateway, order_id, "FILL_CORRECTED", f"report-{execution_id}", **corrected) == "APPLIED"


def insert(connection: Connection, table: str, row: dict[str, Any]) -> None:
    """Insert a row by hand."""
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.Placeholder() * len(row)),
    )
    connection.execute(statement, list(row.values()))


RAW_ORDER_ID = UUID("00000000-0000-4000-8000-00000000000a")


def raw_order(connection: Connection, trader_id: UUID, sequence: int, **columns: object) -> UUID:
    """Insert into orders by hand, also with other columns; return the order's id."""
    row: dict[str, Any] = {
        "id": RAW_ORDER_ID,
        "trader_id": trader_id,
        "client_order_id": f"raw-{sequence}",
        "request_digest": DIGEST,
        "symbol": "AAPL",
        "side": "BUY",
        "order_type": "MARKET",
        "quantity": 100,
        "last_sequence": sequence,
        "created_at": "2026-01-02 15:04:05+00",
        "updated_at": "2026-01-02 15:04:05+00",
    }
    insert(connection, "orders", row | columns)
    return RAW_ORDER_ID


def raw_log(
    connection: Connection, trader_id: UUID, order_id: UUID, sequence: int, action: str, **columns: object
) -> None:
    """Insert into execution_logs by hand."""
    row: dict[str, Any] = {
        "trader_id": trader_id,
        "order_id": order_id,
        "sequence": sequence,
        "action": action,
        "actor": "intruder",
        "request_id": "request",
        "timestamp": "2026-01-02 15:04:05+00",
        "created_at": "2026-01-02 15:04:05+00",
        "status": "PENDING",
        "client_order_id": "first",
        "symbol": "AAPL",
        "side": "BUY",
        "order_type": "LIMIT",
        "quantity": 100,
        "order_created_at": "2026-01-02 15:04:05+00",
        "filled_quantity": 0,
        "filled_notional": 0,
    }
    insert(connection, "execution_logs", row | columns)


def raw_fill(connection: Connection, trader_id: UUID, order_id: UUID, sequence: int, **columns: object) -> None:
    """Insert into fills by hand."""
    row: dict[str, Any] = {
        "trader_id": trader_id,
        "order_id": order_id,
        "sequence": sequence,
        "execution_id": "raw-1",
        "trade_date": "2026-01-02",
        "venue": "XNAS",
        "timestamp": "2026-01-02 15:04:05+00",
        "quantity_filled": 10,
        "price_at_fill": "10.25",
        "created_at": "2026-01-02 15:04:05+00",
    }
    insert(connection, "fills", row | columns)


def raw_update(connection: Connection, order_id: UUID, sequence: int, **columns: object) -> int:
    """Update an order by hand; return the number of rows."""
    assigned: dict[str, Any] = {"last_sequence": sequence} | columns
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder()) for name in assigned
    )
    statement = sql.SQL("UPDATE orders SET {} WHERE id = {}").format(assignments, sql.Placeholder())
    return connection.execute(statement, [*assigned.values(), order_id]).rowcount


def count(connection: Connection, trader_id: UUID, sequence: int) -> int:
    """Advance a trader's counter by hand; return the number of rows."""
    return run(connection, "UPDATE trader_sequences SET last_sequence = %s WHERE trader_id = %s", sequence, trader_id)
