"""`blotter health` as a probe runs it: the exit status is 0 for SERVING alone."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.operations.command_line import DEADLINE, environment, free_port, run
from tests.serving import Server


def health(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a container's health check does."""
    return subprocess.run(
        [sys.executable, "-m", "service.cli.health", *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def test_a_service_that_serves_is_healthy(server: Server, tmp_path: Path) -> None:
    done = run("health", "--service", "", cwd=tmp_path, BLOTTER_LISTEN=server.target)
    assert (done.returncode, done.stdout) == (0, "the server: SERVING\n"), done.stderr
    unknown = health("--target", server.target, "--service", "nobody", cwd=tmp_path)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "NOT_FOUND" in unknown.stderr


def test_no_answer_is_not_healthy(tmp_path: Path) -> None:
    away = health("--target", f"127.0.0.1:{free_port()}", cwd=tmp_path)
    assert away.returncode == 1
    assert "UNAVAILABLE" in away.stderr
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections and never answers
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        hanging = health("--target", target, "--timeout", "0.2", cwd=tmp_path)
    assert hanging.returncode == 1
    assert "DEADLINE_EXCEEDED" in hanging.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tls-ca", "absent"], "'absent' does not exist"),
        (["--tls-name", "blotter"], "require --tls-ca"),
        (["--timeout", "0"], "0"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    refused = health(*arguments, cwd=tmp_path)
    assert refused.returncode == 2
    assert said in refused.stderr
