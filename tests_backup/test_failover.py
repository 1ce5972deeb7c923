"""A primary that is lost while the service runs, and its synchronous standby: docs/backup.md, RPO and RTO."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from grpc import aio
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from blotter_verifier.report import Status
from service.embedded import Cluster
from service.embedded.account import account_for
from tests.conftest import ALICE, BOB, Database
from tests.rpc.test_outages import until
from tests.serving import Blotter, serving
from tests_backup.conftest import BIN, kill, traded_in
from tests_backup.trail import (
    SERVING,
    Outside,
    discrepancies,
    exported,
    ledger_is,
    orders_of,
    signed_beyond,
    size_of,
    under_load,
    verified,
)


@dataclass(frozen=True, slots=True)
class Pair(Database):
    """A database on a primary and on a standby, which the service reaches by naming both."""

    standby: Cluster
    data: Path
    """The data folder of the primary."""

    def conninfo(self, login: str) -> str:
        ways = [
            conninfo_to_dict(server.conninfo(user=login, dbname=self.name)) for server in (self.cluster, self.standby)
        ]
        hosts = ",".join(str(way["host"]) for way in ways)
        return make_conninfo("", host=hosts, user=login, dbname=self.name, target_session_attrs="read-write")


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A primary whose commits wait for its standby."""
    with tempfile.TemporaryDirectory(prefix="blotter-tests-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        first, second = folder / "first", folder / "second"
        second.mkdir()
        primary, standby = (Cluster(home, bin_dir=BIN, options={"fsync": "off"}) for home in (first, second))
        primary.start()
        try:
            traded_in(primary)
            copy(primary, second)
            standby.start()
            primary.psql("ALTER SYSTEM SET synchronous_standby_names = 'second'")
            primary.psql("SELECT pg_reload_conf()")
            yield Pair("blotter", primary, standby, first / "postgres")
        finally:
            standby.stop()
            primary.stop()


def copy(primary: Cluster, folder: Path) -> None:
    """Make a standby of the primary in the folder."""
    account = account_for(folder, folder / "postgres", BIN / "postgres")
    (folder / "postgres").mkdir(mode=0o700)
    account.take(folder / "postgres")
    source = make_conninfo(primary.conninfo(user="postgres", dbname="postgres"), application_name="second")
    done = subprocess.run(
        [*account.prefix, BIN / "pg_basebackup", "-d", source, "-D", folder / "postgres", "-R", "-c", "fast"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
        **account.popen,
    )
    assert done.returncode == 0, done.stderr


async def test_a_lost_primary_loses_nothing_and_the_service_goes_on_with_the_standby(
    pair: Pair, outside: Outside, tmp_path: Path
) -> None:
    async with serving(pair, **outside.settings()) as blotter:
        async with under_load(blotter) as written:
            before = await signed_beyond(outside, 40)
            kill(pair.data)
        pair.standby.psql("SELECT pg_promote()")
        await until(lambda: accepted(blotter))
        async with under_load(blotter) as more:
            await signed_beyond(outside, size_of(outside.newest) + 20)
        await ledger_is(blotter, SERVING)
        found = await orders_of(blotter, ALICE) | await orders_of(blotter, BOB)
        assert written.answered.keys() | more.answered.keys() <= found.keys()
        assert await discrepancies(blotter) == []
        bundle = await exported(blotter, tmp_path / "bundle")
    status, output = verified(bundle, outside, before)
    assert status == Status.VERIFIED, output


async def accepted(blotter: Blotter) -> bool:
    """Whether an order is recorded."""
    try:
        await blotter.submit(ALICE)
    except aio.AioRpcError:
        await asyncio.sleep(0.1)  # a client waits before it calls again
        return False
    return True
