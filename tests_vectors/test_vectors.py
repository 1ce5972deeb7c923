"""The published test vectors of RFC 6962 proofs, signed notes and hashes."""

import base64
import json
from typing import Any

import pytest

from blotter_verifier import hashing, notes
from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.notes import InvalidKey, Signer, Verifier, parse_note
from blotter_verifier.proofs import InvalidProof, verify_consistency, verify_inclusion
from tests_vectors.vectors import VECTORS, cases, hashes

NOTES: Any = json.loads((VECTORS / "signed-note.json").read_text())


def test_all_published_proofs_are_present() -> None:
    for kind in ("inclusion", "consistency"):
        found = [case.values[0]["wantErr"] for case in cases(kind)]
        assert (len(found), sum(found)) == (98, 92)


@pytest.mark.parametrize("case", cases("inclusion"))
def test_inclusion(case: Any) -> None:
    leaf, root = hashes([case["leafHash"] or "", case["root"] or ""])
    arguments = case["leafIdx"], case["treeSize"], leaf, hashes(case["proof"]), root
    if case["wantErr"]:
        with pytest.raises(InvalidProof):
            verify_inclusion(*arguments)
    else:
        verify_inclusion(*arguments)


@pytest.mark.parametrize("case", cases("consistency"))
def test_consistency(case: Any) -> None:
    old, new = hashes([case["root1"] or "", case["root2"] or ""])
    arguments = case["size1"], case["size2"], old, new, hashes(case["proof"])
    if case["wantErr"]:
        with pytest.raises(InvalidProof):
            verify_consistency(*arguments)
    else:
        verify_consistency(*arguments)


def test_hashes() -> None:
    expected = NOTES["rfc6962_hash"]
    assert hashing.EMPTY_ROOT.hex() == expected["empty_root"]
    assert hashing.leaf_hash(b"").hex() == expected["leaf_of_empty"]
    assert hashing.leaf_hash(b"L123456").hex() == expected["leaf_of_ascii_L123456"]
    assert hashing.node_hash(b"N123", b"N456").hex() == expected["node_of_ascii_N123_N456"]


def test_notes() -> None:
    for case in NOTES["notes_valid"]:
        verifier = Verifier.parse(case["vkey"])
        assert str(verifier) == case["vkey"]
        note = parse_note(case["text"] + "\n" + case["sig"])
        assert note.signed_by([verifier]) == [verifier]
        assert str(note) == case["text"] + "\n" + case["sig"]
        altered = parse_note(case["text"].replace("e", "E", 1) + "\n" + case["sig"])
        with pytest.raises(notes.InvalidNote):
            altered.signed_by([verifier])
        if "skey" in case:
            signer = Signer.parse(case["skey"])
            assert signer.secret == case["skey"]
            assert str(notes.sign(case["text"], [signer])) == str(note)


def test_invalid_keys() -> None:
    for case in NOTES["vkeys_invalid"]:
        with pytest.raises(InvalidKey):
            Verifier.parse(case["vkey"])


def test_the_text_of_a_checkpoint() -> None:
    case = NOTES["checkpoint_bytes"]
    root = base64.b64decode(case["hash_b64"])
    assert root == hashing.leaf_hash(case["record"].encode())
    text = f"go.sum database tree\n{case['n']}\n{case['hash_b64']}\n"
    checkpoint = Checkpoint("go.sum database tree", case["n"], root)
    assert (checkpoint.text, Checkpoint.parse(text)) == (text, checkpoint)
