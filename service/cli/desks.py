"""`blotter desks`: desks and their traders."""

from __future__ import annotations

from uuid import UUID

import click

from service.cli import provisioning
from service.repositories import desks as repository
from service.settings import Settings


@click.group()
def desks() -> None:
    """Make desks, whose supervisors read the orders of their traders."""


@desks.command()
@click.argument("name")
@click.option("--id", "desk_id", type=click.UUID, help="The desk's id; default: a new one.")
def add(name: str, desk_id: UUID | None) -> None:
    """Make a desk and print its id."""
    with provisioning.owned(Settings()) as conninfo:
        click.echo(repository.add(conninfo, name, desk_id).id)


@desks.command()
@click.argument("desk_id", type=click.UUID)
@click.argument("name")
def rename(desk_id: UUID, name: str) -> None:
    """Give the desk DESK_ID another name."""
    with provisioning.owned(Settings()) as conninfo:
        repository.rename(conninfo, desk_id, name)


@desks.command()
@click.argument("desk_id", type=click.UUID)
@click.argument("trader_ids", type=click.UUID, nargs=-1, required=True)
def assign(desk_id: UUID, trader_ids: tuple[UUID, ...]) -> None:
    """Move traders to the desk DESK_ID. A trader belongs to one desk at most."""
    with provisioning.owned(Settings()) as conninfo:
        repository.assign(conninfo, desk_id, list(trader_ids))


@desks.command()
@click.argument("trader_ids", type=click.UUID, nargs=-1, required=True)
def remove(trader_ids: tuple[UUID, ...]) -> None:
    """Take traders from their desk."""
    with provisioning.owned(Settings()) as conninfo:
        repository.remove(conninfo, list(trader_ids))


@desks.command("list")
def list_() -> None:
    """List the desks, oldest first: id, time and name; below each, its traders."""
    with provisioning.owned(Settings()) as conninfo:
        for desk, members in repository.list_all(conninfo):
            click.echo(f"{desk.id}  {desk.created_at:%Y-%m-%d %H:%M:%S}  {desk.name}")
            for member in members:
                click.echo(f"    {member.id}  {member.name}")
