"""The wheels, virtual environments that contain only them, and an empty working directory."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.paths import ROOT

FOLDERS = {"blotter": ".", "blotter-client": "packages/client", "blotter-verifier": "packages/verifier"}
INSTALL_SECONDS = 240
COMMAND_SECONDS = 90


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment without a path to this repository."""

    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables with the virtual environment activated and without any of Blotter's."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("BLOTTER_", "PG", "PYTHON"))}
        return kept | {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "VIRTUAL_ENV": str(self.folder)}

    def program(self, name: str) -> str:
        """Return the path of an installed program."""
        return str(self.folder / "bin" / name)

    def run(self, name: str, *arguments: object, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a program and wait for its end."""
        return subprocess.run(
            [self.program(name), *map(str, arguments)],
            cwd=cwd,
            env=self.variables | settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def install(self, *requirements: str) -> None:
        """Install packages from wheels."""
        pip = [sys.executable, "-m", "pip", "--python", self.program("python"), "--no-input"]
        pip += ["--disable-pip-version-check", "-q", "install"]
        subprocess.run(
            [*pip, "--only-binary", ":all:", *requirements], env=self.variables, check=True, timeout=INSTALL_SECONDS
        )


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The path of each wheel, by the name of its distribution."""
    folder = tmp_path_factory.mktemp("dist")
    for source in FOLDERS.values():
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
        subprocess.run(build, cwd=ROOT / source, check=True, timeout=COMMAND_SECONDS, capture_output=True)
    return {name: str(next(folder.glob(f"{name.replace('-', '_')}-[0-9]*.whl"))) for name in FOLDERS}


def environment(folder: Path, requirements: Sequence[str]) -> Environment:
    """Return a new environment with the packages and their dependencies."""
    venv.create(folder)
    created = Environment(folder)
    created.install(*requirements)
    return created


@pytest.fixture(scope="session")
def server(wheels: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the server and the embedded PostgreSQL."""
    packages = [f"blotter[embedded] @ file://{wheels['blotter']}", wheels["blotter-client"], wheels["blotter-verifier"]]
    return environment(tmp_path_factory.mktemp("server") / "venv", packages)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """An empty folder."""
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder
