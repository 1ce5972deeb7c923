"""The fixtures of the other tests: a server with a database."""

from tests.conftest import bin_dir, cluster, database, logins, template
from tests.serving import server

__all__ = ["bin_dir", "cluster", "database", "logins", "server", "template"]
