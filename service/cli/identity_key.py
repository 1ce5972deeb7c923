"""`blotter identity-key`: the key that signs the identity of each transaction."""

from __future__ import annotations

from pathlib import Path

import click

from service.cli import provisioning
from service.repositories import identity_keys
from service.settings import Settings


@click.group("identity-key")
def identity_key() -> None:
    """The key that signs the identity of each transaction, in the file BLOTTER_IDENTITY_KEY."""


def _file(settings: Settings) -> Path:
    if settings.identity_key_file is None:
        raise click.UsageError("Name the file of the key: BLOTTER_IDENTITY_KEY=FILE.")
    return settings.identity_key_file


@identity_key.command()
@click.option("--later", is_flag=True, help="Write the file only: `register` makes the database ask for signatures.")
def generate(*, later: bool) -> None:
    """Write a new key to the file, and register it: the database then accepts signed identities only.

    Servers without the key are refused from that moment. To avoid this, generate it with --later, give the file to all
    servers, restart them, and run `register`.
    """
    settings = Settings()
    file = _file(settings)
    with provisioning.owned(settings) as conninfo:
        key = identity_keys.generate(conninfo, file, register=not later)
    click.echo(f"The key {key.id} is in {file}." + (" The database does not ask for it yet." if later else ""))


@identity_key.command()
def register() -> None:
    """Register the key of the file: the database then accepts signed identities only."""
    settings = Settings()
    file = _file(settings)
    with provisioning.owned(settings) as conninfo:
        key = identity_keys.register(conninfo, file)
    click.echo(f"The database accepts identities that the key {key.id} signs, and none without a signature.")


@identity_key.command()
def rotate() -> None:
    """Register a new key and write it to the file. The old one stays in use until it is retired.

    Servers read the file within some seconds. Retire the old key when all of them have the new file.
    """
    settings = Settings()
    file = _file(settings)
    with provisioning.owned(settings) as conninfo:
        key = identity_keys.rotate(conninfo, file)
    click.echo(f"The key {key.id} is in {file}. Retire the one before when all servers have it.")


@identity_key.command()
@click.argument("key_id", type=int)
@click.option("--switch-off", is_flag=True, help="Retire the last one too: identities are then not signed.")
def retire(key_id: int, *, switch_off: bool) -> None:
    """Refuse the signatures of a key from now on."""
    with provisioning.owned(Settings()) as conninfo:
        identity_keys.retire(conninfo, key_id, switch_off=switch_off)


@identity_key.command("list")
def list_keys() -> None:
    """List the keys that the database knows, the oldest first: id, time of registration, whether it is retired."""
    with provisioning.owned(Settings()) as conninfo:
        for key in identity_keys.list_all(conninfo):
            retired = f"  retired at {key.retired_at:%Y-%m-%d %H:%M:%SZ}" if key.retired_at else ""
            click.echo(f"{key.id}  {key.created_at:%Y-%m-%d %H:%M:%SZ}{retired}")
