"""Refuses new calls while the server drains; gRPC itself would end them with CANCELLED and no details."""

from __future__ import annotations

import asyncio
from typing import Any

from service.domain.errors import Draining
from service.interceptors.around import OUR_SERVICES, Check, Context, Handler

QUIET_SECONDS = 0.05


class Admission(Check):
    """Refuses each new call of Blotter's own services with Draining once the server drains.

    The refusals are delayed until `release`: a client that is refused before its connection is closed to new calls
    would retry on the same connection.
    """

    def __init__(self) -> None:
        self._draining = False
        self._last_call = 0.0
        self._released = asyncio.Event()

    def applies(self, method: str, handler: Handler) -> bool:
        """Return whether the method is Blotter's own."""
        return method.startswith(OUR_SERVICES)

    def drain(self) -> None:
        """Refuse calls from now on."""
        self._draining = True
        self._last_call = asyncio.get_running_loop().time()

    async def quiet(self, seconds: float) -> None:
        """Wait until no call has arrived for QUIET_SECONDS, at most for `seconds`."""
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        while True:
            remaining = min(end, self._last_call + QUIET_SECONDS) - clock()
            if remaining <= 0:
                return
            await asyncio.sleep(remaining)

    def release(self) -> None:
        """Send the delayed refusals; refuse later calls at once."""
        self._released.set()

    async def check(self, method: str, request: Any, context: Context) -> None:
        """Let the call pass, or raise Draining."""
        if self._draining:
            self._last_call = asyncio.get_running_loop().time()
            await self._released.wait()
            raise Draining("The server is stopping and did not execute the call; retry it on a new connection.")
