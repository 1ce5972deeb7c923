"""Receipts: a leaf with its proof of inclusion in a signed tree, verifiable offline (C2SP tlog-proof)."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection
from dataclasses import dataclass

from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.encoding import decoded
from blotter_verifier.hashing import HASH_BYTES, leaf_hash
from blotter_verifier.notes import COSIGNATURE, Note, Verifier, parse_note
from blotter_verifier.proofs import InvalidProof, verify_inclusion

_INDEX = re.compile("0|[1-9][0-9]{0,18}")
HEADER = "c2sp.org/tlog-proof@v1"


class UnknownKey(ValueError):
    """The checkpoint is signed by none of the given log keys, or not by all given witnesses."""


class NotAReceipt(ValueError):
    """The text is not a receipt."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A leaf, its index, its inclusion proof, and the signed checkpoint.

    The leaf is stored as the proof's extra data, so that the file is self-contained.
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
        """Parse a receipt. Raises NotAReceipt, and InvalidProof or InvalidNote for a damaged receipt."""
        head, _, note = text.partition("\n\n")
        header, *lines = head.split("\n")
        if header != HEADER:
            raise NotAReceipt(f"this is not a receipt: it does not start with {HEADER}")
        extra = lines.pop(0).removeprefix("extra ") if lines and lines[0].startswith("extra ") else None
        index = lines.pop(0).removeprefix("index ") if lines and lines[0].startswith("index ") else ""
        if not _INDEX.fullmatch(index):
            raise InvalidProof("the receipt has no valid index")
        if extra is None:
            raise InvalidProof("the receipt does not include its entry")
        try:
            leaf = decoded(extra)
            proof = [decoded(line, HASH_BYTES) for line in lines]
        except ValueError as error:
            raise InvalidProof("a line of the receipt is not canonical base64 or not a hash") from error
        return cls(leaf, int(index), proof, parse_note(note))

    def verify(self, verifiers: Collection[Verifier]) -> Checkpoint:
        """Verify the signatures and the proof; return the checkpoint.

        Raises InvalidProof, InvalidNote, and UnknownKey if the proof is valid but the required signatures are missing.
        """
        signed_by = self.checkpoint.signed_by(verifiers)
        checkpoint = Checkpoint.parse(self.checkpoint.text)
        verify_inclusion(self.index, checkpoint.size, leaf_hash(self.leaf), self.proof, checkpoint.root)
        if not checkpoint.is_signed_by_log(signed_by):
            raise UnknownKey(f"the checkpoint is signed by none of the given keys of the log {checkpoint.origin}")
        for verifier in verifiers:
            if verifier.type == COSIGNATURE and verifier not in signed_by:
                raise UnknownKey(f"the witness {verifier.name} has not cosigned the checkpoint")
        return checkpoint
