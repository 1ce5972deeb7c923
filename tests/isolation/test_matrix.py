"""Every login, on every table, by every command, under every identity: matrix.py has the expected outcomes."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.conftest import ALICE, BOB, Database, cloned
from tests.isolation.desk import Connection, connected, count, enter, fill, raw_update
from tests.isolation.matrix import EXPECTED, IDENTITIES

SETTING = {"own": str(ALICE), "other": str(BOB), "none": None, "empty": "", "damaged": "not-a-uuid"}

TILE = "decode(repeat('5a', 8192), 'hex'), sha256('root')"

# All affect rows of ALICE, or of nobody. None fails for another reason than its login and identity.
STATEMENTS = {
    ("alembic_version", "INSERT"): "INSERT INTO alembic_version VALUES ('999')",
    ("alembic_version", "UPDATE"): "UPDATE alembic_version SET version_num = '999'",
    ("alembic_version", "DELETE"): "DELETE FROM alembic_version",
    ("traders", "INSERT"): "INSERT INTO traders (name) VALUES ('Carol')",
    ("traders", "UPDATE"): f"UPDATE traders SET name = 'Alicia' WHERE id = '{ALICE}'",
    ("traders", "DELETE"): f"DELETE FROM traders WHERE id = '{ALICE}'",
    ("orders", "INSERT"): f"""
        INSERT INTO orders (trader_id, client_order_id, request_digest, symbol, side, order_type, quantity,
                            last_sequence)
        VALUES ('{ALICE}', 'second', decode(repeat('5a', 32), 'hex'), 'AAPL', 'BUY', 'MARKET', 1, 4)""",
    ("orders", "UPDATE"): f"""
        UPDATE orders SET status = 'CANCELLED', last_sequence = 4 WHERE trader_id = '{ALICE}'""",
    ("orders", "DELETE"): f"DELETE FROM orders WHERE trader_id = '{ALICE}'",
    ("fills", "INSERT"): f"""
        INSERT INTO fills (trader_id, order_id, sequence, execution_id, venue, timestamp, quantity_filled,
                           price_at_fill)
        VALUES ('{ALICE}', '%(order_id)s', 4, 'execution-2', 'XNAS', now(), 10, 10.25)""",
    ("fills", "UPDATE"): f"UPDATE fills SET commission = 1 WHERE trader_id = '{ALICE}'",
    ("fills", "DELETE"): f"DELETE FROM fills WHERE trader_id = '{ALICE}'",
    ("execution_logs", "INSERT"): f"""
        INSERT INTO execution_logs (trader_id, order_id, sequence, action, actor, request_id)
        VALUES ('{ALICE}', '%(order_id)s', 3, 'CANCELLED', 'Alice', 'request')""",
    ("execution_logs", "UPDATE"): f"UPDATE execution_logs SET reason = 'none' WHERE trader_id = '{ALICE}'",
    ("execution_logs", "DELETE"): f"DELETE FROM execution_logs WHERE trader_id = '{ALICE}'",
    ("trader_sequences", "INSERT"): f"INSERT INTO trader_sequences (trader_id) VALUES ('{ALICE}')",
    ("trader_sequences", "UPDATE"): f"""
        UPDATE trader_sequences SET last_sequence = 4 WHERE trader_id = '{ALICE}'""",
    ("trader_sequences", "DELETE"): f"DELETE FROM trader_sequences WHERE trader_id = '{ALICE}'",
    ("ledger_entries", "INSERT"): f"""
        INSERT INTO ledger_entries (position, kind, trader_id, sequence, leaf)
        VALUES (1, 'EXECUTION_LOG', '{ALICE}', 2, '')""",
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
    "alembic_version",
    "ledger_tiles",
    "ledger_checkpoints",
    "ledger_cosignatures",
    "ledger_head",
    "audit_accesses",
)
OF_ALICE = {"traders": f"id = '{ALICE}'"} | dict.fromkeys(NOBODYS, "true")
COPIED_COLUMN = {
    "traders": "name",
    "alembic_version": "version_num",
    "ledger_tiles": "level",
    "ledger_checkpoints": "size",
    "ledger_cosignatures": "size",
    "ledger_head": "id",
    "audit_accesses": "actor",
}
COPIED_VALUE = {
    "traders": "Carol",
    "alembic_version": "999",
    "ledger_tiles": "0",
    "ledger_checkpoints": "1",
    "ledger_cosignatures": "1",
    "ledger_head": "t",
}


@pytest.fixture(scope="module")
def traded(template: Database) -> Iterator[tuple[Database, str]]:
    """ALICE's order, half filled, cancelled, without its last log; its id; an order of BOB."""
    with cloned(template, "blotter_matrix") as database:
        order_id = enter(database, ALICE)
        fill(database, ALICE, order_id, 50, "execution-1")
        enter(database, BOB)
        with connected(database, "postgres") as superuser:
            # Without triggers and foreign keys, so that the INSERT of the log can be tried alone.
            superuser.execute("SET session_replication_role = replica")
            raw_update(superuser, order_id, 3, status="CANCELLED")
            count(superuser, ALICE, 3)
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
        yield database, str(order_id)


def outcome(connection: Connection, table: str, command: str, order_id: str) -> str:
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
                    sought = b"" if table in NOBODYS else str(ALICE).encode()
                    reached = sum(sought in bytes(row) for row in copy)
            case "COPY FROM":
                column = COPIED_COLUMN.get(table, "trader_id")
                with cursor.copy(f"COPY {table} ({column}) FROM STDIN".encode()) as copy:
                    copy.write(COPIED_VALUE.get(table, str(ALICE)) + "\n")
                reached = cursor.rowcount
            case _:
                statement = STATEMENTS[table, command].replace("%(order_id)s", order_id)
                reached = cursor.execute(statement.encode()).rowcount
    except psycopg.Error as error:
        return str(error.sqlstate)
    return "row" if reached else "nothing"


@pytest.mark.parametrize(
    ("table", "login", "command"), EXPECTED, ids=lambda part: part.removeprefix("blotter_").replace(" ", "-")
)
def test_each_command_has_the_outcome_in_the_matrix(
    traded: tuple[Database, str], table: str, login: str, command: str
) -> None:
    database, order_id = traded
    observed = {}
    for identity in IDENTITIES:
        # A new connection each time: once set, the setting of a connection is '' and never unset again.
        with psycopg.connect(database.conninfo(login)) as connection:
            if SETTING[identity] is not None:
                connection.execute("SELECT set_config('app.trader_id', %s, true)", [SETTING[identity]])
            observed[identity] = outcome(connection, table, command, order_id)
            connection.rollback()
    assert observed == EXPECTED[table, login, command]
