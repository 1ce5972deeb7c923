"""Signs the identity of each transaction with a key that the database knows, so that a password alone is no identity.

`identity_is_signed()` of revision 021 verifies: HMAC-SHA-256 (RFC 2104) of login, trader, desk, key, expiry, nonce and
subject, separated by `|`.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import re
import secrets
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from service.calls import Calls
from service.domain.errors import Refused
from service.files import replacing

BLOCK_BYTES = 64
"""The length of a block of SHA-256, up to which RFC 2104 fills the key."""

RELOAD_SECONDS = 5.0

CLOCKS_APART = 30.0
"""Seconds by which the clocks of the service and the database may differ."""

_KEY = re.compile(r"([1-9][0-9]{0,3}) ([0-9a-f]{64})\n?")

log = logging.getLogger("blotter.signatures")


class IdentityKeyRefused(Refused):
    """A key that cannot be used, or that the database does not accept; the text names the remedy."""


class IdentityKey(NamedTuple):
    """A key, under the id that the database knows it by."""

    id: int
    secret: bytes

    @classmethod
    def generate(cls, key_id: int) -> IdentityKey:
        """Return a new key of 32 random bytes."""
        return cls(key_id, secrets.token_bytes(32))

    @classmethod
    def read(cls, file: Path) -> IdentityKey:
        """Return the key in a file. Raises IdentityKeyRefused."""
        try:
            found = _KEY.fullmatch(file.read_text("ascii"))
        except (OSError, ValueError) as error:
            raise IdentityKeyRefused(f"BLOTTER_IDENTITY_KEY={file} cannot be read: {error}.") from error
        if not found:
            raise IdentityKeyRefused(
                f"BLOTTER_IDENTITY_KEY={file} is not a key as `blotter identity-key generate` writes it."
            )
        return cls(int(found[1]), bytes.fromhex(found[2]))

    def write(self, file: Path) -> None:
        """Write the key to a file that only its owner can read. Raises OSError."""
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file, mode=0o600) as writing:  # a process that signs must not read a partial file
            writing.write(f"{self.id} {self.secret.hex()}\n".encode("ascii"))

    def pads(self) -> tuple[bytes, bytes]:
        """Return the inner and the outer pad of RFC 2104."""
        block = self.secret.ljust(BLOCK_BYTES, b"\0")
        return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)

    def sign(self, login: str, trader_id: UUID | None, desk_id: UUID | None, subject: str, seconds: float) -> str:
        """Return the identity of a transaction that ends within some seconds, for `act_as`."""
        nonce = os.urandom(8).hex()
        signed = f"{self.id}|{int(time.time() + seconds + CLOCKS_APART)}|{nonce}|{subject}"
        text = f"{login}|{trader_id or ''}|{desk_id or ''}|{signed}"
        return hmac.digest(self.secret, text.encode(), "sha256").hex() + signed


class Signatures:
    """The key in a file, which is read anew when it changes: a key is rotated without a restart."""

    def __init__(self, file: Path) -> None:
        """Raises IdentityKeyRefused."""
        self.file = file
        self.key = IdentityKey.read(file)
        self._calls = Calls(f"BLOTTER_IDENTITY_KEY={file}")

    async def run(self) -> None:
        """Read the file every few seconds until cancelled. One that cannot be used is reported once."""
        reported = ""
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            try:
                key = await self._calls.run(partial(IdentityKey.read, self.file))
            except (IdentityKeyRefused, TimeoutError) as error:
                if str(error) != reported:
                    log.error("%s The key that was read before stays in use.", error)  # noqa: TRY400  # no traceback
                reported = str(error)
                continue
            reported = ""
            if key != self.key:
                self.key = key
                log.info("Identities are signed with the key %d.", key.id)
