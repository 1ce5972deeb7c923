"""How a child is watched and started again; the join of metrics; the reserved port."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from service.process import AddressInUse
from service.servicers.health import LEDGER, LIVENESS, READINESS
from service.workers import backoff, parent, supervised
from service.workers.backoff import Backoff
from service.workers.channel import LEDGER as LEDGER_MESSAGE
from service.workers.child import Child, child_of
from service.workers.families import families, joined
from service.workers.group import ProcessGroup
from service.workers.parent import _look
from service.workers.reservation import reserved
from service.workers.supervised import CannotStart, SupervisedProcess, environment
from tests.conftest import Database
from tests.operations.command_line import environment as variables
from tests.workers.service import with_keys

PARENTS = 4


def test_pauses_double_up_to_a_bound_and_begin_anew_after_a_long_life() -> None:
    pauses = Backoff()
    assert [pauses.pause(1) for _ in range(9)] == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]
    assert pauses.pause(backoff.HEALTHY_SECONDS) == 0
    assert pauses.pause(1) == 0.5


def test_early_ends_in_a_row_are_a_restart_loop_unless_the_database_is_away() -> None:
    away, faulty = Backoff(), Backoff()
    for _ in range(backoff.LOOPING):
        assert not faulty.looping
        away.pause(1, fault=False)
        faulty.pause(1)
    assert faulty.looping
    assert not away.looping
    faulty.pause(backoff.HEALTHY_SECONDS)
    assert not faulty.looping


def test_the_samples_of_each_process_are_joined_under_its_name() -> None:
    def of(calls: float, seconds: float) -> CollectorRegistry:
        registry = CollectorRegistry()
        Counter("calls", "Calls.", ["code"], registry=registry).labels("OK").inc(calls)
        Histogram("seconds", "Duration.", buckets=(1,), registry=registry).observe(seconds)
        return registry

    whole = CollectorRegistry()
    Gauge("up", "Up.", registry=whole).set(1)
    registry = joined(whole, {"1": families(of(3, 0.5)), "2": families(of(4, 2))})
    assert registry.get_sample_value("up") == 1
    assert registry.get_sample_value("calls_total", {"code": "OK", "worker": "1"}) == 3
    assert registry.get_sample_value("calls_total", {"code": "OK", "worker": "2"}) == 4
    assert registry.get_sample_value("seconds_bucket", {"le": "1.0", "worker": "2"}) == 0
    text = generate_latest(registry).decode()
    assert text.count("# TYPE seconds histogram") == 1


def test_port_0_becomes_a_port_and_a_reserved_one_is_shared_with_those_that_may_share_alone() -> None:
    with reserved("127.0.0.1:0") as address:
        host, _, port = address.rpartition(":")
        assert int(port)
        for option, refused in ((socket.SO_REUSEADDR, True), (socket.SO_REUSEPORT, False)):
            with socket.socket() as other:
                other.setsockopt(socket.SOL_SOCKET, option, 1)
                if refused:
                    with pytest.raises(OSError, match="in use"):
                        other.bind((host, int(port)))
                else:
                    other.bind((host, int(port)))
        with pytest.raises(AddressInUse), reserved(address):
            pass
    with reserved(address) as again:
        assert again == address


def test_of_parents_that_start_at_the_same_moment_at_most_one_gets_the_port() -> None:
    """All may be refused, where each finds another one in the middle of its start."""
    with reserved("127.0.0.1:0") as free:
        address = free
    together, done = threading.Barrier(PARENTS), threading.Barrier(PARENTS)

    def start(_: int) -> bool:
        together.wait(30)
        try:
            with reserved(address):
                done.wait(30)
                return True
        except AddressInUse:
            done.wait(30)
            return False

    with ThreadPoolExecutor(PARENTS) as threads:
        started = [sum(threads.map(start, range(PARENTS))) for _ in range(2000)]
    assert set(started) <= {0, 1}
    assert sum(started) > 1000


@pytest.mark.parametrize("listen", ["localhost:0", "[::1]:0", ":0"])
def test_every_kind_of_address_is_reserved(listen: str) -> None:
    if listen.startswith("[") and not _has_ipv6():
        listen = "127.0.0.1:0"
    with reserved(listen) as address, pytest.raises(AddressInUse), reserved(address):
        pass


def _has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as one:
        try:
            one.bind(("::1", 0))
        except OSError:
            return False
    return True


@asynccontextmanager
async def sequencer(
    whole: ProcessGroup, url: str, **settings: str
) -> AsyncIterator[tuple[SupervisedProcess, asyncio.Task[None]]]:
    """A sequencer that is kept running."""
    given = environment(**variables(BLOTTER_DATABASE_URL=url, **settings))
    restarts = whole.metrics.worker_restarts.labels("sequencer")
    one = whole.sequencer = SupervisedProcess("sequencer", ["sequence"], given, whole, restarts)
    running = asyncio.create_task(one.run())
    try:
        yield one, running
    finally:
        await one.end(10)
        await asyncio.gather(running, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # another process sets no event
            await asyncio.sleep(0.01)


async def test_a_stuck_child_is_unhealthy_and_then_killed_and_started_again(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised, "SILENT_LOOKS", 40)
    monkeypatch.setattr(supervised, "STUCK_LOOKS", 60)
    monkeypatch.setattr("service.workers.parent.LOOK_SECONDS", 0.05)
    whole = ProcessGroup()
    async with sequencer(whole, database.url, **with_keys(tmp_path)) as (one, _):
        looking = asyncio.create_task(_look(whole))
        await until(lambda: whole.is_serving(LEDGER) is True)
        assert whole.is_serving(LIVENESS)
        assert one._process
        first = one._process.pid
        os.kill(first, signal.SIGSTOP)
        await until(lambda: whole.is_serving(LEDGER) is False)
        assert whole.is_serving(LIVENESS), "the parent acts first"
        await until(lambda: whole.is_serving(LEDGER) is True)
        assert one._process.pid != first
        registry = await whole.read()
        assert registry.get_sample_value("blotter_worker_restarts_total", {"worker": "sequencer"}) == 1
        looking.cancel()


async def test_a_report_makes_a_silent_child_healthy_again(database: Database) -> None:
    async with sequencer(ProcessGroup(), database.url) as (one, _):
        await until(lambda: one.serves)
        for _ in range(supervised.SILENT_LOOKS + 1):
            one.look()
        assert one.silent
        assert one.reported(LIVENESS) is False
        await until(lambda: not one.silent)
        assert one.reported(LIVENESS)


async def test_a_restart_loop_ends_the_liveness_until_the_child_has_run_for_a_while(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ProcessGroup()
    async with sequencer(whole, database.url) as (one, _):
        await until(lambda: one.serves)
        assert whole.is_serving(LIVENESS)
        for _ in range(backoff.LOOPING):
            one._backoff.pause(1)
        assert whole.is_serving(LIVENESS) is False
        monkeypatch.setattr(supervised, "HEALTHY_SECONDS", 0.0)
        assert whole.is_serving(LIVENESS)


async def test_a_child_that_does_not_end_in_time_is_killed(database: Database) -> None:
    async with sequencer(ProcessGroup(), database.url) as (one, running):
        await until(lambda: one.serves)
        assert one._process
        os.kill(one._process.pid, signal.SIGSTOP)
        assert not await one.end(0.2)
        await asyncio.wait_for(running, 10)


async def test_a_child_that_cannot_start_gives_its_reason() -> None:
    async with sequencer(ProcessGroup(), "postgresql://127.0.0.1:1/none") as (_, running):
        with pytest.raises(CannotStart, match="The sequencer cannot log in as blotter_sequencer"):
            await asyncio.wait_for(running, 30)


async def test_a_silent_child_ends_the_liveness_only_if_the_kill_has_not_ended_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An orchestrator that acted before the parent would end the other children with it."""
    whole = ProcessGroup()
    async with sequencer(whole, database.url) as (one, _):
        await until(lambda: one.serves)
        monkeypatch.setattr(one, "kill", lambda: None)
        for _ in range(supervised.STUCK_LOOKS):
            one.look()
        assert one.silent
        assert whole.is_serving(LIVENESS)
        for _ in range(supervised.UNKILLABLE_LOOKS):
            one.look()
        assert whole.is_serving(LIVENESS) is False
        monkeypatch.undo()


