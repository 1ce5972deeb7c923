"""Reading tiles of the ledger: full ones as they are stored, partial ones computed from the level below."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from blotter_verifier.hashing import HASH_BYTES
from service.domain.errors import LedgerDamaged
from service.ledger.tiles import Tile

TILES = """
    SELECT tile.level, tile.index, CASE
        WHEN tile.width = 256 THEN (
            SELECT hashes FROM ledger_tiles WHERE level = tile.level AND tile_index = tile.index)
        WHEN tile.level = 0 THEN (
            SELECT string_agg(leaf_hash, '' ORDER BY position) FROM ledger_entries
            WHERE position >= tile.index * 256 AND position < tile.index * 256 + tile.width)
        ELSE (
            SELECT string_agg(root, '' ORDER BY tile_index) FROM ledger_tiles
            WHERE level = tile.level - 1
              AND tile_index >= tile.index * 256 AND tile_index < tile.index * 256 + tile.width)
        END
    FROM unnest(%(levels)s::smallint[], %(indexes)s::bigint[], %(widths)s::integer[]) AS tile (level, index, width)
"""
"""The hashes of tiles, full or partial: those of a partial tile are the roots below it, or the leaves'."""


def tile_values(tiles: Collection[Tile]) -> dict[str, Any]:
    """Return the parameters of TILES."""
    return {
        "levels": [tile.level for tile in tiles],
        "indexes": [tile.index for tile in tiles],
        "widths": [tile.width for tile in tiles],
    }


def tiles_of(rows: Collection[tuple[Any, ...]], tiles: Collection[Tile]) -> dict[tuple[int, int], list[bytes]]:
    """Return the hashes in the result of TILES, by (level, index). Raises LedgerDamaged if one is missing."""
    found = {(level, index): bytes(hashes or b"") for level, index, hashes in rows}
    for tile in tiles:
        if len(found.get((tile.level, tile.index), b"")) != tile.width * HASH_BYTES:
            raise LedgerDamaged
    return {
        place: [hashes[start : start + HASH_BYTES] for start in range(0, len(hashes), HASH_BYTES)]
        for place, hashes in found.items()
    }
