"""The command `blotter-verify` verifies bundles and receipts without the service, its database or a network."""

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
  1  false: an entry or hash was altered, removed, added or moved, or a signature is false
  2  invalid arguments, or a file does not exist
  3  the file is not a bundle, receipt or checkpoint, or cannot be read
  4  undecided: signed by none of the given keys, or not comparable with the older checkpoint
"""
_COLOURS = {Status.VERIFIED: "32", Status.FALSE: "31", Status.UNDECIDED: "33"}
_PROGRESS_STEP = 10_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status. A usage error raises SystemExit with status 2."""
    options = _parser().parse_args(arguments)
    check: Callable[[argparse.Namespace], Report] = options.check
    report = check(options)
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
        help="a trusted public key in the form that `blotter keys show` prints, or a file with one key per line; may "
        "be repeated. The signature of one given log key is required, and that of every given witness key.",
    )

    def command(name: str, check: Callable[[argparse.Namespace], Report], summary: str) -> argparse.ArgumentParser:
        subparser = commands.add_parser(
            name,
            help=summary,
            description=inspect.getdoc(check),
            epilog=_STATUSES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[keys],
        )
        subparser.add_argument("file", metavar=name.upper(), type=_file)
        subparser.set_defaults(check=check)
        return subparser

    bundle = command("bundle", _verify_bundle, "verify an exported bundle")
    bundle.add_argument(
        "--since", metavar="CHECKPOINT", type=_file, help="an older checkpoint, whose tree the bundle's must extend"
    )
    command("receipt", _verify_receipt, "verify the receipt of one event")
    return parser


def _verify_bundle(options: argparse.Namespace) -> Report:
    """Verify every entry, the sequences of each trader, the tree and the signature.

    Without --since, this verifies that the entries are those that the key signed. To verify that the holder of the key
    has not replaced the history, pass a checkpoint that you kept.
    """
    try:
        older = parse_note(options.since.read_text("utf-8")) if options.since else None
        if older:
            Checkpoint.parse(older.text)
    except (InvalidNote, OSError, UnicodeDecodeError) as error:
        return _unreadable(f"{options.since} is not a checkpoint", error)
    try:
        with options.file.open("rb") as file:
            return of_bundle(verify(file, options.keys, older, _progress if sys.stderr.isatty() else None))
    except (NotABundle, OSError) as error:
        return _unreadable(str(options.file), error)


def _verify_receipt(options: argparse.Namespace) -> Report:
    """Verify the inclusion proof and the signature of a receipt, and print its event."""
    try:
        receipt = Receipt.parse(options.file.read_text("utf-8"))
        return of_receipt(receipt, receipt.verify(options.keys))
    except (NotAReceipt, UnicodeDecodeError, OSError) as error:
        return _unreadable(str(options.file), error)
    except UnknownKey as error:
        return Report(Status.UNDECIDED, printable(f"UNDECIDED. {error}."), [])
    except (InvalidProof, InvalidNote) as error:
        return Report(Status.FALSE, printable(f"FALSE. {error}."), [])


def _file(text: str) -> Path:
    path = Path(text)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"the file {printable(text)} does not exist")
    return path


def _verifiers(text: str) -> list[Verifier]:
    """Parse a key or a file of keys. Errors do not include the value, which may be a private key."""
    file = Path(text)
    try:
        if "+" not in text and not file.is_file():
            raise argparse.ArgumentTypeError("the value is neither a public key nor a file of public keys")
        content = file.read_text("utf-8") if file.is_file() else text
        if "PRIVATE" in content:
            raise argparse.ArgumentTypeError("the key is a private key; `blotter keys show` prints the public one")
        return [Verifier.parse(line) for line in content.strip().split("\n")]
    except (InvalidKey, OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"the value is not a public key: {error}") from error


def _unreadable(subject: str, error: Exception) -> Report:
    return Report(Status.UNREADABLE, printable(f"{subject}: {error}"), [])


def _progress(count: int, total: int) -> None:
    if count % _PROGRESS_STEP == 0:
        print(f"\r{count} of {total} entries", end="\r", file=sys.stderr)


def _coloured(text: str, status: Status) -> str:
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"\x1b[1;{_COLOURS[status]}m{text}\x1b[0m"


if __name__ == "__main__":
    sys.exit(main())
