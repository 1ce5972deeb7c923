"""Long lists are processed in portions, one of them all in each turn of the event loop."""

import asyncio
import time

import pytest

from service.domain import portions
from service.domain.portions import give_way, in_portions


async def turns_of(work: "asyncio.Future[object]") -> int:
    """How many turns the event loop makes until the work is done."""
    turns = 0
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
    return turns


async def test_items_are_converted_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "PORTION_SECONDS", 0)
    assert await in_portions(str, range(100)) == [str(number) for number in range(100)]


async def test_quick_work_gives_no_way() -> None:
    assert await turns_of(asyncio.ensure_future(in_portions(str, range(3)))) <= 2


async def test_of_several_lists_one_portion_is_processed_in_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "PORTION_SECONDS", 0)
    converted: list[int] = []
    lists = asyncio.gather(*(in_portions(converted.append, [number] * 50) for number in range(4)))
    in_turns: list[int] = []
    while not lists.done():
        before = len(converted)
        await asyncio.sleep(0)
        in_turns.append(len(converted) - before)
    assert max(in_turns) <= 1
    assert converted[:8] in ([0, 1, 2, 3] * 2, [0, 0, 1, 2, 3, 1, 2, 3]), "in turns"


async def test_a_portion_ends_when_it_has_taken_its_time() -> None:
    turns = await turns_of(asyncio.ensure_future(in_portions(lambda _: time.sleep(0.001), range(20))))
    assert turns >= 20


async def test_quick_items_after_a_slow_one_give_no_way_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "PORTION_SECONDS", 1)
    slow_then_quick = [1.01, *[0.0] * 200]
    assert await turns_of(asyncio.ensure_future(in_portions(time.sleep, slow_then_quick))) < 20


async def test_a_task_that_is_cancelled_while_it_gives_way_delays_no_other() -> None:
    first, second, third = (asyncio.create_task(give_way()) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    async with asyncio.timeout(10):
        await asyncio.gather(first, third)
    assert second.cancelled()
