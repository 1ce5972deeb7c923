"""The command `blotter-verify` where output or files cannot be used: never status 1, which means a false file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ledger.test_verifier import LEAVES, LOG, bundle

COMMAND = [sys.executable, "-m", "blotter_verifier.command"]
DEADLINE = 30


def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run the command."""
    command = [*COMMAND, *map(str, arguments), "--key", LOG.vkey]
    return subprocess.run(command, timeout=DEADLINE, check=False, **options)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A bundle that verifies."""
    path = tmp_path / "bundle"
    path.write_bytes(bundle(LEAVES))
    return path


def test_a_full_or_closed_output_is_not_a_false_bundle(file: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run("bundle", file, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (3, b"")
    script = f"exec {' '.join(COMMAND)} bundle '{file}' --key {LOG.vkey} >&-"
    closed = subprocess.run(["/bin/sh", "-c", script], timeout=DEADLINE, capture_output=True, check=False)
    assert (closed.returncode, closed.stderr) == (3, b"")


def test_an_output_without_the_characters_of_an_entry_shows_escapes(tmp_path: Path, file: Path) -> None:
    name = tmp_path / "größe"
    name.write_bytes(b"no bundle")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = run("bundle", file, capture_output=True, env=environment)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, b"VERIFIED.")
    assert run("bundle", name, capture_output=True, env=environment).returncode == 3


def test_a_name_that_no_file_can_have_is_a_usage_error(tmp_path: Path) -> None:
    done = run("bundle", tmp_path / ("x" * 300), capture_output=True)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["receipt"], ["bundle", "--since"]])
def test_a_file_without_an_end_is_not_read_whole(file: Path, arguments: list[str]) -> None:
    kind, *since = arguments
    files: list[str | Path] = [*since, "/dev/zero", file] if since else ["/dev/zero"]
    done = run(kind, *files, capture_output=True)
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"more than 1000000 bytes" in done.stderr


def test_a_receipt_with_other_line_ends_is_not_a_receipt(tmp_path: Path) -> None:
    path = tmp_path / "receipt"
    path.write_bytes(b"c2sp.org/tlog-proof@v1\r\nextra e30=\r\nindex 0\r\n")
    done = run("receipt", path, capture_output=True)
    assert done.returncode == 3
