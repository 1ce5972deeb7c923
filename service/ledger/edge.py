"""The right edge of a growing tree, which suffices to append leaves and to compute the root."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from blotter_verifier.hashing import full_root
from service.ledger.tiles import TILE_HEIGHT, TILE_WIDTH, edge, root_over


@dataclass(frozen=True, slots=True)
class FullTile:
    """A tile that is full and no longer changes, and its root."""

    level: int
    index: int
    hashes: bytes
    root: bytes


class Edge:
    """The partial tiles at the right edge of a tree; at most 255 hashes per level."""

    def __init__(self, size: int = 0, tiles: Mapping[tuple[int, int], Sequence[bytes]] | None = None) -> None:
        """`tiles` must have the hashes of the tiles of `tiles.edge(size)`, by (level, index)."""
        self.size = size
        self._levels: list[list[bytes]] = []
        for tile in edge(size):
            self._level(tile.level).extend((tiles or {})[tile.level, tile.index])

    def append(self, leaf_hashes: Iterable[bytes]) -> list[FullTile]:
        """Append leaves; return the tiles that they complete, each after those of lower levels that it contains."""
        full: list[FullTile] = []
        for leaf in leaf_hashes:
            self.size += 1
            value, level = leaf, 0
            while True:
                row = self._level(level)
                row.append(value)
                if len(row) < TILE_WIDTH:
                    break
                value = full_root(row)
                index = (self.size >> (TILE_HEIGHT * (level + 1))) - 1
                full.append(FullTile(level, index, b"".join(row), value))
                row.clear()
                level += 1
        return full

    def root(self) -> bytes:
        """Return the root over all leaves."""
        tiles = {(tile.level, tile.index): self._levels[tile.level] for tile in edge(self.size)}
        return root_over((0, self.size), tiles)

    def _level(self, level: int) -> list[bytes]:
        while len(self._levels) <= level:
            self._levels.append([])
        return self._levels[level]
