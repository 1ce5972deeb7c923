"""Verifies bearer tokens: JSON Web Tokens (RFC 7519), signed by the issuer, as RFC 8725 advises."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import jwt
from jwt.exceptions import (
    DecodeError,
    ExpiredSignatureError,
    ImmatureSignatureError,
    InvalidAudienceError,
    InvalidIssuerError,
    InvalidSignatureError,
    PyJWTError,
)

from service.authentication.issuer_keys import IssuerKeys
from service.authentication.key_set import Key
from service.domain.errors import IdentityMissing, TokenExpired, TokenInvalid

LONGEST = 8192
MOST_VERIFIED = 10_000
LONGEST_KEY_ID = 200
LAST_SECOND = 253_402_300_799
"""9999-12-31T23:59:59Z. A claim of a later time is malformed, like an infinite one."""

_BEARER = re.compile(r"bearer +([^ ]+)", re.IGNORECASE)
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
_TYPES = {"jwt", "at+jwt", "application/at+jwt"}

MALFORMED = f"it is not a signed JSON Web Token of at most {LONGEST} characters"
CLAIMS = "a claim is missing, repeated or malformed"


@dataclass(frozen=True, slots=True)
class Token:
    """The verified content of a token. `expires_at` is in seconds since the epoch and includes the leeway."""

    subject: str
    expires_at: float
    key_id: str
    """The digest of the key that verified it."""
    claims: Mapping[str, Any]
    """The claims that the settings name, where the token has them."""


class _Duplicate(ValueError):
    """A name occurs twice in an object: two readers could see two different values."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise _Duplicate
    return read


def _no_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _object(raw: bytes) -> dict[str, Any]:
    """Return a JSON object, of which no name occurs twice at any depth. Raises ValueError or RecursionError."""
    read = json.loads(raw.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    if not isinstance(read, dict):
        raise ValueError("not an object")  # noqa: TRY004  # an error of the text
    return read


class _Decoder(jwt.PyJWT):
    """PyJWT, with a strict reader of the claims."""

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        try:
            claims = _object(decoded["payload"])
        except (ValueError, RecursionError) as error:
            raise TokenInvalid(CLAIMS) from error
        for name in ("exp", "nbf", "iat"):  # PyJWT also takes a text
            value = claims.get(name, 0)
            if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LAST_SECOND:
                raise TokenInvalid(CLAIMS)
        return claims


def only_bearer(authorization: Sequence[str | bytes]) -> str:
    """Return the token of the one `authorization` value. Raises IdentityMissing or TokenInvalid."""
    if len(authorization) != 1:
        raise IdentityMissing("The call metadata must have exactly one authorization: Bearer TOKEN.")
    [value] = authorization
    found = _BEARER.fullmatch(value) if isinstance(value, str) and len(value) <= LONGEST + 50 else None
    if found is None:
        raise TokenInvalid(MALFORMED)
    return found[1]


class Tokens:
    """Verifies tokens. Each is verified once: later calls with the same token cost a lookup by its digest."""

    def __init__(
        self,
        keys: IssuerKeys,
        issuer: str,
        audiences: list[str],
        algorithms: list[str],
        leeway_seconds: float,
        named: Iterable[str],
    ) -> None:
        """`named` are the claims that are kept of a token; it may have others, of any size."""
        self._keys = keys
        self.issuer = issuer
        self._audiences = audiences
        self._algorithms = frozenset(algorithms)
        self._leeway = leeway_seconds
        self._named = frozenset(named)
        self._decoder = _Decoder()
        self._verified: OrderedDict[bytes, Token] = OrderedDict()
        self._generation = 0

    async def verify(self, token: str, deadline: float | None) -> Token:
        """Return the content of a token; `deadline` is a time of `time.monotonic()`.

        Raises TokenInvalid, TokenExpired, or IdentityUnavailable when the keys of the issuer are not known.
        """
        if self._generation != self._keys.generation:
            self._verified.clear()
            self._generation = self._keys.generation
        digest = hashlib.sha256(token.encode()).digest()
        if known := self._verified.get(digest):
            self._keys.require()
            if known.expires_at <= time.time():
                del self._verified[digest]
                raise TokenExpired
            self._verified.move_to_end(digest)
            return known
        kid, algorithm = self._header(token)
        key = await self._keys.find(kid, algorithm, deadline)
        verified = self._decoded(token, key, algorithm)
        if self._generation == self._keys.generation:
            self._verified[digest] = verified
            if len(self._verified) > MOST_VERIFIED:
                self._verified.popitem(last=False)
        return verified

    def _header(self, token: str) -> tuple[str | None, str]:
        """Return the key id and the algorithm. Keys and addresses that the header itself holds are ignored."""
        parts = _COMPACT.fullmatch(token) if len(token) <= LONGEST else None
        if parts is None:
            raise TokenInvalid(MALFORMED)
        try:
            header = _object(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        except (ValueError, RecursionError) as error:
            raise TokenInvalid(MALFORMED) from error
        kid, algorithm, typ = header.get("kid"), header.get("alg"), header.get("typ", "JWT")
        if not isinstance(typ, str) or typ.lower() not in _TYPES or "crit" in header or "b64" in header:
            raise TokenInvalid(MALFORMED)
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise TokenInvalid("its algorithm is not one that is accepted")
        if not isinstance(kid, str | None) or len(kid or "") > LONGEST_KEY_ID:
            raise TokenInvalid(MALFORMED)
        return kid, algorithm

    def _decoded(self, token: str, key: Key, algorithm: str) -> Token:
        try:
            claims = self._decoder.decode(
                token,
                key.jwk,
                algorithms=[algorithm],
                audience=self._audiences,
                issuer=self.issuer,
                leeway=self._leeway,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except ExpiredSignatureError as error:
            raise TokenExpired from error
        except PyJWTError as error:
            raise TokenInvalid(_CAUSES.get(type(error), CLAIMS)) from error
        kept = {name: claims[name] for name in self._named & claims.keys()}
        return Token(claims["sub"], claims["exp"] + self._leeway, key.id, kept)


_CAUSES: dict[type[PyJWTError], str] = {
    DecodeError: MALFORMED,
    InvalidSignatureError: "its signature does not verify",
    InvalidIssuerError: "it is of another issuer",
    InvalidAudienceError: "it is for another audience",
    ImmatureSignatureError: "it is not valid yet",
}
