"""Identifies callers by what a token or a client certificate proves, and refuses them once that has ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol
from uuid import UUID

from service.authentication.certificates import Revocations, subject_of
from service.authentication.issuer_keys import IssuerKeys
from service.authentication.principals import Principals
from service.authentication.tokens import CLAIMS, Token, Tokens, only_bearer
from service.domain.errors import (
    BlotterError,
    CertificateExpired,
    CertificateRevoked,
    IdentityMalformed,
    IdentityMissing,
    TokenExpired,
    TokenInvalid,
)
from service.domain.identity import CERTIFICATES, UUID_TEXT, Caller, CallerKind, ClientCertificate, Principal
from service.domain.text import ACTOR, RESERVED_ACTORS, is_reserved, is_visible

LONGEST_SUBJECT = 2000
CONTRADICTION = "a claim of a trader, a role or a desk contradicts the principal"

Refusal = Callable[[Caller], BlotterError | None]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a call shows: the values of `authorization`, and the certificate of its connection, which TLS verified."""

    authorization: Sequence[str | bytes]
    certificate: ClientCertificate | None


@dataclass(frozen=True, slots=True)
class Identity:
    """What was verified of one caller. `expires_at` is in seconds since the epoch."""

    principal: Principal
    actor: str
    subject: str
    expires_at: float
    key_id: str | None = None
    """The digest of the issuer's key that verified the token."""


class Mode(Protocol):
    """One way to identify callers."""

    async def identify(self, shown: Credentials, deadline: float | None) -> Identity:
        """Return the identity. Raises a BlotterError. `deadline` is a time of `time.monotonic()`."""


class ByToken:
    """Bearer tokens. Without `principals` the claims alone decide what the caller is."""

    def __init__(self, tokens: Tokens, principals: Principals | None, claims: Mapping[str, str]) -> None:
        self._tokens = tokens
        self._principals = principals
        self._claims = claims

    async def identify(self, shown: Credentials, deadline: float | None) -> Identity:
        """Return the identity that the token proves. Raises a BlotterError."""
        token = await self._tokens.verify(only_bearer(shown.authorization), deadline)
        if not is_subject(token.subject):
            raise TokenInvalid(CLAIMS)
        if self._principals:
            principal = await _found(self._principals, self._tokens.issuer, token.subject, deadline)
            self._check_agreement(token, principal)
        else:
            principal = self._claimed(token)
        actor = principal.actor or token.claims.get(self._claims["actor"])
        return Identity(principal, checked_actor(actor, principal.kind), token.subject, token.expires_at, token.key_id)

    def _check_agreement(self, token: Token, principal: Principal) -> None:
        """Raise TokenInvalid if the token claims to be another trader, role or desk than the principal is."""
        registered = {"trader": principal.trader_id, "role": principal.kind.value, "desk": principal.desk_id}
        for what, value in registered.items():
            claimed = token.claims.get(self._claims[what])
            if claimed is None:
                continue
            same = claimed.lower() if isinstance(claimed, str) and what != "role" else claimed
            if value is None or same != str(value):
                error = TokenInvalid(CONTRADICTION)
                error.logged |= {"subject": token.subject, "issuer": self._tokens.issuer}
                raise error

    def _claimed(self, token: Token) -> Principal:
        """Return what the claims state: exactly one of a trader, a role and a desk. Raises TokenInvalid."""
        claims = {what: token.claims.get(self._claims[what]) for what in ("trader", "role", "desk")}
        given = [(what, value) for what, value in claims.items() if value is not None]
        match given:
            case [("trader", str(trader))] if UUID_TEXT.fullmatch(trader):
                return Principal(CallerKind.TRADER, trader_id=UUID(trader))
            case [("desk", str(desk))] if UUID_TEXT.fullmatch(desk):
                return Principal(CallerKind.DESK, desk_id=UUID(desk))
            case [("role", CallerKind.EXECUTION.value | CallerKind.COMPLIANCE.value as role)]:
                return Principal(CallerKind(role))
        raise TokenInvalid(CLAIMS)


