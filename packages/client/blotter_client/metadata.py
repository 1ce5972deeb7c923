"""The caller's identity, as call metadata."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from uuid import UUID, uuid4

Role = Literal["execution", "compliance", "desk"]
Metadata = tuple[tuple[str, str], ...]
_ACTOR = re.compile("[ -~]{1,100}")
_TOKEN = re.compile("[A-Za-z0-9._~+/-]+=*")


@dataclass(frozen=True, slots=True)
class Identity:
    """A trader or a role, exactly one of the two, and optionally the person or program that acts on its behalf.

    The role `desk` requires the desk's id. With `authenticated`, a token or a certificate may identify the caller:
    trader, role and desk may then be omitted, and the service refuses a call whose metadata contradict it.

    Raises ValueError for other combinations, and for an actor that metadata cannot carry.
    """

    trader_id: UUID | str | None = None
    role: Role | None = None
    desk_id: UUID | str | None = None
    actor: str | None = None
    authenticated: bool = False

    def __post_init__(self) -> None:
        given = (self.trader_id is not None) + (self.role is not None)
        if given > 1 or (given == 0 and not self.authenticated):
            raise ValueError("give either trader_id or role, exactly one of them; neither only with a token or TLS")
        if self.desk_id is not None and self.role != "desk":
            raise ValueError("desk_id requires the role desk")
        if self.role == "desk" and self.desk_id is None and not self.authenticated:
            raise ValueError("the role desk requires a desk_id")
        if self.actor and not _ACTOR.fullmatch(self.actor):
            raise ValueError(f"actor must be 1 to 100 printable ASCII characters, not {self.actor!r}")

    def metadata(self, request_id: str, token: str | None) -> Metadata:
        """Return the metadata of one call. Raises ValueError if the token cannot be a bearer token."""
        values = {
            "authorization": None if token is None else f"Bearer {checked_token(token)}",
            "x-trader-id": self.trader_id,
            "x-caller-role": self.role,
            "x-desk-id": self.desk_id,
            "x-actor": self.actor or None,
            "x-request-id": request_id,
        }
        return tuple((name, str(value)) for name, value in values.items() if value is not None)


def checked_token(token: str) -> str:
    """Return the token if it has the form of RFC 6750, section 2.1. Raises ValueError, without the token."""
    if not _TOKEN.fullmatch(token):
        raise ValueError("the token must consist of letters, digits and -._~+/ (RFC 6750), without spaces or newlines")
    return token


def new_request_id() -> str:
    """Return an id for one call."""
    return str(uuid4())
