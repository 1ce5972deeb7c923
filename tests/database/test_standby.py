"""A commit that waits for its synchronous standby is not cancelled, and a standby is not ready."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from service import migrations
from service.embedded import Cluster
from tests.conftest import ALICE, Database, created
from tests.paths import ROOT
from tests.proxy import proxied
from tests.rpc.errors import refused
from tests.rpc.test_outages import number, until
from tests.rpc.test_readiness import NOT_SERVING, QUICK, SERVING, until_health
from tests.rpc.written import written
from tests.serving import as_trader, order_request, serving

STALLED = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND usename = 'blotter_trader'"


@pytest.fixture
def replicated(bin_dir: Path | None) -> Iterator[Database]:
    """A database on a server of the test's own, which can be configured to wait for a standby."""
    with tempfile.TemporaryDirectory(prefix="blotter-tests-") as folder:
        options = {"fsync": "off", "synchronous_commit": "remote_apply"}
        cluster = Cluster(Path(folder), bin_dir=bin_dir, options=options)
        cluster.start()
        try:
            cluster.psql(ROOT / "sql" / "roles.sql")
            with created(cluster, "blotter") as database:
                migrations.upgrade(database.conninfo("blotter_owner"), quiet=True)
                trader = f"INSERT INTO traders (id, name) VALUES ('{ALICE}', 'Alice')"
                cluster.psql(trader, user="blotter_owner", dbname=database.name)
                yield database
        finally:
            cluster.stop()


async def wait_for_standbys(looking: psycopg.AsyncConnection[Any], names: str) -> None:
    """Set the standbys that commits wait for, and wait until the server has applied it."""
    await looking.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'".encode())
    await looking.execute("SELECT pg_reload_conf()")

    async def known() -> bool:
        row = await (await looking.execute("SHOW synchronous_standby_names")).fetchone()
        return row == (names,)

    await until(known)


async def test_a_commit_that_waits_for_its_standby_is_never_cancelled(replicated: Database) -> None:
    conninfo = replicated.conninfo("postgres")
    async with (
        await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as looking,
        serving(replicated) as blotter,
    ):
        await blotter.submit()

        async def stalled() -> bool:
            return await number(looking, STALLED) == 1

        for last_sequence, hangs_up in ((2, True), (3, False)):
            await looking.execute("SET synchronous_commit = local")
            await wait_for_standbys(looking, "nobody")
            request = order_request()
            call = blotter.orders.SubmitOrder(request, metadata=as_trader(ALICE), timeout=None if hangs_up else 2)
            if hangs_up:
                waiting = asyncio.create_task(ended(call))
                await until(stalled)
                call.cancel()
                await waiting
            else:
                await refused(call)
            assert await stalled()
            assert written(blotter)[0] == last_sequence - 1, "not visible before the standby has it"
            await wait_for_standbys(looking, "")
            answer = await blotter.orders.SubmitOrder(request, metadata=as_trader(ALICE))
            assert (answer.replayed, answer.order.last_sequence) == (True, last_sequence)


async def test_a_standby_is_not_ready_until_it_is_promoted(replicated: Database) -> None:
    """As after a failover that leaves the service with a server that has not become the primary."""
    cluster = replicated.cluster
    async with proxied(replicated) as behind, serving(behind, **QUICK) as blotter:
        await until_health(blotter, SERVING)
        data = Path(cluster.psql("SHOW data_directory").strip())
        await asyncio.to_thread(cluster.stop)
        (data / "standby.signal").touch()
        await asyncio.to_thread(cluster.start)
        behind.proxy.move(replicated)
        assert cluster.psql("SELECT pg_is_in_recovery()").strip() == "t"
        await until_health(blotter, NOT_SERVING)
        await asyncio.to_thread(cluster.psql, "SELECT pg_promote()")
        await until_health(blotter, SERVING)
        assert (await blotter.submit()).last_sequence == 1


async def ended(call: Any) -> None:
    """Wait for a call that the test cancels."""
    await call.code()