class ByCertificate:
    """Client certificates."""

    def __init__(self, principals: Principals) -> None:
        self._principals = principals

    async def identify(self, shown: Credentials, deadline: float | None) -> Identity:
        """Return the identity that the certificate proves. Raises a BlotterError."""
        if shown.certificate is None:  # TLS has refused such a connection
            raise IdentityMissing("The connection must have a client certificate.")
        subject = subject_of(shown.certificate)
        if not is_subject(subject):
            raise IdentityMalformed("The subject of the client certificate must be printable text.")
        principal = await _found(self._principals, CERTIFICATES, subject, deadline)
        return Identity(
            principal, checked_actor(principal.actor or subject, principal.kind), subject, shown.certificate.expires_at
        )


async def _found(principals: Principals, issuer: str, subject: str, deadline: float | None) -> Principal:
    """Return the principal. Raises as `Principals.find`; the log line of the call then has the subject and issuer."""
    try:
        return await principals.find(subject, deadline)
    except BlotterError as error:
        error.logged |= {"subject": subject, "issuer": issuer}
        raise


def is_subject(subject: str) -> bool:
    """Return whether a principal can have this subject."""
    return 0 < len(subject) <= LONGEST_SUBJECT and is_visible(subject)


def checked_actor(actor: Any, kind: CallerKind) -> str:
    """Return the actor of a verified caller. A name that does not fit is not shortened: two callers could share it.

    Raises IdentityMalformed.
    """
    if not isinstance(actor, str) or not _is_actor(actor, kind):
        raise IdentityMalformed(
            "The actor of the caller must be 1 to 100 printable ASCII characters and not reserved: "
            "register the principal with --actor NAME, or name another claim in BLOTTER_JWT_CLAIMS."
        )
    return actor


@lru_cache(maxsize=4096)
def _is_actor(actor: str, kind: CallerKind) -> bool:
    return bool(ACTOR.fullmatch(actor)) and not is_reserved(actor, RESERVED_ACTORS - {kind.value})


class Authentication:
    """How the callers of one server are identified. `mode` None: call metadata, which nothing verifies."""

    def __init__(
        self,
        mode: Mode | None,
        principals: Principals | None,
        keys: IssuerKeys | None,
        revocations: Revocations,
        seconds: float,
    ) -> None:
        """`seconds` is the interval at which `run` looks again at the callers of open streams."""
        self._mode = mode
        self._principals = principals
        self._keys = keys
        self._revocations = revocations
        self._seconds = seconds

    async def identify(self, shown: Credentials, deadline: float | None) -> Identity | None:
        """Return what is verified of a caller; None where call metadata identifies it. Raises a BlotterError."""
        if shown.certificate:
            if shown.certificate in self._revocations:
                raise CertificateRevoked
            if shown.certificate.expires_at <= time.time():
                raise CertificateExpired
        return await self._mode.identify(shown, deadline) if self._mode else None

    def refusal(self, caller: Caller) -> BlotterError | None:
        """Return why a caller that was accepted is refused by now; None while it is not."""
        if caller.certificate and caller.certificate in self._revocations:
            return CertificateRevoked()
        if caller.expires_at is not None and caller.expires_at <= time.time():
            return expiry_of(caller)
        if self._keys and (error := self._keys.refusal(caller.key_id)):
            return error
        return self._principals.refusal(caller) if self._principals and caller.subject else None

    async def run(self, end_refused: Callable[[Refusal], None]) -> None:
        """Read the principals again and end the streams of callers that are refused by now, until cancelled."""
        while True:
            await asyncio.sleep(self._seconds)
            if self._principals:
                await self._principals.refresh()
            end_refused(self.refusal)


def expiry_of(caller: Caller) -> BlotterError:
    """Return the error for a caller whose identity has expired."""
    certificate = caller.certificate
    return CertificateExpired() if certificate and certificate.expires_at == caller.expires_at else TokenExpired()
