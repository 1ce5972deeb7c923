"""The sequencer as a process of its own: it listens on no port but that of the metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from service.observability.metrics import Metrics
from service.process import Grace, end_tasks, send_telemetry, serve_metrics
from service.sequencing.building import sequencer as built_sequencer
from service.servicers.health import LEDGER, LIVENESS, STARTUP, HealthServicer
from service.settings import Settings

log = logging.getLogger("blotter.sequencer")


@dataclass(frozen=True, slots=True)
class RunningSequencer:
    """A running sequencer."""

    health: HealthServicer
    metrics: Metrics
    metrics_port: int | None
    hint: Callable[[], None]
    """Records that another process has committed events."""
    tasks: list[asyncio.Task[None]]
    """The sequencer; it does not end by itself."""


@asynccontextmanager
async def running_sequencer(
    settings: Settings, conninfo: str, *, appended: Callable[[], None] = lambda: None
) -> AsyncIterator[RunningSequencer]:
    """Sequence until the context ends. `appended` is called after each append.

    Raises AddressInUse, and DatabaseUnavailable when the sequencer cannot log in at the start.
    """
    metrics = Metrics(of_calls=False)
    health = HealthServicer(metrics)
    grace = Grace(settings.grace_seconds)
    async with AsyncExitStack() as stop:
        health.set(STARTUP, serving=False)
        health.set(LIVENESS, serving=True)
        health.set(LEDGER, serving=False)
        metrics_port = await serve_metrics(stop, settings, metrics, health.is_serving)
        await send_telemetry(stop, settings, metrics)
        sequencer = built_sequencer(settings, conninfo, appended, lambda healthy: health.set(LEDGER, healthy), metrics)
        await sequencer.check()
        task = asyncio.create_task(sequencer.run(), name="sequencer")
        task.add_done_callback(lambda _: health.set(LIVENESS, serving=False))
        stop.push_async_callback(end_tasks, [task], sequencer.shut, grace)
        stop.callback(health.drain)
        health.set(STARTUP, serving=True)
        yield RunningSequencer(health, metrics, metrics_port, sequencer.hint, [task])
