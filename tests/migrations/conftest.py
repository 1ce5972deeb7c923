"""Databases for the revisions to run on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.embedded import Cluster
from tests.conftest import Database, created


@pytest.fixture
def empty(logins: Cluster) -> Iterator[Database]:
    """A database of blotter_owner with nothing in it."""
    with created(logins, "blotter_empty") as database:
        yield database
