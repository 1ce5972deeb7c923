"""The locks pin the requirements of pyproject.toml, each package by version and hash, and name no package index."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.paths import ROOT


def project(folder: str) -> dict[str, Any]:
    """Return the pyproject.toml of a distribution."""
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text("utf-8"))


SERVER, CLIENT, VERIFIER = project("."), project("packages/client"), project("packages/verifier")
OURS = {"blotter-client", "blotter-verifier"}
GROUPS = SERVER["dependency-groups"]
RUNTIME = [
    *(
        requirement
        for distribution in (SERVER, CLIENT, VERIFIER)
        for requirement in distribution["project"]["dependencies"]
        if Requirement(requirement).name not in OURS
    ),
    *SERVER["project"]["optional-dependencies"]["embedded"],
    *SERVER["build-system"]["requires"],
    *GROUPS["build"],
]
DEVELOPMENT = [*RUNTIME, *(item for item in GROUPS["dev"] if isinstance(item, str))]


def pinned(lock: str) -> dict[str, str]:
    """Return the version of each package in a lock. Fails if a line is not a pin with hashes."""
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


def test_the_three_distributions_have_one_version() -> None:
    version = SERVER["project"]["version"]
    assert [made["project"]["version"] for made in (CLIENT, VERIFIER)] == [version, version]
    ours = [text for text in SERVER["project"]["dependencies"] if Requirement(text).name in OURS]
    assert sorted(ours) == [f"{name}=={version}" for name in sorted(OURS)]


def test_both_locks_pin_the_same_versions() -> None:
    runtime, development = pinned("requirements.lock"), pinned("requirements-dev.lock")
    assert len(runtime) > 20
    assert runtime.items() <= development.items()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock", "benchmarks/peers/requirements.lock"])
def test_a_lock_names_no_package_index(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    assert "://" not in text
    assert "index-url" not in text


@pytest.mark.parametrize("folder", ["examples/node", "benchmarks/peers/node"])
def test_a_lock_of_npm_has_a_digest_and_no_address_for_each_package(folder: str) -> None:
    lock = json.loads((ROOT / folder / "package-lock.json").read_text("utf-8"))
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if "integrity" not in package] == []
