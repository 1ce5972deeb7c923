"""The deadline of each call."""

from __future__ import annotations

DEFAULT_TIMEOUT = 10.0
"""Seconds until a call is given up, retries included."""

BATCH_TIMEOUT = 60.0
"""The same for batches and CancelAllOrders."""


def deadline(own: float | None, clients: float | None, default: float) -> float:
    """Return the seconds of a call: its own timeout, else that of its client, else the default. Zero is a timeout."""
    return next(seconds for seconds in (own, clients, default) if seconds is not None)
