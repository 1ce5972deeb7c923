"""The fixtures of the project's own tests: a server on a database."""

from tests.conftest import bin_dir, cluster, database, logins, template
from tests.serving import server

__all__ = ["bin_dir", "cluster", "database", "logins", "server", "template"]
