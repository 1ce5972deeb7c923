"""Reads a stream of logs to its end: `python -m benchmarks.load.catchup` reads a plan from standard input.

Prints how many logs came and how many seconds it took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from benchmarks.load.plan import Plan
from benchmarks.load.watching import Streams, connected
from blotter.audit.v1 import audit_service_pb2


async def main(plan: Plan) -> None:
    """Read the stream."""
    logs = 0

    def taken(_number: int, message: bytes) -> None:
        nonlocal logs
        logs += len(audit_service_pb2.StreamExecutionLogsResponse.FromString(message).logs.execution_logs)

    connection = Streams(plan.target, plan.path, plan.callers, 0, taken)
    begun = time.perf_counter()
    await connected(connection, plan.target)
    async with asyncio.timeout(plan.seconds):
        await connection.finished.wait()
    print(json.dumps({"logs": logs, "seconds": time.perf_counter() - begun}))
    connection.close()


if __name__ == "__main__":
    asyncio.run(main(Plan.load(sys.stdin.read())))
