"""Heartbeats of many streams by one timer, in the event loop of the service."""

import asyncio

from service.streams.heartbeats import TICKS, Heartbeats, Woken


async def test_streams_can_wait_while_a_heartbeat_is_due_at_this_moment() -> None:
    """uvloop calls a timer of less than half a millisecond at once, by a handle that knows no time."""
    heartbeats, loop = Heartbeats(), asyncio.get_running_loop()
    waits: list[tuple[Woken, float]] = []
    for number in range(2000):
        woken = loop.create_future()
        moment = heartbeats.add(woken, loop.time() + number % 7 / 10_000, TICKS / 10_000)
        waits.append((woken, moment))
        if number % 50 == 0:
            await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await asyncio.gather(*(woken for woken, _ in waits))


async def test_a_heartbeat_does_not_wait_for_a_later_one_that_was_added_before() -> None:
    heartbeats, loop = Heartbeats(), asyncio.get_running_loop()
    later, sooner = loop.create_future(), loop.create_future()
    heartbeats.add(later, loop.time() + 3600, 60)
    heartbeats.add(sooner, loop.time() + 0.01, 0.01)
    async with asyncio.timeout(10):
        await sooner
    assert not later.done()


async def test_a_heartbeat_is_at_most_a_millisecond_early_and_does_not_come_when_discarded() -> None:
    heartbeats, loop = Heartbeats(), asyncio.get_running_loop()
    early: list[float] = []
    tasks = []
    for number in range(40):
        woken = loop.create_future()
        moment = heartbeats.add(woken, loop.time() + number / 700, 0.01)

        def note(_: Woken, moment: float = moment) -> None:
            early.append(moment - loop.time())

        woken.add_done_callback(note)
        if number % 4 == 0:
            heartbeats.discard(woken, moment)
        else:
            tasks.append(woken)
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks)
    assert len(early) == len(tasks) == 30
    assert max(early) <= 0.0015  # the clock of the loop is that of the beginning of its turn
    await asyncio.sleep(0.1)
    assert len(early) == 30
