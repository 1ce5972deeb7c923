"""The identity of the caller."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

CERTIFICATES = "mtls"
"""The issuer of the subjects of client certificates in the table principals."""


class CallerKind(StrEnum):
    """The kinds of callers. Each has a database login of its own, `blotter_<kind>`."""

    TRADER = "trader"
    EXECUTION = "execution"
    COMPLIANCE = "compliance"
    DESK = "desk"


CallerKey = tuple[CallerKind, UUID | str]


@dataclass(slots=True)
class Reading:
    """The request of a caller of compliance, recorded once, in the transaction of the call's first read."""

    method: str
    request: Callable[[], str]
    """Returns the request as JSON; called after its fields have been checked."""
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The certificate of a client's connection. `expires_at` is in seconds since the epoch."""

    id: tuple[str, int]
    """The issuer, in a canonical form, and the serial number, by which it is revoked."""
    expires_at: float
    subject: str | None
    """The SPIFFE id, else the distinguished name (RFC 4514); None where it names nobody, or more than one."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One authenticated caller of one RPC.

    `trader_id` is set exactly for traders, `desk_id` exactly for desks, `reading` exactly for compliance. `deadline` is
    a time of `time.monotonic()`; None: the client set none. `subject` is what the token or the client certificate
    names; None: nothing was verified. `expires_at` is in seconds since the epoch; None: the identity does not expire.
    """

    kind: CallerKind
    trader_id: UUID | None
    actor: str
    request_id: str
    deadline: float | None = None
    reading: Reading | None = None
    desk_id: UUID | None = None
    subject: str | None = None
    expires_at: float | None = None
    certificate: ClientCertificate | None = None
    key_id: str | None = None
    """The digest of the issuer's key that verified the token."""
    principal: Principal | None = None
    """What the verified subject may call as; None: nothing was verified."""

    @property
    def key(self) -> CallerKey:
        """What identifies the caller in limits and queues: the trader or the desk, else the subject or the actor."""
        return self.kind, self.trader_id or self.desk_id or self.subject or self.actor


@dataclass(frozen=True, slots=True)
class Principal:
    """What a verified subject may call as. `actor` None: a claim of the token, or the subject, names it."""

    kind: CallerKind
    trader_id: UUID | None = None
    desk_id: UUID | None = None
    actor: str | None = None
    disabled: bool = False


UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""The one accepted form of a UUID; Python's parser accepts more."""

CALLER: ContextVar[Caller] = ContextVar("caller")
"""Set by the identity interceptor for the duration of one RPC."""


def current_trader() -> tuple[Caller, UUID]:
    """Return the caller and their id, in a method that the permission table opens to traders alone."""
    caller = CALLER.get()
    if caller.trader_id is None:
        raise RuntimeError(f"The permission table opens a trader's method to {caller.kind}.")
    return caller, caller.trader_id
