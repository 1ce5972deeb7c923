"""One child process, which is started again whenever it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from subprocess import DEVNULL
from typing import Any, Protocol

from prometheus_client import Counter

import service
from service.domain.errors import Refused
from service.workers import channel
from service.workers.backoff import HEALTHY_SECONDS, Backoff
from service.workers.channel import Channel

START_SECONDS = 120.0
"""How long a child may take to start; then it is killed. It may wait for the database, and for the issuer's keys."""

END_SECONDS = 10.0
"""How long a child may live after it has closed its channel; then it is killed."""

SILENT_LOOKS, STUCK_LOOKS, UNKILLABLE_LOOKS = 10, 60, 70
"""A child reports each second, and its parent looks each second. After so many looks in a row without a report the
child counts as unhealthy; then it is killed; then the kill has not ended it. A pause of the parent or of the whole
machine is one look.
"""

_SIGNALS = {one.value: one.name for one in signal.Signals}

log = logging.getLogger("blotter.workers")


class CannotStart(Refused):
    """A child has ended before its first start was complete; the text is its reason."""


class Supervisor(Protocol):
    """All children."""

    def health_changed(self) -> None:
        """Take note that the health of a child may have changed."""

    def pass_on(self, sender: SupervisedProcess, traders: list[str | None]) -> None:
        """Tell the other children of commits."""


