"""Checkpoints: the head of the tree as the text of a signed note (C2SP tlog-checkpoint)."""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

from blotter_verifier.encoding import decoded
from blotter_verifier.hashing import HASH_BYTES
from blotter_verifier.notes import InvalidNote

_SIZE = re.compile("0|[1-9][0-9]{0,18}")


class Checkpoint(NamedTuple):
    """Which log, how many leaves, and the root over them."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note's text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read a note's text; lines after the third are ignored, as the specification asks. Raises InvalidNote."""
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or not all(lines[:-1]):  # three lines, each ended
            raise InvalidNote("a checkpoint has three lines: origin, size, root hash")
        origin, size, root = lines[:3]
        if not _SIZE.fullmatch(size):
            raise InvalidNote("the second line of a checkpoint is the size of the tree")
        try:
            raw = decoded(root, HASH_BYTES)
        except ValueError as error:
            raise InvalidNote("the third line of a checkpoint is the root hash in base64") from error
        return cls(origin, int(size), raw)
