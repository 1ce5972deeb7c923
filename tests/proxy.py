"""A TCP proxy in front of Postgres that can lose packets in silence, as a network that is cut does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.conftest import Database


class Connection:
    """One client's connection through the proxy.

    While `deaf`, what either side sends is taken and dropped; while `mute`, what Postgres answers.
    """

    def __init__(self, *, deaf: bool) -> None:
        self.deaf = deaf
        self.mute = False
        self.closed = asyncio.Event()

    async def ask(self, reader: asyncio.StreamReader, postgres: asyncio.StreamWriter) -> None:
        """Pass on what the client sends until it closes."""
        while data := await reader.read(65536):
            if not self.deaf:
                postgres.write(data)
                await postgres.drain()

    async def answer(self, postgres: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what Postgres answers until it closes."""
        while data := await postgres.read(65536):
            if not self.deaf and not self.mute:
                writer.write(data)
                await writer.drain()


class Proxy:
    """Passes connections on to a Unix-domain socket.

    After `deafen`, it loses what they send; after `mute`, the answers alone. Neither side is notified before `cut`.
    """

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

    def mute(self) -> None:
        """Lose what Postgres answers on the open connections from now on: what it is asked for is done."""
        for connection in self._connections:
            connection.mute = True

    def cut(self) -> None:
        """Close the open connections. New ones are served."""
        for connection in self._connections:
            connection.closed.set()

    def heal(self) -> None:
        """Serve connections to come. Those that lost bytes stay deaf, as a connection does whose peer is gone."""
        self._new_are_deaf = False

    def move(self, database: Database) -> None:
        """Pass connections to come on to the server of that database, as a name does that now resolves to it."""
        self._socket = socket_of(database)

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
        try:
            upstream, postgres = await asyncio.open_unix_connection(self._socket)
        except OSError:  # no server is there
            writer.transport.abort()
            return
        connection = Connection(deaf=self._new_are_deaf)
        self._connections.add(connection)
        ends = [
            asyncio.create_task(connection.ask(reader, postgres)),
            asyncio.create_task(connection.answer(upstream, writer)),
            asyncio.create_task(connection.closed.wait()),
            asyncio.create_task(self._closed.wait()),
        ]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        self._connections.discard(connection)
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        for side in (writer, postgres):
            side.transport.abort()


def socket_of(database: Database) -> str:
    """The Unix-domain socket of the database's server."""
    direct = conninfo_to_dict(database.conninfo("postgres"))
    return f"{direct['host']}/.s.PGSQL.{direct['port']}"


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
    proxy = Proxy(socket_of(database))
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield ProxiedDatabase(database.name, database.cluster, proxy)
    finally:
        server.close()
        await proxy.close()
