"""Making desks and moving traders between them, as the owner, from the command line; no RPC does this."""

from __future__ import annotations

from datetime import datetime
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import psycopg

from service.domain.errors import Refused
from service.repositories.errors import unavailable_if_unreachable
from service.repositories.traders import checked_name

ADD = "INSERT INTO desks (id, name) VALUES (coalesce(%s, gen_random_uuid()), %s) RETURNING id, name, created_at"
LIST = "SELECT id, name, created_at FROM desks ORDER BY created_at, id"
MEMBERS = "SELECT id, name FROM traders WHERE desk_id = %s ORDER BY created_at, id"
RENAME = "UPDATE desks SET name = %s WHERE id = %s RETURNING id, name, created_at"
ASSIGN = "UPDATE traders SET desk_id = %s WHERE id = ANY(%s) RETURNING id"
REMOVE = "UPDATE traders SET desk_id = NULL WHERE id = ANY(%s) RETURNING id"


class DeskRefused(Refused):
    """A desk that cannot be made or changed; the text gives the reason."""


class Desk(NamedTuple):
    """A row of desks."""

    id: UUID
    name: str
    created_at: datetime


class Member(NamedTuple):
    """A trader of a desk."""

    id: UUID
    name: str


def add(conninfo: str, name: str, desk_id: UUID | None = None) -> Desk:
    """Make a desk, under the given id or a new one. Raises DeskRefused, TraderRefused, DatabaseUnavailable."""
    return _written(conninfo, ADD, (desk_id, checked_name(name)))


def rename(conninfo: str, desk_id: UUID, name: str) -> Desk:
    """Give a desk another name. Raises DeskRefused, TraderRefused, DatabaseUnavailable."""
    return _written(conninfo, RENAME, (checked_name(name), desk_id))


def assign(conninfo: str, desk_id: UUID, trader_ids: list[UUID]) -> None:
    """Move traders to a desk, from any other. All are moved or none. Raises DeskRefused, DatabaseUnavailable."""
    _moved(conninfo, ASSIGN, (desk_id, trader_ids), trader_ids)


def remove(conninfo: str, trader_ids: list[UUID]) -> None:
    """Take traders from their desks. All are taken or none. Raises DeskRefused, DatabaseUnavailable."""
    _moved(conninfo, REMOVE, (trader_ids,), trader_ids)


def list_all(conninfo: str) -> list[tuple[Desk, list[Member]]]:
    """Return all desks with their traders, oldest first. Raises DatabaseUnavailable."""
    with unavailable_if_unreachable(), psycopg.connect(conninfo) as connection:
        desks = [Desk(*row) for row in connection.execute(LIST).fetchall()]
        return [(desk, [Member(*row) for row in connection.execute(MEMBERS, (desk.id,)).fetchall()]) for desk in desks]


def _written(conninfo: str, statement: LiteralString, values: tuple[Any, ...]) -> Desk:
    try:
        with unavailable_if_unreachable(), psycopg.connect(conninfo) as connection:
            row = connection.execute(statement, values).fetchone()
    except psycopg.errors.UniqueViolation as error:
        what = "name" if error.diag.constraint_name == "uq_desks_name" else "id"
        raise DeskRefused(f"A desk with this {what} exists already: see blotter desks list.") from error
    except (psycopg.errors.CheckViolation, psycopg.errors.StringDataRightTruncation) as error:
        raise DeskRefused("A name has 1 to 100 characters.") from error
    if row is None:
        raise DeskRefused(_UNKNOWN)
    return Desk(*row)


_UNKNOWN = "There is no desk with this id: see blotter desks list."


def _moved(conninfo: str, statement: LiteralString, values: tuple[Any, ...], trader_ids: list[UUID]) -> None:
    try:
        with unavailable_if_unreachable(), psycopg.connect(conninfo) as connection:
            moved = {row[0] for row in connection.execute(statement, values).fetchall()}
            if missing := [str(trader_id) for trader_id in trader_ids if trader_id not in moved]:
                # Leaving the block by an exception rolls the transaction back.
                raise DeskRefused(
                    f"No trader is registered with the id {', '.join(missing)}: see blotter traders list."
                )
    except psycopg.errors.ForeignKeyViolation as error:
        raise DeskRefused(_UNKNOWN) from error