def child_with(whole: ProcessGroup, *, health: bool) -> tuple[SupervisedProcess, list[tuple[str, object]]]:
    """A child that has reported, and what is sent to it."""
    messages: list[tuple[str, object]] = []
    one = SupervisedProcess("1", [], {}, whole, whole.metrics.worker_restarts.labels("1"))
    one.health = {READINESS: health}
    one._channel = cast("Any", SimpleNamespace(send=lambda kind, content: messages.append((kind, content))))
    return one, messages


def test_a_dropped_message_about_the_ledger_is_repeated() -> None:
    one, messages = child_with(ProcessGroup(), health=True)
    one.look()
    assert messages == [], "nothing is known yet"
    one.tell_ledger(True)
    messages.clear()
    one.look()
    assert messages == [(LEDGER_MESSAGE, True)]


def test_the_whole_is_ready_while_a_worker_accepts_calls() -> None:
    """Also where another one drains."""
    whole = ProcessGroup()
    whole.workers = [child_with(whole, health=each)[0] for each in (True, False)]
    assert whole.is_serving(READINESS) is True
    whole.workers[0].health = {READINESS: False}
    assert whole.is_serving(READINESS) is False
    whole.workers[0].health = {}
    assert whole.is_serving(READINESS) is False


async def test_a_child_for_which_no_sockets_are_left_gives_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("Too many open files")

    whole = ProcessGroup()
    one = SupervisedProcess("1", [], {}, whole, whole.metrics.worker_restarts.labels("1"))
    monkeypatch.setattr(socket, "socketpair", fail)
    with pytest.raises(CannotStart, match="Too many open files"):
        await asyncio.wait_for(one.run(), 30)


