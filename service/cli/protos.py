"""`blotter protos`: the contract in one folder, from which clients in other languages are generated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import click

from service import resources
from service.files import replacing

_GOOGLEAPIS = "googleapis-common-protos"
_ERROR_DETAILS = "google/rpc/error_details.proto"  # no file of the contract imports it, but each error carries them
_SHIPPED = "google/protobuf/"  # each protoc, plugin and loader includes these, in its own version
_IMPORT = re.compile(rb'^import (?:public )?"([^"]+)";', re.MULTILINE)


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite files that differ. Files of other names stay.")
def protos(folder: Path, force: bool) -> None:
    """Write the contract into DIR: all .proto files that a client in any language is generated from.

    These are blotter/**/*.proto and the files of google/rpc that they need. google/protobuf/*.proto are not among them:
    code generators include their own. A folder that contains other files is not changed without --force.
    """
    files = contract()
    if links := sorted(path.as_posix() for path in _below(folder) if path.is_symlink() or not _is_plain(path)):
        raise click.ClickException(f"{links[0]} is a link, or neither a file nor a folder. Name another folder.")
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    same = {name for name, path in found.items() if name in files and path.read_bytes() == files[name]}
    if (others := sorted(found.keys() - same)) and not force:
        more = f" and {len(others) - 1} more" if others[1:] else ""
        raise click.ClickException(
            f"{folder} holds files that are not the contract's: {others[0]}{more}. Name another folder, or use --force."
        )
    for name in sorted(files.keys() - same):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(files[name])
        click.echo(name)
    click.echo(f"Files written into {folder}: {len(files.keys() - same)}; there already: {len(same)}.")


def _below(folder: Path) -> Iterator[Path]:
    """Yield what is in the folder, without following links."""
    if folder.is_dir():
        for path in folder.iterdir():
            yield path
            if not path.is_symlink():
                yield from _below(path)


def _is_plain(path: Path) -> bool:
    return path.is_file() or path.is_dir()


def contract() -> dict[str, bytes]:
    """Return the contract's files and those of google/rpc that a client needs, by the name they are imported by."""
    own = resources.protos()
    files = {path.relative_to(own).as_posix(): path.read_bytes() for path in own.glob("blotter/**/*.proto")}
    needed = {_ERROR_DETAILS}
    for text in files.values():
        needed |= _imports(text)
    while missing := needed - files.keys():
        for name in missing:
            files[name] = Path(str(distribution(_GOOGLEAPIS).locate_file(name))).read_bytes()
            needed |= _imports(files[name])
    return files


def _imports(text: bytes) -> set[str]:
    names = {name.decode() for name in _IMPORT.findall(text)}
    return {name for name in names if not name.startswith(_SHIPPED)}
