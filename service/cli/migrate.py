"""`blotter migrate`: the revisions of the schema, and the SQL that a superuser runs."""

from __future__ import annotations

import click

from service import migrations, resources
from service.cli import provisioning
from service.settings import Settings


@click.group()
def migrate() -> None:
    """Bring the database's schema to a revision."""


@migrate.command()
@click.argument("revision", default="head")
def upgrade(revision: str) -> None:
    """Apply revisions up to REVISION (default: newest). A newer database that this release serves is not changed."""
    with provisioning.owned(Settings(), any_revision=True) as conninfo:
        migrations.upgrade(conninfo, revision)
        _tell_revision(conninfo)


@migrate.command()
@click.argument("revision")
@click.confirmation_option(
    prompt="What the revisions have added is dropped with its data. Is the service stopped, and is there a backup?"
)
def downgrade(revision: str) -> None:
    """Undo revisions down to REVISION, or all with `base`. Drops the objects that they added, data included."""
    with provisioning.owned(Settings(), any_revision=True) as conninfo:
        migrations.downgrade(conninfo, revision)
        _tell_revision(conninfo)


def _tell_revision(conninfo: str) -> None:
    revision = migrations.current(conninfo)
    newer = ", newer than this release, which serves it" if migrations.is_newer(conninfo) else ""
    click.echo(f"The database is at revision {revision}{newer}." if revision else "The database is empty.")


@migrate.command()
def roles() -> None:
    """Print the SQL that makes the logins: a superuser runs it once per server, before the first upgrade."""
    click.echo(resources.sql("roles.sql").read_text("utf-8"), nl=False)


@migrate.command()
def harden() -> None:
    """Print the SQL that a superuser runs in the database after the first upgrade."""
    click.echo(resources.sql("harden.sql").read_text("utf-8"), nl=False)


@migrate.command()
@click.argument("revisions", default="head")
@click.option("--down", is_flag=True, help="The SQL of a downgrade, FROM:TO.")
def sql(revisions: str, down: bool) -> None:
    """Print the SQL of an upgrade to REVISIONS (or FROM:TO); needs no database."""
    migrations.print_sql(revisions, down=down)
