"""Health is SERVING exactly while the database accepts orders; liveness does not depend on the database."""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from psycopg.conninfo import conninfo_to_dict

from service import migrations
from service.authentication import issuer_keys
from service.domain.errors import DatabaseUnavailable
from service.domain.identity import CallerKind
from service.observability.metrics import Metrics
from service.repositories.database import Database as Pools
from service.repositories.probe import Probe
from service.repositories.sessions import SESSION
from service.server import SERVICES
from service.servicers.health import LIVENESS, READINESS, STARTUP
from tests.authentication.forged import claims
from tests.authentication.issuer import Issuer, bearer
from tests.authentication.serving import serving_tokens
from tests.conftest import ALICE, Database
from tests.proxy import proxied
from tests.rpc.written import written
from tests.serving import Blotter, order_request, serving

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
QUICK = {"health_seconds": 0.8}


async def until_health(blotter: Blotter, expected: int) -> None:
    """Wait until every name that depends on the database has the status; the process lives and has started."""
    async with asyncio.timeout(30):
        for name in ("", *SERVICES, READINESS):
            while await health_of(blotter, name) != expected:  # noqa: ASYNC110  # another's status
                await asyncio.sleep(0.02)
    assert [await health_of(blotter, name) for name in (STARTUP, LIVENESS)] == [SERVING, SERVING]


async def health_of(blotter: Blotter, name: str) -> int:
    """The status of a name. The call has a short deadline: it must not wait for the database."""
    health: Any = health_pb2_grpc.HealthStub(blotter.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
    status: int = answer.status
    return status


async def test_a_database_whose_packets_are_lost_is_not_serving_until_they_arrive_again(database: Database) -> None:
    async with proxied(database) as silent, serving(silent, **QUICK) as blotter:
        await until_health(blotter, SERVING)
        silent.proxy.deafen()
        await until_health(blotter, NOT_SERVING)
        silent.proxy.heal()
        await until_health(blotter, SERVING)


async def test_a_process_that_has_never_read_the_keys_of_the_issuer_is_not_serving_until_it_has(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keys, "RETRY_SECONDS", 0.05)
    issuer = Issuer()
    issuer.away = True
    async with serving_tokens(database, issuer, **QUICK) as blotter:
        await until_health(blotter, NOT_SERVING)
        token = bearer(issuer.signed(claims()))
        issuer.away = False
        await until_health(blotter, SERVING)
        await blotter.orders.SubmitOrder(order_request(), metadata=token)


@asynccontextmanager
async def stopped(database: Database) -> AsyncIterator[None]:
    """Every backend of the service is stopped, as by a hung disk or hypervisor."""
    backends = f"SELECT pid FROM pg_stat_activity WHERE datname = '{database.name}' AND usename LIKE 'blotter%'"
    pids = [int(line) for line in database.cluster.psql(backends).split()]
    postmaster = int(database.cluster.psql("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)"))
    # The postmaster first: it must not replace a stopped backend.
    for pid in (postmaster, *pids):
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in (*pids, postmaster):
            os.kill(pid, signal.SIGCONT)


async def test_a_stopped_postgres_is_not_serving(database: Database) -> None:
    async with serving(database, **QUICK) as blotter:
        await until_health(blotter, SERVING)
        async with stopped(database):
            await until_health(blotter, NOT_SERVING)
        await until_health(blotter, SERVING)
        assert (await blotter.submit()).last_sequence == 1


@pytest.mark.parametrize(
    "lock",
    [
        "orders IN ACCESS EXCLUSIVE",
        "orders IN SHARE",
        "trader_sequences IN SHARE",
        "execution_logs IN ACCESS EXCLUSIVE",
        "execution_logs IN SHARE",
    ],
)
async def test_a_locked_table_that_a_submit_needs_is_not_serving(database: Database, lock: str) -> None:
    async with serving(database, **QUICK) as blotter:
        await until_health(blotter, SERVING)
        async with await psycopg.AsyncConnection.connect(database.conninfo("postgres")) as holder:
            await holder.execute(f"LOCK TABLE {lock} MODE")
            await until_health(blotter, NOT_SERVING)
            await holder.rollback()
        await until_health(blotter, SERVING)


async def test_the_probe_waits_for_no_row_and_writes_nothing(database: Database) -> None:
    async with serving(database) as blotter:
        await blotter.submit(ALICE)
        before = written(blotter)
    async with await psycopg.AsyncConnection.connect(database.conninfo("postgres")) as holder, probe(database) as ask:
        await holder.execute("SELECT FROM trader_sequences FOR UPDATE")
        await holder.execute("SELECT FROM orders FOR UPDATE")
        await ask.write_nothing(within=20)
        await holder.rollback()
    assert written(blotter) == before


@asynccontextmanager
async def probe(database: Database) -> AsyncIterator[Probe]:
    """A probe on a connection of its own."""
    pools = Pools(database.conninfo("blotter_execution"), {CallerKind.EXECUTION: 1}, metrics=Metrics())
    await pools.open()
    try:
        yield Probe(pools)
    finally:
        await pools.close()


FUTURE = """
    BEGIN;
    CREATE OR REPLACE FUNCTION schema_compatibility(
        OUT serves_from text, OUT release text, OUT policies_and_grants text
    ) LANGUAGE sql AS $$ SELECT '{serves_from}', '9.9.9', '' $$;
    UPDATE alembic_version SET version_num = '{revision}';
    COMMIT
"""


async def test_a_schema_that_this_release_does_not_serve_is_not_ready_until_it_does(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    head = migrations.head()
    async with serving(database, **QUICK) as blotter:
        for serves_from, revision, expected in [
            (head, "999_that_allows_this_release", SERVING),
            ("998_newer", "999_that_does_not", NOT_SERVING),
            ("", head, SERVING),
            ("", migrations.known()[0], NOT_SERVING),
        ]:
            change = FUTURE.format(serves_from=serves_from, revision=revision)
            await asyncio.to_thread(database.cluster.psql, change, user="blotter_owner", dbname=database.name)
            await until_health(blotter, expected)
    [line] = [record.getMessage() for record in caplog.records if "9.9.9" in record.getMessage()]
    assert "run release 9.9.9 or a newer one, which knows 998_newer. Health is NOT_SERVING." in line


async def test_every_connection_of_the_server_notices_a_peer_that_has_gone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the callers, of the service's own tasks and of the sequencer."""
    used: dict[str, list[dict[str, Any]]] = {}
    connect = psycopg.AsyncConnection.connect

    async def noted(conninfo: str = "", **rest: Any) -> Any:
        parts = conninfo_to_dict(conninfo)
        used.setdefault(str(parts["user"]), []).append(parts)
        return await connect(conninfo, **rest)

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", noted)
    async with serving(database, sequencer=True) as blotter:
        await blotter.submit()
    assert used.keys() == {f"blotter_{kind}" for kind in CallerKind} | {"blotter_sequencer"}
    assert len(used["blotter_execution"]) > 1, "the service's own tasks use another pool"
    for parts in itertools.chain(*used.values()):
        assert (parts["keepalives"], parts["tcp_user_timeout"], parts["connect_timeout"]) == ("1", "10000", "5")


async def test_a_read_only_database_cannot_accept_orders(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a standby that the database's name resolves to after a failover."""
    monkeypatch.setitem(SESSION, "default_transaction_read_only", "on")
    async with probe(database) as ask:
        with pytest.raises(DatabaseUnavailable):
            await ask.write_nothing(within=20)
