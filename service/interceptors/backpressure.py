"""Flow control of response streams. The innermost interceptor: to the outer ones a stream is a plain coroutine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

from service.authentication.verified import expiry_of
from service.domain.errors import BlotterError, Draining, SlowConsumer
from service.domain.identity import CALLER, Caller
from service.interceptors.around import Context, Handler, Wrapper, behaviour_of, cancelled_if_disconnected, rebuilt
from service.interceptors.limits import EXPORTS
from service.observability.metrics import Metrics
from service.streams.messages import Encoded


class _Stream:
    """An open stream, and what ends it."""

    def __init__(self, caller: Caller | None) -> None:
        """`caller` is None where the method needs no identity."""
        self.caller = caller
        self.error: BlotterError | None = None
        self._timeout = asyncio.timeout(None)

    def end(self, error: BlotterError) -> None:
        """End the stream at once, unless it ends already."""
        # A timeout that has expired cannot be rescheduled.
        if self.error is None and not self._timeout.expired():
            self.error = error
            self._timeout.reschedule(0)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Raise in the stream the error of `end`, or that of its caller's identity when it expires."""
        loop, caller, expiry = asyncio.get_running_loop(), self.caller, None
        if caller and caller.expires_at is not None:
            expiry = loop.call_later(caller.expires_at - time.time(), self.end, expiry_of(caller))
        try:
            async with self._timeout:
                yield
        except TimeoutError as error:
            if self.error is None or not self._timeout.expired():
                raise
            raise self.error from error
        finally:
            if expiry:
                expiry.cancel()


class Backpressure(Wrapper):
    """Sends the messages that a servicer yields. Ends the stream when the client reads none for `patience` seconds.

    An error that ends the stream carries the `resume_token` of the last message that was sent, for a client that lost
    the message.
    """

    def __init__(self, metrics: Metrics, patience: float) -> None:
        self._metrics = metrics
        self._patience = patience
        self._draining = False
        self._streams: set[_Stream] = set()

    def drain(self) -> None:
        """End all open streams at once, and streams that are opened later."""
        self._draining = True
        for stream in self._streams:
            stream.end(Draining())

    def end_refused(self, refusal: Callable[[Caller], BlotterError | None]) -> None:
        """End each open stream whose caller is refused by now."""
        for stream in self._streams:
            if stream.caller and (error := refusal(stream.caller)):
                stream.end(error)

    def subjects(self) -> set[str]:
        """Return the verified subjects of the callers of open streams."""
        return {stream.caller.subject for stream in self._streams if stream.caller and stream.caller.subject}

    def applies(self, method: str, handler: Handler) -> bool:
        """Return whether the method streams."""
        return handler.response_streaming

    def wrapped(self, method: str, handler: Handler) -> Handler:
        """Return a handler that sends the messages of one stream."""
        servicer = behaviour_of(handler)
        lasting = method in EXPORTS
        streams_open = self._metrics.streams_open.labels(method.removeprefix("/"))

        async def behaviour(request: Any, context: Context) -> None:
            streams_open.inc()
            token = ""  # not the request's token, which may be the one that is refused
            started = False
            try:
                async with self._until_ended(lasting), aclosing(servicer(request, context)) as messages:
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

        return rebuilt(_taking_encoded(handler), behaviour)

    @asynccontextmanager
    async def _until_ended(self, lasting: bool) -> AsyncIterator[None]:
        """Raise an error in the stream as soon as the server drains or its caller is refused.

        A `lasting` stream, one that cannot be resumed, does not end when its caller's identity expires.
        """
        if self._draining:
            raise Draining
        caller = CALLER.get(None)
        stream = _Stream(replace(caller, expires_at=None) if caller and lasting else caller)
        async with stream.open():
            self._streams.add(stream)
            try:
                yield
            finally:
                self._streams.discard(stream)

    async def _send(self, sent: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._patience):
                with cancelled_if_disconnected():
                    await sent
        except TimeoutError as error:
            self._metrics.slow_consumers.inc()
            raise SlowConsumer from error


def _taking_encoded(handler: Any) -> Handler:
    """Return the handler, a named tuple, which then also sends messages that are serialized already."""
    serialize = handler.response_serializer

    def data(message: Any) -> Any:
        return message.data if type(message) is Encoded else serialize(message)

    taking: Handler = handler._replace(response_serializer=data)
    return taking
