"""Mutants of the signed identity: revision 021."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

R021 = "alembic/versions/021_know_the_callers.py"
SIGNED = ("tests/isolation/test_signed_identity.py",)

WITHOUT_KEY = "RETURN NOT EXISTS (SELECT FROM public.identity_keys WHERE retired_at IS NULL);"
TRADER = "OPERATOR(pg_catalog.||) v_trader_id OPERATOR(pg_catalog.||) '|'"
DESK = "OPERATOR(pg_catalog.||) v_desk_id OPERATOR(pg_catalog.||) '|'"

MUTANTS = tuple(
    Mutant(R021, old, new, SIGNED)
    for old, new in (
        # Each part of what is signed.
        ("session_user OPERATOR(pg_catalog.||) '|'", "current_user OPERATOR(pg_catalog.||) '|'"),
        (TRADER, "OPERATOR(pg_catalog.||) '|'"),
        (DESK, "OPERATOR(pg_catalog.||) '|'"),
        ("OPERATOR(pg_catalog.||) v_signed;", ";"),
        # What a setting may hold, and which snapshot reads the keys.
        ("OR v_trader_id OPERATOR(pg_catalog.~) '[^0-9a-f-]' OR v_desk_id", "OR v_desk_id"),
        (" OR v_desk_id OPERATOR(pg_catalog.~) '[^0-9a-f-]' THEN", " THEN"),
        ("OPERATOR(pg_catalog.<>) 'read committed'", "OPERATOR(pg_catalog.=) 'serializable'"),
        # What policies compare with rows.
        ("CASE WHEN identity_is_signed() THEN nullif(current_setting('app.trader_id', true), '')::uuid END",
         "nullif(current_setting('app.trader_id', true), '')::uuid"),
        ("CASE WHEN identity_is_signed() THEN nullif(current_setting('app.desk_id', true), '') END",
         "nullif(current_setting('app.desk_id', true), '')"),
        # The key.
        ("\n          AND retired_at IS NULL;", ";"),
        (WITHOUT_KEY, "RETURN true;"),
        (WITHOUT_KEY, "RETURN false;"),
        # The comparison, the expiry, and what is NULL.
        ("pg_catalog.substr(v_identity, 1, 64)", "pg_catalog.substr(v_identity, 1, 64) OR true"),
        ("::pg_catalog.float8 OPERATOR(pg_catalog.>)", "::pg_catalog.float8 OPERATOR(pg_catalog.<>)"),
        ("pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())",
         "pg_catalog.date_part('epoch', pg_catalog.now())"),
        ("pg_catalog.clock_timestamp()) END, false);", "pg_catalog.clock_timestamp()) END, true);"),
        # The functions that require it.
        ("IF NOT identity_is_signed() THEN", "IF false THEN"),
        ("ELSIF NOT identity_is_signed() THEN", "ELSIF false THEN"),
    )
)  # fmt: skip
