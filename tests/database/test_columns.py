"""The values of the domain have the columns of their tables."""

from typing import Any

import psycopg
import pytest

from service.domain.orders import ORDER_COLUMNS, ExecutionLog, Fill
from tests.conftest import Database

COLUMNS = """
    SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


def columns(database: Database, table: str) -> list[str]:
    """The columns of a table, in its order."""
    with psycopg.connect(database.conninfo("postgres")) as connection:
        return [name for (name,) in connection.execute(COLUMNS, (table,))]


def test_an_order_has_all_columns_in_the_order_of_the_table(database: Database) -> None:
    """What the writing functions return is taken by position."""
    assert columns(database, "orders") == list(ORDER_COLUMNS)


@pytest.mark.parametrize(("value", "table"), [(Fill, "fills"), (ExecutionLog, "execution_logs")])
def test_the_fields_of_a_value_are_columns(database: Database, value: type[Any], table: str) -> None:
    unread = {"previous_sequence", "xid", "report_digest", "request_digest", "leaf_version"}
    assert set(value._fields) == set(columns(database, table)) - unread
