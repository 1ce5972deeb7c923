"""DROP OWNED needs no privilege: with it a login would remove the policies that name it, and block the service."""

from __future__ import annotations

import pytest

from tests.conftest import ALICE, Database
from tests.isolation.desk import LOGINS, connected, enter, one, refused

EVERY_LOGIN = pytest.mark.parametrize("login", LOGINS)
STATE = """
    SELECT (SELECT count(*) FROM pg_policy), (SELECT array_agg(relacl::text ORDER BY oid) FROM pg_class),
           (SELECT datacl::text FROM pg_database WHERE datname = %s)
"""


@EVERY_LOGIN
@pytest.mark.parametrize(
    "statement",
    [
        "DROP OWNED BY CURRENT_USER",
        "DROP OWNED BY {0} CASCADE",
        "DO $$ BEGIN EXECUTE 'DROP OWNED BY {0}'; END $$",
        "GRANT SELECT ON traders TO {0}",
    ],
)
def test_no_login_changes_the_schema(database: Database, login: str, statement: str) -> None:
    enter(database, ALICE)
    with connected(database, "postgres") as superuser:
        before = superuser.execute(STATE, [database.name]).fetchone()
    with connected(database, login) as connection:
        with refused("42501"):
            connection.execute(statement.format(login).encode())
        connection.rollback()
    with connected(database, "postgres") as superuser:
        assert superuser.execute(STATE, [database.name]).fetchone() == before


@EVERY_LOGIN
def test_from_another_database_nothing_is_dropped_either(database: Database, login: str) -> None:
    """An event trigger belongs to one database, and the privilege to connect is on a shared object."""
    with connected(database, "postgres") as superuser:
        before = superuser.execute(STATE, [database.name]).fetchone()
    with connected(Database("postgres", database.cluster), login) as connection:
        connection.execute("DROP OWNED BY CURRENT_USER")
    with connected(database, "postgres") as superuser:
        assert superuser.execute(STATE, [database.name]).fetchone() == before


def test_owner_and_superuser_can_still_change_the_schema(database: Database) -> None:
    for login in ("blotter_owner", "postgres"):
        with connected(database, login) as connection:
            connection.execute("CREATE TABLE one_more (id integer); DROP TABLE one_more")
            assert one(connection, "SELECT count(*) FROM pg_class WHERE relname = 'one_more'") == 0
