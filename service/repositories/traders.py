"""Registering traders: the owner's business, from the command line; never part of an RPC."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psycopg

from service.repositories.errors import unavailable_if_unreachable

ADD = "INSERT INTO traders (id, name) VALUES (coalesce(%s, gen_random_uuid()), %s) RETURNING id, name, created_at"
LIST = "SELECT id, name, created_at FROM traders ORDER BY created_at, id"


class TraderRefused(Exception):
    """A trader who cannot be registered; the text says why."""


class Trader(NamedTuple):
    """A row of traders."""

    id: UUID
    name: str
    created_at: datetime


def add(conninfo: str, name: str, trader_id: UUID | None = None) -> Trader:
    """Register a trader, under the given id or a new one. Raises TraderRefused, DatabaseUnavailable."""
    try:
        with unavailable_if_unreachable(), psycopg.connect(conninfo) as connection:
            [row] = connection.execute(ADD, (trader_id, name)).fetchall()
    except psycopg.errors.UniqueViolation as error:
        raise TraderRefused(f"A trader with id {trader_id} is registered already.") from error
    except (psycopg.errors.CheckViolation, psycopg.errors.StringDataRightTruncation) as error:
        raise TraderRefused("A name has 1 to 100 characters.") from error
    return Trader(*row)


def list_all(conninfo: str) -> list[Trader]:
    """Return all traders, oldest first. Raises DatabaseUnavailable."""
    with unavailable_if_unreachable(), psycopg.connect(conninfo) as connection:
        return [Trader(*row) for row in connection.execute(LIST).fetchall()]
