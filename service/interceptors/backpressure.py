"""Streams go out at the client's pace, up to a bound. Innermost: from here on a stream is a plain coroutine."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import grpc
from grpc import aio

from service.domain.errors import BlotterError, Draining, SlowConsumer
from service.interceptors.around import OUR_SERVICES, Context, behaviour_of, rebuilt, unless_hung_up


class Backpressure(aio.ServerInterceptor):
    """Writes what a streaming servicer yields; cuts off a client that takes nothing for `patience` seconds.

    An error that ends the stream carries the last `resume_token` in its metadata, so that a client that lost
    the message knows it all the same.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._draining = False
        self._writes: set[asyncio.Timeout] = set()

    def drain(self) -> None:
        """End all streams at their next write, and at once those that are being written to."""
        self._draining = True
        for write in self._writes:
            write.reschedule(0)

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Wrap the handler of one streaming call."""
        handler = await continuation(handler_call_details)
        if (
            handler is None
            or not handler.response_streaming
            or not handler_call_details.method.startswith(OUR_SERVICES)
        ):
            return handler
        servicer = behaviour_of(handler)

        async def behaviour(request: Any, context: Context) -> None:
            token: str = getattr(request, "resume_token", "")
            try:
                async with aclosing(servicer(request, context)) as messages:
                    async for message in messages:
                        if self._draining:
                            raise Draining
                        # gRPC delivers a message that was begun before it delivers the error.
                        token = getattr(message, "resume_token", "") or token
                        await self._write(context, message)
            except BlotterError as error:
                if token:
                    error.metadata.setdefault("resume_token", token)
                raise

        return rebuilt(handler, behaviour)

    async def _write(self, context: Context, message: Any) -> None:
        try:
            async with asyncio.timeout(self._patience) as write:
                self._writes.add(write)
                try:
                    with unless_hung_up():
                        await context.write(message)
                finally:
                    self._writes.discard(write)
        except TimeoutError as error:
            raise (Draining if self._draining else SlowConsumer) from error
