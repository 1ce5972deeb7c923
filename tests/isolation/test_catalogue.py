"""The catalogue has no table, grant or owner that the matrix does not list."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.conftest import Database
from tests.isolation.desk import DEFAULTS, ENTRIES, LOGINS, WRITER, Connection
from tests.isolation.matrix import EXPECTED

WITHOUT_ROW_SECURITY = {"alembic_version"}  # one row, the revision: no trader's

WRITABLE_COLUMNS = {
    ("blotter_sequencer", "ledger_entries", "INSERT"): {"position", "kind", "trader_id", "sequence", "leaf"},
    ("blotter_sequencer", "ledger_tiles", "INSERT"): {"level", "tile_index", "hashes", "root"},
    ("blotter_sequencer", "ledger_checkpoints", "INSERT"): {"size", "root_hash", "note"},
    ("blotter_sequencer", "ledger_cosignatures", "INSERT"): {"size", "witness", "signature"},
    ("blotter_sequencer", "ledger_head", "INSERT"): {"id"},
    ("blotter_sequencer", "ledger_head", "UPDATE"): {"size", "incarnation", "next_xid", "open_xids"},
    ("blotter_compliance", "audit_accesses", "INSERT"): {"actor", "request_id", "method", "request"},
}

LEAF_MAKERS = {"canonical_json", "canonical_time", "canonical_decimal", "canonical_object", "execution_log_leaf"}

READING = {"identity_is_signed", "database_condition"}
"""The functions with the rights of the writer that write nothing."""

CALLABLE = {
    "blotter_trader": {
        "act_as",
        "acting_trader",
        "find_order",
        "get_order",
        "order_requests",
        "schema_compatibility",
        "identity_is_signed",
        "signed_trader",
        *ENTRIES["blotter_trader"],
    },
    "blotter_execution": {"act_as", "identity_is_signed", "database_condition", *ENTRIES["blotter_execution"]},
    "blotter_compliance": {"act_as", "identity_is_signed", *LEAF_MAKERS},
    "blotter_desk": {"act_as", "identity_is_signed", "desk_traders", "get_order", "order_requests"},
    "blotter_sequencer": {
        *LEAF_MAKERS,
        "ledger_incarnation",
        "append_to_ledger",
        "append_note_to_ledger",
        "traders_with_news",
        "rebaseline_ledger",
    },
}

WRITTEN_BY_FUNCTIONS = {
    "orders": {"SELECT", "INSERT", "UPDATE"},
    "trader_sequences": {"SELECT", "INSERT", "UPDATE"},
    "execution_logs": {"SELECT", "INSERT"},
    "fills": {"SELECT", "INSERT"},
    "fill_corrections": {"SELECT", "INSERT"},
    "cancel_timers": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "identity_keys": {"SELECT"},
}

NAMED_ALIKE = "(trader_id = (NULLIF(current_setting('app.trader_id'::text, true), ''::text))::uuid)"


@pytest.fixture
def catalogue(database: Database) -> Iterator[Connection]:
    """A connection of the superuser, from which nothing is hidden."""
    with psycopg.connect(database.conninfo("postgres")) as connection:
        yield connection


def column(connection: Connection, query: str, *values: object) -> set[str]:
    return {str(row[0]) for row in connection.execute(query.encode(), values)}


def test_the_matrix_covers_every_table(catalogue: Connection) -> None:
    relations = column(
        catalogue,
        """SELECT relname FROM pg_class
           WHERE relkind NOT IN ('i', 't', 'S')
             AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)'""",
    )
    assert relations == {table for table, _, _ in EXPECTED}


@pytest.mark.parametrize("login", LOGINS)
def test_no_login_may_touch_a_sequence(catalogue: Connection, login: str) -> None:
    assert not column(
        catalogue,
        """SELECT relname FROM pg_class
           WHERE CASE WHEN relkind = 'S' THEN has_sequence_privilege(%s, oid, 'USAGE, SELECT, UPDATE') END""",
        login,
    )


def test_row_level_security_is_enabled_and_forced_on_every_table(catalogue: Connection) -> None:
    open_tables = column(
        catalogue,
        """SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')
             AND NOT (relrowsecurity AND relforcerowsecurity) AND relnamespace = 'public'::regnamespace""",
    )
    assert open_tables == WITHOUT_ROW_SECURITY


