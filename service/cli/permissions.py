"""`blotter permissions`: which kinds of callers may call each method."""

from __future__ import annotations

import click

from service.domain.identity import CallerKind
from service.domain.permissions import ANYONE, PERMISSIONS, Permission


@click.command()
def permissions() -> None:
    """Print which kinds of callers may call each method, as a Markdown table."""
    rows = [("method", "callers"), *((f"`{method}`", callers(kinds)) for method, kinds in PERMISSIONS.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    heading, *lines = (" | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows)
    for line in (heading, "-|-".join("-" * width for width in widths), *lines):
        click.echo(f"|-{line}-|" if line.startswith("-") else f"| {line} |")


def callers(kinds: Permission) -> str:
    """Return the kinds in the order of CallerKind; `anyone` for a method that needs no identity."""
    return "anyone" if kinds is ANYONE else ", ".join(kind for kind in CallerKind if kind in kinds)
