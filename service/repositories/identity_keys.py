"""The keys that the database verifies identities with, as the owner, from the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from service.repositories.errors import unavailable_if_unreachable
from service.repositories.signatures import IdentityKey, IdentityKeyRefused

_LIST = "SELECT id, created_at, retired_at FROM identity_keys ORDER BY id"
_NEXT = "SELECT coalesce(max(id), 0) + 1 FROM identity_keys"
_FIND = "SELECT FROM identity_keys WHERE (id, inner_pad, outer_pad) = (%s, %s, %s) AND retired_at IS NULL"
_REGISTER = "INSERT INTO identity_keys (id, inner_pad, outer_pad) VALUES (%s, %s, %s)"
_RETIRE = "UPDATE identity_keys SET retired_at = now() WHERE id = %s AND retired_at IS NULL"
_RETIRE_OTHERS = "UPDATE identity_keys SET retired_at = now() WHERE id <> %s AND retired_at IS NULL"
_IN_USE = "SELECT count(*) FROM identity_keys WHERE retired_at IS NULL"
_LOCK = "LOCK TABLE identity_keys IN SHARE ROW EXCLUSIVE MODE"


class RegisteredKey(NamedTuple):
    """A row of identity_keys, without the key."""

    id: int
    created_at: datetime
    retired_at: datetime | None


def list_all(conninfo: str) -> list[RegisteredKey]:
    """Return the keys, the oldest first. Raises DatabaseUnavailable."""
    with _locked(conninfo) as connection:
        return [RegisteredKey(*row) for row in connection.execute(_LIST).fetchall()]


def generate(conninfo: str, file: Path, *, register: bool = True) -> IdentityKey:
    """Write the first key to a new file, and register it. Raises IdentityKeyRefused, DatabaseUnavailable, OSError.

    Without `register` the database does not ask for signatures yet.
    """
    with _locked(conninfo) as connection:
        if _number_in_use(connection):
            raise IdentityKeyRefused("The database has an identity key in use: run `blotter identity-key rotate`.")
        if file.exists():
            raise IdentityKeyRefused(f"{file} exists: run `blotter identity-key register`, or remove it.")
        key = IdentityKey.generate(_next(connection))
        key.write(file)
        if register:
            connection.execute(_REGISTER, [key.id, *key.pads()])
    return key


def register(conninfo: str, file: Path) -> IdentityKey:
    """Register the key of the file: from now on the database accepts no identity without a signature.

    Raises IdentityKeyRefused, DatabaseUnavailable.
    """
    key = IdentityKey.read(file)
    try:
        with _locked(conninfo) as connection:
            if not connection.execute(_FIND, [key.id, *key.pads()]).fetchone():
                connection.execute(_REGISTER, [key.id, *key.pads()])
    except psycopg.errors.UniqueViolation as error:
        raise IdentityKeyRefused(
            f"The database has another or a retired key {key.id}: remove {file} and generate a new key."
        ) from error
    return key


def rotate(conninfo: str, file: Path) -> IdentityKey:
    """Register a new key, then write it to the file in place of the old one, which stays in use until it is retired.

    Raises IdentityKeyRefused, DatabaseUnavailable, OSError.
    """
    IdentityKey.read(file)
    with _locked(conninfo) as connection:
        key = IdentityKey.generate(_next(connection))
        connection.execute(_REGISTER, [key.id, *key.pads()])
    key.write(file)
    return key


def retire(conninfo: str, key_id: int, *, switch_off: bool = False) -> None:
    """Refuse the signatures of a key from now on. Raises IdentityKeyRefused, DatabaseUnavailable.

    `switch_off` permits to retire the last one, after which the database accepts unsigned identities.
    """
    with _locked(conninfo) as connection:
        if not connection.execute(_RETIRE, [key_id]).rowcount:
            raise IdentityKeyRefused(f"The database has no key {key_id} in use: see `blotter identity-key list`.")
        if not switch_off and not _number_in_use(connection):
            raise IdentityKeyRefused(
                f"The key {key_id} is the last one in use: without it identities are not signed. Rotate first, or "
                "confirm that with --switch-off."
            )


def ensure(conninfo: str, file: Path) -> None:
    """Register a new key in the file, and retire others, unless the file has one that is in use.

    Raises IdentityKeyRefused, DatabaseUnavailable, OSError.
    """
    with _locked(conninfo) as connection:
        if file.exists():
            key = IdentityKey.read(file)
            if connection.execute(_FIND, [key.id, *key.pads()]).fetchone():
                return
        key = IdentityKey.generate(_next(connection))
        key.write(file)
        connection.execute(_REGISTER, [key.id, *key.pads()])
        connection.execute(_RETIRE_OTHERS, [key.id])


@contextmanager
def _locked(conninfo: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Yield a transaction that one command at a time has. Raises DatabaseUnavailable."""
    with unavailable_if_unreachable(), psycopg.connect(conninfo) as connection:
        connection.execute(_LOCK)
        yield connection


def _next(connection: psycopg.Connection[tuple[Any, ...]]) -> int:
    [(number,)] = connection.execute(_NEXT).fetchall()
    return int(number)


def _number_in_use(connection: psycopg.Connection[tuple[Any, ...]]) -> int:
    [(number,)] = connection.execute(_IN_USE).fetchall()
    return int(number)
