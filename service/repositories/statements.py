"""Parts that several statements share.

A statement is SQL text with `%(name)s` placeholders, written where it is used, so that its text can be given to
EXPLAIN. SQLAlchemy's models describe the schema for the check that revisions and models agree; they compose no
statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from service.domain.orders import ExecutionLog, Fill, Order

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

LEDGER_SIZE = "coalesce((SELECT size FROM ledger_head), 0)"
"""The number of entries in the ledger."""


def columns(value: type[Order | Fill | ExecutionLog], table: str) -> str:
    """Return the columns of a table in the order of the value's fields, as `Value._make(row)` needs them."""
    return ", ".join(f"{table}.{name}" for name in value._fields)


def log_columns(table: str) -> str:
    """Return the columns of execution_logs as `ExecutionLog._make(row)` needs them.

    To make a UUID of the text and text of the UUID would take a fifth of the time of a log on its way to a stream.
    """
    ids = {"id", "trader_id", "order_id", "fill_id"}
    return ", ".join(f"{table}.{name}{'::text' if name in ids else ''}" for name in ExecutionLog._fields)


def timer_columns(table: str) -> str:
    """Return the columns that `CancelTimer.from_row` takes.

    The timeout is a number: the text of an interval depends on a setting, which a login may change for itself and which
    not every pooler keeps apart.
    """
    return f"{table}.trader_id, extract(epoch FROM {table}.timeout), {table}.fires_at, {table}.set_at"


def if_given(name: str, type_: str, condition: str) -> str:
    """Return the condition, or true where the parameter is NULL.

    The values are literals in the text that the server plans, so that the planner removes conditions that are true.
    """
    return f"(%({name})s::{type_} IS NULL OR {condition})"


def one_of(column: str, type_: str, name: str) -> str:
    """Return `column = ANY (parameter)`, or true if the parameter is NULL."""
    return if_given(name, f"{type_}[]", f"{column} = ANY (%({name})s::{type_}[])")


def within(column: str, name: str) -> str:
    """Return `<name>_from <= column < <name>_to` for a column of times, where either end may be NULL."""
    start, end = f"{name}_from", f"{name}_to"
    after = if_given(start, "timestamptz", f"{column} >= %({start})s::timestamptz")
    return after + " AND " + if_given(end, "timestamptz", f"{column} < %({end})s::timestamptz")


def filed_under(table: str) -> str:
    """Return the conditions on what an order is filed under, for orders and logs. `labels` is JSON; all must match."""
    conditions = (
        one_of(f"{table}.account", "varchar", "accounts"),
        one_of(f"{table}.parent_order_id", "varchar", "parent_order_ids"),
        if_given("labels", "jsonb", f"{table}.labels @> %(labels)s::jsonb"),
        one_of(f"{table}.security_id", "varchar", "security_ids"),
        one_of(f"{table}.currency", "varchar", "currencies"),
        one_of(f"{table}.short_sale", "short_sale_enum", "short_sales"),
    )
    return " AND ".join(conditions)


def of_desk(statement: str, order: str) -> str:
    """Return a statement that reads orders of one trader, `trader.id`, up to a limit, for the traders of a desk.

    Each trader's rows are read in the order of an index as far as the limit; in one scan over all traders the server
    would read and sort all rows of the desk.
    """
    return (
        f"SELECT orders.* FROM unnest(desk_traders()) AS trader (id) CROSS JOIN LATERAL ({statement}) AS orders "
        f"ORDER BY {order} LIMIT %(limit)s::bigint"
    )


def values_of(value: DataclassInstance) -> dict[str, Any]:
    """Return the fields of a dataclass by their names. `asdict` copies each value, which takes ten times as long."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def call(function: str, parameters: Sequence[str]) -> str:
    """Return the call of a writing function of the schema: one row, its outcome and all columns of the recorded order.

    A parameter of another type than its value is written with a cast, as in `terms::jsonb`.
    """
    arguments = ", ".join(f"%({name})s{cast and '::'}{cast}" for name, _, cast in map(_typed, parameters))
    return f"SELECT outcome, (result.recorded).* FROM {function}({arguments}) AS result"


def _typed(parameter: str) -> tuple[str, str, str]:
    return parameter.partition("::")
