"""Limits of each caller: calls a second, and streams at one time.

Calls that need no identity are not counted, but their streams are, for all callers together.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, OrderedDict
from datetime import timedelta
from typing import Any

from service.domain.errors import BlotterError, RateLimited, TooManyStreams
from service.domain.identity import CALLER, CallerKey
from service.domain.permissions import needs_identity
from service.interceptors.around import Check, Context, Handler, Wrapper, behaviour_of, rebuilt
from service.observability.metrics import Metrics

MOST_BUCKETS = 10_000
"""The number of callers that are remembered. Beyond it the one that has not called for longest is forgotten."""

DELAY_SECONDS = 0.5
"""How long a refusal waits at most: a caller that calls again at once would otherwise take the time of the others."""

MOST_DELAYED = 10_000
"""The number of refusals that wait at one time. Further ones are sent at once."""

ITEMS = {
    "/blotter.orders.v1.OrderService/BatchSubmitOrders": "orders",
    "/blotter.orders.v1.OrderService/BatchCancelOrders": "requests",
    "/blotter.orders.v1.OrderService/BatchReplaceOrders": "requests",
    "/blotter.orders.v1.OrderService/BatchReportExecutions": "reports",
}
"""The field of the items of each batch."""

ROWS_A_CALL = 50
"""The number of rows of a page that weigh as much as a call."""

LONGEST_PAGE = 1000
"""The rows of a page that count at most: a larger `page_size` is refused, and must not cost as if it were read."""

WATCHES = {"/blotter.orders.v1.OrderService/WatchOrders", "/blotter.audit.v1.AuditService/StreamExecutionLogs"}
EXPORTS = {
    "/blotter.audit.v1.AuditService/ExportExecutionLogs",
    "/blotter.audit.v1.AuditService/ReconcileOrders",
}
"""The methods that read the whole record, page by page."""

MOST_OPEN_TO_ANYONE = 1_000
"""The number of streams without an identity: health watches and reflection. Each takes about 45 KB, and nobody can be
asked to close theirs."""


def weight_of(method: str, request: Any) -> int:
    """Return what a call weighs in its caller's limits: its items, or one for every 50 rows of the page, at least 1.

    `request` may be the error of a request that could not be read.
    """
    if isinstance(request, BlotterError):
        return 1
    if method in ITEMS:
        return max(1, len(getattr(request, ITEMS[method])))
    rows = min(getattr(request, "page_size", 0), LONGEST_PAGE)
    return max(1, math.ceil(rows / ROWS_A_CALL))


class Buckets:
    """A token bucket for each caller: it holds `burst` tokens at most, and gains `rate` a second.

    A call passes if the bucket holds a token. It takes as many as it weighs, if need be below zero: so a batch may be
    larger than the bucket, and the calls after it wait for what it took.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self.interval = 1 / rate
        """The seconds in which a bucket gains a token."""
        self._patience = (max(burst, 1) - 1) * self.interval
        # When each bucket is full again. A caller that is not in it has a full bucket.
        self._full_at: OrderedDict[CallerKey, float] = OrderedDict()

    def take(self, caller: CallerKey, tokens: int, now: float) -> float:
        """Take the tokens and return 0, or take none and return the seconds until the bucket holds a token."""
        full_at = max(self._full_at.get(caller, now), now)
        wait = full_at - self._patience - now
        if wait > 0:
            return wait
        self._full_at[caller] = full_at + tokens * self.interval
        self._full_at.move_to_end(caller)
        while len(self._full_at) > MOST_BUCKETS or next(iter(self._full_at.values())) <= now:
            self._full_at.popitem(last=False)
        return 0


class CallRate(Check):
    """Refuses the calls of a caller that exceeds its rate, with RateLimited.

    Directly inside the identity interceptor: calls that are refused for another reason count as well.
    """

    def __init__(self, buckets: Buckets, metrics: Metrics) -> None:
        self._buckets = buckets
        self._metrics = metrics
        self._delayed = 0
        self._delayed_of: Counter[CallerKey] = Counter()

    def applies(self, method: str, handler: Handler) -> bool:
        """Return whether a call of the method has a caller."""
        return needs_identity(method)

    async def check(self, method: str, request: Any, context: Context) -> None:
        """Let the call pass, or raise RateLimited."""
        caller = CALLER.get()
        wait = self._buckets.take(caller.key, weight_of(method, request), time.monotonic())
        if wait:
            self._metrics.rate_limited.labels(caller.kind).inc()
            delay = await self._delayed_by(caller.key, wait)
            raise RateLimited(timedelta(milliseconds=math.ceil(max(wait - delay, 0) * 1000)))

    async def _delayed_by(self, caller: CallerKey, wait: float) -> float:
        """Delay the refusal, and return for how many seconds.

        The refusals of a caller end one after another at its rate: many calls at one time that are repeated at once
        would otherwise be refused as often as the server can.
        """
        if self._delayed >= MOST_DELAYED:
            return 0
        seconds = min(wait + self._delayed_of[caller] * self._buckets.interval, DELAY_SECONDS)
        self._delayed += 1
        self._delayed_of[caller] += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._delayed -= 1
            self._delayed_of[caller] -= 1
            if not self._delayed_of[caller]:
                del self._delayed_of[caller]
        return seconds


class OpenStreams(Wrapper):
    """Refuses a stream of a caller that has too many open, with TooManyStreams. Inside the identity interceptor.

    Callers without an identity count as one.
    """

    def __init__(self, watches: int, exports: int) -> None:
        self._most = dict.fromkeys(WATCHES, watches) | dict.fromkeys(EXPORTS, exports)
        self._open: Counter[tuple[CallerKey | None, bool]] = Counter()

    def applies(self, method: str, handler: Handler) -> bool:
        """Return whether the method is a stream that is counted."""
        return method in self._most or (handler.response_streaming and not needs_identity(method))

    def wrapped(self, method: str, handler: Handler) -> Handler:
        """Return a handler that counts a stream while it is open, or raises TooManyStreams."""
        inner, anyone = behaviour_of(handler), not needs_identity(method)
        most = MOST_OPEN_TO_ANYONE if anyone else self._most[method]

        async def behaviour(request: Any, context: Context) -> Any:
            key = (None if anyone else CALLER.get().key, method in EXPORTS)
            if self._open[key] >= most:
                raise TooManyStreams(most, together=anyone)
            self._open[key] += 1
            try:
                return await inner(request, context)
            finally:
                self._open[key] -= 1
                if not self._open[key]:
                    del self._open[key]

        return rebuilt(handler, behaviour)
