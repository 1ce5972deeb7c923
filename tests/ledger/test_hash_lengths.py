"""A proof has hashes of 32 bytes: with other lengths, bytes could be split differently and give the same root."""

import hashlib

import pytest

from blotter_verifier.proofs import InvalidProof, verify_consistency, verify_inclusion

LEFT, RIGHT = hashlib.sha256(b"left").digest(), hashlib.sha256(b"right").digest()
ROOT = hashlib.sha256(b"\x01" + LEFT + RIGHT).digest()
SHIFTED = [(LEFT + RIGHT[:1], RIGHT[1:]), (LEFT[:-1], LEFT[-1:] + RIGHT), (LEFT + RIGHT, b""), (b"", LEFT + RIGHT)]


def test_hashes_of_32_bytes_are_accepted() -> None:
    verify_inclusion(0, 2, LEFT, [RIGHT], ROOT)
    verify_consistency(1, 2, LEFT, ROOT, [RIGHT])


@pytest.mark.parametrize(("left", "right"), SHIFTED)
def test_a_leaf_and_a_proof_cut_elsewhere_prove_nothing(left: bytes, right: bytes) -> None:
    with pytest.raises(InvalidProof):
        verify_inclusion(0, 2, left, [right], ROOT)
    with pytest.raises(InvalidProof):
        verify_inclusion(1, 2, right, [left], ROOT)


@pytest.mark.parametrize(("left", "right"), SHIFTED)
def test_an_old_root_and_a_proof_cut_elsewhere_prove_nothing(left: bytes, right: bytes) -> None:
    with pytest.raises(InvalidProof):
        verify_consistency(1, 2, left, ROOT, [right])
