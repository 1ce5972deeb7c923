"""Runs the commands of a page as a reader does: in shells, in a folder that looks like a clone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from tests.paths import ROOT

SECONDS = 180
"""The limit of a block of commands: a busy machine must not fail a test."""

_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Page:
    """The blocks of commands of a page, in order. `ports` replaces the ports that it names."""

    def __init__(self, file: Path, ports: Mapping[str, int]) -> None:
        text = file.read_text("utf-8")
        for port, free in ports.items():
            assert port in text
            text = text.replace(port, str(free))
        self._blocks = _BLOCK.findall(text)

    def next(self, about: str) -> str:
        """Return the next block, which must contain the text."""
        block: str = self._blocks.pop(0)
        assert about in block
        return block

    @property
    def is_read(self) -> bool:
        """Whether all blocks were taken."""
        return not self._blocks


class Shell:
    """One shell. A command that fails ends it, unless the failure is expected."""

    def __init__(self, cwd: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash"],
            cwd=cwd,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()
        with self._process:
            pass

    def run(self, commands: str, *, fails: bool = False) -> str:
        """Run the commands to their end, and return what they print."""
        assert self._process.stdin
        assert self._process.stdout
        mark = uuid4().hex
        printed: list[str] = []
        limit = threading.Timer(SECONDS, self._end)
        limit.start()
        try:
            self._process.stdin.write(f"set {'+e' if fails else '-e'}\n{commands}\necho {mark}\n")
            self._process.stdin.flush()
            for line in self._process.stdout:
                if line.strip() == mark:
                    return "".join(printed)
                printed.append(line)
        finally:
            limit.cancel()
        raise AssertionError(f"the commands failed or took longer than {SECONDS} s:\n{commands}\n{''.join(printed)}")

    def start(self, commands: str, until: str) -> None:
        """Run commands that go on, and return when they have printed the text."""
        assert self._process.stdin
        assert self._process.stdout
        printed: list[str] = []
        limit = threading.Timer(SECONDS, self._end)
        limit.start()
        try:
            self._process.stdin.write(commands)
            self._process.stdin.close()
            for line in self._process.stdout:
                printed.append(line)
                if until in line:
                    threading.Thread(target=self._process.stdout.read, daemon=True).start()
                    return
        finally:
            limit.cancel()
        raise AssertionError(f"{until!r} is not among what was printed:\n{''.join(printed)}")

    def _end(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)


def clone(folder: Path) -> str:
    """Make a folder look like a clone in which `make run` has run; return the PATH of its programs.

    `make install` does nothing, `make run` starts the service without the installation, and `grpcurl` is a program that
    does the same as the real one.
    """
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "examples").symlink_to(ROOT / "examples")
    programs = folder / "bin"
    programs.mkdir()
    for name, command in (
        ("make", 'case "$*" in install) ;; run) exec .venv/bin/python -m service serve ;; *) exit 1 ;; esac'),
        ("grpcurl", f'exec .venv/bin/python {ROOT / "tests" / "flow" / "grpcurl.py"} "$@"'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{command}\n")
        (programs / name).chmod(0o755)
    return f"{programs}{os.pathsep}{os.environ['PATH']}"