def test_the_service_s_logins_own_nothing_in_any_database(catalogue: Connection) -> None:
    owned = column(
        catalogue,
        """SELECT format('%%s: %%s %%s', refobjid::regrole, classid::regclass, objid)
           FROM pg_shdepend
           WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o'
             AND refobjid::regrole::text = ANY (%s)""",
        list(LOGINS),
    )
    assert not owned


def test_no_login_has_a_role_attribute_but_login_and_the_writer_not_that(catalogue: Connection) -> None:
    attributes = """SELECT rolname FROM pg_roles WHERE rolname = ANY (%s) AND
        (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication OR rolcanlogin <> %s)"""
    assert not column(catalogue, attributes, [*LOGINS, "blotter_owner"], True)
    assert not column(catalogue, attributes, [WRITER], False)


def test_the_owner_alone_is_a_member_of_a_role_and_of_the_writer_alone(catalogue: Connection) -> None:
    assert column(
        catalogue,
        """SELECT format('%%s in %%s', member::regrole, roleid::regrole) FROM pg_auth_members
           WHERE member::regrole::text = ANY (%(roles)s) OR roleid::regrole::text = ANY (%(roles)s)""".replace(
            "%(roles)s", "%s"
        ),
        *[[*LOGINS, "blotter_owner", WRITER]] * 2,
    ) == {"blotter_owner in blotter_writer", "blotter_writer in pg_read_all_stats"}


def test_the_owner_has_the_rights_of_the_writer_only_by_set_role(catalogue: Connection) -> None:
    """PostgreSQL 15 cannot grant the membership without its rights (sql/roles.sql)."""
    if catalogue.info.server_version >= 160000:
        assert catalogue.execute(
            "SELECT pg_has_role('blotter_owner', 'blotter_writer', 'SET'),"
            " pg_has_role('blotter_owner', 'blotter_writer', 'USAGE')"
        ).fetchone() == (True, False)


@pytest.mark.parametrize("login", LOGINS)
def test_no_login_can_create_anything(template: Database, catalogue: Connection, login: str) -> None:
    # The template, because it has the privileges that the revisions set; a clone does not get them.
    assert catalogue.execute(
        "SELECT has_database_privilege(%(login)s, %(name)s, 'CREATE'),"
        " has_database_privilege(%(login)s, %(name)s, 'TEMPORARY')",
        {"login": login, "name": template.name},
    ).fetchone() == (False, False)
    assert not column(
        catalogue, "SELECT nspname FROM pg_namespace WHERE has_schema_privilege(%s, oid, 'CREATE')", login
    )


def test_each_login_can_write_just_these_columns(catalogue: Connection) -> None:
    granted: dict[tuple[str, str, str], set[str]] = {}
    for login, table, privilege, name in catalogue.execute(
        """SELECT grantee, table_name, privilege_type, column_name FROM information_schema.column_privileges
           WHERE table_schema = 'public' AND grantee NOT IN ('blotter_owner', 'blotter_writer')
             AND privilege_type <> 'SELECT'"""
    ):
        granted.setdefault((login, table, privilege), set()).add(name)
    assert granted == WRITABLE_COLUMNS


def test_no_login_has_a_table_privilege_but_select_and_none_with_grant_option(catalogue: Connection) -> None:
    grants = catalogue.execute(
        """SELECT DISTINCT privilege_type, is_grantable FROM information_schema.role_table_grants
           WHERE table_schema = 'public' AND grantee NOT IN ('blotter_owner', 'blotter_writer')"""
    ).fetchall()
    assert grants == [("SELECT", "NO")]
    assert not column(
        catalogue,
        """SELECT column_name FROM information_schema.column_privileges
           WHERE table_schema = 'public' AND grantee <> 'blotter_owner' AND is_grantable = 'YES'""",
    )


def test_the_writer_writes_just_what_its_functions_write(catalogue: Connection) -> None:
    granted: dict[str, set[str]] = {}
    for table, privilege in catalogue.execute(
        """SELECT table_name, privilege_type FROM information_schema.role_table_grants
           WHERE table_schema = 'public' AND grantee = 'blotter_writer'"""
    ):
        granted.setdefault(table, set()).add(privilege)
    assert granted == WRITTEN_BY_FUNCTIONS


