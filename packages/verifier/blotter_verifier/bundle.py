"""Verification of a bundle, line by line. Memory grows only with the number of traders, not with the bundle."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import rfc8785

from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.encoding import decoded
from blotter_verifier.hashing import HASH_BYTES, fold, leaf_hash, node_hash
from blotter_verifier.notes import COSIGNATURE, InvalidNote, Note, Verifier, parse_note

HEADER = "blotter-bundle/v1"
MAX_LINE = 200_000
MAX_CHECKPOINT = 1_000_000
MAX_FAULTS = 100
MAX_TRADER_ID = 100
"""A trader's id is a UUID; this bounds the memory that a false bundle takes."""
VERSIONS = {"execution_log": (1, 2), "keys": (1,), "baseline": (1,)}
"""The versions of each type of leaf. A log's version 2 has the columns of the request lifecycle besides those of 1."""
_SEQUENCE = re.compile("[1-9][0-9]{0,18}")


class NotABundle(Exception):
    """The file is not a bundle."""


class _Broken(Exception):
    """A part of the bundle is missing or malformed."""


@dataclass
class Verdict:
    """The result of a verification."""

    origin: str = ""
    start: int = 0
    end: int = 0
    size: int = 0
    logs: int = 0
    traders: int = 0
    first_time: str = ""
    last_time: str = ""
    signed_by: list[str] = field(default_factory=list)
    since: int | None = None
    """The size of the older checkpoint that was compared; None if none was."""
    faults: list[str] = field(default_factory=list)
    """The differences from what was signed, at most the first 100; empty if there are none."""
    doubts: list[str] = field(default_factory=list)
    """The checks that the given keys and the older checkpoint did not allow."""

    @property
    def verified(self) -> bool:
        """Whether there are neither faults nor doubts."""
        return not self.faults and not self.doubts

    def fault(self, message: str) -> None:
        """Add a fault, unless the list is full."""
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(message)

    def doubt(self, message: str) -> None:
        """Add a doubt."""
        self.doubts.append(message)


class _Tree:
    """A tree that is built from left to right, as the sizes and roots of its full subtrees."""

    def __init__(self) -> None:
        self.size = 0
        self._subtrees: list[tuple[int, bytes]] = []

    def add(self, leaves: int, root: bytes) -> None:
        """Add a full subtree; merge subtrees of equal size."""
        self.size += leaves
        while self._subtrees and self._subtrees[-1][0] == leaves:
            root = node_hash(self._subtrees.pop()[1], root)
            leaves *= 2
        self._subtrees.append((leaves, root))

    def root(self) -> bytes:
        """Return the root of the tree."""
        return fold([root for _, root in self._subtrees])


