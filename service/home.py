"""The database of the command line: the embedded one, or the one that BLOTTER_DATABASE_URL names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service import migrations
from service.domain.demo import DEMO_TRADERS
from service.embedded import Cluster, lock
from service.repositories import traders
from service.repositories.database import login_to
from service.settings import Settings

# Plans that were made while the tables were empty choose among indexes by chance; the first statistics mend them.
OPTIONS = {"autovacuum_naptime": "5s"}
DATABASE = "blotter"
OWNER = "blotter_owner"


@contextmanager
def database(settings: Settings, *, prepare: bool) -> Iterator[str]:
    """Yield the libpq connection string of the database, as its owner.

    The embedded server is started where it does not run, and then stopped at the end. With `prepare` it is held for
    this process alone, brought up to the newest revision, and a new one gets the demo traders. An external database
    is left as it is. Raises EmbeddedError.
    """
    if settings.database_url:
        password = settings.owner_password
        yield login_to(settings.database_url, OWNER, password.get_secret_value() if password else None)
        return
    cluster = Cluster(settings.home, options=OPTIONS)
    if not prepare and cluster.running:
        yield cluster.conninfo(user=OWNER, dbname=DATABASE)
        return
    with lock(settings.home):
        cluster.start()
        try:
            conninfo = _prepared(cluster)
            yield conninfo
        finally:
            cluster.stop()


def _prepared(cluster: Cluster) -> str:
    if DATABASE not in cluster.psql("SELECT datname FROM pg_database").split():
        cluster.psql(migrations.ROOT / "sql" / "roles.sql")
        cluster.psql(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
    conninfo = cluster.conninfo(user=OWNER, dbname=DATABASE)
    if migrations.current(conninfo) != migrations.head():
        migrations.upgrade(conninfo, quiet=True)
    if not traders.list_all(conninfo):
        for trader_id, name in DEMO_TRADERS.items():
            traders.add(conninfo, name, trader_id)
    return conninfo
