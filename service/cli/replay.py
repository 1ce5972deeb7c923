"""`blotter replay` and `blotter demo`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from random import SystemRandom
from typing import Any, cast
from uuid import UUID

import click

from blotter_client import BlotterError
from replay import demo as demo_flow
from replay import lobster
from replay.book import Book, Outcome
from replay.compare import Comparison, compare
from replay.flow import (
    Approve,
    Bust,
    Cancel,
    CancelAtVenue,
    Correct,
    EndDay,
    Execute,
    Fill,
    Flow,
    Recover,
    RefuseCancel,
    RefuseReplace,
    Reject,
    Replace,
    ReplaceAtVenue,
    Restate,
    Step,
    Submit,
)
from replay.player import Desk, Played, PlayStopped, play, watching
from replay.screen import Screen
from replay.traders import DEMO_TRADERS
from service.cli import options

DIFFERENT = 1
NOT_PLAYED = 3
INTERRUPTED = 130

_LOBSTER_NAME = re.compile(r"(?P<symbol>[^_]+)_(?P<date>\d{4}-\d\d-\d\d)_\d+_\d+_message_\d+\.csv")

_KINDS: dict[type[Step], str] = {
    Submit: "submits",
    Cancel: "cancels",
    Replace: "replaces",
    Approve: "approvals",
    Execute: "attempts to send",
    Recover: "recoveries",
    Fill: "fills",
    Reject: "rejects",
    CancelAtVenue: "cancels at the venue",
    ReplaceAtVenue: "replaces at the venue",
    RefuseCancel: "refused cancels",
    RefuseReplace: "refused replaces",
    Restate: "restatements",
    EndDay: "ends of day",
    Correct: "corrections",
    Bust: "busts",
}

_EPILOG = """\b
Exit status:
  0    no differences
  1    the service differs from the book; each difference is printed
  2    invalid arguments
  3    not played: the service is not available, the traders are unknown, or the file is malformed
  130  interrupted
