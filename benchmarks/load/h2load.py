"""nghttp2's `h2load`, which is written in C: where it is installed, it shows how much the project's own load costs.

It does not take the place of that load. It sends the same body with each call, so that each order needs a key made by
the service; it counts a call that failed as a success, since HTTP's status is 200; and ratios that were measured with
one load cannot be compared with ratios of the other.
"""

from __future__ import annotations

import asyncio
import re
import tempfile

from benchmarks import processes
from benchmarks.load.plan import Caller, Plan


async def rate_by_h2load(program: str, plan: Plan) -> float:
    """Return calls a second: one process for each caller of the plan, with one connection."""
    printed = await asyncio.gather(*(_run(program, plan, caller) for caller in plan.callers))
    return sum(map(_calls, printed)) / plan.seconds


async def _run(program: str, plan: Plan, caller: Caller) -> str:
    body = caller.body
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\0" + len(body).to_bytes(4, "big") + body)
        file.flush()
        headers = {"content-type": "application/grpc", "te": "trailers"} | dict(caller.headers)
        return await processes.run(
            program,
            "--clients=1",
            f"--max-concurrent-streams={plan.streams}",
            f"--duration={plan.seconds * 1000:.0f}ms",
            f"--warm-up-time={plan.warm_seconds * 1000:.0f}ms",
            *(f"--header={name}: {value}" for name, value in headers.items()),
            f"--data={file.name}",
            f"http://{plan.target}{plan.path}",
        )


def _calls(printed: str) -> int:
    found = re.search(r"requests: .* (\d+) succeeded", printed)
    if not found:
        raise RuntimeError(f"h2load printed something else than expected: {printed[-500:]}")
    return int(found.group(1))
