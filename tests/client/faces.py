"""The two variants of the client behind one interface; the asyncio one runs in an event loop in another thread."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Protocol, Self, cast

import grpc

from blotter_client import AsyncClient, AsyncStream, Client, open_async_channel, open_channel

PATIENCE = 30
END = object()


class Face(Protocol):
    """Creates channels and clients of one variant, which are typed as the synchronous ones."""

    name: str

    def channel(self, target: str, options: Any = None) -> grpc.Channel:
        """Return a channel; the default options are those of `open_channel`."""

    def client(self, channel: grpc.Channel | str, **arguments: Any) -> Client:
        """Return a client."""


class Synchronous:
    """The synchronous client."""

    name = "synchronous"

    def channel(self, target: str, options: Any = None) -> grpc.Channel:
        return open_channel(target) if options is None else grpc.insecure_channel(target, options=options)

    def client(self, channel: grpc.Channel | str, **arguments: Any) -> Client:
        return Client(channel, **arguments)


class Asyncio:
    """The asyncio client. Each call is a task in another thread's event loop; the caller waits for its result."""

    name = "asyncio"

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def channel(self, target: str, options: Any = None) -> grpc.Channel:
        async def make() -> BlockingChannel:
            own = open_async_channel(target) if options is None else grpc.aio.insecure_channel(target, options=options)
            return BlockingChannel(self, own)

        return cast("grpc.Channel", self.run(make()))

    def client(self, channel: grpc.Channel | str, **arguments: Any) -> Client:
        async def make() -> BlockingClient:
            own = channel.own if isinstance(channel, BlockingChannel) else channel
            return BlockingClient(self, AsyncClient(own, **arguments))  # type: ignore[arg-type]  # an asyncio channel

        return cast("Client", self.run(make()))

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Return the result. An exception in this thread, such as Ctrl-C, cancels the task and waits for its end."""
        ended = threading.Event()

        async def task() -> Any:
            try:
                return await awaitable
            finally:
                ended.set()

        future: Future[Any] = asyncio.run_coroutine_threadsafe(task(), self._loop)
        try:
            return future.result(PATIENCE)
        except BaseException:
            future.cancel()
            ended.wait(PATIENCE)
            raise

    def later(self, callback: Any) -> None:
        """Schedule the callback in the event loop."""
        self._loop.call_soon_threadsafe(callback)


class BlockingChannel:
    """An asyncio channel that another thread can close."""

    def __init__(self, face: Asyncio, own: grpc.aio.Channel) -> None:
        self._face = face
        self.own = own

    def close(self) -> None:
        self._face.run(self.own.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class BlockingStream:
    """An AsyncStream or an asynchronous generator as an iterator."""

    def __init__(self, face: Asyncio, own: Any) -> None:
        self._face = face
        self._own = own

    @property
    def resume_token(self) -> str:
        token: str = self._own.resume_token
        return token

    def cancel(self) -> None:
        self._face.later(self._own.cancel)

    def __iter__(self) -> BlockingStream:
        return self

    def __next__(self) -> Any:
        async def step() -> Any:
            return await anext(self._own, END)

        if (message := self._face.run(step())) is END:
            raise StopIteration
        return message

    def __enter__(self) -> Self:
        self._face.run(self._own.__aenter__())
        return self

    def __exit__(self, *_error: object) -> None:
        self._face.run(self._own.__aexit__(None, None, None))


class BlockingClient:
    """An AsyncClient with the methods of Client."""

    def __init__(self, face: Asyncio, own: AsyncClient) -> None:
        self._face = face
        self._own = own

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._own, name)

        def call(*positional: Any, **named: Any) -> Any:
            async def start() -> Any:
                started = method(*positional, **named)
                return await started if inspect.isawaitable(started) else started

            result = self._face.run(start())
            streams = isinstance(result, AsyncStream) or inspect.isasyncgen(result)
            return BlockingStream(self._face, result) if streams else result

        return call

    def __enter__(self) -> Self:
        self._face.run(self._own.__aenter__())
        return self

    def __exit__(self, *_error: object) -> None:
        self._face.run(self._own.__aexit__(None, None, None))


@contextmanager
def asyncio_face() -> Iterator[Asyncio]:
    """Run an event loop in a thread for the asyncio client. Tasks that remain at the end are cancelled."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def wait_for_stop() -> None:
        await stop.wait()

    def serve() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(wait_for_stop())

    thread = threading.Thread(target=serve, name="asyncio face")
    thread.start()
    try:
        yield Asyncio(loop)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the event loop of the asyncio client does not end"
