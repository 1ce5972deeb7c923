"""The principals of current callers, in memory: what the subject of a token or a certificate may call as."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import Context
from dataclasses import dataclass
from itertools import islice

from service.domain.errors import BlotterError, IdentityUnavailable, PrincipalDisabled, UnknownPrincipal
from service.domain.identity import Caller, Principal
from service.observability.failures import summary, where

MOST_KEPT = 10_000
"""Subjects that have a principal, and as many that have none. Those of open streams are kept beyond it."""
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
        # Apart, so that subjects without a principal, however many, displace none that has one.
        self._found: OrderedDict[str, _Known] = OrderedDict()
        self._absent: OrderedDict[str, _Known] = OrderedDict()
        self._wanted: dict[str, asyncio.Future[bool]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._failing = False

    async def find(self, subject: str, deadline: float | None) -> Principal:
        """Return the principal of a subject; `deadline` is a time of `time.monotonic()`.

        Raises UnknownPrincipal, PrincipalDisabled, or IdentityUnavailable when the table cannot be read.
        """
        known = self._known(subject)
        if known is None or not self._is_current(known):
            answered = await self._read_soon(subject, deadline)
            known = self._known(subject)
            if known is None or not (answered or known.may_be_believed()):
                raise IdentityUnavailable("The principals cannot be read at the moment.")
        known.used_at = time.monotonic()
        (self._found if known.principal else self._absent).move_to_end(subject)
        if known.principal is None:
            raise UnknownPrincipal(subject)
        if known.principal.disabled:
            raise PrincipalDisabled
        return known.principal

    def refusal(self, caller: Caller) -> BlotterError | None:
        """Return why a caller that was accepted before is refused now; None while nothing has changed."""
        known = self._known(caller.subject or "")
        if known is None or known.principal == caller.principal:
            return None
        if known.principal is None:
            return UnknownPrincipal(str(caller.subject))
        if known.principal.disabled:
            return PrincipalDisabled()
        return PrincipalDisabled("The principal was changed after the caller was accepted; call again.")

    def _known(self, subject: str) -> _Known | None:
        return self._found.get(subject) or self._absent.get(subject)

    def _is_current(self, known: _Known) -> bool:
        age = time.monotonic() - known.read_at
        if known.principal is None:
            return age <= self._seconds
        # While reads fail, calls do not wait for them: `run` tries on.
        return age <= 2 * self._seconds or (self._failing and known.may_be_believed())

    async def _read_soon(self, subject: str, deadline: float | None) -> bool:
        """Return whether a read of the subject has succeeded in time."""
        if subject not in self._wanted:
            if len(self._wanted) >= MOST_WAITING:
                raise IdentityUnavailable("Too many principals are being read at the moment.")
            self._wanted[subject] = asyncio.get_running_loop().create_future()
        wanted = self._wanted[subject]
        if self._reading is None:
            # Not in the context of the call that happens to come first: the read serves others too.
            self._reading = asyncio.create_task(self._read_wanted(), name="principals", context=Context())
        patience = READ_SECONDS if deadline is None else min(READ_SECONDS, deadline - time.monotonic())
        await asyncio.wait({wanted}, timeout=max(0.0, patience))
        return wanted.done() and wanted.result()

    async def _read_wanted(self) -> None:
        """Read what calls wait for, all of it at a time, until none waits."""
        try:
            while self._wanted:
                subjects = list(self._wanted)
                self._settle(subjects, await self._read_again(subjects))
        finally:
            self._reading = None
            self._settle(list(self._wanted), answered=False)

    def _settle(self, subjects: list[str], answered: bool) -> None:
        for subject in subjects:
            self._wanted.pop(subject).set_result(answered)

    async def _read_again(self, subjects: list[str]) -> bool:
        """Read subjects, keep what is found, and return whether that succeeded. The first of failures is logged."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(READ_SECONDS):
                found = await self._read(subjects)
        except Exception as error:  # noqa: BLE001  # after any error a later read may succeed
            if not self._failing:
                log.warning("The principals cannot be read; those known are used for a minute: %s", summary(error))
                log.debug("The read has failed:\n%s", where(error))
            self._failing = True
            return False
        if self._failing:
            log.info("The principals are read again.")
        self._failing = False
        for subject in subjects:
            self._keep(subject, found.get(subject), started)
        self._drop_surplus(self._found)
        self._drop_surplus(self._absent)
        return True

    def _keep(self, subject: str, principal: Principal | None, started: float) -> None:
        before = self._known(subject)
        if before and before.read_at >= started:  # a read that began later has ended before
            return
        kept, other = (self._found, self._absent) if principal else (self._absent, self._found)
        other.pop(subject, None)
        kept[subject] = _Known(principal, started, before.used_at if before else started)

    def _drop_surplus(self, entries: OrderedDict[str, _Known]) -> None:
        surplus = len(entries) - MOST_KEPT
        if surplus > 0:
            in_use = set(self._in_use())
            for subject in list(islice((subject for subject in entries if subject not in in_use), surplus)):
                del entries[subject]

    async def refresh(self) -> None:
        """Read the current subjects again, and forget those that have made no call for a while."""
        in_use = set(self._in_use())
        least = time.monotonic() - IDLE_SECONDS
        for entries in (self._found, self._absent):
            for subject in [s for s, known in entries.items() if known.used_at < least and s not in in_use]:
                del entries[subject]
        if current := in_use | self._found.keys():
            await self._read_again(sorted(current))

    async def close(self) -> None:
        """End a read that is under way."""
        if reading := self._reading:
            reading.cancel()
            await asyncio.wait({reading})
