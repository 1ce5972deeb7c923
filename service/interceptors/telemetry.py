"""The request id and the log line of each call. Outermost, so that it sees every outcome."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

from service.domain.identity import CALLER
from service.domain.text import KEY
from service.interceptors.around import Around, Context

REQUEST_ID: ContextVar[str] = ContextVar("request_id")
"""The id of the request under way: the client's `x-request-id`, or one made here."""

log = logging.getLogger("blotter.rpc")


class Telemetry(Around):
    """Names each request, returns the name in the trailing metadata, and logs one line when it ends."""

    @asynccontextmanager
    async def around(self, method: str, request: Any, context: Context) -> AsyncIterator[None]:
        """Name the request, then time it."""
        given = [value for key, value in context.invocation_metadata() or () if key == "x-request-id"]
        # An invalid one is refused by the identity interceptor; the answer and the log then carry one made here.
        valid = len(given) == 1 and isinstance(given[0], str) and KEY.fullmatch(given[0])
        request_id = str(given[0]) if valid else str(uuid4())
        REQUEST_ID.set(request_id)
        context.set_trailing_metadata((("x-request-id", request_id),))
        started = time.perf_counter()
        outcome = "OK"
        try:
            yield
        except asyncio.CancelledError:
            # A status may have been given that the client has not read.
            outcome = getattr(context.code(), "name", "CANCELLED")
            raise
        except BaseException:
            outcome = getattr(context.code(), "name", "UNKNOWN")
            raise
        finally:
            caller = CALLER.get(None)
            log.info(
                "%s %s",
                method,
                outcome,
                extra={
                    "method": method,
                    "code": outcome,
                    "milliseconds": round((time.perf_counter() - started) * 1000, 2),
                    "request_id": request_id,
                    "caller": caller.kind if caller else None,
                    "actor": caller.actor if caller else None,
                    "trader_id": str(caller.trader_id) if caller and caller.trader_id else None,
                },
            )
