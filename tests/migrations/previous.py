"""The writes of release 0.2.0, which serves revisions 017 to 019 and writes as revision 009 has it."""

from __future__ import annotations

from uuid import UUID

import psycopg

from tests.conftest import Database
from tests.isolation.desk import DIGEST, Connection, one
from tests.operations.command_line import until


def submit(
    connection: Connection,
    trader_id: UUID,
    client_order_id: str,
    *,
    expires_in: str | None = None,
    actor: str = "desk",
) -> UUID:
    """Enter an order of 100 AAPL at 10.25; return its id."""
    query = """
        SELECT outcome, (recorded).id FROM submit_order(
            %s, %s, %s, 'AAPL', 'BUY', 'LIMIT', 100, 10.25, NULL, NULL, clock_timestamp() + %s::interval, false,
            %s, 'request')
    """
    outcome, order_id = "EXPIRE_TIME_PAST", None
    while outcome == "EXPIRE_TIME_PAST":  # on a busy machine it may be, at once
        row = connection.execute(query, [trader_id, client_order_id, DIGEST, expires_in, actor]).fetchone()
        assert row
        outcome, order_id = row
    assert outcome == "APPLIED"
    return UUID(str(order_id))


def cancel(connection: Connection, trader_id: UUID, order_id: UUID, reason: str | None = None) -> str:
    """Cancel an order; return the outcome."""
    query = "SELECT outcome FROM cancel_order(%s, %s, NULL, %s, 'desk', 'request')"
    return str(one(connection, query, trader_id, order_id, reason))


def expire(connection: Connection, trader_id: UUID) -> list[UUID]:
    """Cancel the orders past their expiry; return their ids."""
    query = "SELECT cancel_open_orders(%s, NULL, true, 'EXPIRED', 'blotter', 'request', 1000)"
    return [order_id for (order_id,) in connection.execute(query, [trader_id]).fetchall()]


def report(
    connection: Connection,
    trader_id: UUID,
    order_id: UUID,
    action: str,
    report_id: str,
    *,
    quantity: int | None = None,
    time: str = "2026-01-02 15:04:05+00",
    reason: str | None = None,
) -> str:
    """Report an event of an order, or a fill of so many shares; return the outcome. A fill's id is its report's."""
    query = """
        SELECT outcome FROM report_execution(
            %s, %s, %s, %s, %s, %s, 'XNAS', %s, NULL, 0, %s, %s, %s, %s, 'gateway', 'request')
    """
    fill = (report_id, quantity, "10.25", "0.5") if quantity else (None, None, None, None)
    return str(one(connection, query, trader_id, order_id, report_id, DIGEST, action, time, reason, *fill))


def append(database: Database) -> None:
    """Append all logs to the ledger. A step leaves out what is newer than any open transaction of the server."""
    missing = (
        "SELECT count(*) FROM execution_logs LEFT JOIN ledger_entries USING (trader_id, sequence) WHERE leaf IS NULL"
    )
    with psycopg.connect(database.conninfo("blotter_sequencer"), autocommit=True) as sequencer:
        sequencer.execute("INSERT INTO ledger_head (id) VALUES (true) ON CONFLICT DO NOTHING")

        def appended() -> bool:
            sequencer.execute("SELECT append_to_ledger((SELECT size FROM ledger_head), 1000)")
            return bool(one(sequencer, missing) == 0)

        until(appended, "the ledger has all logs")
