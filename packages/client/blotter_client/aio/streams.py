"""The asyncio stream, which resumes after a lost connection, a lost message, a timeout or a drain."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import grpc
import grpc.aio

from blotter_client.errors import BlotterError, closed_channel_error, error_of_call, error_of_closed_channel
from blotter_client.resumption import MessageT, Reader, Resumption, silent_error
from blotter_client.sequences import MessageLost

AnyMessageT = TypeVar("AnyMessageT")


async def wait_for_event(event: asyncio.Event, seconds: float) -> None:
    """Wait until the event is set, but at most for the given seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


@dataclass(frozen=True, slots=True)
class AsyncTiming:
    """The waits and the random numbers of asyncio streams; tests replace them.

    `pause` waits before another connection, until the event is set or the seconds have passed. `timeout` limits the
    wait for a message. `random` returns 0 <= x < 1.
    """

    pause: Callable[[asyncio.Event, float], Coroutine[Any, Any, None]] = wait_for_event
    timeout: Callable[[float], AbstractAsyncContextManager[object]] = asyncio.timeout
    random: Callable[[], float] = random.random


def task_is_cancelled() -> bool:
    """Return whether the current task was cancelled.

    gRPC also raises CancelledError if only the call was cancelled, by `cancel()` of its stream or because its channel
    was closed. Outside of a task the function returns true, so that a cancellation is never suppressed.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


class AsyncConnection(Generic[AnyMessageT]):
    """One streaming call and its request id."""

    def __init__(self, call: grpc.aio.UnaryStreamCall[Any, AnyMessageT], request_id: str) -> None:
        self.request_id = request_id
        self.loop = asyncio.get_running_loop()
        self.cancelled = False
        self._call = call
        # After the status arrived, `call.read()` no longer returns messages that arrived before it.
        self._messages = aiter(call)

    def cancel(self) -> None:
        """End the call."""
        self.cancelled = True
        self._call.cancel()

    async def read(self) -> AnyMessageT | None:
        """Return the next message; None at the end, and after `cancel`. Raises BlotterError."""
        try:
            return await anext(self._messages)
        except StopAsyncIteration:
            return None
        except grpc.RpcError as error:
            if self.cancelled:
                return None
            raise error_of_call(error, self.request_id) from error
        except grpc.aio.UsageError as error:  # A channel with interceptors starts the call here.
            raise error_of_closed_channel(error, self.request_id) from error
        except asyncio.CancelledError as error:
            if task_is_cancelled():
                raise
            if self.cancelled:
                return None
            raise closed_channel_error(self.request_id) from error


class AsyncStream(AsyncIterator[MessageT]):
    """The messages of a stream, each delivered once, across reconnections. Raises BlotterError.

    The stream resumes by itself after UNAVAILABLE, SLOW_CONSUMER and any other error with a RetryInfo, after a gap
    in the sequences, after a heartbeat that reports events that were not received, and after three heartbeat intervals
    without a message; after TOKEN_EXPIRED with the token that is then provided. It raises other errors, TOKEN_EXPIRED
    after the fifth without a message between, and DATA_LOSS (reason SEQUENCE_GAP) if the same message is missing
    repeatedly. A snapshot is delivered once, when it is complete.

    End the stream with `cancel()`, from its event loop, or by leaving its `async with` block. Cancelling a task that
    waits for a message ends the stream, as does an `asyncio.timeout` around the wait. Another stream can resume from
    its `resume_token`.
    """

    def __init__(
        self,
        connect: Callable[[str], Awaitable[AsyncConnection[MessageT]]],
        reader: Reader[MessageT],
        *,
        resume_token: str = "",
        heartbeat: float | None = None,
        timing: AsyncTiming,
    ) -> None:
        self._connection: AsyncConnection[MessageT] | None = None
        self._resumption = Resumption(reader, resume_token=resume_token, heartbeat=heartbeat, random=timing.random)
        self._connect = connect
        self._timing = timing
        self._over = asyncio.Event()
        self._busy = False

    @property
    def resume_token(self) -> str:
        """The token of the last message that was delivered, to resume after it in another process."""
        return self._resumption.resume_token

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> MessageT:
        if self._busy:
            raise RuntimeError("another task is waiting for the next message of this stream")
        self._busy = True
        try:
            while not self._over.is_set():
                message = self._resumption.next_message()
                if message is not None:
                    return message
                await self._advance()
        except BaseException:
            self.cancel()
            raise
        finally:
            self._busy = False
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cancel()

    def cancel(self) -> None:
        """End the stream; a task that waits for its next message receives StopAsyncIteration. May be called twice."""
        self._over.set()
        self._disconnect()

    def __del__(self) -> None:
        # gRPC holds a reference to each call until it has ended. The garbage collector may run in another thread.
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(RuntimeError):
                connection.loop.call_soon_threadsafe(connection.cancel)

    async def _advance(self) -> None:
        """Receive the next message; if the connection has ended, wait before another one is opened."""
        failure: BlotterError | MessageLost | None = None
        try:
            message = await self._read()
            if message is not None:
                self._resumption.received(message)
                return
            if self._over.is_set():
                return
            if self._resumption.ended():
                self.cancel()
                return
        except (BlotterError, MessageLost) as error:
            failure = error
        self._disconnect()
        await self._timing.pause(self._over, self._resumption.failed(failure))

    async def _read(self) -> MessageT | None:
        connection = self._connection
        if connection is None:
            self._connection = connection = await self._connect(self.resume_token)
            if self._over.is_set():  # cancelled while the token was provided
                connection.cancel()
            self._resumption.connected()
        try:
            async with self._timing.timeout(self._resumption.silence):
                return await connection.read()
        except TimeoutError as error:
            raise silent_error(connection.request_id) from error

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.cancel()
            self._connection = None
