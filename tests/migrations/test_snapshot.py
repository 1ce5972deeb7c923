"""The SQL files for readers, sql/schema.sql and sql/policies/order_execution_rls.sql, match the revisions."""

from __future__ import annotations

import re

import psycopg
import pytest

from service.embedded import EmbeddedError
from service.repositories.privileges import WRITER
from tests.conftest import ALICE, BOB, Database
from tests.isolation.desk import LOGINS, enter
from tests.paths import ROOT
from tests.schema_snapshot import HEADER, SNAPSHOT, VERSION, dump

POLICIES = ROOT / "sql" / "policies" / "order_execution_rls.sql"


def test_schema_sql_is_what_the_revisions_build(empty: Database, database: Database) -> None:
    """The text is compared only on the version that dumped it, since other versions dump the schema differently."""
    with psycopg.connect(database.conninfo("blotter_owner")) as connection:
        version = connection.info.server_version // 10_000
    if version == VERSION:
        assert SNAPSHOT.read_text(encoding="utf-8") == f"{HEADER}\n{dump(database)}", "run: make schema"
    empty.cluster.psql(SNAPSHOT, user="blotter_owner", dbname=empty.name)
    assert dump(empty) == dump(database)


def take_off_policies_and_grants(database: Database) -> None:
    """Leave tables that only their owner can use, with nothing between the owner and the rows."""
    logins = ", ".join([*LOGINS, WRITER])
    with psycopg.connect(database.conninfo("blotter_owner"), autocommit=True) as owner:
        for table, policy in owner.execute("SELECT tablename, policyname FROM pg_policies").fetchall():
            owner.execute(f"DROP POLICY {policy} ON {table}".encode())
        for (table,) in owner.execute("SELECT relname FROM pg_class WHERE relrowsecurity").fetchall():
            owner.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY".encode())
            owner.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY".encode())
        owner.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {logins}".encode())
        functions = (
            "SELECT oid::regprocedure, proowner::regrole FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        )
        for function, role in owner.execute(functions.encode()).fetchall():
            others = ", ".join({*LOGINS, WRITER} - {role})
            owner.execute(f"SET ROLE {role}".encode())
            owner.execute(f"REVOKE ALL ON FUNCTION {function} FROM {others}".encode())
            owner.execute(f"GRANT EXECUTE ON FUNCTION {function} TO PUBLIC".encode())
        owner.execute(b"RESET ROLE")
        owner.execute(f"REVOKE ALL ON SCHEMA public FROM {logins}".encode())
        owner.execute(f"GRANT CONNECT, TEMPORARY ON DATABASE {database.name} TO PUBLIC".encode())
        owner.execute(f"REVOKE CONNECT ON DATABASE {database.name} FROM {logins}".encode())


def access(database: Database) -> str:
    """Policies and privileges as the catalogue has them, without the order of grants."""
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        rows = superuser.execute(
            """SELECT p::text FROM pg_policies AS p
               UNION ALL SELECT format('%s %s %s', oid::regclass, relrowsecurity, relforcerowsecurity)
                   FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
               UNION ALL SELECT format('%s %s', relname, acl) FROM pg_class, unnest(relacl) AS acl
                   WHERE relnamespace = 'public'::regnamespace
               UNION ALL SELECT format('%s.%s %s', attrelid::regclass, attname, acl)
                   FROM pg_attribute, unnest(attacl) AS acl
               UNION ALL SELECT format('%s %s', oid::regprocedure, acl)
                   FROM pg_proc, unnest(coalesce(proacl, acldefault('f', proowner))) AS acl
                   WHERE pronamespace = 'public'::regnamespace AND prorettype <> 'trigger'::regtype
               UNION ALL SELECT format('%s %s', nspname, acl) FROM pg_namespace, unnest(nspacl) AS acl
                   WHERE nspname = 'public'
               UNION ALL SELECT acl::text FROM pg_database, unnest(datacl) AS acl WHERE datname = current_database()
               ORDER BY 1"""
        ).fetchall()
    return "\n".join(row[0] for row in rows)


def test_the_policies_file_puts_back_just_what_the_revisions_build(database: Database) -> None:
    built = access(database)
    take_off_policies_and_grants(database)
    assert access(database) != built
    database.cluster.psql(POLICIES, user="blotter_owner", dbname=database.name)
    assert access(database) == built


def test_the_policies_file_names_every_policy(database: Database) -> None:
    text = re.sub(r"^--.*", "", POLICIES.read_text(encoding="utf-8"), flags=re.MULTILINE)
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        policies = {name for (name,) in superuser.execute("SELECT policyname FROM pg_policies")}
    assert set(re.findall(r"CREATE POLICY (\w+)", text)) == policies


def test_the_policies_file_changes_nothing_where_the_policies_are(database: Database) -> None:
    built = access(database)
    with pytest.raises(EmbeddedError, match=r"policy .traders_owner_registers. .* already exists"):
        database.cluster.psql(POLICIES, user="blotter_owner", dbname=database.name)
    assert access(database) == built


def test_the_example_in_the_policies_file_goes_as_it_says(database: Database) -> None:
    """Each line `statement;  -- answer` of the part "How to test it by hand", login by login."""
    enter(database, ALICE)
    assert {str(ALICE), str(BOB)} <= set(re.findall(r"act_as\('([^']+)'\)", POLICIES.read_text(encoding="utf-8")))
    tried = 0
    for login, lines in re.findall(
        r"^--   As (\w+):\n((?:--     .*\n)+)", POLICIES.read_text(encoding="utf-8"), flags=re.MULTILINE
    ):
        with psycopg.connect(database.conninfo(login), autocommit=True) as connection:
            for statement, answer in re.findall(r"^--     (.+?;)(?: +-- (.*))?$", lines, flags=re.MULTILINE):
                tried += 1
                assert answered(connection, statement) in {answer.split(":")[0], answer}, statement
    assert tried == 18


def answered(connection: psycopg.Connection[tuple[object, ...]], statement: str) -> str:
    """The output of psql for a statement: a boolean, the tag of an UPDATE, an error's code, or nothing."""
    try:
        cursor = connection.execute(statement.encode())
    except psycopg.Error as error:
        return f"ERROR {error.sqlstate}"
    if cursor.description:
        row = cursor.fetchone()
        assert row
        return "t" if row[0] else "f"
    return cursor.statusmessage or "" if statement.startswith("UPDATE") else ""
