"""Mutants of what is proved: the tree, proofs, notes, receipts, the verifier of bundles."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PROOFS = "packages/verifier/blotter_verifier/proofs.py"
RECEIPT = "packages/verifier/blotter_verifier/receipt.py"
NOTES = "packages/verifier/blotter_verifier/notes.py"
CHECKPOINT = "packages/verifier/blotter_verifier/checkpoint.py"
HASHING = "packages/verifier/blotter_verifier/hashing.py"
TILES = "service/ledger/tiles.py"
BUNDLE = "packages/verifier/blotter_verifier/bundle.py"

TREES = ("tests/ledger/test_hash_lengths.py", "tests/ledger/test_proofs.py", "tests/ledger/test_trees.py")
NOTED = ("tests/ledger/test_proofs.py",)
RECEIPTS = ("tests/ledger/test_verifier.py", "tests/ledger/test_commands.py")
BUNDLES = ("tests/ledger/test_verifier.py", "tests/ledger/test_commands.py")
MALFORMED = ("tests/ledger/test_verifier.py",)

MUTANTS = (
    # Proofs.
    Mutant(PROOFS, "    _check_hashes(leaf, root, *proof)\n", "", TREES),
    Mutant(PROOFS, "if not 0 <= index < size:", "if not 0 <= index <= size:", TREES),
    Mutant(PROOFS, "if not 0 <= index < size:", "if not index < size:", TREES),
    Mutant(PROOFS, "if computed != root:", "if False:", TREES),
    Mutant(PROOFS, "node_hash(sibling, computed) if on_the_left else node_hash(computed, sibling)",
           "node_hash(computed, sibling)", TREES),
    Mutant(PROOFS, "if not 0 < old_size <= new_size:", "if not 0 <= old_size <= new_size:", TREES),
    Mutant(PROOFS, "if not 0 < old_size <= new_size:", "if not 0 < old_size:", TREES),
    Mutant(PROOFS, "if proof or old_root != new_root:", "if old_root != new_root:", TREES),
    Mutant(PROOFS, "if proof or old_root != new_root:", "if proof:", TREES),
    Mutant(PROOFS, "    _check_hashes(old_root, new_root, *proof)\n", "", TREES),
    Mutant(PROOFS, "    if not proof:\n        raise InvalidProof(\"the proof is empty\")\n", "", TREES),
    Mutant(PROOFS, "if old_size & (old_size - 1) == 0:", "if False:", TREES),
    Mutant(PROOFS, "if (old, new) != (old_root, new_root):", "if new != new_root:", TREES),
    Mutant(PROOFS, "if (old, new) != (old_root, new_root):", "if old != old_root:", TREES),
    Mutant(PROOFS, "old, new = node_hash(sibling, old), node_hash(sibling, new)", "new = node_hash(sibling, new)", TREES),
    Mutant(PROOFS, "if number & 1 or number == last:", "if number & 1:", TREES),
    Mutant(PROOFS, "while number and not number & 1:", "while False:", TREES),
    Mutant(PROOFS, "if len(steps) != length:", "if len(steps) < length:", TREES),
    Mutant(PROOFS, "if len(steps) != length:", "if len(steps) > length:", TREES),
    # The tree.
    Mutant(HASHING, 'b"\\x00" + leaf', "leaf", TREES),
    Mutant(HASHING, 'b"\\x01" + left + right', 'b"\\x01" + right + left', TREES),
    Mutant(HASHING, 'b"\\x01" + left + right', "left + right", TREES),
    Mutant(TILES, "1 << ((size - 1).bit_length() - 1)", "1 << (size.bit_length() - 1)", TREES),
    Mutant(TILES, "if index < middle:", "if index <= middle:", TREES),
    Mutant(TILES, "if old_size <= middle:", "if old_size < middle:", TREES),
    Mutant(TILES, "    if not whole:\n", "    if True:\n", TREES),
    # Notes, checkpoints.
    Mutant(NOTES, "type_ not in {ED25519, COSIGNATURE} or len(key) != 32", "len(key) != 32", NOTED),
    Mutant(NOTES, "if verifier.key_id != key_id:", "if False:", NOTED),
    Mutant(NOTES, "if len(signature) != 72:", "if len(signature) < 72:", NOTED,
           explained="what is left after the time is then no Ed25519 signature, and is refused as false"),
    Mutant(NOTES, "if not 0 < time < 1 << 63:", "if False:", NOTED),
    Mutant(NOTES, "message = cosigned(text, time)", "message = text.encode()", NOTED),
    Mutant(NOTES, "raise InvalidNote(f\"the signature of {self.name} is false\") from error", "pass", NOTED),
    Mutant(NOTES, "by_id.get((signature.name, signature.key_id))",
           "next((one for one in verifiers if one.key_id == signature.key_id), None)", NOTED),
    Mutant(NOTES, "verifier.verify(self.text, signature.signature)", "pass", NOTED + BUNDLES),
    Mutant(NOTES, "if len(lines) > MAX_SIGNATURES:", "if False:", NOTED),
    Mutant(NOTES, "    _check_characters(message)\n    text, blank", "    text, blank", NOTED,
           explained="the text is looked at below, and neither a name nor base64 takes a control character"),
    Mutant(NOTES, "    if not blank:\n", "    if False:\n", NOTED),
    Mutant(NOTES, "len(raw) < 5", "len(raw) < 4", NOTED),
    Mutant(CHECKPOINT, "0|[1-9][0-9]{0,18}", "[0-9]{1,19}", NOTED),
    Mutant(CHECKPOINT, "decoded(root, HASH_BYTES)", "decoded(root)", NOTED),
    # Receipts.
    Mutant(RECEIPT, "verify_inclusion(self.index, checkpoint.size, leaf_hash(self.leaf), self.proof, checkpoint.root)",
           "pass", RECEIPTS),
    Mutant(RECEIPT, "if not checkpoint.is_signed_by_log(signed_by):", "if not signed_by:", RECEIPTS),
    Mutant(RECEIPT, "if not checkpoint.is_signed_by_log(signed_by):", "if False:", RECEIPTS),
    Mutant(RECEIPT, "if verifier.type == COSIGNATURE and verifier not in signed_by:", "if False:", RECEIPTS),
    Mutant(RECEIPT, "if header != HEADER:", "if False:", RECEIPTS),
    Mutant(RECEIPT, "decoded(line, HASH_BYTES)", "decoded(line)", MALFORMED),
    # Bundles.
    Mutant(BUNDLE, "return not self.faults and not self.doubts", "return not self.faults", BUNDLES),
    Mutant(BUNDLE, "while self._subtrees and self._subtrees[-1][0] == leaves:",
           "while self._subtrees and self._subtrees[-1][0] <= leaves:", MALFORMED,
           explained="a subtree begins at a multiple of its own size, so that none before it is smaller"),
    Mutant(BUNDLE, 'if not line.endswith(b"\\n"):', "if not line:", MALFORMED),
    Mutant(BUNDLE, "if not verdict.start <= verdict.end <= verdict.size:", "if False:", MALFORMED),
    Mutant(BUNDLE, "    if lines.next():\n        raise _Broken(\"The bundle has more entries than it states.\")\n",
           "    lines.next()\n", MALFORMED),
    Mutant(BUNDLE, "if older and verdict.since is None and verdict.verified:", "if False:", BUNDLES),
    Mutant(BUNDLE, "canonical = rfc8785.dumps(content) == leaf", "canonical = True", BUNDLES),
    Mutant(BUNDLE, 'elif not isinstance(kind := content.get("type"), str) or kind not in VERSIONS:',
           'elif not isinstance(kind := content.get("type"), str):', BUNDLES),
    Mutant(BUNDLE, 'content.get("version") is True or ', "", BUNDLES),
    Mutant(BUNDLE, 'content.get("version") not in VERSIONS[kind]', "False", BUNDLES),
    Mutant(BUNDLE, '"execution_log": (1, 2)', '"execution_log": (1, 2, 3)', BUNDLES),
    Mutant(BUNDLE, '"execution_log": (1, 2)', '"execution_log": (1,)', BUNDLES),
    Mutant(BUNDLE, '"execution_log": (1, 2)', '"execution_log": (2,)', BUNDLES),
    Mutant(BUNDLE, '"keys": (1,)', '"keys": (1, 2)', BUNDLES),
    Mutant(BUNDLE, '"baseline": (1,)', '"baseline": (1, 2)', BUNDLES),
    Mutant(BUNDLE, "0 if self._verdict.start == 0 else sequence - 1", "sequence - 1", BUNDLES),
    Mutant(BUNDLE, "if sequence != expected:", "if sequence < expected:", BUNDLES),
    Mutant(BUNDLE, "if sequence != expected:", "if False:", BUNDLES),
    Mutant(BUNDLE, "zip(sizes, hashes, strict=True)", "zip(sizes, hashes)", BUNDLES),
    Mutant(BUNDLE, "if not (witnessed or older.is_signed_by_log(signed_by)):", "if False:", BUNDLES),
    Mutant(BUNDLE, "if not (witnessed or older.is_signed_by_log(signed_by)):", "if not signed_by:", BUNDLES),
    Mutant(BUNDLE, "if len(trader_id) > MAX_TRADER_ID:", "if False:", BUNDLES),
    Mutant(CHECKPOINT, "verifier.type == ED25519 and verifier.name == self.origin", "verifier.type == ED25519", BUNDLES),
    Mutant(CHECKPOINT, "verifier.type == ED25519 and verifier.name == self.origin", "verifier.name == self.origin", BUNDLES),
    Mutant(BUNDLE, "if older.origin != verdict.origin:", "if False:", BUNDLES),
    Mutant(BUNDLE, "if older.size > verdict.size:", "if False:", BUNDLES),
    Mutant(BUNDLE, "if tree.root() != older.root:", "if False:", BUNDLES),
    Mutant(BUNDLE, "if not checkpoint.is_signed_by_log(signed_by):", "if not signed_by:", BUNDLES),
    Mutant(BUNDLE, "if not checkpoint.is_signed_by_log(signed_by):", "if False:", BUNDLES),
    Mutant(BUNDLE, "if verifier.type == COSIGNATURE and verifier not in signed_by:", "if False:", BUNDLES),
    Mutant(BUNDLE, "if (checkpoint.origin, checkpoint.size) != (verdict.origin, verdict.size):",
           "if checkpoint.size != verdict.size:", BUNDLES),
    Mutant(BUNDLE, "if (checkpoint.origin, checkpoint.size) != (verdict.origin, verdict.size):",
           "if checkpoint.origin != verdict.origin:", BUNDLES),
    Mutant(BUNDLE, "elif checkpoint.root != tree.root():", "elif False:", BUNDLES),
)  # fmt: skip
