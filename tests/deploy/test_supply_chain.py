"""The bill of materials names what the lock pins, and every licence of it can be carried by Apache-2.0."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from email.message import Message
from importlib.metadata import metadata
from pathlib import Path
from typing import Any, cast

import pytest
from packaging.markers import Marker

from tests.paths import ROOT

LOCK = (ROOT / "requirements.lock").read_text("utf-8")
PINS = re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)(?: ; ([^\\\n]+))?.*\n((?: +--hash=.*\n)+)", LOCK, re.MULTILINE)

ALLOWED = {
    "Apache-2.0": "the licence of this project",
    "BSD-2-Clause": "permissive",
    "BSD-3-Clause": "permissive",
    "MIT": "permissive",
    "MIT-0": "permissive",
    "PSF-2.0": "permissive",
    "LGPL-3.0-only": "psycopg: an unchanged library of its own that users can replace, as section 4 of the LGPL asks",
    "MPL-2.0": "pathspec: builds the wheels, is not part of them; copyleft covers its own files alone",
}
"""The licences of packages, by SPDX identifier, and why each may stand beside Apache-2.0."""

NAMES = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""What packages without a licence expression (PEP 639) call their licence."""


def bill(file: Path) -> dict[str, Any]:
    """Run `make sbom`, and return what it writes."""
    make = ["make", "--silent", "--old-file=.venv/.dev", f"PY={sys.executable}", "sbom", f"SBOM={file}"]
    make += ["SBOM_FLAGS=--no-validate"]  # takes eight seconds; CI runs `make sbom` with it
    subprocess.run(make, cwd=ROOT, check=True, timeout=120)
    content: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return content


def test_the_bill_of_materials_has_every_pinned_package_and_no_time_of_its_own(tmp_path: Path) -> None:
    content = bill(tmp_path / "bill.json")
    assert content["metadata"]["component"]["name"] == "blotter"
    listed = {
        (one["name"], one["version"], digest["content"])
        for one in content["components"]
        for reference in one["externalReferences"]
        for digest in reference["hashes"]
    }
    pinned = {
        (name, version, digest) for name, version, _, lines in PINS for digest in re.findall("sha256:(.+?)[ \n]", lines)
    }
    assert len({name for name, _, _ in pinned}) == len(re.findall(r"^\S+==", LOCK, re.MULTILINE))
    assert listed == pinned
    assert "timestamp" not in content["metadata"]  # and no serial number: the same lock gives the same bytes
    assert "serialNumber" not in content


def licence(about: Message) -> str:
    """The SPDX expression of a package's licence. Of several classifiers, which may mean a choice, all must hold."""
    if expression := about.get("License-Expression"):
        return str(expression)
    named = [one.rpartition(" :: ")[2] for one in about.get_all("Classifier", []) if one.startswith("License :: ")]
    return " AND ".join(NAMES.get(name, name) for name in named or [about.get("License", "none")])


def is_allowed(expression: str) -> bool:
    """Return whether one of the alternatives of an SPDX expression without parentheses is allowed in all its parts."""
    return any(set(choice.split(" AND ")) <= set(ALLOWED) for choice in expression.split(" OR "))


@pytest.mark.parametrize("name", [name for name, _, marker, _ in PINS if not marker or Marker(marker).evaluate()])
def test_every_licence_can_be_carried(name: str) -> None:
    assert is_allowed(licence(cast("Message", metadata(name))))


def test_an_expression_is_allowed_by_one_alternative_with_all_its_parts() -> None:
    assert is_allowed("GPL-3.0-only OR MIT")
    assert is_allowed("Apache-2.0 AND MIT")
    assert not is_allowed("MIT AND GPL-3.0-only")
    assert not is_allowed("AGPL-3.0-only")
    assert not is_allowed("none")
