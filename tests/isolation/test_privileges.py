"""The service does not start where a login can forge or be kept out; other settings of a login hinder nothing."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from service.repositories.database import SESSION, login_to
from service.repositories.privileges import (
    LOGINS,
    UNPINNABLE,
    UnsafeDatabase,
    check_privileges,
    check_settings,
)
from tests.conftest import ALICE, Database
from tests.isolation.desk import Connection, one

EVERY_LOGIN = pytest.mark.parametrize("login", LOGINS)


@pytest.fixture
def superuser(database: Database) -> Iterator[Connection]:
    """What a login has set on itself is taken back at the end: roles outlive the test's database."""
    with psycopg.connect(database.conninfo("postgres"), autocommit=True) as connection:
        yield connection
        for login in LOGINS:
            connection.execute(f"ALTER ROLE {login} IN DATABASE {database.name} RESET ALL".encode())


def conninfos(database: Database) -> list[str]:
    return [login_to(database.conninfo(login), login, session=SESSION) for login in LOGINS]


def check(conninfos: list[str]) -> bool:
    """What the service checks at its start."""
    check_settings(conninfos)
    return check_privileges(conninfos[0])


def test_the_database_as_the_revisions_leave_it_is_safe_and_hardened(database: Database) -> None:
    assert check(conninfos(database))


@pytest.mark.parametrize(
    ("unsafe", "remedy"),
    [
        ("GRANT TEMPORARY ON DATABASE {0} TO PUBLIC", "REVOKE TEMPORARY ON DATABASE blotter FROM PUBLIC"),
        ("GRANT CREATE ON DATABASE {0} TO blotter_execution", "REVOKE CREATE ON DATABASE blotter FROM PUBLIC"),
        ("GRANT CREATE ON SCHEMA public TO blotter_trader", "REVOKE CREATE ON SCHEMA public FROM PUBLIC"),
    ],
)
def test_a_login_that_may_create_keeps_the_service_from_starting(
    database: Database, superuser: Connection, unsafe: str, remedy: str
) -> None:
    superuser.execute(unsafe.format(database.name).encode())
    with pytest.raises(UnsafeDatabase) as caught:
        check(conninfos(database))
    assert remedy in str(caught.value)
    superuser.execute(str(caught.value).partition(": ")[2].partition(" (")[0].encode())
    assert check(conninfos(database))


def test_without_harden_sql_the_service_is_warned(database: Database, superuser: Connection) -> None:
    superuser.execute("GRANT EXECUTE ON FUNCTION pg_terminate_backend(integer, bigint) TO PUBLIC")
    assert not check(conninfos(database))


@EVERY_LOGIN
@pytest.mark.parametrize(("name", "value"), [("local_preload_libraries", "nothing"), ("transaction_timeout", "1")])
def test_a_login_that_sets_what_cannot_be_pinned_keeps_the_service_from_starting(
    database: Database, superuser: Connection, login: str, name: str, value: str
) -> None:
    known = one(superuser, "SELECT count(*) FROM pg_settings WHERE name = %s", name)
    if not known:  # transaction_timeout came with PostgreSQL 17
        return
    with psycopg.connect(database.conninfo(login), autocommit=True) as connection:
        connection.execute(f"ALTER ROLE {login} IN DATABASE {database.name} SET {name} = '{value}'".encode())
    with pytest.raises(UnsafeDatabase) as caught:
        check(conninfos(database))
    assert f"ALTER ROLE {login} IN DATABASE {database.name} RESET {name}" in str(caught.value)


@EVERY_LOGIN
def test_nothing_else_that_a_login_sets_on_itself_reaches_its_sessions_or_hinders_them(
    database: Database, superuser: Connection, login: str
) -> None:
    """Every setting that a login may change, at once, at its other end."""
    found = superuser.execute(
        "SELECT name, vartype, setting, min_val, max_val, enumvals FROM pg_settings WHERE context = 'user'"
        " AND name <> ALL (%s) AND name !~ '^(log|debug|trace)_'",
        [[*UNPINNABLE, "client_encoding", "session_authorization", "role"]],
    ).fetchall()
    assert len(found) > 80
    with psycopg.connect(database.conninfo(login), autocommit=True) as connection:
        for name, kind, setting, least, most, choices in found:
            value = {
                "bool": "off" if setting == "on" else "on",
                "enum": next((choice for choice in choices or [] if choice != setting), setting),
                "integer": least if setting == most else most if str(least) in {setting, "0", "-1"} else least,
                "real": least if setting != least else most,
            }.get(str(kind))
            if str(name).endswith("_timeout"):
                value = "1"
            if value is None:
                continue
            statement = f"ALTER ROLE {login} IN DATABASE {database.name} SET {name} = '{value}'"
            try:
                connection.execute(statement.encode())
            except psycopg.Error:  # a value that another setting forbids
                continue
        connection.execute(f"ALTER ROLE {login} IN DATABASE {database.name} SET search_path = pg_temp".encode())
    assert check(conninfos(database))
    session = login_to(database.conninfo(login), login, session=SESSION)
    with psycopg.connect(session, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        for name in SESSION:
            connection.execute(f"SHOW {name}".encode())
        if login == "blotter_sequencer":
            connection.execute("SELECT * FROM ledger_head")
            return
        connection.execute("SELECT act_as(%s), pg_sleep(0.02)", [ALICE])
        if login == "blotter_trader":
            submit = (
                "SELECT act_as(%s); SELECT outcome FROM submit_order(%s, 'c', sha256('x'), 'AAPL', 'BUY', 'LIMIT', 1,"
                " 1, NULL, NULL, NULL, false, 'a', 'r')"
            )
            cursor = connection.execute(submit.encode(), [ALICE, ALICE])
            assert cursor.nextset()
            assert cursor.fetchone() == ("APPLIED",)
