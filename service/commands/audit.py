"""`blotter audit`: exporting the ledger, and verifying what was exported, offline."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Self
from uuid import UUID

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from service.client import BlotterError, Client, ExportFormat
from service.domain.text import ACTOR, RESERVED_ACTORS, is_reserved
from service.ledger.checkpoint import Checkpoint
from service.ledger.notes import InvalidKey, InvalidNote, Verifier, parse_note
from service.ledger.proofs import InvalidProof
from service.ledger.receipt import NotAReceipt, Receipt, UnknownKey
from service.verifier.bundle import NotABundle, Verdict, verify

FALSE, UNREADABLE, UNDECIDED = 1, 3, 4

_EPILOG = """\b
Exit status:
  0  verified
  1  false: it is not what was signed, or something is missing
  2  wrong usage, or no such file
  3  the file is none of this kind, or cannot be read
  4  cannot tell: signed by other keys than those given, or not comparable with the older checkpoint
"""
_EPILOG_SERVICE = """\b
Exit status:
  0  done
  2  wrong usage
  3  the service cannot be reached or refuses, or the file cannot be written
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
        """Read them. What was given is not repeated: somebody may have named his private key."""
        file = Path(value)
        try:
            if "+" not in value and not file.is_file():
                self.fail("this is neither a verifier key nor a file of them", param, ctx)
            text = file.read_text("utf-8") if file.is_file() else value
            if "PRIVATE" in text:
                self.fail("this is a private key: `blotter keys show` prints the public ones", param, ctx)
            return [Verifier.parse(line) for line in text.strip().split("\n")]
        except (InvalidKey, OSError, UnicodeDecodeError) as error:
            self.fail(f"this is no verifier key: {error}", param, ctx)


def _keys(function: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--key",
        "verifiers",
        type=Keys(),
        multiple=True,
        required=True,
        callback=lambda _context, _option, values: [verifier for keys in values for verifier in keys],
        help="A key that you trust, as `blotter keys show` prints it, or a file of them; may be repeated. A log's key "
        "must have signed, and every witness's that you give.",
    )(function)


def _checked(_context: click.Context, _option: click.Parameter, actor: str | None) -> str | None:
    """Return the actor to send, by default the account's name; None for the service's own, "compliance"."""
    if actor is None:
        name = getpass.getuser()
        return name if ACTOR.fullmatch(name) and not is_reserved(name, RESERVED_ACTORS) else None
    if not ACTOR.fullmatch(actor) or is_reserved(actor, RESERVED_ACTORS - {"compliance"}):
        raise click.BadParameter(
            "an actor is 1 to 100 printable ASCII characters, and none of the service's own names "
            f"({', '.join(sorted(RESERVED_ACTORS))})."
        )
    return actor


def _service(function: Callable[..., None]) -> Callable[..., None]:
    target = click.option(
        "--target",
        metavar="HOST:PORT",
        envvar="BLOTTER_LISTEN",
        default="127.0.0.1:50051",
        show_default=True,
        help="Where the service listens.",
    )
    actor = click.option(
        "--actor",
        callback=_checked,
        help="Who is reading, for the service's record.  [default: the name of your account, where it can be recorded]",
    )
    return target(actor(function))


@click.group()
def audit() -> None:
    """Export the audit ledger, and verify exports and receipts offline."""


@audit.command(epilog=_EPILOG_SERVICE)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
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
    """Write a stretch of the ledger to FILE, whole or not at all; to - or a device as it comes."""
    form = ExportFormat[format_.upper().replace("-", "_")]
    count = 0
    try:
        with (
            Client(target, role="compliance", actor=actor) as client,
            _written(file) as writing,
            _Bar("exporting") as bar,
        ):
            for piece in client.export_execution_logs(from_position=start, to_position=end, format_=form):
                writing.write(piece.data)
                count = piece.exported_count
                bar.tell(piece.exported_count, piece.total_count)
    except BlotterError as error:
        raise Unreadable(f"{target}: {error}") from error
    except OSError as error:
        raise Unreadable(f"{file} cannot be written: {error.strerror}") from error
    click.echo(f"{count} entries from position {start} on: {file}", err=True)


