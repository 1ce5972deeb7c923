"""Bundles and receipts that the verifier must refuse: of a dishonest signer, made by plain code with real keys."""

import io
import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import rfc8785

from blotter_verifier.bundle import MAX_LINE, Verdict, verify
from blotter_verifier.notes import InvalidNote, Verifier, parse_note
from blotter_verifier.proofs import InvalidProof
from blotter_verifier.receipt import NotAReceipt, Receipt, UnknownKey
from tests.ledger import plain

LOG = plain.Key("log.example/blotter", b"\x01" * 32)
STRANGER = plain.Key("log.example/blotter", b"\x02" * 32)
WITNESS = plain.Key("witness.example", b"\x03" * 32, 4)
KEYS = [Verifier.parse(LOG.vkey)]


def event(trader: str, sequence: str, **changes: Any) -> dict[str, Any]:
    """A log's leaf, with the fields that the verifier reads."""
    time = "2026-01-05T12:00:00.000000Z"
    return {
        "type": "execution_log",
        "version": 1,
        "trader_id": trader,
        "sequence": sequence,
        "created_at": time,
    } | changes


HONEST: list[dict[str, Any]] = [
    {"type": "keys", "version": 1, "keys": [LOG.vkey], "origin": LOG.name},
    *(event(trader, str(number)) for number in range(1, 4) for trader in ("a", "b")),
    {"type": "baseline", "version": 1},
    event("a", "4", version=2, labels={"book": "7", "strategy": "\u00e9"}, terms={"price": None, "quantity": 70}),
]
LEAVES = [rfc8785.dumps(leaf) for leaf in HONEST]


def spans(start: int, end: int) -> list[tuple[int, int]]:
    """The full subtrees of a range (RFC 6962 §2.1), found by trial."""
    if start == end:
        return []
    size = max(1 << power for power in range(20) if start % (1 << power) == 0 and start + (1 << power) <= end)
    return [(start, start + size), *spans(start + size, end)]


def bundle(
    leaves: Sequence[bytes], start: int = 0, end: int | None = None, by: Sequence[plain.Key] = (LOG,), **header: Any
) -> bytes:
    """A signed bundle of a range."""
    end = len(leaves) if end is None else end
    hashes = [plain.leaf(leaf) for leaf in leaves]
    text = plain.checkpoint(LOG.name, hashes)
    head = {"origin": LOG.name, "from": start, "to": end, "size": len(leaves)} | header

    def roots(name: str, first: int, last: int) -> str:
        return "".join(f"{name} {b64encode(plain.mth(hashes[a:b])).decode()}\n" for a, b in spans(first, last))

    return (
        "blotter-bundle/v1\n" + "".join(f"{name} {value}\n" for name, value in head.items()) + roots("left", 0, start)
    ).encode() + b"\n" + b"".join(leaf + b"\n" for leaf in leaves[start:end]) + (
        "\n" + roots("right", end, len(leaves)) + "\n" + text + "\n" + "".join(key.line(text) for key in by)
    ).encode()  # fmt: skip


def verified(file: bytes, keys: Sequence[Verifier] = KEYS, since: str | None = None) -> Verdict:
    """The result of the verifier."""
    return verify(io.BytesIO(file), keys, parse_note(since) if since else None)


def older(size: int, by: Sequence[plain.Key] = (LOG,), origin: str = LOG.name, leaves: Sequence[bytes] = LEAVES) -> str:
    """The checkpoint of the tree over the first leaves."""
    text = plain.checkpoint(origin, [plain.leaf(leaf) for leaf in leaves[:size]])
    return text + "\n" + "".join(key.line(text) for key in by)


def test_valid_bundles_of_every_range_are_verified() -> None:
    for start in range(len(LEAVES) + 1):
        for end in range(start, len(LEAVES) + 1):
            verdict = verified(bundle(LEAVES, start, end))
            assert verdict.verified, (start, end, verdict.faults, verdict.doubts)
    for size in range(len(LEAVES) + 1):
        verdict = verified(bundle(LEAVES), since=older(size))
        assert verdict.verified
        assert verdict.since == size


def without(position: int) -> list[bytes]:
    """The leaves without one, as a signer that omits it would sign."""
    return [*LEAVES[:position], *LEAVES[position + 1 :]]


