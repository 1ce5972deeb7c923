"""The service does not start if a login can forge records or cannot connect; other settings of a login are harmless."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest

from service.repositories.privileges import (
    LOGINS,
    UNPINNABLE,
    UnsafeDatabase,
    check_privileges,
    check_settings,
)
from service.repositories.sessions import SESSION, login_to
from tests.conftest import ALICE, Database
from tests.isolation.desk import WRITER, Connection, call, one
from tests.paths import ROOT

EVERY_LOGIN = pytest.mark.parametrize("login", LOGINS)


MEMBERSHIPS = "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = %s::regrole"


@pytest.fixture
def superuser(database: Database) -> Iterator[Connection]:
    """Settings that a login has made on itself are reset at the end: roles outlive the test's database."""
    with psycopg.connect(database.conninfo("postgres"), autocommit=True) as connection:
        yield connection
        for login in (*LOGINS, WRITER):
            connection.execute(f"ALTER ROLE {login} IN DATABASE {database.name} RESET ALL".encode())
            connection.execute(f"ALTER ROLE {login} NOSUPERUSER NOBYPASSRLS NOREPLICATION NOCREATEROLE".encode())
            for (role,) in connection.execute(MEMBERSHIPS, [login]).fetchall():
                connection.execute(f"REVOKE {role} FROM {login}".encode())
        connection.execute("GRANT pg_read_all_stats TO blotter_writer")


def conninfos(database: Database) -> list[str]:
    return [login_to(database.conninfo(login), login, session=SESSION) for login in LOGINS]


def check(conninfos: list[str]) -> bool:
    """The checks of the service at its start."""
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


@pytest.mark.parametrize("login", [*LOGINS, WRITER])
def test_a_role_that_is_not_bound_by_row_level_security_keeps_the_service_from_starting(
    database: Database, superuser: Connection, login: str
) -> None:
    for attribute in ("SUPERUSER", "BYPASSRLS", "REPLICATION", "CREATEROLE"):
        superuser.execute(f"ALTER ROLE {login} {attribute}".encode())
        refuses(database, superuser, f"ALTER ROLE {login} NO{attribute}")


@pytest.mark.parametrize(
    ("role", "login"),
    [
        ("blotter_owner", "blotter_trader"),
        ("blotter_writer", "blotter_trader"),
        ("blotter_compliance", "blotter_trader"),
        ("blotter_execution", "blotter_compliance"),
        ("pg_write_all_data", "blotter_trader"),
        ("pg_read_all_data", "blotter_execution"),
        ("pg_signal_backend", "blotter_sequencer"),
    ],
)
def test_a_login_that_is_a_member_of_a_role_with_rights_keeps_the_service_from_starting(
    database: Database, superuser: Connection, role: str, login: str
) -> None:
    superuser.execute(f"GRANT {role} TO {login}".encode())
    refuses(database, superuser, f"REVOKE {role} FROM {login}")


def test_a_login_that_is_a_member_by_way_of_another_role_keeps_the_service_from_starting(
    database: Database, superuser: Connection
) -> None:
    superuser.execute("CREATE ROLE desk NOLOGIN")
    try:
        superuser.execute("GRANT desk TO blotter_trader")
        assert check(conninfos(database))  # a role without rights, which managed servers use for authentication
        superuser.execute("GRANT SELECT (name) ON traders TO desk")
        refuses(database, superuser, "REVOKE desk FROM blotter_trader")
        superuser.execute("REVOKE ALL ON traders FROM desk; GRANT desk TO blotter_trader")
        assert check(conninfos(database))
        superuser.execute("GRANT blotter_owner TO desk")
        with pytest.raises(UnsafeDatabase, match="REVOKE blotter_owner FROM desk"):
            check(conninfos(database))
    finally:
        superuser.execute("REVOKE ALL ON traders FROM desk; DROP ROLE desk")
    assert check(conninfos(database))


def test_a_login_that_owns_a_table_keeps_the_service_from_starting(database: Database, superuser: Connection) -> None:
    superuser.execute("ALTER TABLE execution_logs OWNER TO blotter_trader")
    remedy = "ALTER TABLE public.execution_logs OWNER TO blotter_owner"
    with pytest.raises(UnsafeDatabase, match=remedy):
        check(conninfos(database))
    superuser.execute(remedy.encode())
    with pytest.raises(UnsafeDatabase, match="row policies or grants"):  # the grants of the login are now the owner's
        check(conninfos(database))
    put_back(database)
    assert check(conninfos(database))


def refuses(database: Database, superuser: Connection, remedy: str) -> None:
    """The service does not start, names the remedy, and starts after it."""
    with pytest.raises(UnsafeDatabase) as caught:
        check(conninfos(database))
    assert str(caught.value).partition(": ")[2].partition(" (")[0] == remedy
    superuser.execute(remedy.encode())
    assert check(conninfos(database))


