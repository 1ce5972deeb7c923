"""The README and the pages of docs/ agree with the code."""

import os
import re
import subprocess
import sys

import click
import pytest

from replay.traders import DEMO_TRADERS
from service.cli.main import COMMANDS, main
from service.domain import errors
from service.domain.errors import BlotterError
from service.settings import Settings
from service.status import TABLE, Answer
from tests.conftest import ALICE
from tests.paths import PYTHONPATH, ROOT
from tests.serving import Server

PYTHON = [
    program
    for file in ("README.md", "docs/contract.md")
    for program in re.findall(r"^```python\n(.*?)^```", (ROOT / file).read_text("utf-8"), re.MULTILINE | re.DOTALL)
]
ERRORS = (ROOT / "docs" / "errors.md").read_text("utf-8")


def test_no_setting_is_named_that_does_not_exist() -> None:
    known = {f"BLOTTER_{name.upper()}" for name in Settings.model_fields} | {"BLOTTER_OWNER_URL"}
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        assert set(re.findall(r"BLOTTER_[A-Z_]+[A-Z]", page.read_text("utf-8"))) <= known, page.name


def test_every_error_is_shown_with_its_status_and_its_retry() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| `([A-Z_]+)` \| .+? \| ([^|]+) \| .+? \|$", ERRORS, flags=re.MULTILINE)
    assert len(rows) == len(set(rows))
    statuses = {(answer.code.name, error.reason, _retry(error, answer)) for error, answer in TABLE.items()}
    assert set(rows) == statuses | {("INTERNAL", "INTERNAL", "no")}


def test_every_error_of_the_domain_is_in_the_table_of_statuses() -> None:
    assert {kind for kind in vars(errors).values() if _is_error(kind)} == set(TABLE)


def _is_error(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BlotterError) and kind is not BlotterError


def _retry(error: type[BlotterError], answer: Answer) -> str:
    if error is errors.RateLimited:
        return "after the time that it names"
    return "no" if answer.retry_after is None else f"after {answer.retry_after.total_seconds():g} s"


def test_every_link_leads_to_a_file_of_the_clone() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "packages").glob("*/README.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), (page.name, link)


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


@pytest.mark.parametrize(
    "file",
    [
        "README.md",
        "alembic/README.md",
        "docs/backup.md",
        "docs/installation.md",
        "docs/ledger.md",
        "docs/operations.md",
    ],
)
def test_every_command_shown_can_be_typed_as_it_stands(file: str) -> None:
    """In a clone `blotter` is .venv/bin/blotter; each command and its subcommand exist."""
    lines = re.findall(r"^(?:    |.*\.venv).*$", (ROOT / file).read_text("utf-8"), re.MULTILINE)
    shown = [found for line in lines for found in re.findall(r"([./\w-]*\bblotter) ([a-z-]+)(?: ([a-z-]+))?", line)]
    commands = [match for match in shown if match[1] in COMMANDS]
    assert commands
    for program, name, action in commands:
        assert program == ".venv/bin/blotter", (program, name)
        command = main.get_command(click.Context(main), name)
        if isinstance(command, click.Group):
            assert action in command.commands
