"""Ways to tamper with the record as a superuser with disabled triggers and without the signing key, as functions."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import Connection, sql

from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.notes import Signer, sign
from service.ledger.edge import Edge
from tests.conftest import ALICE, BOB

ORIGIN = "log.example/blotter"

BOOKKEEPING = {
    ("execution_logs", "xid"),
    ("execution_logs", "previous_sequence"),
    ("ledger_entries", "leaf_hash"),
    ("ledger_checkpoints", "created_at"),
    ("fill_corrections", "id"),  # nothing refers to it: a correction is its fill's, and has a sequence
}
TABLES = (
    "orders",
    "fills",
    "fill_corrections",
    "execution_logs",
    "trader_sequences",
    "ledger_entries",
    "ledger_tiles",
    "ledger_checkpoints",
)
KEYS = {
    "trader_sequences": ("trader_id",),
    "ledger_entries": ("position",),
    "ledger_tiles": ("level", "tile_index"),
    "ledger_checkpoints": ("size",),
}

Tampering = Callable[[Connection[Any], random.Random], object]
"""Tampers with the record; returns a description."""


def rows_of(connection: Connection[Any], table: str) -> list[dict[str, Any]]:
    """All rows, in the order of their keys."""
    cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
    keys = sql.SQL(", ").join(
        map(sql.Identifier, KEYS.get(table, ("trader_id", "sequence" if table != "orders" else "id")))
    )
    return cursor.execute(sql.SQL("SELECT * FROM {} ORDER BY {}").format(sql.Identifier(table), keys)).fetchall()


def where(table: str, row: dict[str, Any]) -> sql.Composed:
    """The condition that selects the row."""
    names = KEYS.get(table, ("trader_id", "id"))
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(row[name])) for name in names
    )


def changed(name: str, value: Any, kind: str, nullable: bool, chance: random.Random) -> sql.Composable:
    """Another value for a column."""
    column = sql.Identifier(name)
    if value is not None and nullable and chance.random() < 0.1:
        return sql.SQL("NULL")
    by_type: dict[str, Sequence[str]] = {
        "uuid": ("gen_random_uuid()",),
        "text": ("'x'", "'EXPIRED'"),
        "character varying": ("'X'", "'x1'"),
        "integer": ("coalesce({0}, 0) + 1", "coalesce({0}, 2) - 1"),
        "smallint": ("{0} + 1",),
        "bigint": ("coalesce({0}, 0) + 1", "coalesce({0}, 0) + 1000", "coalesce({0}, 2) - 1"),
        "numeric": ("coalesce({0}, 0) + 0.00000001", "coalesce({0}, 1) * 2"),
        "boolean": ("NOT {0}",),
        "timestamp with time zone": (
            "coalesce({0}, now()) + interval '1 microsecond'",
            "coalesce({0}, now()) - interval '1 day'",
        ),
        "date": ("coalesce({0}, current_date) + 1", "coalesce({0}, current_date) - 1"),
        "jsonb": (
            "coalesce({0}, '{{}}') || '{{\"quantity\": 7}}'",
            "'{{}}'",
            "coalesce({0}, '{{}}') || '{{\"x\": \"\"}}'",
        ),
        "bytea": ("sha256(coalesce({0}, ''))", "coalesce({0}, '') || '\\x00'"),
    }
    if kind not in by_type:
        enum = (
            f"(SELECT label FROM unnest(enum_range(NULL::{kind})) AS label "
            "WHERE label IS DISTINCT FROM {0} ORDER BY random() LIMIT 1)"
        )
        return sql.SQL(enum).format(column)
    return sql.SQL(chance.choice(by_type[kind])).format(column)


def columns_of(connection: Connection[Any], table: str) -> list[tuple[str, str, bool]]:
    """The names and types of a table's columns, and whether they may be null; without those that nothing covers."""
    return [
        (name, kind, nullable == "YES")
        for name, kind, nullable, generated in connection.execute(
            "SELECT column_name, CASE data_type WHEN 'USER-DEFINED' THEN udt_name ELSE data_type END, is_nullable, "
            "is_generated FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s",
            [table],
        )
        if generated == "NEVER" and (table, name) not in BOOKKEEPING
    ]


def change_a_column(connection: Connection[Any], chance: random.Random) -> str:
    table = chance.choice(TABLES)
    columns = columns_of(connection, table)
    name, kind, nullable = chance.choice(columns)
    row = chance.choice(rows_of(connection, table))
    value = changed(name, row[name], kind, nullable, chance)
    query = sql.SQL("UPDATE {} SET {} = {} WHERE {} AND {} IS DISTINCT FROM {}").format(
        sql.Identifier(table), sql.Identifier(name), value, where(table, row), sql.Identifier(name), value
    )
    if connection.execute(query).rowcount != 1:
        raise NoChange
    return query.as_string(connection)


class NoChange(Exception):
    """The tampering would change nothing, or is impossible."""


def chosen(rows: list[Any], which: str, chance: random.Random) -> Any:
    return {"newest": rows[-1], "oldest": rows[0], "middle": chance.choice(rows)}[which]


