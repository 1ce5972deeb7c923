"""The ledger and the record of compliance's reads are append-only: each barrier is tested with the others off."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

import psycopg
import pytest

from tests.conftest import Database
from tests.isolation.desk import LOGINS, connected, refused

TABLES = {
    "ledger_entries": "kind = 'KEYS'",
    "ledger_tiles": "root = root",
    "ledger_checkpoints": "note = ''",
    "ledger_cosignatures": "signature = ''",
    "audit_accesses": "actor = 'nobody'",
}
EVERY_TABLE = pytest.mark.parametrize("table", TABLES)


def filled(database: Database) -> None:
    """A row in each table, inserted with all barriers off."""
    with connected(database, "postgres") as superuser:
        superuser.execute("SET LOCAL session_replication_role = replica")
        superuser.execute("INSERT INTO ledger_entries (position, kind, leaf) VALUES (0, 'KEYS', '{}')")
        superuser.execute("INSERT INTO ledger_tiles VALUES (0, 0, convert_to(repeat('x', 8192), 'UTF8'), sha256(''))")
        superuser.execute("INSERT INTO ledger_checkpoints (size, root_hash, note) VALUES (1, sha256(''), 'note')")
        superuser.execute("INSERT INTO ledger_cosignatures (size, witness, signature) VALUES (1, 'w', 's')")
        superuser.execute(
            "INSERT INTO audit_accesses (actor, request_id, method, request) VALUES ('a', 'r', 'm', '{}')"
        )


def changes(table: str) -> dict[str, str]:
    """A statement of each kind that would change the table."""
    return {
        "UPDATE": f"UPDATE {table} SET {TABLES[table]}",
        "DELETE": f"DELETE FROM {table}",
        "TRUNCATE": f"TRUNCATE {table} CASCADE",
    }


FORGED = "INSERT INTO ledger_tiles (level, tile_index, hashes, root) VALUES (%s, %s, %s, %s)"


def grown(database: Database, size: int) -> bytes:
    """A ledger of so many entries and no tile; the hashes of its first 256 leaves."""
    with connected(database, "postgres") as superuser:
        superuser.execute("SET LOCAL session_replication_role = replica")
        superuser.execute(
            "INSERT INTO ledger_entries (position, kind, leaf)"
            " SELECT n, 'KEYS', n::text::bytea FROM generate_series(0, %s) AS n",
            [size - 1],
        )
        superuser.execute("INSERT INTO ledger_head (id, size) VALUES (true, %s)", [size])
        hashes = superuser.execute("SELECT leaf_hash FROM ledger_entries ORDER BY position LIMIT 256").fetchall()
        return b"".join(value for (value,) in hashes)


def root_of(hashes: bytes) -> bytes:
    """The root over hashes of 32 bytes, a power of two of them."""
    half = len(hashes) // 2
    return hashes if half == 16 else sha256(b"\x01" + root_of(hashes[:half]) + root_of(hashes[half:])).digest()


def test_a_tile_that_does_not_match_the_entries_is_refused(database: Database) -> None:
    """A tile that does not match would stop the ledger permanently, because nothing removes it."""
    hashes = grown(database, 300)
    root = root_of(hashes)
    with connected(database, "blotter_sequencer") as sequencer:
        for forged in (
            (0, 1, bytes(8192), bytes(32)),  # of the next 256 entries, which do not exist yet
            (0, 0, bytes(8192), root),
            (0, 0, hashes, bytes(32)),
            (1, 0, bytes(8192), bytes(32)),
            (1, 0, root * 256, root_of(root * 256)),
            (7, 2**62, bytes(8192), bytes(32)),
        ):
            with refused_or_out_of_range(), sequencer.transaction():
                sequencer.execute(FORGED, forged)
        sequencer.execute(FORGED, (0, 0, hashes, root))


@contextmanager
def refused_or_out_of_range() -> Iterator[None]:
    with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.NumericValueOutOfRange)):
        yield


@EVERY_TABLE
def test_the_triggers_alone_hold(database: Database, table: str) -> None:
    """The superuser has every grant and is subject to no policy."""
    filled(database)
    for command, statement in changes(table).items():
        trigger = f"{table}_refuse_{'truncate' if command == 'TRUNCATE' else 'change'}"
        with connected(database, "postgres") as superuser:
            # TRUNCATE includes the cosignatures, which would refuse by themselves.
            superuser.execute("ALTER TABLE ledger_cosignatures DISABLE TRIGGER USER" * (table == "ledger_checkpoints"))
            with refused("42501", trigger):
                superuser.execute(statement.encode())
            superuser.rollback()


@EVERY_TABLE
def test_the_restrictive_policies_alone_hold(database: Database, table: str) -> None:
    """With a grant and a permissive policy for everything, which an operator might add by mistake."""
    filled(database)
    with connected(database, "postgres") as superuser:
        superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
        superuser.execute(f"CREATE POLICY everything ON {table} USING (true) WITH CHECK (true)".encode())
        for login in LOGINS:
            superuser.execute(f"GRANT SELECT, UPDATE, DELETE ON {table} TO {login}".encode())
    for login in LOGINS:
        with connected(database, login) as connection:
            assert connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (1,)
            for command in ("UPDATE", "DELETE"):
                assert connection.execute(changes(table)[command].encode()).rowcount == 0, (login, command)


@EVERY_TABLE
def test_the_grants_alone_hold(database: Database, table: str) -> None:
    filled(database)
    with connected(database, "postgres") as superuser:
        superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
        superuser.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY".encode())
    for login in LOGINS:
        for statement in changes(table).values():
            with connected(database, login) as connection:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())
                connection.rollback()
