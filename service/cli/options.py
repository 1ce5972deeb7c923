"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable

import click


def target(function: Callable[..., None]) -> Callable[..., None]:
    """Add `--target`, by default the address that a service with the same environment listens on."""
    return click.option(
        "--target",
        metavar="HOST:PORT",
        envvar="BLOTTER_LISTEN",
        default="127.0.0.1:50051",
        show_default=True,
        help="The address of the service.",
    )(function)
