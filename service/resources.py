"""The files that the server reads at run time: the revisions, the SQL that a superuser runs, and the contract."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def folder() -> Path:
    """Return the folder that holds alembic.ini, alembic/, protos/ and sql/.

    A wheel holds them as data of this package, because the names at the top of site-packages are not ours. In a clone
    they are at the top level.
    """
    package = Path(str(files("service")))
    packaged = package / "data"
    return packaged if packaged.is_dir() else package.parent


def sql(name: str) -> Path:
    """Return the path of a file in sql/, such as `roles.sql`."""
    return folder() / "sql" / name


def protos() -> Path:
    """Return the folder that the contract's files are named from: blotter/orders/v1/order.proto and the others."""
    return folder() / "protos"
