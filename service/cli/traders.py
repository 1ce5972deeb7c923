"""`blotter traders`."""

from __future__ import annotations

from uuid import UUID

import click

from service.cli import provisioning
from service.repositories import traders as repository
from service.settings import Settings


@click.group()
def traders() -> None:
    """Register and list traders."""


@traders.command()
@click.argument("name")
@click.option("--id", "trader_id", type=click.UUID, help="The trader's id; default: a new one.")
def add(name: str, trader_id: UUID | None) -> None:
    """Register a trader and print their id."""
    with provisioning.owned(Settings()) as conninfo:
        click.echo(repository.add(conninfo, name, trader_id).id)


@traders.command()
@click.argument("trader_id", type=click.UUID)
@click.argument("name")
def rename(trader_id: UUID, name: str) -> None:
    """Give the trader TRADER_ID another name."""
    with provisioning.owned(Settings()) as conninfo:
        repository.rename(conninfo, trader_id, name)


@traders.command()
@click.argument("trader_id", type=click.UUID)
def disable(trader_id: UUID) -> None:
    """Refuse the trader's own calls. Gateways still report on the trader's open orders, and these still expire."""
    with provisioning.owned(Settings()) as conninfo:
        repository.disable(conninfo, trader_id)


@traders.command()
@click.argument("trader_id", type=click.UUID)
def enable(trader_id: UUID) -> None:
    """Accept the trader's calls again."""
    with provisioning.owned(Settings()) as conninfo:
        repository.enable(conninfo, trader_id)


@traders.command("list")
def list_() -> None:
    """List the traders, oldest first: id, time of registration, name, and whether they are disabled."""
    with provisioning.owned(Settings()) as conninfo:
        for trader in repository.list_all(conninfo):
            disabled = "  (disabled)" if trader.disabled_at else ""
            click.echo(f"{trader.id}  {trader.created_at:%Y-%m-%d %H:%M:%S}  {trader.name}{disabled}")
