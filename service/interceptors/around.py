"""The base of the interceptors, which wrap the calls of all services, health and reflection included."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeAlias

import grpc
from grpc import aio

OUR_SERVICES = "/blotter."

Context = aio.ServicerContext[Any, Any]
Behaviour = Callable[[Any, Context], Awaitable[Any]]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_MAKE = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def rebuilt(handler: Handler, behaviour: Behaviour) -> Handler:
    """Return the handler with another behaviour.

    A behaviour that streams writes its messages itself and returns nothing.
    """
    make: Any = _MAKE[handler.request_streaming, handler.response_streaming]
    rebuilt_handler: Handler = make(behaviour, handler.request_deserializer, handler.response_serializer)
    return rebuilt_handler


def streaming_request(handler: Handler, behaviour: Behaviour, deserializer: Callable[[bytes], Any]) -> Handler:
    """Return the handler with a behaviour that reads the request messages itself."""
    make: Any = _MAKE[True, handler.response_streaming]
    made: Handler = make(behaviour, deserializer, handler.response_serializer)
    return made


def behaviour_of(handler: Handler) -> Any:
    """Return the function that the handler calls."""
    if handler.request_streaming:
        return handler.stream_stream if handler.response_streaming else handler.stream_unary
    return handler.unary_stream if handler.response_streaming else handler.unary_unary


@contextmanager
def cancelled_if_disconnected() -> Iterator[None]:
    """Raise CancelledError when a send fails, which means that the client has disconnected."""
    try:
        yield
    except aio.InternalError as error:
        raise asyncio.CancelledError from error


class Around(aio.ServerInterceptor):
    """Wraps each call, unary or streaming, in an asynchronous context manager."""

    def around(self, method: str, request: Any, context: Context) -> AbstractAsyncContextManager[None]:
        """Return the context manager to enter before the call and to exit after it."""
        raise NotImplementedError

    def applies(self, method: str, handler: Handler) -> bool:
        """Return whether to wrap the calls of a method; by default True."""
        return True

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not self.applies(method, handler):
            return handler
        inner = behaviour_of(handler)

        async def behaviour(request: Any, context: Context) -> Any:
            async with self.around(method, request, context):
                return await inner(request, context)

        return rebuilt(handler, behaviour)
