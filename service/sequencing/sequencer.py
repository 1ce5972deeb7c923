"""The sequencer: one at a time, in whichever process holds the lock.

It looks for committed logs, appends them, and signs the tree now and then. Writers of orders never wait for it: it
reads what they have committed, and writes only tables of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

import aiohttp

from service.domain.errors import BlotterError, LedgerDamaged
from service.ledger.edge import Edge
from service.ledger.notes import InvalidKey, InvalidNote
from service.repositories.ledger_writer import ForeignLedger, LedgerMoved, LedgerWriter
from service.sequencing.checkpoints import Checkpoints, RefusedToSign
from service.sequencing.publishing import Publishing
from service.sequencing.sinks import DirectorySink, Witness

PORTION = 1000
"""Events a transaction: what keeps up with a burst, and lets others read in between."""

ELECTION_SECONDS = 0.5
BUSY_SECONDS = 2.0

log = logging.getLogger("blotter.sequencer")


class Sequencer:
    """Appends to the ledger for as long as it runs, if it is elected."""

    def __init__(
        self,
        conninfo: str,
        password: str | None,
        checkpoints: Checkpoints,
        directory: DirectorySink | None,
        witnesses: Sequence[Witness],
        appended: Callable[[], None],
        *,
        poll_seconds: float,
        idle_seconds: float,
        checkpoint_seconds: float,
    ) -> None:
        """`appended` is called after each append. `idle_seconds`: the poll when nothing happens."""
        self._conninfo = conninfo
        self._password = password
        self._checkpoints = checkpoints
        self._directory = directory
        self._witnesses = witnesses
        self._appended = appended
        self._poll_seconds = poll_seconds
        self._idle_seconds = idle_seconds
        self._checkpoint_seconds = checkpoint_seconds
        self._news = asyncio.Event()
        self._complaints: dict[str, str] = {}

    def hint(self) -> None:
        """Say that this process has committed events."""
        self._news.set()

    async def run(self) -> None:
        """Sequence until cancelled. Whatever goes wrong delays; the next try reads anew what the database has."""
        if not self._checkpoints.has_keys:
            log.warning("The ledger grows unsigned here: BLOTTER_LEDGER_KEYS names no folder")
        while True:
            try:
                async with LedgerWriter.connected(self._conninfo, self._password) as writer:
                    while not await writer.elected():
                        if holder := await writer.foreign_lock_holder():
                            log.error(
                                "%s holds the sequencers' lock, which is not its to take. This one goes on without it.",
                                holder,
                            )
                            break  # two at once are slow, never wrong
                        await asyncio.sleep(ELECTION_SECONDS)
                    log.info("This process is the sequencer")
                    await self._lead(writer)
            except LedgerMoved:
                log.warning("Another sequencer is at work; reading anew")
            except ForeignLedger:
                self._complain(
                    "appending",
                    "This database is a copy of the one that the ledger grew in: no entries are added. If it has taken "
                    "the place of the other, say so: blotter ledger rebaseline",
                )
            except LedgerDamaged as error:
                self._complain(
                    "appending",
                    f"{error} Something stands where the next entry or tile belongs, or one is missing: no entries are "
                    "added until that is mended (ReconcileOrders says what differs).",
                )
            except BlotterError as error:
                self._complain("appending", f"The sequencer cannot work: {error}")
            except Exception:
                log.exception("The sequencer failed; it tries again")
            await asyncio.sleep(ELECTION_SECONDS)

    async def _lead(self, writer: LedgerWriter) -> None:
        clock = asyncio.get_running_loop().time
        tree = await writer.edge()
        async with (
            aiohttp.ClientSession() as session,
            Publishing(writer, session, self._directory, self._witnesses) as publishing,
        ):
            active, due, begun = clock(), clock(), False
            while True:
                self._news.clear()
                appended = await writer.append(tree, PORTION)
                self._well("appending")
                if appended:
                    active = clock()
                    self._appended()
                if clock() >= due:
                    due = clock() + self._checkpoint_seconds
                    begun = await self._sign(writer, tree, publishing, begun=begun)
                if appended < PORTION:
                    # Also under a steady stream of hints: an append is for many events.
                    await asyncio.sleep(self._poll_seconds)
                    if clock() - active > BUSY_SECONDS:
                        with suppress(TimeoutError):
                            async with asyncio.timeout(self._idle_seconds):
                                await self._news.wait()

    async def _sign(self, writer: LedgerWriter, tree: Edge, publishing: Publishing, *, begun: bool) -> bool:
        """Sign the tree and publish the checkpoint; return whether signing has begun.

        What hinders signing hinders nothing else.
        """
        try:
            if publishing.contradiction:
                raise RefusedToSign(publishing.contradiction)  # noqa: TRY301  # the same sentence for all
            if not begun:
                publishing.offer(await self._checkpoints.begin(writer, tree))
                begun = True
            publishing.offer(await self._checkpoints.sign(writer, tree))
        except (RefusedToSign, LedgerDamaged, InvalidKey, InvalidNote, OSError) as error:
            self._complain("signing", f"No checkpoint is signed. {error}")
        else:
            self._well("signing")
        return begun

    def _complain(self, work: str, what: str) -> None:
        """Say once what hinders the work, until it is something else or over."""
        if self._complaints.get(work) != what:
            log.error("%s", what)
        self._complaints[work] = what

    def _well(self, work: str) -> None:
        if self._complaints.pop(work, None):
            log.info("The ledger is %s again", {"appending": "growing", "signing": "signed"}[work])
