"""Streams of events, and the feed that wakes them."""

from __future__ import annotations

from service.streams.feed import Feed

__all__ = ["Feed"]
