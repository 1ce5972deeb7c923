"""Converts exceptions to statuses by the table in `service.status`; an unexpected exception becomes INTERNAL."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc
from grpc import aio
from grpc_status import rpc_status

from service.domain.errors import BlotterError
from service.interceptors.around import Context, Handler, Wrapper, behaviour_of, cancelled_if_disconnected, rebuilt
from service.interceptors.telemetry import REQUEST_ID, note
from service.status import status_of

STATUS_SECONDS = 2.0

log = logging.getLogger("blotter.errors")


class Errors(Wrapper):
    """Aborts a call that raised an error with the status of that error."""

    def wrapped(self, method: str, handler: Handler) -> Handler:
        """Return a handler that converts an exception to a status. CancelledError is not an error."""
        inner = behaviour_of(handler)

        async def behaviour(request: Any, context: Context) -> Any:
            try:
                return await inner(request, context)
            except aio.AbortError:
                raise
            except aio.InternalError as error:  # a send has failed: the client has disconnected
                raise asyncio.CancelledError from error
            except Exception as error:
                if not isinstance(error, BlotterError):
                    log.exception("%s failed", method, extra={"method": method, "request_id": REQUEST_ID.get()})
                await _refuse(context, error)

        return rebuilt(handler, behaviour)


async def _refuse(context: Context, error: Exception) -> None:
    """Abort the call with the status of the error."""
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
