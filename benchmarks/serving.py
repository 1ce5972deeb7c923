"""The database and the server of a benchmark."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

from grpc import aio
from psycopg.conninfo import conninfo_to_dict

from service.cli import provisioning
from service.sequencing import KeyFolder
from service.settings import Settings

TARGET = "127.0.0.1:50061"


@asynccontextmanager
async def database() -> AsyncIterator[str]:
    """Run a database until the block ends; yield its conninfo."""
    with tempfile.TemporaryDirectory() as folder, provisioning.owned(Settings(home=Path(folder))) as conninfo:
        yield conninfo


@asynccontextmanager
async def serving(conninfo: str, target: str = TARGET, **settings: str) -> AsyncIterator[int]:
    """Run a server in another process until the block ends, with a signed ledger; yield the process id."""
    with tempfile.TemporaryDirectory() as folder:
        keys = KeyFolder(Path(folder) / "keys")
        keys.generate("localhost/blotter")
        environment = os.environ | {
            "BLOTTER_DATABASE_URL": _url(conninfo),
            "BLOTTER_LISTEN": target,
            "BLOTTER_LOG_LEVEL": "WARNING",
            "BLOTTER_LEDGER_KEYS": str(keys.folder),
            **settings,
        }
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service", "serve", env=environment, stdout=asyncio.subprocess.DEVNULL
        )
        try:
            async with aio.insecure_channel(target) as channel:
                await channel.channel_ready()
            yield server.pid
        finally:
            server.terminate()
            await server.wait()


def _url(conninfo: str) -> str:
    """Return the conninfo in the form of BLOTTER_DATABASE_URL: a URL without a user."""
    parts = conninfo_to_dict(conninfo)
    return f"postgresql:///{parts['dbname']}?{urlencode({'host': parts['host'], 'port': parts['port']})}"
