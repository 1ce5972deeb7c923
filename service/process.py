"""What every process of the service has: an end by a signal, a grace for its steps, metrics and traces."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Protocol, TypeVar

from service.domain.errors import Refused
from service.observability.context import Traces
from service.observability.endpoint import Source, metrics_endpoint
from service.observability.metrics import Metrics
from service.settings import Settings

BEYOND_SECONDS = 0.5
"""How long the stop waits, after the grace, for what it has cancelled."""

log = logging.getLogger("blotter.process")


class AddressInUse(Refused):
    """An address to listen on is in use or not an address."""


class Grace:
    """The grace period that all steps of the stop share. It begins with the first call of `left`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end: float | None = None

    def left(self) -> float:
        """Return the remaining seconds."""
        now = asyncio.get_running_loop().time()
        if self._end is None:
            self._end = now + self._seconds
        return max(0.0, self._end - now)


class HasTasks(Protocol):
    """What runs in the process."""

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The background tasks; none of them ends by itself."""


S = TypeVar("S", bound=HasTasks)


async def until_stopped(
    start: AbstractAsyncContextManager[S], started: Callable[[S], None], stop: asyncio.Event | None = None
) -> None:
    """Run until SIGTERM, SIGINT or `stop`. Calls `started` when the start is complete.

    Raises what the start raises, and RuntimeError when a task has ended.
    """
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    stopped = asyncio.create_task(stop.wait())
    async with AsyncExitStack() as stack:
        running = await _started(stack.enter_async_context(start), stopped)
        if running is None:
            log.info("Stopping before the start is complete")
            return
        started(running)
        done, _ = await asyncio.wait([stopped, *running.tasks], return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in running.tasks if task in done]
        for task in ended:
            error = None if task.cancelled() else task.exception()
            log.error("The task %s has ended; the server stops", task.get_name(), exc_info=error)
        log.info("Stopping")
        stopped.cancel()
    if ended:
        raise RuntimeError(f"The task {ended[0].get_name()} has ended.")


async def _started(start: Coroutine[Any, Any, S], stopped: asyncio.Task[Any]) -> S | None:
    """Return what was started; None when the stop is requested first. Raises what the start raises."""
    starting = asyncio.create_task(start)
    try:
        await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            return starting.result()
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    return None


async def end_tasks(tasks: list[asyncio.Task[None]], shut: Callable[[], None], grace: Grace) -> None:
    """Cancel the tasks and wait for them within the grace; then `shut` closes what they still wait for."""
    for task in tasks:
        task.cancel()
    _, waiting = await asyncio.wait(tasks, timeout=grace.left() + BEYOND_SECONDS)
    if waiting:
        # The driver asks the database to cancel a statement, and waits for its response.
        shut()
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting, timeout=BEYOND_SECONDS)


async def serve_metrics(
    stop: AsyncExitStack, settings: Settings, source: Source, is_serving: Callable[[str], bool | None]
) -> int | None:
    """Serve metrics and health over HTTP until the stop, if the settings ask for it; return the port.

    Raises AddressInUse.
    """
    listen = settings.metrics_listen
    if listen is None:
        return None
    try:
        port = await stop.enter_async_context(metrics_endpoint(source, listen, is_serving))
    except OSError as error:
        raise AddressInUse(
            f"Cannot serve metrics on {listen} (BLOTTER_METRICS_LISTEN): it is in use, or not an address."
        ) from error
    log.info("Metrics are at http://%s:%d/metrics", listen.rpartition(":")[0], port)
    return port


async def send_telemetry(stop: AsyncExitStack, settings: Settings, metrics: Metrics) -> Traces:
    """Send metrics and traces until the stop, if the settings ask for it; return what begins the traces of calls."""
    if settings.otlp_endpoint is None:
        return Traces()
    # The SDK takes longer to import than all that a server without a collector needs of this package.
    from service.observability.collector import collector  # noqa: PLC0415

    sending = collector(metrics, settings.otlp_endpoint, settings.otlp_seconds, settings.trace_ratio)
    return (await stop.enter_async_context(sending)).traces
