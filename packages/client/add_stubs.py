"""Adds the stubs to both distributions. An editable install imports them from `generated/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STUBS = "generated/blotter"
"""The folder of the stubs in the repository, two levels up, and in the source distribution."""


class Stubs(BuildHookInterface[Any]):
    """Includes `generated/`, which is outside this folder and therefore not covered by hatchling's `packages`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the stubs, unless the install is editable."""
        if version == "editable":
            return
        unpacked = Path(self.root) / STUBS
        stubs = str(unpacked) if unpacked.is_dir() else f"../../{STUBS}"
        if self.target_name == "sdist":
            build_data["force_include"][stubs] = STUBS
        else:
            build_data["force_include"] |= {stubs: "blotter", "blotter_client/py.typed": "blotter/py.typed"}
