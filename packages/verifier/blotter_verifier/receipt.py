"""Receipts: one leaf's place in a signed tree, verifiable offline (C2SP tlog-proof)."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection
from dataclasses import dataclass

from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.encoding import decoded
from blotter_verifier.hashing import HASH_BYTES, leaf_hash
from blotter_verifier.notes import COSIGNATURE, ED25519, Note, Verifier, parse_note
from blotter_verifier.proofs import InvalidProof, verify_inclusion

_INDEX = re.compile("0|[1-9][0-9]{0,18}")
HEADER = "c2sp.org/tlog-proof@v1"


class UnknownKey(ValueError):
    """The checkpoint is signed by other keys than those given, or not by all witnesses that were."""


class NotAReceipt(ValueError):
    """The text is no receipt at all."""


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
        """Read a receipt. Raises NotAReceipt; InvalidProof, InvalidNote where it is one, and damaged."""
        head, _, note = text.partition("\n\n")
        header, *lines = head.split("\n")
        if header != HEADER:
            raise NotAReceipt(f"this is no receipt: it does not begin with {HEADER}")
        extra = lines.pop(0).removeprefix("extra ") if lines and lines[0].startswith("extra ") else None
        index = lines.pop(0).removeprefix("index ") if lines and lines[0].startswith("index ") else ""
        if not _INDEX.fullmatch(index):
            raise InvalidProof("the receipt does not say which entry it is of")
        if extra is None:
            raise InvalidProof("this receipt does not carry what it proves")
        try:
            leaf = decoded(extra)
            proof = [decoded(line, HASH_BYTES) for line in lines]
        except ValueError as error:
            raise InvalidProof("a line of the receipt is not canonical base64, or no hash") from error
        return cls(leaf, int(index), proof, parse_note(note))

    def verify(self, verifiers: Collection[Verifier]) -> Checkpoint:
        """Check signature and proof; return the checkpoint that holds the leaf.

        Raises InvalidProof, InvalidNote, and UnknownKey where it is right under a signature that nobody can check.
        """
        signed_by = self.checkpoint.signed_by(verifiers)
        checkpoint = Checkpoint.parse(self.checkpoint.text)
        verify_inclusion(self.index, checkpoint.size, leaf_hash(self.leaf), self.proof, checkpoint.root)
        if not any(verifier.type == ED25519 for verifier in signed_by):
            raise UnknownKey("the checkpoint is signed by no log's key that you gave")
        for verifier in verifiers:
            if verifier.type == COSIGNATURE and verifier not in signed_by:
                raise UnknownKey(f"the witness {verifier.name} has not cosigned the checkpoint")
        return checkpoint
