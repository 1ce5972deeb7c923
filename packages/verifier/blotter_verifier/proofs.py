"""Verification of inclusion and consistency proofs (RFC 9162 §2.1.3.2, §2.1.4.2)."""

from __future__ import annotations

from collections.abc import Sequence

from blotter_verifier.hashing import HASH_BYTES, node_hash


class InvalidProof(ValueError):
    """The proof is invalid."""


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the tree of the given size and root has the leaf hash at the index. Raises InvalidProof."""
    _check_hashes(leaf, root, *proof)
    if not 0 <= index < size:
        raise InvalidProof(f"index {index} is outside of a tree of size {size}")
    computed = leaf
    for sibling, on_the_left in zip(proof, _path(index, size - 1, len(proof)), strict=True):
        computed = node_hash(sibling, computed) if on_the_left else node_hash(computed, sibling)
    if computed != root:
        raise InvalidProof("the proof's root differs from the tree's")


def verify_consistency(old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the new tree extends the old one. Raises InvalidProof, also for a tree of size 0."""
    if not 0 < old_size <= new_size:
        raise InvalidProof(f"a tree of size {new_size} cannot extend one of size {old_size}")
    if old_size == new_size:
        if proof or old_root != new_root:
            raise InvalidProof("trees of the same size must have the same root and an empty proof")
        return
    _check_hashes(old_root, new_root, *proof)
    if not proof:
        raise InvalidProof("the proof is empty")
    hashes = list(proof)
    if old_size & (old_size - 1) == 0:  # the old tree is a full subtree, whose root the proof omits
        hashes.insert(0, old_root)
    full = (old_size & -old_size).bit_length() - 1  # levels below the lowest subtree that both trees share
    old = new = hashes[0]
    steps = _path((old_size - 1) >> full, (new_size - 1) >> full, len(hashes) - 1)
    for sibling, on_the_left in zip(hashes[1:], steps, strict=True):
        if on_the_left:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
        else:
            new = node_hash(new, sibling)
    if (old, new) != (old_root, new_root):
        raise InvalidProof("the proof's roots differ from the trees'")


def _path(number: int, last: int, length: int) -> list[bool]:
    """Return for each sibling on the path to the root whether it is on the left. Raises InvalidProof.

    `number` is the node's index in its row, `last` the row's last index, `length` the number of hashes in the proof.
    """
    steps = []
    while last:
        if number & 1 or number == last:
            steps.append(True)
            while number and not number & 1:  # at the right edge, without a sibling on these levels
                number, last = number >> 1, last >> 1
        else:
            steps.append(False)
        number, last = number >> 1, last >> 1
    if len(steps) != length:
        raise InvalidProof(f"the proof has {length} hashes, {len(steps)} are required")
    return steps


def _check_hashes(*hashes: bytes) -> None:
    if any(len(value) != HASH_BYTES for value in hashes):
        raise InvalidProof(f"a hash must have {HASH_BYTES} bytes")
