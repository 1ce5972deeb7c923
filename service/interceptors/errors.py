"""Every error leaves as a status of the one table; what nobody foresaw, as INTERNAL with the request id."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from grpc import aio
from grpc_status import rpc_status

from service.domain.errors import BlotterError
from service.interceptors.around import Around, Context
from service.interceptors.telemetry import REQUEST_ID
from service.status import status_of

log = logging.getLogger("blotter.errors")


class Errors(Around):
    """Aborts the call with the status of the error that was raised."""

    @asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        """Turn an exception into a status. Cancellation passes: it is not an error."""
        try:
            yield
        except aio.AbortError:
            raise
        except Exception as error:
            if not isinstance(error, BlotterError):
                log.exception("%s failed", method, extra={"method": method, "request_id": REQUEST_ID.get()})
            status = rpc_status.to_status(status_of(error, REQUEST_ID.get()))
            trailing = (("x-request-id", REQUEST_ID.get()), *status.trailing_metadata)
            await context.abort(grpc.StatusCode(status.code), status.details, trailing)
