"""Each source distribution contains all that its wheel is built from."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.paths import ROOT
from tests_wheels.conftest import COMMAND_SECONDS, FOLDERS


def build(target: str, source: Path, into: Path) -> Path:
    """Build a distribution of the project in a folder; return its file."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into)]
    built = subprocess.run(command, cwd=source, check=False, timeout=COMMAND_SECONDS, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    [file] = into.iterdir()
    return file


def contents(wheel: Path | str) -> dict[str, bytes]:
    """Return the files of a wheel."""
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_source_distribution_builds_the_wheel_that_the_repository_builds(
    name: str, wheels: dict[str, str], empty: Path, tmp_path: Path
) -> None:
    with tarfile.open(build("sdist", ROOT / FOLDERS[name], tmp_path / "sdist")) as archive:
        archive.extractall(empty, filter="data")
    [unpacked] = empty.iterdir()
    rebuilt = contents(build("wheel", unpacked, tmp_path / "wheel"))
    expected = contents(wheels[name])
    assert sorted(rebuilt) == sorted(expected)
    assert rebuilt == expected
