"""The sequencer runs in one process at a time, the one that holds the lock.

It polls for committed logs, appends them to the ledger, and signs the tree at intervals. Writers of orders never wait
for it: it reads what they have committed, and writes only its own tables. Appending does not wait for signing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import aiohttp

from blotter_verifier.notes import InvalidKey, InvalidNote
from service.domain.errors import BlotterError, DatabaseUnavailable, LedgerDamaged
from service.ledger.edge import Edge
from service.observability.failures import summary
from service.observability.metrics import Metrics
from service.repositories.append import ForeignLedger, LedgerMoved, LedgerWriter
from service.sequencing.checkpoints import Checkpoints, RefusedToSign
from service.sequencing.condition import Condition
from service.sequencing.login import check_login
from service.sequencing.publishing import Publishing
from service.sequencing.sinks import DirectorySink, Witness
from service.sequencing.watch import COPIED, Watch

PORTION = 1000
"""Events per transaction: enough for a burst, few enough that readers do not wait long."""

ELECTION_SECONDS = 0.5
SETTINGS_SECONDS = 10.0
"""How often a process that is not elected checks that it could sign."""
BUSY_SECONDS = 2.0

log = logging.getLogger("blotter.sequencer")


class Sequencer:
    """Appends to the ledger while it is elected."""

    def __init__(
        self,
        conninfo: str,
        password: str | None,
        checkpoints: Checkpoints,
        directory: DirectorySink | None,
        witnesses: Sequence[Witness],
        appended: Callable[[], None],
        report: Callable[[bool], None],
        metrics: Metrics,
        *,
        poll_seconds: float,
        idle_seconds: float,
        checkpoint_seconds: float,
    ) -> None:
        """`appended` is called after each append, `report` with whether the ledger is healthy.

        `idle_seconds` is the poll interval while there are no events.
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
        self._metrics = metrics
        self._watch = Watch(self._condition, checkpoint_seconds if checkpoints.has_keys else None, metrics)
        self._publishing: Publishing | None = None
        metrics.before_reading(self._observe)

    async def check(self) -> None:
        """Raise DatabaseUnavailable when the sequencer cannot log in, or when a pooler prevents its election."""
        await check_login(self._conninfo, self._password)

    def hint(self) -> None:
        """Record that this process has committed events."""
        self._news.set()

    def shut(self) -> None:
        """Close the database connection at once, for a cancelled `run` that still waits for the database."""
        if self._writer:
            self._writer.shut()

    async def run(self) -> None:
        """Sequence until cancelled. After any error it connects again and reads the state from the database."""
        self._condition.reset()
        while True:
            try:
                async with (
                    LedgerWriter.connected(self._conninfo, self._password) as writer,
                    _in_background(self._watch.report_silence(writer)),
                ):
                    self._writer = writer
                    async with _in_background(self._watch.run(writer)) as watching:
                        await self._be_elected(writer, watching)
                    await self._lead(writer)
            except LedgerMoved:
                log.warning("Another sequencer has appended; reading the ledger again")
            except ForeignLedger:
                self._condition.report_failure("appending", COPIED)
            except LedgerDamaged as error:
                self._condition.report_failure(
                    "appending",
                    f"{error} An unexpected row is in the place of the next entry or tile, or one is missing: no "
                    "entries are added until this is repaired (ReconcileOrders reports the differences).",
                )
            except BlotterError as error:
                self._condition.report_failure("appending", f"The sequencer cannot work: {error}")
            except Exception as error:  # noqa: BLE001  # logged, with its traceback
                self._condition.report_failure("appending", f"The sequencer failed: {summary(error)}", traceback=True)
            self._watch.forget()
            await asyncio.sleep(ELECTION_SECONDS)

    def _observe(self) -> None:
        self._metrics.sequencer_active.set(self._publishing is not None)
        self._metrics.cosignature_age.clear()
        if self._publishing:
            for witness, moment in self._publishing.cosigned_at.items():
                self._metrics.cosignature_age.set(time.monotonic() - moment, witness)

    async def _be_elected(self, writer: LedgerWriter, watching: asyncio.Task[None]) -> None:
        """Return when this process is elected. Until then it reports the condition of the ledger in the database."""
        due = self._clock()
        while not await writer.elected():
            if (holder := await writer.lock_holder()) and holder.login != "blotter_sequencer":
                log.error(
                    "%s holds the sequencers' lock, which only blotter_sequencer may take: end that session. "
                    "This sequencer continues without the lock.",
                    holder.login,
                )
                return  # two at once are slow, and append correctly
            self._condition.report_success("appending")
            if self._clock() >= due:
                await self._check_settings(writer)
                due = self._clock() + SETTINGS_SECONDS
            await asyncio.sleep(ELECTION_SECONDS)
            _raise_if_ended(watching)

    async def _check_settings(self, writer: LedgerWriter) -> None:
        """Report whether this process would sign if it were elected."""
        try:
            await self._checkpoints.check_settings(writer)
        except (RefusedToSign, InvalidKey, InvalidNote, OSError) as error:
            self._metrics.ledger_refusals.inc()
            self._condition.report_failure(
                "signing", f"This process is not the sequencer and, if it took over, would refuse to sign. {error}"
            )
        else:
            self._condition.report_success("signing")

    async def _lead(self, writer: LedgerWriter) -> None:
        tree = await writer.edge()
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            publishing = Publishing(writer, session, self._directory, self._witnesses)
            await stack.enter_async_context(publishing)
            stack.callback(self._set_publishing, None)
            self._set_publishing(publishing)
            active = self._clock()
            tasks: list[asyncio.Task[None]] = []
            while True:
                self._news.clear()
                appended = await writer.append(tree, PORTION)
                self._condition.report_success("appending")
                if not tasks:
                    log.info("This process is the sequencer")
                    works = (self._sign_repeatedly(writer, tree, publishing), self._watch.run(writer))
                    tasks = [await stack.enter_async_context(_in_background(work)) for work in works]
                _raise_if_ended(*tasks)
                if appended:
                    active = self._clock()
                    self._appended()
                if appended < PORTION:
                    # Also while hints arrive continuously, so that one append takes many events.
                    await asyncio.sleep(self._poll_seconds)
                    if self._clock() - active > BUSY_SECONDS:
                        with suppress(TimeoutError):
                            async with asyncio.timeout(self._idle_seconds):
                                await self._news.wait()

    def _set_publishing(self, publishing: Publishing | None) -> None:
        self._publishing = publishing

    async def _sign_repeatedly(self, writer: LedgerWriter, tree: Edge, publishing: Publishing) -> None:
        begun, due = False, self._clock()
        while True:
            begun = await self._sign(writer, tree, publishing, begun=begun)
            due = max(due + self._checkpoint_seconds, self._clock())
            await asyncio.sleep(due - self._clock())

    async def _sign(self, writer: LedgerWriter, tree: Edge, publishing: Publishing, *, begun: bool) -> bool:
        """Sign the tree and publish the checkpoint; return whether signing has begun.

        A failure that affects only signing is reported, not raised. Raises LedgerMoved and DatabaseUnavailable.
        """
        try:
            if publishing.contradiction:
                raise RefusedToSign(publishing.contradiction)  # noqa: TRY301  # handled like the other refusals
            if not begun:
                publishing.offer(await self._checkpoints.begin(writer, tree))
                begun = True
            publishing.offer(await self._checkpoints.sign(writer, tree))
        except (LedgerMoved, DatabaseUnavailable):
            raise
        except (RefusedToSign, LedgerDamaged, InvalidKey, InvalidNote, OSError) as error:
            self._metrics.ledger_refusals.inc()
            self._condition.report_failure("signing", f"No checkpoint is signed. {error}")
        except Exception as error:  # noqa: BLE001  # logged, with its traceback
            self._metrics.ledger_refusals.inc()
            self._condition.report_failure("signing", f"No checkpoint is signed. {summary(error)}", traceback=True)
        else:
            self._condition.report_success("signing")
        return begun

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()


@asynccontextmanager
async def _in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run the coroutine in a task of its own until the context ends."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _raise_if_ended(*tasks: asyncio.Task[None]) -> None:
    """Raise the error that ended one of the tasks; none of them ends by itself."""
    for task in tasks:
        if task.done():
            task.result()
