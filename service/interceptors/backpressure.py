"""Flow control of response streams. The innermost interceptor: to the outer ones a stream is a plain coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
from grpc import aio

from service.domain.errors import BlotterError, Draining, SlowConsumer
from service.interceptors.around import Context, behaviour_of, cancelled_if_disconnected, rebuilt
from service.observability.metrics import Metrics


class Backpressure(aio.ServerInterceptor):
    """Sends the messages that a servicer yields. Ends the stream when the client reads none for `patience` seconds.

    An error that ends the stream carries the `resume_token` of the last message that was sent, for a client that lost
    the message.
    """

    def __init__(self, metrics: Metrics, patience: float) -> None:
        self._metrics = metrics
        self._patience = patience
        self._draining = False
        self._streams: set[asyncio.Timeout] = set()

    def drain(self) -> None:
        """End all open streams at once, and streams that are opened later."""
        self._draining = True
        for stream in self._streams:
            # A timeout that has expired cannot be rescheduled, and its stream ends already.
            if not stream.expired():
                stream.reschedule(0)

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Wrap the handler of one streaming call."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler.response_streaming:
            return handler
        servicer = behaviour_of(handler)
        streams_open = self._metrics.streams_open.labels(handler_call_details.method.removeprefix("/"))

        async def behaviour(request: Any, context: Context) -> None:
            streams_open.inc()
            token = ""  # not the request's token, which may be the one that is refused
            started = False
            try:
                async with self._until_drained(), aclosing(servicer(request, context)) as messages:
                    async for message in messages:
                        if not started:
                            # Sent together with a message that the client does not read, the metadata would stay
                            # pending with that message, and gRPC would refuse to send the status.
                            await self._send(context.send_initial_metadata(()))
                            started = True
                        # gRPC delivers a message whose write has begun before it delivers the error.
                        token = getattr(message, "resume_token", "") or token
                        await self._send(context.write(message))
            except BlotterError as error:
                if token:
                    error.metadata.setdefault("resume_token", token)
                raise
            finally:
                streams_open.dec()

        return rebuilt(handler, behaviour)

    @asynccontextmanager
    async def _until_drained(self) -> AsyncIterator[None]:
        """Raise Draining in the stream as soon as the server drains."""
        if self._draining:
            raise Draining
        stream = asyncio.timeout(None)
        try:
            async with stream:
                self._streams.add(stream)
                try:
                    yield
                finally:
                    self._streams.discard(stream)
        except TimeoutError as error:
            if not stream.expired():
                raise
            raise Draining from error

    async def _send(self, sent: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._patience):
                with cancelled_if_disconnected():
                    await sent
        except TimeoutError as error:
            self._metrics.slow_consumers.inc()
            raise SlowConsumer from error
