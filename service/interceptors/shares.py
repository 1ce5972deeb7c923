"""Each caller's share of the calls in work, so that a caller with many calls open does not delay those of the others.

Without it the event loop works on all calls at one time, in the order of their arrival: a call of another caller takes
as long as all of them together.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from contextlib import suppress
from typing import Any

from service.domain.errors import DatabaseBusy
from service.domain.identity import CALLER, CallerKey, CallerKind
from service.domain.permissions import needs_identity
from service.interceptors.around import Context, Handler, Wrapper, behaviour_of, rebuilt
from service.interceptors.limits import weight_of
from service.observability.metrics import Metrics
from service.repositories.deadlines import Deadlines
from service.streams.heartbeats import EARLY_SECONDS

IN_WORK = 32
"""The weight of the calls in work of a caller that is the only one, and of a gateway, which reports for all traders.

Several callers have half of it together: more calls in work of one of them would keep all cores busy."""

LEAST_SHARE = 4
"""The weight of the calls in work of a caller among many."""

RECENT_SECONDS = 1.0
"""A caller is among those that share for this time after a call."""

WORK_SECONDS = 0.1
"""A call counts for this time at most. One that takes longer mostly waits, as for a lock, and its caller's other calls
must not wait for it. Where the event loop itself is slow, this makes the shares larger."""


class _Calls:
    """The calls of one caller: in work, each with the time of its begin and its weight, and waiting."""

    def __init__(self) -> None:
        self.in_work: dict[object, tuple[float, int]] = {}
        self.weight = 0
        self.waiting: deque[tuple[asyncio.Future[None], object, int]] = deque()
        self.timer: asyncio.TimerHandle | None = None

    def count(self, call: object, weight: int) -> None:
        """Count a call."""
        self.in_work[call] = time.monotonic(), weight
        self.weight += weight

    def uncount(self, call: object) -> None:
        """Count a call no more, if it is counted."""
        _, weight = self.in_work.pop(call, (0, 0))
        self.weight -= weight

    def fits(self, weight: int, share: int) -> bool:
        """Return whether a call fits in the share, or is the only one."""
        now = time.monotonic()
        while self.in_work and self.next_place_at() <= now:
            self.uncount(next(iter(self.in_work)))
        return not self.in_work or self.weight + weight <= share

    def next_place_at(self) -> float:
        """Return when the oldest call in work counts no more."""
        begun, _ = next(iter(self.in_work.values()))
        return begun + WORK_SECONDS


class Shares(Wrapper):
    """Makes calls wait while the others of their caller take its share. Inside the identity interceptor.

    The share of a caller depends on the number of recent callers. A call that is heavier than the share waits until no
    other of its caller is in work. Streams are not counted.
    """

    def __init__(self, metrics: Metrics, calls: int, calls_per_caller: int) -> None:
        """The greatest number of calls that wait, of all callers and of one; further ones get DatabaseBusy.

        A call waits no longer than one that waits for the database: 10 s, or until shortly before its deadline.
        """
        self._metrics = metrics
        self._most_waiting = calls
        self._most_waiting_of_one = calls_per_caller
        self._waiting = 0
        self._callers: dict[CallerKey, _Calls] = {}
        self._recent: OrderedDict[CallerKey, float] = OrderedDict()

    def applies(self, method: str, handler: Handler) -> bool:
        """Return whether the method has a caller, one request and one response."""
        return needs_identity(method) and not handler.request_streaming and not handler.response_streaming

    def wrapped(self, method: str, handler: Handler) -> Handler:
        """Return a handler whose calls wait for their caller's share."""
        inner = behaviour_of(handler)

        async def behaviour(request: Any, context: Context) -> Any:
            key, weight = CALLER.get().key, weight_of(method, request)
            self._add_recent(key)
            calls = self._callers.setdefault(key, _Calls())
            if calls.waiting or not calls.fits(weight, self._share(key)):
                await self._wait(key, calls, context, weight)
            else:
                calls.count(context, weight)
            try:
                return await inner(request, context)
            finally:
                calls.uncount(context)
                self._begin_waiting(key, calls)

        return rebuilt(handler, behaviour)

    async def _wait(self, key: CallerKey, calls: _Calls, call: object, weight: int) -> None:
        """Wait until the call is counted."""
        if self._waiting >= self._most_waiting or len(calls.waiting) >= self._most_waiting_of_one:
            raise self._busy(key)
        self._metrics.calls_waited.labels(key[0]).inc()
        granted = asyncio.get_running_loop().create_future()
        waits = granted, call, weight
        calls.waiting.append(waits)
        self._waiting += 1
        self._begin_waiting(key, calls)
        try:
            async with asyncio.timeout(Deadlines(CALLER.get().deadline).waits_until - time.monotonic()):
                await granted
        except BaseException as error:
            with suppress(ValueError):  # it was granted at that moment, or passed over
                calls.waiting.remove(waits)
            calls.uncount(call)
            self._begin_waiting(key, calls)
            if isinstance(error, TimeoutError):
                raise self._busy(key) from error
            raise
        finally:
            self._waiting -= 1

    def _begin_waiting(self, key: CallerKey, calls: _Calls) -> None:
        """Begin the waiting calls that fit in the share. Look again when the oldest call in work counts no more."""
        share = self._share(key)
        while calls.waiting:
            granted, call, weight = calls.waiting[0]
            if not granted.done():
                if not calls.fits(weight, share):
                    break
                calls.count(call, weight)
                granted.set_result(None)
            calls.waiting.popleft()
        if calls.waiting and calls.timer is None:
            seconds = calls.next_place_at() - time.monotonic() + EARLY_SECONDS
            calls.timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self._look_again, key, calls)
        elif not calls.waiting and not calls.in_work and self._callers.get(key) is calls:
            del self._callers[key]

    def _look_again(self, key: CallerKey, calls: _Calls) -> None:
        calls.timer = None
        self._begin_waiting(key, calls)

    def _busy(self, key: CallerKey) -> DatabaseBusy:
        self._metrics.busy.labels(f"blotter_{key[0]}").inc()
        return DatabaseBusy()

    def _add_recent(self, key: CallerKey) -> None:
        """Count the caller among those that share."""
        now = time.monotonic()
        self._recent[key] = now
        self._recent.move_to_end(key)
        while next(iter(self._recent.values())) < now - RECENT_SECONDS:
            self._recent.popitem(last=False)

    def _share(self, key: CallerKey) -> int:
        """Return the share of the caller."""
        callers = len(self._recent)
        if callers <= 1 or key[0] is CallerKind.EXECUTION:
            return IN_WORK
        return max(LEAST_SHARE, IN_WORK // 2 // callers)
