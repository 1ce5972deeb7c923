"""Verifying a bundle, line by line, in memory that does not grow with it (but for one number a trader)."""

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
from blotter_verifier.notes import COSIGNATURE, ED25519, InvalidNote, Note, Verifier, parse_note

HEADER = "blotter-bundle/v1"
LONGEST_LINE = 200_000
LONGEST_CHECKPOINT = 1_000_000
FAULTS_TOLD = 100
_SEQUENCE = re.compile("[1-9][0-9]{0,18}")


class NotABundle(Exception):
    """The file is no bundle at all."""


class _Broken(Exception):
    """A bundle of which something is missing, or in the wrong place."""


@dataclass
class Verdict:
    """What was found. `faults` is empty exactly when the bundle is what was signed."""

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
    """Size of the older checkpoint that it continues; None where none was given."""
    faults: list[str] = field(default_factory=list)
    """What is wrong: the first of it, one would do."""
    doubts: list[str] = field(default_factory=list)
    """What could not be checked with what was given: the keys, the older checkpoint."""

    @property
    def good(self) -> bool:
        """Whether nothing is wrong, and nothing was left unchecked."""
        return not self.faults and not self.doubts

    def fault(self, what: str) -> None:
        """Note what is wrong."""
        if len(self.faults) < FAULTS_TOLD:
            self.faults.append(what)

    def doubt(self, what: str) -> None:
        """Note what could not be checked."""
        self.doubts.append(what)


class _Tree:
    """A tree that is read from left to right: the roots of the full subtrees so far, each with its leaves."""

    def __init__(self) -> None:
        self.size = 0
        self._subtrees: list[tuple[int, bytes]] = []

    def add(self, leaves: int, root: bytes) -> None:
        """Add a full subtree; merge what has become full."""
        self.size += leaves
        while self._subtrees and self._subtrees[-1][0] == leaves:
            root = node_hash(self._subtrees.pop()[1], root)
            leaves *= 2
        self._subtrees.append((leaves, root))

    def root(self) -> bytes:
        """Return the root over all that was added."""
        return fold([root for _, root in self._subtrees])


class _Lines:
    """The lines of a bundle, with their numbers."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def next(self) -> bytes:
        """Return the next line without its newline."""
        line = self._file.readline(LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise _Broken("The file ends too early, or a line is too long.")
        return line[:-1]

    def text(self, name: str) -> str:
        """Return the value of the next line, which is called `name`."""
        key, _, value = self.next().partition(b" ")
        if key.decode("utf-8", "replace") != name:
            raise _Broken(f"A line that begins with {name!r} is missing.")
        return value.decode("utf-8", "replace")

    def number(self, name: str) -> int:
        """Return the number on the next line, which is called `name`."""
        text = self.text(name)
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise _Broken(f"The line {name!r} has no number.")
        return int(text)

    def hashes(self, name: str) -> Iterator[bytes]:
        """Yield the hashes of the lines called `name`, up to an empty line."""
        while line := self.next():
            key, _, value = line.partition(b" ")
            if key.decode("utf-8", "replace") != name:
                raise _Broken("The entries and hashes are not those that the bundle announces.")
            try:
                yield decoded(value.decode("ascii"), HASH_BYTES)
            except ValueError as error:
                raise _Broken(f"A line {name!r} has no hash of {HASH_BYTES} bytes.") from error

    def rest(self) -> str:
        """Return what is left."""
        text = self._file.read(LONGEST_CHECKPOINT + 1)
        if len(text) > LONGEST_CHECKPOINT:
            raise _Broken("What follows the entries is too long for a checkpoint.")
        return text.decode("utf-8", "replace")


def verify(
    file: BinaryIO,
    verifiers: Collection[Verifier],
    since: Note | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Verdict:
    """Check every leaf, the dense sequences, the root, the signature, and an older checkpoint. Raises NotABundle."""
    lines, verdict = _Lines(file), Verdict()
    if file.readline(LONGEST_LINE).rstrip(b"\n").decode("utf-8", "replace") != HEADER:
        raise NotABundle(f"This is no bundle: it does not begin with {HEADER}.")
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
        raise _Broken("The positions of the bundle contradict each other.")
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
        raise _Broken("There are more leaves than the bundle says.")
    _add_subtrees(tree, lines.hashes("right"), _subtrees(verdict.end, verdict.size))
    leaves.finish()
    _check_signed(lines.rest(), tree, verifiers, verdict)
    if older and verdict.since is None and verdict.good:
        verdict.doubt(
            f"The older checkpoint is of {older.size} entries, and this bundle has those from {verdict.start} to "
            f"{verdict.end}: export one that reaches over it."
        )


class _Leaves:
    """Checks leaf by leaf that each is canonical, and that no trader's event is missing."""

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
        elif content.get("version") is True or content.get("version") != 1:
            self._verdict.fault(f"Entry {position} is of an unknown version.")
        elif content.get("type") == "execution_log":
            self._check_log(position, content)
        elif content.get("type") not in ("keys", "baseline"):  # it may be a list, which no set takes
            self._verdict.fault(f"Entry {position} is of an unknown type.")

    def _check_log(self, position: int, log: dict[str, object]) -> None:
        trader_id, number, time = str(log.get("trader_id")), log.get("sequence"), str(log.get("created_at"))
        if not (isinstance(number, str) and _SEQUENCE.fullmatch(number)):
            self._verdict.fault(f"Entry {position} has no number among the events of trader {trader_id}.")
            return
        sequence = int(number)
        expected = self._last.get(trader_id, 0 if self._verdict.start == 0 else sequence - 1) + 1
        if sequence != expected:
            self._verdict.fault(
                f"Entry {position} is event {number} of trader {trader_id}, where event {expected} should come."
            )
        self._last[trader_id] = sequence
        self._verdict.logs += 1
        self._verdict.first_time = min(self._verdict.first_time or time, time)
        self._verdict.last_time = max(self._verdict.last_time, time)

    def finish(self) -> None:
        """Count the traders."""
        self._verdict.traders = len(self._last)


