"""Reading the ledger: checkpoints, proofs, and ranges of leaves. Proofs are verified before they are returned."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from blotter_verifier.hashing import leaf_hash
from blotter_verifier.proofs import InvalidProof, verify_consistency, verify_inclusion
from service.domain.errors import (
    CheckpointNotFound,
    LedgerDamaged,
    LogNotFound,
    LogNotYetInLedger,
    PositionOutOfRange,
    TreeSizeOutOfRange,
)
from service.domain.identity import Caller
from service.ledger.tiles import Span, consistency_spans, inclusion_spans, needed, root_over, subtrees
from service.repositories.database import Database
from service.repositories.messages import Rows, Statement
from service.repositories.statements import LEDGER_SIZE
from service.repositories.tiles import TILES, tile_values, tiles_of

_SIZES = f"SELECT {LEDGER_SIZE}, coalesce((SELECT max(size) FROM ledger_checkpoints), 0)"
_CHECKPOINT = """
    SELECT size, root_hash, note, created_at,
        ARRAY(SELECT signature FROM ledger_cosignatures WHERE size = ledger_checkpoints.size ORDER BY witness)
    FROM ledger_checkpoints WHERE size = %(size)s
"""
_NEWEST = """
    SELECT size, root_hash, note, created_at,
        ARRAY(SELECT signature FROM ledger_cosignatures WHERE size = ledger_checkpoints.size ORDER BY witness)
    FROM ledger_checkpoints ORDER BY size DESC LIMIT 1
"""
_ENTRY_OF_LOG = """
    SELECT position, leaf FROM execution_logs LEFT JOIN ledger_entries USING (trader_id, sequence)
    WHERE execution_logs.id = %(log_id)s
"""
_ENTRY = "SELECT position, leaf FROM ledger_entries WHERE position = %(position)s"
_LEAVES = """
    SELECT leaf FROM ledger_entries WHERE position >= %(start)s AND position < %(end)s ORDER BY position
"""


class SignedTree(NamedTuple):
    """A checkpoint as it was signed, and the signatures that witnesses have added since."""

    size: int
    root_hash: bytes
    note: str
    created_at: datetime
    cosignatures: list[str]

    @property
    def cosigned(self) -> str:
        """The note with all signatures."""
        return self.note + "".join(self.cosignatures)


class Inclusion(NamedTuple):
    """A leaf, and the proof that it is in a tree."""

    position: int
    size: int
    leaf: bytes
    hashes: list[bytes]
    root: bytes
    checkpoint: SignedTree | None


class Consistency(NamedTuple):
    """The proof that one tree is a prefix of another."""

    old_size: int
    new_size: int
    old_root: bytes
    new_root: bytes
    hashes: list[bytes]


class LedgerRange(NamedTuple):
    """The hashes that connect a range of leaves to a signed tree: the full subtrees to its left and right."""

    start: int
    end: int
    left: list[bytes]
    right: list[bytes]
    checkpoint: SignedTree


class Ledger:
    """The repository of the ledger, for callers that see all traders."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def checkpoint(self, caller: Caller, size: int | None) -> SignedTree:
        """Return the checkpoint of a size, or (None) the newest. Raises CheckpointNotFound."""
        statement = Statement(_NEWEST) if size is None else Statement(_CHECKPOINT, {"size": size})
        [rows] = await self._database.run(caller, statement)
        if not rows:
            raise CheckpointNotFound
        return SignedTree(*rows[0])

    async def inclusion(self, caller: Caller, leaf: UUID | int, size: int | None) -> Inclusion:
        """Prove a log, or the leaf at a position, in the tree of a size, or (None) of the newest checkpoint.

        Two round trips: the position determines the tiles. Raises LogNotFound, LogNotYetInLedger,
        TreeSizeOutOfRange, LedgerDamaged.
        """
        by_id = isinstance(leaf, UUID)
        entry = Statement(_ENTRY_OF_LOG, {"log_id": leaf}) if by_id else Statement(_ENTRY, {"position": leaf})
        [(grown, signed)], rows = await self._database.run(caller, Statement(_SIZES), entry)
        if not rows:
            raise LogNotFound
        position, content = rows[0]
        if position is None or (size is None and position >= signed):
            raise LogNotYetInLedger
        size = signed if size is None else size
        if not position < size <= grown:
            raise TreeSizeOutOfRange(tree_size=str(grown))
        spans = inclusion_spans(position, size)
        [root, *hashes], checkpoint = await self._roots(caller, [(0, size), *spans], size)
        try:
            verify_inclusion(position, size, leaf_hash(content), hashes, root)
        except InvalidProof as error:
            raise LedgerDamaged from error
        return Inclusion(position, size, content, hashes, root, checkpoint)

    async def consistency(self, caller: Caller, old_size: int, new_size: int | None) -> Consistency:
        """Prove that the tree of the old size is a prefix of that of the new size, or (None) of the newest checkpoint.

        Raises TreeSizeOutOfRange, CheckpointNotFound, LedgerDamaged.
        """
        [[(grown, signed)]] = await self._database.run(caller, Statement(_SIZES))
        if new_size is None and not signed:
            raise CheckpointNotFound
        size = signed if new_size is None else new_size
        if not 0 < old_size <= size <= grown:
            raise TreeSizeOutOfRange(tree_size=str(grown))
        spans = consistency_spans(old_size, size)
        [old_root, root, *hashes], _ = await self._roots(caller, [(0, old_size), (0, size), *spans], size)
        try:
            verify_consistency(old_size, size, old_root, root, hashes)
        except InvalidProof as error:
            raise LedgerDamaged from error
        return Consistency(old_size, size, old_root, root, hashes)

    async def range(self, caller: Caller, start: int, end: int | None) -> LedgerRange:
        """Return the hashes that connect the leaves from `start` to `end` (None: to the last) to the newest checkpoint.

        Raises CheckpointNotFound, PositionOutOfRange, LedgerDamaged.
        """
        checkpoint = await self.checkpoint(caller, None)
        end = checkpoint.size if end is None else end
        if not 0 <= start <= end <= checkpoint.size:
            raise PositionOutOfRange(tree_size=str(checkpoint.size))
        left, right = list(subtrees(0, start)), list(subtrees(end, checkpoint.size))
        roots, _ = await self._roots(caller, [*left, *right], checkpoint.size)
        return LedgerRange(start, end, roots[: len(left)], roots[len(left) :], checkpoint)

    async def leaves(self, caller: Caller, start: int, end: int) -> list[bytes]:
        """Return the leaves from `start` to `end`. Raises LedgerDamaged where one is missing."""
        [rows] = await self._database.run(caller, Statement(_LEAVES, {"start": start, "end": end}))
        if len(rows) != end - start:
            raise LedgerDamaged
        return [leaf for (leaf,) in rows]

    async def _roots(self, caller: Caller, spans: Sequence[Span], size: int) -> tuple[list[bytes], SignedTree | None]:
        """Return the roots over the spans, and the checkpoint of the size, whose root must equal the tree's."""
        tiles = needed([(0, size), *spans], size)
        found, signed = await self._database.run(
            caller, Statement(TILES, tile_values(tiles)), Statement(_CHECKPOINT, {"size": size})
        )
        hashes = tiles_of(found, tiles)
        checkpoint = _signed(signed)
        if checkpoint and checkpoint.root_hash != root_over((0, size), hashes):
            raise LedgerDamaged
        return [root_over(span, hashes) for span in spans], checkpoint


def _signed(rows: Rows) -> SignedTree | None:
    row: Any = rows[0] if rows else None
    return SignedTree(*row) if row else None