def delete(which: str) -> Tampering:
    def tamper(connection: Connection[Any], chance: random.Random) -> str:
        table = chance.choice(TABLES)
        row = chosen(rows_of(connection, table), which, chance)
        if table == "ledger_checkpoints" and which != "newest":
            raise NoChange  # an older checkpoint states nothing that a newer one does not
        connection.execute(sql.SQL("DELETE FROM {} WHERE {}").format(sql.Identifier(table), where(table, row)))
        return table

    return tamper


def delete_an_event_everywhere(connection: Connection[Any], chance: random.Random) -> None:
    """Delete a log and its entry, and move the numbers after it up, so that the tables show no gap."""
    position, trader_id, sequence = chance.choice(
        connection.execute(
            "SELECT position, trader_id, sequence FROM ledger_entries WHERE kind = 'EXECUTION_LOG'"
        ).fetchall()
    )
    at = {"trader": trader_id, "sequence": sequence, "position": position}
    for statement in (
        "DELETE FROM execution_logs WHERE trader_id = %(trader)s AND sequence = %(sequence)s",
        "DELETE FROM ledger_entries WHERE position = %(position)s",
        "UPDATE ledger_entries SET position = position + 1000000 WHERE position > %(position)s",
        "UPDATE ledger_entries SET position = position - 1000001 WHERE position > 1000000",
        "UPDATE ledger_head SET size = size - 1",
    ):
        connection.execute(statement.encode(), at)


def insert_a_copy(connection: Connection[Any], chance: random.Random) -> str:
    table = chance.choice(("orders", "fills", "fill_corrections", "execution_logs", "ledger_entries"))
    names = [
        name
        for (name,) in connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s "
            "AND is_generated = 'NEVER'",
            [table],
        )
    ]
    row = chance.choice(rows_of(connection, table))
    other = {
        "id": "gen_random_uuid()",
        "sequence": "sequence + 100000",
        "position": "(SELECT max(position) + 1 FROM ledger_entries)",
        "client_order_id": "client_order_id || '-copy'",
        "execution_id": "execution_id || '-copy'",
        "report_id": "report_id || '-copy'",
        "request_key": "request_key || '-copy'",
    }
    if table == "orders":
        other["last_sequence"] = "last_sequence + 100000"
    if table == "execution_logs":
        other.pop("execution_id")
        other.pop("client_order_id")
    if table == "ledger_entries" and row["kind"] != "EXECUTION_LOG":
        other.pop("sequence")
    query = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} WHERE {}").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.SQL(", ").join(sql.SQL(other[name]) if name in other else sql.Identifier(name) for name in names),
        sql.Identifier(table),
        where(table, row),
    )
    connection.execute(query)
    return query.as_string(connection)


def swap_two_leaves(connection: Connection[Any], chance: random.Random) -> None:
    one, two = chance.sample(rows_of(connection, "ledger_entries"), 2)
    for row, other in ((one, two), (two, one)):
        connection.execute("UPDATE ledger_entries SET leaf = %s WHERE position = %s", (other["leaf"], row["position"]))


def swap_two_logs(connection: Connection[Any], chance: random.Random) -> None:
    one, two = chance.sample(rows_of(connection, "execution_logs"), 2)
    for row, other in ((one, two), (two, one)):
        connection.execute(
            "UPDATE execution_logs SET actor = %s, action = %s, order_id = %s, reason = %s, timestamp = %s "
            "WHERE trader_id = %s AND id = %s",
            (
                *(other[name] for name in ("actor", "action", "order_id", "reason", "timestamp")),
                *(row["trader_id"], row["id"]),
            ),
        )


def renumber(connection: Connection[Any], chance: random.Random) -> None:
    """Renumber a trader's events, in reverse, or from another number on."""
    trader_id = chance.choice((ALICE, BOB))
    other = chance.choice(("last + 1 - old.sequence", "old.sequence + 1", "last + 6 - old.sequence"))
    connection.execute("UPDATE execution_logs SET sequence = sequence + 1000000 WHERE trader_id = %s", [trader_id])
    connection.execute(
        sql.SQL(
            "UPDATE execution_logs SET sequence = {} FROM (SELECT id, sequence - 1000000 AS sequence, "
            "max(sequence - 1000000) OVER () AS last FROM execution_logs WHERE trader_id = %s) AS old "
            "WHERE execution_logs.id = old.id"
        ).format(sql.SQL(other)),
        [trader_id],
    )


def alter_a_log_and_its_leaf(connection: Connection[Any], chance: random.Random) -> None:
    """Alter a log, and its leaf to match, as the sequencer would have written it."""
    row = chance.choice(rows_of(connection, "execution_logs"))
    at = {"trader": row["trader_id"], "sequence": row["sequence"]}
    connection.execute(
        "UPDATE execution_logs SET actor = 'somebody else' WHERE trader_id = %(trader)s AND sequence = %(sequence)s", at
    )
    connection.execute(
        "UPDATE ledger_entries SET leaf = execution_log_leaf(execution_logs) FROM execution_logs "
        "WHERE ledger_entries.trader_id = execution_logs.trader_id "
        "AND ledger_entries.sequence = execution_logs.sequence "
        "AND ledger_entries.trader_id = %(trader)s AND ledger_entries.sequence = %(sequence)s",
        at,
    )


