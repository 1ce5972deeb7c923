"""Page and resume tokens: opaque, versioned, bound to the caller and the filters.

A token holds a position and grants no access: the rows are read under the caller's own login. Its check value only
detects a damaged token, and one of another caller or filter.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from service.domain.errors import InvalidPageToken

T = TypeVar("T")

VERSION = b"1"
LONGEST = 512
"""An upper bound of a token's length; a longer text is not decoded."""


class BadToken(ValueError):
    """The token was not made for this binding, or is damaged."""


class Binding:
    """What tokens are bound to. It is hashed once, however many tokens are made."""

    __slots__ = ("_hash",)

    def __init__(self, *parts: object) -> None:
        self._hash = hashlib.sha256(repr([_stable(part) for part in parts]).encode() + b"\0")

    @property
    def digest(self) -> bytes:
        """The digest of the parts: that of another binding differs."""
        return self._hash.digest()

    def encode(self, *values: object) -> str:
        """Return a token that carries the values (their `str`, without `|`)."""
        payload = "|".join(map(str, values)).encode()
        return base64.urlsafe_b64encode(VERSION + self._check(payload) + payload).decode().rstrip("=")

    def decode(self, token: str, read: Callable[..., T]) -> T:
        """Return `read(*values)` of a token made by `encode` of the same binding. Raises BadToken."""
        if len(token) > LONGEST:
            raise BadToken
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadToken from error
        check, payload = raw[1:13], raw[13:]
        # Trailing bits that base64 ignores, and padding, would give one token several spellings.
        canonical = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        if raw[:1] != VERSION or check != self._check(payload) or canonical != token:
            raise BadToken
        try:
            return read(*payload.decode().split("|"))
        except (TypeError, ValueError) as error:
            raise BadToken from error

    def _check(self, payload: bytes) -> bytes:
        checked = self._hash.copy()
        checked.update(payload)
        return checked.digest()[:12]


def encode(binding: tuple[object, ...], *values: object) -> str:
    """Return a token that carries the values (their `str`, without `|`), bound to the binding."""
    return Binding(*binding).encode(*values)


def decode(binding: tuple[object, ...], token: str, read: Callable[..., T]) -> T:
    """Return `read(*values)` of a token made by `encode` with the same binding. Raises BadToken."""
    return Binding(*binding).decode(token, read)


def sequence(text: str) -> int:
    """Return a sequence from a token. Raises ValueError when it is out of range: a token can be forged."""
    number = int(text)
    if not 0 <= number < 2**63:
        raise ValueError(number)
    return number


def moment(text: str) -> datetime:
    """Return a time in UTC from a token. Raises ValueError for another offset, whose UTC time may be out of range."""
    value = datetime.fromisoformat(text)
    if value.utcoffset() != timedelta(0):
        raise ValueError(text)
    return value


def page(binding: tuple[object, ...], token: str, read: Callable[..., T]) -> T | None:
    """Return the position at which the previous page ended; None for the empty token. Raises InvalidPageToken."""
    try:
        return decode(binding, token, read) if token else None
    except BadToken as error:
        raise InvalidPageToken from error


def _stable(part: object) -> object:
    """Omit unset fields of a filter, so that a token stays valid when a later release adds a field."""
    if not is_dataclass(part):
        return part
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    return sorted((name, _stable(value)) for name, value in values.items() if value is not None and value is not False)