class SupervisedProcess:
    """Keeps one child process running, and knows what the child reports."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        supervisor: Supervisor,
        restarts: Counter,
    ) -> None:
        """`arguments` are those of the command line; `restarts` counts how often the child is started again."""
        self.name = name
        self.health: dict[str, bool] = {}
        """What the child reported last; empty while it does not serve."""
        self.was_started = asyncio.Event()
        self._arguments = [*arguments, "--child", name]
        self._environment = environment
        self._supervisor = supervisor
        self._restarts = restarts
        self._backoff = Backoff()
        self._ending = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._channel: Channel | None = None
        self._reading: asyncio.Future[Any] | None = None
        self._started_at = 0.0
        self._unheard = 0
        self._failure: str | None = None
        self._unavailable = False
        self._ledger: bool | None = None

    @property
    def serves(self) -> bool:
        """Whether the child has started and lives."""
        return bool(self.health)

    @property
    def silent(self) -> bool:
        """Whether the child serves and has not reported for a while: its event loop is stuck."""
        return self.serves and self._unheard > SILENT_LOOKS

    @property
    def unkillable(self) -> bool:
        """Whether the child was killed for its silence and has not ended."""
        return self.serves and self._unheard > UNKILLABLE_LOOKS

    @property
    def looping(self) -> bool:
        """Whether the child ends each time soon after its start."""
        healthy = self.serves and time.monotonic() - self._started_at > HEALTHY_SECONDS
        return self._backoff.looping and not healthy

    def reported(self, name: str) -> bool | None:
        """Return the health of a name as the child reports it; None if none. A stuck child is not healthy."""
        stated = self.health.get(name)
        return stated if stated is None else stated and not self.silent

    def look(self) -> None:
        """Count a look; kill the child if it has not reported for many looks. Its end starts it again.

        Send it the ledger's health once more: a message is dropped while the child does not read.
        """
        if self.serves:
            self._unheard += 1
            self._send_ledger()
        if self._unheard == STUCK_LOOKS:
            log.error("%s has not reported for %d seconds and is killed", self._title, STUCK_LOOKS)
            self.kill()

    def tell_ledger(self, healthy: bool) -> None:
        """Tell the child whether the ledger is healthy."""
        if healthy != self._ledger:
            self._ledger = healthy
            self._send_ledger()

    def _send_ledger(self) -> None:
        if self._channel and self._ledger is not None:
            self._channel.send(channel.LEDGER, self._ledger)

    def tell_committed(self, traders: list[str | None]) -> None:
        """Tell the child that other processes have committed events of these traders."""
        if self._channel and self.serves:
            self._channel.send(channel.COMMITTED, traders)

    async def metrics(self, seconds: float) -> Any:
        """Return the families of the child's metrics; None if it does not answer within that time."""
        if self._channel is None or not self.serves:
            return None
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_future()
            self._channel.send(channel.READ)
        reading = self._reading
        await asyncio.wait([reading], timeout=seconds)
        if not reading.done():
            self._reading = None  # request or answer may have been dropped: the next call asks again
            return None
        return None if reading.cancelled() else reading.result()

    async def run(self) -> None:
        """Keep the child running until `end`. Raises CannotStart if its first start fails."""
        while not self._ending.is_set():
            await self._live()
            if self._ending.is_set():
                return
            if not self.was_started.is_set():
                raise CannotStart(self._failure or f"{self._title} {self._end()} before it served.")
            ran = time.monotonic() - self._started_at
            pause = self._backoff.pause(ran, fault=not self._unavailable)
            self._restarts.inc()
            log.error(
                "%s (process %d) %s after %.0f seconds; it is started again%s.%s",
                self._title,
                self._process.pid if self._process else 0,
                self._end(),
                ran,
                f" in {pause:g} seconds" if pause else "",
                f" {self._failure}" if self._failure else "",
            )
            try:
                async with asyncio.timeout(pause):
                    await self._ending.wait()
            except TimeoutError:
                continue

    async def end(self, seconds: float) -> bool:
        """Stop the child by SIGTERM, and kill it after that many seconds. Returns whether it ended by itself."""
        self._ending.set()
        process = self._process
        if process is None or process.returncode is not None:
            return True
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds):
                await process.wait()
        except TimeoutError:
            log.error("%s (process %d) has not ended in time and is killed", self._title, process.pid)  # noqa: TRY400
            self.kill()
            await process.wait()
            return False
        return True

    def kill(self) -> None:
        """Kill the child, if it lives."""
        if self._process and self._process.returncode is None:
            self._process.kill()

    @property
    def _title(self) -> str:
        return f"Worker {self.name}" if self.name.isdigit() else f"The {self.name}"

    def _end(self) -> str:
        if self._process is None:
            return "could not be started"
        status = self._process.returncode or 0
        return f"was ended by {_SIGNALS.get(-status, -status)}" if status < 0 else f"ended with status {status}"

    async def _live(self) -> None:
        """Start the child, and return when it has ended."""
        self._failure, self._unavailable = None, False
        self._started_at, self._unheard = time.monotonic(), 0
        self._process = None
        try:
            self._process, ours = await self._start()
        except OSError as error:  # such as a limit of processes, or of files
            self._failure = str(error)
            return
        overdue = asyncio.get_running_loop().call_later(START_SECONDS, self.kill)
        try:
            self._channel = await Channel.over(ours)
            self._send_ledger()
            if self._ending.is_set():  # `end` has not seen this process
                self._process.send_signal(signal.SIGTERM)
            while message := await self._channel.receive():
                kind, content = message
                if kind == channel.HEALTH:
                    overdue.cancel()
                    self._hear(content)
                elif kind == channel.COMMITTED:
                    self._supervisor.pass_on(self, content)
                elif kind == channel.FAILED:
                    self._failure, self._unavailable = content
                elif kind == channel.METRICS and self._reading and not self._reading.done():
                    self._reading.set_result(content)
            # The channel ends with the process, but for what a failed one does at its exit.
            overdue.cancel()
            overdue = asyncio.get_running_loop().call_later(END_SECONDS, self.kill)
            await self._process.wait()
        finally:
            overdue.cancel()
            self.kill()  # only where this task is cancelled
            if self._channel is None:  # it could not be made
                ours.close()
            else:
                self._channel.close()
                self._channel = None
            if self._reading:
                self._reading.cancel()
            self.health = {}
            self._supervisor.health_changed()

    async def _start(self) -> tuple[asyncio.subprocess.Process, socket.socket]:
        """Start the process; return it, and this end of the channel to it. Raises OSError."""
        with ExitStack() as on_failure:
            ours, theirs = socket.socketpair()
            on_failure.enter_context(ours)
            with theirs:
                # By exec, in a session of its own: Ctrl-C reaches the parent alone, which stops its children in order.
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "service", *self._arguments, "--channel", str(theirs.fileno())),
                    stdin=DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=self._environment,
                    start_new_session=True,
                )
            on_failure.pop_all()
        return process, ours

    def _hear(self, health: dict[str, bool]) -> None:
        first = not self.serves
        self._unheard, self.health = 0, health
        if first and self._process:
            log.info("%s serves (process %d)", self._title, self._process.pid)
            self.was_started.set()
        self._supervisor.health_changed()


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a child: that of this process, with the changes, and with this package to import."""
    found = [str(Path(service.__file__ or "").parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, found)), **changes}
