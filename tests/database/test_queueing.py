"""The queue in front of a pool: order, shares and bounds."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import DatabaseBusy
from service.repositories.queueing import FairQueue, Limits

ARRIVALS = st.lists(st.sampled_from("ABCD"), min_size=1, max_size=40)


async def served(queue: FairQueue, arrivals: list[str]) -> list[str]:
    """Let the calls arrive at once; each works for three turns of the event loop. Returns the order of service."""
    order: list[str] = []

    async def call(key: str) -> None:
        async with queue.turn(key):
            order.append(key)
            for _ in range(3):
                await asyncio.sleep(0)

    await asyncio.gather(*map(call, arrivals))
    return order


@given(ARRIVALS)
def test_one_connection_is_lent_round_robin(arrivals: list[str]) -> None:
    order = asyncio.run(served(FairQueue(1, Limits()), arrivals))
    first, *rest = arrivals  # the first call finds the connection free
    left, expected = Counter(rest), [first]
    turn = list(dict.fromkeys(rest))
    while turn:
        expected += turn
        left.subtract(turn)
        turn = [key for key in turn if left[key]]
    assert order == expected


@given(ARRIVALS, st.integers(1, 8))
def test_each_call_is_served_and_no_caller_exceeds_its_share(arrivals: list[str], size: int) -> None:
    async def run() -> None:
        queue, used, most = FairQueue(size, Limits()), Counter[str](), Counter[str]()

        async def call(key: str) -> None:
            async with queue.turn(key):
                used[key] += 1
                most[key] = max(most[key], used[key])
                assert used.total() <= size
                await asyncio.sleep(0)
                used[key] -= 1

        await asyncio.gather(*map(call, arrivals))
        assert max(most.values()) <= (size + 1) // 2
        assert set(most) == set(arrivals)

    asyncio.run(run())


@given(ARRIVALS, st.data())
def test_calls_that_are_cancelled_at_any_moment_lose_no_connection(arrivals: list[str], data: st.DataObject) -> None:
    async def run() -> None:
        queue = FairQueue(2, Limits())

        async def call(key: str) -> None:
            async with queue.turn(key):
                await asyncio.sleep(0)

        calls = [asyncio.create_task(call(key)) for key in arrivals]
        for _ in range(data.draw(st.integers(0, 10))):
            await asyncio.sleep(0)
            data.draw(st.sampled_from(calls)).cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        async with asyncio.timeout(5), queue.turn("one"), queue.turn("other"):
            pass

    asyncio.run(run())


@pytest.mark.parametrize(("limits", "keys"), [(Limits(calls=3), "abc"), (Limits(calls_per_caller=3), "aaa")])
def test_calls_up_to_the_bound_are_admitted_and_the_next_is_refused(limits: Limits, keys: str) -> None:
    queue = FairQueue(1, limits)
    with queue.admitted(keys[0]), queue.admitted(keys[1]):
        with queue.admitted(keys[2]), pytest.raises(DatabaseBusy), queue.admitted(keys[2]):
            pass
        with queue.admitted(keys[2]):
            pass


async def test_calls_that_were_cancelled_take_no_turns_from_the_others() -> None:
    queue, order = FairQueue(1, Limits()), list[str]()

    async def call(key: str) -> None:
        async with queue.turn(key):
            order.append(key)

    async with queue.turn("holder"):
        cancelled = [asyncio.create_task(call("A")) for _ in range(10)]
        rest = [asyncio.create_task(call(key)) for key in "A" + 10 * "B"]
        await asyncio.sleep(0)
        for task in cancelled:
            task.cancel()
    await asyncio.gather(*rest)
    assert order == ["A", *10 * "B"]


async def test_calls_that_were_cancelled_leave_the_queue() -> None:
    queue = FairQueue(1, Limits(calls_per_caller=5))

    async def call() -> None:
        with queue.admitted("A"):
            async with queue.turn("A"):
                pass

    async with queue.turn("holder"):
        for _ in range(100):
            calls = [asyncio.create_task(call()) for _ in range(5)]
            await asyncio.sleep(0)
            assert queue.waiting == 5
            for task in calls:
                task.cancel()
            await asyncio.wait(calls)
            assert queue.waiting == 0
