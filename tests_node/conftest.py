"""The Node example as a user installs it: its files, its locked packages, and the output of `blotter protos`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import bin_dir, cluster, database, logins, template
from tests.operations.command_line import environment, run
from tests.paths import ROOT

__all__ = ["bin_dir", "cluster", "database", "logins", "template"]

SOURCE = ROOT / "examples" / "node"
NPM_SECONDS = 180


def program(name: str) -> str:
    """Return the path of node or npm."""
    path = shutil.which(name)
    assert path, f"make test-node requires Node 20 or newer with npm; {name} is not on the PATH"
    return path


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """Check for both programs before a database is created."""
    assert program("node")
    assert program("npm")


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The folder of the installed example."""
    folder = tmp_path / "example"
    folder.mkdir()
    for name in ("package.json", "package-lock.json", "blotter.js", "example.js"):
        shutil.copy(SOURCE / name, folder)
    packages = subprocess.run(
        [program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=NPM_SECONDS,
        check=False,
    )
    assert packages.returncode == 0, f"make test-node requires npm's registry: {packages.stderr}"
    written = run("protos", str(folder / "protos"), cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    return folder
