"""The schema as one SQL file: `python -m tests.schema_snapshot` writes sql/schema.sql (`make schema`)."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from service import migrations
from service.embedded import Cluster
from tests.conftest import UNSAFE_BUT_FAST, Database, created
from tests.paths import ROOT

SNAPSHOT = ROOT / "sql" / "schema.sql"

VERSION = 18
"""The major version of PostgreSQL that the snapshot is dumped with: the one that Blotter ships with."""

HEADER = f"""\
-- The schema that the revisions in alembic/versions build, as pg_dump of PostgreSQL {VERSION} prints it.
-- Generated: change a revision, not this file, and run `make schema`. A test compares the two.
-- Loads into an empty database as blotter_owner, with the logins of sql/roles.sql there.
--
-- The revisions also do one thing that pg_dump omits: nobody may create schemas or temporary
-- tables in the database (REVOKE CREATE, TEMPORARY ON DATABASE ... FROM PUBLIC).

SET check_function_bodies = false;
"""

# Lines that depend on the tool, the session, the time or sql/harden.sql, and not on the schema.
NOISE = re.compile(
    r"^(--.*|(GRANT|REVOKE) .* pg_catalog\..*|\\(un)?restrict .*|SET .*;"
    r"|SELECT pg_catalog\.set_config\('search_path'.*|CREATE EVENT TRIGGER blotter_.*\n.*;)$",
    re.MULTILINE,
)


def dump(database: Database) -> str:
    """The schema of a database with its comments, policies and grants; the same text for the same schema."""
    command = [str(database.cluster._program("pg_dump")), "--schema-only", "--no-owner", "--no-password"]
    command += ["--exclude-schema=blotter_hardening"]
    command += [f"--dbname={database.conninfo('postgres')}"]
    text = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
    return re.sub(r"\n{3,}", "\n\n", NOISE.sub("", text)).strip() + "\n"


def snapshot() -> str:
    """The snapshot of the revisions as they are, made on a server of its own."""
    with tempfile.TemporaryDirectory(prefix="blotter-schema-") as folder:
        server = Cluster(Path(folder), options=UNSAFE_BUT_FAST)
        server.start()
        try:
            server.psql(ROOT / "sql" / "roles.sql")
            with created(server, "blotter") as database:
                migrations.upgrade(database.conninfo("blotter_owner"), quiet=True)
                return f"{HEADER}\n{dump(database)}"
        finally:
            server.stop()


if __name__ == "__main__":
    SNAPSHOT.write_text(snapshot(), encoding="utf-8")
