"""Rebuilds the ledger's tree from its leaves, and compares it with the stored tiles and checkpoints."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator

from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.hashing import HASH_BYTES, leaf_hash
from blotter_verifier.notes import InvalidNote, Verifier, parse_note
from service.domain.discrepancies import Discrepancy
from service.domain.identity import Caller
from service.ledger.edge import Edge, FullTile
from service.ledger.tiles import TILE_WIDTH
from service.repositories.database import Database
from service.repositories.messages import Statement
from service.repositories.statements import LEDGER_SIZE

PORTION = 1000

_ENTRIES = """
    SELECT position, kind, leaf, leaf_hash FROM ledger_entries
    WHERE position >= %(start)s ORDER BY position LIMIT %(limit)s
"""
_SIGNED = """
    SELECT size, root_hash, note FROM ledger_checkpoints
    WHERE size > %(start)s AND size <= %(start)s + %(limit)s ORDER BY size
"""
_TILES = """
    SELECT level, tile_index, hashes, root FROM ledger_tiles
    WHERE (level, tile_index) IN (SELECT * FROM unnest(%(levels)s::smallint[], %(indexes)s::bigint[]))
"""
_TILES_AHEAD = """
    SELECT level, tile_index FROM ledger_tiles WHERE (tile_index + 1) * 256::numeric ^ (level + 1) > %(size)s LIMIT 10
"""
_HEAD = f"SELECT {LEDGER_SIZE}, (SELECT max(size) FROM ledger_checkpoints)"


class TreeCheck:
    """One check of the whole tree, in portions, so that memory does not grow with the tree."""

    def __init__(self, database: Database, caller: Caller) -> None:
        self._database = database
        self._caller = caller
        self._tree = Edge()
        self._keys: set[Verifier] = set()
        """The keys that the ledger has named so far."""
        self._contradicted: int | None = None
        """The size of the first checkpoint that contradicts the leaves."""

    async def run(self) -> AsyncGenerator[Discrepancy | int, None]:
        """Yield discrepancies from the tree that the leaves make, and 0 after each portion as progress."""
        tree = self._tree
        [[(size, signed)]] = await self._run(Statement(_HEAD))
        full = True
        while full:
            portion = {"start": tree.size, "limit": PORTION}
            rows, checkpoints = await self._run(Statement(_ENTRIES, portion), Statement(_SIGNED, portion))
            full = len(rows) == PORTION
            signed_here = {at: (root, note) for at, root, note in checkpoints}
            tiles: list[FullTile] = []
            for position, kind, leaf, stored in rows:
                if position != tree.size:
                    yield Discrepancy("POSITION_GAP", position=tree.size, detail=f"the next entry is {position}")
                    return
                for detail in self._entry(kind, leaf, stored, tiles, signed_here):
                    yield Discrepancy("TREE_DIFFERS_FROM_CHECKPOINT", position=position, detail=detail)
            async for position, detail in self._differing(tiles):
                yield Discrepancy("TREE_DIFFERS_FROM_CHECKPOINT", position=position, detail=detail)
            yield 0
        if tree.size < max(size, signed or 0):
            yield Discrepancy(
                "POSITION_GAP", position=tree.size, detail=f"the ledger had {max(size, signed or 0)} entries"
            )
        async for discrepancy in self._beyond():
            yield discrepancy

    async def _beyond(self) -> AsyncGenerator[Discrepancy, None]:
        """Yield rows beyond the sequencer's head; the head may have advanced meanwhile."""
        reached = self._tree.size
        [[(size, _)], ahead] = await self._run(Statement(_HEAD), Statement(_TILES_AHEAD, {"size": reached}))
        if reached > size:  # the head advances in the transaction of the entries
            yield Discrepancy("LEDGER_ENTRY_WITHOUT_LOG", position=size, detail="it was not added by the sequencer")
        for level, index in ahead if reached == size else []:
            detail = f"tile {index} of level {level} covers entries that do not exist yet"
            yield Discrepancy("TREE_DIFFERS_FROM_CHECKPOINT", position=reached, detail=detail)

    async def _run(self, *statements: Statement) -> list[list[tuple]]:  # type: ignore[type-arg]  # any row
        return await self._database.run(self._caller, *statements)

    def _entry(
        self, kind: str, leaf: bytes, stored: bytes, tiles: list[FullTile], signed: dict[int, tuple[bytes, str]]
    ) -> Iterator[str]:
        """Append a leaf; add the tiles that it completes; yield discrepancies of the leaf and of its checkpoint."""
        value = leaf_hash(leaf)
        if value != stored:
            yield "the stored hash is not that of the leaf"
        if kind != "EXECUTION_LOG" and not self._note(kind, leaf):  # another check compares the leaves of logs
            yield f"the leaf is not a valid entry of kind {kind}"
        tiles.extend(self._tree.append([value]))
        size = self._tree.size
        if self._contradicted is None and size in signed and not self._signed(*signed[size]):
            self._contradicted = size  # all later ones contradict the leaves too
            yield f"the checkpoint of {size} entries does not match the leaves; later checkpoints are not compared"

    def _note(self, kind: str, leaf: bytes) -> bool:
        """Return whether a leaf is a note of its kind; store the keys that it names."""
        try:
            content = json.loads(leaf)
            self._keys.update(Verifier.parse(key) for key in content.get("keys", []))
            return bool(content["type"] == kind.lower())
        except (ValueError, LookupError, TypeError, AttributeError):
            return False

    def _signed(self, root: bytes, note: str) -> bool:
        """Return whether a note is the checkpoint of the tree so far, signed by a key that the ledger has named."""
        try:
            parsed = parse_note(note)
            checkpoint = Checkpoint.parse(parsed.text)
            same = (checkpoint.size, checkpoint.root, root) == (self._tree.size, root, self._tree.root())
            return same and bool(parsed.signed_by(self._keys))
        except InvalidNote:
            return False

    async def _differing(self, tiles: list[FullTile]) -> AsyncGenerator[tuple[int, str], None]:
        """Yield the stored tiles that differ from those that the leaves make, with the first entry of each.

        On the lowest level each hash is that of one entry: each that differs is named.
        """
        places = {"levels": [tile.level for tile in tiles], "indexes": [tile.index for tile in tiles]}
        [rows] = await self._run(Statement(_TILES, places)) if tiles else [[]]
        kept = {(level, index): (hashes, root) for level, index, hashes, root in rows}
        for tile in tiles:
            hashes, root = kept.get((tile.level, tile.index), (b"", b""))
            first = tile.index * TILE_WIDTH ** (tile.level + 1)
            if (hashes, root) == (tile.hashes, tile.root):
                continue
            yield first, f"tile {tile.index} of level {tile.level} does not match its leaves"
            for place in range(0, len(hashes) if tile.level == 0 else 0, HASH_BYTES):
                if hashes[place : place + HASH_BYTES] != tile.hashes[place : place + HASH_BYTES]:
                    yield first + place // HASH_BYTES, "the entry does not match the stored tile"
