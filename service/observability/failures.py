"""What the log shows of an error: nothing that may hold the content of an order.

The text of a database error may quote a row or a statement, and that of any other error a value.
"""

from __future__ import annotations

import traceback

from service.domain.errors import BlotterError


def summary(error: BaseException) -> str:
    """Return the text of an error of the domain; of any other the class and, for one of the database, the SQLSTATE."""
    if isinstance(error, BlotterError):
        return str(error)
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    constraint = getattr(getattr(error, "diag", None), "constraint_name", None)
    facts = {"SQLSTATE": getattr(error, "sqlstate", None), "constraint": constraint}
    given = ", ".join(f"{fact} {value}" for fact, value in facts.items() if value)
    return f"{name} ({given})" if given else name


def where(error: BaseException) -> str:
    """Return the traceback of an error and of at most ten that caused it, with summaries in place of their texts."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) <= 10:
        parts.append("".join(traceback.format_tb(cause.__traceback__)) + summary(cause))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "\n".join(["Traceback (most recent call last):", *reversed(parts)])
