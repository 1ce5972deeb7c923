"""Signs checkpoints of the tree, and refuses to sign a tree that contradicts an earlier checkpoint."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable

from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.notes import InvalidKey, Note, Signer, Verifier, parse_note, sign
from blotter_verifier.proofs import InvalidProof, verify_consistency
from service.ledger.edge import Edge
from service.ledger.tiles import consistency_spans, edge, needed, root_over
from service.repositories.append import LedgerWriter, StoredCheckpoint
from service.sequencing.keys import KeyFolder
from service.sequencing.sinks import DirectorySink

log = logging.getLogger("blotter.checkpoints")


class RefusedToSign(Exception):
    """The tree must not be signed: it contradicts a signed checkpoint, or the keys are not those of the ledger."""


class Checkpoints:
    """Signs checkpoints of one tree."""

    def __init__(self, origin: str, keys: KeyFolder | None, outside: DirectorySink | None) -> None:
        """`outside` is the directory that holds the newest published checkpoint."""
        self._origin = origin
        self._keys = keys
        self._outside = outside
        self._newest: Checkpoint | None = None
        self._recorded: list[str] | None = None

    @property
    def has_keys(self) -> bool:
        """Whether a folder of keys is set."""
        return self._keys is not None

    async def begin(self, writer: LedgerWriter, tree: Edge) -> Note | None:
        """Compare the tree with the newest checkpoints in the database and outside. Raises RefusedToSign.

        Returns the newest checkpoint, which may not have reached all sinks when the process that signed it was killed.
        """
        self._recorded = None
        stored = await writer.newest_checkpoint()
        outside = await self._outside.calls.run(self._outside.newest) if self._outside else None
        notes = [note for note in (stored and parse_note(stored.note), outside) if note]
        verifiers = await self._verifiers(writer)
        for note in notes:
            checkpoint = Checkpoint.parse(note.text)
            # By a key of the checkpoint's own origin: leaves may name foreign keys.
            if not note.signed_by([verifier for verifier in verifiers if verifier.name == checkpoint.origin]):
                raise RefusedToSign(
                    f"The newest checkpoint, of {checkpoint.size} entries, is signed by none of this "
                    "ledger's keys: it was forged, in the database or in the checkpoint directory, or the keys are not "
                    "those of this ledger (BLOTTER_LEDGER_KEYS)."
                )
        # Also what this process has signed itself: the database may have been replaced since, as by a promoted standby.
        signed = [Checkpoint.parse(note.text) for note in notes] + ([self._newest] if self._newest else [])
        size, _ = await writer.head(tree)
        for checkpoint in signed:
            await self._compare(writer, size, checkpoint)
        if stored and self._outside and outside is None:
            log.warning(
                "The checkpoint directory is empty, although checkpoints were signed: check "
                "BLOTTER_CHECKPOINT_DIRECTORY."
            )
        self._newest = max(signed, key=lambda checkpoint: checkpoint.size, default=None)
        return parse_note(stored.note) if stored and self._newest and stored.size == self._newest.size else None

    async def check_settings(self, writer: LedgerWriter) -> None:
        """Raise RefusedToSign when the keys or the origin of this process are not those of the ledger.

        For a process that is not elected, which would otherwise find out only when it has to take over.
        """
        self._recorded = None  # another process may have recorded keys meanwhile
        await self.check_keys(writer)
        if stored := await writer.newest_checkpoint():
            self._check_origin(Checkpoint.parse(parse_note(stored.note).text))

    async def check_keys(self, writer: LedgerWriter, *, replace: bool = False) -> list[Signer]:
        """Return the keys to sign with.

        Raises RefusedToSign when there is none, when one has another name, or when none has signed this ledger before,
        unless `replace`: two ledgers may have the same name, such as the default.
        """
        if self._keys is None:
            raise RefusedToSign("BLOTTER_LEDGER_KEYS is not set: set it to the folder of the keys.")
        signers = await self._keys.calls.run(self._keys.signers)
        if not signers:
            raise RefusedToSign(f"There is no key in {self._keys.folder}: run blotter keys generate.")
        for signer in signers:
            if signer.name != self._origin:
                raise RefusedToSign(
                    f"A key in {self._keys.folder} is named {signer.name}, but the ledger is named {self._origin} "
                    "(BLOTTER_LEDGER_ORIGIN)."
                )
        if self._recorded is None:
            leaves = await writer.notes("KEYS")
            known = [str(verifier) for verifier in _named(leaves) if verifier.name == self._origin]
            if known and not replace and not {str(signer.verifier) for signer in signers} & set(known):
                raise RefusedToSign(
                    f"{self._keys.folder} holds none of the keys that sign this ledger, {', '.join(known)}: check "
                    "BLOTTER_LEDGER_KEYS. To rotate keys, add the new key and keep the old one. If the old keys are "
                    "lost, run blotter keys replace."
                )
            self._recorded = _listed(leaves[-1], "keys") if leaves else []
        return signers

    async def record_keys(self, writer: LedgerWriter, tree: Edge, *, replace: bool = False) -> list[Signer]:
        """Return the keys to sign with; append a leaf that names them if they have changed. Raises RefusedToSign."""
        signers = await self.check_keys(writer, replace=replace)
        vkeys = sorted(str(signer.verifier) for signer in signers)
        if self._recorded != vkeys:
            await writer.append_note(tree, "KEYS", {"keys": vkeys, "origin": self._origin})
            log.info("The ledger is signed by %s from entry %d on", ", ".join(vkeys), tree.size - 1)
            self._recorded = vkeys
        return signers

    async def sign(self, writer: LedgerWriter, tree: Edge) -> Note | None:
        """Sign the tree if it or the keys have changed since the last checkpoint; store and return the checkpoint.

        Returns None when nothing has changed. Raises RefusedToSign.
        """
        if not tree.size:
            # Nothing to sign; the next entries are signed next time, after the leaf that names the keys.
            await self.check_keys(writer)
            return None
        signers = await self.record_keys(writer, tree)
        size, root = await writer.head(tree)  # the tree grows meanwhile
        if size == (self._newest.size if self._newest else 0):
            return None
        if Edge(size, await writer.tiles(edge(size))).root() != root:
            raise RefusedToSign(
                "The tree in the database differs from the tree in memory: an entry or a tile was changed."
            )
        if self._newest:
            await self._prove(writer, self._newest, size, root)
        checkpoint = Checkpoint(self._origin, size, root)
        note = sign(checkpoint.text, signers)
        await writer.add_checkpoint(StoredCheckpoint(size, root, str(note)))
        self._newest = checkpoint
        return note

    async def _verifiers(self, writer: LedgerWriter) -> list[Verifier]:
        """Return the keys that may have signed: those of the folder, and those that leaves of the ledger name."""
        signers = await self._keys.calls.run(self._keys.signers) if self._keys else []
        return [signer.verifier for signer in signers] + _named(await writer.notes("KEYS"))

    def _check_origin(self, checkpoint: Checkpoint) -> None:
        if checkpoint.origin != self._origin:
            raise RefusedToSign(
                f"The newest checkpoint is of {checkpoint.origin}, this ledger is {self._origin}: correct "
                "BLOTTER_LEDGER_ORIGIN, or set BLOTTER_CHECKPOINT_DIRECTORY to a folder of this ledger's own."
            )

    async def _compare(self, writer: LedgerWriter, size: int, checkpoint: Checkpoint) -> None:
        self._check_origin(checkpoint)
        if checkpoint.size > size:
            raise RefusedToSign(
                f"A tree of {checkpoint.size} entries was signed, this database has fewer: it is an older copy, or its "
                "newest entries were removed. Restore the database that the newest checkpoint was signed in; if it is "
                "lost, start a new ledger under a new origin and inform the holders of checkpoints."
            )
        if checkpoint.size:
            tiles = await writer.tiles(needed([(0, checkpoint.size)], size))
            if root_over((0, checkpoint.size), tiles) != checkpoint.root:
                raise RefusedToSign(
                    f"The first {checkpoint.size} entries are not those that were signed: the ledger was altered, or "
                    "is another database's. Compare an export with the checkpoint: run blotter audit verify --since."
                )

    async def _prove(self, writer: LedgerWriter, old: Checkpoint, size: int, root: bytes) -> None:
        spans = consistency_spans(old.size, size)
        tiles = await writer.tiles(needed(spans, size))
        try:
            verify_consistency(old.size, size, old.root, root, [root_over(span, tiles) for span in spans])
        except InvalidProof as error:
            raise RefusedToSign(f"The tree does not continue the one of {old.size} entries: {error}") from error


def _listed(leaf: bytes, name: str) -> list[str]:
    """Return a list of strings from a leaf; the empty list when the leaf has none of that name."""
    try:
        return [str(item) for item in json.loads(leaf)[name]]
    except (ValueError, LookupError, TypeError):
        return []


def _named(leaves: Iterable[bytes]) -> list[Verifier]:
    """Return the keys that leaves of the ledger name. Invalid keys are left out.

    A leaf that names one can be appended under the sequencer's login, and cannot be removed.
    """
    verifiers = []
    for key in dict.fromkeys(key for leaf in leaves for key in _listed(leaf, "keys")):
        try:
            verifiers.append(Verifier.parse(key))
        except InvalidKey:
            log.warning("A leaf of the ledger names an invalid key: %r", key[:200])
    return verifiers
