"""Trees of any size: tiles, edges and proofs against the definition in RFC 6962 §2.1."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blotter_verifier.hashing import EMPTY_ROOT, full_root, leaf_hash, node_hash
from blotter_verifier.proofs import InvalidProof, verify_consistency, verify_inclusion
from service.ledger.edge import Edge
from service.ledger.tiles import (
    Tile,
    all_tiles,
    consistency_spans,
    edge,
    inclusion_spans,
    needed,
    numbered,
    root_over,
    split,
    width,
)

MOST = 70_000
LEAVES = [leaf_hash(str(number).encode()) for number in range(MOST)]
sizes = st.integers(1, MOST) | st.integers(1, 600) | st.sampled_from([255, 256, 257, 511, 512, 65_535, 65_536, 65_537])


def defined_root(leaves: Sequence[bytes]) -> bytes:
    """MTH, as the RFC defines it, over hashes of leaves."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    middle = split(len(leaves))
    return node_hash(defined_root(leaves[:middle]), defined_root(leaves[middle:]))


def tiled(size: int) -> dict[tuple[int, int], list[bytes]]:
    """All tiles of the tree over the first leaves."""
    levels = [LEAVES[:size]]
    while len(levels[-1]) >= 256:
        row = levels[-1]
        levels.append([full_root(row[start : start + 256]) for start in range(0, len(row) - len(row) % 256, 256)])
    return {
        (tile.level, tile.index): levels[tile.level][tile.index * 256 : tile.index * 256 + tile.width]
        for tile in all_tiles(size)
    }


def test_the_tiles_of_the_specification() -> None:
    found = list(all_tiles(70_000))
    assert len([tile for tile in found if tile.level == 0 and tile.width == 256]) == 273
    assert [tile for tile in found if tile.width < 256] == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert found[-1].path == "tile/2/000.p/1"
    assert numbered(1_234_067) == "x001/x234/067"
    assert Tile(0, 5, 256).entries_path == "tile/entries/005"
    assert width(70_000, 0, 274) == 0


@settings(deadline=None)
@given(sizes)
def test_the_edge_knows_the_root_and_continues_from_any_size(size: int) -> None:
    tiles = tiled(size)
    loaded = Edge(size, {(tile.level, tile.index): tiles[tile.level, tile.index] for tile in edge(size)})
    assert loaded.root() == defined_root(LEAVES[:size])
    more = LEAVES[size : size + 300]
    loaded.append(more)
    assert loaded.root() == defined_root(LEAVES[: size + len(more)])


def test_appending_makes_every_full_tile_once() -> None:
    growing = Edge()
    assert growing.root() == EMPTY_ROOT
    made = {(tile.level, tile.index): tile for tile in growing.append(LEAVES)}
    expected = {place: hashes for place, hashes in tiled(MOST).items() if len(hashes) == 256}
    assert {place: tile.hashes for place, tile in made.items()} == {
        place: b"".join(hashes) for place, hashes in expected.items()
    }
    assert all(made[place].root == full_root(hashes) for place, hashes in expected.items())


@settings(deadline=None)
@given(sizes, st.data())
def test_inclusion_is_proved_from_the_tiles_that_are_needed(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    tiles = tiled(size)
    spans = inclusion_spans(index, size)
    some = {(tile.level, tile.index): tiles[tile.level, tile.index] for tile in needed(spans, size)}
    proof = [root_over(span, some) for span in spans]
    verify_inclusion(index, size, LEAVES[index], proof, defined_root(LEAVES[:size]))
    assert len(needed(spans, size)) <= 2 * (size.bit_length() // 8 + 1)
    if proof:
        wrong = data.draw(st.integers(0, len(proof) - 1))
        proof[wrong] = hashlib.sha256(proof[wrong]).digest()
        with pytest.raises(InvalidProof):
            verify_inclusion(index, size, LEAVES[index], proof, defined_root(LEAVES[:size]))


@settings(deadline=None)
@given(sizes, st.data())
def test_consistency_is_proved_from_the_tiles_that_are_needed(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    tiles = tiled(size)
    spans = consistency_spans(old, size)
    some = {(tile.level, tile.index): tiles[tile.level, tile.index] for tile in needed(spans, size)}
    proof = [root_over(span, some) for span in spans]
    roots = defined_root(LEAVES[:old]), defined_root(LEAVES[:size])
    verify_consistency(old, size, *roots, proof)
    with pytest.raises(InvalidProof):
        verify_consistency(old, size, leaf_hash(b"another"), roots[1], proof)
