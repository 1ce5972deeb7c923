"""What the interceptors share: doing something around every call of the blotter's own services."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import grpc
from grpc import aio

OUR_SERVICES = "/blotter."

Context = aio.ServicerContext[Any, Any]
Behaviour = Callable[[Any, Context], Awaitable[Any]]


def rebuilt(
    handler: grpc.RpcMethodHandler[Any, Any],
    behaviour: Behaviour,
    deserializer: Callable[[bytes], Any] | None = None,
) -> grpc.RpcMethodHandler[Any, Any]:
    """Return the handler with another behaviour, and with another deserializer where one is given.

    A streaming behaviour writes its messages itself and returns nothing.
    """
    make = grpc.unary_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
    read = deserializer or handler.request_deserializer
    return make(behaviour, read, handler.response_serializer)


def behaviour_of(handler: grpc.RpcMethodHandler[Any, Any]) -> Any:
    """Return what the handler runs."""
    return handler.unary_stream if handler.response_streaming else handler.unary_unary


@contextmanager
def unless_hung_up() -> Iterator[None]:
    """Take a failure to send for what it is: the client has hung up, which ends the call as a cancellation does."""
    try:
        yield
    except aio.InternalError as error:
        raise asyncio.CancelledError from error


class Around(aio.ServerInterceptor):
    """Wraps each call, unary or streaming, in an asynchronous context manager."""

    def around(self, method: str, request: Any, context: Context) -> AbstractAsyncContextManager[None]:
        """Return what to enter before the call and leave after it."""
        raise NotImplementedError

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(OUR_SERVICES):
            return handler
        inner = behaviour_of(handler)

        async def behaviour(request: Any, context: Context) -> Any:
            async with self.around(method, request, context):
                return await inner(request, context)

        return rebuilt(handler, behaviour)
