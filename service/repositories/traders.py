"""Registering traders: the owner's business, from the command line; never part of an RPC."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psycopg


class Trader(NamedTuple):
    """A row of traders."""

    id: UUID
    name: str
    created_at: datetime


def add(conninfo: str, name: str, trader_id: UUID | None = None) -> Trader:
    """Register a trader, under the given id or a new one. Raises psycopg.errors.UniqueViolation for a known id."""
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(
            "INSERT INTO traders (id, name) VALUES (coalesce(%s, gen_random_uuid()), %s) RETURNING id, name, created_at",
            (trader_id, name),
        ).fetchone()
    if row is None:
        raise RuntimeError("INSERT returned no row.")
    return Trader(*row)


def list_all(conninfo: str) -> list[Trader]:
    """Return all traders, oldest first."""
    with psycopg.connect(conninfo) as connection:
        rows = connection.execute("SELECT id, name, created_at FROM traders ORDER BY created_at, id").fetchall()
    return [Trader(*row) for row in rows]
