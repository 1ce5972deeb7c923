"""The output while a flow is played: a progress bar and colours on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from blotter_client import Action, OrderEvent, OrderStatus, OrderTerms, OrderType, Side, TimeInForce, moment_of
from replay.difference import name

_COLOURS = {
    "PENDING": "cyan",
    "PARTIAL": "yellow",
    "FILLED": "green",
    "REJECTED": "red",
    "CANCELLED": "magenta",
}
_PLAIN_LINES = 5
"""The number of progress lines if the output is not a terminal."""


class Screen:
    """Prints progress and events. `names` are the traders' names."""

    def __init__(self, names: Mapping[UUID, str], console: Console | None = None) -> None:
        self._names = names
        self._console = console or Console(highlight=False)
        self._lock = Lock()

    @contextmanager
    def progress(self, total: int) -> Iterator[Callable[[int], None]]:
        """Print the progress; yields the function to call with the number of completed steps."""
        if not self._console.is_terminal:
            yield self._plain(total)
            return
        columns = (TextColumn("playing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task("playing", total=total)
            yield lambda count: progress.update(task, completed=count)

    def event(self, trader_id: UUID, event: OrderEvent) -> None:
        """Print a line about an event. May be called from any thread."""
        order = event.order
        status = name(OrderStatus, order.status)
        terms = f"{name(Side, order.side)} {order.quantity} {order.symbol} {name(OrderType, order.order_type)}"
        line = (
            f"{self._names[trader_id]:<8} {event.sequence:>6}  {terms + ' ' + order.price:<38} "
            f"{_action(event):<34} {status} {_filled(event)}"
        )
        with self._lock:
            # The `style` argument of `print` would colour the progress bar as well.
            style = "bold red" if event.refused else _COLOURS.get(status, "")
            self._console.print(Text(line.rstrip(), style), soft_wrap=True)

    def ignore(self, trader_id: UUID, event: OrderEvent) -> None:
        """Print nothing."""

    def _plain(self, total: int) -> Callable[[int], None]:
        shown = 0

        def update(count: int) -> None:
            nonlocal shown
            if total and count * _PLAIN_LINES // total > shown:
                shown = count * _PLAIN_LINES // total
                self._console.print(f"{count} of {total} steps")

        return update


def _action(event: OrderEvent) -> str:
    if event.refused:
        return f"refused: {event.error_code}"
    action = name(Action, event.action)
    if event.HasField("fill"):
        return f"{action} {event.fill.quantity} at {event.fill.price}"
    if event.HasField("correction"):
        correction = event.correction
        stands = f"to {correction.quantity} at {correction.price}" if correction.quantity else ""
        return f"{action} {correction.ref_execution_id} {stands}".rstrip()
    if event.HasField("terms"):
        return f"{action} {_terms(event)}"
    return f"{action} {event.error_code or event.reason}".rstrip()


def _terms(event: OrderEvent) -> str:
    """Return the terms that an event names, such as `quantity 100, stop_loss none`."""
    return ", ".join(f"{path} {_term(event.terms, path) or 'none'}" for path in event.update_mask.paths)


def _term(terms: OrderTerms, path: str) -> str:
    if path == "expire_time":
        return f"{moment_of(terms.expire_time):%Y-%m-%d %H:%M}" if terms.HasField("expire_time") else ""
    if path == "time_in_force":
        return name(TimeInForce, terms.time_in_force) if terms.time_in_force else ""
    return str(getattr(terms, path))


def _filled(event: OrderEvent) -> str:
    order = event.order
    if not order.filled_quantity:
        return ""
    return f"{order.filled_quantity}/{order.quantity} at {order.average_fill_price}"
