"""Streams of events, and the feed that wakes them."""

from __future__ import annotations

from service.streams.feed import Feed, Subscription

__all__ = ["Feed", "Subscription"]