"""


class NotPlayed(click.ClickException):
    """The flow could not be played completely."""

    exit_code = NOT_PLAYED


def _trader_ids(function: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--trader-id",
        "trader_ids",
        type=click.UUID,
        multiple=True,
        help="A trader whose orders are played; may be repeated.  [default: the demo traders]",
    )(function)


def _service(function: Callable[..., None]) -> Callable[..., None]:
    tokens = click.option(
        "--tokens",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Folder with the bearer tokens of the callers, in files named TRADER-ID, execution and compliance. "
        "They are read before each call. The actors in the trail are then not checked.",
    )
    return options.target(options.tls(tokens(function)))


@click.command(epilog=_EPILOG)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--symbol", help="The instrument, such as AAPL; default: from LOBSTER's file name.")
@click.option(
    "--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="The day in New York; default: from LOBSTER's file name."
)
@click.option(
    "--traders",
    "count",
    type=click.IntRange(min=1),
    help="The number of traders to use.  [default: all]",
)
@_trader_ids
@_service
def replay(
    file: Path, symbol: str | None, day: datetime | None, count: int | None, trader_ids: tuple[UUID, ...], **access: Any
) -> None:
    """Play the order flow of a LOBSTER message FILE, and check every response, stream and record.

    Each order is entered by one of the traders, reported on by an execution gateway, and watched on its trader's
    stream. At the end, orders, fills, streams and the audit trail are compared with an independent book. A second run
    with the same file changes nothing.
    """
    named = _LOBSTER_NAME.fullmatch(file.name)
    symbol = symbol or (named["symbol"] if named else None)
    chosen = day.date() if day else _date(named["date"] if named else None)
    if symbol is None or chosen is None:
        raise click.UsageError(f"The name of {file.name} does not state symbol and date: give --symbol and --date.")
    try:
        flow = lobster.read_file(file, symbol, chosen)
    except lobster.MalformedFile as error:
        raise NotPlayed(f"{file}, {error}") from error
    except OSError as error:
        raise NotPlayed(f"{file} cannot be read: {error.strerror}") from error
    desk = _desk(_traders(trader_ids, count), **access)
    raise SystemExit(run(flow, access["target"], desk))


@click.command(epilog=_EPILOG)
@click.option("--seed", type=click.IntRange(min=0), help="The seed of the flow.  [default: random]")
@click.option("--orders", type=click.IntRange(1, 100_000), default=40, show_default=True, help="The number of orders.")
@click.option(
    "--pace", type=click.FloatRange(min=0), default=40, show_default=True, help="Steps per second; 0: no limit."
)
@_trader_ids
@_service
def demo(seed: int | None, orders: int, pace: float, trader_ids: tuple[UUID, ...], **access: Any) -> None:
    """Play a generated order flow, and print the events of its orders.

    The flow includes partial and late fills, overfills, corrections and busts, cancels that lose the race with a fill,
    replaces, rejects, failed attempts to send, and repeated requests and reports.
    The checks are those of `replay`. The same --seed and --orders play the same flow again.
    """
    chosen = SystemRandom().randrange(1_000_000) if seed is None else seed
    desk = _desk(_traders(trader_ids, None), **access)
    raise SystemExit(run(demo_flow.generate(chosen, orders), access["target"], desk, pace=pace, show_events=True))


def _desk(
    traders: Sequence[UUID],
    target: str,
    tokens: Path | None,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> Desk:
    """Return the clients of the callers. Raises click.UsageError."""

    def token(caller: str) -> str:
        return options.token(cast("Path", tokens) / caller)

    certificates = options.certificates(tls_ca, tls_cert, tls_key)
    try:
        return Desk(target, traders, token=token if tokens else None, **certificates)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error


def run(flow: Flow, target: str, desk: Desk, *, pace: float = 0.0, show_events: bool = False) -> int:
    """Play a flow, compare, print the result, and return the exit status. Raises NotPlayed."""
    traders = tuple(desk.traders)
    if not flow.steps:
        raise NotPlayed(f"{flow.source} has no steps to play.")
    screen = Screen({trader_id: DEMO_TRADERS.get(trader_id, str(trader_id)[:8]) for trader_id in traders})
    book = Book.of(flow.steps, traders)
    _print_flow(flow, target, len(traders))
    try:
        with desk:
            _check_service(desk, target)
            on_event = screen.event if show_events else screen.ignore
            with watching(desk, book, on_event) as watchers:
                with screen.progress(len(flow.steps)) as progress:
                    played = play(flow, book, desk, progress, pace)
                comparison = compare(book, desk, watchers)
    except PlayStopped as stopped:
        raise NotPlayed(_message(stopped.error, target) if stopped.error else f"{target}: {stopped}.") from stopped
    except BlotterError as error:
        raise NotPlayed(_message(error, target)) from error
    except KeyboardInterrupt:
        click.echo(
            "Interrupted. The steps that were played remain recorded; playing the same flow again resumes it.", err=True
        )
        return INTERRUPTED
    return _print_result(played, comparison)


def _traders(trader_ids: tuple[UUID, ...], count: int | None) -> tuple[UUID, ...]:
    traders = tuple(dict.fromkeys(trader_ids)) or tuple(DEMO_TRADERS)
    if count is None:
        return traders
    if count > len(traders):
        raise click.BadParameter(
            f"there are only {len(traders)} traders; add others with --trader-id.", param_hint="--traders"
        )
    return traders[:count]


def _date(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _print_flow(flow: Flow, target: str, traders: int) -> None:
    kinds = Counter(_KINDS[type(step)] for step in flow.steps)
    click.echo(f"{flow.source}: {_list_counts(kinds)}")
    if flow.left_out:
        click.echo(f"Not played: {_list_counts(flow.left_out)}")
    click.echo(f"Playing {len(flow.steps)} steps as {traders} {'trader' if traders == 1 else 'traders'} on {target}")


def _list_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _check_service(desk: Desk, target: str) -> None:
    """Call the service as each trader. Raises NotPlayed if a call fails."""
    for client in desk.traders.values():
        try:
            next(client.list_orders(page_size=1), None)
        except BlotterError as error:
            raise NotPlayed(_message(error, target)) from error


def _message(error: BlotterError, target: str) -> str:
    if error.reason == "UNKNOWN_TRADER":
        return (
            f"The traders are not registered with the service at {target}. "
            "Register traders with `blotter traders add` and pass them with --trader-id."
        )
    if error.code.name == "UNAVAILABLE":
        return f"The service at {target} is not available. Start it with `make run`, or set --target. ({error})"
    return f"A call to the service at {target} failed: {error} (request {error.request_id or 'unknown'})"


def _print_result(played: Played, comparison: Comparison) -> int:
    differences = played.differences + comparison.differences
    for difference in differences:
        click.echo(f"DIFFERENT  {difference}", err=True)
    recorded = played.outcomes[Outcome.RECORDED]
    refused = sum(
        count for outcome, count in played.outcomes.items() if outcome not in {Outcome.RECORDED, Outcome.REPLAYED}
    )
    replayed = played.outcomes[Outcome.REPLAYED]
    events = comparison.counts.get("events of streams", 0)
    for kind, count in comparison.counts.items():
        click.echo(f"{count:>8} {kind}")
    seconds = f"in {played.seconds:.1f} s"
    if not recorded and not events:
        click.echo(f"nothing new: {replayed} replayed, {refused} refused as before, {seconds}")
    else:
        click.echo(f"{recorded} recorded, {replayed} replayed, {refused} refused as expected, {seconds}")
    if differences:
        click.echo(f"{len(differences)} differences", err=True)
        return DIFFERENT
    click.echo("No difference.")
    return 0
