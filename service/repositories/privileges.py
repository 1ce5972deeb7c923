"""Checks at the start of the service: privileges and settings of the logins beyond those that the revisions give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

import psycopg
from psycopg import errors as pg

from service.domain.errors import Refused
from service.repositories.errors import unavailable_if_unreachable


class UnsafeDatabase(Refused):
    """A database whose privileges or settings break a guarantee of the service; the text names the remedy."""


LOGINS = ["blotter_trader", "blotter_execution", "blotter_compliance", "blotter_desk", "blotter_sequencer"]

# A login may set these on itself. They act before the first statement of a connection, so that none can reset them.
UNPINNABLE = ["local_preload_libraries", "session_preload_libraries", "transaction_timeout"]

WRITER = "blotter_writer"
"""The role whose rights the writing functions have."""

_VALUES = {"logins": LOGINS, "roles": [*LOGINS, WRITER], "unpinnable": UNPINNABLE}

# Membership of a role is refused if the role is predefined, such as pg_write_all_data, or has attributes, or privileges
# on objects in schema public. Roles without rights are accepted, because a managed server may use them for
# authentication. The message names the membership that was granted, which may be that of a role in between.
_REFUSED: LiteralString = """
    SELECT format('%%s is not bound by row level security: ALTER ROLE %%I NO%%s', rolname, rolname, attribute)
    FROM pg_roles, LATERAL (VALUES ('SUPERUSER', rolsuper), ('BYPASSRLS', rolbypassrls),
        ('REPLICATION', rolreplication), ('CREATEROLE', rolcreaterole)) AS attributes (attribute, is_set)
    WHERE rolname = ANY (%(roles)s::text[]) AND is_set
    UNION ALL
    SELECT format('%%s may act as %%s: REVOKE %%I FROM %%I', login.rolname, taken.rolname, taken.rolname, given.rolname)
    FROM pg_roles AS login
    JOIN pg_roles AS given ON pg_has_role(login.oid, given.oid, 'MEMBER')
    JOIN pg_auth_members AS membership ON membership.member = given.oid
    JOIN pg_roles AS taken ON taken.oid = membership.roleid
    WHERE login.rolname = ANY (%(logins)s::text[]) AND NOT login.rolsuper
      AND (given.rolname, taken.rolname) NOT IN (
          ('blotter_owner', 'blotter_writer'), ('blotter_writer', 'pg_read_all_stats'))
      AND (taken.rolname ~ '^(pg|blotter)_'
        OR taken.rolsuper OR taken.rolbypassrls OR taken.rolreplication OR taken.rolcreaterole
        OR taken.oid IN (SELECT datdba FROM pg_database WHERE datname = current_database())
        OR EXISTS (
            SELECT FROM pg_class LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attacl IS NOT NULL
            WHERE relnamespace = 'public'::regnamespace AND (relowner = taken.oid
                OR EXISTS (SELECT FROM aclexplode(relacl) WHERE grantee = taken.oid)
                OR EXISTS (SELECT FROM aclexplode(attacl) WHERE grantee = taken.oid))))
    UNION ALL
    SELECT format('%%s owns a table, and its owner is bound by no privilege: ALTER TABLE public.%%I OWNER TO '
                  'blotter_owner', login, relname)
    FROM unnest(%(logins)s::text[]) AS login JOIN pg_roles ON rolname = login JOIN pg_class ON relowner = pg_roles.oid
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
    UNION ALL
    SELECT format('%%s may create temporary tables, which could be read in place of the real ones: '
                  'REVOKE TEMPORARY ON DATABASE %%I FROM PUBLIC, %%I', login, current_database(), login)
    FROM unnest(%(logins)s::text[]) AS login WHERE has_database_privilege(login, current_database(), 'TEMPORARY')
    UNION ALL
    SELECT format('%%s may create schemas: REVOKE CREATE ON DATABASE %%I FROM PUBLIC, %%I',
                  login, current_database(), login)
    FROM unnest(%(logins)s::text[]) AS login WHERE has_database_privilege(login, current_database(), 'CREATE')
    UNION ALL
    SELECT format('%%s may create objects in schema %%I: REVOKE CREATE ON SCHEMA %%I FROM PUBLIC, %%I',
                  login, nspname, nspname, login)
    FROM unnest(%(logins)s::text[]) AS login, pg_namespace
    WHERE nspname !~ '^pg_(toast_)?temp_' AND has_schema_privilege(login, pg_namespace.oid, 'CREATE')
