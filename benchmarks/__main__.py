"""The benchmark: starts everything, measures pairs in turns, and prints one table. See docs/performance.md.

    make bench ARGS="--rounds 5 --seconds 1.5 --groups calls database"

The exit status is 1 if a row failed, or fell below its recorded ratio by more than the spread.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.harness import Harness
from benchmarks.rows import calls, database, ledger, neighbours, watching, workers
from benchmarks.stage import Size, stage

GROUPS: dict[str, Any] = {
    "calls": calls,
    "database": database,
    "watching": watching,
    "ledger": ledger,
    "neighbours": neighbours,
    "workers": workers,
}


async def main(options: argparse.Namespace) -> bool:
    """Measure and report; return whether all is well."""
    begun = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - begun:4.0f} s {line}", file=sys.stderr, flush=True)

    harness = Harness(options.rounds, options.seconds, say, options.warm)
    async with stage(harness, Size(options.watchers, options.logs)) as running:
        about = report.environment(running.cluster.psql("SHOW server_version").strip())
        for name in options.groups:
            say(name)
            failure = None
            try:
                await GROUPS[name].run(running)
            except Exception as error:  # noqa: BLE001  # the other groups are measured, and the table names the failure
                failure = f"{type(error).__name__}: {error}"
                say(f"  failed: {failure}")
            harness.compare(GROUPS[name].ROWS, failure)
    well = report.finish(harness, about, options.write, options.folder)
    if options.record:
        report.record(harness, options.folder)
    return well


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--warm", type=float, default=1, help="seconds of each measurement before the first round")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--watchers", type=int, default=1000, help="streams of a trader each, at most 1,000")
    parser.add_argument("--logs", type=int, default=30_000, help="how many logs are read again, at least")
    parser.add_argument("--record", action="store_true", help="make these results the recorded ones")
    parser.add_argument("--write", metavar="NAME", help="write NAME.md and NAME.json")
    parser.add_argument("--folder", type=Path, default=report.FOLDER, help="of the results and of recorded.json")
    sys.exit(not asyncio.run(main(parser.parse_args())))
