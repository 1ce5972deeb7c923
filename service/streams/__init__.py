"""The feed: one tail per process that wakes many streams."""

from __future__ import annotations

from service.streams.feed import Feed, Subscription

__all__ = ["Feed", "Subscription"]
