"""Try each mutant on a copy of the tree: `python -m tests.mutants [word ...]` takes those whose name has a word."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from service.embedded import Cluster
from tests.conftest import UNSAFE_BUT_FAST
from tests.mutants.lists import BROADER, MUTANTS
from tests.mutants.mutant import ROOT, Mutant, write

COPIED: tuple[str, ...] = (
    "service",
    "generated",
    "alembic",
    "alembic.ini",
    "sql",
    "tests",
    "pyproject.toml",
    "protos",
    "README.md",
)
COPIED += ("docs", "benchmarks", "packages", "replay", "examples", "deploy")
TIMEOUT_SECONDS = 240
PYTEST = (sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:xdist", "-p", "no:cacheprovider", "--no-header")


def main() -> int:
    """Run the mutants; return 1 where one survives that is not explained, or a selection fails without a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants whose file or text has one of these words")
    parser.add_argument("--narrow", action="store_true", help="do not try survivors on the broader selection of tests")
    parser.add_argument("--clean", action="store_true", help="only run each selection without a fault")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    chosen = [mutant for mutant in MUTANTS if not asked.words or any(word in mutant.name for word in asked.words)]
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="blotter-mutants-") as folder:
        copy, postgres = Path(folder) / "tree", Path(folder) / "pg"
        cluster = Cluster(postgres, options=UNSAFE_BUT_FAST)
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(
                    ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".venv", "node_modules")
                )
            elif (ROOT / name).exists():
                copy.mkdir(exist_ok=True)
                shutil.copy(ROOT / name, copy / name)
        cluster.start()
        try:
            # A selection that fails without a fault would pass for one that notices every fault.
            for tests in sorted({mutant.tests for mutant in chosen}):
                outcome = "clean" if _run(copy, postgres, tests) == "SURVIVED" else "FAILS"
                outcomes[outcome] += 1
                print(f"{outcome:9} without a fault: {' '.join(tests)}", flush=True)  # noqa: T201
            if asked.clean or outcomes["FAILS"]:
                return int(outcomes["FAILS"] > 0)
            for number, mutant in enumerate(chosen, start=1):
                started = time.monotonic()
                outcome = _try(mutant, copy, postgres, number, broader=not asked.narrow)
                outcomes[outcome] += 1
                seconds = time.monotonic() - started
                print(f"{outcome:9} {seconds:4.0f} s  {number}/{len(chosen)} {mutant.name}", flush=True)  # noqa: T201
        finally:
            cluster.stop()
    del outcomes["clean"]
    print(", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())))  # noqa: T201
    return int(outcomes["SURVIVED"] > 0)


def _try(mutant: Mutant, copy: Path, postgres: Path, tick: int, *, broader: bool) -> str:
    file = copy / mutant.file
    original = file.read_text("utf-8")
    write(file, mutant.text(copy), 2 * tick)
    try:
        schema = mutant.file.startswith("alembic/")
        outcome = _run(copy, postgres, mutant.tests, schema=schema)
        if outcome == "SURVIVED" and broader and not mutant.explained:
            # Many tests, and slow ones: out of time is no proof that one of them noticed anything.
            broad = _run(copy, postgres, BROADER[mutant.file.split("/")[0]], schema=schema)
            outcome = "killed" if broad == "killed" else "SURVIVED"
    finally:
        write(file, original, 2 * tick + 1)
    return "explained" if outcome == "SURVIVED" and mutant.explained else outcome


def _run(copy: Path, postgres: Path, tests: tuple[str, ...], *, schema: bool = False) -> str:
    """Run tests in the copy, on the one Postgres; with `schema`, on a schema made anew.

    A mutant that hangs them counts as noticed, under its own name.
    """
    environment = os.environ | {"TEST_CLUSTER": str(postgres)}
    if not schema:
        environment["TEST_TEMPLATE"] = "template_of_mutants"
    chosen = [test.partition(" -k ")[::2] for test in tests]
    # One -k serves all files: a file that is wanted whole is chosen by its own name.
    words = " or ".join(f"({word or Path(file).stem})" for file, word in chosen)
    files = list(dict.fromkeys(file for file, _ in chosen))
    selected = ("-k", words) if any(word for _, word in chosen) else ()
    process = subprocess.Popen(
        (*PYTEST, *files, *selected),
        cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        return "timeout"
    if process.returncode in {0, 1}:
        return "killed" if process.returncode else "SURVIVED"
    if process.returncode == 5 or b"no tests ran" in output:
        raise SystemExit(f"Nothing is selected by {tests}:\n{output.decode()[-2000:]}")
    return "killed"  # a fault that the import or a fixture of the tests notices


if __name__ == "__main__":
    sys.exit(main())
