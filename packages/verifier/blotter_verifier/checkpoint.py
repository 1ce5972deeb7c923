"""Checkpoints: the head of the tree, as the text of a signed note (C2SP tlog-checkpoint)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import NamedTuple

from blotter_verifier.encoding import decoded
from blotter_verifier.hashing import HASH_BYTES
from blotter_verifier.notes import ED25519, InvalidNote, Verifier

_SIZE = re.compile("0|[1-9][0-9]{0,18}")


class Checkpoint(NamedTuple):
    """The log's origin, the number of leaves, and the root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note's text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def is_signed_by_log(self, verifiers: Iterable[Verifier]) -> bool:
        """Return whether one of the verifiers is a key of this log: a log's key has the origin as its name."""
        return any(verifier.type == ED25519 and verifier.name == self.origin for verifier in verifiers)

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Parse a note's text. Lines after the third are ignored, as the specification requires. Raises InvalidNote."""
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or not all(lines[:-1]):  # three lines, each with a newline
            raise InvalidNote("a checkpoint must have three lines: origin, size, root hash")
        origin, size, root = lines[:3]
        if not _SIZE.fullmatch(size):
            raise InvalidNote("the second line of a checkpoint must be the size of the tree")
        try:
            raw = decoded(root, HASH_BYTES)
        except ValueError as error:
            raise InvalidNote("the third line of a checkpoint must be the root hash in base64") from error
        return cls(origin, int(size), raw)
