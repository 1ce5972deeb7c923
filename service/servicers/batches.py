"""Batches, in which each item succeeds or fails by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from google.protobuf.message import Message

from service.domain.errors import BlotterError, FieldViolation, InvalidRequest
from service.domain.identity import Caller
from service.domain.portions import in_portions
from service.repositories.orders import Recorded
from service.status import status_of

Item = TypeVar("Item")
Value = TypeVar("Value")
Result = TypeVar("Result")


async def each(
    field: str,
    items: Iterable[Item],
    check: Callable[[Item], Value],
    record: Callable[[list[Value]], Awaitable[list[Recorded | BlotterError]]],
) -> list[Recorded | BlotterError]:
    """Check each item, record the valid items together, and return one result per item, in the order of the items.

    A violation names its field by the full path, whether the check or the database found it.
    """
    checked = await in_portions(lambda item: _checked(check, item), items)
    recorded = iter(await record([value for value in checked if not isinstance(value, InvalidRequest)]))
    results = (value if isinstance(value, InvalidRequest) else next(recorded) for value in checked)
    return [_with_prefix(result, f"{field}[{index}].") for index, result in enumerate(results)]


async def to_proto(
    caller: Caller,
    results: list[Recorded | BlotterError],
    message: Callable[..., Result],
    response: Callable[[Recorded], Message],
) -> list[Result]:
    """Return one `message` per result, whose field `response` or `error` is set."""

    def convert(result: Recorded | BlotterError) -> Result:
        if isinstance(result, BlotterError):
            return message(error=status_of(result, caller.request_id))
        return message(response=response(result))

    return await in_portions(convert, results)


def _checked(check: Callable[[Item], Value], item: Item) -> Value | InvalidRequest:
    try:
        return check(item)
    except InvalidRequest as error:
        return error


def _with_prefix(result: Recorded | BlotterError, prefix: str) -> Recorded | BlotterError:
    if not isinstance(result, InvalidRequest):
        return result
    return InvalidRequest(
        *(FieldViolation(prefix + violation.field, violation.description) for violation in result.violations)
    )