class _Lines:
    """The lines of a bundle."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def next(self) -> bytes:
        """Return the next line without its newline."""
        line = self._file.readline(MAX_LINE)
        if not line.endswith(b"\n"):
            raise _Broken("The file is truncated, or a line is too long.")
        return line[:-1]

    def text(self, name: str) -> str:
        """Return the value of the next line, which must start with `name`."""
        key, _, value = self.next().partition(b" ")
        if key.decode("utf-8", "replace") != name:
            raise _Broken(f"The line {name!r} is missing.")
        return value.decode("utf-8", "replace")

    def number(self, name: str) -> int:
        """Return the number on the next line, which must start with `name`."""
        text = self.text(name)
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise _Broken(f"The value of the line {name!r} is not a number.")
        return int(text)

    def hashes(self, name: str) -> Iterator[bytes]:
        """Yield the hashes of the lines `name`, until an empty line."""
        while line := self.next():
            key, _, value = line.partition(b" ")
            if key.decode("utf-8", "replace") != name:
                raise _Broken(f"The bundle has another line where it should have a hash {name!r} or an empty line.")
            try:
                yield decoded(value.decode("ascii"), HASH_BYTES)
            except ValueError as error:
                raise _Broken(f"The value of a line {name!r} is not a hash of {HASH_BYTES} bytes.") from error

    def rest(self) -> str:
        """Return the rest of the file, which is the checkpoint."""
        text = self._file.read(MAX_CHECKPOINT + 1)
        if len(text) > MAX_CHECKPOINT:
            raise _Broken(f"The checkpoint is longer than {MAX_CHECKPOINT} bytes.")
        return text.decode("utf-8", "replace")


def verify(
    file: BinaryIO,
    verifiers: Collection[Verifier],
    since: Note | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Verdict:
    """Check every entry, the sequences, the root, the signature, and the older checkpoint. Raises NotABundle."""
    lines, verdict = _Lines(file), Verdict()
    if file.readline(MAX_LINE).rstrip(b"\n").decode("utf-8", "replace") != HEADER:
        raise NotABundle(f"This is not a bundle: it does not start with {HEADER}.")
    try:
        _read(lines, verdict, verifiers, since, progress)
    except _Broken as broken:
        verdict.fault(str(broken))
    return verdict


def _read(
    lines: _Lines,
    verdict: Verdict,
    verifiers: Collection[Verifier],
    since: Note | None,
    progress: Callable[[int, int], None] | None,
) -> None:
    verdict.origin = lines.text("origin")
    verdict.start, verdict.end, verdict.size = (lines.number(name) for name in ("from", "to", "size"))
    if not verdict.start <= verdict.end <= verdict.size:
        raise _Broken("The bundle's `from`, `to` and `size` are not in ascending order.")
    tree = _Tree()
    _add_subtrees(tree, lines.hashes("left"), _subtrees(0, verdict.start))
    older = _older(since, verifiers, verdict)
    leaves = _Leaves(verdict)
    for position in range(verdict.start, verdict.end):
        _compare(tree, older, verdict)
        line = lines.next()
        tree.add(1, leaf_hash(line))
        leaves.check(position, line)
        if progress and position % 1000 == 0:
            progress(position - verdict.start, verdict.end - verdict.start)
    _compare(tree, older, verdict)
    if lines.next():
        raise _Broken("The bundle has more entries than it states.")
    _add_subtrees(tree, lines.hashes("right"), _subtrees(verdict.end, verdict.size))
    leaves.finish()
    _check_signed(lines.rest(), tree, verifiers, verdict)
    if older and verdict.since is None and verdict.verified:
        verdict.doubt(
            f"The older checkpoint is of size {older.size}, but this bundle has the entries from {verdict.start} to "
            f"{verdict.end}: export a bundle that includes this position."
        )


class _Leaves:
    """Checks that each leaf is canonical, and that no event of a trader is missing."""

    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self._last: dict[str, int] = {}

    def check(self, position: int, leaf: bytes) -> None:
        """Check the next leaf."""
        try:
            content = json.loads(leaf)
            canonical = rfc8785.dumps(content) == leaf
        except (ValueError, RecursionError, rfc8785.CanonicalizationError):
            content, canonical = None, False
        if not canonical or not isinstance(content, dict):
            self._verdict.fault(f"Entry {position} is not canonical JSON.")
        elif not isinstance(kind := content.get("type"), str) or kind not in VERSIONS:
            self._verdict.fault(f"Entry {position} has an unknown type.")
        elif content.get("version") is True or content.get("version") not in VERSIONS[kind]:
            self._verdict.fault(f"Entry {position} has an unknown version.")
        elif kind == "execution_log":
            self._check_log(position, content)

    def _check_log(self, position: int, log: dict[str, object]) -> None:
        trader_id, number, time = str(log.get("trader_id")), log.get("sequence"), str(log.get("created_at"))
        if not (isinstance(number, str) and _SEQUENCE.fullmatch(number)):
            self._verdict.fault(f"Entry {position}, of trader {trader_id}, has no valid sequence.")
            return
        if len(trader_id) > MAX_TRADER_ID:
            self._verdict.fault(f"Entry {position} has no valid trader_id.")
            return
        sequence = int(number)
        expected = self._last.get(trader_id, 0 if self._verdict.start == 0 else sequence - 1) + 1
        if sequence != expected:
            self._verdict.fault(
                f"Entry {position} is event {number} of trader {trader_id}, but event {expected} is expected."
            )
        self._last[trader_id] = sequence
        self._verdict.logs += 1
        self._verdict.first_time = min(self._verdict.first_time or time, time)
        self._verdict.last_time = max(self._verdict.last_time, time)

    def finish(self) -> None:
        """Set the number of traders."""
        self._verdict.traders = len(self._last)


def _subtrees(start: int, end: int) -> Iterator[int]:
    """Yield the sizes of the full subtrees between two positions: powers of two, each at a multiple of its size."""
    while start < end:
        size = 1
        while start % (2 * size) == 0 and start + 2 * size <= end:
            size *= 2
        yield size
        start += size


def _add_subtrees(tree: _Tree, hashes: Iterator[bytes], sizes: Iterator[int]) -> None:
    try:
        for size, value in zip(sizes, hashes, strict=True):
            tree.add(size, value)
    except ValueError as error:
        raise _Broken("The bundle has more or fewer subtree hashes than it needs.") from error


def _older(since: Note | None, verifiers: Collection[Verifier], verdict: Verdict) -> Checkpoint | None:
    if since is None:
        return None
    try:
        older = Checkpoint.parse(since.text)
        signed_by = since.signed_by(verifiers)
        witnessed = any(verifier.type == COSIGNATURE for verifier in signed_by)
        if not (witnessed or older.is_signed_by_log(signed_by)):
            verdict.doubt(f"The older checkpoint is signed by {_names(since)}, by none of the given keys of its log.")
    except InvalidNote as error:
        verdict.fault(f"The older checkpoint is invalid: {error}.")
        return None
    if older.origin != verdict.origin:
        verdict.fault(f"The older checkpoint is of another ledger, {older.origin}.")
    if older.size > verdict.size:
        verdict.doubt(
            f"The older checkpoint is of size {older.size}, this bundle's tree of size {verdict.size}. Either the "
            "bundle was exported before the checkpoint was signed, or entries were removed: export it again."
        )
        verdict.since = older.size
    return older


def _compare(tree: _Tree, older: Checkpoint | None, verdict: Verdict) -> None:
    if older is None or tree.size != older.size or verdict.since is not None:
        return
    verdict.since = older.size
    if tree.root() != older.root:
        verdict.fault(
            f"The first {older.size} entries are not those that the older checkpoint signs: the history was altered."
        )


def _check_signed(text: str, tree: _Tree, verifiers: Collection[Verifier], verdict: Verdict) -> None:
    try:
        note = parse_note(text)
        checkpoint = Checkpoint.parse(note.text)
        signed_by = note.signed_by(verifiers)
    except InvalidNote as error:
        verdict.fault(f"The checkpoint is invalid: {error}.")
        return
    verdict.signed_by = [f"{verifier.name}+{verifier.key_id.hex()}" for verifier in signed_by]
    if not checkpoint.is_signed_by_log(signed_by):
        verdict.doubt(
            f"The checkpoint is signed by {_names(note)}, by none of the given keys of the log {checkpoint.origin}."
        )
    for verifier in verifiers:
        if verifier.type == COSIGNATURE and verifier not in signed_by:
            verdict.doubt(f"The witness {verifier.name} has not cosigned the checkpoint.")
    if (checkpoint.origin, checkpoint.size) != (verdict.origin, verdict.size):
        verdict.fault("The checkpoint's origin or size differs from the bundle's.")
    elif checkpoint.root != tree.root():
        verdict.fault("The entries are not those that were signed: the root of the tree differs from the checkpoint's.")


def _names(note: Note) -> str:
    return ", ".join(f"{signature.name}+{signature.key_id.hex()}" for signature in note.signatures)
