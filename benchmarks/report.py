"""Prints the table, writes it as Markdown and JSON, and compares it with what was recorded."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import serving
from benchmarks.harness import Harness, Measured, Result

FOLDER = Path(__file__).parent / "results"
_RECORDED = "recorded.json"
_PACKAGES = ("grpcio", "protobuf", "psycopg")


def recorded(folder: Path) -> dict[str, dict[str, float]]:
    """Return the recorded rows, key to median and spread; none if nothing was recorded."""
    path = folder / _RECORDED
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def fallen(result: Result, known: Mapping[str, Mapping[str, float]]) -> bool:
    """Whether a row is worse than its recorded ratio by more than the spread, the larger of both."""
    before = known.get(result.row.key)
    if before is None or not result.rounds:
        return False
    worse = result.median - before["median"] if result.row.most else before["median"] - result.median
    return worse > max(result.spread, before["spread"])


def record(harness: Harness, folder: Path) -> None:
    """Make the results of the rows that were measured the recorded ones."""
    now = {
        result.row.key: {"median": round(result.median, 4), "spread": round(result.spread, 4)}
        for result in harness.results
        if result.rounds
    }
    (folder / _RECORDED).write_text(json.dumps(recorded(folder) | now, indent=2, sort_keys=True) + "\n", "utf-8")


def environment(server_version: str) -> dict[str, str]:
    """Return what the figures depend on: machine, versions, commit."""
    found = {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": _first_line("git", "rev-parse", "--short", "HEAD"),
        "machine": f"{os.cpu_count()} cores, {_processor()}, {platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "PostgreSQL": server_version,
        "a write of 8 kB and its fsync": f"{serving.sync_ms(Path(tempfile.gettempdir())):.2f} ms",
        "Node": _first_line("node", "--version"),
    }
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return done.stdout.split("\n", 1)[0]


def _processor() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.processor()


def markdown(harness: Harness, about: Mapping[str, str]) -> str:
    """Return the tables of the rows and of the arms."""
    lines = [
        "; ".join(f"{name} {value}" for name, value in about.items()) + ".",
        f"Medians of {harness.rounds} rounds of {harness.seconds:g} s each, in turns; in brackets lowest and highest.",
        "",
        "| row | aim | measured | | by CPU time |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {each.row.what} | {_aim(each)} | {_value(each)} | {_met(each)} | {_by_cpu(each)} |"
        for each in harness.results
    ]
    lines += [
        "",
        "| measured | median | p50, p99 in ms | CPU ms for each: server; Postgres | cores of the load |",
        "|---|---|---|---|---|",
    ]
    lines += [_arm(name, measured) for name, measured in harness.measured.items()]
    return "\n".join([*lines, "", *harness.notes]) + "\n"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _aim(result: Result) -> str:
    row = result.row
    return "-" if row.aim is None else f"{'≤' if row.most else '≥'} {_number(row.aim)}{row.unit and ' ' + row.unit}"


def _value(result: Result) -> str:
    if not result.rounds:
        return f"not run: {result.failure}"
    low, high = min(result.rounds), max(result.rounds)
    unit = result.row.unit and " " + result.row.unit
    return f"{_number(result.median)}{unit} ({_number(low)} to {_number(high)})"


def _met(result: Result) -> str:
    return {True: "met", False: "missed", None: ""}[result.met]


def _by_cpu(result: Result) -> str:
    return "" if result.by_cpu is None else _number(result.by_cpu)


def _arm(name: str, measured: Measured) -> str:
    if not measured.samples:
        return f"| {name} | not run: {measured.failure} | | | |"
    p50, p99, server, postgres, load = (
        measured.median(figure) for figure in ("p50_ms", "p99_ms", "server_ms", "postgres_ms", "load_cores")
    )
    latency = f"{p50:.2f}, {p99:.2f}" if p50 is not None and p99 is not None else ""
    cpu = "; ".join("-" if each is None else f"{each:.3f}" for each in (server, postgres))
    value = f"{_number(measured.median() or 0)} {measured.unit}"
    return f"| {name} | {value} | {latency} | {cpu} | {'' if load is None else f'{load:.2f}'} |"


def as_json(harness: Harness, about: Mapping[str, str]) -> dict[str, Any]:
    """Return everything that was measured."""
    rows = {
        result.row.key: asdict(result.row)
        | {"rounds": list(result.rounds), "failure": result.failure}
        | ({"median": result.median, "spread": result.spread, "met": result.met} if result.rounds else {})
        | {"by_cpu": result.by_cpu}
        for result in harness.results
    }
    return {
        "about": dict(about),
        "rounds": harness.rounds,
        "seconds": harness.seconds,
        "rows": rows,
        "arms": {name: asdict(measured) for name, measured in harness.measured.items()},
        "notes": harness.notes,
    }


def finish(harness: Harness, about: Mapping[str, str], name: str | None, folder: Path = FOLDER) -> bool:
    """Print the table, and write it to the folder if `name` is given.

    Returns whether no row failed, but for peers that the machine lacks, and none is worse than the folder's record.
    """
    table = markdown(harness, about)
    known = recorded(folder)
    bad = {f"| {each.row.what} |" for each in harness.results if fallen(each, known) or _failed(each)}
    red, plain = ("", "") if "NO_COLOR" in os.environ else ("\033[31m", "\033[0m")
    for line in table.splitlines():
        print(f"{red}{line}{plain}" if any(map(line.startswith, bad)) else line)
    for result in harness.results:
        if fallen(result, known):
            before = known[result.row.key]
            sentence = f"{result.row.what}: {_number(result.median)}, recorded {_number(before['median'])}"
            print(f"{red}FALLEN by more than the spread: {sentence}{plain}")
    if name:
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.md").write_text(table, "utf-8")
        (folder / f"{name}.json").write_text(json.dumps(as_json(harness, about), indent=2) + "\n", "utf-8")
        print(f"Written to {folder / name}.md and .json")
    return not bad


def _failed(result: Result) -> bool:
    """Whether a row failed for another reason than something that the machine lacks."""
    return result.failure is not None and not result.missing
