"""`blotter audit`: exporting the ledger, and verifying what was exported, offline."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Self, TextIO
from uuid import UUID

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from service.client import BlotterError, Client, ExportFormat
from service.ledger.notes import InvalidKey, InvalidNote, Verifier, parse_note
from service.ledger.proofs import InvalidProof
from service.ledger.receipt import Receipt
from service.verifier.bundle import NotABundle, Verdict, verify

FALSE, UNREADABLE = 1, 3

_EPILOG = """\b
Exit status:
  0  verified
  1  false: it is not what was signed
  2  wrong usage
  3  the file, or the service, cannot be read
"""


class Unreadable(click.ClickException):
    """A file, or a service, that cannot be read."""

    exit_code = UNREADABLE

    def format_message(self) -> str:
        """Return what is printed."""
        return printable(super().format_message())


class Keys(click.ParamType[list[Verifier]]):
    """A verifier key, or a file that holds some, one a line."""

    name = "vkey"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> list[Verifier]:
        """Read them."""
        try:
            if "+" not in value and Path(value).is_file():
                value = Path(value).read_text("utf-8")
            return [Verifier.parse(line) for line in value.strip().split("\n")]
        except (InvalidKey, OSError, UnicodeDecodeError) as error:
            self.fail(f"{value!r} is no verifier key: {error}", param, ctx)


def _keys(function: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--key",
        "verifiers",
        type=Keys(),
        multiple=True,
        required=True,
        callback=lambda _context, _option, values: [verifier for keys in values for verifier in keys],
        help="A key that you trust, as `blotter keys show` prints it, or a file of them; may be repeated.",
    )(function)


def _service(function: Callable[..., None]) -> Callable[..., None]:
    target = click.option(
        "--target", metavar="HOST:PORT", default="127.0.0.1:50051", show_default=True, help="Where the service listens."
    )
    actor = click.option("--actor", help="Who is reading: recorded by the service.  [default: the login's name]")
    return target(actor(function))


@click.group()
def audit() -> None:
    """Export the audit ledger, and verify exports and receipts offline."""


@audit.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--from", "start", type=click.IntRange(min=0), default=0, show_default=True, help="First position.")
@click.option("--to", "end", type=click.IntRange(min=0), help="Position after the last.  [default: the newest signed]")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["bundle", "cat-csv", "cat-json"]),
    default="bundle",
    show_default=True,
    help="bundle proves itself; the others are flat files shaped after CAT's events.",
)
@_service
def export(file: Path, start: int, end: int | None, format_: str, target: str, actor: str | None) -> None:
    """Write a stretch of the ledger to FILE, whole or not at all."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    form = ExportFormat[format_.upper().replace("-", "_")]
    count = 0
    try:
        with (
            Client(target, role="compliance", actor=actor or _login()) as client,
            temporary.open("wb") as writing,
            _Bar("exporting") as bar,
        ):
            for piece in client.export_execution_logs(from_position=start, to_position=end, format_=form):
                writing.write(piece.data)
                count = piece.exported_count
                bar.tell(piece.exported_count, piece.total_count)
        temporary.replace(file)
    except BlotterError as error:
        raise Unreadable(f"{target}: {error}") from error
    except OSError as error:
        raise Unreadable(f"{file} cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
    click.echo(f"{count} entries from position {start} on: {file}")


@audit.command("verify", epilog=_EPILOG)
@click.argument("bundle", type=click.File("rb"))
@_keys
@click.option(
    "--since", type=click.File("r", encoding="utf-8"), help="A checkpoint from before, which this must continue."
)
def verify_(bundle: BinaryIO, verifiers: Sequence[Verifier], since: TextIO | None) -> None:
    """Verify a BUNDLE offline: every entry, the dense sequences, the tree, the signature.

    Without --since it shows that the entries are those that the key signed. What happened before that signature, by
    somebody who holds the key, only a checkpoint that you have kept yourself can show.
    """
    try:
        older = parse_note(since.read()) if since else None
        with _Bar("verifying") as bar:
            verdict = verify(bundle, verifiers, older, bar.tell)
    except (NotABundle, InvalidNote, OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"{bundle.name}: {error}") from error
    for line in sentences(verdict):
        click.echo(line)
    if not verdict.good:
        raise SystemExit(FALSE)


@audit.command()
@click.argument("log_id", type=click.UUID)
@click.option("--output", type=click.File("w", encoding="utf-8"), default="-", help="Where to.  [default: the screen]")
@_service
def receipt(log_id: UUID, output: TextIO, target: str, actor: str | None) -> None:
    """Fetch the receipt of the execution log LOG_ID (C2SP tlog-proof)."""
    try:
        with Client(target, role="compliance", actor=actor or _login()) as client:
            proof = client.get_inclusion_proof(log_id)
    except BlotterError as error:
        raise Unreadable(f"{target}: {error}") from error
    note = parse_note(proof.checkpoint.note)
    output.write(str(Receipt(proof.leaf, proof.position, list(proof.hashes), note)))


@audit.command("check-receipt", epilog=_EPILOG)
@click.argument("file", type=click.File("r", encoding="utf-8"))
@_keys
def check_receipt(file: TextIO, verifiers: Sequence[Verifier]) -> None:
    """Verify the receipt in FILE offline, and print what it proves."""
    try:
        read = Receipt.parse(file.read())
    except (InvalidProof, InvalidNote, UnicodeDecodeError) as error:
        raise Unreadable(f"{file.name}: {error}") from error
    try:
        checkpoint = read.verify(verifiers)
    except (InvalidProof, InvalidNote) as error:
        click.secho(printable(f"FALSE. {error}."), fg="red", bold=True)
        raise SystemExit(FALSE) from error
    click.secho("VERIFIED.", fg="green", bold=True)
    place = f"Entry {read.index} of the ledger {checkpoint.origin}, in a signed tree of {checkpoint.size} entries:"
    click.echo(printable(place))
    click.echo(printable(read.leaf.decode("utf-8", "replace")))


def sentences(verdict: Verdict) -> list[str]:
    """Return the verdict in words."""
    if not verdict.good:
        head = click.style("FALSE. This is not what was signed, or something is missing.", fg="red", bold=True)
        return [head, *(printable(f"- {fault}") for fault in verdict.faults)]
    signed = f"Ledger {verdict.origin}, signed by {', '.join(verdict.signed_by)}: a tree of {verdict.size} entries."
    lines = [signed, *_about_entries(verdict), *_about_since(verdict)]
    return [click.style("VERIFIED.", fg="green", bold=True), *map(printable, lines)]


def _about_entries(verdict: Verdict) -> list[str]:
    if verdict.start == verdict.end:
        return ["This file has no entries: it shows the signature, and nothing of what is in the ledger."]
    told = [
        f"Entries {verdict.start} to {verdict.end - 1} are here: {verdict.logs} logs of {verdict.traders} traders.",
        f"They were recorded from {verdict.first_time or 'none'} to {verdict.last_time or 'none'} (UTC).",
        "Each is, bit for bit, what was signed; none among them is missing, added or moved; no numbering has a gap.",
    ]
    if verdict.start or verdict.end < verdict.size:
        told.append("The tree's other entries are not in this file: nothing is said of what is stored of them.")
    return told


def _about_since(verdict: Verdict) -> list[str]:
    if verdict.since is None:
        return ["Not compared with an older checkpoint: who holds the key could have signed another history before."]
    told = f"It continues the older checkpoint, of {verdict.since} entries: none of what that signed was given up."
    if verdict.start == 0:
        told += " All of them are in this file, unaltered."
    return [told]


def printable(text: str) -> str:
    """Return the text as a terminal can show it: what a file says must not be able to move the cursor."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _login() -> str:
    return os.environ.get("USER") or os.environ.get("USERNAME") or "audit"


class _Bar:
    """A bar on a terminal, nothing elsewhere."""

    def __init__(self, what: str) -> None:
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        console = Console(stderr=True)
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task(what, total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tell(self, done: int, total: int) -> None:
        """Show how far it is."""
        self._progress.update(self._task, completed=done, total=total)
