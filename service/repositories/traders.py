"""Registering, renaming and disabling traders, as the owner, from the command line; no RPC does this."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import psycopg

from service.domain.errors import Refused
from service.domain.text import is_visible
from service.repositories.errors import unavailable_if_unreachable

ADD = """
    INSERT INTO traders (id, name) VALUES (coalesce(%s, gen_random_uuid()), %s)
    RETURNING id, name, created_at, disabled_at
"""
LIST = "SELECT id, name, created_at, disabled_at FROM traders ORDER BY created_at, id"
RENAME = "UPDATE traders SET name = %s WHERE id = %s RETURNING id, name, created_at, disabled_at"
DISABLE = """
    UPDATE traders SET disabled_at = coalesce(disabled_at, now()) WHERE id = %s
    RETURNING id, name, created_at, disabled_at
"""
ENABLE = "UPDATE traders SET disabled_at = NULL WHERE id = %s RETURNING id, name, created_at, disabled_at"


class TraderRefused(Refused):
    """A trader that cannot be registered or changed; the text gives the reason."""


class Trader(NamedTuple):
    """A row of traders."""

    id: UUID
    name: str
    created_at: datetime
    disabled_at: datetime | None
    """Since when the trader's own calls are refused."""


def add(conninfo: str, name: str, trader_id: UUID | None = None) -> Trader:
    """Register a trader, under the given id or a new one. Raises TraderRefused, DatabaseUnavailable."""
    return _written(conninfo, ADD, (trader_id, checked_name(name)))


def rename(conninfo: str, trader_id: UUID, name: str) -> Trader:
    """Give a trader another name. Raises TraderRefused, DatabaseUnavailable."""
    return _written(conninfo, RENAME, (checked_name(name), trader_id))


def disable(conninfo: str, trader_id: UUID) -> Trader:
    """Refuse the trader's own calls from now on. Raises TraderRefused, DatabaseUnavailable.

    Gateways still report on the trader's orders, because a fill is a fact, and the orders still expire.
    """
    return _written(conninfo, DISABLE, (trader_id,))


def enable(conninfo: str, trader_id: UUID) -> Trader:
    """Accept the trader's calls again. Raises TraderRefused, DatabaseUnavailable."""
    return _written(conninfo, ENABLE, (trader_id,))


def checked_name(name: str) -> str:
    """Return the name of a trader or a desk. Raises TraderRefused if it would be misread in a list."""
    if not is_visible(name) or name != name.strip():
        raise TraderRefused("A name has visible characters, and spaces only between them.")
    if name != (plain := unicodedata.normalize("NFKC", name)):
        raise TraderRefused(f"A name has no characters of another width or form: {plain}")
    return name


def _written(conninfo: str, statement: LiteralString, values: tuple[Any, ...]) -> Trader:
    try:
        with unavailable_if_unreachable(), psycopg.connect(conninfo) as connection:
            row = connection.execute(statement, values).fetchone()
    except psycopg.errors.UniqueViolation as error:
        what = "name" if error.diag.constraint_name == "uq_traders_name" else "id"
        raise TraderRefused(f"A trader with this {what} is registered already: see blotter traders list.") from error
    except (psycopg.errors.CheckViolation, psycopg.errors.StringDataRightTruncation) as error:
        raise TraderRefused("A name has 1 to 100 characters.") from error
    if row is None:
        raise TraderRefused("No trader with this id is registered: see blotter traders list.")
    return Trader(*row)


def list_all(conninfo: str) -> list[Trader]:
    """Return all traders, oldest first. Raises DatabaseUnavailable."""
    with unavailable_if_unreachable(), psycopg.connect(conninfo) as connection:
        return [Trader(*row) for row in connection.execute(LIST).fetchall()]
