"""What streams share: each gets exactly its events, once and in order, under its own identity."""

import asyncio
import random
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from blotter.audit.v1 import audit_service_pb2 as audit_pb
from blotter.orders.v1 import order_service_pb2, watch_pb2
from service.repositories.events import Events
from service.streams import tail
from service.streams.messages import StreamMethod
from tests.conftest import ALICE, BOB, Database
from tests.isolation.desk import EQUITIES, RATES, assign
from tests.rpc.errors import reason_of, refused
from tests.serving import COMPLIANCE, EXECUTION, Blotter, as_desk, as_trader, order_request, serving
from tests.streams.watching import PATIENCE, Watch, until, watching

SYMBOLS = ("AAPL", "MSFT", "IBM")
SEQUENCED = {"sequencer": True, "sequencer_poll_ms": 2}


def counted(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[tuple[Any, ...]]:
    """The arguments of each call of a method from now on."""
    calls: list[tuple[Any, ...]] = []
    original = getattr(owner, name)

    def call(self: Any, *arguments: Any) -> Any:
        calls.append(arguments)
        return original(self, *arguments)

    monkeypatch.setattr(owner, name, call)
    return calls


async def opened(blotter: Blotter, count: int, metadata: Any, **request: Any) -> list[Watch]:
    """Watches that have got their snapshots and wait."""
    watches = []
    for _ in range(count):
        call = blotter.orders.WatchOrders(watch_pb2.WatchOrdersRequest(**request), metadata=metadata)
        watches.append(Watch(call))
        await watches[-1].until_snapshot()
    await until(lambda: all_wait(blotter))
    return watches


async def until_events(watch: Watch, count: int) -> None:
    """Read until so many events have come."""
    async with asyncio.timeout(PATIENCE):
        while len(watch.events) < count:
            await watch.next()


async def logs_of(call: Any) -> Any:
    """The next logs of a trail."""
    async with asyncio.timeout(PATIENCE):
        while not (message := await call.read()).logs.execution_logs:
            pass
    return message.logs.execution_logs


def all_wait(blotter: Blotter) -> bool:
    """Whether every stream has caught up."""
    tails = [each for tails in blotter.feed._tails.values() for each in tails.values()]
    return all(len(each.waiting) == len(each.members) for each in tails)


async def test_the_streams_of_a_trader_share_reads_and_encodings(
    blotter: Blotter, monkeypatch: pytest.MonkeyPatch
) -> None:
    watches = await opened(blotter, 20, as_trader(ALICE))
    filtered = await opened(blotter, 5, as_trader(ALICE), symbols=["MSFT"])
    reads, encodings = counted(monkeypatch, Events, "after"), counted(monkeypatch, StreamMethod, "entry")
    messages = counted(monkeypatch, StreamMethod, "events")
    await blotter.submit(ALICE)
    await blotter.submit(ALICE, symbol="MSFT")
    await asyncio.gather(*(watch.until(2) for watch in watches + filtered))
    assert len(reads) < 10, "one for each hint and each poll that finds news"
    assert len(encodings) == 2
    assert len(messages) < 10, "one for each place and filter"
    assert all(watch.sequences == [1, 2] for watch in watches)
    assert all(watch.sequences == [2] for watch in filtered)
    await until(lambda: all_wait(blotter))
    [[shared]] = [list(tails.values()) for tails in blotter.feed._tails.values()]
    assert (shared.entries, shared.messages) == ([], {}), "what all have taken is forgotten"


async def test_a_stream_that_an_event_does_not_concern_leaves_it_to_the_others(
    blotter: Blotter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first to be woken has nothing to send, and waits again before the others have run."""
    filtered = await opened(blotter, 1, as_trader(ALICE), symbols=["MSFT"])
    watches = await opened(blotter, 30, as_trader(ALICE))
    reads = counted(monkeypatch, Events, "after")
    for number in range(1, 6):
        await blotter.submit(ALICE)
        await asyncio.gather(*(watch.until(number) for watch in watches))
    assert len(reads) < 30, "each event is read once, or twice, and not by each stream"
    assert all(watch.sequences == [1, 2, 3, 4, 5] for watch in watches)
    assert filtered[0].sequences == []


async def test_identities_share_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two traders, two desks, a gateway and compliance: each event is read under the login of each that sees it."""
    assign(database)
    async with serving(database, **SEQUENCED) as blotter:
        identities = {
            "alice": as_trader(ALICE),
            "bob": as_trader(BOB),
            "equities": as_desk(EQUITIES),
            "rates": as_desk(RATES),
            "gateway": EXECUTION,
            "compliance": COMPLIANCE,
        }
        watches = {name: await opened(blotter, 3, metadata) for name, metadata in identities.items()}
        assert sum(len(tails) for tails in blotter.feed._tails.values()) == len(identities)
        reads = counted(monkeypatch, Events, "after")
        orders = [await blotter.submit(trader) for trader in (ALICE, BOB, ALICE)]
        seen = {"alice": (0, 2), "bob": (1,), "equities": (0, 2), "rates": (1,), "gateway": (0, 1, 2)}
        seen["compliance"] = seen["gateway"]
        for name, indexes in seen.items():
            expected = [orders[index].order_id for index in indexes]
            for watch in watches[name]:
                await until_events(watch, len(expected))
                assert [event.order.order_id for event in watch.events] == expected
        under = {(caller.kind, caller.trader_id, caller.desk_id) for caller, *_ in reads}
        assert len(under) == len(identities)
        assert all(caller.trader_id == trader_id for caller, trader_id, *_ in reads)


async def test_each_stream_of_compliance_is_recorded_and_only_once(database: Database) -> None:
    async with serving(database, **SEQUENCED) as blotter:
        calls = []
        for number in range(3):
            metadata = (*COMPLIANCE, ("x-actor", f"auditor {number}"))
            call = blotter.audit.StreamExecutionLogs(
                audit_pb.StreamExecutionLogsRequest(follow=True), metadata=metadata
            )
            auditors = [f"auditor {each}" for each in range(number + 1)]
            await until(partial(is_recorded, database, auditors))
            calls.append(call)
        await until(lambda: all_wait(blotter))
        await blotter.submit()
        for call in calls:
            await logs_of(call)
        assert recorded(database) == [f"auditor {each}" for each in range(3)]


def is_recorded(database: Database, actors: list[str]) -> bool:
    """Whether the recorded reads by compliance are those of the actors."""
    return recorded(database) == actors


def recorded(database: Database) -> list[str]:
    """The actors of the recorded reads by compliance."""
    rows = database.cluster.psql("SELECT actor FROM audit_accesses ORDER BY accessed_at", dbname=database.name)
    return rows.splitlines()


async def test_a_stream_that_is_behind_the_buffer_reads_for_itself(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slowest stream neither delays the others nor makes the buffer grow."""
    monkeypatch.setattr(tail, "BUFFER_EVENTS", 4)
    monkeypatch.setattr(tail, "BUFFER_BYTES", 4_000)
    held = asyncio.Event()
    async with serving(database) as blotter:
        [quick] = await opened(blotter, 1, as_trader(ALICE))
        [slow] = await opened(blotter, 1, as_trader(ALICE), symbols=["AAPL"])
        [shared] = blotter.feed._tails[ALICE].values()
        [member] = [each for each in shared.members if each.stream.filter.symbols]
        wait = type(member).wait

        async def hold(self: Any, due: float) -> None:
            if self is member:
                await held.wait()
            await wait(self, due)

        monkeypatch.setattr(type(member), "wait", hold)
        for number in range(1, 31):
            await blotter.submit(ALICE, symbol=SYMBOLS[number % 2])
            await quick.until(number)
            assert len(shared.entries) <= 4
            assert shared._bytes == sum(len(entry.data) for entry in shared.entries) <= 4_000
        held.set()
        await slow.until(30)
        assert quick.sequences == list(range(1, 31))
        assert slow.sequences == list(range(2, 31, 2))


class Follower:
    """A watcher that joins, leaves without a word and resumes, at random, and keeps the sequences that it has seen."""

    def __init__(self, trader_id: UUID, symbols: Sequence[str], seed: int) -> None:
        self.trader_id = trader_id
        self.symbols = symbols
        self.chance = random.Random(seed)
        self.seen: list[tuple[str, int]] = []
        self.begun = asyncio.Event()

    async def run(self, blotter: Blotter, done: asyncio.Event) -> None:
        """Follow until the writers have ended and nothing comes any more."""
        request = watch_pb2.WatchOrdersRequest(symbols=self.symbols)
        while True:
            async with watching(blotter, self.trader_id, request) as watch:
                if not request.resume_token:
                    complete = await watch.until_snapshot()
                    assert complete.order_count == 0
                    self.begun.set()
                    request.resume_token = watch.token
                for _ in range(self.chance.randint(1, 8)):
                    over = done.is_set()
                    try:
                        await asyncio.wait_for(watch.next(), 1)
                    except TimeoutError:
                        if over:
                            return
                        break
                    assert all(event.order.trader_id == str(self.trader_id) for event in watch.events)
                    self.seen += [(event.order.symbol, event.sequence) for event in watch.events]
                    watch.events.clear()
                    await asyncio.sleep(self.chance.choice((0, 0, 0, 0.05)))
                request.resume_token = watch.token


async def write(blotter: Blotter, trader_id: UUID, seed: int, written: dict[UUID, list[tuple[str, int]]]) -> None:
    """Submit and fill orders one after another."""
    chance = random.Random(seed)
    for _ in range(40):
        order = await blotter.submit(trader_id, symbol=chance.choice(SYMBOLS))
        written[trader_id].append((order.symbol, order.last_sequence))
        if chance.random() < 0.5:
            order = await blotter.fill(order, 1)
            written[trader_id].append((order.symbol, order.last_sequence))


@pytest.mark.parametrize("buffer", [1_000, 3])
async def test_watchers_that_come_and_go_see_each_of_their_events_once_in_order(
    database: Database, buffer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "BUFFER_EVENTS", buffer)
    done = asyncio.Event()
    written: dict[UUID, list[tuple[str, int]]] = {ALICE: [], BOB: []}
    async with serving(database) as first, serving(database) as second:
        filters: list[list[str]] = [[], [], [], ["AAPL"], ["AAPL"], ["MSFT", "IBM"], ["NONE"]]
        followers = [
            Follower(trader, symbols, seed)
            for seed, (trader, symbols) in enumerate(
                (trader, symbols) for trader in (ALICE, BOB) for symbols in filters
            )
        ]
        following = [
            asyncio.create_task(follower.run((first, second)[index % 3 == 0], done))
            for index, follower in enumerate(followers)
        ]
        await asyncio.gather(*(follower.begun.wait() for follower in followers))
        await asyncio.gather(
            *(write((first, second)[seed % 2], trader, seed, written) for trader in (ALICE, BOB) for seed in range(3))
        )
        done.set()
        await asyncio.gather(*following)
        await until(lambda: not first.feed._tails and not second.feed._tails)
    for follower in followers:
        expected = sorted(written[follower.trader_id], key=lambda event: event[1])
        assert [sequence for _, sequence in expected] == list(range(1, len(expected) + 1))
        assert follower.seen == [event for event in expected if not follower.symbols or event[0] in follower.symbols]


async def test_the_methods_of_a_trader_get_messages_of_their_own(blotter: Blotter) -> None:
    """A trader's watch and trail have the same events, and other messages of them."""
    watches = await opened(blotter, 2, as_trader(ALICE))
    request = audit_pb.StreamExecutionLogsRequest(follow=True)
    trails = [blotter.audit.StreamExecutionLogs(request, metadata=as_trader(ALICE)) for _ in range(2)]
    await until(lambda: len(blotter.feed._tails[ALICE]) == 2 and all_wait(blotter))
    order = await blotter.submit(ALICE)
    for watch in watches:
        await watch.until(1)
        assert watch.events[0].order == order
    for trail in trails:
        [log] = await logs_of(trail)
        assert (log.order, log.actor) == (order, "trader")


async def test_streams_over_all_traders_with_other_filters_share_nothing(database: Database) -> None:
    async with serving(database, **SEQUENCED) as blotter:
        filters: list[list[str]] = [[str(ALICE)], [str(BOB)], [str(ALICE)], []]
        watches = [(await opened(blotter, 1, EXECUTION, trader_ids=trader_ids))[0] for trader_ids in filters]
        assert [len(each.members) for each in blotter.feed._tails[None].values()] == [2, 1, 1]
        orders = [await blotter.submit(trader) for trader in (ALICE, BOB, ALICE, BOB)]
        for watch, trader_ids in zip(watches, filters, strict=True):
            expected = [order.order_id for order in orders if not trader_ids or order.trader_id in trader_ids]
            await until_events(watch, len(expected))
            assert [event.order.order_id for event in watch.events] == expected


async def test_more_than_a_message_of_shared_events_comes_in_several(
    blotter: Blotter, monkeypatch: pytest.MonkeyPatch
) -> None:
    watches = await opened(blotter, 3, as_trader(ALICE))
    filtered = await opened(blotter, 2, as_trader(ALICE), symbols=["AAPL"])
    monkeypatch.setattr("service.streams.messages.EVENTS_A_MESSAGE", 7)
    orders = [order_request(symbol=SYMBOLS[number % 2]) for number in range(50)]
    await blotter.orders.BatchSubmitOrders(
        order_service_pb2.BatchSubmitOrdersRequest(orders=orders), metadata=as_trader(ALICE)
    )
    for watch, step in [*((watch, 1) for watch in watches), *((watch, 2) for watch in filtered)]:
        async with asyncio.timeout(PATIENCE):
            while not watch.sequences or watch.sequences[-1] < 51 - step:
                message = await watch.next()
                assert len(message.events.events) <= 7
        assert watch.sequences == list(range(1, 51, step))


async def test_a_history_that_becomes_shorter_ends_all_streams_that_share_it(
    database: Database, blotter: Blotter
) -> None:
    """As after a failover to a standby that lacked the newest events: other events take their numbers."""
    order = await blotter.submit()
    watches = await opened(blotter, 3, as_trader(ALICE))
    for number in (2, 3):
        await blotter.submit()
        await asyncio.gather(*(watch.until(number) for watch in watches))
    await until(lambda: all_wait(blotter))
    database.cluster.psql(
        "SET session_replication_role = replica; DELETE FROM execution_logs WHERE sequence > 1; "
        f"DELETE FROM orders WHERE id <> '{order.order_id}'; UPDATE trader_sequences SET last_sequence = 1;",
        dbname=database.name,
    )
    for watch in watches:
        error = await refused(watch.until(100))
        assert reason_of(error) == "RESUME_TOKEN_OUT_OF_RANGE"
        assert watch.sequences == [2, 3]
    await until(lambda: not blotter.feed._tails)
    [again] = await opened(blotter, 1, as_trader(ALICE))
    await blotter.submit()
    await again.until(2)
