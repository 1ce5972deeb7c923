"""Reads the request inside the call, so that the errors of reading become statuses of Blotter's.

gRPC itself ends a call whose request cannot be parsed with UNKNOWN and the text of the exception, and never ends a call
that the client half-closes without a message. To the outer interceptors every method therefore takes a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from google.protobuf.message import DecodeError
from grpc import aio

from service.domain.errors import BlotterError, FieldViolation, InvalidRequest, MalformedRequest
from service.interceptors.around import Check, Context, Handler, Wrapper, behaviour_of, streaming_request
from service.interceptors.limits import ITEMS
from service.interceptors.telemetry import note_message
from service.interceptors.wire import has_more_fields

DISCONNECT_SECONDS = 0.05

REQUEST_SECONDS = 30.0
"""The time within which the request of a call with one request must arrive."""

BATCH_FIELDS = 1_100
"""More than the 1,000 items of a batch, and fewer than take much memory: 4 MiB hold 2,000,000 empty ones."""

MOST_FIELDS = 20_000
"""The same for other requests; a filter may have several lists of 1,000 values."""


class Requests(Wrapper):
    """Reads the request. Raises MalformedRequest in the call when none arrives.

    A request that cannot be parsed becomes a MalformedRequest, which `Parsed` raises; so does one with too many fields,
    which is not parsed. For a batch it is an InvalidRequest.
    """

    def wrapped(self, method: str, handler: Handler) -> Handler:
        """Return a handler that reads the request itself."""
        read: Any = handler.request_deserializer
        inner = behaviour_of(handler)
        items = ITEMS.get(method)

        def message_or_error(raw: bytes) -> Any:
            if has_more_fields(raw, BATCH_FIELDS if items else MOST_FIELDS):
                return _too_many(items)
            try:
                return read(raw)
            except DecodeError as error:
                malformed = MalformedRequest()
                malformed.__cause__ = error
                return malformed

        async def one(_: Any, context: Context) -> Any:
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    request = await context.read()
            except TimeoutError as error:
                raise MalformedRequest(f"No request message arrived within {REQUEST_SECONDS:g} s; send one.") from error
            if request is aio.EOF:
                # gRPC reports a disconnect in the same way, and cancels the call shortly after.
                await asyncio.sleep(DISCONNECT_SECONDS)
                raise MalformedRequest("The call ended without a request message; send exactly one.")
            if not isinstance(request, BlotterError):
                note_message(request)
            return await inner(request, context)

        async def many(requests: AsyncIterator[Any], context: Context) -> Any:
            async with aclosing(_each(requests)) as checked:
                return await inner(checked, context)

        return streaming_request(handler, many if handler.request_streaming else one, message_or_error)


class Parsed(Check):
    """Raises the error of a request that `Requests` could not parse. Inside the rate, so that such calls count."""

    def applies(self, method: str, handler: Handler) -> bool:
        """Return whether the method takes one request; `Requests` checks each request of a stream itself."""
        return not handler.request_streaming

    async def check(self, method: str, request: Any, context: Context) -> None:
        """Let a message pass, or raise its error."""
        _checked(request)


async def _each(requests: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    async for request in requests:
        yield _checked(request)


def _checked(request: Any) -> Any:
    if isinstance(request, BlotterError):
        raise request
    return request


def _too_many(items: str | None) -> BlotterError:
    if items:
        return InvalidRequest(FieldViolation(items, "must have 1 to 1000 entries"))
    return MalformedRequest(f"The request has more than {MOST_FIELDS} fields; send fewer.")