def rebuild_tiles(connection: Connection[Any]) -> bytes:
    """Rebuild the tiles from the current leaves; return the root."""
    tree = Edge()
    leaves = [bytes(leaf) for (leaf,) in connection.execute("SELECT leaf_hash FROM ledger_entries ORDER BY position")]
    connection.execute("DELETE FROM ledger_tiles")
    for tile in tree.append(leaves):
        connection.execute(
            "INSERT INTO ledger_tiles VALUES (%s, %s, %s, %s)", (tile.level, tile.index, tile.hashes, tile.root)
        )
    return tree.root()


def alter_and_rebuild(connection: Connection[Any], chance: random.Random) -> None:
    """Alter a log, its leaf and all tiles; the signature is the old one."""
    alter_a_log_and_its_leaf(connection, chance)
    rebuild_tiles(connection)


def alter_rebuild_and_sign(connection: Connection[Any], chance: random.Random) -> None:
    """The same, signed with another key of the same name."""
    alter_a_log_and_its_leaf(connection, chance)
    resign(connection, rebuild_tiles(connection), Signer.generate(ORIGIN))


def resign(connection: Connection[Any], root: bytes, signer: Signer) -> None:
    [(size,)] = connection.execute("SELECT count(*) FROM ledger_entries").fetchall()
    note = sign(Checkpoint(ORIGIN, size, root).text, [signer])
    connection.execute("DELETE FROM ledger_checkpoints")
    connection.execute(
        "INSERT INTO ledger_checkpoints (size, root_hash, note) VALUES (%s, %s, %s)", (size, root, str(note))
    )


def rewrite_a_tile(connection: Connection[Any], chance: random.Random) -> None:
    row = chance.choice(rows_of(connection, "ledger_tiles"))
    hashes = bytearray(row["hashes"])
    hashes[chance.randrange(len(hashes))] ^= 1 << chance.randrange(8)
    connection.execute(
        "UPDATE ledger_tiles SET hashes = %s WHERE level = %s AND tile_index = %s",
        (bytes(hashes), row["level"], row["tile_index"]),
    )


def cut_the_tail(connection: Connection[Any], chance: random.Random) -> None:
    """Reset all tables to an older state, with the checkpoint that was valid then."""
    sizes = [size for (size,) in connection.execute("SELECT size FROM ledger_checkpoints ORDER BY size")]
    connection.execute("DELETE FROM ledger_checkpoints WHERE size > %s", [sizes[0]])
    keep = sizes[0] - chance.choice((0, 1, 2))
    for statement in (
        (
            "CREATE TEMPORARY TABLE gone ON COMMIT DROP AS SELECT trader_id, sequence FROM ledger_entries "
            "WHERE position >= %(keep)s AND kind = 'EXECUTION_LOG'"
        ),
        "DELETE FROM ledger_entries WHERE position >= %(keep)s",
        (
            "DELETE FROM execution_logs USING gone "
            "WHERE (execution_logs.trader_id, execution_logs.sequence) = (gone.trader_id, gone.sequence)"
        ),
        "DELETE FROM fills USING gone WHERE (fills.trader_id, fills.sequence) = (gone.trader_id, gone.sequence)",
        (
            "DELETE FROM fill_corrections USING gone "
            "WHERE (fill_corrections.trader_id, fill_corrections.sequence) = (gone.trader_id, gone.sequence)"
        ),
        "DELETE FROM orders WHERE NOT EXISTS (SELECT FROM execution_logs WHERE order_id = orders.id)",
        (
            "UPDATE trader_sequences SET last_sequence = (SELECT max(sequence) FROM execution_logs "
            "WHERE execution_logs.trader_id = trader_sequences.trader_id)"
        ),
        "UPDATE ledger_head SET size = %(keep)s",
    ):
        connection.execute(statement.encode(), {"keep": keep})
    rebuild_tiles(connection)


TAMPERINGS: dict[str, tuple[Tampering, int]] = {
    "change a column": (change_a_column, 12),
    "delete the newest": (delete("newest"), 1),
    "delete the oldest": (delete("oldest"), 1),
    "delete one in the middle": (delete("middle"), 2),
    "delete an event everywhere": (delete_an_event_everywhere, 1),
    "insert a copy": (insert_a_copy, 2),
    "swap two leaves": (swap_two_leaves, 1),
    "swap two logs": (swap_two_logs, 1),
    "renumber": (renumber, 1),
    "alter a log and its leaf": (alter_a_log_and_its_leaf, 1),
    "alter, and rebuild the tree": (alter_and_rebuild, 1),
    "alter, rebuild, sign with another key": (alter_rebuild_and_sign, 1),
    "rewrite a tile": (rewrite_a_tile, 1),
    "cut the tail": (cut_the_tail, 1),
}
