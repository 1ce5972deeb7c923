"""The common part of the pages of all lists."""

from __future__ import annotations

from typing import Protocol, TypeVar


class Page(Protocol):
    """One page of a list."""

    next_page_token: str


PageType = TypeVar("PageType", bound=Page)
