"""Registering principals, as the owner, from the command line; no RPC does this."""

from __future__ import annotations

from datetime import datetime
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import psycopg

from service.domain.errors import Refused
from service.domain.identity import CallerKind
from service.domain.text import ACTOR, RESERVED_ACTORS, is_reserved, is_visible
from service.repositories.errors import unavailable_if_unreachable

COLUMNS: LiteralString = "issuer, subject, kind, trader_id, desk_id, actor, created_at, disabled_at"
ADD: LiteralString = (
    "INSERT INTO principals (issuer, subject, kind, trader_id, desk_id, actor) VALUES (%s, %s, %s, %s, %s, %s) "
    f"RETURNING {COLUMNS}"
)
LIST: LiteralString = f"SELECT {COLUMNS} FROM principals ORDER BY issuer, created_at, subject"
DISABLE: LiteralString = (
    "UPDATE principals SET disabled_at = coalesce(disabled_at, now()) WHERE issuer = %s AND subject = %s "
    f"RETURNING {COLUMNS}"
)
ENABLE: LiteralString = (
    f"UPDATE principals SET disabled_at = NULL WHERE issuer = %s AND subject = %s RETURNING {COLUMNS}"
)


class PrincipalRefused(Refused):
    """A principal that cannot be registered or changed; the text gives the reason."""


class Principal(NamedTuple):
    """A row of principals."""

    issuer: str
    subject: str
    kind: str
    trader_id: UUID | None
    desk_id: UUID | None
    actor: str | None
    created_at: datetime
    disabled_at: datetime | None
    """Since when its calls are refused."""


def add(
    conninfo: str,
    issuer: str,
    subject: str,
    kind: CallerKind,
    *,
    trader_id: UUID | None = None,
    desk_id: UUID | None = None,
    actor: str | None = None,
) -> Principal:
    """Register what the subject of an issuer may call as. Raises PrincipalRefused, DatabaseUnavailable."""
    if not is_visible(issuer) or not is_visible(subject):
        raise PrincipalRefused("An issuer and a subject have visible characters and spaces only.")
    if actor is not None and (not ACTOR.fullmatch(actor) or is_reserved(actor, RESERVED_ACTORS - {kind.value})):
        raise PrincipalRefused(
            "An actor is 1 to 100 printable ASCII characters without a space at either end, and not a reserved name."
        )
    return _written(conninfo, ADD, (issuer, subject, kind.value, trader_id, desk_id, actor))


def disable(conninfo: str, issuer: str, subject: str) -> Principal:
    """Refuse the principal's calls, and end its streams. Raises PrincipalRefused, DatabaseUnavailable."""
    return _written(conninfo, DISABLE, (issuer, subject))


def enable(conninfo: str, issuer: str, subject: str) -> Principal:
    """Accept the principal's calls again. Raises PrincipalRefused, DatabaseUnavailable."""
    return _written(conninfo, ENABLE, (issuer, subject))


def list_all(conninfo: str) -> list[Principal]:
    """Return all principals, by issuer, oldest first. Raises DatabaseUnavailable."""
    with unavailable_if_unreachable(), psycopg.connect(conninfo) as connection:
        return [Principal(*row) for row in connection.execute(LIST).fetchall()]


_MISSING = {
    "fk_principals_trader_id": "No trader with this id is registered: see blotter traders list.",
    "fk_principals_desk_id": "There is no desk with this id: see blotter desks list.",
}


def _written(conninfo: str, statement: LiteralString, values: tuple[Any, ...]) -> Principal:
    try:
        with unavailable_if_unreachable(), psycopg.connect(conninfo) as connection:
            row = connection.execute(statement, values).fetchone()
    except psycopg.errors.UniqueViolation as error:
        raise PrincipalRefused(
            "A principal with this issuer and subject is registered already: see blotter principals list."
        ) from error
    except psycopg.errors.ForeignKeyViolation as error:
        raise PrincipalRefused(_MISSING[error.diag.constraint_name or ""]) from error
    except (psycopg.errors.CheckViolation, psycopg.errors.StringDataRightTruncation) as error:
        raise PrincipalRefused(
            "An issuer has 1 to 500 characters without a space, a subject 1 to 2,000 characters."
        ) from error
    if row is None:
        raise PrincipalRefused("No such principal is registered: see blotter principals list.")
    return Principal(*row)
