"""The keys of the issuer, kept in memory and through an outage of the issuer."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextvars import Context

from service.authentication.key_set import BadKeySet, Key, KeySet, parse
from service.authentication.key_sources import Source, SourceFailed
from service.domain.errors import BlotterError, IdentityUnavailable, TokenInvalid
from service.observability.failures import summary

READ_SECONDS = 5.0
COOL_DOWN_SECONDS = 10.0
"""The least time between two reads that calls cause, whatever key ids they name."""
RETRY_SECONDS = 15.0
MOST_WAITING = 200
"""Calls that wait for a read at one time; further ones are refused."""

NOT_IN_SET = "its key is not in the key set of the issuer"

log = logging.getLogger("blotter.authentication")


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, SourceFailed | BadKeySet) else summary(error)


class IssuerKeys:
    """The last key set that was read, by one read at a time. A key id is looked up in it, and used for nothing else."""

    def __init__(self, source: Source, algorithms: list[str], max_age_seconds: float) -> None:
        self._source = source
        self._algorithms = algorithms
        self._max_age = max_age_seconds
        self._raw: bytes | None = None
        self._keys = KeySet({})
        self._began_at = time.monotonic()
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self.failure: str | None = None
        """Why the last read failed; None if it did not."""
        self._reading: asyncio.Task[None] | None = None
        self._waiting = 0
        self.generation = 0
        """Grows with each change of the set: what was verified by an earlier one has to be verified again."""

    @property
    def known(self) -> bool:
        """Whether a set has been read since the start."""
        return self._read_at is not None

    def age(self) -> float:
        """Return the seconds since the set was read; since the start, if it never was."""
        return time.monotonic() - (self._began_at if self._read_at is None else self._read_at)

    def require(self) -> None:
        """Raise IdentityUnavailable if no set has been read within the maximum age."""
        if self._read_at is None or time.monotonic() - self._read_at > self._max_age:
            raise IdentityUnavailable("The keys of the token issuer cannot be read at the moment.")

    async def find(self, kid: str | None, algorithm: str, deadline: float | None) -> Key:
        """Return the key that verifies a token. A key that is not in the set causes a read, after the cool-down.

        `deadline` is a time of `time.monotonic()`. Raises TokenInvalid or IdentityUnavailable.
        """
        key, read = self._keys.find(kid, algorithm), True
        if key is None or self.age() > self._max_age:
            read = await self._read_for_a_call(deadline)
            key = self._keys.find(kid, algorithm)
        self.require()
        if key is None:
            # The key may be a new one: the last read failed, or is under way, or began before this call.
            if self.failure is not None or self._reading is not None or not read:
                raise IdentityUnavailable("The keys of the token issuer cannot be read at the moment.")
            raise TokenInvalid(NOT_IN_SET)
        return key

    def refusal(self, key_id: str | None) -> BlotterError | None:
        """Return why a token that this key has verified before is refused now; None while it is not."""
        return None if key_id is None or key_id in self._keys.ids else TokenInvalid(NOT_IN_SET)

    async def _read_for_a_call(self, deadline: float | None) -> bool:
        """Read the set, or wait for the read that is under way; return False in the cool-down, without a read."""
        if self._waiting >= MOST_WAITING:
            raise IdentityUnavailable("The keys of the token issuer are being read.")
        cool = self._tried_at is None or time.monotonic() - self._tried_at > COOL_DOWN_SECONDS
        if self._reading is None:
            if not cool:
                return False
            self._tried_at = time.monotonic()
        patience = READ_SECONDS if deadline is None else min(READ_SECONDS, deadline - time.monotonic())
        self._waiting += 1
        try:
            # Not the call's own task: it outlives the call, and others wait for it too.
            await asyncio.wait({self._read_soon()}, timeout=max(0.0, patience))
        finally:
            self._waiting -= 1
        return True

    def _read_soon(self) -> asyncio.Task[None]:
        if self._reading is None:
            # Not in the context of the call that happens to come first: the read serves others too.
            self._reading = asyncio.create_task(self._read(), name="issuer keys", context=Context())
            self._reading.add_done_callback(self._forget)
        return self._reading

    def _forget(self, _: asyncio.Task[None]) -> None:
        self._reading = None

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                raw = await self._source.read()
            keys = parse(raw, self._algorithms)
        except Exception as error:  # noqa: BLE001  # after any error a later read may succeed
            why = f"no answer within {READ_SECONDS:g} s" if isinstance(error, TimeoutError) else _told(error)
            before, self.failure = self.failure, why
            if before is None:
                log.warning(
                    "The key set of the issuer cannot be read from %s: %s. The keys read before stay in use for "
                    "BLOTTER_JWT_MAX_AGE_SECONDS. Check BLOTTER_JWT_JWKS and the issuer.",
                    self._source.name,
                    why,
                )
            return
        if self.failure is not None:
            log.info("The key set of the issuer is read again from %s.", self._source.name)
        self.failure = None
        self._read_at = time.monotonic()
        if raw != self._raw:
            self._raw, self._keys = raw, keys
            self.generation += 1

    async def read(self) -> None:
        """Read the set, or wait for the read that is under way. A failure is logged."""
        await asyncio.wait({self._read_soon()})

    async def run(self) -> None:
        """Read the set from time to time until cancelled."""
        while True:
            seconds = min(RETRY_SECONDS, self._source.seconds) if self.failure else self._source.seconds
            await asyncio.sleep(seconds * random.uniform(0.9, 1.1))  # noqa: S311  # not a secret
            await self.read()

    async def close(self) -> None:
        """End a read that is under way."""
        if reading := self._reading:
            reading.cancel()
            await asyncio.wait({reading})
