"""The base of the interceptors, which wrap the calls of all services, health and reflection included."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
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


class Wrapper:
    """Wraps the handlers of methods."""

    def applies(self, method: str, handler: Handler) -> bool:
        """Return whether to wrap the handler of a method; by default True."""
        return True

    def wrapped(self, method: str, handler: Handler) -> Handler:
        """Return a handler that calls the given one."""
        raise NotImplementedError


class Check:
    """Lets a call pass or refuses it, before its servicer is called."""

    def applies(self, method: str, handler: Handler) -> bool:
        """Return whether to check the calls of a method; by default True."""
        return True

    async def check(self, method: str, request: Any, context: Context) -> None:
        """Return, or raise a BlotterError. What it sets in context variables lasts for the call."""
        raise NotImplementedError


class Checks(Wrapper):
    """Makes several checks, one after another."""

    def __init__(self, *checks: Check) -> None:
        self._checks = checks

    def wrapped(self, method: str, handler: Handler) -> Handler:
        """Return a handler that calls the given one when each check has passed."""
        checks = [check.check for check in self._checks if check.applies(method, handler)]
        if not checks:
            return handler
        inner = behaviour_of(handler)

        async def behaviour(request: Any, context: Context) -> Any:
            for check in checks:
                await check(method, request, context)
            return await inner(request, context)

        return rebuilt(handler, behaviour)


class Interceptor(aio.ServerInterceptor):
    """The one interceptor of the server. Wraps the handler of each method once, at its first call."""

    def __init__(self, *wrappers: Wrapper) -> None:
        """The first wrapper is the outermost."""
        self._wrappers = wrappers
        self._handlers: dict[str, Handler] = {}

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of a call; None for an unknown method."""
        method = handler_call_details.method
        handler = self._handlers.get(method)
        if handler is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            for wrapper in reversed(self._wrappers):
                if wrapper.applies(method, handler):
                    handler = wrapper.wrapped(method, handler)
            self._handlers[method] = handler
        return handler
