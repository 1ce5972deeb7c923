"""The interceptor of streams and what ends a stream, without server and database."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from service.domain.errors import Draining, InvalidResumeToken, SlowConsumer
from service.interceptors.around import Interceptor
from service.interceptors.backpressure import Backpressure
from service.observability.metrics import Metrics

STREAM = "/blotter.orders.v1.OrderService/WatchOrders"


class Client:
    """The client of a stream, which reads `reads` messages and then no more."""

    def __init__(self, reads: int = 100) -> None:
        self.reads = reads
        self.taken: list[Any] = []

    async def send_initial_metadata(self, metadata: Any) -> None:
        self.taken.append("metadata")

    async def write(self, message: Any) -> None:
        if self.reads == 0:
            await asyncio.Event().wait()
        self.reads -= 1
        self.taken.append(message)


def message(token: str) -> Any:
    """A message of a stream."""
    return SimpleNamespace(resume_token=token)


async def run(
    interceptor: Backpressure, servicer: Callable[[Any, Any], AsyncIterator[Any]], client: Client, token: str = ""
) -> None:
    """Run one stream."""
    handler = await intercepted(interceptor, grpc.unary_stream_rpc_method_handler(servicer), STREAM)
    await handler.unary_stream(SimpleNamespace(resume_token=token), client)


async def intercepted(interceptor: Backpressure, handler: Any, method: str) -> Any:
    """The handler that the interceptor makes of another."""

    async def continuation(details: Any) -> Any:
        return handler

    return await Interceptor(interceptor).intercept_service(continuation, SimpleNamespace(method=method))


async def endless(request: Any, context: Any) -> AsyncIterator[Any]:
    for number in range(1000):
        yield message(f"token {number}")
    await asyncio.Event().wait()


async def silent(request: Any, context: Any) -> AsyncIterator[Any]:
    await asyncio.Event().wait()
    yield message("")


def refusing(error: Exception, *messages: Any) -> Callable[[Any, Any], AsyncIterator[Any]]:
    """A servicer that yields the messages and raises the error."""

    async def servicer(request: Any, context: Any) -> AsyncIterator[Any]:
        for each in messages:
            yield each
        raise error

    return servicer


async def test_a_stream_that_waits_ends_at_once_when_the_server_drains() -> None:
    interceptor = Backpressure(Metrics(), patience=60)
    streams = [asyncio.create_task(run(interceptor, servicer, Client(), "old")) for servicer in (silent, silent)]
    await asyncio.sleep(0)
    interceptor.drain()
    async with asyncio.timeout(10):
        for stream in streams:
            with pytest.raises(Draining) as caught:
                await stream
            assert caught.value.metadata == {}
    assert not interceptor._streams


async def test_a_stream_that_is_opened_while_the_server_drains_does_nothing() -> None:
    interceptor, client, ran = Backpressure(Metrics(), patience=60), Client(), False

    async def servicer(request: Any, context: Any) -> AsyncIterator[Any]:
        nonlocal ran
        ran = True
        yield message("new")

    interceptor.drain()
    with pytest.raises(Draining) as caught:
        await run(interceptor, servicer, client, "old")
    assert (client.taken, ran, caught.value.metadata) == ([], False, {})


async def test_draining_again_while_a_stream_ends_is_harmless() -> None:
    interceptor, closing, close = Backpressure(Metrics(), patience=60), asyncio.Event(), asyncio.Event()

    async def servicer(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            await asyncio.Event().wait()
        finally:
            closing.set()
            await close.wait()
        yield message("")

    stream = asyncio.create_task(run(interceptor, servicer, Client()))
    await asyncio.sleep(0)
    interceptor.drain()
    async with asyncio.timeout(10):
        await closing.wait()
        interceptor.drain()
        close.set()
        with pytest.raises(Draining):
            await stream


async def test_the_stream_of_a_client_that_reads_nothing_ends_with_the_token_of_the_last_write() -> None:
    client, metrics = Client(reads=2), Metrics()
    with pytest.raises(SlowConsumer) as caught:
        async with asyncio.timeout(20):
            await run(Backpressure(metrics, patience=0.05), endless, client)
    assert metrics.registry.get_sample_value("blotter_stream_slow_consumers_total") == 1
    assert client.taken == ["metadata", message("token 0"), message("token 1")]
    assert caught.value.metadata == {"resume_token": "token 2"}


async def test_a_message_without_a_token_keeps_the_previous_token() -> None:
    servicer = refusing(Draining(), message("one"), message(""))
    with pytest.raises(Draining) as caught:
        await run(Backpressure(Metrics(), patience=60), servicer, Client(), "zero")
    assert caught.value.metadata == {"resume_token": "one"}


async def test_the_token_of_the_request_is_not_sent_back() -> None:
    """It may be the one that is refused, or so long that the client would not accept the error."""
    with pytest.raises(InvalidResumeToken) as caught:
        await run(Backpressure(Metrics(), patience=60), refusing(InvalidResumeToken()), Client(), "x" * 20_000)
    assert caught.value.metadata == {}


async def test_a_stream_without_tokens_ends_without_one() -> None:
    with pytest.raises(Draining) as caught:
        await run(Backpressure(Metrics(), patience=60), refusing(Draining()), Client())
    assert caught.value.metadata == {}


async def test_the_metadata_waits_for_the_first_message() -> None:
    """A refused stream sends only a status, so that gRPC itself may retry the call."""
    client = Client()
    with pytest.raises(InvalidResumeToken):
        await run(Backpressure(Metrics(), patience=60), refusing(InvalidResumeToken()), client)
    assert client.taken == []


async def test_a_timeout_of_the_servicers_own_is_no_drain() -> None:
    with pytest.raises(TimeoutError):
        await run(Backpressure(Metrics(), patience=60), refusing(TimeoutError()), Client())


async def test_unary_calls_are_not_wrapped() -> None:
    interceptor = Backpressure(Metrics(), patience=60)
    stream: Any = grpc.unary_stream_rpc_method_handler(silent)
    unary: Any = grpc.unary_unary_rpc_method_handler(silent)
    assert await intercepted(interceptor, unary, "/blotter.orders.v1.OrderService/GetOrder") is unary
    assert await intercepted(interceptor, None, STREAM) is None
    assert await intercepted(interceptor, stream, STREAM) is not stream
