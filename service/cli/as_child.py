"""What the commands that a parent starts have in common: hidden options, and the report of a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from blotter_verifier.notes import InvalidKey
from service.domain.errors import BlotterError, DatabaseUnavailable, Refused
from service.workers.child import report_failure


def as_child(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options with which a parent starts its children: `child`, its name, and `channel`, a descriptor."""
    for option in (
        click.option("--channel", type=int, hidden=True),
        click.option("--child", hidden=True),
    ):
        function = option(function)
    return function


@contextmanager
def reporting(channel: int | None) -> Iterator[None]:
    """Give the parent, instead of the terminal, the reason for which a child ends; then exit with status 1."""
    try:
        yield
    except (Refused, BlotterError, InvalidKey, OSError, RuntimeError) as error:
        if channel is None:
            raise
        report_failure(channel, error, unavailable=isinstance(error, DatabaseUnavailable))
        raise click.exceptions.Exit(1) from error
