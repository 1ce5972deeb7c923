"""Converts exceptions to statuses by the table in `service.status`; an unexpected exception becomes INTERNAL."""

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
from service.interceptors.around import Around, Context, cancelled_if_disconnected
from service.interceptors.telemetry import REQUEST_ID, note
from service.status import status_of

STATUS_SECONDS = 2.0

log = logging.getLogger("blotter.errors")


class Errors(Around):
    """Aborts a call that raised an error with the status of that error."""

    @asynccontextmanager
    async def around(self, method: str, request: Any, context: Context) -> AsyncIterator[None]:
        """Convert an exception to a status. CancelledError is not an error and passes unchanged."""
        try:
            with cancelled_if_disconnected():
                yield
        except aio.AbortError:
            raise
        except Exception as error:
            if not isinstance(error, BlotterError):
                log.exception("%s failed", method, extra={"method": method, "request_id": REQUEST_ID.get()})
            if isinstance(error, BlotterError):
                note(reason=error.reason, **error.logged)
            else:
                note(reason="INTERNAL")
            status = rpc_status.to_status(status_of(error, REQUEST_ID.get()))
            trailing = (("x-request-id", REQUEST_ID.get()), *status.trailing_metadata)
            await _abort(context, status, trailing)


async def _abort(context: Context, status: grpc.Status, trailing: tuple[tuple[str, str | bytes], ...]) -> None:
    """Send the status. Raises AbortError, or CancelledError when the client does not read what precedes the status.

    In the second case gRPC delivers the status when the client reads on; the call itself has ended.
    """
    try:
        async with asyncio.timeout(STATUS_SECONDS):
            with cancelled_if_disconnected():
                await context.abort(grpc.StatusCode(status.code), status.details, trailing)
    except TimeoutError as error:
        raise asyncio.CancelledError from error
