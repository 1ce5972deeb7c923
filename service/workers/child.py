"""The child's end of the channel: reports health, answers reads of the metrics, and notices the end of the parent."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from prometheus_client import CollectorRegistry

from service.observability.metrics import Metrics
from service.servicers.health import LEDGER
from service.workers import channel
from service.workers.channel import Channel
from service.workers.families import families

BEAT_SECONDS = 1.0
"""How often a child reports its health, so that its parent notices one that does nothing any more."""

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
        self._channel = end
        self._health: Health | None = None
        self._metrics: Metrics | None = None
        self._ledger: bool | None = None

    def started(self, health: Health, metrics: Metrics) -> None:
        """Report health from now on."""
        self._health, self._metrics = health, metrics
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

    async def beat(self) -> None:
        """Report health at intervals until cancelled."""
        while True:
            self._report()
            await asyncio.sleep(BEAT_SECONDS)

    async def listen(self) -> None:
        """Do what the parent asks for; when it has ended, set `stop`."""
        while message := await self._channel.receive():
            kind, content = message
            if kind == channel.READ and self._metrics:
                registry = await self._metrics.read()
                self._channel.send_line(await asyncio.to_thread(_answer, registry))
            elif kind == channel.LEDGER:
                self._ledger = content
                self._set_ledger()
        if not self.stop.is_set():
            log.warning("The parent process has ended; this one stops")
        self.stop.set()


def _answer(registry: CollectorRegistry) -> bytes:
    return channel.line(channel.METRICS, families(registry))


@asynccontextmanager
async def child_of(descriptor: int) -> AsyncIterator[Child]:
    """Speak to the parent over a descriptor while the context lasts. The descriptor itself stays open."""
    end = await Channel.over(socket.socket(fileno=os.dup(descriptor)))
    child = Child(end)
    tasks = [asyncio.create_task(child.listen(), name="parent"), asyncio.create_task(child.beat(), name="beat")]
    try:
        yield child
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        end.close()


def report_failure(descriptor: int, error: Exception, *, unavailable: bool) -> None:
    """Tell the parent why this process ends. `unavailable`: because the database cannot be reached."""
    with socket.socket(fileno=descriptor) as end, suppress(OSError):  # the parent may have ended
        end.sendall(channel.line(channel.FAILED, [str(error), unavailable]))
