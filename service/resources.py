"""The files that the server reads at run time: the revisions, and the SQL that a superuser runs."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def folder() -> Path:
    """Return the folder that holds alembic.ini, alembic/ and sql/.

    A wheel holds them as data of this package, because the names at the top of site-packages are not ours. In a clone
    they are at the top level.
    """
    package = Path(str(files("service")))
    packaged = package / "data"
    return packaged if packaged.is_dir() else package.parent


def sql(name: str) -> Path:
    """Return the path of a file in sql/, such as `roles.sql`."""
    return folder() / "sql" / name