"""

_LOCKED_OUT: LiteralString = """
    SELECT format('%%s has a setting that can prevent the service from connecting: ALTER ROLE %%I%%s RESET %%s',
                  rolname, rolname, ' IN DATABASE ' || quote_ident(datname), split_part(setting, '=', 1))
    FROM pg_db_role_setting JOIN pg_roles ON pg_roles.oid = setrole
    LEFT JOIN pg_database ON pg_database.oid = setdatabase, unnest(setconfig) AS setting
    WHERE rolname = ANY (%(logins)s::text[]) AND split_part(setting, '=', 1) = ANY (%(unpinnable)s::text[])
      AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
"""

# Every part of sql/harden.sql but the removal of old statistics, which no login can see.
_HARDENED: LiteralString = """
    SELECT NOT EXISTS (
        SELECT FROM unnest(%(logins)s::text[]) AS login, pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace
          AND (proname IN ('pg_terminate_backend', 'pg_cancel_backend', 'loread', 'lowrite',
                           'pg_logical_emit_message', 'normalize', 'is_normalized')
            OR proname ~ '^(lo|be_lo)_'
            OR proname = 'pg_stat_get_backend_activity'
            OR (proname = 'pg_stat_get_activity' OR proname ~ '^pg_(try_)?advisory_') AND login <> 'blotter_sequencer')
          AND has_function_privilege(login, pg_proc.oid, 'EXECUTE'))
    AND pg_has_role('blotter_writer', 'pg_read_all_stats', 'USAGE')
    AND NOT EXISTS (
        SELECT FROM unnest(%(logins)s::text[]) AS login
        WHERE NOT EXISTS (
            SELECT FROM pg_db_role_setting JOIN pg_roles ON pg_roles.oid = setrole, unnest(setconfig) AS setting
            WHERE rolname = login AND setting ~ '^temp_file_limit=[^-]'))
    AND EXISTS (
        SELECT FROM pg_event_trigger JOIN pg_proc ON pg_proc.oid = evtfoid
        WHERE evtname = 'blotter_refuse_definitions' AND evtevent = 'ddl_command_start' AND evttags IS NULL
          AND evtenabled IN ('O', 'A') AND proname = 'refuse_definitions')
"""

# By names only: versions of PostgreSQL may print the same expression differently.
_POLICIES_AND_GRANTS: LiteralString = """
    WITH login AS (SELECT oid, rolname FROM pg_roles WHERE rolname = ANY (%(roles)s::text[])),
    relation AS (SELECT * FROM pg_class WHERE relnamespace = 'public'::regnamespace),
    line AS (
        SELECT format('policy %%s %%s %%s %%s %%s', relname, polname, polcmd, polpermissive,
                      ARRAY(SELECT rolname FROM login WHERE oid = ANY (polroles) ORDER BY rolname)) AS text
        FROM pg_policy JOIN relation ON relation.oid = polrelid
        WHERE polroles = '{0}' OR EXISTS (SELECT FROM login WHERE oid = ANY (polroles))
        UNION ALL
        SELECT format('bound %%s', relname) FROM relation
        WHERE relrowsecurity AND relforcerowsecurity AND oid IN (SELECT polrelid FROM pg_policy)
        UNION ALL
        SELECT format('grant %%s %%s %%s', name, rolname, privilege_type)
        FROM (SELECT relname AS name, relacl AS acl FROM relation
              UNION ALL
              SELECT relname || '.' || attname, attacl FROM pg_attribute JOIN relation ON relation.oid = attrelid
              UNION ALL
              SELECT proname, proacl FROM pg_proc WHERE pronamespace = 'public'::regnamespace) AS granted,
            aclexplode(acl) JOIN login ON login.oid = grantee
        UNION ALL
        SELECT format('rights of %%s in %%s', pg_get_userbyid(proowner), proname)
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef
    )
    SELECT encode(sha256(convert_to(string_agg(text, E'\n' ORDER BY text COLLATE "C"), 'UTF8')), 'hex')
        AS policies_and_grants
    FROM line
