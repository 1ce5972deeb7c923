"""Health and metrics of the parent and its children as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from service.observability.parent_metrics import ParentMetrics
from service.servicers.health import LEDGER, LIVENESS, READINESS, STARTUP
from service.workers.families import families, joined
from service.workers.supervised import SupervisedProcess

READ_SECONDS = 2.0
"""How long a read of the metrics waits for the children. What a child does not answer by then is absent."""


class ProcessGroup:
    """The workers and the sequencer as one service."""

    def __init__(self) -> None:
        self.workers: Sequence[SupervisedProcess] = ()
        self.sequencer: SupervisedProcess | None = None
        """None where another service sequences."""
        self.has_started = False
        self.metrics = ParentMetrics()
        self._names = {READINESS}

    @property
    def children(self) -> list[SupervisedProcess]:
        """The workers and, if any, the sequencer."""
        return [*self.workers, *([self.sequencer] if self.sequencer else [])]

    def is_serving(self, name: str) -> bool | None:
        """Return the health of a name; None for one that is not known.

        STARTUP: all children have served once. LIVENESS: none is in a restart loop, says that it must be restarted,
        or has outlived the kill for its silence. A silent child alone is no reason: the parent kills it, and an
        orchestrator that acted first would end the others with it. The ledger: what the sequencer reports. All others,
        such as READINESS: at least one worker says so, and accepts calls.
        """
        if name == STARTUP:
            return self.has_started
        if name == LIVENESS:
            failed = (one.looping or one.unkillable or one.health.get(LIVENESS) is False for one in self.children)
            return not any(failed)
        if name == LEDGER:
            return None if self.sequencer is None else bool(self.sequencer.reported(LEDGER))
        serving = [one for one in self.workers if one.serves]
        self._names.update(*(one.health for one in serving))
        if name not in self._names:
            return None
        return any(one.reported(name) for one in serving)

    def pass_on(self, sender: SupervisedProcess, traders: list[str | None]) -> None:
        """Tell the other children that one has committed events of traders, or that the ledger has grown."""
        for one in self.children:
            if one is not sender:
                one.tell_committed(traders)

    def health_changed(self) -> None:
        """Tell the workers whether the ledger is healthy; their own health reports it."""
        for one in self.workers if self.sequencer else ():
            one.tell_ledger(bool(self.is_serving(LEDGER)))

    async def read(self) -> CollectorRegistry:
        """Return the metrics of the parent and of each child that answers."""
        children = self.children
        answers = await asyncio.gather(*(one.metrics(READ_SECONDS) for one in children))
        for one in children:
            self.metrics.worker_up.labels(one.name).set(one.serves and not one.silent)
        for name in (STARTUP, LIVENESS, READINESS, LEDGER):
            serving = self.is_serving(name)
            if serving is not None:
                self.metrics.health_serving.labels(name).set(serving)
        parts = {one.name: answer for one, answer in zip(children, answers, strict=True) if answer is not None}
        own = {"parent": families(self.metrics.process)}
        return await asyncio.to_thread(joined, self.metrics.registry, own | parts)
