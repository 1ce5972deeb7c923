"""The sequencer: appends committed logs to the ledger, signs checkpoints and publishes them outside the database."""

from service.sequencing.keys import KeyFolder
from service.sequencing.sequencer import Sequencer

__all__ = ["KeyFolder", "Sequencer"]
