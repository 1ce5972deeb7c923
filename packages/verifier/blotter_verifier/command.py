"""The command `blotter-verify` verifies bundles and receipts without the service, its database or a network."""

from __future__ import annotations

import argparse
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
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
_MAX_FILE = 1_000_000
"""Bytes of a receipt, a checkpoint or a file of keys: a leaf has at most 65,535, and 100 signatures follow."""


class _TooLong(ValueError):
    """A file that is longer than such a file can be."""


def main(arguments: Sequence[str] | None = None, *, usage_name: str | None = None) -> int:
    """Run the command and return the exit status. A usage error raises SystemExit with status 2.

    Its usage shows `usage_name`, where another command runs this one, in place of "blotter-verify COMMAND".
    """
    options = _parser(usage_name).parse_args(arguments)
    check: Callable[[argparse.Namespace], Report] = options.check
    report = check(options)
    try:
        _print(report)
    except (OSError, ValueError, AttributeError):
        # Status 1 would state that the file is false. Python would flush the stream once more and fail.
        with suppress(OSError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Status.UNREADABLE if report.status is Status.VERIFIED else report.status
    return report.status


def _print(report: Report) -> None:
    """Print the report. Raises OSError, ValueError or AttributeError if the output is full, closed or missing."""
    if report.status is Status.UNREADABLE:
        print(f"Error: {report.headline}", file=sys.stderr)
        return
    lines = [_coloured(report.headline, report.status), *report.lines]
    encoding = sys.stdout.encoding or "ascii"
    print("\n".join(lines).encode(encoding, "backslashreplace").decode(encoding), flush=True)


def _parser(usage_name: str | None) -> argparse.ArgumentParser:
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
            prog=usage_name,
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
        older = parse_note(_text(options.since)) if options.since else None
        if older:
            Checkpoint.parse(older.text)
    except (InvalidNote, OSError, UnicodeDecodeError, _TooLong) as error:
        return _unreadable(f"{options.since} is not a checkpoint", error)
    try:
        with options.file.open("rb") as file:
            return of_bundle(verify(file, options.keys, older, _progress if sys.stderr.isatty() else None))
    except (NotABundle, OSError) as error:
        return _unreadable(str(options.file), error)


def _verify_receipt(options: argparse.Namespace) -> Report:
    """Verify the inclusion proof and the signature of a receipt, and print its event."""
    try:
        receipt = Receipt.parse(_text(options.file))
        return of_receipt(receipt, receipt.verify(options.keys))
    except (NotAReceipt, UnicodeDecodeError, OSError, _TooLong) as error:
        return _unreadable(str(options.file), error)
    except UnknownKey as error:
        return Report(Status.UNDECIDED, printable(f"UNDECIDED. {error}."), [])
    except (InvalidProof, InvalidNote) as error:
        return Report(Status.FALSE, printable(f"FALSE. {error}."), [])


def _file(text: str) -> Path:
    path = Path(text)
    try:
        path.stat()
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"the file {printable(text)} does not exist, or cannot be read") from error
    return path


def _text(path: Path) -> str:
    """Return the text of a small file, with its line ends as they are. Raises OSError, UnicodeDecodeError, _TooLong."""
    with path.open("rb") as file:
        content = file.read(_MAX_FILE + 1)
    if len(content) > _MAX_FILE:
        raise _TooLong(f"the file has more than {_MAX_FILE} bytes")
    return content.decode("utf-8")


def _verifiers(text: str) -> list[Verifier]:
    """Parse a key or a file of keys. Errors do not include the value, which may be a private key."""
    file = Path(text)
    try:
        if "+" not in text and not file.is_file():
            raise argparse.ArgumentTypeError("the value is neither a public key nor a file of public keys")
        content = _text(file) if file.is_file() else text
        if "PRIVATE" in content:
            raise argparse.ArgumentTypeError("the key is a private key; `blotter keys show` prints the public one")
        return [Verifier.parse(line) for line in content.strip().splitlines()]
    except (InvalidKey, OSError, UnicodeDecodeError, _TooLong) as error:
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
