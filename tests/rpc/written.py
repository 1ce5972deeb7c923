"""What is in the database, regardless of row-level security."""

from typing import Any

import psycopg

from tests.serving import Blotter


def written(blotter: Blotter) -> tuple[Any, ...]:
    """The number of orders, fills and logs, and the sum of the last sequences."""
    counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in ("orders", "fills", "execution_logs"))
    with psycopg.connect(blotter.database.conninfo("postgres")) as connection:
        row = connection.execute(f"SELECT {counts}, (SELECT sum(last_sequence) FROM trader_sequences)").fetchone()
    assert row is not None
    return row
