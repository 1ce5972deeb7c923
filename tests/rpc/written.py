"""What is in the database, whoever may see it."""

from typing import Any

import psycopg

from tests.serving import Blotter


def written(blotter: Blotter) -> tuple[Any, ...]:
    """How much there is of everything, and the last sequence."""
    counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in ("orders", "fills", "execution_logs"))
    with psycopg.connect(blotter.database.conninfo("postgres")) as connection:
        row = connection.execute(f"SELECT {counts}, (SELECT sum(last_sequence) FROM trader_sequences)").fetchone()
    assert row is not None
    return row
