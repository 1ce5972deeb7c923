"""Alembic's environment: how revisions reach the database, online or as SQL text.

The database is named by the caller (`blotter migrate`, the tests) as `sqlalchemy.url` or as a connection in
`config.attributes["connection"]`; on the plain `alembic` command line by BLOTTER_OWNER_URL.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from logging.config import fileConfig
from typing import Any

from alembic.operations import MigrateOperation, Operations
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, pool
from sqlalchemy.exc import DBAPIError

from alembic import context
from service import migrations
from service.models import metadata

OWNER = "blotter_owner"
LOCK_NOT_AVAILABLE = "55P03"
VERSION_TABLE = """
    CREATE TABLE IF NOT EXISTS alembic_version (
        version_num varchar(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))
"""


@Operations.register_operation("run_sql")
class RunSql(MigrateOperation):
    """`op.run_sql(text)`: send SQL exactly as written.

    `op.execute` takes `:name` in a comment or a cast for a parameter, and the driver takes `%` in RAISE for one; a
    revision cannot import a helper from its neighbours, so the operation is registered here.
    """

    def __init__(self, sql: str) -> None:
        self.sql = sql

    @classmethod
    def run_sql(cls, operations: Operations, sql: str) -> Any:
        """Send one or more statements, separated by semicolons."""
        return operations.invoke(cls(sql))


@Operations.implementation_for(RunSql)
def run_sql(operations: Operations, operation: RunSql) -> None:
    """Online: one simple-protocol message. Offline: the text itself."""
    if operations.migration_context.as_sql:
        operations.migration_context.impl.static_output(operation.sql.strip())
    else:
        operations.get_bind().execution_options(no_parameters=True).exec_driver_sql(operation.sql)


def refuse_other_owner(connection: Connection) -> None:
    """What a revision creates belongs to whoever runs it, and the isolation rests on the owner being nobody else."""
    user = connection.exec_driver_sql("SELECT current_user").scalar_one()
    connection.rollback()
    if user != OWNER:
        raise SystemExit(f"Revisions are run as {OWNER}, not as {user}: see alembic/README.md.")


@contextmanager
def lock(connection: Connection) -> Iterator[None]:
    """Hold the lock that only one command at a time holds while it runs revisions. Raises CommandError.

    It is a lock on alembic_version, held by a transaction on a second connection, because each revision has a
    transaction of its own. An advisory lock is not available: sql/harden.sql revokes its functions from the owner, and
    behind a pooler a session has no lock of its own.
    """
    seconds = context.config.attributes.get("lock_seconds", migrations.LOCK_SECONDS)
    with connection.engine.connect() as second:
        try:
            second.exec_driver_sql(VERSION_TABLE)
            second.commit()
        except DBAPIError:
            # IF NOT EXISTS does not see what another transaction is about to commit.
            second.rollback()
            if second.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar_one() is None:
                raise
        second.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        second.exec_driver_sql(f"SET LOCAL lock_timeout = '{seconds}s'")
        try:
            second.exec_driver_sql("LOCK TABLE alembic_version IN SHARE UPDATE EXCLUSIVE MODE")
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            raise CommandError(
                f"Another command has been running revisions on this database for {seconds} seconds: "
                "run this one again when that one has ended"
            ) from error
        yield


def run_offline() -> None:
    """Print the SQL that `psql` can load as the owner."""
    context.configure(
        dialect_name="postgresql",
        target_metadata=metadata,
        literal_binds=True,
        transaction_per_migration=True,
    )
    context.get_context().impl.static_output(
        f"DO $$ BEGIN ASSERT current_user = '{OWNER}', 'Load this as {OWNER}: see alembic/README.md.'; END $$;"
    )
    with context.begin_transaction():
        context.run_migrations()


def run_on(connection: Connection) -> None:
    """Run on an open connection, each revision in a transaction of its own."""
    refuse_other_owner(connection)
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    if context.get_context().opts.get("dont_mutate"):
        context.run_migrations()
        return
    with lock(connection), context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Use the caller's connection, or open one."""
    connection = context.config.attributes.get("connection")
    if connection is not None:
        run_on(connection)
        return
    url = context.config.get_main_option("sqlalchemy.url") or os.environ.get("BLOTTER_OWNER_URL")
    if not url:
        raise SystemExit("Say which database: BLOTTER_OWNER_URL=postgresql+psycopg://blotter_owner@host/blotter")
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        run_on(connection)


if context.config.config_file_name is not None and not context.config.attributes.get("quiet"):
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)

if context.is_offline_mode():
    run_offline()
else:
    run_online()
