"""Starts the server again when it ends while the service needs it."""

import asyncio
import logging
import time
from typing import NoReturn

from service.embedded.cluster import Cluster
from service.embedded.errors import EmbeddedError

_LOOK_SECONDS = 0.25
_PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0)  # before each try
_HEALTHY_SECONDS = 60  # a server that ran so long may have all tries again

log = logging.getLogger("blotter.embedded")


async def keep_running(cluster: Cluster) -> NoReturn:
    """Watches a started server, starts it again when it ends, and bounds its log. Ends only by an error.

    The socket keeps its path, so connections can be made anew with the same connection string.

    Raises:
        EmbeddedError: the server could not be started again, or ended again and again.
    """
    failures, started = 0, time.monotonic()
    trouble: str | None = None
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        trouble = await _rotate_log(cluster, trouble)
        if not await asyncio.to_thread(lambda: cluster.ended):
            continue
        if time.monotonic() - started > _HEALTHY_SECONDS:
            failures = 0
        reason = "it ended again and again"
        while True:
            if failures == len(_PAUSES):
                raise EmbeddedError(f"PostgreSQL has ended and cannot be started again: {reason}")
            log.error("PostgreSQL has ended, it is started again (try %d of %d)", failures + 1, len(_PAUSES))
            await asyncio.sleep(_PAUSES[failures])
            failures += 1
            try:
                await asyncio.to_thread(cluster.start)
            except EmbeddedError as error:
                reason = str(error)
            else:
                break
        started = time.monotonic()
        log.warning("PostgreSQL runs again")


async def _rotate_log(cluster: Cluster, trouble: str | None) -> str | None:
    """Bound the log; return what hinders that, such as a full disk, and warn of it once: the server may go on."""
    try:
        await asyncio.to_thread(cluster.rotate_log)
    except OSError as error:
        if str(error) != trouble:
            log.warning("The log of PostgreSQL is not bounded: %s", error)
        return str(error)
    return None
