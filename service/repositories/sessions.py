"""The settings of the service's connections to the database, and of its transactions behind a pooler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo

# A login may change its own defaults (ALTER ROLE ... SET); start-up options take precedence over them. Settings that
# cannot be start-up options are checked at the start of the service: see privileges.py.
SESSION = {
    "search_path": "pg_catalog,public,pg_temp",
    "row_security": "on",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read\\ committed",
    "standard_conforming_strings": "on",
    "bytea_output": "hex",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "statement_timeout": "60s",
    "lock_timeout": "10s",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "60s",
    "exit_on_error": "off",
    "transform_null_equals": "off",
    "plpgsql.extra_errors": "none",
    "tcp_user_timeout": "0",
    "client_min_messages": "notice",
    "debug_print_parse": "off",
    "debug_print_rewritten": "off",
    "debug_print_plan": "off",
    "jit": "off",
    "enable_bitmapscan": "on",
    "enable_hashjoin": "on",
    "enable_indexonlyscan": "on",
    "enable_indexscan": "on",
    "enable_material": "on",
    "enable_nestloop": "on",
    "enable_seqscan": "on",
    "enable_sort": "on",
}

# The planner has no statistics of ids, and takes the orders of a trader for a 200th of all. Among less than 10,000
# orders it would therefore read and sort all of the trader's for a page, instead of the page in the order of an index.
FOR_PAGES = {"enable_sort": "off"}
"""Further settings of the logins that read pages: traders and desks. Rows that no index has in order are sorted."""


def at_least_on(*, local: bool) -> str:
    """Return the SQL that makes commits durable for the transaction (`local`) or the session.

    A login may have lowered its own default. A setting stronger than `on` is left as the DBA has set it.
    """
    stronger = "CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END"
    return f"set_config('synchronous_commit', {stronger}, {str(local).lower()})"


# A peer that has gone silently is detected in about ten seconds, not hours. Parameters of the URL take precedence.
_PATIENCE_WITH_PEERS = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def login_to(
    conninfo: str,
    login: str,
    password: str | None = None,
    session: Mapping[str, str] | None = None,
    *,
    pooler: bool = False,
) -> str:
    """Return the libpq connection string for a login of the database, in UTF-8.

    The session settings, and UTC, are start-up options; a `pooler` refuses these, so that each message carries them.
    """
    parts: dict[str, Any] = _PATIENCE_WITH_PEERS | conninfo_to_dict(conninfo)
    if password is not None:
        parts["password"] = password
    parts |= {"user": login, "application_name": "blotter", "client_encoding": "UTF8"}
    if not pooler:
        settings = {"TimeZone": "UTC"} | dict(session or {})
        parts["options"] = " ".join(f"-c {name}={value}" for name, value in settings.items())
    return make_conninfo(**parts)


# Settings of a connection, or that only slow statements down: the DBA sets these on a pooler's server connections.
_OF_CONNECTIONS = {"idle_session_timeout", "local_preload_libraries", "session_preload_libraries"}
_OF_CONNECTIONS |= {name for name in SESSION if name.startswith(("enable_", "debug_", "client_", "jit"))}


def in_each_transaction() -> list[str]:
    """Return the statements that give the settings of SESSION to one transaction, for use behind a pooler."""
    local = {name: value.replace("\\ ", " ") for name, value in SESSION.items() if name not in _OF_CONNECTIONS}
    # A default applies from the next transaction on; this statement sets the current one.
    isolation = local.pop("default_transaction_isolation").upper()
    access = "READ ONLY" if local.pop("default_transaction_read_only") == "on" else "READ WRITE"
    settings = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in local.items())
    return [f"SET TRANSACTION ISOLATION LEVEL {isolation}, {access}", f"SELECT {settings}"]
