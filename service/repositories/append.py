"""The writer of the ledger: a connection of the sequencer's login, and its statements."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Self

import psycopg
from psycopg import AsyncConnection
from psycopg import errors as pg

from service.domain.errors import DatabaseUnavailable, LedgerDamaged
from service.ledger.edge import Edge, FullTile
from service.ledger.tiles import Tile, edge
from service.repositories.deadlines import LONGEST_STATEMENT
from service.repositories.errors import translate, unavailable_if_unreachable
from service.repositories.pools import answered_by, shut
from service.repositories.sessions import SESSION, at_least_on, login_to
from service.repositories.standing import HEAD, HOLDER, WAITING, Holder, Standing
from service.repositories.tiles import TILES, tile_values, tiles_of

# Any number that no other program locks: "blotter" in ASCII.
_LOCK = 0x626C6F74746572


LONGEST_ANSWER_SECONDS = LONGEST_STATEMENT + 10
"""How long the database may take for one statement or transaction before the connection is given up."""

# Without these the lock of a failed host would be held until the system's default keepalive expires, after hours. Where
# a proxy acknowledges the keepalives, the idle timeout ends the session: a sequencer sends a statement each second.
KEEPALIVES = {
    "idle_session_timeout": "60s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
}


class LedgerMoved(Exception):
    """Another sequencer has appended: the tree in memory is out of date."""


class ForeignLedger(Exception):
    """This database is a copy of the one in which the ledger was written."""


class StoredCheckpoint(NamedTuple):
    """A checkpoint as it was signed."""

    size: int
    root_hash: bytes
    note: str


class LedgerWriter:
    """Writes the ledger as blotter_sequencer. One session at a time holds the lock.

    Two that write at once are slow, and still write a correct ledger.
    """

    def __init__(self, connection: AsyncConnection[tuple[Any, ...]]) -> None:
        self._connection = connection
        # One transaction at a time on one connection, though signing and publishing run beside appending.
        self._turn = asyncio.Lock()
        self.asked_at: float | None = None
        """When the statement under way was sent, by `time.monotonic()`; None while none is."""

    @classmethod
    @asynccontextmanager
    async def connected(cls, conninfo: str, password: str | None) -> AsyncIterator[Self]:
        """Connect for as long as the context lasts. Raises DatabaseUnavailable."""
        with unavailable_if_unreachable():
            connection = await AsyncConnection.connect(
                login_to(conninfo, "blotter_sequencer", password, SESSION | KEEPALIVES),
                autocommit=True,
                prepare_threshold=None,  # a pooler in session mode may reuse this backend
            )
        async with connection:
            writer = cls(connection)
            [(_, ledger)] = await writer._rows(f"SELECT {at_least_on(local=False)}, to_regclass('ledger_head')")
            if ledger is None:
                raise DatabaseUnavailable("The database has no ledger: run blotter migrate upgrade.")
            yield writer

    def shut(self) -> None:
        """End the connection at once; a statement under way gets no result."""
        shut(self._connection)

    async def elected(self) -> bool:
        """Try to become the sequencer: true until this connection ends, however it ends."""
        return bool((await self._rows("SELECT pg_try_advisory_lock(%(lock)s)", {"lock": _LOCK}))[0][0])

    async def lock_holder(self) -> Holder | None:
        """Return the session that holds the sequencers' lock: any login may take any advisory lock."""
        rows = await self._rows(HOLDER, {"lock": _LOCK})
        return Holder(*rows[0]) if rows else None

    async def standing(self) -> Standing:
        """Return the state of the ledger, at a cost that does not depend on its size."""
        [row] = await self._rows(HEAD)
        return Standing(*row)

    async def waiting(self) -> int:
        """Return the number of events that have no position yet."""
        [(count,)] = await self._rows(WAITING)
        return int(count)

    async def backend(self) -> tuple[int, int]:
        """Return the process id that the server reported at connection start, and that of the backend that answers."""
        [(pid,)] = await self._rows("SELECT pg_backend_pid()")
        return self._connection.info.backend_pid, int(pid)

    @asynccontextmanager
    async def in_transaction(self) -> AsyncIterator[int]:
        """Hold a transaction open while the context lasts; yield the process id of its backend."""
        async with self._asking(), self._connection.transaction():
            [(pid,)] = await self._send("SELECT pg_backend_pid()")
            yield int(pid)

    async def edge(self) -> Edge:
        """Return the right edge of the tree as it stands."""
        await self._rows("INSERT INTO ledger_head (id) VALUES (true) ON CONFLICT DO NOTHING")
        async with self._asking(), self._connection.transaction():
            [(size,)] = await self._send("SELECT size FROM ledger_head FOR UPDATE")
            tiles = edge(size)
            return Edge(size, tiles_of(await self._send(TILES, tile_values(tiles)), tiles))

    async def head(self, tree: Edge) -> tuple[int, bytes]:
        """Return the size and the root of the tree as it stands between two transactions of this writer."""
        async with self._turn:
            return tree.size, tree.root()

    async def tiles(self, tiles: Collection[Tile]) -> dict[tuple[int, int], list[bytes]]:
        """Return the hashes of tiles by (level, index). Raises LedgerDamaged."""
        return tiles_of(await self._rows(TILES, tile_values(tiles)), tiles)

    async def append(self, tree: Edge, most: int) -> int:
        """Append committed events, at most that many, and return their number.

        0 means that none is left, or that this step only advanced the hints: two in a row mean that none is left.

        Raises LedgerMoved, ForeignLedger; discard `tree` then.
        """
        async with self._asking(), self._connection.transaction():
            return await self._append(tree, "append_to_ledger(%(size)s, %(most)s)", {"most": most})

    async def append_note(self, tree: Edge, kind: str, content: Mapping[str, object]) -> None:
        """Append a record about the ledger itself; the database writes the leaf. Raises LedgerMoved."""
        async with self._asking(), self._connection.transaction():
            await self._append_note(tree, kind, content)

    async def notes(self, kind: str) -> list[bytes]:
        """Return all leaves of a kind of records about the ledger itself, the newest last."""
        rows = await self._rows(
            "SELECT leaf FROM ledger_entries WHERE kind = %(kind)s AND kind <> 'EXECUTION_LOG' ORDER BY kind, position",
            {"kind": kind},
        )
        return [leaf for (leaf,) in rows]

    async def rebaseline(self) -> bool:
        """Let the ledger continue in this copy of its database; a leaf records it. Raises LedgerMoved.

        Returns False, and changes nothing, if the database is not a copy.
        """
        tree = await self.edge()
        async with self._asking(), self._connection.transaction():
            [(now, before, beyond)] = await self._send(
                "SELECT ledger_incarnation(), incarnation, coalesce("
                "next_xid > pg_snapshot_xmax(pg_current_snapshot())::text::bigint, false) FROM ledger_head"
            )
            if before in {None, now} and not beyond:
                return False
            await self._send("SELECT rebaseline_ledger()")
            await self._append_note(tree, "BASELINE", {"incarnation": now, "replaced": before})
            return True

    async def leaves(self, start: int, end: int) -> list[bytes]:
        """Return the leaves from `start` to `end`. Raises LedgerDamaged where one is missing."""
        rows = await self._rows(
            "SELECT leaf FROM ledger_entries WHERE position >= %(start)s AND position < %(end)s ORDER BY position",
            {"start": start, "end": end},
        )
        if len(rows) != end - start:
            raise LedgerDamaged
        return [leaf for (leaf,) in rows]

    async def newest_checkpoint(self) -> StoredCheckpoint | None:
        """Return the checkpoint of the largest size."""
        rows = await self._rows("SELECT size, root_hash, note FROM ledger_checkpoints ORDER BY size DESC LIMIT 1")
        return StoredCheckpoint(*rows[0]) if rows else None

    async def add_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Store a signed checkpoint. Raises LedgerMoved if there is another of this size."""
        await self._rows(
            "INSERT INTO ledger_checkpoints (size, root_hash, note) VALUES (%(size)s, %(root_hash)s, %(note)s)",
            checkpoint._asdict(),
        )

    async def cosignatures(self, size: int) -> dict[str, str]:
        """Return the signature lines of witnesses on the checkpoint of a size, by the witness's name."""
        rows = await self._rows(
            "SELECT witness, signature FROM ledger_cosignatures WHERE size = %(size)s ORDER BY witness", {"size": size}
        )
        return dict(rows)

    async def add_cosignature(self, size: int, witness: str, signature: str) -> None:
        """Store the signature of a witness; the first of each witness counts."""
        await self._rows(
            "INSERT INTO ledger_cosignatures (size, witness, signature) VALUES (%(size)s, %(witness)s, %(signature)s) "
            "ON CONFLICT DO NOTHING",
            {"size": size, "witness": witness, "signature": signature},
        )

    async def _append_note(self, tree: Edge, kind: str, content: Mapping[str, object]) -> None:
        values = {"kind": kind, "leaf": json.dumps(content).encode()}
        await self._append(tree, "append_note_to_ledger(%(size)s, %(kind)s, %(leaf)s)", values)

    async def _append(self, tree: Edge, function: str, values: Mapping[str, Any]) -> int:
        rows = await self._send(
            f"SELECT entry_position, entry_hash FROM {function} ORDER BY 1",  # one of two, written here
            {"size": tree.size, **values},
        )
        await self._add_tiles(tree.append(leaf for _, leaf in rows))
        return len(rows)

    async def _add_tiles(self, tiles: list[FullTile]) -> None:
        if not tiles:
            return
        await self._send(
            "INSERT INTO ledger_tiles (level, tile_index, hashes, root) SELECT * FROM unnest("
            "%(levels)s::smallint[], %(indexes)s::bigint[], %(hashes)s::bytea[], %(roots)s::bytea[])",
            {
                "levels": [tile.level for tile in tiles],
                "indexes": [tile.index for tile in tiles],
                "hashes": [tile.hashes for tile in tiles],
                "roots": [tile.root for tile in tiles],
            },
        )

    async def _rows(self, sql: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        async with self._asking():
            return await self._send(sql, values)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        """Wait until the connection is free, and hold it. Closes it when the database does not answer."""
        async with self._turn:
            self.asked_at = time.monotonic()
            try:
                with answered_by(self._connection, self.asked_at + LONGEST_ANSWER_SECONDS):
                    async with _translated():
                        yield
            finally:
                self.asked_at = None

    async def _send(self, sql: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        cursor = await self._connection.execute(sql.encode(), values)
        return await cursor.fetchall() if cursor.description else []


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    """Raise the driver's errors as errors of the ledger and of the domain."""
    try:
        yield
    except pg.SerializationFailure as error:
        raise LedgerMoved from error
    except pg.UniqueViolation as error:
        if error.diag.constraint_name in {"ledger_entries_pkey", "ledger_tiles_pkey"}:  # under the head's lock
            raise LedgerDamaged from error
        raise LedgerMoved from error
    except pg.ObjectNotInPrerequisiteState as error:
        raise ForeignLedger from error
    except psycopg.Error as error:
        translated = translate(error)
        if translated is error:
            raise
        raise translated from error
