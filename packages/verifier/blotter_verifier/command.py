"""The command `blotter-verify`: verifies bundles and receipts without the service, its database or a network."""

from __future__ import annotations

import argparse
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from blotter_verifier.bundle import NotABundle, verify
from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.notes import InvalidKey, InvalidNote, Verifier, parse_note
from blotter_verifier.proofs import InvalidProof
from blotter_verifier.receipt import NotAReceipt, Receipt, UnknownKey
from blotter_verifier.report import Report, Status, of_bundle, of_receipt, printable

_STATUSES = """\
exit status:
  0  verified
  1  false: it is not what was signed, or something is missing
  2  wrong usage, or no such file
  3  the file is not of this kind, or cannot be read
  4  cannot tell: signed by other keys than those given, or not comparable with the older checkpoint
"""
_COLOURS = {Status.VERIFIED: "32", Status.FALSE: "31", Status.UNDECIDED: "33"}
_PROGRESS_STEP = 10_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit status; a usage error raises SystemExit with status 2."""
    asked = _parser().parse_args(arguments)
    check: Callable[[argparse.Namespace], Report] = asked.check
    report = check(asked)
    if report.status is Status.UNREADABLE:
        print(f"Error: {report.headline}", file=sys.stderr)
        return report.status
    print(_coloured(report.headline, report.status))
    for line in report.lines:
        print(line)
    return report.status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("blotter-verify", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    keys = argparse.ArgumentParser(add_help=False)
    keys.add_argument(
        "--key",
        dest="keys",
        metavar="VKEY",
        action="extend",
        type=_verifiers,
        required=True,
        help="a public key that you trust, as `blotter keys show` prints it, or a file of them, one a line; may be "
        "repeated. One key of a log must have signed, and every witness whose key is given.",
    )

    def command(name: str, check: Callable[[argparse.Namespace], Report], summary: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name,
            help=summary,
            description=inspect.getdoc(check),
            epilog=_STATUSES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[keys],
        )
        made.add_argument("file", metavar=name.upper(), type=_file)
        made.set_defaults(check=check)
        return made

    bundle = command("bundle", _verify_bundle, "verify an exported bundle")
    bundle.add_argument("--since", metavar="CHECKPOINT", type=_file, help="an older checkpoint that this must continue")
    command("receipt", _verify_receipt, "verify the receipt of one event")
    return parser


def _verify_bundle(asked: argparse.Namespace) -> Report:
    """Verify every entry, the dense sequences, the tree and the signature.

    Without --since this shows that the entries are those that the key signed. Only a checkpoint that you kept yourself
    can show that the holder of the key has not replaced the history before that.
    """
    try:
        older = parse_note(asked.since.read_text("utf-8")) if asked.since else None
        if older:
            Checkpoint.parse(older.text)
    except (InvalidNote, OSError, UnicodeDecodeError) as error:
        return _unreadable(f"{asked.since} is no checkpoint", error)
    try:
        with asked.file.open("rb") as file:
            return of_bundle(verify(file, asked.keys, older, _progress if sys.stderr.isatty() else None))
    except (NotABundle, OSError) as error:
        return _unreadable(str(asked.file), error)


def _verify_receipt(asked: argparse.Namespace) -> Report:
    """Verify the inclusion proof and the signature in a receipt, and print the event that it proves."""
    try:
        receipt = Receipt.parse(asked.file.read_text("utf-8"))
        return of_receipt(receipt, receipt.verify(asked.keys))
    except (NotAReceipt, UnicodeDecodeError, OSError) as error:
        return _unreadable(str(asked.file), error)
    except UnknownKey as error:
        return Report(Status.UNDECIDED, printable(f"CANNOT TELL. {error}."), [])
    except (InvalidProof, InvalidNote) as error:
        return Report(Status.FALSE, printable(f"FALSE. {error}."), [])


def _file(text: str) -> Path:
    path = Path(text)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"there is no file {printable(text)}")
    return path


def _verifiers(text: str) -> list[Verifier]:
    """Read a key or a file of keys. The value is not repeated in errors: it may be a private key."""
    file = Path(text)
    try:
        if "+" not in text and not file.is_file():
            raise argparse.ArgumentTypeError("this is neither a verifier key nor a file of them")
        content = file.read_text("utf-8") if file.is_file() else text
        if "PRIVATE" in content:
            raise argparse.ArgumentTypeError("this is a private key: `blotter keys show` prints the public ones")
        return [Verifier.parse(line) for line in content.strip().split("\n")]
    except (InvalidKey, OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"this is no verifier key: {error}") from error


def _unreadable(what: str, error: Exception) -> Report:
    return Report(Status.UNREADABLE, printable(f"{what}: {error}"), [])


def _progress(done: int, total: int) -> None:
    if done % _PROGRESS_STEP == 0:
        print(f"\r{done} of {total} entries", end="\r", file=sys.stderr)


def _coloured(text: str, status: Status) -> str:
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"\x1b[1;{_COLOURS[status]}m{text}\x1b[0m"


if __name__ == "__main__":
    sys.exit(main())