async def test_a_stop_takes_one_grace_for_all_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sequencer, which ends last, has no second one."""
    monkeypatch.setattr(parent, "KILL_AFTER_GRACE_SECONDS", 0.01)
    given: list[float] = []

    class Child:
        async def end(self, seconds: float) -> bool:
            given.append(seconds)
            await asyncio.sleep(seconds)
            return True

    whole = ProcessGroup()
    whole.workers, whole.sequencer = cast("Any", [Child()]), cast("Any", Child())
    await parent._end(whole, [], 0.2)
    assert given == [0.2, 0.01]


@pytest.mark.parametrize("task", ["listen", "beat"])
async def test_a_task_that_fails_stops_the_child(monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    async def fail(_: Child) -> None:
        raise ValueError("unforeseen")

    monkeypatch.setattr(Child, task, fail)
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(RuntimeError, match="has failed"):
        async with child_of(theirs.fileno()) as child, asyncio.timeout(30):
            await child.stop.wait()


STUCK = """
import asyncio, sys, time
from service.workers import child
child.STUCK_SECONDS = 0.2
async def stick():
    async with child.child_of(int(sys.argv[1])):
        print("stuck", flush=True)
        time.sleep(3600)
asyncio.run(stick())
"""
PARENT = """
import socket, subprocess, sys, time
ours, theirs = socket.socketpair()
subprocess.Popen([sys.executable, "-c", sys.argv[1], str(theirs.fileno())], pass_fds=[theirs.fileno()])
time.sleep(3600)
"""


def test_a_stuck_child_of_a_killed_parent_ends() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, STUCK], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"stuck\n"
        process.kill()
        ended = threading.Thread(target=process.stdout.read, daemon=True)
        ended.start()
        ended.join(30)
        assert not ended.is_alive(), "the child has its output open"
