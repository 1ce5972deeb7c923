"""The README says what the code does."""

import os
import re
import subprocess
import sys

import click
import grpc
import pytest

from replay.traders import DEMO_TRADERS
from service.cli import main as cli
from service.settings import Settings
from service.status import TABLE
from tests.conftest import ALICE
from tests.paths import PYTHONPATH, ROOT
from tests.serving import Server

README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_every_setting_is_shown_and_none_besides() -> None:
    shown = set(re.findall(r"BLOTTER_[A-Z_]+", README))
    assert shown == {f"BLOTTER_{name.upper()}" for name in Settings.model_fields}


def test_every_reason_is_shown_beside_its_code() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*?) \|", README, flags=re.MULTILINE)
    shown = {(code, reason) for code, reasons in rows for reason in re.findall(r"`([A-Z_]+)`", reasons)}
    codes = {code.name for code in grpc.StatusCode}
    shown = {(code, reason) for code, reason in shown if code in codes}
    told = {(told.code.name, error.reason) for error, told in TABLE.items()}
    assert shown == told | {("INTERNAL", "INTERNAL")}


@pytest.mark.parametrize("program", PYTHON)
def test_the_python_examples_run_as_they_stand(server: Server, program: str) -> None:
    ada = str(next(iter(DEMO_TRADERS)))
    assert "localhost:50051" in program
    assert ada in program
    changed = program.replace("localhost:50051", server.target).replace(ada, str(ALICE))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", changed],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": PYTHONPATH},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("file", ["README.md", "alembic/README.md", "docs/ledger.md"])
def test_every_command_shown_can_be_typed_as_it_stands(file: str) -> None:
    """In a clone `blotter` is .venv/bin/blotter; each command and its subcommand exist."""
    lines = re.findall(r"^(?:    |.*\.venv).*$", (ROOT / file).read_text("utf-8"), re.MULTILINE)
    shown = [found for line in lines for found in re.findall(r"([./\w-]*\bblotter) ([a-z-]+)(?: ([a-z-]+))?", line)]
    commands = [match for match in shown if match[1] in cli.main.commands]
    assert commands
    for program, name, action in commands:
        assert program == ".venv/bin/blotter", (program, name)
        command = cli.main.commands[name]
        if isinstance(command, click.Group):
            assert action in command.commands
