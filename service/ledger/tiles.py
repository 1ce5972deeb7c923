"""The tree in tiles of 256 hashes (C2SP tlog-tiles): which tiles a proof needs, and the hashes computed from them.

The hash at `level` and `index` is the root over the 256^level leaves from `index * 256^level` on. A tile consists of
256 adjacent hashes; the last tile of a level may have fewer. Hashes of the levels in between are computed from a tile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from blotter_verifier.hashing import fold, full_root

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT

Span = tuple[int, int]
"""The leaves from `start` (inclusive) to `end` (exclusive)."""


@dataclass(frozen=True, slots=True)
class Tile:
    """The level and index of a tile, and the number of its hashes."""

    level: int
    index: int
    width: int

    @property
    def path(self) -> str:
        """The tile's path in static storage: `tile/0/x001/067`, `tile/1/000.p/12`."""
        partial = f".p/{self.width}" if self.width < TILE_WIDTH else ""
        return f"tile/{self.level}/{numbered(self.index)}{partial}"

    @property
    def entries_path(self) -> str:
        """The path in static storage of the entries of a tile of level 0."""
        return self.path.replace("tile/0/", "tile/entries/", 1)


def numbered(index: int) -> str:
    """Return a tile's number in groups of three digits: 1234067 is `x001/x234/067`."""
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03}")
    return "/".join(groups)


def width(size: int, level: int, index: int) -> int:
    """Return the number of hashes of a tile in a tree of the given size; 0 if the tile does not exist."""
    return max(0, min(TILE_WIDTH, (size >> (TILE_HEIGHT * level)) - index * TILE_WIDTH))


def all_tiles(size: int) -> Iterator[Tile]:
    """Yield all tiles of a tree, level by level, beginning with the leaves."""
    level = 0
    while count := size >> (TILE_HEIGHT * level):
        for index in range((count + TILE_WIDTH - 1) // TILE_WIDTH):
            yield Tile(level, index, width(size, level, index))
        level += 1


def edge(size: int) -> list[Tile]:
    """Return the partial tiles at the right edge, level by level; the root can be computed from them."""
    last = ((level, size >> (TILE_HEIGHT * (level + 1))) for level in range(size.bit_length() // TILE_HEIGHT + 1))
    return [Tile(level, index, count) for level, index in last if (count := width(size, level, index))]


def split(size: int) -> int:
    """Return the largest power of two below the size (RFC 6962 §2.1)."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_spans(index: int, size: int) -> list[Span]:
    """Return the spans whose roots prove the leaf at the index, in the order of the proof."""
    start, end, spans = 0, size, []
    while end - start > 1:
        middle = start + split(end - start)
        if index < middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start = middle
    return spans[::-1]


def consistency_spans(old_size: int, new_size: int) -> list[Span]:
    """Return the spans whose roots prove that the new tree extends the old one, in the order of the proof."""
    start, end, spans, whole = 0, new_size, [], True
    while end != old_size:
        middle = start + split(end - start)
        if old_size <= middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start, whole = middle, False
    if not whole:
        spans.append((start, end))
    return spans[::-1]


def subtrees(start: int, end: int) -> Iterator[Span]:
    """Split a span into full subtrees, from left to right; each begins at a multiple of its own width."""
    while start < end:
        aligned = start & -start or 1 << end.bit_length()
        size = min(aligned, 1 << ((end - start).bit_length() - 1))
        yield start, start + size
        start += size


def needed(spans: Iterable[Span], size: int) -> set[Tile]:
    """Return the tiles from which the roots over the spans can be computed, in a tree of the given size."""
    found = set()
    for start, end in spans:
        for subtree in subtrees(start, end):
            level, first, _ = _place(subtree)
            index = first // TILE_WIDTH
            found.add(Tile(level, index, width(size, level, index)))
    return found


def root_over(span: Span, tiles: Mapping[tuple[int, int], Sequence[bytes]]) -> bytes:
    """Return the root over a span, from the hashes of tiles by (level, index). Raises KeyError for a missing tile.

    The span must begin at 0, or be one of those that `inclusion_spans` and `consistency_spans` return.
    """
    hashes = []
    for subtree in subtrees(*span):
        level, first, count = _place(subtree)
        tile = tiles[level, first // TILE_WIDTH]
        place = first % TILE_WIDTH
        hashes.append(full_root(tile[place : place + count]))
    return fold(hashes)


def _place(subtree: Span) -> tuple[int, int, int]:
    """Return the level of the tile that holds a full subtree, its first hash on that level, and their number."""
    start, end = subtree
    height = (end - start).bit_length() - 1
    level = height // TILE_HEIGHT
    return level, start >> (TILE_HEIGHT * level), 1 << (height % TILE_HEIGHT)
