"""The database of the command line: the embedded one, or the one that BLOTTER_DATABASE_URL names."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from typing import NamedTuple
from uuid import UUID

from service import migrations, resources
from service.domain.errors import DatabaseUnavailable
from service.domain.identity import CallerKind
from service.embedded import Cluster, FolderInUse, lock
from service.repositories import identity_keys, privileges, traders
from service.repositories.errors import unavailable_if_unreachable
from service.repositories.sessions import SESSION, login_to
from service.sequencing.keys import KeyFolder
from service.settings import Settings

DEMO_TRADERS: dict[UUID, str] = {}
"""The traders that are registered in a new embedded database: none if the package `replay` is not installed."""
if find_spec("replay"):
    from replay.traders import DEMO_TRADERS

# Plans made while the tables were empty choose an index arbitrarily; they improve with the first statistics.
OPTIONS = {"autovacuum_naptime": "5s"}
DATABASE = "blotter"
OWNER = "blotter_owner"

log = logging.getLogger("blotter.provisioning")


class Served(NamedTuple):
    """The database to serve from: its libpq connection string, to which the service adds its logins."""

    conninfo: str
    cluster: Cluster | None
    """The embedded server, None for an external database."""


@contextmanager
def served(settings: Settings) -> Iterator[Served]:
    """Yield the database to serve from.

    The embedded server is locked for this process, started, brought up to the newest revision, and stopped at the end;
    a new one gets the demo traders. An external database is only checked. Raises EmbeddedError, WrongRevision,
    UnsafeDatabase, DatabaseUnavailable.
    """
    if settings.database_url is None:
        with _embedded(settings, upgrading=True) as (cluster, owner):
            if settings.ledger_keys is None and settings.keys_folder:
                keys = KeyFolder(settings.keys_folder)
                if not keys.signers():
                    keys.generate(settings.ledger_origin)
            if settings.identity_key_file:
                identity_keys.ensure(owner, settings.identity_key_file)
            yield Served(owner, cluster)
        return
    conninfos = {kind: _login(settings, kind) for kind in CallerKind}
    with suppress(DatabaseUnavailable):  # the login that cannot connect is named below
        privileges.check_settings(list(conninfos.values()))
    for kind, conninfo in conninfos.items():
        if kind is CallerKind.DESK:  # a schema before revision 021 does not let it connect
            migrations.check_served(conninfos[CallerKind.TRADER])
        with _naming(kind):
            migrations.connect(conninfo)
    if not privileges.check_privileges(conninfos[CallerKind.TRADER]):
        log.warning("%s", privileges.NOT_HARDENED)
    if warning := privileges.check_release(conninfos[CallerKind.TRADER]):
        log.warning("%s", warning)
    yield Served(settings.database_url, None)


def joined(settings: Settings) -> str:
    """Return the database that a parent process has prepared, or that a service on this host runs.

    Raises DatabaseUnavailable if the embedded server does not run.
    """
    if settings.database_url is not None:
        return settings.database_url
    cluster = Cluster(settings.home)
    if not cluster.running:
        raise DatabaseUnavailable(
            f"No PostgreSQL runs in {settings.home}: start `blotter serve`, or set BLOTTER_DATABASE_URL."
        )
    return cluster.conninfo(user=OWNER, dbname=DATABASE)


def check_revision(settings: Settings, conninfo: str) -> None:
    """Raise WrongRevision unless this code serves the database that `joined` has returned."""
    migrations.check_served(_login(settings, CallerKind.TRADER) if settings.database_url is not None else conninfo)


@contextmanager
def owned(settings: Settings, *, any_revision: bool = False) -> Iterator[str]:
    """Yield the libpq connection string of the database as its owner; an embedded server runs at least that long.

    The server of another process, such as a service, is used as it is. One whose process was killed is taken over, and
    its preparation is completed. An older embedded database is not upgraded: it is yielded with `any_revision`, else
    refused. Raises EmbeddedError, WrongRevision, DatabaseUnavailable.
    """
    if settings.database_url is not None:
        with _naming("owner"):
            owner = _login(settings, "owner")
            migrations.connect(owner)
        yield owner
        return
    with ExitStack() as held:
        try:
            _, owner = held.enter_context(_embedded(settings, upgrading=False))
            if not any_revision:
                migrations.check_served(owner)
        except FolderInUse:
            if not (cluster := Cluster(settings.home)).running:
                raise
            owner = cluster.conninfo(user=OWNER, dbname=DATABASE)
        yield owner


def _login(settings: Settings, kind: str) -> str:
    secret = getattr(settings, f"{kind}_password")
    password = secret.get_secret_value() if secret else None
    owner = kind == "owner"  # a migration may take longer than a call
    session, pooler = None if owner else SESSION, settings.database_pooler and not owner
    return login_to(settings.database_url or "", f"blotter_{kind}", password, session, pooler=pooler)


@contextmanager
def _naming(kind: str) -> Iterator[None]:
    """Add the settings that may be wrong to the error of a login that cannot connect."""
    try:
        with unavailable_if_unreachable():
            yield
    except DatabaseUnavailable as error:
        raise DatabaseUnavailable(
            f"blotter_{kind} cannot log in. {error} (Check BLOTTER_DATABASE_URL and BLOTTER_{kind.upper()}_PASSWORD.)"
        ) from error


@contextmanager
def _embedded(settings: Settings, *, upgrading: bool) -> Iterator[tuple[Cluster, str]]:
    cluster = Cluster(settings.home, options=OPTIONS)
    with lock(settings.home):
        cluster.start()
        try:
            yield cluster, _prepared(cluster, upgrading=upgrading)
        finally:
            cluster.stop()


def _prepared(cluster: Cluster, *, upgrading: bool) -> str:
    owner = cluster.conninfo(user=OWNER, dbname=DATABASE)
    if DATABASE not in cluster.psql("SELECT datname FROM pg_database").split():
        cluster.psql(resources.sql("roles.sql"))
        cluster.psql(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
    found = migrations.current(owner)
    if found != migrations.head():
        if found is not None and not upgrading:
            return owner
        cluster.psql(resources.sql("roles.sql"))  # a release may add a role
        if found is not None:
            log.warning("The embedded database is at revision %s, and is brought to the newest one.", found)
        migrations.upgrade(owner, quiet=True)
    if not privileges.check_privileges(owner):
        cluster.psql(resources.sql("harden.sql"), dbname=DATABASE)
        cluster.psql("REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC")
    known = {trader.id for trader in traders.list_all(owner)}
    if known < DEMO_TRADERS.keys():  # none yet, or not all because the first start was interrupted
        for trader_id in DEMO_TRADERS.keys() - known:
            traders.add(owner, DEMO_TRADERS[trader_id], trader_id)
    return owner