@pytest.mark.parametrize(
    "softened",
    [
        "GRANT EXECUTE ON FUNCTION pg_terminate_backend(integer, bigint) TO PUBLIC",
        "GRANT EXECUTE ON FUNCTION pg_cancel_backend(integer) TO blotter_execution",
        "GRANT EXECUTE ON FUNCTION pg_try_advisory_lock(bigint) TO blotter_trader",
        "GRANT EXECUTE ON FUNCTION pg_advisory_xact_lock_shared(integer, integer) TO PUBLIC",
        "GRANT EXECUTE ON FUNCTION lo_from_bytea(oid, bytea) TO blotter_compliance",
        "GRANT EXECUTE ON FUNCTION lowrite(integer, bytea) TO PUBLIC",
        "GRANT EXECUTE ON FUNCTION pg_stat_get_activity(integer) TO PUBLIC",
        "GRANT EXECUTE ON FUNCTION pg_stat_get_backend_activity(integer) TO blotter_trader",
        "REVOKE pg_read_all_stats FROM blotter_writer",
        'GRANT EXECUTE ON FUNCTION pg_catalog."normalize"(text, text) TO PUBLIC',
        "GRANT EXECUTE ON FUNCTION is_normalized(text, text) TO PUBLIC",
        "ALTER ROLE blotter_sequencer RESET temp_file_limit",
        "DROP EVENT TRIGGER blotter_refuse_definitions",
        "ALTER EVENT TRIGGER blotter_refuse_definitions DISABLE",
    ],
)
def test_without_any_part_of_harden_sql_the_service_is_warned(
    database: Database, superuser: Connection, softened: str
) -> None:
    superuser.execute(softened.format(database.name).encode())
    assert not check(conninfos(database))
    assert not check([database.conninfo("blotter_owner")])
    database.cluster.psql(ROOT / "sql" / "harden.sql", dbname=database.name)
    assert check(conninfos(database))


@pytest.mark.parametrize(
    "changed",
    [
        *(f"DROP OWNED BY {login}" for login in LOGINS),
        "DROP POLICY orders_trader_isolation ON orders",
        "DROP POLICY execution_logs_immutable ON execution_logs",
        "CREATE POLICY everything ON orders USING (true)",
        "ALTER POLICY orders_compliance_reads_all ON orders TO blotter_trader",
        "ALTER TABLE fills DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE fills NO FORCE ROW LEVEL SECURITY",
        "REVOKE INSERT ON orders FROM blotter_writer",
        "GRANT DELETE ON orders TO blotter_writer",
        "ALTER POLICY fills_writer_named ON fills TO blotter_trader",
        "GRANT EXECUTE ON FUNCTION record_event TO blotter_trader",
        "REVOKE EXECUTE ON FUNCTION report_execution FROM blotter_execution",
        "ALTER FUNCTION submit_order OWNER TO postgres",
        "ALTER FUNCTION submit_order OWNER TO blotter_owner",
        "ALTER FUNCTION cancel_order SECURITY INVOKER",
        "ALTER FUNCTION find_order SECURITY DEFINER",
        "ALTER TABLE cancel_timers NO FORCE ROW LEVEL SECURITY",
        "REVOKE EXECUTE ON FUNCTION act_as FROM blotter_execution",
        "GRANT UPDATE ON orders TO blotter_trader",
    ],
)
def test_other_policies_or_grants_keep_the_service_from_starting(
    database: Database, superuser: Connection, changed: str
) -> None:
    superuser.execute(changed.encode())
    with pytest.raises(UnsafeDatabase, match="row policies or grants"):
        check_privileges(database.conninfo("blotter_owner"))


def test_policies_and_grants_of_other_roles_are_accepted(database: Database, superuser: Connection) -> None:
    superuser.execute("CREATE ROLE monitoring LOGIN")
    try:
        superuser.execute("CREATE POLICY counted ON orders FOR SELECT TO monitoring USING (true)")
        superuser.execute("GRANT SELECT ON orders TO monitoring")
        assert check(conninfos(database))
    finally:
        superuser.execute("DROP OWNED BY monitoring; DROP ROLE monitoring")


def test_what_a_login_has_dropped_is_restored_by_the_instructions(database: Database, superuser: Connection) -> None:
    superuser.execute("DROP OWNED BY blotter_trader")
    superuser.execute(f"GRANT CONNECT ON DATABASE {database.name} TO blotter_trader".encode())
    put_back(database)
    assert check(conninfos(database))


def put_back(database: Database) -> None:
    """As alembic/README.md describes."""
    text = (ROOT / "sql" / "policies" / "order_execution_rls.sql").read_text("utf-8")
    with psycopg.connect(database.conninfo("blotter_owner"), autocommit=True) as owner:
        for statement in re.findall(r"^(?:CREATE POLICY|GRANT|SET ROLE|RESET ROLE)[^;]*;", text, re.MULTILINE):
            with suppress(psycopg.errors.DuplicateObject):
                owner.execute(statement.encode())


@EVERY_LOGIN
@pytest.mark.parametrize(("name", "value"), [("local_preload_libraries", "nothing"), ("transaction_timeout", "1")])
def test_a_login_that_sets_what_cannot_be_pinned_keeps_the_service_from_starting(
    database: Database, superuser: Connection, login: str, name: str, value: str
) -> None:
    known = one(superuser, "SELECT count(*) FROM pg_settings WHERE name = %s", name)
    if not known:  # transaction_timeout is new in PostgreSQL 17
        return
    with psycopg.connect(database.conninfo(login), autocommit=True) as connection:
        connection.execute(f"ALTER ROLE {login} IN DATABASE {database.name} SET {name} = '{value}'".encode())
    with pytest.raises(UnsafeDatabase) as caught:
        check(conninfos(database))
    assert f"ALTER ROLE {login} IN DATABASE {database.name} RESET {name}" in str(caught.value)


@EVERY_LOGIN
def test_no_other_setting_that_a_login_makes_on_itself_takes_effect_or_blocks_its_sessions(
    database: Database, superuser: Connection, login: str
) -> None:
    """All settings that a login may change, at once, each at its opposite value."""
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
            with connection.transaction():
                connection.execute("SELECT act_as(%s)", [ALICE])
                assert call(connection, "submit_order")[0][0] == "APPLIED"
