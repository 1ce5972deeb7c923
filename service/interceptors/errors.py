"""Every error leaves as a status of the one table; what nobody foresaw, as INTERNAL with the request id."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc import aio
from grpc_status import rpc_status

from service.domain.errors import BlotterError
from service.interceptors.around import Around, Context, unless_hung_up
from service.interceptors.telemetry import REQUEST_ID, note
from service.status import status_of

STATUS_SECONDS = 2.0

log = logging.getLogger("blotter.errors")


class Errors(Around):
    """Aborts the call with the status of the error that was raised."""

    @asynccontextmanager
    async def around(self, method: str, request: Any, context: Context) -> AsyncIterator[None]:
        """Turn an exception into a status. Cancellation passes: it is not an error."""
        try:
            with unless_hung_up():
                yield
        except aio.AbortError:
            raise
        except Exception as error:
            if not isinstance(error, BlotterError):
                log.exception("%s failed", method, extra={"method": method, "request_id": REQUEST_ID.get()})
            note(reason=error.reason if isinstance(error, BlotterError) else "INTERNAL")
            status = rpc_status.to_status(status_of(error, REQUEST_ID.get()))
            trailing = (("x-request-id", REQUEST_ID.get()), *status.trailing_metadata)
            await _abort(context, status, trailing)


async def _abort(context: Context, status: grpc.Status, trailing: tuple[tuple[str, str | bytes], ...]) -> None:
    """Send the status. Raises AbortError, or CancelledError when the client does not read what precedes the status.

    In the second case gRPC holds the status back and delivers it when the client reads on; the call itself is over.
    """
    try:
        async with asyncio.timeout(STATUS_SECONDS):
            with unless_hung_up():
                await context.abort(grpc.StatusCode(status.code), status.details, trailing)
    except TimeoutError as error:
        raise asyncio.CancelledError from error