@pytest.mark.parametrize("position", [1, 2, 3, 4])
def test_a_signer_that_omits_an_event_is_found_by_the_sequences(position: int) -> None:
    verdict = verified(bundle(without(position)))
    assert [fault for fault in verdict.faults if "is expected" in fault]
    assert not verified(bundle(without(5), 3)).verified  # within the range: b's third event follows its first


LEAF: dict[str, bytes] = {
    "spaces": json.dumps(event("a", "1")).encode(),
    "another order": b'{"version":1,"type":"execution_log"}',
    "another order inside": (
        b'{"created_at":"","labels":{"b":"","a":""},"sequence":"1","trader_id":"c","type":"execution_log","version":2}'
    ),
    "a name twice": b'{"a":1,"a":1}',
    "an escape that is not needed": b'{"type":"\\u0062aseline","version":1}',
    "a number": b"7",
    "a list": b'["baseline"]',
    "null": b"null",
    "nothing": b"",
    "not UTF-8": b'"\xff"',
    "not JSON": b"{",
    "deep": b"[" * 100_000,
    "unknown type": b'{"type":"other","version":1}',
    "no type": b'{"version":1}',
    "a type that is none": b'{"type":["keys"],"version":1}',
    "type of other letters": b'{"type":"KEYS","version":1}',
    "a later version of a log": rfc8785.dumps(event("c", "1", version=3)),
    "an earlier version of a log": rfc8785.dumps(event("c", "1", version=0)),
    "a version as text": rfc8785.dumps(event("c", "1", version="2")),
    "another version of the keys": b'{"type":"keys","version":2}',
    "another version of a baseline": b'{"type":"baseline","version":2}',
    "a version that is none": b'{"type":"keys","version":true}',
    "no version": b'{"type":"keys"}',
    "sequence zero": rfc8785.dumps(event("c", "0")),
    "sequence of letters": rfc8785.dumps(event("c", "x")),
    "negative sequence": rfc8785.dumps(event("c", "-1")),
    "sequence of other digits": rfc8785.dumps(event("c", "\u0661")),
    "sequence of many digits": rfc8785.dumps(event("c", "1" * 5000)),
    "sequence with a zero before": rfc8785.dumps(event("c", "01")),
    "sequence as a number": rfc8785.dumps(event("c", "1") | {"sequence": 1}),
    "a sequence twice": rfc8785.dumps(event("a", "3")),
    "a sequence too far": rfc8785.dumps(event("a", "6")),
}


@pytest.mark.parametrize("kind", LEAF)
def test_an_invalid_leaf_is_a_fault_although_the_ledger_signed_it(kind: str) -> None:
    for start in (0, 4):
        verdict = verified(bundle([*LEAVES[:8], LEAF[kind], *LEAVES[8:]], start))
        assert verdict.faults, (kind, start)


def test_an_older_checkpoint_that_is_false_foreign_or_contradicts_is_a_fault() -> None:
    whole = bundle(LEAVES)
    altered = [*LEAVES[:3], LEAVES[0], *LEAVES[4:]]
    for since, words in (
        (older(5, leaves=altered), "history was altered"),
        (older(len(LEAVES), leaves=altered), "history was altered"),
        (older(5, origin="other.example"), "another ledger"),
        (older(5).replace("\n5\n", "\n4\n"), "older checkpoint is invalid"),
    ):
        assert [fault for fault in verified(whole, since=since).faults if words in fault], words


def test_an_older_checkpoint_that_no_given_key_has_signed_is_a_doubt() -> None:
    whole = bundle(LEAVES)
    for since in (older(5, by=[STRANGER]), older(5, by=[WITNESS])):
        verdict = verified(whole, since=since)
        assert not verdict.faults
        assert "by none of the given keys" in verdict.doubts[0]
    verdict = verified(whole, since=older(5, by=[STRANGER], leaves=LEAVES[::-1]))
    assert verdict.faults
    assert not verified(bundle(LEAVES[:4]), since=older(5)).verified
    assert "includes this position" in verified(bundle(LEAVES, 6), since=older(5)).doubts[0]
    assert "includes this position" in verified(bundle(LEAVES, 0, 4), since=older(5)).doubts[0]


