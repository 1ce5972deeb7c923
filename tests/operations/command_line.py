"""Runs the real command line in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from tests.paths import PYTHONPATH

DEADLINE = 60


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of this process with these settings of Blotter, and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BLOTTER_", "PG"))}
    return kept | {"PYTHONPATH": PYTHONPATH} | settings


def run(*arguments: str, cwd: Path, answer: str | None = None, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=cwd,
        env=environment(**settings),
        input=answer or "",
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@contextmanager
def started(*arguments: str, cwd: Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """A running command, killed at the end of the block if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "service", *arguments],
        cwd=cwd,
        env=environment(**settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def free_port() -> int:
    """Return a port that was just free."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


class Serving:
    """A `blotter serve` process, its output, and a channel to it. It listens on a free port unless a port is given."""

    def __init__(self, cwd: Path, **settings: str) -> None:
        self.target = settings.get("BLOTTER_LISTEN") or f"127.0.0.1:{free_port()}"
        self.output: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve"],
            cwd=cwd,
            env=environment(**settings | {"BLOTTER_LISTEN": self.target}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        self.output.extend(self.process.stdout)

    @property
    def text(self) -> str:
        """Return its output so far."""
        return "".join(self.output)

    def await_ready(self) -> None:
        """Wait until it answers calls."""
        until(lambda: "Ctrl-C stops it" in self.text or self.process.poll() is not None, self.text)
        assert self.process.poll() is None, self.text

    def ended(self) -> int:
        """Wait for its end; return the exit status."""
        status = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        assert self.process.stdout
        self.process.stdout.close()
        return status

    def channel(self) -> grpc.Channel:
        """Return a new channel to it."""
        return grpc.insecure_channel(self.target)


@contextmanager
def serving(cwd: Path, **settings: str) -> Iterator[Serving]:
    """A server that answers calls; stopped at the end."""
    server = Serving(cwd, **settings)
    try:
        server.await_ready()
        yield server
    finally:
        server.process.terminate()
        server.ended()
