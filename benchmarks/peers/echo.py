"""The bare echo: a grpc.aio server that answers each method with bytes it was given, and does nothing else.

`python -m benchmarks.peers.echo ADDRESS FOLDER`: the response of `/echo/NAME` is the file NAME of the folder. Nothing
is parsed and nothing is serialised, so that this is what gRPC itself takes for a call of those bytes in Python.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc
from grpc import aio


def handler(response: bytes) -> Any:
    """Return the handler that answers with the bytes."""

    async def answer(_request: bytes, _context: object) -> bytes:
        return response

    return grpc.unary_unary_rpc_method_handler(answer)


async def main(address: str, responses: dict[str, bytes]) -> None:
    """Serve until the process is ended."""
    server = aio.server()
    handlers = {name: handler(response) for name, response in responses.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo", handlers),))
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], {path.name: path.read_bytes() for path in Path(sys.argv[2]).iterdir()}))
