"""A TCP proxy in front of Postgres that can lose packets in silence, as a network that is cut does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.conftest import Database


class Connection:
    """One client's connection through the proxy. While `deaf`, what either side sends is taken and dropped."""

    def __init__(self, *, deaf: bool) -> None:
        self.deaf = deaf

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what one side sends until it closes."""
        while data := await reader.read(65536):
            if not self.deaf:
                writer.write(data)
                await writer.drain()


class Proxy:
    """Passes connections on to a Unix-domain socket; after `deafen`, loses what they send. Neither side is notified."""

    def __init__(self, socket: str) -> None:
        self.port = 0
        self._socket = socket
        self._connections: set[Connection] = set()
        self._new_are_deaf = False
        self._closed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def count(self) -> int:
        """How many connections are open, the deaf ones included."""
        return len(self._connections)

    def deafen(self, *, new: bool = True) -> None:
        """Lose what the open connections send from now on, and (`new`) those to come."""
        self._new_are_deaf = new
        for connection in self._connections:
            connection.deaf = True

    def heal(self) -> None:
        """Serve connections to come. Those that lost bytes stay deaf, as a connection does whose peer is gone."""
        self._new_are_deaf = False

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection in a task."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all connections."""
        self._closed.set()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(deaf=self._new_are_deaf)
        self._connections.add(connection)
        upstream, postgres = await asyncio.open_unix_connection(self._socket)
        ends = [
            asyncio.create_task(connection.pump(reader, postgres)),
            asyncio.create_task(connection.pump(upstream, writer)),
            asyncio.create_task(self._closed.wait()),
        ]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        self._connections.discard(connection)
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        for side in (writer, postgres):
            side.transport.abort()


@dataclass(frozen=True, slots=True)
class ProxiedDatabase(Database):
    """A database whose logins connect through a proxy. The superuser connects directly, to look around and tidy up."""

    proxy: Proxy

    def conninfo(self, login: str) -> str:
        direct = Database.conninfo(self, login)
        if login == "postgres":
            return direct
        return make_conninfo(direct, host="127.0.0.1", port=self.proxy.port)


@asynccontextmanager
async def proxied(database: Database) -> AsyncIterator[ProxiedDatabase]:
    """The database behind a proxy, which runs in this event loop."""
    direct = conninfo_to_dict(database.conninfo("postgres"))
    proxy = Proxy(f"{direct['host']}/.s.PGSQL.{direct['port']}")
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield ProxiedDatabase(database.name, database.cluster, proxy)
    finally:
        server.close()
        await proxy.close()
