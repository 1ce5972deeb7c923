"""Every login, on every table, by every command, under every identity: matrix.py has the expected outcomes."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.conftest import ALICE, BOB, Database, cloned
from tests.isolation.desk import (
    EQUITIES,
    RATES,
    Connection,
    assign,
    call,
    connected,
    connection_of,
    correct,
    enter,
    fill,
    one,
)
from tests.isolation.matrix import COMMANDS, EXPECTED, IDENTITIES

SETTING = {"own": str(ALICE), "other": str(BOB), "none": None, "empty": "", "damaged": "not-a-uuid"}
DESKS = SETTING | {"own": str(EQUITIES), "other": str(RATES)}
"""The identities of blotter_desk: the desk of ALICE, and that of BOB."""

PAD = "decode(repeat('5a', 64), 'hex')"
TILE = "decode(repeat('5a', 8192), 'hex'), sha256('root')"

# All affect rows of ALICE, or of nobody. None fails for another reason than its login and identity.
STATEMENTS = {
    ("alembic_version", "INSERT"): "INSERT INTO alembic_version VALUES ('999')",
    ("alembic_version", "UPDATE"): "UPDATE alembic_version SET version_num = '999'",
    ("alembic_version", "DELETE"): "DELETE FROM alembic_version",
    ("traders", "INSERT"): "INSERT INTO traders (name) VALUES ('Carol')",
    ("traders", "UPDATE"): f"UPDATE traders SET name = 'Alicia' WHERE id = '{ALICE}'",
    ("traders", "DELETE"): f"DELETE FROM traders WHERE id = '{ALICE}'",
    ("desks", "INSERT"): "INSERT INTO desks (name) VALUES ('Carol')",
    ("desks", "UPDATE"): f"UPDATE desks SET name = 'Shares' WHERE id = '{EQUITIES}'",
    ("desks", "DELETE"): f"DELETE FROM desks WHERE id = '{EQUITIES}'",
    ("principals", "INSERT"): f"""
        INSERT INTO principals (issuer, subject, kind, trader_id) VALUES ('mtls', 'second', 'trader', '{ALICE}')""",
    ("principals", "UPDATE"): f"UPDATE principals SET actor = 'Alicia' WHERE trader_id = '{ALICE}'",
    ("principals", "DELETE"): f"DELETE FROM principals WHERE trader_id = '{ALICE}'",
    ("identity_keys", "INSERT"): f"INSERT INTO identity_keys VALUES (2, {PAD}, {PAD})",
    ("identity_keys", "UPDATE"): "UPDATE identity_keys SET retired_at = now()",
    ("identity_keys", "DELETE"): "DELETE FROM identity_keys",
    ("orders", "INSERT"): f"""
        INSERT INTO orders (trader_id, client_order_id, request_digest, symbol, side, order_type, quantity,
                            last_sequence, created_at, updated_at)
        VALUES ('{ALICE}', 'second', decode(repeat('5a', 32), 'hex'), 'AAPL', 'BUY', 'MARKET', 1, 4, now(), now())""",
    ("orders", "UPDATE"): f"UPDATE orders SET last_sequence = 4 WHERE trader_id = '{ALICE}'",
    ("orders", "DELETE"): f"DELETE FROM orders WHERE trader_id = '{ALICE}'",
    ("fills", "INSERT"): f"""
        INSERT INTO fills (trader_id, order_id, sequence, execution_id, trade_date, venue, timestamp, quantity_filled,
                           price_at_fill, created_at)
        VALUES ('{ALICE}', '%(order_id)s', 4, 'execution-3', '2026-01-02', 'XNAS', now(), 10, 10.25, now())""",
    ("fills", "UPDATE"): f"UPDATE fills SET commission = 1 WHERE trader_id = '{ALICE}'",
    ("fills", "DELETE"): f"DELETE FROM fills WHERE trader_id = '{ALICE}'",
    ("fill_corrections", "INSERT"): f"""
        INSERT INTO fill_corrections (trader_id, order_id, fill_id, sequence, execution_id, trade_date, venue,
                                      timestamp, quantity, price, commission, created_at)
        VALUES ('{ALICE}', '%(order_id)s', '%(fill_id)s', 4, 'execution-3', '2026-01-02', 'XNAS', now(), 10, 10.25, 0,
                now())""",
    ("fill_corrections", "UPDATE"): f"UPDATE fill_corrections SET commission = 1 WHERE trader_id = '{ALICE}'",
    ("fill_corrections", "DELETE"): f"DELETE FROM fill_corrections WHERE trader_id = '{ALICE}'",
    ("execution_logs", "INSERT"): f"""
        INSERT INTO execution_logs (trader_id, order_id, sequence, action, actor, request_id, timestamp, created_at,
                                    status, client_order_id, symbol, side, order_type, quantity, order_created_at,
                                    filled_quantity, filled_notional)
        VALUES ('{ALICE}', '%(order_id)s', 4, 'CANCELLED', 'Alice', 'request', now(), now(), 'CANCELLED', 'first',
                'AAPL', 'BUY', 'MARKET', 100, now(), 0, 0)""",
    ("execution_logs", "UPDATE"): f"UPDATE execution_logs SET reason = 'none' WHERE trader_id = '{ALICE}'",
    ("execution_logs", "DELETE"): f"DELETE FROM execution_logs WHERE trader_id = '{ALICE}'",
    ("trader_sequences", "INSERT"): f"INSERT INTO trader_sequences (trader_id) VALUES ('{ALICE}')",
    ("trader_sequences", "UPDATE"): f"""
        UPDATE trader_sequences SET last_sequence = 4 WHERE trader_id = '{ALICE}'""",
    ("trader_sequences", "DELETE"): f"DELETE FROM trader_sequences WHERE trader_id = '{ALICE}'",
    ("cancel_timers", "INSERT"): f"""
        INSERT INTO cancel_timers (trader_id, timeout, fires_at, set_at, actor, request_id)
        VALUES ('{ALICE}', '1 minute', now(), now(), 'Alice', 'request')""",
    ("cancel_timers", "UPDATE"): f"UPDATE cancel_timers SET fires_at = now() WHERE trader_id = '{ALICE}'",
    ("cancel_timers", "DELETE"): f"DELETE FROM cancel_timers WHERE trader_id = '{ALICE}'",
    ("ledger_entries", "INSERT"): f"""
        INSERT INTO ledger_entries (position, kind, trader_id, sequence, leaf)
        VALUES (1, 'EXECUTION_LOG', '{ALICE}', 2, (
            SELECT execution_log_leaf(log) FROM execution_logs AS log WHERE trader_id = '{ALICE}' AND sequence = 2))""",
    ("ledger_entries", "UPDATE"): f"UPDATE ledger_entries SET leaf = 'false' WHERE trader_id = '{ALICE}'",
    ("ledger_entries", "DELETE"): f"DELETE FROM ledger_entries WHERE trader_id = '{ALICE}'",
    ("ledger_tiles", "INSERT"): f"INSERT INTO ledger_tiles (level, tile_index, hashes, root) VALUES (0, 1, {TILE})",
    ("ledger_tiles", "UPDATE"): "UPDATE ledger_tiles SET root = sha256('false')",
    ("ledger_tiles", "DELETE"): "DELETE FROM ledger_tiles",
    ("ledger_checkpoints", "INSERT"): """
        INSERT INTO ledger_checkpoints (size, root_hash, note) VALUES (0, sha256('false'), 'false')""",
    ("ledger_checkpoints", "UPDATE"): "UPDATE ledger_checkpoints SET note = 'false'",
    ("ledger_checkpoints", "DELETE"): "DELETE FROM ledger_checkpoints",
    ("ledger_cosignatures", "INSERT"): """
        INSERT INTO ledger_cosignatures (size, witness, signature) VALUES (1, 'another', 'false')""",
    ("ledger_cosignatures", "UPDATE"): "UPDATE ledger_cosignatures SET signature = 'false'",
    ("ledger_cosignatures", "DELETE"): "DELETE FROM ledger_cosignatures",
    ("ledger_head", "INSERT"): "INSERT INTO ledger_head (id) VALUES (true)",
    ("ledger_head", "UPDATE"): "UPDATE ledger_head SET next_xid = 1",
    ("ledger_head", "DELETE"): "DELETE FROM ledger_head",
    ("audit_accesses", "INSERT"): """
        INSERT INTO audit_accesses (actor, request_id, method, request) VALUES ('a', 'r', 'm', '{}')""",
    ("audit_accesses", "UPDATE"): "UPDATE audit_accesses SET actor = 'nobody'",
    ("audit_accesses", "DELETE"): "DELETE FROM audit_accesses",
}
NOBODYS = (
    "identity_keys",
    "alembic_version",
    "ledger_tiles",
    "ledger_checkpoints",
    "ledger_cosignatures",
    "ledger_head",
    "audit_accesses",
)
OF_ALICE = {"traders": f"id = '{ALICE}'", "desks": f"id = '{EQUITIES}'"} | dict.fromkeys(NOBODYS, "true")
COPIED_COLUMN = {
    "traders": "name",
    "desks": "name",
    "alembic_version": "version_num",
    "identity_keys": "id",
    "ledger_tiles": "level",
    "ledger_checkpoints": "size",
    "ledger_cosignatures": "size",
    "ledger_head": "id",
    "audit_accesses": "actor",
}
COPIED_VALUE = {
    "traders": "Carol",
    "desks": "Carol",
    "alembic_version": "999",
    "identity_keys": "2",
    "ledger_tiles": "0",
    "ledger_checkpoints": "1",
    "ledger_cosignatures": "1",
    "ledger_head": "t",
}


@pytest.fixture(scope="module")
def traded(template: Database) -> Iterator[tuple[Database, dict[str, str]]]:
    """ALICE's order, partly filled, its fill corrected, and a cancel timer; the ids of order and fill; BOB's order."""
    with cloned(template, "blotter_matrix") as database:
        order_id = enter(database, ALICE)
        fill(database, ALICE, order_id, 50, "execution-1")
        correct(database, ALICE, order_id, "execution-2", "execution-1")
        enter(database, BOB)
        assign(database)
        with connected(database, "blotter_trader", ALICE) as trader:
            call(trader, "set_cancel_timer")
        with connected(database, "postgres") as superuser:
            fill_id = str(one(superuser, "SELECT id FROM fills"))
            superuser.execute(f"INSERT INTO identity_keys VALUES (1, {PAD}, {PAD}, now(), now())".encode())
            # Without triggers and foreign keys, which would ask for a whole ledger.
            superuser.execute("SET session_replication_role = replica")
            for statement in ("ledger_tiles", "ledger_checkpoints", "ledger_cosignatures", "ledger_head"):
                superuser.execute(STATEMENTS[statement, "INSERT"].encode())
            superuser.execute(
                "INSERT INTO ledger_entries (position, kind, trader_id, sequence, leaf) "
                "VALUES (0, 'EXECUTION_LOG', %s, 1, 'leaf')",
                [ALICE],
            )
            superuser.execute("UPDATE ledger_head SET size = 1")
            superuser.execute("DELETE FROM ledger_tiles; UPDATE ledger_checkpoints SET size = 1")
            superuser.execute(f"INSERT INTO ledger_tiles VALUES (0, 0, {TILE})".encode())
            superuser.execute(STATEMENTS["audit_accesses", "INSERT"].encode())
            superuser.execute("UPDATE ledger_cosignatures SET witness = 'witness'")
        yield database, {"order_id": str(order_id), "fill_id": fill_id}


def outcome(connection: Connection, table: str, command: str, ids: dict[str, str]) -> str:
    """`row` if the command reached ALICE's row, `nothing` if it ran and reached none, else the SQLSTATE."""
    cursor = connection.cursor()
    try:
        match command:
            case "SELECT":
                where = OF_ALICE.get(table, f"trader_id = '{ALICE}'")
                reached = len(cursor.execute(f"SELECT * FROM {table} WHERE {where}".encode()).fetchall())
            case "TRUNCATE":
                cursor.execute(f"TRUNCATE {table}".encode())
                reached = 1
            case "COPY TO":
                with cursor.copy(f"COPY {table} TO STDOUT".encode()) as copy:
                    sought = b"" if table in NOBODYS else str(EQUITIES if table == "desks" else ALICE).encode()
                    reached = sum(sought in bytes(row) for row in copy)
            case "COPY FROM":
                column = COPIED_COLUMN.get(table, "trader_id")
                with cursor.copy(f"COPY {table} ({column}) FROM STDIN".encode()) as copy:
                    copy.write(COPIED_VALUE.get(table, str(ALICE)) + "\n")
                reached = cursor.rowcount
            case _:
                statement = STATEMENTS[table, command]
                for name, value in ids.items():
                    statement = statement.replace(f"%({name})s", value)
                reached = cursor.execute(statement.encode()).rowcount
    except psycopg.Error as error:
        return str(error.sqlstate)
    return "row" if reached else "nothing"


