"""Features of the asyncio client alone: cancelled tasks, timeouts, concurrent calls."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from blotter.audit.v1 import inspection_pb2
from blotter.orders.v1 import order_pb2, order_service_pb2
from blotter_client import AsyncClient, AsyncTiming, BlotterError, open_async_channel
from blotter_client.aio.streams import wait_for_event
from tests.client.scripted import Script, answers, complete, events, logs, playing, refuses, retry_after, sends
from tests.conftest import ALICE

PATIENCE = 20
ORDER = order_service_pb2.GetOrderResponse(order=order_pb2.Order(quantity=7))


@pytest.fixture
def target(script: Script) -> Iterator[str]:
    with playing(script) as target:
        yield target


@pytest.fixture
async def client(target: str) -> AsyncIterator[AsyncClient]:
    """Alice's client, with the real clock."""
    async with AsyncClient(target, trader_id=ALICE) as client:
        yield client


async def until(event: threading.Event, *, is_set: bool = True) -> None:
    """Wait until the server has set or cleared an event."""
    async with asyncio.timeout(PATIENCE):
        while event.is_set() is not is_set:  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(0.01)


async def cancelled_once(reached: threading.Event, call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Cancel the task of a call when `reached` is set; return the ended task."""
    task = asyncio.create_task(call)
    await asyncio.sleep(0)  # start the task, even if `reached` is already set
    await until(reached)
    task.cancel()
    await asyncio.wait([task], timeout=PATIENCE)
    return task


def numbers(message: Any) -> list[int]:
    """The sequences of a message's events."""
    return [event.sequence for event in message.events.events]


async def test_a_cancelled_task_ends_its_call(client: AsyncClient, script: Script) -> None:
    script.plays = [script.hold] * 9
    task = await cancelled_once(script.mute, client.get_order(client_order_id="x"))
    assert task.cancelled()
    await until(script.mute, is_set=False)
    assert len(script.requests) == 1, "the call was not retried"


async def test_a_cancelled_task_ends_its_list(client: AsyncClient, script: Script) -> None:
    script.plays = [script.hold]

    async def read() -> None:
        async for _ in client.list_orders():
            pass

    task = await cancelled_once(script.mute, read())
    assert task.cancelled()
    await until(script.mute, is_set=False)


async def test_a_cancelled_task_ends_the_stream_that_it_waits_for(client: AsyncClient, script: Script) -> None:
    script.plays = [sends(complete(0), then=script.silence), sends(events(1), then=script.silence)]
    watch = client.watch_orders()
    await anext(watch)
    task = await cancelled_once(script.mute, watch.__anext__())
    assert task.cancelled()
    await until(script.mute, is_set=False)
    assert [message async for message in watch] == []
    async with client.watch_orders(resume_token=watch.resume_token) as again:
        assert numbers(await anext(again)) == [1]
    assert script.tokens == ["", "after-0"]


async def test_a_cancelled_task_ends_the_wait_for_another_connection(target: str, script: Script) -> None:
    script.plays = [refuses("DRAINING", grpc.StatusCode.UNAVAILABLE, details=(retry_after(60),))]
    pausing = threading.Event()

    async def pause(over: asyncio.Event, seconds: float) -> None:
        pausing.set()
        await wait_for_event(over, seconds)

    async with AsyncClient(target, trader_id=ALICE, timing=AsyncTiming(pause=pause)) as client:
        watch = client.watch_orders()
        task = await cancelled_once(pausing, watch.__anext__())
        assert task.cancelled()
        assert await anext(watch, "over") == "over"
    assert len(script.requests) == 1


async def test_a_timeout_around_a_call_ends_it(client: AsyncClient, script: Script) -> None:
    script.plays = [script.hold]

    async def call() -> None:
        async with asyncio.timeout(None) as limit:
            reached = asyncio.create_task(until(script.mute))
            reached.add_done_callback(lambda _: limit.reschedule(0))
            await client.get_order(client_order_id="x")

    with pytest.raises(TimeoutError):
        await call()
    await until(script.mute, is_set=False)


async def test_cancel_ends_the_wait_of_another_task(client: AsyncClient, script: Script) -> None:
    script.plays = [sends(complete(0), then=script.silence)]
    watch = client.watch_orders()
    await anext(watch)

    async def read() -> list[Any]:
        return [message async for message in watch]

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    watch.cancel()
    watch.cancel()
    assert await asyncio.wait_for(task, PATIENCE) == []


async def test_cancel_ends_the_wait_for_another_connection(target: str, script: Script) -> None:
    script.plays = [refuses("DRAINING", grpc.StatusCode.UNAVAILABLE, details=(retry_after(60),))]

    async def pause(over: asyncio.Event, seconds: float) -> None:
        watch.cancel()
        await asyncio.wait_for(over.wait(), PATIENCE)

    async with AsyncClient(target, trader_id=ALICE, timing=AsyncTiming(pause=pause)) as client:
        watch = client.watch_orders()
        assert [message async for message in watch] == []
    assert len(script.requests) == 1


async def test_logs_that_are_cancelled_while_a_task_waits_are_not_reported_as_incomplete(
    client: AsyncClient, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    script.plays = [sends(logs(1), then=script.silence)]
    stream = client.stream_execution_logs(follow=False)
    await anext(stream)
    task = asyncio.create_task(stream.__anext__())
    await asyncio.sleep(0)
    stream.cancel()
    await asyncio.wait([task], timeout=PATIENCE)
    assert isinstance(task.exception(), StopAsyncIteration)
    assert caplog.messages == []


async def test_closing_a_generator_ends_its_call(target: str, script: Script) -> None:
    script.plays = [sends(inspection_pb2.ReconcileOrdersResponse(), then=script.silence)]
    async with AsyncClient(target, role="compliance") as client:
        found: Any = client.reconcile_orders()
        await anext(found)
        await until(script.mute)
        await found.aclose()
        await until(script.mute, is_set=False)


async def test_leaving_its_block_ends_the_call_of_a_stream(client: AsyncClient, script: Script) -> None:
    script.plays = [sends(complete(0), then=script.silence)]
    async with client.watch_orders() as watch:
        await anext(watch)
        await until(script.mute)
    await until(script.mute, is_set=False)
    assert await anext(watch, "over") == "over"


async def test_a_stream_that_is_garbage_collected_ends_its_call(client: AsyncClient, script: Script) -> None:
    script.plays = [sends(complete(0), then=script.silence)]
    watch = client.watch_orders()
    await anext(watch)
    await until(script.mute)
    del watch
    gc.collect()
    await until(script.mute, is_set=False)


async def test_a_stream_is_read_by_one_task_at_a_time(client: AsyncClient, script: Script) -> None:
    script.plays = [sends(complete(0), then=script.silence)]
    watch = client.watch_orders()
    await anext(watch)
    first = asyncio.create_task(watch.__anext__())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="another task"):
        await anext(watch)
    assert not first.done(), "the first reader still waits"
    watch.cancel()
    await asyncio.wait([first], timeout=PATIENCE)
    assert isinstance(first.exception(), StopAsyncIteration)


async def test_a_dead_connection_is_detected_by_a_timeout(target: str, script: Script) -> None:
    script.plays = [sends(complete(0), then=script.silence), sends(events(1), then=script.silence)]
    limits: list[float] = []

    def timeout(seconds: float) -> asyncio.Timeout:
        limits.append(seconds)
        return asyncio.timeout(0.05 if script.mute.is_set() and len(script.requests) == 1 else None)

    client = AsyncClient(target, trader_id=ALICE, timing=AsyncTiming(timeout=timeout))
    async with client, client.watch_orders() as watch:
        assert numbers(await anext(watch)) == []
        await until(script.mute)
        assert numbers(await anext(watch)) == [1]
    assert script.tokens == ["", "after-0"]
    assert set(limits) == {45}
    assert AsyncTiming().timeout is asyncio.timeout


async def test_the_time_that_the_caller_spends_on_a_message_does_not_count(target: str, script: Script) -> None:
    script.plays = [sends(complete(0), events(1), then=script.silence)]
    begun, ended = [], []

    @asynccontextmanager
    async def timeout(seconds: float) -> AsyncIterator[None]:
        begun.append(seconds)
        yield
        ended.append(seconds)

    client = AsyncClient(target, trader_id=ALICE, timing=AsyncTiming(timeout=timeout))
    async with client, client.watch_orders(heartbeat_interval=2) as watch:
        for count in (1, 2):
            await anext(watch)
            assert begun == ended == [6] * count, "no timeout runs while the caller handles the message"


async def test_calls_of_one_client_run_at_the_same_time(client: AsyncClient, script: Script) -> None:
    together = threading.Barrier(4, timeout=PATIENCE)

    def meet(_request: Any, _context: grpc.ServicerContext) -> Any:
        together.wait()
        return ORDER

    script.plays = [meet] * 4
    orders = await asyncio.gather(*(client.get_order(client_order_id=str(number)) for number in range(4)))
    assert [order.quantity for order in orders] == [7] * 4


async def test_close_ends_calls_and_streams(client: AsyncClient, script: Script) -> None:
    script.plays = [sends(complete(0), then=script.silence)]
    watch = client.watch_orders()
    await anext(watch)
    waiting: list[asyncio.Task[Any]] = [asyncio.create_task(watch.__anext__())]
    await until(script.mute)
    script.plays = [script.hold] * 4
    waiting.append(asyncio.create_task(client.get_order(client_order_id="x")))
    async with asyncio.timeout(PATIENCE):
        while len(script.requests) < 2:  # noqa: ASYNC110 - the server's threads append to them
            await asyncio.sleep(0.01)
    await asyncio.wait_for(client.close(), PATIENCE)
    await asyncio.wait(waiting, timeout=PATIENCE)
    errors = [task.exception() for task in waiting]
    assert [error.code for error in errors if isinstance(error, BlotterError)] == [grpc.StatusCode.CANCELLED] * 2
    await client.close()


class NoOpInterceptor(grpc.aio.UnaryUnaryClientInterceptor, grpc.aio.UnaryStreamClientInterceptor):
    """An interceptor that changes nothing."""

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(client_call_details, request)

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(client_call_details, request)


async def test_a_channel_with_interceptors_behaves_the_same(target: str, script: Script) -> None:
    draining = refuses("DRAINING", grpc.StatusCode.UNAVAILABLE)
    script.plays = [sends(complete(0), then=draining), sends(events(1), then=script.silence)]
    async with grpc.aio.insecure_channel(target, interceptors=[NoOpInterceptor()]) as channel:
        client = AsyncClient(channel, trader_id=ALICE)
        watch = client.watch_orders()
        assert [numbers(await anext(watch)) for _ in range(2)] == [[], [1]]
        task = await cancelled_once(script.mute, watch.__anext__())
        assert task.cancelled()
        script.plays = [refuses("ORDER_NOT_FOUND", grpc.StatusCode.NOT_FOUND)]
        with pytest.raises(BlotterError, match="ORDER_NOT_FOUND"):
            await client.get_order(client_order_id="x")
    for call in (client.get_order(client_order_id="x"), anext(client.watch_orders()), anext(client.reconcile_orders())):
        with pytest.raises(BlotterError) as raised:
            await call
        assert raised.value.code is grpc.StatusCode.CANCELLED


def test_it_is_created_in_a_running_event_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        AsyncClient("127.0.0.1:1", trader_id=ALICE)


async def test_a_channel_that_was_given_stays_open(target: str, script: Script) -> None:
    script.plays = [answers(ORDER)] * 2
    async with open_async_channel(target) as channel:
        for _ in range(2):
            async with AsyncClient(channel, trader_id=ALICE) as client:
                assert (await client.get_order(client_order_id="x")).quantity == 7


async def test_the_pause_ends_with_its_event_or_its_timeout() -> None:
    event = asyncio.Event()
    await asyncio.wait_for(wait_for_event(event, 0.01), PATIENCE)
    event.set()
    await asyncio.wait_for(wait_for_event(event, 3600), PATIENCE)
