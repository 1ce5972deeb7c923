"""The database of the command line: the embedded one, or the one that BLOTTER_DATABASE_URL names."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from service import migrations
from service.domain.demo import DEMO_TRADERS
from service.embedded import Cluster, lock
from service.repositories import privileges, traders
from service.repositories.database import login_to
from service.sequencing.keys import KeyFolder
from service.settings import Settings

# Plans that were made while the tables were empty choose among indexes by chance; the first statistics mend them.
OPTIONS = {"autovacuum_naptime": "5s"}
DATABASE = "blotter"
OWNER = "blotter_owner"

log = logging.getLogger("blotter.home")


class WrongRevision(Exception):
    """The database is not at the revision that this service needs."""


class Served(NamedTuple):
    """A database to serve from: its libpq connection string, to which the service adds its logins."""

    conninfo: str
    cluster: Cluster | None
    """The embedded server, None for an external database."""


@contextmanager
def served(settings: Settings) -> Iterator[Served]:
    """Yield the database to serve from.

    The embedded server is held for this process alone, started, brought up to the newest revision, and stopped at the
    end; a new one gets the demo traders. An external database is only looked at. Raises EmbeddedError, WrongRevision,
    UnsafeDatabase, DatabaseUnavailable.
    """
    if settings.database_url is None:
        with _embedded(settings) as (cluster, owner):
            keys = KeyFolder(settings.home / "keys")
            if settings.ledger_keys is None and not keys.signers():
                keys.generate(settings.ledger_origin)
            yield Served(owner, cluster)
        return
    logins = {
        "blotter_trader": settings.trader_password,
        "blotter_execution": settings.execution_password,
        "blotter_compliance": settings.compliance_password,
    }
    conninfos = [
        login_to(
            settings.database_url,
            login,
            password.get_secret_value() if password else None,
            pooler=settings.database_pooler,
        )
        for login, password in logins.items()
    ]
    if not privileges.check(conninfos):
        log.warning("%s", privileges.NOT_HARDENED)
    found, needed = migrations.current(conninfos[0]), migrations.head()
    if found != needed:
        raise WrongRevision(
            f"The database is at revision {found}, this service needs {needed}: blotter migrate upgrade"
        )
    yield Served(settings.database_url, None)


@contextmanager
def owned(settings: Settings) -> Iterator[str]:
    """Yield the libpq connection string of the database as its owner; an embedded server runs at least that long.

    Raises EmbeddedError.
    """
    if settings.database_url is not None:
        password = settings.owner_password
        yield login_to(settings.database_url, OWNER, password.get_secret_value() if password else None)
    elif (cluster := Cluster(settings.home)).running:
        yield cluster.conninfo(user=OWNER, dbname=DATABASE)
    else:
        with _embedded(settings) as (_, owner):
            yield owner


@contextmanager
def _embedded(settings: Settings) -> Iterator[tuple[Cluster, str]]:
    cluster = Cluster(settings.home, options=OPTIONS)
    with lock(settings.home):
        cluster.start()
        try:
            yield cluster, _prepared(cluster)
        finally:
            cluster.stop()


def _prepared(cluster: Cluster) -> str:
    if DATABASE not in cluster.psql("SELECT datname FROM pg_database").split():
        cluster.psql(migrations.ROOT / "sql" / "roles.sql")
        cluster.psql(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
    owner = cluster.conninfo(user=OWNER, dbname=DATABASE)
    if migrations.current(owner) != migrations.head():
        migrations.upgrade(owner, quiet=True)
        cluster.psql(migrations.ROOT / "sql" / "harden.sql", dbname=DATABASE)
        cluster.psql("REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC")
    privileges.check([owner])
    known = {trader.id for trader in traders.list_all(owner)}
    if known < DEMO_TRADERS.keys():  # none yet, or not all because the first start was interrupted
        for trader_id in DEMO_TRADERS.keys() - known:
            traders.add(owner, DEMO_TRADERS[trader_id], trader_id)
    return owner
