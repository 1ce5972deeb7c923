"""The child's end of the channel: reports health, answers reads of the metrics, and notices the end of the parent."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol
from uuid import UUID

from prometheus_client import CollectorRegistry

from service.observability.metrics import Metrics
from service.servicers.health import LEDGER
from service.workers import channel
from service.workers.channel import Channel
from service.workers.families import families

HINT_SECONDS = 0.02
"""The shortest interval of messages about commits; what is committed meanwhile goes into the next one."""

MOST_HINTS = 1000
"""The most traders in one such message. The others are found by polling, as everything that no message announces."""

BEAT_SECONDS = 1.0
"""How often a child reports its health, so that its parent notices one that does nothing any more."""

STUCK_SECONDS = 60.0
"""How long the event loop of a child without a parent may do nothing; then the process ends. The parent would kill it
after the same time."""

log = logging.getLogger("blotter.workers")


class Health(Protocol):
    """The health of a process, by name."""

    def statuses(self) -> dict[str, bool]:
        """Return whether each name is SERVING."""

    def set(self, service: str, serving: bool) -> None:
        """Set the status of a name."""

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call `changed` after each change."""


class Child:
    """Speaks for a process to its parent, from `started` on."""

    def __init__(self, end: Channel) -> None:
        self.stop = asyncio.Event()
        self.failed: str | None = None
        """The name of the task that has failed, if any."""
        self._beaten_at = time.monotonic()
        self._channel = end
        self._health: Health | None = None
        self._metrics: Metrics | None = None
        self._ledger: bool | None = None
        self._hinted: Callable[[UUID | None], None] = lambda _: None
        self._hints: set[UUID | None] = set()
        self._next_hints = 0.0

    def started(self, health: Health, metrics: Metrics, hinted: Callable[[UUID | None], None]) -> None:
        """Report health from now on. `hinted` is called with a trader for whom another process has committed events.

        It is called with None when the ledger has grown.
        """
        self._health, self._metrics, self._hinted = health, metrics, hinted
        health.on_change(self._report)
        self._set_ledger()
        self._report()

    def _set_ledger(self) -> None:
        """Report the ledger's health as the parent does, which knows it from the sequencer."""
        if self._health and self._ledger is not None:
            self._health.set(LEDGER, self._ledger)

    def _report(self) -> None:
        if self._health:
            self._channel.send(channel.HEALTH, self._health.statuses())

    def committed(self, trader_id: UUID | None) -> None:
        """Tell the other processes that a trader has new events, or with None that the ledger has grown."""
        if not self._hints:
            loop = asyncio.get_running_loop()
            loop.call_at(max(self._next_hints, loop.time()), self._send_hints)
        if len(self._hints) < MOST_HINTS:
            self._hints.add(trader_id)

    def _send_hints(self) -> None:
        self._next_hints = asyncio.get_running_loop().time() + HINT_SECONDS
        self._channel.send(channel.COMMITTED, [None if one is None else str(one) for one in self._hints])
        self._hints.clear()

    async def beat(self) -> None:
        """Report health at intervals until cancelled."""
        while True:
            self._beaten_at = time.monotonic()
            self._report()
            await asyncio.sleep(BEAT_SECONDS)

    def outlive(self, parent: int) -> None:
        """Return when the parent, a process id, has ended and this process's event loop is stuck. Runs in a thread.

        Otherwise the event loop notices the end of the parent.
        """
        while os.getppid() == parent or time.monotonic() - self._beaten_at < STUCK_SECONDS:
            time.sleep(BEAT_SECONDS)

    def watch(self, task: asyncio.Task[None]) -> None:
        """Stop the process when the task fails."""
        if not task.cancelled() and (error := task.exception()):
            log.error("The task %s has failed; the process stops", task.get_name(), exc_info=error)
            self.failed = task.get_name()
            self.stop.set()

    async def listen(self) -> None:
        """Do what the parent asks for; when it has ended, set `stop`."""
        while message := await self._channel.receive():
            kind, content = message
            if kind == channel.READ and self._metrics:
                await self._answer(self._metrics)
            elif kind == channel.LEDGER:
                if content != self._ledger:  # it is also repeated
                    self._ledger = content
                    self._set_ledger()
            elif kind == channel.COMMITTED:
                for one in content:
                    self._hinted(None if one is None else UUID(one))
        if not self.stop.is_set():
            log.warning("The parent process has ended; this one stops")
        self.stop.set()

    async def _answer(self, metrics: Metrics) -> None:
        try:
            registry = await metrics.read()
            self._channel.send_line(await asyncio.to_thread(_line, registry))
        except Exception:  # whatever the metrics are, the end of the parent must be noticed
            log.exception("The metrics cannot be read; the parent gets none of this process.")


def _line(registry: CollectorRegistry) -> bytes:
    return channel.line(channel.METRICS, families(registry))


@asynccontextmanager
async def child_of(descriptor: int) -> AsyncIterator[Child]:
    """Speak to the parent over a descriptor while the context lasts. The descriptor itself stays open.

    Raises RuntimeError at the end when a task has failed.
    """
    parent = os.getppid()
    end = await Channel.over(socket.socket(fileno=os.dup(descriptor)))
    child = Child(end)
    tasks = [asyncio.create_task(child.listen(), name="parent"), asyncio.create_task(child.beat(), name="beat")]
    for task in tasks:
        task.add_done_callback(child.watch)
    # A killed parent ends no child that does not look for its end. On Linux and macOS alike.
    threading.Thread(target=_end_if_stuck, args=(child, parent), name="orphan", daemon=True).start()
    try:
        yield child
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        end.close()
    if child.failed:
        raise RuntimeError(f"The task {child.failed} has failed.")


def _end_if_stuck(child: Child, parent: int) -> None:
    child.outlive(parent)
    os._exit(1)


def report_failure(descriptor: int, error: Exception, *, unavailable: bool) -> None:
    """Tell the parent why this process ends. `unavailable`: because the database cannot be reached."""
    with socket.socket(fileno=descriptor) as end, suppress(OSError):  # the parent may have ended
        end.sendall(channel.line(channel.FAILED, [str(error), unavailable]))
