"""A PgBouncer in front of a test's database."""

# ruff: noqa: ASYNC240  # a few small files, before other tasks run
import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from tests.conftest import Database, bin_dir, cluster, database, logins, template
from tests.proxy import proxied

__all__ = ["bin_dir", "cluster", "database", "logins", "template"]


@dataclass(frozen=True, slots=True)
class Pooled(Database):
    """A database whose logins connect through PgBouncer; the superuser connects directly."""

    sockets: Path

    def conninfo(self, login: str) -> str:
        direct = Database.conninfo(self, login)
        return direct if login == "postgres" else make_conninfo(direct, host=str(self.sockets), port=6432)


@asynccontextmanager
async def pgbouncer(database: Database, pool_size: int, more: str = "") -> AsyncIterator[Pooled]:
    """Run a PgBouncer in transaction mode for the database, with `pool_size` server connections per login.

    `more` contains further lines of its configuration, each with a newline.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "make test-pgbouncer requires PgBouncer: apt-get install pgbouncer"
    # PgBouncer's account cannot access the folder of the socket, and therefore connects through a proxy.
    async with proxied(database) as behind:
        with tempfile.TemporaryDirectory(prefix="blotter-tests-") as name:
            folder = Path(name)
            folder.chmod(0o777)
            (folder / "users").write_text("")
            (folder / "pgbouncer.ini").write_text(
                f"[databases]\n{database.name} = host=127.0.0.1 port={behind.proxy.port} dbname={database.name}\n"
                f"[pgbouncer]\npool_mode = transaction\ndefault_pool_size = {pool_size}\nlisten_addr =\n{more}"
                f"listen_port = 6432\nunix_socket_dir = {folder}\nauth_type = trust\nauth_file = {folder}/users\n"
            )
            users = ("trader", "execution", "compliance", "desk", "sequencer", "owner")
            (folder / "users").write_text("".join(f'"blotter_{user}" ""\n' for user in users))
            account = ["-u", "nobody"] if os.geteuid() == 0 else []
            process = subprocess.Popen([program, *account, "-q", str(folder / "pgbouncer.ini")])  # noqa: ASYNC220  # returns at once; a fixed command
            try:
                async with asyncio.timeout(20):
                    while not (folder / ".s.PGSQL.6432").exists():  # a socket sets no event
                        assert process.poll() is None, "PgBouncer has ended"
                        await asyncio.sleep(0.02)
                yield Pooled(database.name, database.cluster, folder)
            finally:
                process.terminate()
                await asyncio.to_thread(process.wait, 20)
