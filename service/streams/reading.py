"""Reads of a stream: each attempt has a deadline, and a failed one is repeated for a while."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from service.domain.errors import DatabaseBusy, DatabaseUnavailable, DeadlineExceeded
from service.domain.identity import Caller

T = TypeVar("T")

READ_SECONDS = 5.0
STALE_SECONDS = 20.0
RETRY_SECONDS = 0.2


async def patiently(
    caller: Callable[[], Caller], read: Callable[[Caller], Awaitable[T]], stale_seconds: float | None = None
) -> T:
    """Return what `read` returns for the caller. Each attempt has a deadline of READ_SECONDS.

    A failed read is retried on another connection. Raises DatabaseUnavailable or DatabaseBusy when reads have failed
    for `stale_seconds` (None: STALE_SECONDS): another server may be able to read, and the client must not mistake a
    stale view for one without news.
    """
    clock = time.monotonic
    stale = clock() + (STALE_SECONDS if stale_seconds is None else stale_seconds)
    while True:
        under = caller()
        deadline = min(clock() + READ_SECONDS, under.deadline or math.inf)
        try:
            return await read(replace(under, deadline=deadline))
        except (DatabaseUnavailable, DatabaseBusy, DeadlineExceeded) as error:
            if clock() >= stale:
                raise (DatabaseBusy if isinstance(error, DatabaseBusy) else DatabaseUnavailable) from error
        await asyncio.sleep(RETRY_SECONDS)