@pytest.mark.parametrize(("table", "login"), sorted({(table, login) for table, login, _ in EXPECTED}))
def test_each_command_has_the_outcome_in_the_matrix(
    traded: tuple[Database, dict[str, str]], table: str, login: str
) -> None:
    database, ids = traded
    observed: dict[str, dict[str, str]] = {command: {} for command in COMMANDS}
    before_16 = False
    for identity in IDENTITIES:
        # A new connection each time: once set, the setting of a connection is '' and never unset again.
        with connection_of(database, login) as connection:
            for command in COMMANDS:
                with connection.transaction(force_rollback=True):
                    of_desk = login == "blotter_desk"
                    named = (DESKS if of_desk else SETTING)[identity]
                    if named is not None:
                        name = "app.desk_id" if of_desk else "app.trader_id"
                        connection.execute("SELECT set_config(%s, %s, true)", [name, named])
                    observed[command][identity] = outcome(connection, table, command, ids)
            before_16 = connection.info.server_version < 160_000
    if login == "blotter_owner" and before_16:
        # It has the policies of blotter_writer too, which admit nothing to it and do not read a damaged setting.
        for command, outcomes in observed.items():
            refused = "42501" if command in ("INSERT", "COPY FROM") else "nothing"
            outcomes["damaged"] = outcomes["damaged"].replace("22P02", refused)
    if login == "blotter_desk" and table == "traders" and before_16:
        # While it plans, it estimates desk_id = setting, and so reads the damaged setting before it looks at grants.
        for command in ("UPDATE", "DELETE"):
            observed[command]["damaged"] = observed[command]["damaged"].replace("22P02", "42501")
    assert observed == {command: EXPECTED[table, login, command] for command in COMMANDS}
