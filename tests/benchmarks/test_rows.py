"""Every row of the benchmark can be measured: a round of each group against a real service, as short as it can be."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

PATIENCE_SECONDS = 120


@pytest.mark.parametrize("group", ["calls", "database"])
async def test_a_group_of_rows_is_measured(group: str, tmp_path: Path) -> None:
    command = ("-m", "benchmarks", "--rounds", "1", "--seconds", "0.2", "--warm", "0", "--groups", group)
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        "--folder",
        str(tmp_path),
        "--write",
        "smoke",
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await asyncio.wait_for(running.communicate(), PATIENCE_SECONDS)
    written = json.loads((tmp_path / "smoke.json").read_text("utf-8"))
    assert running.returncode == 0, printed.decode()
    assert written["rows"]
    for row in written["rows"].values():
        # Peers are installed by `make bench` only.
        assert row["failure"] is not None or row["median"] > 0
    ours = [arm for name, arm in written["arms"].items() if arm["failure"] is None]
    assert ours
    assert all(sample["value"] > 0 for arm in ours for sample in arm["samples"])
