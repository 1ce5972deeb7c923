"""Batches: each item succeeds or fails by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from service.domain.errors import BlotterError, InvalidRequest
from service.repositories.orders import Recorded

Item = TypeVar("Item")
Value = TypeVar("Value")


async def each(
    items: Iterable[Item],
    check: Callable[[Item, int], Value],
    record: Callable[[list[Value]], Awaitable[list[Recorded | BlotterError]]],
) -> list[Recorded | BlotterError]:
    """Check each item (given its index), record the sound ones together; return one result per item, in their order."""
    checked = [_checked(check, item, index) for index, item in enumerate(items)]
    recorded = iter(await record([value for value in checked if not isinstance(value, InvalidRequest)]))
    return [value if isinstance(value, InvalidRequest) else next(recorded) for value in checked]


def _checked(check: Callable[[Item, int], Value], item: Item, index: int) -> Value | InvalidRequest:
    try:
        return check(item, index)
    except InvalidRequest as error:
        return error


def done(result: Recorded | BlotterError) -> Recorded:
    """Return what was recorded; raise what was not."""
    if isinstance(result, BlotterError):
        raise result
    return result
