"""`blotter sequence`."""

from __future__ import annotations

import click

from service import event_loop, logs
from service.cli import provisioning
from service.cli.as_child import as_child, reporting
from service.process import until_stopped
from service.sequence import RunningSequencer, running_sequencer
from service.settings import Settings
from service.workers.child import child_of


@click.command()
@as_child
def sequence(child: str | None, channel: int | None) -> None:
    """Append to the ledger and sign it, and serve no calls, until Ctrl-C or SIGTERM.

    It has the settings of `blotter serve`, whatever BLOTTER_SEQUENCER is, and connects only as blotter_sequencer.
    """
    settings = Settings()
    logs.set_up(settings, child)
    with reporting(channel):
        event_loop.run(_sequence(settings, provisioning.joined(settings), channel))


async def _sequence(settings: Settings, conninfo: str, channel: int | None) -> None:
    if channel is None:
        greeting = f"Blotter sequences the ledger {settings.ledger_origin}. Ctrl-C stops it."
        await until_stopped(running_sequencer(settings, conninfo), lambda _: click.echo(greeting))
        return
    settings = settings.model_copy(update={"metrics_listen": None})
    async with child_of(channel) as parent:

        def started(running: RunningSequencer) -> None:
            parent.started(running.health, running.metrics, lambda _: running.hint())

        sequencing = running_sequencer(settings, conninfo, appended=lambda: parent.committed(None))
        await until_stopped(sequencing, started, parent.stop)
