"""Receipts: one leaf's place in a signed tree, verifiable offline (C2SP tlog-proof)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection
from dataclasses import dataclass

from service.ledger.checkpoint import Checkpoint
from service.ledger.hashing import HASH_BYTES, leaf_hash
from service.ledger.notes import Note, Verifier, parse_note
from service.ledger.proofs import InvalidProof, verify_inclusion

_INDEX = re.compile("0|[1-9][0-9]{0,18}")
HEADER = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class Receipt:
    """The leaf, where it stands, the inclusion proof, and the signed checkpoint that it leads to.

    The leaf travels as the proof's extra data, so that one file is all that a reader needs.
    """

    leaf: bytes
    index: int
    proof: list[bytes]
    checkpoint: Note

    def __str__(self) -> str:
        lines = [HEADER, f"extra {base64.b64encode(self.leaf).decode()}", f"index {self.index}"]
        lines += [base64.b64encode(value).decode() for value in self.proof]
        return "\n".join(lines) + "\n\n" + str(self.checkpoint)

    @classmethod
    def parse(cls, text: str) -> Receipt:
        """Read a receipt. Raises InvalidProof, InvalidNote."""
        head, _, note = text.partition("\n\n")
        header, *lines = head.split("\n")
        extra = lines.pop(0).removeprefix("extra ") if lines and lines[0].startswith("extra ") else None
        index = lines.pop(0).removeprefix("index ") if lines and lines[0].startswith("index ") else ""
        if header != HEADER or not _INDEX.fullmatch(index):
            raise InvalidProof("this is no receipt: its first lines are not those of c2sp.org/tlog-proof@v1")
        if extra is None:
            raise InvalidProof("this receipt does not carry what it proves")
        try:
            leaf = base64.b64decode(extra, validate=True)
            proof = [base64.b64decode(line, validate=True) for line in lines]
        except (ValueError, binascii.Error) as error:
            raise InvalidProof("a line of the receipt is not base64") from error
        if any(len(value) != HASH_BYTES for value in proof):
            raise InvalidProof("a hash of the receipt has a wrong length")
        return cls(leaf, int(index), proof, parse_note(note))

    def verify(self, verifiers: Collection[Verifier]) -> Checkpoint:
        """Check signature and proof; return the checkpoint that holds the leaf. Raises InvalidProof, InvalidNote."""
        if not self.checkpoint.signed_by(verifiers):
            raise InvalidProof("the checkpoint is not signed by the key that you trust")
        checkpoint = Checkpoint.parse(self.checkpoint.text)
        verify_inclusion(self.index, checkpoint.size, leaf_hash(self.leaf), self.proof, checkpoint.root)
        return checkpoint