def _subtrees(start: int, end: int) -> Iterator[int]:
    """Yield the sizes of the full subtrees between two positions: powers of two, each at a multiple of itself."""
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
        raise _Broken("There are more or fewer hashes than the bundle needs.") from error


def _older(since: Note | None, verifiers: Collection[Verifier], verdict: Verdict) -> Checkpoint | None:
    if since is None:
        return None
    try:
        if not since.signed_by(verifiers):
            verdict.doubt(f"The older checkpoint is signed by {_names(since)}, by no key that you gave.")
        older = Checkpoint.parse(since.text)
    except InvalidNote as error:
        verdict.fault(f"The older checkpoint is false: {error}.")
        return None
    if older.origin != verdict.origin:
        verdict.fault(f"The older checkpoint is of another ledger, {older.origin}.")
    if older.size > verdict.size:
        verdict.doubt(
            f"The checkpoint is of {older.size} entries, this bundle's tree has {verdict.size}. Either the bundle was "
            "exported before the checkpoint was signed, or entries were removed since: export it again now."
        )
        verdict.since = older.size
    return older


def _compare(tree: _Tree, older: Checkpoint | None, verdict: Verdict) -> None:
    if older is None or tree.size != older.size or verdict.since is not None:
        return
    verdict.since = older.size
    if tree.root() != older.root:
        verdict.fault(
            f"The first {older.size} entries are not those that the older checkpoint signed: history was altered."
        )


def _check_signed(text: str, tree: _Tree, verifiers: Collection[Verifier], verdict: Verdict) -> None:
    try:
        note = parse_note(text)
        checkpoint = Checkpoint.parse(note.text)
        signed_by = note.signed_by(verifiers)
    except InvalidNote as error:
        verdict.fault(f"The checkpoint is false: {error}.")
        return
    verdict.signed_by = [f"{verifier.name}+{verifier.key_id.hex()}" for verifier in signed_by]
    if not any(verifier.type == ED25519 for verifier in signed_by):
        verdict.doubt(f"The checkpoint is signed by {_names(note)}, by no log's key that you gave.")
    for verifier in verifiers:
        if verifier.type == COSIGNATURE and verifier not in signed_by:
            verdict.doubt(f"The witness {verifier.name} has not cosigned the checkpoint.")
    if (checkpoint.origin, checkpoint.size) != (verdict.origin, verdict.size):
        verdict.fault("The checkpoint is of another ledger, or of another size, than the bundle says.")
    elif checkpoint.root != tree.root():
        verdict.fault("The entries are not those that were signed: the root of the tree differs.")


def _names(note: Note) -> str:
    return ", ".join(f"{signature.name}+{signature.key_id.hex()}" for signature in note.signatures)