def test_nothing_is_granted_to_public_and_nothing_will_be_by_default(catalogue: Connection) -> None:
    assert not column(
        catalogue,
        """SELECT table_name FROM information_schema.role_table_grants
           WHERE grantee = 'PUBLIC' AND table_schema = 'public'""",
    )
    assert not column(catalogue, "SELECT defaclacl FROM pg_default_acl")


@pytest.mark.parametrize("login", LOGINS)
def test_each_login_can_call_just_these_functions(catalogue: Connection, login: str) -> None:
    assert CALLABLE[login] == column(
        catalogue,
        """SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
           AND prorettype <> 'trigger'::regtype AND has_function_privilege(%s, oid, 'EXECUTE')""",
        login,
    )


def test_the_functions_with_rights_of_their_owner_are_the_writer_s_and_one_that_reads_no_table(
    catalogue: Connection,
) -> None:
    assert column(
        catalogue,
        """SELECT format('%%s of %%s', proname, proowner::regrole) FROM pg_proc
           WHERE prosecdef AND pronamespace = 'public'::regnamespace""",
    ) == {"nfkc of blotter_owner", *(f"{name} of blotter_writer" for name in [*DEFAULTS, *READING])}
    assert column(
        catalogue,
        """SELECT coalesce(proname, classid::regclass::text) FROM pg_shdepend LEFT JOIN pg_proc ON pg_proc.oid = objid
           WHERE refobjid = 'blotter_writer'::regrole AND deptype = 'o'
             AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())""",
    ) == {*DEFAULTS, *READING}, "it owns nothing else"


def test_what_a_login_calls_names_its_search_path(catalogue: Connection) -> None:
    """What these call inherits it. What makes leaves reads no table, and would no longer be inlined.

    identity_is_signed qualifies every name instead, which costs less.
    """
    assert column(
        catalogue,
        """SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
               AND prorettype <> 'trigger'::regtype
               AND (prosecdef OR EXISTS (SELECT FROM unnest(%s::text[]) AS login
                                         WHERE has_function_privilege(login, pg_proc.oid, 'EXECUTE')))
               AND NOT coalesce('search_path=pg_catalog, public, pg_temp' = ANY (proconfig), false)""",
        list(LOGINS),
    ) == LEAF_MAKERS | {"identity_is_signed"}


def test_no_function_takes_the_trader_as_an_argument_but_act_as(catalogue: Connection) -> None:
    assert column(
        catalogue,
        """SELECT proname FROM pg_proc
           WHERE pronamespace = 'public'::regnamespace AND 'p_trader_id' = ANY (proargnames)""",
    ) == {"act_as"}


def test_every_permissive_policy_names_its_login(catalogue: Connection) -> None:
    assert not column(
        catalogue,
        "SELECT policyname FROM pg_policies WHERE permissive = 'PERMISSIVE' AND 'public' = ANY (roles)",
    )


def test_every_policy_for_writing_orders_asks_for_the_named_trader(catalogue: Connection) -> None:
    loose = column(
        catalogue,
        """SELECT policyname FROM pg_policies
           WHERE permissive = 'PERMISSIVE' AND cmd <> 'SELECT' AND roles <> '{blotter_owner}'
             AND NOT roles && '{blotter_sequencer,blotter_compliance}'
             AND (strpos(coalesce(qual, %(named)s), %(named)s) = 0
                  OR strpos(coalesce(with_check, %(named)s), %(named)s) = 0)""".replace("%(named)s", "%s"),
        *[NAMED_ALIKE] * 4,
    )
    assert not loose


def test_every_unique_key_leads_with_the_trader(catalogue: Connection) -> None:
    """A key without the trader would reveal another trader's rows, by its error and by the wait for a commit."""
    assert column(
        catalogue,
        """SELECT indexrelid::regclass FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
           WHERE indisunique AND relnamespace = 'public'::regnamespace
             AND NOT EXISTS (SELECT FROM pg_attribute
                             WHERE attrelid = indrelid AND attnum = indkey[0] AND attname = 'trader_id')""",
    ) == {
        "traders_pkey",
        # The owner alone writes these.
        *("uq_traders_name", "desks_pkey", "uq_desks_name", "principals_pkey", "identity_keys_pkey"),
        "alembic_version_pkc",
        # No trader's login reads or writes these.
        *("ledger_entries_pkey", "ledger_tiles_pkey", "ledger_checkpoints_pkey", "ledger_cosignatures_pkey"),
        *("ledger_head_pkey", "audit_accesses_pkey"),
    }
