"""The parent: reserves the port, keeps workers and a sequencer running, and answers for the metrics of the whole."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from service.domain.errors import Refused
from service.process import serve_metrics, until_stopped
from service.settings import Settings
from service.workers.group import ProcessGroup
from service.workers.reservation import reserved
from service.workers.supervised import SupervisedProcess, environment

LOOK_SECONDS = 1.0

KILL_AFTER_GRACE_SECONDS = 5.0
"""How long a child may live beyond the grace; then it is killed. It bounds its own end to less."""

log = logging.getLogger("blotter.workers")


class NeedsLinux(Refused):
    """The system does not let processes share a port as the workers need it."""


class Killed(Refused):
    """A child had to be killed at the stop: calls may have been cut off."""


@dataclass(frozen=True, slots=True)
class RunningWorkers:
    """A parent whose children serve."""

    address: str
    metrics_port: int | None
    group: ProcessGroup
    tasks: list[asyncio.Task[None]]
    """None of them ends by itself."""


@asynccontextmanager
async def running_workers(settings: Settings) -> AsyncIterator[RunningWorkers]:
    """Keep the workers and the sequencer running until the context ends; then stop the workers, and the sequencer.

    Raises NeedsLinux, AddressInUse, CannotStart when a child cannot start, and at the end Killed when one did not end
    by itself.
    """
    if sys.platform != "linux":
        raise NeedsLinux(
            f"BLOTTER_WORKERS={settings.workers} must be 1: Linux alone distributes connections over processes."
        )
    async with AsyncExitStack() as stop:
        address = stop.enter_context(reserved(settings.listen))
        group = ProcessGroup()
        metrics_port = await serve_metrics(stop, settings, group, group.is_serving)
        given = environment(BLOTTER_LISTEN=address)

        def child(name: str, command: str) -> SupervisedProcess:
            return SupervisedProcess(name, [command], given, group, group.metrics.worker_restarts.labels(name))

        group.workers = [child(str(number), "serve") for number in range(1, settings.workers + 1)]
        if settings.sequencer:
            group.sequencer = child("sequencer", "sequence")
        tasks = [asyncio.create_task(one.run(), name=one.name) for one in group.children]
        tasks.append(asyncio.create_task(_look(group), name="look"))
        stop.push_async_callback(_end, group, tasks, settings.grace_seconds + KILL_AFTER_GRACE_SECONDS)
        await _all_started(group, tasks)
        group.has_started = True
        yield RunningWorkers(address, metrics_port, group, tasks)


async def _all_started(group: ProcessGroup, tasks: list[asyncio.Task[None]]) -> None:
    """Wait until each child has served once. Raises CannotStart."""
    waiting = [asyncio.create_task(one.was_started.wait()) for one in group.children]
    started = asyncio.gather(*waiting)
    either: list[asyncio.Future[Any]] = [started, *tasks]
    try:
        done, _ = await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        for future in done:
            future.result()
    finally:
        started.cancel()
        await asyncio.gather(started, return_exceptions=True)


async def _look(group: ProcessGroup) -> None:
    while True:
        for one in group.children:
            one.look()
        group.health_changed()
        await asyncio.sleep(LOOK_SECONDS)


async def _end(group: ProcessGroup, tasks: list[asyncio.Task[None]], seconds: float) -> None:
    """End the workers, all at once, then the sequencer, which gives their last events a position.

    The sequencer has what the workers have left of the time, and a few seconds where they have left none: an
    orchestrator that kills after the grace would otherwise end it in the midst of a second one.
    """
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    ended = await asyncio.gather(*(one.end(seconds) for one in group.workers))
    if group.sequencer:
        ended.append(await group.sequencer.end(max(until - clock(), KILL_AFTER_GRACE_SECONDS)))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if not all(ended):
        raise Killed("A process did not end within BLOTTER_GRACE_SECONDS and was killed; the log names it.")


async def serve(settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve by workers until SIGTERM or SIGINT. Calls `ready` with the address when all accept calls.

    Raises what `running_workers` raises.
    """

    def started(running: RunningWorkers) -> None:
        port = int(running.address.rpartition(":")[2])
        log.info("Serving on %s by %d workers", running.address, settings.workers, extra={"port": port})
        ready(running.address)

    await until_stopped(running_workers(settings), started)
