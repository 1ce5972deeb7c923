"""Starts and stops processes, and reads the CPU time and memory of process trees (Linux only)."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_START_SECONDS = 60
_STOP_SECONDS = 30


class NotStarted(Exception):
    """A process did not come up. The message has the last lines that it wrote."""


def free_address() -> str:
    """Return an address of this host that is not in use."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


@asynccontextmanager
async def process(
    command: Sequence[str], target: str, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> AsyncIterator[int]:
    """Run a server until the block ends; yield its process id once it accepts connections at `target`."""
    with tempfile.TemporaryFile() as output:
        running = await asyncio.create_subprocess_exec(
            *command, env=os.environ | dict(environment or {}), cwd=cwd, stdout=output, stderr=output
        )
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not await _accepts(target):
                if running.returncode is not None or time.monotonic() > deadline:
                    output.seek(0)
                    written = output.read().decode("utf-8", "replace").strip().splitlines()
                    raise NotStarted(f"{command[0]} did not start: {' / '.join(written[-5:])}")
                await asyncio.sleep(0.05)
            yield running.pid
        finally:
            if running.returncode is None:
                running.terminate()
            try:
                await asyncio.wait_for(running.wait(), _STOP_SECONDS)
            except TimeoutError:
                running.kill()
                await running.wait()


async def _accepts(target: str) -> bool:
    host, _, port = target.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


async def output_of(*arguments: str, given: str = "", seconds: float = 120) -> str:
    """Run a module of this interpreter to its end with the text on standard input; return what it printed."""
    return await run(sys.executable, "-m", *arguments, given=given, seconds=seconds)


async def run(*command: str, given: str = "", seconds: float = 120, cwd: Path | None = None) -> str:
    """Run a command to its end; return what it printed. Raises RuntimeError with its errors if it fails."""
    running = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=cwd
    )
    try:
        printed, errors = await asyncio.wait_for(running.communicate(given.encode()), seconds)
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    if running.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} failed: {errors.decode('utf-8', 'replace').strip()[-500:]}")
    return printed.decode()


def cpu_seconds(root: int) -> float:
    """Return the CPU time that a process and its descendants have used, also those that have ended."""
    return sum(_ticks(pid) for pid in tree(root)) / _TICKS_A_SECOND


def resident_bytes(root: int) -> int:
    """Return the resident memory of a process and its descendants; what they share is counted for each."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * _PAGE for pid in tree(root))


def tree(root: int) -> list[int]:
    """Return a process and its living descendants."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _fields(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    found, at = [root], 0
    while at < len(found):
        found += children[found[at]]
        at += 1
    return found


def _ticks(pid: int) -> int:
    fields = _fields(pid)
    return sum(map(int, fields[11:15])) if fields else 0


def _fields(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat after the name, which may contain spaces; none if the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(") ")[2].split()
    except OSError:
        return []
