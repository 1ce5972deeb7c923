"""Processing of long lists in portions, between which the event loop runs other tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

PORTION = 50


async def in_portions(convert: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return `convert(item)` of each item, in their order."""
    results: list[Result] = []
    for item in items:
        results.append(convert(item))
        if len(results) % PORTION == 0:
            await asyncio.sleep(0)
    return results
