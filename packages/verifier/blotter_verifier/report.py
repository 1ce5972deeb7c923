"""What a verification found, in sentences for a person, with the exit status for a program."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from blotter_verifier.bundle import Verdict
from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.receipt import Receipt


class Status(IntEnum):
    """The exit status of a command that verifies."""

    VERIFIED = 0
    FALSE = 1
    USAGE = 2
    UNREADABLE = 3
    UNDECIDED = 4


class Report(NamedTuple):
    """The status, a line for it, and the lines that explain it. None of them holds a control character."""

    status: Status
    headline: str
    lines: list[str]


def of_bundle(verdict: Verdict) -> Report:
    """Return the report on a bundle."""
    reasons = [printable(f"- {reason}") for reason in (*verdict.faults, *verdict.doubts)]
    if verdict.faults:
        return Report(Status.FALSE, "FALSE. This is not what was signed, or something is missing.", reasons)
    if verdict.doubts:
        headline = "CANNOT TELL. Nothing false was found, and not everything could be checked with what was given."
        return Report(Status.UNDECIDED, headline, reasons)
    signed = f"Ledger {verdict.origin}, signed by {', '.join(verdict.signed_by)}: a tree of {verdict.size} entries."
    lines = [signed, *_on_entries(verdict), *_on_older_checkpoint(verdict)]
    return Report(Status.VERIFIED, "VERIFIED.", [printable(line) for line in lines])


def of_receipt(receipt: Receipt, checkpoint: Checkpoint) -> Report:
    """Return the report on a receipt that was verified."""
    place = f"Entry {receipt.index} of the ledger {checkpoint.origin}, in a signed tree of {checkpoint.size} entries:"
    return Report(Status.VERIFIED, "VERIFIED.", [printable(place), printable(receipt.leaf.decode("utf-8", "replace"))])


def printable(text: str) -> str:
    """Return the text with control characters escaped: text from a file must not move the terminal's cursor."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _on_entries(verdict: Verdict) -> list[str]:
    if verdict.start == verdict.end:
        return ["This file has no entries: it shows the signature, and nothing about the entries of the ledger."]
    lines = [
        f"Entries {verdict.start} to {verdict.end - 1} are here: {verdict.logs} logs of {verdict.traders} traders.",
        f"They were recorded from {verdict.first_time or 'none'} to {verdict.last_time or 'none'} (UTC).",
        "Each is, bit for bit, what was signed; none among them is missing, added or moved; no numbering has a gap.",
    ]
    if verdict.start or verdict.end < verdict.size:
        lines.append("The tree's other entries are not in this file and were not verified.")
    return lines


def _on_older_checkpoint(verdict: Verdict) -> list[str]:
    if verdict.since is None:
        return [
            "No older checkpoint was compared: the holder of the key could have signed a different history before.",
            "To exclude that, verify with --since and a checkpoint that you obtained and kept yourself.",
        ]
    line = f"It continues the older checkpoint, of {verdict.since} entries: nothing that it covers was removed."
    if verdict.start == 0:
        line += " All of them are in this file, unaltered."
    return [line, "This holds as far as you trust the place where that checkpoint was kept."]
