"""The report of a verification: messages for the user, and the exit status."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from blotter_verifier.bundle import Verdict
from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.receipt import Receipt


class Status(IntEnum):
    """The exit status of a command that verifies a file."""

    VERIFIED = 0
    FALSE = 1
    USAGE = 2
    UNREADABLE = 3
    UNDECIDED = 4


class Report(NamedTuple):
    """The status, a headline, and detail lines, all without control characters."""

    status: Status
    headline: str
    lines: list[str]


def of_bundle(verdict: Verdict) -> Report:
    """Return the report on a bundle."""
    reasons = [printable(f"- {reason}") for reason in (*verdict.faults, *verdict.doubts)]
    if verdict.faults:
        return Report(Status.FALSE, "FALSE. The bundle differs from what was signed, or is incomplete.", reasons)
    if verdict.doubts:
        headline = "UNDECIDED. No fault was found, but the given keys and checkpoint did not allow every check."
        return Report(Status.UNDECIDED, headline, reasons)
    signed = f"Ledger {verdict.origin}, signed by {', '.join(verdict.signed_by)}: a tree of {verdict.size} entries."
    lines = [signed, *_on_entries(verdict), *_on_older_checkpoint(verdict)]
    return Report(Status.VERIFIED, "VERIFIED.", [printable(line) for line in lines])


def of_receipt(receipt: Receipt, checkpoint: Checkpoint) -> Report:
    """Return the report on a verified receipt."""
    entry = f"Entry {receipt.index} of the ledger {checkpoint.origin}, in a signed tree of {checkpoint.size} entries:"
    return Report(Status.VERIFIED, "VERIFIED.", [printable(entry), printable(receipt.leaf.decode("utf-8", "replace"))])


def printable(text: str) -> str:
    """Return the text with control characters escaped, so that a file cannot control the terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _on_entries(verdict: Verdict) -> list[str]:
    if verdict.start == verdict.end:
        return ["This file has no entries: only the signature was verified."]
    lines = [
        f"The file has entries {verdict.start} to {verdict.end - 1}: {verdict.logs} logs of {verdict.traders} traders.",
        f"They were recorded from {verdict.first_time or 'none'} to {verdict.last_time or 'none'} (UTC).",
        "Each equals what was signed; none among them is missing, added or moved; no trader's sequence has a gap.",
    ]
    if verdict.start or verdict.end < verdict.size:
        lines.append("The tree's other entries are not in this file and were not verified.")
    return lines


def _on_older_checkpoint(verdict: Verdict) -> list[str]:
    if verdict.since is None:
        return [
            "No older checkpoint was compared: the holder of the key may have signed a different history before.",
            "To exclude this, pass --since with an older checkpoint that you kept.",
        ]
    line = f"The tree extends that of the older checkpoint, of {verdict.since} entries: none of these was removed."
    if verdict.start == 0:
        line += " All of them are in this file, unaltered."
    return [line, "This holds only if the older checkpoint itself was not replaced."]
