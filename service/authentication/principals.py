"""The principals of current callers, in memory: what the subject of a token or a certificate may call as."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from service.domain.errors import BlotterError, IdentityUnavailable, PrincipalDisabled, UnknownPrincipal
from service.domain.identity import Caller, Principal

MOST_KEPT = 10_000
MOST_WAITING = 1000
IDLE_SECONDS = 60.0
LAST_KNOWN_SECONDS = 60.0
"""How long a principal is believed while the database does not answer."""
READ_SECONDS = 3.0

Read = Callable[[list[str]], Awaitable[Mapping[str, Principal]]]

log = logging.getLogger("blotter.authentication")


@dataclass(slots=True)
class _Known:
    principal: Principal | None
    """None: there is none of this subject."""
    read_at: float
    used_at: float

    def may_be_believed(self) -> bool:
        """Return whether this serves while the database does not answer."""
        return self.principal is not None and time.monotonic() - self.read_at <= LAST_KNOWN_SECONDS


class Principals:
    """Reads an unknown subject at once, together with others that wait, and all current subjects every `seconds`."""

    def __init__(self, read: Read, seconds: float, in_use: Callable[[], Iterable[str]]) -> None:
        """`in_use` returns the subjects of open streams, which are read again though they make no new calls."""
        self._read = read
        self._seconds = seconds
        self._in_use = in_use
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._wanted: dict[str, asyncio.Future[None]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._failing = False

    async def find(self, subject: str, deadline: float | None) -> Principal:
        """Return the principal of a subject; `deadline` is a time of `time.monotonic()`.

        Raises UnknownPrincipal, PrincipalDisabled, or IdentityUnavailable when the table cannot be read.
        """
        known = self._known.get(subject)
        if known is None or not self._is_current(known):
            await self._read_soon(subject, deadline)
            known = self._known.get(subject)
            if known is None or (self._failing and not known.may_be_believed()):
                raise IdentityUnavailable("The principals cannot be read at the moment.")
        known.used_at = time.monotonic()
        self._known.move_to_end(subject)
        if known.principal is None:
            raise UnknownPrincipal
        if known.principal.disabled:
            raise PrincipalDisabled
        return known.principal

    def refusal(self, caller: Caller) -> BlotterError | None:
        """Return why a caller that was accepted before is refused now; None while nothing has changed."""
        known = self._known.get(caller.subject or "")
        if known is None or (known.principal and known.principal.is_still(caller)):
            return None
        return PrincipalDisabled()

    def _is_current(self, known: _Known) -> bool:
        age = time.monotonic() - known.read_at
        if known.principal is None:
            return age <= self._seconds
        # While reads fail, calls do not wait for them: `run` tries on.
        return age <= 2 * self._seconds or (self._failing and known.may_be_believed())

    async def _read_soon(self, subject: str, deadline: float | None) -> None:
        if subject not in self._wanted:
            if len(self._wanted) >= MOST_WAITING:
                raise IdentityUnavailable("Too many principals are being read at the moment.")
            self._wanted[subject] = asyncio.get_running_loop().create_future()
        wanted = self._wanted[subject]
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_wanted(), name="principals")
        patience = READ_SECONDS if deadline is None else min(READ_SECONDS, deadline - time.monotonic())
        await asyncio.wait({wanted}, timeout=max(0.0, patience))

    async def _read_wanted(self) -> None:
        """Read what calls wait for, all of it at a time, until none waits."""
        try:
            while self._wanted:
                wanted = dict(self._wanted)
                await self._read_again(list(wanted))
                for subject, future in wanted.items():
                    del self._wanted[subject]
                    if not future.done():
                        future.set_result(None)
        finally:
            self._reading = None

    async def _read_again(self, subjects: list[str]) -> None:
        """Read subjects and keep what is found. A failure is logged."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(READ_SECONDS):
                found = await self._read(subjects)
        except (BlotterError, TimeoutError) as error:
            if not self._failing:
                log.warning("The principals cannot be read; those known are used for a minute: %s", error)
            self._failing = True
            return
        if self._failing:
            log.info("The principals are read again.")
        self._failing = False
        for subject in subjects:
            before = self._known.get(subject)
            if before is None or before.read_at < started:  # else a read that began later has ended before
                self._known[subject] = _Known(found.get(subject), started, before.used_at if before else started)
        while len(self._known) > MOST_KEPT:
            self._known.popitem(last=False)

    async def refresh(self) -> None:
        """Read the current subjects again, and forget those that have made no call for a while."""
        in_use = set(self._in_use())
        least = time.monotonic() - IDLE_SECONDS
        for subject in [s for s, known in self._known.items() if known.used_at < least and s not in in_use]:
            del self._known[subject]
        current = in_use | {subject for subject, known in self._known.items() if known.principal}
        if current:
            await self._read_again(sorted(current))

    async def close(self) -> None:
        """End a read that is under way."""
        if reading := self._reading:
            reading.cancel()
            await asyncio.wait({reading})
