"""The caller's identity, as call metadata."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from uuid import UUID, uuid4

Role = Literal["execution", "compliance"]
Metadata = tuple[tuple[str, str], ...]
_ACTOR = re.compile("[ -~]{1,100}")


@dataclass(frozen=True, slots=True)
class Identity:
    """A trader or a role, exactly one of the two, and optionally the person or program that acts on its behalf.

    Raises ValueError if both or neither is given, and for an actor that metadata cannot carry.
    """

    trader_id: UUID | str | None = None
    role: Role | None = None
    actor: str | None = None

    def __post_init__(self) -> None:
        if (self.trader_id is None) == (self.role is None):
            raise ValueError("give either trader_id or role, exactly one of them")
        if self.actor and not _ACTOR.fullmatch(self.actor):
            raise ValueError(f"actor must be 1 to 100 printable ASCII characters, not {self.actor!r}")

    def metadata(self, request_id: str) -> Metadata:
        """Return the metadata of one call."""
        caller = ("x-caller-role", self.role) if self.role else ("x-trader-id", str(self.trader_id))
        actor = (("x-actor", self.actor),) if self.actor else ()
        return (caller, *actor, ("x-request-id", request_id))


def new_request_id() -> str:
    """Return an id for one call."""
    return str(uuid4())
