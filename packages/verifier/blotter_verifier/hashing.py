"""Hashes of an RFC 6962 Merkle tree (§2.1). Every hash is 32 bytes of SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """Return SHA-256(0x00 || leaf)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def full_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root of a full subtree; the number of hashes must be a power of two."""
    row = hashes
    while len(row) > 1:
        row = [node_hash(row[index], row[index + 1]) for index in range(0, len(row), 2)]
    return row[0]


def fold(subtrees: Sequence[bytes]) -> bytes:
    """Return the root over adjacent full subtrees, the largest first; EMPTY_ROOT if there are none."""
    if not subtrees:
        return EMPTY_ROOT
    root = subtrees[-1]
    for left in reversed(subtrees[:-1]):
        root = node_hash(left, root)
    return root
