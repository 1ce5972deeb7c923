"""`blotter keys` and `blotter ledger`: commands for the operator of a ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from blotter_verifier.hashing import HASH_BYTES, leaf_hash
from blotter_verifier.notes import InvalidKey
from service.cli import provisioning
from service.cli.ledger_status import look
from service.domain.errors import BlotterError
from service.files import replacing
from service.ledger.edge import Edge
from service.ledger.tiles import TILE_WIDTH, all_tiles
from service.repositories.append import LedgerMoved, LedgerWriter
from service.sequencing.checkpoints import Checkpoints, RefusedToSign
from service.sequencing.keys import KeyFolder, NoKey
from service.settings import Settings

_ALTERED = "{} are not those that the {} of. ReconcileOrders says which differ."


class Failed(click.ClickException):
    """The command cannot be carried out; the text gives the reason."""


def _folder(settings: Settings) -> KeyFolder:
    if settings.keys_folder is None:
        raise Failed("Say where the keys are: BLOTTER_LEDGER_KEYS=FOLDER.")
    return KeyFolder(settings.keys_folder)


@click.group()
def keys() -> None:
    """The keys that sign the ledger's checkpoints."""


@keys.command()
def generate() -> None:
    """Generate a key in addition to the existing ones, and print its public part.

    Choose BLOTTER_LEDGER_ORIGIN before: the key and each checkpoint carry this name permanently.

    To rotate: generate a new key, give its public part to those who verify, and retire the old one later. Until then
    both sign; the ledger records each change.
    """
    settings = Settings()
    try:
        folder = _folder(settings)
        for signer in folder.signers():
            if signer.name != settings.ledger_origin:
                raise Failed(
                    f"The key {signer.verifier.key_id.hex()} in {folder.folder} is named {signer.name}, and "
                    f"BLOTTER_LEDGER_ORIGIN is {settings.ledger_origin}: the keys of one ledger carry one name. Set "
                    "BLOTTER_LEDGER_ORIGIN to the ledger's name, or BLOTTER_LEDGER_KEYS to another folder."
                )
        click.echo(str(folder.generate(settings.ledger_origin).verifier))
        click.echo(
            f"The key and each checkpoint that it signs carry the name {settings.ledger_origin} "
            "(BLOTTER_LEDGER_ORIGIN), which cannot be changed once a checkpoint has been signed.",
            err=True,
        )
    except (InvalidKey, OSError) as error:
        raise Failed(str(error)) from error


@keys.command()
def show() -> None:
    """Print the public parts of the keys (vkey), one a line, for verifiers."""
    folder = _folder(Settings())
    try:
        signers = folder.signers()
    except (InvalidKey, OSError) as error:
        raise Failed(str(error)) from error
    if not signers:
        raise Failed(f"There is no key in {folder.folder}: blotter keys generate, or start the service once.")
    for signer in signers:
        click.echo(str(signer.verifier))


@keys.command()
@click.argument("key_id")
def retire(key_id: str) -> None:
    """Remove the key KEY_ID (the eight digits between the plus signs of its vkey), so that it no longer signs."""
    try:
        click.echo(f"{_folder(Settings()).retire(key_id.lower()).verifier} no longer signs.")
    except (NoKey, InvalidKey, OSError) as error:
        raise Failed(str(error)) from error


@keys.command()
@click.confirmation_option(
    prompt="Are all keys that have signed this ledger lost, and do its verifiers have the new ones?"
)
def replace() -> None:
    """Accept keys that have not signed this ledger before. A leaf records it.

    Only for the case that all keys are lost: to rotate, generate a new key and retire the old one.
    """
    settings = Settings()
    checkpoints = Checkpoints(settings.ledger_origin, _folder(settings), None)
    with _database(settings) as conninfo:
        try:
            asyncio.run(_replace_keys(settings, _direct(settings, conninfo), checkpoints))
        except (RefusedToSign, InvalidKey) as error:
            raise Failed(str(error)) from error
    click.echo("The keys are recorded. A running service signs with them from its next checkpoint on.")


@click.group()
def ledger() -> None:
    """The ledger in the database."""


@ledger.command()
def status() -> None:
    """Print the state of the ledger; the exit status is 1 if something blocks it.

    The state is the lag (events without a position), the newest checkpoint and its cosignatures, the session of the
    sequencer, and why no checkpoint is signed. The command uses the keys and checkpoint directory of its own settings.
    """
    settings = Settings()
    with _database(settings) as conninfo:
        found = asyncio.run(look(settings, _direct(settings, conninfo), _password(settings)))
    for line in found.lines:
        click.echo(line)
    for fault in found.faults:
        click.secho(fault, fg="red")
    if found.faults:
        raise SystemExit(1)
    click.secho("The ledger is healthy.", fg="green")


