"""The files that are read at run time: the revisions, the SQL that a superuser runs, and the contract."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def folder() -> Path:
    """Return the folder that holds alembic.ini, alembic/, protos/ and sql/.

    A wheel contains them as data of this package, because top-level names in site-packages could clash with those of
    other packages. In a clone they are at the top level.
    """
    package = Path(str(files("service")))
    packaged = package / "data"
    return packaged if packaged.is_dir() else package.parent


def sql(name: str) -> Path:
    """Return the path of a file in sql/, such as `roles.sql`."""
    return folder() / "sql" / name


def protos() -> Path:
    """Return the import root of the contract's files, such as blotter/orders/v1/order.proto."""
    return folder() / "protos"
