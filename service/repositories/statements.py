"""Writing statements: SQLAlchemy composes them once, at import; psycopg sends them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sqlalchemy import ARRAY, Column, ColumnClause, ColumnElement, bindparam, func, literal_column, or_, select
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.base import Executable
from sqlalchemy.types import TypeEngine

from service.models.base import Base

_DIALECT = psycopg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


def compiled(statement: Executable) -> str:
    """Return the statement as text with `%(name)s` placeholders."""
    return str(statement.compile(dialect=_DIALECT))  # type: ignore[attr-defined]  # every Executable has it


def columns(model: type[Base], value: type[Any]) -> list[Column[Any]]:
    """Return the columns that a value has fields for, in the order of its fields: `Value(*row)` fits."""
    return [getattr(model, field.name) for field in fields(value)]


def if_given(name: str, type_: TypeEngine[Any], condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition, or true where the parameter is None.

    The values are literals in the text that the server plans, so the planner drops what was not asked for.
    """
    return or_(bindparam(name, type_=type_).is_(None), condition)


def one_of(column: InstrumentedAttribute[Any], name: str) -> ColumnElement[bool]:
    """Return `column = ANY(parameter)`, or true where the parameter is None."""
    array: ARRAY[Any] = ARRAY(column.type)
    return if_given(name, array, column == bindparam(name, type_=array).any_())


def within(column: InstrumentedAttribute[Any], name: str) -> ColumnElement[bool]:
    """Return `<name>_from <= column < <name>_to`, where either end may be None."""
    start, end = f"{name}_from", f"{name}_to"
    return if_given(start, column.type, column >= bindparam(start, type_=column.type)) & if_given(
        end, column.type, column < bindparam(end, type_=column.type)
    )


def call(function: str, parameters: tuple[str, ...], value: type[Any]) -> str:
    """Return the call of one of revision 009's functions: a row of its outcome and the fields of what it recorded."""
    result = getattr(func, function)(*map(bindparam, parameters)).table_valued("outcome", "recorded", name="result")
    recorded: list[ColumnClause[Any]] = [literal_column(f"(result.recorded).{field.name}") for field in fields(value)]
    return compiled(select(result.c.outcome, *recorded))