def test_a_bundle_that_is_signed_by_an_unknown_key_or_by_a_witness_alone_is_a_doubt() -> None:
    witness = Verifier.parse(WITNESS.vkey)
    for by in ([STRANGER], [WITNESS]):
        verdict = verified(bundle(LEAVES, by=by), [*KEYS, witness])
        assert not verdict.verified
        assert "by none of the given keys of the log" in verdict.doubts[0]
    verdict = verified(bundle(LEAVES), [*KEYS, witness])
    assert verdict.doubts == ["The witness witness.example has not cosigned the checkpoint."]
    assert verified(bundle(LEAVES, by=[LOG, WITNESS]), [*KEYS, witness]).verified


def edited(old: str, new: str) -> Callable[[bytes], bytes]:
    return lambda file: file.replace(old.encode(), new.encode(), 1)


PART = bundle(LEAVES, 3, 6)
LEFT, RIGHT = (
    next(line + b"\n" for line in PART.split(b"\n") if line.startswith(name)) for name in (b"left", b"right")
)


@pytest.mark.parametrize(
    "change",
    [
        edited("from 3", "from 2"),
        edited("from 3", "from 7"),
        edited("from 3", "from 03x"),
        edited("to 6", "to 5"),
        edited("to 6", "to 7"),
        edited("to 6", "to 60"),
        edited("size 9", "size 8"),
        edited("size 9", "size 10"),
        edited("origin log", "origin lOg"),
        lambda file: file.replace(LEFT, b"", 1),
        lambda file: file.replace(LEFT, LEFT + LEFT, 1),
        lambda file: file.replace(RIGHT, b"", 1),
        lambda file: file.replace(RIGHT, RIGHT + RIGHT, 1),
        lambda file: file.replace(RIGHT, RIGHT[:-6] + b"\n", 1),
        lambda file: file.replace(LEFT, RIGHT, 1),
        lambda file: file.replace(LEAVES[3] + b"\n", b"", 1),
        lambda file: file.replace(LEAVES[3] + b"\n", (LEAVES[3] + b"\n") * 2, 1),
        lambda file: file[: len(file) // 2],
        lambda file: file + b"x",
        lambda file: file.replace(b"\n\n\xe2", b"\n\xe2", 1),
    ],
)
def test_a_bundle_that_does_not_hold_what_it_announces(change: Callable[[bytes], bytes]) -> None:
    assert verified(PART).verified
    file = change(PART)
    assert file != PART
    verdict = verified(file)
    assert verdict.faults or verdict.doubts == [
        f"The checkpoint is signed by , by none of the given keys of the log {LOG.name}."
    ]


def test_one_line_more_in_the_place_of_an_empty_one_is_a_fault() -> None:
    file = bundle(LEAVES)
    assert verified(file.replace(LEAVES[-1] + b"\n\n\n", LEAVES[-1] + b"\nanything\n\n")).faults


def test_a_line_that_is_too_long_is_not_read_as_two() -> None:
    shortest = len(rfc8785.dumps({"filling": "", "type": "baseline", "version": 1}))
    longest = rfc8785.dumps({"filling": "x" * (MAX_LINE - 1 - shortest), "type": "baseline", "version": 1})
    file = bundle([*LEAVES, longest])
    assert verified(file).verified
    assert verified(file.replace(longest + b"\n", longest + b"x")).faults


def test_more_entries_than_the_tree_has_are_a_fault_though_they_have_its_root() -> None:
    """The signer states the root over nine entries as that of eight."""
    text = older(len(LEAVES), by=[]).removesuffix("\n")
    forged = text.replace("\n9\n", "\n8\n")
    file = bundle(LEAVES, by=[], size=8).decode().replace(text, forged) + LOG.line(forged)
    assert verified(file.encode()).faults


def receipt(position: int = 4, by: Sequence[plain.Key] = (LOG,), **changes: Any) -> str:
    """The receipt of a leaf (C2SP tlog-proof)."""
    hashes = [plain.leaf(leaf) for leaf in LEAVES]
    text = plain.checkpoint(LOG.name, hashes)
    values: dict[str, Any] = {
        "header": "c2sp.org/tlog-proof@v1",
        "extra": "extra " + b64encode(LEAVES[position]).decode(),
        "index": f"index {position}",
        "proof": [b64encode(value).decode() for value in plain.path(position, hashes)],
        "note": text + "\n" + "".join(key.line(text) for key in by),
    } | changes
    lines = [values["header"], values["extra"], values["index"], *values["proof"]]
    return "\n".join(line for line in lines if line is not None) + "\n\n" + str(values["note"])


def test_a_valid_receipt_is_written_and_accepted_by_the_service() -> None:
    for index in range(len(LEAVES)):
        read = Receipt.parse(receipt(index))
        assert str(read) == receipt(index)
        assert read.verify(KEYS).size == len(LEAVES)


def test_a_receipt_requires_the_logs_key_and_each_witness_that_is_demanded() -> None:
    witness = Verifier.parse(WITNESS.vkey)
    for by in ([LOG], [WITNESS], [STRANGER], [STRANGER, WITNESS]):
        with pytest.raises(UnknownKey):
            Receipt.parse(receipt(by=by)).verify([*KEYS, witness])
    assert Receipt.parse(receipt(by=[LOG, WITNESS])).verify([*KEYS, witness])
    with pytest.raises(UnknownKey):
        Receipt.parse(receipt()).verify([])
    with pytest.raises(UnknownKey):  # only the witness's key is given, none of the log
        Receipt.parse(receipt(by=[LOG, WITNESS])).verify([witness])


@pytest.mark.parametrize("length", [31, 33])
def test_a_receipt_is_read_with_hashes_of_32_bytes_alone(length: int) -> None:
    with pytest.raises(InvalidProof):
        Receipt.parse(receipt(proof=[b64encode(b"x" * length).decode()]))


PROOF = [b64encode(value).decode() for value in plain.path(4, [plain.leaf(leaf) for leaf in LEAVES])]


@pytest.mark.parametrize(
    "changes",
    [
        {"proof": []},
        {"proof": PROOF[1:]},
        {"proof": PROOF[:-1]},
        {"proof": [*PROOF, PROOF[0]]},
        {"proof": [PROOF[0], *PROOF]},
        {"proof": PROOF[::-1]},
        {"proof": [b64encode(b"x" * 31).decode(), *PROOF[1:]]},
        {"proof": ["", *PROOF]},
        {"proof": [PROOF[0] + " ", *PROOF[1:]]},
        {"index": "index 3"},
        {"index": "index 5"},
        {"index": "index 9"},
        {"index": "index 04"},
        {"index": "index -4"},
        {"index": None},
        {"extra": None},
        {"extra": "extra " + b64encode(LEAVES[5]).decode()},
        {"extra": "extra " + b64encode(LEAVES[4]).decode() + "="},
        {"note": older(8)},
        {"note": older(9).replace("\n9\n", "\n8\n")},
        {"note": older(9)[:-1]},
        {"note": ""},
    ],
)
def test_a_receipt_that_proves_something_else_or_nothing(changes: dict[str, Any]) -> None:
    with pytest.raises((InvalidProof, InvalidNote)):
        Receipt.parse(receipt(**changes)).verify(KEYS)


@pytest.mark.parametrize("header", ["", "c2sp.org/tlog-proof@v2", "blotter-bundle/v1"])
def test_an_invalid_receipt_is_refused(header: str) -> None:
    with pytest.raises(NotAReceipt):
        Receipt.parse(receipt(header=header))


def test_a_key_of_another_log_does_not_sign_for_this_one() -> None:
    other = plain.Key("other.example/log", b"\x04" * 32)
    keys = [*KEYS, Verifier.parse(other.vkey)]
    verdict = verified(bundle(LEAVES, by=[other]), keys)
    assert not verdict.verified
    assert "by none of the given keys of the log" in verdict.doubts[0]
    verdict = verified(bundle(LEAVES), keys, older(3, by=[other]))
    assert "The older checkpoint is signed by" in verdict.doubts[0]


def test_a_false_bundle_cannot_take_memory_by_ids_of_traders() -> None:
    verdict = verified(bundle([rfc8785.dumps(event("x" * 50_000, "1"))]))
    assert verdict.faults == ["Entry 0 has no valid trader_id."]


def test_a_witness_with_the_name_of_the_log_does_not_sign_for_it() -> None:
    witness = plain.Key(LOG.name, b"\x05" * 32, 4)
    verdict = verified(bundle(LEAVES, by=[witness]), [*KEYS, Verifier.parse(witness.vkey)])
    assert "by none of the given keys of the log" in verdict.doubts[0]