"""

# The database states the digest, because a later release may have added policies and grants that this code does not
# know. Only the owner, who could change the policies as well, can change that statement.
_EXPECTED_POLICIES_AND_GRANTS: LiteralString = "SELECT policies_and_grants FROM schema_compatibility()"

OTHER_POLICIES = (
    "The row policies or grants of the logins are not those of sql/policies/order_execution_rls.sql: "
    'see alembic/README.md, "Troubleshooting".'
)

NOT_HARDENED = (
    "The service's logins may end each other's connections, take advisory locks, fill the disk, see each "
    "other's statements or drop their own policies: a superuser closes that with sql/harden.sql."
)


FIXED_RELEASES = {15: 14, 16: 10, 17: 6}
"""By major release of PostgreSQL: the first minor release without CVE-2025-8713, which later majors never had."""


def check_settings(conninfos: Sequence[str]) -> None:
    """Check the logins for settings that can prevent them from connecting. Raises UnsafeDatabase, DatabaseUnavailable.

    `conninfos` name the same database under several logins, tried in turn: a setting may prevent one from connecting.
    """
    with unavailable_if_unreachable():
        for conninfo in conninfos[:-1]:
            try:
                return _refuse(conninfo, _LOCKED_OUT)
            except psycopg.Error:
                continue
        return _refuse(conninfos[-1], _LOCKED_OUT)


def check_privileges(conninfo: str) -> bool:
    """Return whether sql/harden.sql was run. Raises UnsafeDatabase, DatabaseUnavailable."""
    with unavailable_if_unreachable():
        _refuse(conninfo, _REFUSED)
        with psycopg.connect(conninfo) as connection:
            found = connection.execute(_POLICIES_AND_GRANTS, _VALUES).fetchone()
            try:
                expected = connection.execute(_EXPECTED_POLICIES_AND_GRANTS).fetchone()
            except (pg.InsufficientPrivilege, pg.UndefinedFunction) as error:
                raise UnsafeDatabase(OTHER_POLICIES) from error
            if found != expected:
                raise UnsafeDatabase(OTHER_POLICIES)
            return connection.execute(_HARDENED, _VALUES).fetchone() == (True,)


def check_release(conninfo: str) -> str | None:
    """Return a warning if the minor release of PostgreSQL has a known leak. Raises DatabaseUnavailable."""
    with unavailable_if_unreachable(), psycopg.connect(conninfo) as connection:
        found = connection.execute("SELECT current_setting('server_version_num')::integer").fetchone()
    return release_warning(found[0]) if found else None


def release_warning(version: int) -> str | None:
    """Return a warning if `version`, as server_version_num has it, shows rows that row-level security hides."""
    major, minor = divmod(version, 10000)
    fixed = FIXED_RELEASES.get(major, 0)
    if minor >= fixed:
        return None
    return (
        f"PostgreSQL {major}.{minor} lets a login read samples of rows that row-level security hides from it, by the "
        f"planner's statistics (CVE-2025-8713): upgrade it to {major}.{fixed} or later."
    )


def _refuse(conninfo: str, query: LiteralString) -> None:
    with psycopg.connect(conninfo) as connection:
        refused = connection.execute(query, _VALUES).fetchall()
    if refused:
        more = f" ({len(refused) - 1} more like it)" if refused[1:] else ""
        raise UnsafeDatabase(f"{refused[0][0]}{more}")