@audit.command("verify", epilog=_EPILOG)
@click.argument("bundle", type=click.File("rb"))
@_keys
@click.option("--since", type=click.File("rb"), help="A checkpoint from before, which this must continue.")
def verify_(bundle: BinaryIO, verifiers: Sequence[Verifier], since: BinaryIO | None) -> None:
    """Verify a BUNDLE offline: every entry, the dense sequences, the tree, the signature.

    Without --since it shows that the entries are those that the key signed. What happened before that signature, by
    somebody who holds the key, only a checkpoint that you have kept yourself can show.
    """
    try:
        older = parse_note(since.read().decode("utf-8")) if since else None
        if older:
            Checkpoint.parse(older.text)
    except (InvalidNote, OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"{since.name if since else ''} is no checkpoint: {error}") from error
    try:
        with _Bar("verifying") as bar:
            verdict = verify(bundle, verifiers, older, bar.tell)
    except (NotABundle, OSError) as error:
        raise Unreadable(f"{bundle.name}: {error}") from error
    for line in sentences(verdict):
        click.echo(line)
    if not verdict.good:
        raise SystemExit(FALSE if verdict.faults else UNDECIDED)


@audit.command(epilog=_EPILOG_SERVICE)
@click.argument("log_id", type=click.UUID)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    default="-",
    help="Where to.  [default: the screen]",
)
@_service
def receipt(log_id: UUID, output: Path, target: str, actor: str | None) -> None:
    """Fetch the receipt of the execution log LOG_ID (C2SP tlog-proof)."""
    try:
        with Client(target, role="compliance", actor=actor) as client:
            proof = client.get_inclusion_proof(log_id)
    except BlotterError as error:
        raise Unreadable(f"{target}: {error}") from error
    note = parse_note(proof.checkpoint.note)
    try:
        with _written(output) as writing:
            writing.write(str(Receipt(proof.leaf, proof.position, list(proof.hashes), note)).encode())
    except OSError as error:
        raise Unreadable(f"{output} cannot be written: {error.strerror}") from error


@audit.command("check-receipt", epilog=_EPILOG)
@click.argument("file", type=click.File("rb"))
@_keys
def check_receipt(file: BinaryIO, verifiers: Sequence[Verifier]) -> None:
    """Verify the receipt in FILE offline, and print what it proves."""
    try:
        read = Receipt.parse(file.read().decode("utf-8"))
        checkpoint = read.verify(verifiers)
    except (NotAReceipt, UnicodeDecodeError, OSError) as error:
        raise Unreadable(f"{file.name}: {error}") from error
    except UnknownKey as error:
        click.secho(printable(f"CANNOT TELL. {error}."), fg="yellow", bold=True)
        raise SystemExit(UNDECIDED) from error
    except (InvalidProof, InvalidNote) as error:
        click.secho(printable(f"FALSE. {error}."), fg="red", bold=True)
        raise SystemExit(FALSE) from error
    click.secho("VERIFIED.", fg="green", bold=True)
    place = f"Entry {read.index} of the ledger {checkpoint.origin}, in a signed tree of {checkpoint.size} entries:"
    click.echo(printable(place))
    click.echo(printable(read.leaf.decode("utf-8", "replace")))


@contextmanager
def _written(file: Path) -> Iterator[BinaryIO]:
    """A file to write to, that is there whole or not at all; standard output, a pipe or a device as they are."""
    if str(file) == "-":
        yield sys.stdout.buffer
        return
    target = file.resolve()  # a link stays a link
    if target.exists() and not target.is_file():
        with target.open("wb") as writing:
            yield writing
        return
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with temporary.open("xb") as writing:
            yield writing
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def sentences(verdict: Verdict) -> list[str]:
    """Return the verdict in words."""
    why = [printable(f"- {what}") for what in (*verdict.faults, *verdict.doubts)]
    if verdict.faults:
        return [click.style("FALSE. This is not what was signed, or something is missing.", fg="red", bold=True), *why]
    if verdict.doubts:
        head = "CANNOT TELL. Nothing false was found, and not all could be checked with what was given."
        return [click.style(head, fg="yellow", bold=True), *why]
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
        return [
            "Not compared with an older checkpoint: who holds the key could have signed another history before.",
            "To rule that out, verify with --since and a checkpoint that you got and kept yourself.",
        ]
    told = f"It continues the older checkpoint, of {verdict.since} entries: none of what that signed was given up."
    if verdict.start == 0:
        told += " All of them are in this file, unaltered."
    return [told, "That is worth as much as the place where that checkpoint was kept."]


def printable(text: str) -> str:
    """Return the text as a terminal can show it: what a file says must not be able to move the cursor."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


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
