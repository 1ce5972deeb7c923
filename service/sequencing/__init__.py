"""Growing the ledger: positions for committed logs, signed checkpoints, and where these go outside of the database."""

from service.sequencing.keys import KeyFolder
from service.sequencing.sequencer import Sequencer

__all__ = ["KeyFolder", "Sequencer"]
