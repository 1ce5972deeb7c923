"""Restarts the server when it ends while the service runs."""

import asyncio
import logging
import time
from typing import NoReturn

from service.embedded.cluster import Cluster
from service.embedded.errors import EmbeddedError

_LOOK_SECONDS = 0.25
_PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0)  # before each attempt
_HEALTHY_SECONDS = 60  # a server that ran this long gets all attempts again

log = logging.getLogger("blotter.embedded")


async def keep_running(cluster: Cluster) -> NoReturn:
    """Monitors a started server, restarts it when it ends, and rotates its log. Ends only with an error.

    The socket keeps its path, so that clients reconnect with the same connection string.

    Raises:
        EmbeddedError: the server could not be restarted, or ended repeatedly.
    """
    failures, started = 0, time.monotonic()
    failure: str | None = None
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        failure = await _rotate_log(cluster, failure)
        if not await asyncio.to_thread(lambda: cluster.ended):
            continue
        if time.monotonic() - started > _HEALTHY_SECONDS:
            failures = 0
        reason = "it ended repeatedly"
        while True:
            if failures == len(_PAUSES):
                raise EmbeddedError(f"PostgreSQL has ended and cannot be restarted: {reason}")
            log.error("PostgreSQL has ended and is restarted (attempt %d of %d)", failures + 1, len(_PAUSES))
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


async def _rotate_log(cluster: Cluster, previous: str | None) -> str | None:
    """Rotates the log. Returns the failure, such as a full disk, after logging it unless it is the previous one."""
    try:
        await asyncio.to_thread(cluster.rotate_log)
    except OSError as error:
        if str(error) != previous:
            log.warning("The log of PostgreSQL cannot be rotated: %s", error)
        return str(error)
    return None
