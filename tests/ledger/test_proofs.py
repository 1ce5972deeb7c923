"""Proofs and signed notes against plain code that was written from the RFCs and C2SP's texts alone.

Each variation of a proof is one that a faulty verifier would accept, or a correct one would refuse: the service's
verifier must decide as the plain one.
"""

import base64
from collections.abc import Callable, Iterator

import pytest

from blotter_verifier import hashing, notes
from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.notes import InvalidKey, InvalidNote, Signer, Verifier, parse_note, sign
from blotter_verifier.proofs import InvalidProof, verify_consistency, verify_inclusion
from service.ledger.tiles import consistency_spans, inclusion_spans
from tests.ledger import plain

LEAVES = [plain.leaf(bytes([number])) for number in range(70)]
SIZES = [*range(1, 18), 31, 32, 33, 63, 64, 65]

# The leaves and roots of the tests of Certificate Transparency's own implementation, which others reuse.
KNOWN = {
    "": "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "00": "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "10": "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "2021": "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "3031": "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "40414243": "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "5051525354555657": "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "606162636465666768696a6b6c6d6e6f": "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def variations(proof: list[bytes]) -> Iterator[list[bytes]]:
    """The proof, and variations with each possible fault of its hashes."""
    yield proof
    yield []
    yield [*proof, LEAVES[0]]
    yield [LEAVES[0], *proof]
    yield proof[::-1]
    for place, value in enumerate(proof):
        yield [*proof[:place], *proof[place + 1 :]]
        yield [*proof[: place + 1], *proof[place:]]
        for other in (bytes([value[0] ^ 1]) + value[1:], value[:-1], value + b"\0", b"", plain.leaf(value)):
            yield [*proof[:place], other, *proof[place + 1 :]]


def accepts(verify: Callable[..., None], *arguments: object) -> bool:
    """Whether the service's verifier accepts it."""
    try:
        verify(*arguments)
    except InvalidProof:
        return False
    return True


def test_the_plain_code_computes_the_known_roots() -> None:
    assert plain.mth([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # RFC 6962 §2.1
    leaves = [bytes.fromhex(leaf) for leaf in KNOWN]
    for size, root in enumerate(KNOWN.values(), start=1):
        assert plain.mth([plain.leaf(leaf) for leaf in leaves[:size]]).hex() == root


def test_hashes() -> None:
    assert plain.mth([]) == hashing.EMPTY_ROOT == hashing.fold([])
    assert hashing.leaf_hash(b"data") == plain.leaf(b"data")
    assert hashing.node_hash(b"left", b"right") == plain.node(b"left", b"right")
    for height in range(5):
        assert hashing.full_root(LEAVES[: 1 << height]) == plain.mth(LEAVES[: 1 << height])


@pytest.mark.parametrize("size", SIZES)
def test_inclusion(size: int) -> None:
    leaves = LEAVES[:size]
    root = plain.mth(leaves)
    for index in range(size):
        right = plain.path(index, leaves)
        assert [plain.mth(leaves[start:end]) for start, end in inclusion_spans(index, size)] == right
        assert plain.includes(index, size, leaves[index], right, root)
        for proof in variations(right):
            wanted = plain.includes(index, size, leaves[index], proof, root)
            assert wanted == (proof == right)
            assert accepts(verify_inclusion, index, size, leaves[index], proof, root) == wanted
        for at, of in [(at, size) for at in range(-1, size + 2)] + [(index, of) for of in range(2 * size)]:
            wanted = plain.includes(at, of, leaves[index], right, root)
            assert accepts(verify_inclusion, at, of, leaves[index], right, root) == wanted
        for value, wrong_root in (
            (leaves[index - 1] if size > 1 else b"", root),
            (leaves[index][:-1], root),
            (leaves[index], root[1:]),
        ):
            assert not accepts(verify_inclusion, index, size, value, right, wrong_root)


@pytest.mark.parametrize("size", SIZES)
def test_consistency(size: int) -> None:
    leaves = LEAVES[:size]
    root = plain.mth(leaves)
    for old in range(1, size + 1):
        old_root, right = plain.mth(leaves[:old]), plain.proof(old, leaves)
        if old < size:
            assert [plain.mth(leaves[start:end]) for start, end in consistency_spans(old, size)] == right
        assert plain.continues(old, size, old_root, root, right)
        for proof in variations(right):
            wanted = plain.continues(old, size, old_root, root, proof)
            assert wanted == (proof == right)
            assert accepts(verify_consistency, old, size, old_root, root, proof) == wanted
        sizes = [(first, size) for first in range(-1, size + 2)] + [(old, second) for second in range(2 * size)]
        for first, second in sizes:
            wanted = plain.continues(first, second, old_root, root, right)
            assert accepts(verify_consistency, first, second, old_root, root, right) == wanted
        false = plain.leaf(b"another")
        roots = ((false, root), (old_root, false), (root, old_root), (b"", root), (old_root, b""), (false, false))
        for one, two in roots:
            assert accepts(verify_consistency, old, size, one, two, right) == plain.continues(
                old, size, one, two, right
            )


LOG = plain.Key("log.example/blotter", b"\x01" * 32)
OTHER = plain.Key("other.example", b"\x02" * 32)
WITNESS = plain.Key("witness.example", b"\x03" * 32, 4)
TEXT = plain.checkpoint(LOG.name, LEAVES)


def test_notes_are_those_that_plain_code_makes() -> None:
    signer = Signer(LOG.name, b"\x01" * 32)
    assert str(signer.verifier) == LOG.vkey
    assert Checkpoint(LOG.name, len(LEAVES), plain.mth(LEAVES)).text == TEXT
    assert Checkpoint.parse(TEXT) == (LOG.name, len(LEAVES), plain.mth(LEAVES))
    assert str(sign(TEXT, [signer])) == TEXT + "\n" + LOG.line(TEXT)
    assert LOG.signed(TEXT, sign(TEXT, [signer]).signatures[0].line)
    cosigner = Signer(WITNESS.name, b"\x03" * 32, notes.COSIGNATURE)
    assert cosigner.sign(TEXT, 1_700_000_000).line == WITNESS.line(TEXT)
    assert Signer.parse(signer.secret) == signer


def test_a_note_is_signed_by_the_keys_whose_lines_it_has() -> None:
    keys = [Verifier.parse(key.vkey) for key in (LOG, OTHER, WITNESS)]
    whole = TEXT + "\n" + OTHER.line(TEXT) + WITNESS.line(TEXT) + LOG.line(TEXT)
    assert set(parse_note(whole).signed_by(keys)) == set(keys)
    assert parse_note(whole).signed_by([keys[0]]) == [keys[0]]
    assert parse_note(TEXT + "\n" + OTHER.line(TEXT)).signed_by([keys[0]]) == []
    assert parse_note(whole + LOG.line(TEXT)).signed_by([keys[0]]) == [keys[0]]
    stranger = plain.Key(LOG.name, b"\x09" * 32)  # of the same name
    assert parse_note(TEXT + "\n" + stranger.line(TEXT)).signed_by(keys) == []
    renamed = LOG.line(TEXT).replace(LOG.name, OTHER.name)  # the key's id, under another name
    assert parse_note(TEXT + "\n" + renamed).signed_by(keys) == []


@pytest.mark.parametrize("key", [LOG, WITNESS])
def test_a_known_key_whose_signature_is_false_rejects_the_note(key: plain.Key) -> None:
    verifier = Verifier.parse(key.vkey)
    raw = bytearray(base64.b64decode(key.line(TEXT).split(" ")[2]))
    for place in range(4, len(raw), 7):
        altered = bytearray(raw)
        altered[place] ^= 1
        line = f"\u2014 {key.name} {base64.b64encode(altered).decode()}\n"
        with pytest.raises(InvalidNote):
            parse_note(TEXT + "\n" + line).signed_by([verifier])
    for wrong in (raw[:-1], raw + b"\0", raw[:4] + b"x"):
        line = f"\u2014 {key.name} {base64.b64encode(wrong).decode()}\n"
        with pytest.raises(InvalidNote):
            parse_note(TEXT + "\n" + line).signed_by([verifier])
    for text in (TEXT.replace("70", "71"), TEXT.replace("log", "lOg"), TEXT + "more\n"):
        with pytest.raises(InvalidNote):
            parse_note(text + "\n" + key.line(TEXT)).signed_by([verifier])
    with pytest.raises(InvalidNote):  # a valid signature, and a false one after it
        parse_note(TEXT + "\n" + key.line(TEXT) + key.line(TEXT + "x\n")).signed_by([verifier])


def test_a_cosignature_has_a_time() -> None:
    verifier = Verifier.parse(WITNESS.vkey)
    for time, good in ((0, False), (1, True), ((1 << 63) - 1, True), (1 << 63, False)):
        note = parse_note(TEXT + "\n" + WITNESS.line(TEXT, time))
        if good:
            assert note.signed_by([verifier]) == [verifier]
        else:
            with pytest.raises(InvalidNote):
                note.signed_by([verifier])


GOOD = LOG.line(TEXT)
_NAME, _ENCODED = LOG.name, GOOD.split(" ")[2].strip()


@pytest.mark.parametrize(
    "message",
    [
        "",
        TEXT,
        TEXT + GOOD,
        GOOD,
        TEXT + "\n" + GOOD[:-1],
        TEXT + "\n" + GOOD + "\n",
        TEXT + "\n\n",
        TEXT.replace("\n", "\r\n") + "\n" + GOOD,
        TEXT + "\x07\n\n" + GOOD,
        TEXT + "\n" + GOOD.replace("\u2014", "-"),
        TEXT + "\n" + f"\u2014 {_ENCODED}\n",
        TEXT + "\n" + f"\u2014 two words {_ENCODED}\n",
        TEXT + "\n" + f"\u2014 a+b {_ENCODED}\n",
        TEXT + "\n" + f"\u2014 a\u00a0b {_ENCODED}\n",
        TEXT + "\n" + f"\u2014 {_NAME} {_ENCODED[:-4]}!!!!\n",
        TEXT + "\n" + f"\u2014 {_NAME} AAAAAA==\n",
        TEXT + "\n" + GOOD * (notes.MAX_SIGNATURES + 1),
    ],
)
def test_an_invalid_note_is_refused(message: str) -> None:
    with pytest.raises(InvalidNote):
        parse_note(message)


def test_a_note_is_split_at_its_last_blank_line_and_takes_as_many_signatures_as_it_may() -> None:
    text = "one\n\n" + TEXT
    note = parse_note(text + "\n" + LOG.line(text))
    assert note.text == text
    assert note.signed_by([Verifier.parse(LOG.vkey)])
    assert len(parse_note(TEXT + "\n" + GOOD * notes.MAX_SIGNATURES).signatures) == notes.MAX_SIGNATURES >= 16


ROOT = base64.b64encode(plain.mth(LEAVES)).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"log\n70\n{ROOT}",
        f"log\n70\n{ROOT}\n\n",
        f"\n70\n{ROOT}\n",
        f"log\n{ROOT}\n70\n",
        f"log\n070\n{ROOT}\n",
        f"log\n+70\n{ROOT}\n",
        f"log\n-1\n{ROOT}\n",
        f"log\n\u0667\n{ROOT}\n",
        f"log\n{10**19}\n{ROOT}\n",
        f"log\n70\n{ROOT[:-4]}\n",
        f"log\n70\n{ROOT[:-2]}{'B' if ROOT[-2] != 'B' else 'C'}=\n",
        "log\n70\n\n",
        "log\n70\n",
    ],
)
def test_an_invalid_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(InvalidNote):
        Checkpoint.parse(text)


def test_a_checkpoint_may_have_more_lines() -> None:
    assert Checkpoint.parse(f"log\n0\n{ROOT}\nextension\n") == ("log", 0, plain.mth(LEAVES))


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        LOG.vkey.replace(LOG.id.hex(), "00000000"),
        LOG.vkey.replace(LOG.id.hex(), LOG.id.hex()[:-1]),
        LOG.vkey.replace("log", "lOg", 1),
        LOG.vkey[:-4],
        f"+{LOG.id.hex()}+",
        "a b+" + LOG.vkey.split("+", 1)[1],
        plain.Key(LOG.name, b"\x01" * 32, 2).vkey,
    ],
)
def test_an_invalid_key_is_refused(vkey: str) -> None:
    with pytest.raises(InvalidKey):
        Verifier.parse(vkey)
