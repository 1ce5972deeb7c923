"""The command line. `replay` and `demo` are in a clone only."""

from __future__ import annotations

import asyncio
import signal
import threading
from functools import partial
from importlib.util import find_spec
from typing import Any
from uuid import UUID

import click
from pydantic import ValidationError

from blotter_verifier.notes import InvalidKey
from service import identification, logs, migrations, resources, server, tls
from service.cli import provisioning
from service.cli.audit import audit
from service.cli.desks import desks
from service.cli.health import health
from service.cli.identity_key import identity_key
from service.cli.ledger import keys, ledger
from service.cli.permissions import permissions
from service.cli.principals import principals
from service.cli.protos import protos
from service.domain.errors import BlotterError
from service.embedded import EmbeddedError, keep_running
from service.repositories import traders as traders_repository
from service.repositories.desks import DeskRefused
from service.repositories.principals import PrincipalRefused
from service.repositories.privileges import UnsafeDatabase
from service.repositories.signatures import IdentityKeyRefused
from service.settings import Settings


def settings_help() -> str:
    """Return the settings, one a paragraph, for the help text."""
    lines = ["\b", "Settings, from the environment:"]
    for name, field in Settings.model_fields.items():
        default = "none" if field.default is None else str(field.default)
        lines.append(f"  BLOTTER_{name.upper()} [{default}]")
        lines.append(f"      {field.description}")
    return "\n".join(lines)


class _Commands(click.Group):
    """Prints expected failures of any command in one sentence instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises click.ClickException."""
        try:
            return super().invoke(ctx)
        except ValidationError as error:
            raise click.ClickException("\n".join(_setting_error(item) for item in error.errors())) from error
        except BrokenPipeError:  # the reader of the output has closed it, as `head` does; Click exits silently
            raise
        except OSError as error:
            what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise click.ClickException(what) from error
        except (
            UnsafeDatabase,
            BlotterError,
            EmbeddedError,
            InvalidKey,
            migrations.MigrationRefused,
            migrations.WrongRevision,
            identification.KeysUnreadable,
            server.AddressInUse,
            tls.TlsRefused,
            IdentityKeyRefused,
            traders_repository.TraderRefused,
            DeskRefused,
            PrincipalRefused,
        ) as error:
            raise click.ClickException(str(error)) from error


def _setting_error(item: Any) -> str:
    name = f"BLOTTER_{str(item['loc'][0]).upper()}: " if item["loc"] else ""
    return name + str(item["msg"]).removeprefix("Value error, ")


def _end(_signal: int, _frame: object) -> None:
    """Raise an exception at SIGTERM, so that an embedded server that is starting is stopped."""
    raise SystemExit(128 + signal.SIGTERM)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="blotter")
def main() -> None:
    """Blotter: a trading desk's book of record of orders and fills."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _end)


@main.command(epilog=settings_help())
def serve() -> None:
    """Serve OrderService and AuditService until Ctrl-C or SIGTERM.

    Without BLOTTER_DATABASE_URL it starts an embedded PostgreSQL in .blotter/, migrates it and registers demo traders.
    """
    settings = Settings()
    logs.set_up(settings)
    with provisioning.served(settings) as database:
        asyncio.run(_serve(settings, database))


async def _serve(settings: Settings, database: provisioning.Served) -> None:
    """Serve until a signal; restart an embedded database that ends, or stop if it cannot be restarted."""
    tasks = [asyncio.create_task(server.serve(settings, database.conninfo, partial(_greet, settings)))]
    if database.cluster:
        tasks.append(asyncio.create_task(keep_running(database.cluster)))
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for task in done:
        await task


_IDENTIFIED_BY = {
    "metadata": "the call metadata, which nothing verifies",
    "jwt": "bearer tokens",
    "mtls": "client certificates",
}


def _greet(settings: Settings, address: str) -> None:
    tls = "with TLS" if settings.tls_cert else "in clear"
    by = _IDENTIFIED_BY[settings.auth]
    click.echo(f"Blotter serves on {address}, {tls}. Callers are identified by {by}. Ctrl-C stops it.")
    if settings.auth != "metadata":
        click.echo("`blotter principals list` shows who they may be. See docs/identity.md.")
    elif settings.database_url is not None:
        click.echo("`blotter traders list` shows the traders.")
    elif not provisioning.DEMO_TRADERS:
        click.echo("`blotter traders add NAME` registers a trader.")
    elif not settings.tls_cert:
        _propose_calls(address)


def _propose_calls(address: str) -> None:
    trader_id, name = next(iter(provisioning.DEMO_TRADERS.items()))
    click.echo("Try, in another terminal:\n")
    order = (
        '{"client_order_id": "first", "symbol": "AAPL", "side": "SIDE_BUY", "order_type": "ORDER_TYPE_LIMIT", '
        '"quantity": 100, "price": "585.33"}'
    )
    submit = f"{address} blotter.orders.v1.OrderService/SubmitOrder"
    for line in (
        f"grpcurl -plaintext {address} list",
        f"grpcurl -plaintext -H 'x-trader-id: {trader_id}' -d '{order}' {submit}",
        "make demo",
    ):
        click.secho(f"  {line}", fg="green")
    click.echo(f"\n{name} is one of the demo traders (.venv/bin/blotter traders list). See docs/contract.md.")


@main.group()
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


@main.group()
def traders() -> None:
    """Register and list traders."""


@traders.command()
@click.argument("name")
@click.option("--id", "trader_id", type=click.UUID, help="The trader's id; default: a new one.")
def add(name: str, trader_id: UUID | None) -> None:
    """Register a trader and print their id."""
    with provisioning.owned(Settings()) as conninfo:
        click.echo(traders_repository.add(conninfo, name, trader_id).id)


@traders.command()
@click.argument("trader_id", type=click.UUID)
@click.argument("name")
def rename(trader_id: UUID, name: str) -> None:
    """Give the trader TRADER_ID another name."""
    with provisioning.owned(Settings()) as conninfo:
        traders_repository.rename(conninfo, trader_id, name)


@traders.command()
@click.argument("trader_id", type=click.UUID)
def disable(trader_id: UUID) -> None:
    """Refuse the trader's own calls. Gateways still report on the trader's open orders, and these still expire."""
    with provisioning.owned(Settings()) as conninfo:
        traders_repository.disable(conninfo, trader_id)


@traders.command()
@click.argument("trader_id", type=click.UUID)
def enable(trader_id: UUID) -> None:
    """Accept the trader's calls again."""
    with provisioning.owned(Settings()) as conninfo:
        traders_repository.enable(conninfo, trader_id)


@traders.command("list")
def list_() -> None:
    """List the traders, oldest first: id, time of registration, name, and whether they are disabled."""
    with provisioning.owned(Settings()) as conninfo:
        for trader in traders_repository.list_all(conninfo):
            disabled = "  (disabled)" if trader.disabled_at else ""
            click.echo(f"{trader.id}  {trader.created_at:%Y-%m-%d %H:%M:%S}  {trader.name}{disabled}")


main.add_command(audit)
main.add_command(desks)
main.add_command(health)
main.add_command(identity_key)
main.add_command(keys)
main.add_command(ledger)
main.add_command(permissions)
main.add_command(principals)
main.add_command(protos)
if find_spec("replay"):  # the package is in a clone, not in the server's wheel
    from service.cli.replay import demo, replay

    main.add_command(replay)
    main.add_command(demo)
