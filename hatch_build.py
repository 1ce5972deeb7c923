"""Adds the revisions, the SQL and the contract to the wheel; `service/resources.py` finds them as data of `service`."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

DATA = {name: f"service/data/{name}" for name in ("alembic", "alembic.ini", "protos/blotter", "sql")}


class Data(BuildHookInterface[Any]):
    """The design fixes the places of the folders and files at the top level, which is outside of any package."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files, unless the install is editable and reads them where they are."""
        if version != "editable":
            build_data["force_include"].update(DATA)
