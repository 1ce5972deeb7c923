"""Revision 001 is exactly the seed's schema (its completion summary of task T005), made to work."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from service import migrations
from tests.conftest import Database
from tests.isolation.desk import Connection

COLUMNS = {
    "orders": [
        ("id", "uuid", "NO"),
        ("trader_id", "uuid", "NO"),
        ("symbol", "character varying(10)", "NO"),
        ("side", "order_side_enum", "NO"),  # the fifteenth column, which the seed counts but does not list
        ("quantity", "integer", "NO"),
        ("order_type", "order_type_enum", "NO"),
        ("price", "numeric(10,2)", "YES"),
        ("stop_loss", "numeric(10,2)", "YES"),
        ("take_profit", "numeric(10,2)", "YES"),
        ("status", "order_status_enum", "NO"),
        ("filled_quantity", "integer", "NO"),
        ("average_fill_price", "numeric(10,2)", "YES"),
        ("created_at", "timestamp with time zone", "NO"),
        ("updated_at", "timestamp with time zone", "NO"),
        ("expires_at", "timestamp with time zone", "YES"),
    ],
    "fills": [
        ("id", "uuid", "NO"),
        ("order_id", "uuid", "NO"),
        ("timestamp", "timestamp with time zone", "NO"),
        ("quantity_filled", "integer", "NO"),
        ("price_at_fill", "numeric(10,2)", "NO"),
        ("venue", "character varying(50)", "NO"),
        ("commission", "numeric(10,2)", "NO"),
        ("created_at", "timestamp with time zone", "NO"),
    ],
    "execution_logs": [
        ("id", "uuid", "NO"),
        ("order_id", "uuid", "NO"),
        ("trader_id", "uuid", "NO"),
        ("action", "action_enum", "NO"),
        ("status", "order_status_enum", "YES"),
        ("timestamp", "timestamp with time zone", "NO"),
        ("reason", "text", "YES"),
        ("retry_attempt", "integer", "YES"),
        ("error_code", "character varying(50)", "YES"),
        ("created_at", "timestamp with time zone", "NO"),
    ],
}
DEFAULTS = {
    ("orders", "id"): "gen_random_uuid()",
    ("orders", "status"): "'PENDING'::order_status_enum",
    ("orders", "filled_quantity"): "0",
    ("orders", "created_at"): "now()",
    ("orders", "updated_at"): "now()",
    ("fills", "id"): "gen_random_uuid()",
    ("fills", "timestamp"): "now()",
    ("fills", "commission"): "'0'::numeric",
    ("fills", "created_at"): "now()",
    ("execution_logs", "id"): "gen_random_uuid()",
    ("execution_logs", "timestamp"): "now()",
    ("execution_logs", "created_at"): "now()",
}
ENUMS = {
    "order_type_enum": ["MARKET", "LIMIT", "STOP"],
    "order_side_enum": ["BUY", "SELL"],
    "order_status_enum": ["PENDING", "FILLED", "PARTIAL", "REJECTED", "CANCELLED"],
    "action_enum": ["SUBMITTED", "APPROVED", "EXECUTED", "FILLED", "REJECTED", "CANCELLED", "RECOVERED"],
}
CHECKS = {
    "ck_orders_quantity_positive": "quantity > 0",
    "ck_orders_price_positive": "price IS NULL OR price > 0::numeric",
    "ck_orders_filled_quantity_nonnegative": "filled_quantity >= 0",
    "ck_orders_filled_lte_quantity": "filled_quantity <= quantity",
    "ck_orders_limit_requires_price": "order_type = 'MARKET'::order_type_enum OR price IS NOT NULL",
    "ck_fills_quantity_positive": "quantity_filled > 0",
    "ck_fills_price_positive": "price_at_fill > 0::numeric",
    "ck_fills_commission_nonnegative": "commission >= 0::numeric",
}
FOREIGN_KEYS = {
    "fk_fills_order_id": "FOREIGN KEY (order_id) REFERENCES orders(id) ON DELETE CASCADE",
    "fk_execution_logs_order_id": "FOREIGN KEY (order_id) REFERENCES orders(id) ON DELETE CASCADE",
    "orders_trader_id_fkey": "FOREIGN KEY (trader_id) REFERENCES traders(id)",
    "execution_logs_trader_id_fkey": "FOREIGN KEY (trader_id) REFERENCES traders(id)",
}
INDEXES = {
    "idx_orders_trader_created": "orders USING btree (trader_id, created_at DESC)",
    "idx_orders_status": "orders USING btree (status)",
    "idx_orders_trader_status": "orders USING btree (trader_id, status)",
    "idx_fills_order": "fills USING btree (order_id)",
    "idx_fills_timestamp": 'fills USING btree ("timestamp" DESC)',
    "idx_execution_logs_trader_timestamp": 'execution_logs USING btree (trader_id, "timestamp" DESC)',
    "idx_execution_logs_order": "execution_logs USING btree (order_id)",
    "idx_execution_logs_action": "execution_logs USING btree (action)",
}
POLICIES = {
    "orders_trader_isolation": ("orders", "PERMISSIVE", "ALL"),
    "fills_trader_isolation": ("fills", "PERMISSIVE", "ALL"),
    "execution_logs_trader_isolation": ("execution_logs", "PERMISSIVE", "ALL"),
    # Restrictive: as permissive policies they would be ORed with the isolation policy, and block nothing.
    "execution_logs_immutable": ("execution_logs", "RESTRICTIVE", "UPDATE"),
    "execution_logs_immutable_delete": ("execution_logs", "RESTRICTIVE", "DELETE"),
}


@pytest.fixture
def seed(empty: Database) -> Iterator[Connection]:
    """A database at revision 001, as the superuser sees it."""
    migrations.upgrade(empty.conninfo("blotter_owner"), "001", quiet=True)
    with psycopg.connect(empty.conninfo("postgres")) as connection:
        yield connection


def test_the_three_tables_have_the_seed_s_15_8_and_10_columns(seed: Connection) -> None:
    found: dict[str, list[tuple[str, ...]]] = {}
    for table, *column in seed.execute(
        """SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod),
                  CASE WHEN attnotnull THEN 'NO' ELSE 'YES' END
           FROM pg_attribute WHERE attrelid = ANY ('{orders, fills, execution_logs}'::regclass[])
             AND attnum > 0 AND NOT attisdropped ORDER BY attrelid, attnum"""
    ):
        found.setdefault(table, []).append(tuple(column))
    assert found == COLUMNS
    assert [len(COLUMNS[table]) for table in ("orders", "fills", "execution_logs")] == [15, 8, 10]


def test_the_columns_have_the_seed_s_defaults(seed: Connection) -> None:
    rows = seed.execute(
        """SELECT table_name, column_name, column_default FROM information_schema.columns
           WHERE table_name = ANY (%s) AND column_default IS NOT NULL""",
        [list(COLUMNS)],
    )
    assert {(table, column): default for table, column, default in rows} == DEFAULTS


def test_the_enums_have_the_seed_s_values_in_its_order(seed: Connection) -> None:
    rows = seed.execute("SELECT enumtypid::regtype::text, enumlabel FROM pg_enum ORDER BY enumtypid, enumsortorder")
    found: dict[str, list[str]] = {}
    for enum, value in rows:
        found.setdefault(enum, []).append(value)
    assert found == ENUMS


def test_the_eight_check_constraints_are_the_seed_s(seed: Connection) -> None:
    rows = seed.execute(
        r"""SELECT conname, substring(pg_get_constraintdef(oid, true) FROM '^CHECK \((.*)\)$') FROM pg_constraint
           WHERE contype = 'c' AND conrelid = ANY ('{orders, fills, execution_logs}'::regclass[])"""
    )
    assert dict(rows.fetchall()) == CHECKS


def test_the_foreign_keys_are_the_seed_s(seed: Connection) -> None:
    rows = seed.execute("SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f'")
    assert dict(rows.fetchall()) == FOREIGN_KEYS


def test_the_eight_indexes_are_the_seed_s(seed: Connection) -> None:
    rows = seed.execute(
        """SELECT indexname, substr(indexdef, strpos(indexdef, ' ON public.') + 11) FROM pg_indexes
           WHERE schemaname = 'public' AND indexname LIKE 'idx_%'"""
    )
    assert dict(rows.fetchall()) == INDEXES


def test_the_five_policies_are_the_seed_s_on_tables_that_force_them(seed: Connection) -> None:
    rows = seed.execute("SELECT policyname, tablename, permissive, cmd FROM pg_policies")
    assert {name: tuple(policy) for name, *policy in rows} == POLICIES
    rows = seed.execute("SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity")
    assert {name for (name,) in rows} == set(COLUMNS)
