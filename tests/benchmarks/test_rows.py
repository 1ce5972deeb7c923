"""Rows of the benchmark can be measured: one round of some groups against a real service, as short as it can be."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tests.paths import ROOT

PATIENCE_SECONDS = 120
GROUPS = ("calls", "database", "watching")


async def test_groups_of_rows_are_measured(tmp_path: Path) -> None:
    short = ("--rounds", "1", "--seconds", "0.2", "--warm", "0", "--watchers", "20", "--groups", *GROUPS)
    command = (sys.executable, "-m", "benchmarks", *short, "--folder", str(tmp_path), "--write", "smoke")
    running = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    printed, _ = await asyncio.wait_for(running.communicate(), PATIENCE_SECONDS)
    written = json.loads((tmp_path / "smoke.json").read_text("utf-8"))
    assert running.returncode == 0, printed.decode()
    assert written["rows"]
    for row in written["rows"].values():
        # The packages of the peers are installed by `make bench` only.
        assert "not installed" in row["failure"] if row["failure"] else row["median"] >= 0
    samples = [sample for arm in written["arms"].values() for sample in arm["samples"]]
    assert all(sample["value"] > 0 for sample in samples if sample["p50_ms"] is not None)
    assert len(samples) > len(GROUPS)
