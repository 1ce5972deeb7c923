"""Adds the stubs to the wheel. An editable install imports them from `generated/`."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STUBS = {"../../generated/blotter": "blotter", "blotter_client/py.typed": "blotter/py.typed"}


class Stubs(BuildHookInterface[Any]):
    """Includes `generated/`, which is outside this folder and therefore not covered by hatchling's `packages`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the stubs, unless the install is editable."""
        if version != "editable":
            build_data["force_include"].update(STUBS)
