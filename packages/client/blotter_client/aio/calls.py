"""The common part of all asyncio calls: identity, token, request id, deadline, errors, pages."""

from __future__ import annotations

import asyncio
import inspect
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
    no_token_error,
    repeated_page_error,
)
from blotter_client.metadata import Identity, Metadata, new_request_id
from blotter_client.pages import PageType

AsyncToken = str | Callable[[], str | Awaitable[str]]
"""A bearer token, or a function, asynchronous or not, that returns one for each call."""

Request = TypeVar("Request")
Response = TypeVar("Response")
Item = TypeVar("Item")


@dataclass(frozen=True)
class AsyncCalls:
    """The caller's identity, token and channel. `timeout`, in seconds, replaces both default deadlines."""

    channel: grpc.aio.Channel
    identity: Identity
    token: AsyncToken | None = field(default=None, repr=False)
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
        limit = deadline(timeout, self.timeout, default)
        metadata = await self._metadata(request_id, limit)
        try:
            return await method(request, timeout=limit, metadata=metadata)
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
        connection = await self.open_stream(method, request)
        try:
            while (message := await connection.read()) is not None:
                yield message
        finally:
            connection.cancel()

    async def open_stream(
        self, method: grpc.aio.UnaryStreamMultiCallable[Request, Response], request: Request
    ) -> AsyncConnection[Response]:
        """Start a stream. Reading it raises its errors; BlotterError is raised here if the channel is closed."""
        request_id = new_request_id()
        metadata = await self._metadata(request_id, deadline(None, self.timeout, DEFAULT_TIMEOUT))
        try:
            call = method(request, metadata=metadata)
        except grpc.aio.UsageError as error:
            raise error_of_closed_channel(error, request_id) from error
        return AsyncConnection(call, request_id)

    async def _metadata(self, request_id: str, limit: float) -> Metadata:
        """Return the metadata of one call. Raises BlotterError if the token's provider takes longer than the limit."""
        token = self.token() if callable(self.token) else self.token
        if inspect.isawaitable(token):
            try:
                async with asyncio.timeout(limit):
                    token = await token
            except TimeoutError as error:
                raise no_token_error(request_id, limit) from error
        return self.identity.metadata(request_id, token)


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
