"""The configuration of deploy/pgbouncer, with passwords, between a service of the compose file and its database."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from blotter.orders.v1 import order_service_pb2 as pb
from service.server import running
from tests.authentication.certificates import Authority, trusting
from tests.authentication.issuer import ISSUER, Issuer, bearer
from tests.authentication.serving import TlsFolder, by_token, secured
from tests.conftest import ALICE, BOB, Database
from tests.operations.command_line import free_port
from tests.paths import ROOT
from tests.proxy import proxied
from tests.serving import as_trader, connected, order_request, settings

SHIPPED = ROOT / "deploy" / "pgbouncer"
LOGINS = ("trader", "execution", "compliance", "desk")


@asynccontextmanager
async def shipped(database: Database, folder: Path, pool_size: int | None = None) -> AsyncIterator[int]:
    """Run PgBouncer as the image does, with other addresses and paths; yields its port."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "make test-pgbouncer requires PgBouncer: apt-get install pgbouncer"
    port = free_port()
    async with proxied(database) as behind:
        ini = (SHIPPED / "pgbouncer.ini").read_text("utf-8")
        for own, here in (
            ("blotter = host=postgres port=5432", f"blotter = host=127.0.0.1 port={behind.proxy.port}"),
            ("listen_addr = *", "listen_addr = 127.0.0.1\nunix_socket_dir ="),
            ("listen_port = 6432", f"listen_port = {port}"),
            ("auth_file = /tmp/users", f"auth_file = {folder}/users"),
        ):
            assert own in ini, own
            ini = ini.replace(own, here)
        if pool_size is not None:
            ini = ini.replace("default_pool_size = 8", f"default_pool_size = {pool_size}")
        (folder / "pgbouncer.ini").write_text(ini)
        start = (SHIPPED / "start.sh").read_text("utf-8").replace("/run/secrets", str(folder))
        start = start.replace("> /tmp/users", f"> {folder}/users").replace("/etc/pgbouncer/", f"{folder}/")
        account = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
        process = subprocess.Popen([*account, "sh", "-c", start], env=environment, stderr=subprocess.DEVNULL)  # noqa: ASYNC220
        try:
            async with asyncio.timeout(20):
                while not await _accepts(port):
                    assert process.poll() is None, "PgBouncer has ended"
                    await asyncio.sleep(0.02)
            yield port
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 20)


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a password of each login, which the account of PgBouncer can read and write."""
    with tempfile.TemporaryDirectory(prefix="blotter-tests-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        for login in LOGINS:
            (folder / f"blotter_{login}_password").write_text(f"{uuid4().hex}\n")
        yield folder


async def test_the_logins_of_the_service_call_through_it_with_their_passwords(database: Database, folder: Path) -> None:
    async with shipped(database, folder) as port:
        url = f"postgresql://127.0.0.1:{port}/blotter"
        own = settings(database_url=url, database_pooler=True, secrets_directory=folder)
        async with running(own, url) as server, connected(server, database) as blotter:
            order = await blotter.submit()
            await blotter.fill(order, 10)
            seen = await blotter.orders.GetOrder(pb.GetOrderRequest(order_id=order.order_id), metadata=as_trader(ALICE))
            assert seen.order.filled_quantity == 10
        with pytest.raises(psycopg.OperationalError, match=r"password|SASL"):
            await psycopg.AsyncConnection.connect(f"{url}?user=blotter_trader&password=guessed")
        with pytest.raises(psycopg.OperationalError):
            await psycopg.AsyncConnection.connect(f"{url}?user=blotter_sequencer&password=guessed")


async def test_desks_and_traders_with_tokens_share_one_server_connection_and_see_their_own_orders(
    database: Database, folder: Path, tmp_path: Path
) -> None:
    """As in the compose file: TLS, tokens, principals, and PgBouncer; with one server connection for each login."""
    desks = {ALICE: uuid4(), BOB: uuid4()}
    for trader, desk in desks.items():
        database.cluster.psql(
            f"INSERT INTO desks (id, name) VALUES ('{desk}', '{desk}');"
            f"UPDATE traders SET desk_id = '{desk}' WHERE id = '{trader}';"
            "INSERT INTO principals (issuer, subject, kind, trader_id, desk_id) VALUES"
            f" ('{ISSUER}', '{trader}', 'trader', '{trader}', NULL), ('{ISSUER}', '{desk}', 'desk', NULL, '{desk}')",
            user="blotter_owner",
            dbname=database.name,
        )
    issuer, authority = Issuer(), Authority()
    tls = TlsFolder(tmp_path, authority).settings()
    async with issuer.serving(), shipped(database, folder, pool_size=1) as port:
        url = f"postgresql://127.0.0.1:{port}/blotter"
        changes = {"database_url": url, "database_pooler": True, "secrets_directory": folder} | tls
        async with (
            running(settings(**by_token(issuer, **changes)), url) as server,
            connected(server, database) as in_clear,
            secured(in_clear, trusting(authority)) as blotter,
        ):

            async def trade(trader: UUID, desk: UUID) -> None:
                for number in range(1, 11):
                    own, supervisor = bearer(issuer.token(str(trader))), bearer(issuer.token(str(desk)))
                    await blotter.orders.SubmitOrder(order_request(), metadata=own)
                    for caller in (own, supervisor):
                        page = await blotter.orders.ListOrders(pb.ListOrdersRequest(), metadata=caller)
                        assert [order.trader_id for order in page.orders] == [str(trader)] * number

            await asyncio.gather(*(trade(*pair) for pair in desks.items()))


def test_each_pool_leaves_room_within_the_limit_of_its_login() -> None:
    ini = (SHIPPED / "pgbouncer.ini").read_text("utf-8")
    [size] = re.findall(r"^default_pool_size = (\d+)", ini, re.MULTILINE)
    roles = (ROOT / "sql" / "roles.sql").read_text("utf-8")
    for login in LOGINS:
        [limit] = re.findall(rf"\('blotter_{login}', (\d+)\)", roles)
        assert int(size) < int(limit), login
