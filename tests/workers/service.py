"""`blotter serve --workers 2` as real processes, and what its endpoint says of them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
from grpc import aio
from prometheus_client.parser import text_string_to_metric_families

from blotter.orders.v1 import order_service_pb2_grpc
from service.sequencing import KeyFolder
from tests.conftest import ALICE, Database
from tests.operations.command_line import environment
from tests.serving import as_trader, order_request

DEADLINE = 60
ORIGIN = "log.example"
OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
]
"""A connection for each channel, made again soon."""


def with_keys(folder: Path) -> dict[str, str]:
    """The settings of a ledger whose key is in a folder."""
    KeyFolder(folder / "keys").generate(ORIGIN)
    return {"BLOTTER_LEDGER_KEYS": str(folder / "keys"), "BLOTTER_LEDGER_ORIGIN": ORIGIN}


class Service:
    """A parent with its children, its output, and its addresses."""

    def __init__(self, cwd: Path, **settings: str) -> None:
        self.port = self.metrics_port = 0
        self.output: list[str] = []
        self._ready = threading.Event()
        given = {
            "BLOTTER_LISTEN": "127.0.0.1:0",
            "BLOTTER_METRICS_LISTEN": "127.0.0.1:0",
            "BLOTTER_FEED_POLL_MS": "20",
            **settings,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve", "--workers", "2"],
            cwd=cwd,
            env=environment(**given),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.output.append(line)
            if found := re.search(r"Metrics are at http://127.0.0.1:(\d+)/", line):
                self.metrics_port = int(found[1])
            if found := re.match(r"Blotter serves on 127.0.0.1:(\d+),", line):
                self.port = int(found[1])
                self._ready.set()
        self._ready.set()

    @property
    def text(self) -> str:
        """Its output so far."""
        return "".join(self.output)

    def ended(self) -> int:
        """Wait for its end and that of its output, which its children have as well; return the exit status."""
        status = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        assert not self._reader.is_alive(), "a child has not ended"
        assert self.process.stdout
        self.process.stdout.close()
        return status

    def await_ready(self) -> None:
        """Wait until all workers serve."""
        assert self._ready.wait(DEADLINE)
        assert self.port, self.text

    def pids(self) -> dict[str, int]:
        """The process ids of the children by name."""
        found: dict[str, int] = {}
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for pid in children.read_text().split():
            words = command_line(int(pid))
            if "--child" in words:
                found[words[words.index("--child") + 1]] = int(pid)
        return found

    async def metrics(self, name: str, **labels: str) -> dict[str, float]:
        """The sum of the samples with these labels by worker; "" is the whole."""
        found: dict[str, float] = {}
        _, text = await self._get("/metrics")
        read: Any = text_string_to_metric_families
        for family in read(text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    worker = sample.labels.get("worker", "")
                    found[worker] = found.get(worker, 0) + sample.value
        return found

    async def health(self, name: str) -> int:
        """The HTTP status of a health name of the whole."""
        return (await self._get(f"/health/{name}"))[0]

    async def _get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.metrics_port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status, await answer.text()

    @asynccontextmanager
    async def channels(self, number: int) -> AsyncIterator[list[aio.Channel]]:
        """Channels with a connection each, to whichever workers."""
        made = [aio.insecure_channel(f"127.0.0.1:{self.port}", OPTIONS) for _ in range(number)]
        try:
            yield made
        finally:
            await asyncio.gather(*(channel.close() for channel in made))


def command_line(pid: int) -> list[str]:
    """The command line of a process; nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for a condition of other processes."""
    try:
        async with asyncio.timeout(DEADLINE):
            while not await condition():  # noqa: ASYNC110  # other processes set no event
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(what) from None


@contextmanager
def served(cwd: Path, database: Database, **settings: str) -> Iterator[Service]:
    """The service on a database; killed at the end if it still runs."""
    service = Service(cwd, BLOTTER_DATABASE_URL=database.url, **settings)
    children: dict[str, int] = {}
    try:
        service.await_ready()
        children = service.pids()
        yield service
    finally:
        if service.process.poll() is None:
            service.process.terminate()
        try:
            service.ended()
        finally:
            for pid in children.values():
                if "--child" in command_line(pid):
                    os.kill(pid, signal.SIGKILL)


class Load:
    """Callers that submit one order after the other, each again with its key until it is answered."""

    def __init__(self, channels: list[aio.Channel], name: str) -> None:
        self.answered: dict[str, str] = {}
        """The order id by the key."""
        self.codes: set[grpc.StatusCode] = set()
        self._stop = asyncio.Event()
        self._tasks = [asyncio.create_task(self._call(channel, f"{name}-{n}")) for n, channel in enumerate(channels)]

    async def _call(self, channel: aio.Channel, name: str) -> None:
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        number = 0
        while not self._stop.is_set():
            number += 1
            request = order_request(client_order_id=f"{name}-{number}")
            while not self._stop.is_set():
                try:
                    answer = await stub.SubmitOrder(request, metadata=as_trader(ALICE), timeout=20)
                except aio.AioRpcError as error:
                    self.codes.add(error.code())
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                    await asyncio.sleep(0.05)
                else:
                    self.answered[request.client_order_id] = answer.order.order_id
                    break

    async def until_answered(self, more: int) -> None:
        """Wait until so many more calls were answered."""
        least = len(self.answered) + more

        async def answered() -> bool:
            for task in self._tasks:
                if task.done():
                    task.result()
            return len(self.answered) >= least

        await until(answered, "calls are not answered")

    async def end(self) -> None:
        """Let each caller end its call."""
        self._stop.set()
        await asyncio.wait_for(asyncio.gather(*self._tasks), DEADLINE)

    def check(self, database: Database) -> None:
        """Check that each answered order was recorded, and each key once, with one log."""
        rows = database.cluster.psql(
            "SELECT client_order_id, orders.id, (SELECT count(*) FROM execution_logs WHERE order_id = orders.id) "
            "FROM orders",
            dbname=database.name,
        ).splitlines()
        recorded: dict[str, str] = {}
        for key, order_id, logs in (row.split("|") for row in rows):
            assert key not in recorded, f"{key} is entered twice"
            assert logs == "1", f"{key} has {logs} logs"
            recorded[key] = order_id
        lost = {key for key, order_id in self.answered.items() if recorded.get(key) != order_id}
        assert not lost
