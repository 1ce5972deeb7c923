"""The raw SQL of traders, gateways and intruders, and the database's results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from tests.conftest import Database

LOGINS = ("blotter_trader", "blotter_execution", "blotter_compliance", "blotter_sequencer")
"""The logins that the service connects as."""

DIGEST = b"\x5a" * 32

NO_SUCH_ORDER = UUID("00000000-0000-4000-8000-000000000404")

Connection = psycopg.Connection[tuple[Any, ...]]


@contextmanager
def connected(database: Database, login: str, trader_id: UUID | None = None) -> Iterator[Connection]:
    """A transaction of a login, committed at the end of the block, with the identity of a trader if one is named."""
    # Closed here: if the commit fails, the connection's own block leaves it open.
    with closing(psycopg.connect(database.conninfo(login))) as connection, connection:
        if trader_id:
            act_as(connection, trader_id)
        yield connection


def act_as(connection: Connection, trader_id: UUID | None) -> bool:
    """Set the transaction's trader; return whether that trader is known."""
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


def submit(
    connection: Connection,
    trader_id: UUID,
    client_order_id: str = "first",
    *,
    quantity: int = 100,
    expires_in: str | None = None,
) -> UUID:
    """Enter an order through the function; return its id."""
    row = connection.execute(
        "SELECT outcome, (recorded).id FROM submit_order(%s, %s, %s, 'AAPL', 'BUY', 'LIMIT', %s, 10.25,"
        " NULL, NULL, clock_timestamp() + %s::interval, false, 'desk', 'request')",
        (trader_id, client_order_id, DIGEST, quantity, expires_in),
    ).fetchone()
    assert row is not None
    assert row[0] == "APPLIED"
    return UUID(str(row[1]))


def cancel(connection: Connection, trader_id: UUID, order_id: UUID) -> str:
    """Cancel an order through the function; return the outcome."""
    return str(
        one(
            connection,
            "SELECT outcome FROM cancel_order(%s, %s, NULL, 'changed my mind', 'desk', 'request')",
            trader_id,
            order_id,
        )
    )


def report(
    connection: Connection,
    trader_id: UUID,
    order_id: UUID,
    action: str,
    *,
    report_id: str = "report-1",
    execution_id: str | None = None,
    quantity: int | None = None,
) -> str:
    """Report an execution through the function; return the outcome."""
    filled = action == "FILLED"
    values: Sequence[object] = (
        trader_id,
        order_id,
        report_id,
        DIGEST,
        action,
        "XNAS" if filled else None,
        execution_id,
        quantity,
        "10.25" if filled else None,
        "0" if filled else None,
    )
    return str(
        one(
            connection,
            "SELECT outcome FROM report_execution(%s, %s, %s, %s, %s, now(), %s, NULL, NULL, 0, %s, %s, %s,"
            " %s, 'gateway', 'request')",
            *values,
        )
    )


def enter(database: Database, trader_id: UUID, client_order_id: str = "first", *, quantity: int = 100) -> UUID:
    """A committed order of a trader; its id."""
    with connected(database, "blotter_trader", trader_id) as trader:
        return submit(trader, trader_id, client_order_id, quantity=quantity)


def fill(database: Database, trader_id: UUID, order_id: UUID, quantity: int, execution_id: str) -> None:
    """A committed fill of an order."""
    with connected(database, "blotter_execution", trader_id) as gateway:
        outcome = report(
            gateway,
            trader_id,
            order_id,
            "FILLED",
            report_id=f"report of {execution_id}".replace(" ", "-"),
            execution_id=execution_id,
            quantity=quantity,
        )
    assert outcome == "APPLIED"


def raw_order(connection: Connection, trader_id: UUID, sequence: int, **columns: object) -> UUID:
    """Insert into orders by hand, also with optional columns; return the order's id."""
    row: dict[str, object] = {
        "trader_id": trader_id,
        "client_order_id": f"raw-{sequence}",
        "request_digest": DIGEST,
        "symbol": "AAPL",
        "side": "BUY",
        "order_type": "MARKET",
        "quantity": 100,
        "last_sequence": sequence,
    }
    return UUID(str(_insert(connection, "orders", row | columns)))


def raw_log(
    connection: Connection, trader_id: UUID, order_id: UUID, sequence: int, action: str, **columns: object
) -> None:
    """Insert into execution_logs by hand."""
    row: dict[str, object] = {
        "trader_id": trader_id,
        "order_id": order_id,
        "sequence": sequence,
        "action": action,
        "actor": "intruder",
        "request_id": "request",
    }
    _insert(connection, "execution_logs", row | columns)


def raw_fill(
    connection: Connection,
    trader_id: UUID,
    order_id: UUID,
    sequence: int,
    *,
    quantity: int,
    execution_id: str = "raw-1",
) -> None:
    """Insert into fills by hand."""
    row: dict[str, object] = {
        "trader_id": trader_id,
        "order_id": order_id,
        "sequence": sequence,
        "execution_id": execution_id,
        "venue": "XNAS",
        "timestamp": "2026-01-02 15:04:05+00",
        "quantity_filled": quantity,
        "price_at_fill": "10.25",
    }
    _insert(connection, "fills", row)


def raw_update(connection: Connection, order_id: UUID, sequence: int, **columns: object) -> int:
    """Update an order by hand; return the number of rows."""
    assigned: dict[str, object] = {"last_sequence": sequence} | columns
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder()) for name in assigned
    )
    statement = sql.SQL("UPDATE orders SET {} WHERE id = {}").format(assignments, sql.Placeholder())
    return connection.execute(statement, [*assigned.values(), order_id]).rowcount


def count(connection: Connection, trader_id: UUID, sequence: int) -> int:
    """Advance a trader's counter by hand; return the number of rows."""
    return run(connection, "UPDATE trader_sequences SET last_sequence = %s WHERE trader_id = %s", sequence, trader_id)


def _insert(connection: Connection, table: str, row: dict[str, object]) -> object:
    """Insert a row; return its id."""
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.Placeholder() * len(row)),
    )
    inserted = connection.execute(statement, list(row.values())).fetchone()
    assert inserted is not None
    return inserted[0]