@ledger.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def tiles(folder: Path) -> None:
    """Write the ledger to FOLDER in the static layout of c2sp.org/tlog-tiles, for any web server.

    The tree is that of the newest checkpoint. A later run into the same folder adds only new files.
    """
    settings = Settings()
    with _database(settings) as conninfo:
        click.echo(asyncio.run(_write_tiles(settings, _direct(settings, conninfo), folder)))


@ledger.command()
@click.confirmation_option(
    prompt="Has this database taken the place of the one that the ledger grew in, and is that one switched off?"
)
def rebaseline() -> None:
    """Continue the ledger in a restored copy of its database.

    A copy lacks what the original has signed since. Do this only if the original will never run again: witnesses
    report two databases that sign under one name as a forgery.
    """
    settings = Settings()
    with _database(settings) as conninfo:
        moved = asyncio.run(_rebaseline(settings, _direct(settings, conninfo)))
    if not moved:
        raise Failed("This database is not a copy: the ledger continues in it without a rebaseline.")
    click.echo("The ledger continues in this database. A running service needs no restart.")


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    """Yield the database of an existing ledger; these commands create none. Raises Failed."""
    if settings.database_url is None and not settings.home.exists():
        raise Failed(
            f"There is no ledger in {settings.home}: go to the folder that the service runs in, or set BLOTTER_HOME or "
            "BLOTTER_DATABASE_URL."
        )
    try:
        if settings.database_url is not None:  # these commands connect only as blotter_sequencer
            yield settings.database_url
            return
        with provisioning.owned(settings) as conninfo:
            yield conninfo
    except LedgerMoved as error:
        raise Failed("The running sequencer was at work at that moment; try again.") from error
    except (BlotterError, OSError) as error:
        raise Failed(str(error)) from error


def _direct(settings: Settings, conninfo: str) -> str:
    return settings.sequencer_database_url or conninfo


async def _replace_keys(settings: Settings, conninfo: str, checkpoints: Checkpoints) -> None:
    async with LedgerWriter.connected(conninfo, _password(settings)) as writer:
        if (await writer.standing()).copied:
            raise Failed("This database is a copy: no entries are added until blotter ledger rebaseline.")
        await checkpoints.record_keys(writer, await writer.edge(), replace=True)


async def _rebaseline(settings: Settings, conninfo: str) -> bool:
    async with LedgerWriter.connected(conninfo, _password(settings)) as writer:
        return await writer.rebaseline()


async def _write_tiles(settings: Settings, conninfo: str, folder: Path) -> str:
    async with LedgerWriter.connected(conninfo, _password(settings)) as writer:
        checkpoint = await writer.newest_checkpoint()
        if checkpoint is None:
            raise Failed("No checkpoint has been signed yet.")
        written, tree = 0, Edge()
        for tile in all_tiles(checkpoint.size):
            file, entries = folder / tile.path, folder / tile.entries_path
            if not file.exists():
                hashes = await writer.tiles([tile])
                _write(file, b"".join(hashes[tile.level, tile.index]))
                written += 1
            if tile.level > 0:
                continue
            content = file.read_bytes()
            kept = [content[place : place + HASH_BYTES] for place in range(0, len(content), HASH_BYTES)]
            tree.append(kept)
            if not entries.exists():
                start = tile.index * TILE_WIDTH
                leaves = await writer.leaves(start, start + tile.width)
                if list(map(leaf_hash, leaves)) != kept:
                    raise Failed(_ALTERED.format(f"Entries {start} to {start + tile.width - 1}", "tree was built"))
                _write(entries, b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves))
                written += 1
        if tree.root() != checkpoint.root_hash:
            raise Failed(_ALTERED.format("The entries", f"checkpoint of {checkpoint.size} entries was signed"))
        note = checkpoint.note + "".join((await writer.cosignatures(checkpoint.size)).values())
        _write(folder / "checkpoint", note.encode())  # last, so that all files that it commits to exist
        return f"{checkpoint.size} entries, {written} files written: {folder}"


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as writing:
        writing.write(content)


def _password(settings: Settings) -> str | None:
    return settings.sequencer_password.get_secret_value() if settings.sequencer_password else None
