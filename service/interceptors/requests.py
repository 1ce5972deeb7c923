"""Reading the request inside the call, so that a request that cannot be read gets an answer like any other error.

gRPC itself answers bytes that are no message with UNKNOWN and the text of the exception, and never answers a call that
the client half-closes without a message. Outside this interceptor every method therefore takes a stream of requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from service.domain.errors import MalformedRequest
from service.interceptors.around import Context, behaviour_of, streaming_request
from service.interceptors.telemetry import note_message

HANG_UP_SECONDS = 0.05

REQUEST_SECONDS = 30.0
"""How long a call with one request may take to send it."""


class Requests(aio.ServerInterceptor):
    """Reads the request. Raises MalformedRequest in the call when none comes, or bytes that are no message."""

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        read, inner = handler.request_deserializer, behaviour_of(handler)

        def message_or_error(raw: bytes) -> Any:
            try:
                return read(raw)
            except DecodeError as error:
                return error

        async def one(_: Any, context: Context) -> Any:
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    request = await context.read()
            except TimeoutError as error:
                raise MalformedRequest(f"No request message came within {REQUEST_SECONDS:g} s; send one.") from error
            if request is aio.EOF:
                # gRPC reports a hang-up in the same way, and cancels the call a moment later.
                await asyncio.sleep(HANG_UP_SECONDS)
                raise MalformedRequest("The call ended without a request message; send exactly one.")
            note_message(_checked(request))
            return await inner(request, context)

        async def many(requests: AsyncIterator[Any], context: Context) -> Any:
            async with aclosing(_each(requests)) as checked:
                return await inner(checked, context)

        return streaming_request(handler, many if handler.request_streaming else one, message_or_error)


async def _each(requests: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    async for request in requests:
        yield _checked(request)


def _checked(request: Any) -> Any:
    if isinstance(request, DecodeError):
        raise MalformedRequest from request
    return request
