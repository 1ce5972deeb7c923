"""Builds the sequencer from the settings."""

from __future__ import annotations

from collections.abc import Callable

from blotter_verifier.notes import Verifier
from service.observability.metrics import Metrics
from service.sequencing.checkpoints import Checkpoints
from service.sequencing.keys import KeyFolder
from service.sequencing.sequencer import Sequencer
from service.sequencing.sinks import DirectorySink, Witness
from service.settings import Settings


def sequencer(
    settings: Settings,
    conninfo: str,
    appended: Callable[[], None],
    report: Callable[[bool], None],
    metrics: Metrics,
) -> Sequencer:
    """Return the sequencer. `appended` is called after each append, `report` with whether the ledger is healthy."""
    directory = DirectorySink(settings.checkpoints_folder) if settings.checkpoints_folder else None
    keys = KeyFolder(settings.keys_folder) if settings.keys_folder else None
    secret = settings.sequencer_password
    return Sequencer(
        settings.sequencer_database_url or conninfo,
        secret.get_secret_value() if secret else None,
        Checkpoints(settings.ledger_origin, keys, directory),
        directory,
        [Witness(url, Verifier.parse(key)) for url, key in settings.witness_keys],
        appended,
        report,
        metrics,
        poll_seconds=settings.sequencer_poll_ms / 1000,
        idle_seconds=settings.feed_poll_ms / 1000,
        checkpoint_seconds=settings.checkpoint_seconds,
    )
