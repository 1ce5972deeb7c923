"""Bundles: a range of the ledger with its proofs, as one text file.

    blotter-bundle/v1
    origin <name of the ledger>
    from <first position>
    to <position after the last>
    size <size of the tree that the checkpoint signs>
    left <base64>      the roots of the full subtrees before `from`, from left to right; none if `from` is 0
                       (an empty line)
    <leaf>             one line per entry: the bytes that were hashed, in canonical JSON
                       (an empty line)
    right <base64>     the roots of the full subtrees from `to` to `size`, from left to right
                       (an empty line)
    <checkpoint>       the signed note, with its cosignatures, to the end of the file

Every line ends with a newline. A leaf contains none, because JSON escapes it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

HEADER = "blotter-bundle/v1"


def head(origin: str, start: int, end: int, size: int, left: Sequence[bytes]) -> str:
    """Return the part of a bundle before the leaves."""
    lines = [HEADER, f"origin {origin}", f"from {start}", f"to {end}", f"size {size}"]
    lines += [f"left {base64.b64encode(value).decode()}" for value in left]
    return "\n".join(lines) + "\n\n"


def tail(right: Sequence[bytes], checkpoint: str) -> str:
    """Return the part of a bundle after the leaves."""
    lines = [f"right {base64.b64encode(value).decode()}\n" for value in right]
    return "\n" + "".join(lines) + "\n" + checkpoint
