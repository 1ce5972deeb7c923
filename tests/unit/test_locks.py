"""The locks pin what pyproject.toml asks for, each package by version and hash, and name no package index."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.paths import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
GROUPS = PROJECT["dependency-groups"]
RUNTIME = [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"], *GROUPS["build"]]
DEVELOPMENT = [*RUNTIME, *(item for item in GROUPS["dev"] if isinstance(item, str))]


def pinned(lock: str) -> dict[str, str]:
    """Return the version of each package in a lock. Fails where a line is not a pin with hashes."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / lock).read_text("utf-8"), flags=re.MULTILINE)
    versions: dict[str, str] = {}
    for entry in text.replace("\\\n", " ").splitlines():
        found = re.fullmatch(
            r"([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)\s*(?:;[^\\]*?)?((?:\s+--hash=sha256:[0-9a-f]{64})+)\s*", entry
        )
        assert found, f"{lock} has a line that is not a pin with hashes: {entry[:80]}"
        versions[canonicalize_name(found[1])] = found[2]
    return versions


@pytest.mark.parametrize(("lock", "required"), [("requirements.lock", RUNTIME), ("requirements-dev.lock", DEVELOPMENT)])
def test_a_lock_satisfies_every_requirement_of_the_project(lock: str, required: list[str]) -> None:
    versions = pinned(lock)
    wanted = [Requirement(text) for text in required]
    missing = [str(requirement) for requirement in wanted if canonicalize_name(requirement.name) not in versions]
    assert not missing, f"{lock} lacks {missing}: run make lock"
    stale = [
        str(requirement)
        for requirement in wanted
        if not requirement.specifier.contains(versions[canonicalize_name(requirement.name)], prereleases=True)
    ]
    assert not stale, f"{lock} pins other versions than {stale}: run make lock"


def test_both_locks_pin_the_same_versions() -> None:
    runtime, development = pinned("requirements.lock"), pinned("requirements-dev.lock")
    assert len(runtime) > 20
    assert runtime.items() <= development.items()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_names_no_package_index(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    assert "://" not in text
    assert "index-url" not in text
