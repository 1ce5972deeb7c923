"""`blotter serve`."""

from __future__ import annotations

import asyncio
from functools import partial

import click

from service import event_loop, logs
from service.cli import provisioning
from service.cli.as_child import as_child, reporting
from service.embedded import keep_running
from service.process import until_stopped
from service.settings import Settings
from service.workers.child import child_of
from service.workers.parent import serve as serve_by_workers


def settings_help() -> str:
    """Return the settings, one a paragraph, for the help text."""
    lines = ["\b", "Settings, from the environment:"]
    for name, field in Settings.model_fields.items():
        default = "none" if field.default is None else str(field.default)
        lines.append(f"  BLOTTER_{name.upper()} [{default}]")
        lines.append(f"      {field.description}")
    return "\n".join(lines)


@click.command(epilog=settings_help())
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    help="Number of processes that share the port.  [default: BLOTTER_WORKERS]",
)
@as_child
def serve(workers: int | None, child: str | None, channel: int | None) -> None:
    """Serve OrderService and AuditService until Ctrl-C or SIGTERM.

    Without BLOTTER_DATABASE_URL it starts an embedded PostgreSQL in .blotter/, migrates it and registers demo traders.
    """
    settings = Settings() if workers is None else Settings(workers=workers)
    logs.set_up(settings, child)
    if channel is not None:
        with reporting(channel):
            conninfo = provisioning.joined(settings)
            provisioning.check_revision(settings, conninfo)
            event_loop.run(_work(settings, conninfo, channel))
        return
    with provisioning.served(settings) as database:
        event_loop.run(_serve(settings, database))


async def _serve(settings: Settings, database: provisioning.Served) -> None:
    """Serve until a signal; restart an embedded database that ends, or stop if it cannot be restarted."""
    if settings.workers == 1:
        from service import server  # noqa: PLC0415  # the parent of workers does not load it

        serving = server.serve(settings, database.conninfo, partial(_greet, settings))
    else:
        serving = serve_by_workers(settings, partial(_greet, settings))
    tasks = [asyncio.create_task(serving)]
    if database.cluster:
        tasks.append(asyncio.create_task(keep_running(database.cluster)))
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for task in done:
        await task


async def _work(settings: Settings, conninfo: str, channel: int) -> None:
    """Serve as one of several workers, until a signal or the end of the parent."""
    from service.server import Running, leave_out_of_collections, running  # noqa: PLC0415

    alone = settings.model_copy(update={"metrics_listen": None})  # the parent's
    async with child_of(channel) as parent:

        def started(server: Running) -> None:
            leave_out_of_collections()
            parent.started(server.health, server.metrics, server.feed.hint)

        await until_stopped(running(alone, conninfo, others=parent.committed), started, parent.stop)


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
