"""The synchronous modules are generated from the asyncio ones."""

from __future__ import annotations

import inspect
import subprocess
import sys

from blotter_client import AsyncClient, Client
from tests.paths import ROOT

GENERATOR = ROOT / "packages" / "client" / "generate_sync.py"


def test_they_are_up_to_date() -> None:
    checked = subprocess.run(
        [sys.executable, GENERATOR, "--check"], capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_both_clients_have_the_same_methods_and_parameters() -> None:
    def methods(client: type) -> dict[str, list[str]]:
        public = inspect.getmembers(client, inspect.isfunction)
        return {name: list(inspect.signature(method).parameters) for name, method in public if name[0] != "_"}

    assert methods(AsyncClient) == methods(Client)
