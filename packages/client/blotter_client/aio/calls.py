"""The common part of all asyncio calls: identity, request id, deadline, errors, pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import grpc
import grpc.aio

from blotter_client.aio.streams import AsyncConnection, AsyncTiming, task_is_cancelled
from blotter_client.deadlines import DEFAULT_TIMEOUT, deadline
from blotter_client.errors import (
    closed_channel_error,
    error_of_call,
    error_of_closed_channel,
    repeated_page_error,
)
from blotter_client.metadata import Identity, new_request_id
from blotter_client.pages import PageType

Request = TypeVar("Request")
Response = TypeVar("Response")
Item = TypeVar("Item")


@dataclass(frozen=True)
class AsyncCalls:
    """The caller's identity and channel. `timeout`, in seconds, replaces both default deadlines."""

    channel: grpc.aio.Channel
    identity: Identity
    timeout: float | None = None
    timing: AsyncTiming = field(default_factory=AsyncTiming)

    async def unary(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
        default: float = DEFAULT_TIMEOUT,
    ) -> Response:
        """Call the method and return the response. Raises BlotterError."""
        request_id = new_request_id()
        try:
            return await method(
                request,
                timeout=deadline(timeout, self.timeout, default),
                metadata=self.identity.metadata(request_id),
            )
        except grpc.RpcError as error:
            raise error_of_call(error, request_id) from error
        except grpc.aio.UsageError as error:
            raise error_of_closed_channel(error, request_id) from error
        except asyncio.CancelledError as error:
            if task_is_cancelled():
                raise
            raise closed_channel_error(request_id) from error

    async def stream(
        self, method: grpc.aio.UnaryStreamMultiCallable[Request, Response], request: Request
    ) -> AsyncIterator[Response]:
        """Yield the messages of a stream that ends and is not resumed. Raises BlotterError."""
        connection = self.open_stream(method, request)
        try:
            while (message := await connection.read()) is not None:
                yield message
        finally:
            connection.cancel()

    def open_stream(
        self, method: grpc.aio.UnaryStreamMultiCallable[Request, Response], request: Request
    ) -> AsyncConnection[Response]:
        """Start a stream. Reading it raises its errors; BlotterError is raised here if the channel is closed."""
        request_id = new_request_id()
        try:
            call = method(request, metadata=self.identity.metadata(request_id))
        except grpc.aio.UsageError as error:
            raise error_of_closed_channel(error, request_id) from error
        return AsyncConnection(call, request_id)


async def pages(
    fetch: Callable[[str], Awaitable[PageType]], items: Callable[[PageType], Iterable[Item]]
) -> AsyncIterator[Item]:
    """Yield the items of all pages. A page is fetched after the last item of the previous one.

    Raises BlotterError (code DATA_LOSS) if the server returns the token of a page again, which would never end.
    """
    token = ""
    while True:
        page = await fetch(token)
        for item in items(page):
            yield item
        previous, token = token, page.next_page_token
        if not token:
            return
        if token == previous:
            raise repeated_page_error()
