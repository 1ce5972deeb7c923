"""Building the ledger's tree anew from its leaves, and comparing it with all that was kept of it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator

from service.domain.discrepancies import Discrepancy
from service.domain.identity import Caller
from service.ledger.checkpoint import Checkpoint
from service.ledger.edge import Edge, FullTile
from service.ledger.hashing import leaf_hash
from service.ledger.notes import InvalidNote, Verifier, parse_note
from service.repositories.database import Database, Statement

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
_HEAD = "SELECT coalesce((SELECT size FROM ledger_head), 0), (SELECT max(size) FROM ledger_checkpoints)"


class TreeCheck:
    """One check of the whole tree, in portions: in memory that does not grow with it."""

    def __init__(self, database: Database, caller: Caller) -> None:
        self._database = database
        self._caller = caller
        self._tree = Edge()
        self._keys: set[Verifier] = set()
        """The keys that the ledger has named so far."""

    async def run(self) -> AsyncGenerator[Discrepancy, None]:
        """Yield what does not agree with the tree that the leaves make."""
        tree = self._tree
        [[(size, signed)]] = await self._run(Statement(_HEAD))
        while True:
            portion = {"start": tree.size, "limit": PORTION}
            rows, checkpoints = await self._run(Statement(_ENTRIES, portion), Statement(_SIGNED, portion))
            roots = {at: (root, note) for at, root, note in checkpoints}
            tiles: list[FullTile] = []
            for position, kind, leaf, stored in rows:
                if position != tree.size:
                    yield Discrepancy("POSITION_GAP", position=tree.size, detail=f"the next entry is {position}")
                    return
                for detail in self._entry(kind, leaf, stored, tiles):
                    yield Discrepancy("TREE_DIFFERS_FROM_CHECKPOINT", position=position, detail=detail)
                if tree.size in roots and not self._signed(*roots[tree.size]):
                    detail = f"the checkpoint of {tree.size} entries says otherwise"
                    yield Discrepancy("TREE_DIFFERS_FROM_CHECKPOINT", position=position, detail=detail)
            async for detail in self._differing(tiles):
                yield Discrepancy("TREE_DIFFERS_FROM_CHECKPOINT", position=tree.size - 1, detail=detail)
            if len(rows) < PORTION:
                break
        if tree.size < max(size, signed or 0):
            yield Discrepancy("POSITION_GAP", position=tree.size, detail=f"there were {max(size, signed or 0)} entries")
        [[(size, _)], ahead] = await self._run(Statement(_HEAD), Statement(_TILES_AHEAD, {"size": tree.size}))
        if tree.size > size:  # the head moves with the entries
            yield Discrepancy("LEDGER_ENTRY_WITHOUT_LOG", position=size, detail="it was added beside the sequencer")
        for level, index in ahead if tree.size == size else []:
            detail = f"tile {index} of level {level} is of entries that are yet to come"
            yield Discrepancy("TREE_DIFFERS_FROM_CHECKPOINT", position=tree.size, detail=detail)

    async def _run(self, *statements: Statement) -> list[list[tuple]]:  # type: ignore[type-arg]  # any row
        return await self._database.run(self._caller, *statements)

    def _entry(self, kind: str, leaf: bytes, stored: bytes, tiles: list[FullTile]) -> Iterator[str]:
        """Append a leaf; add the tiles that it completes; yield what is wrong with it."""
        value = leaf_hash(leaf)
        if value != stored:
            yield "the stored hash is not that of the leaf"
        if kind != "EXECUTION_LOG" and not self._note(kind, leaf):  # that a log's leaf is that log, another check finds
            yield f"the leaf is none of kind {kind}"
        tiles.extend(self._tree.append([value]))

    def _note(self, kind: str, leaf: bytes) -> bool:
        """Return whether a leaf is a note of its kind; remember the keys that it names."""
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

    async def _differing(self, tiles: list[FullTile]) -> AsyncGenerator[str, None]:
        places = {"levels": [tile.level for tile in tiles], "indexes": [tile.index for tile in tiles]}
        [rows] = await self._run(Statement(_TILES, places)) if tiles else [[]]
        kept = {(level, index): (hashes, root) for level, index, hashes, root in rows}
        for tile in tiles:
            if kept.get((tile.level, tile.index)) != (tile.hashes, tile.root):
                yield f"tile {tile.index} of level {tile.level} is not that of its leaves"
