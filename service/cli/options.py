"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable

import click

from service.settings.serving_settings import is_address


def target(function: Callable[..., None]) -> Callable[..., None]:
    """Add `--target`, by default the address that a service with the same environment listens on."""
    return click.option(
        "--target",
        metavar="HOST:PORT",
        envvar="BLOTTER_LISTEN",
        default="127.0.0.1:50051",
        show_default=True,
        callback=_checked,
        help="The address of the service.",
    )(function)


def _checked(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    # Other schemes of gRPC, such as dns:///host:port, are left to it.
    if "://" not in value and not is_address(value):
        raise click.BadParameter(f"{value!r} must be HOST:PORT, [IPv6]:PORT or unix:PATH.")
    return value
