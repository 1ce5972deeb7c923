"""The sequencer: one at a time, in whichever process holds the lock.

It looks for committed logs, appends them, and signs the tree now and then. Writers of orders never wait for it: it
reads what they have committed, and writes only tables of its own. Appending does not wait for signing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import aiohttp

from blotter_verifier.notes import InvalidKey, InvalidNote
from service.domain.errors import BlotterError, DatabaseUnavailable, LedgerDamaged
from service.ledger.edge import Edge
from service.repositories.append import ForeignLedger, LedgerMoved, LedgerWriter
from service.sequencing.checkpoints import Checkpoints, RefusedToSign
from service.sequencing.condition import Condition
from service.sequencing.login import check_login
from service.sequencing.publishing import Publishing
from service.sequencing.sinks import DirectorySink, Witness
from service.sequencing.watch import COPIED, Watch

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
        report: Callable[[bool], None],
        *,
        poll_seconds: float,
        idle_seconds: float,
        checkpoint_seconds: float,
    ) -> None:
        """`appended` is called after each append, `report` with whether the ledger is healthy.

        `idle_seconds`: the poll when nothing happens.
        """
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
        self._writer: LedgerWriter | None = None
        self._condition = Condition(report)
        self._watch = Watch(self._condition, checkpoint_seconds if checkpoints.has_keys else None)

    async def check(self) -> None:
        """Raise DatabaseUnavailable when the sequencer cannot log in, or cannot be elected through a pooler."""
        await check_login(self._conninfo, self._password)

    def hint(self) -> None:
        """Record that this process has committed events."""
        self._news.set()

    def shut(self) -> None:
        """End the connection to the database at once, for a `run` that was cancelled and waits for the database."""
        if self._writer:
            self._writer.shut()

    async def run(self) -> None:
        """Sequence until cancelled. Whatever goes wrong delays; the next try reads anew what the database has."""
        self._condition.unknown()
        while True:
            try:
                async with (
                    LedgerWriter.connected(self._conninfo, self._password) as writer,
                    _beside(self._watch.report_silence(writer)),
                ):
                    self._writer = writer
                    async with _beside(self._watch.run(writer)) as watching:
                        await self._be_elected(writer, watching)
                    await self._lead(writer)
            except LedgerMoved:
                log.warning("Another sequencer is at work; reading anew")
            except ForeignLedger:
                self._condition.hinder("appending", COPIED)
            except LedgerDamaged as error:
                self._condition.hinder(
                    "appending",
                    f"{error} Something stands where the next entry or tile belongs, or one is missing: no entries are "
                    "added until that is mended (ReconcileOrders reports what differs).",
                )
            except BlotterError as error:
                self._condition.hinder("appending", f"The sequencer cannot work: {error}")
            except Exception as error:  # noqa: BLE001  # logged, with its traceback
                self._condition.hinder("appending", f"The sequencer failed: {error!r}", traceback=True)
            await asyncio.sleep(ELECTION_SECONDS)

    async def _be_elected(self, writer: LedgerWriter, watching: asyncio.Task[None]) -> None:
        """Return when this process may sequence. Meanwhile its health is that of the ledger in the database."""
        while not await writer.elected():
            if (holder := await writer.lock_holder()) and holder.login != "blotter_sequencer":
                log.error(
                    "%s holds the sequencers' lock, which is not its to take. This one goes on without it.",
                    holder.login,
                )
                return  # two at once are slow, never wrong
            for work in ("appending", "signing"):
                self._condition.recover(work)
            await asyncio.sleep(ELECTION_SECONDS)
            _raise_if_ended(watching)

    async def _lead(self, writer: LedgerWriter) -> None:
        tree = await writer.edge()
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            publishing = Publishing(writer, session, self._directory, self._witnesses)
            await stack.enter_async_context(publishing)
            active = self._clock()
            tasks: list[asyncio.Task[None]] = []
            while True:
                self._news.clear()
                appended = await writer.append(tree, PORTION)
                self._condition.recover("appending")
                if not tasks:
                    log.info("This process is the sequencer")
                    beside = (self._sign_repeatedly(writer, tree, publishing), self._watch.run(writer))
                    tasks = [await stack.enter_async_context(_beside(work)) for work in beside]
                _raise_if_ended(*tasks)
                if appended:
                    active = self._clock()
                    self._appended()
                if appended < PORTION:
                    # Also under a steady stream of hints: an append is for many events.
                    await asyncio.sleep(self._poll_seconds)
                    if self._clock() - active > BUSY_SECONDS:
                        with suppress(TimeoutError):
                            async with asyncio.timeout(self._idle_seconds):
                                await self._news.wait()

    async def _sign_repeatedly(self, writer: LedgerWriter, tree: Edge, publishing: Publishing) -> None:
        begun, due = False, self._clock()
        while True:
            begun = await self._sign(writer, tree, publishing, begun=begun)
            due = max(due + self._checkpoint_seconds, self._clock())
            await asyncio.sleep(due - self._clock())

    async def _sign(self, writer: LedgerWriter, tree: Edge, publishing: Publishing, *, begun: bool) -> bool:
        """Sign the tree and publish the checkpoint; return whether signing has begun.

        What hinders signing hinders nothing else. Raises LedgerMoved and DatabaseUnavailable, which do.
        """
        try:
            if publishing.contradiction:
                raise RefusedToSign(publishing.contradiction)  # noqa: TRY301  # the same sentence for all
            if not begun:
                publishing.offer(await self._checkpoints.begin(writer, tree))
                begun = True
            publishing.offer(await self._checkpoints.sign(writer, tree))
        except (LedgerMoved, DatabaseUnavailable):
            raise
        except (RefusedToSign, LedgerDamaged, InvalidKey, InvalidNote, OSError) as error:
            self._condition.hinder("signing", f"No checkpoint is signed. {error}")
        except Exception as error:  # noqa: BLE001  # logged, with its traceback
            self._condition.hinder("signing", f"No checkpoint is signed. {error!r}", traceback=True)
        else:
            self._condition.recover("signing")
        return begun

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run the work in a task of its own until the context ends."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _raise_if_ended(*tasks: asyncio.Task[None]) -> None:
    """Raise what ended one of the tasks; none of them ends by itself."""
    for task in tasks:
        if task.done():
            task.result()
