"""The common part of all synchronous calls: identity, token, request id, deadline, errors, pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar, cast

import grpc

from blotter_client.deadlines import DEFAULT_TIMEOUT, deadline
from blotter_client.errors import error_of_call, error_of_closed_channel, repeated_page_error
from blotter_client.metadata import Identity, Metadata, new_request_id
from blotter_client.pages import PageType
from blotter_client.streams import Call, Connection, Timing

Token = str | Callable[[], str]
"""A bearer token, or a function that returns one for each call."""

Request = TypeVar("Request")
Response = TypeVar("Response")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Calls:
    """The caller's identity, token and channel. `timeout`, in seconds, replaces both default deadlines."""

    channel: grpc.Channel
    identity: Identity
    token: Token | None = field(default=None, repr=False)
    timeout: float | None = None
    timing: Timing = field(default_factory=Timing)

    def unary(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
        default: float = DEFAULT_TIMEOUT,
    ) -> Response:
        """Call the method and return the response. Raises BlotterError."""
        request_id = new_request_id()
        metadata = self._metadata(request_id)
        try:
            return method(request, timeout=deadline(timeout, self.timeout, default), metadata=metadata)
        except grpc.RpcError as error:
            raise error_of_call(error, request_id) from error
        except ValueError as error:
            raise error_of_closed_channel(error, request_id) from error

    def stream(self, method: grpc.UnaryStreamMultiCallable[Request, Response], request: Request) -> Iterator[Response]:
        """Yield the messages of a stream that ends and is not resumed. Raises BlotterError."""
        connection = self.open_stream(method, request)
        try:
            yield from connection.call
        except grpc.RpcError as error:
            raise error_of_call(error, connection.request_id) from error
        finally:
            connection.call.cancel()

    def open_stream(
        self, method: grpc.UnaryStreamMultiCallable[Request, Response], request: Request
    ) -> Connection[Response]:
        """Start a stream. Reading it raises its errors; BlotterError is raised here if the channel is closed."""
        request_id = new_request_id()
        metadata = self._metadata(request_id)
        try:
            call = method(request, metadata=metadata)
        except ValueError as error:
            raise error_of_closed_channel(error, request_id) from error
        return Connection(cast("Call[Response]", call), request_id)

    def _metadata(self, request_id: str) -> Metadata:
        return self.identity.metadata(request_id, self.token() if callable(self.token) else self.token)


def pages(fetch: Callable[[str], PageType], items: Callable[[PageType], Iterable[Item]]) -> Iterator[Item]:
    """Yield the items of all pages. A page is fetched after the last item of the previous one.

    Raises BlotterError (code DATA_LOSS) if the server returns the token of a page again, which would never end.
    """
    token = ""
    while True:
        page = fetch(token)
        yield from items(page)
        previous, token = token, page.next_page_token
        if not token:
            return
        if token == previous:
            raise repeated_page_error()
