"""`blotter audit`: exports the ledger, and verifies exports offline."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self
from uuid import UUID

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from blotter_client import BlotterError, Client, ExportFormat
from blotter_verifier.command import main as verify_command
from blotter_verifier.notes import parse_note
from blotter_verifier.receipt import Receipt
from blotter_verifier.report import Status, printable
from service.cli import options
from service.domain.text import ACTOR, RESERVED_ACTORS, is_reserved
from service.files import replacing

_FORWARDED = {"ignore_unknown_options": True, "allow_extra_args": True}
_EPILOG_SERVICE = """\b
Exit status:
  0  done
  2  invalid usage
  3  the service cannot be reached or refuses, or the file cannot be written
"""


class Unreadable(click.ClickException):
    """A file, or a service, that cannot be read."""

    exit_code = Status.UNREADABLE

    def format_message(self) -> str:
        """Return the text that is printed."""
        return printable(super().format_message())


def _checked(_context: click.Context, _option: click.Parameter, actor: str | None) -> str | None:
    if actor is not None and (not ACTOR.fullmatch(actor) or is_reserved(actor, RESERVED_ACTORS - {"compliance"})):
        raise click.BadParameter(
            "an actor is 1 to 100 printable ASCII characters, and none of the service's own names "
            f"({', '.join(sorted(RESERVED_ACTORS))})."
        )
    return actor


def _account() -> str | None:
    """Return the account's name, if it can be recorded; None for the service's default, "compliance"."""
    name = getpass.getuser()
    return name if ACTOR.fullmatch(name) and not is_reserved(name, RESERVED_ACTORS) else None


def _service(function: Callable[..., None]) -> Callable[..., None]:
    actor = click.option(
        "--actor",
        callback=_checked,
        help="The reader, for the service's record.  [default: the name of your account, if it can be recorded; "
        "with a token or a certificate, what these say]",
    )
    token = click.option("--token-file", type=options.FILE, help="File of the bearer token of the call.")
    return options.target(options.tls(token(actor(function))))


def _client(
    target: str,
    actor: str | None,
    token_file: Path | None,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> Client:
    """Return a client of compliance. Raises click.UsageError."""
    certificates = options.certificates(tls_ca, tls_cert, tls_key)
    token = options.token(token_file) if token_file else None
    # The service refuses an actor that differs from the one of a token or a certificate.
    named = actor if actor or token or tls_cert else _account()
    try:
        return Client(target, role="compliance", actor=named, token=token, **certificates)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error


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
def export(file: Path, start: int, end: int | None, format_: str, **access: Any) -> None:
    """Write the ledger, or a part of it, to FILE.

    A file appears only when it is complete. Standard output (-), pipes and devices are written to directly.
    """
    form = ExportFormat[format_.upper().replace("-", "_")]
    count = 0
    client = _client(**access)
    try:
        with (
            client,
            _written(file) as writing,
            _Bar("exporting") as bar,
        ):
            for piece in client.export_execution_logs(from_position=start, to_position=end, format_=form):
                writing.write(piece.data)
                count = piece.exported_count
                bar.update(piece.exported_count, piece.total_count)
    except BlotterError as error:
        raise Unreadable(f"{access['target']}: {error}") from error
    except BrokenPipeError:  # the reader of the output has closed it, as `head` does; Click exits silently
        raise
    except OSError as error:
        raise Unreadable(f"{file} cannot be written: {error.strerror}") from error
    click.echo(f"{count} entries from position {start} on: {file}", err=True)


@audit.command("verify", context_settings=_FORWARDED, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def verify_(arguments: tuple[str, ...]) -> None:
    """Verify a bundle offline, as `blotter-verify bundle` does."""
    raise SystemExit(verify_command(["bundle", *arguments], usage_name="blotter audit verify"))


@audit.command(epilog=_EPILOG_SERVICE)
@click.argument("log_id", type=click.UUID)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    default="-",
    help="Where to.  [default: the screen]",
)
@_service
def receipt(log_id: UUID, output: Path, **access: Any) -> None:
    """Fetch the receipt of the execution log LOG_ID (C2SP tlog-proof)."""
    try:
        with _client(**access) as client:
            proof = client.get_inclusion_proof(log_id)
    except BlotterError as error:
        raise Unreadable(f"{access['target']}: {error}") from error
    note = parse_note(proof.checkpoint.note)
    try:
        with _written(output) as writing:
            writing.write(str(Receipt(proof.leaf, proof.position, list(proof.hashes), note)).encode())
    except BrokenPipeError:  # the reader of the output has closed it, as `head` does; Click exits silently
        raise
    except OSError as error:
        raise Unreadable(f"{output} cannot be written: {error.strerror}") from error


@audit.command("check-receipt", context_settings=_FORWARDED, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def check_receipt(arguments: tuple[str, ...]) -> None:
    """Verify a receipt offline, as `blotter-verify receipt` does."""
    raise SystemExit(verify_command(["receipt", *arguments], usage_name="blotter audit check-receipt"))


@contextmanager
def _written(file: Path) -> Iterator[BinaryIO]:
    """Yield a file to write to, which appears only when it is complete; standard output, pipes and devices directly."""
    if str(file) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()  # so that a full disk is an error of the command
        return
    target = file.resolve()  # the target of a link is replaced, not the link
    if target.exists() and not target.is_file():
        with target.open("wb") as writing:
            yield writing
        return
    with replacing(target) as writing:
        yield writing


class _Bar:
    """Shows a progress bar on a terminal, and nothing elsewhere."""

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

    def update(self, done: int, total: int) -> None:
        """Update the bar."""
        self._progress.update(self._task, completed=done, total=total)
